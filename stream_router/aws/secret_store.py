"""Secrets that are stored in AWS: `secretsmanager:ARN` and `ssm:NAME`."""

from typing import Any

from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from stream_router.aws import credentials, endpoints
from stream_router.aws_error_codes import THROTTLING, code_of

CONFIG = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=3, read_timeout=5)


class SecretUnreadableError(Exception):
    """A secret cannot be read. The text gives the reason and quotes no secret.

    `is_outage` is true if AWS did not answer or was overloaded, so that the same call may succeed later.
    """

    def __init__(self, reason: str, *, is_outage: bool = False) -> None:
        super().__init__(reason)
        self.is_outage = is_outage


def fetch(reference: str, region: str) -> str:
    """Return the present text of the secret that `secretsmanager:ARN` or `ssm:NAME` names. Blocks.

    Raises SecretUnreadableError; SettingsError for a wrong endpoint; CredentialsError for missing credentials.
    """
    store, _, name = reference.partition(":")
    session = endpoints.create_session(region)
    credentials.find_in_chain(session)
    client: Any = endpoints.create_client(session, store, CONFIG)
    try:
        if store == "ssm":
            text = client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        else:
            # A binary secret has no SecretString, and counts as empty.
            text = client.get_secret_value(SecretId=name).get("SecretString") or ""
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        is_outage = status >= 500 or code_of(error) in THROTTLING
        raise SecretUnreadableError(code_of(error), is_outage=is_outage) from None
    except (BotoCoreError, KeyError) as error:
        is_outage = isinstance(error, HTTPClientError | exceptions.ConnectionError)
        raise SecretUnreadableError(code_of(error), is_outage=is_outage) from None
    return str(text)

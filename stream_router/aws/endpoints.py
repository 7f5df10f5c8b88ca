"""Endpoints of the data-plane calls, as botocore resolves them: by region, and by the `AWS_ENDPOINT_URL*` variables."""

import contextlib
import functools
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, InvalidRegionError, ProfileNotFound, UnknownRegionError
from botocore.httpsession import get_cert_path
from botocore.loaders import Loader
from botocore.session import Session

from stream_router.aws import credentials
from stream_router.errors import SettingsError


class CallEndpoint(NamedTuple):
    """URL, headers and method of one operation of one service.

    It is the key of the pool of handles with kept connections.
    """

    url: str
    service: str
    headers: tuple[str, ...]
    method: str = "POST"


def create_session(region: str) -> Session:
    """Return a botocore session in `region`. It reads profile, credentials and configuration files as boto3 does.

    Its clients load other credentials once AWS refuses the present ones. Raises SettingsError if the profile or the
    files cannot be used.
    """
    session = _create_plain_session(region)
    credentials.enable_reload(session, lambda: _create_plain_session(region))
    return session


def _create_plain_session(region: str) -> Session:
    """Return a botocore session with botocore's own chain of credentials. Raises SettingsError as `create_session`."""
    session = Session()
    session.set_config_variable("region", region)
    with translate_errors("kinesis"):
        session.get_scoped_config()
    return session


_VARIABLES = {"events": "EVENTBRIDGE", "secretsmanager": "SECRETS_MANAGER"}
"""Names of services in botocore's endpoint variables, if they differ from the service's own name."""


@contextlib.contextmanager
def translate_errors(service: str) -> Iterator[None]:
    """Raise a SettingsError of one line in place of botocore's errors for wrong variables, profiles or files.

    `service` is botocore's name of the service, from which the name of its endpoint variable follows.
    """
    try:
        yield
    except (InvalidRegionError, UnknownRegionError):
        raise SettingsError(
            "AWS_REGION", "is not the name of a region", "set AWS_REGION, for example us-east-1"
        ) from None
    except ProfileNotFound as error:
        profile = error.kwargs.get("profile")
        raise SettingsError("AWS_PROFILE", f"there is no profile {profile!r}", "name another, or unset it") from None
    except BotoCoreError as error:
        raise SettingsError(
            "AWS configuration", f"cannot be used ({type(error).__name__})", "check AWS_PROFILE and its file"
        ) from None
    except ValueError:
        name = _VARIABLES.get(service) or service.upper()
        raise SettingsError(
            f"AWS_ENDPOINT_URL_{name} or AWS_ENDPOINT_URL", "is not a URL", "give https://HOST, or unset it"
        ) from None


def create_client(session: Session, service: str, config: Config | None = None, **arguments: Any) -> Any:
    """Return a botocore client without sending anything. Raises SettingsError if the environment cannot be used."""
    with translate_errors(service):
        client: Any = session.create_client(service, config=config, **arguments)
        check_url(client.meta.endpoint_url)
        return client


def check_url(url: str) -> None:
    """Raise ValueError for a URL with which botocore creates a client, but with which each call would fail."""
    parts = urlsplit(url)
    _ = parts.port  # raises ValueError if the port is invalid
    if parts.scheme not in ("http", "https"):
        raise ValueError(url)


def is_aws(url: str) -> bool:
    """Return whether a URL's host belongs to AWS, not to an emulator; False for a text that is not a URL."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host.endswith(_aws_domains())


@functools.cache
def _aws_domains() -> tuple[str, ...]:
    """Return the host suffixes of all partitions: aws, aws-cn, aws-us-gov, the European and the secret partitions."""
    outputs = [partition["outputs"] for partition in Loader().load_data("partitions")["partitions"]]
    return tuple({f".{output[suffix]}" for output in outputs for suffix in ("dnsSuffix", "dualStackDnsSuffix")})


def build_json_endpoint(url: str, service: str, operation: str, json_version: str) -> CallEndpoint:
    """Return the endpoint of an awsJson operation at `url`, for example `AWSEvents.PutEvents` in version 1.1."""
    headers = (f"Content-Type: application/x-amz-json-{json_version}", f"X-Amz-Target: {operation}")
    return CallEndpoint(url.rstrip("/") + "/", service, headers)


def find_endpoint(session: Session, service: str, operation: str) -> CallEndpoint:
    """Return the endpoint to which botocore sends an operation of an awsJson service, such as Kinesis or SQS.

    Raises SettingsError if the environment cannot be used.
    """
    client = create_client(session, service, **_SENDS_NOTHING)
    model = client.meta.service_model
    name = f"{model.metadata['targetPrefix']}.{operation}"
    return build_json_endpoint(_find_url(client, operation), model.signing_name, name, model.metadata["jsonVersion"])


def find_v2_endpoint(session: Session, bus_arn: str, operation: str) -> CallEndpoint:
    """Return the endpoint of a v2 bus's operation, whose protocol is rpc-v2-cbor. Raises as `find_endpoint`.

    botocore derives host and path from the bus's ARN.
    """
    url = _find_url(create_client(session, "eventbridgev2", **_SENDS_NOTHING), operation, EventBusArn=bus_arn)
    headers = ("Content-Type: application/cbor", "Accept: application/cbor", "smithy-protocol: rpc-v2-cbor")
    return CallEndpoint(url, "events", headers)


def find_put_object_endpoint(session: Session, bucket: str) -> CallEndpoint:
    """Return the endpoint of PutObject into an S3 bucket, in path style. Raises as `find_endpoint`.

    Its URL ends before the object's key, which is the `path` of each call.
    """
    url = _find_url(create_client(session, "s3", **_SENDS_NOTHING), "PutObject", Bucket=bucket, Key="k")
    return CallEndpoint(url.removesuffix("k"), "s3", ("Content-Type: application/octet-stream",), "PUT")


_SENDS_NOTHING: dict[str, Any] = {
    "config": Config(parameter_validation=False, s3={"addressing_style": "path"}),
    "aws_access_key_id": "none",
    "aws_secret_access_key": "none",
}
"""Arguments of a client that is asked for a call's URL alone, so that it needs no real credentials."""


class _RequestReadyError(Exception):
    """Signal that ends botocore's call once its request is built, so that nothing is sent. Its text is the URL."""


def _end_before_send(request: AWSPreparedRequest, **_: object) -> None:
    raise _RequestReadyError(request.url)


def _find_url(client: Any, operation: str, **arguments: Any) -> str:
    """Return the URL to which botocore would send this call.

    The client's `endpoint_url` may be another: botocore takes that from an older table than a call's URL.
    """
    client.meta.events.register("before-send", _end_before_send, unique_id="end-before-send")
    with translate_errors(client.meta.service_model.service_name):
        try:
            getattr(client, xform_name(operation))(**arguments)
        except _RequestReadyError as ready:
            return str(ready)
    raise AssertionError("botocore sent a request without its before-send event")


def find_ca_bundle(session: Session) -> str:
    """Return the path of the CA bundle with which botocore verifies servers.

    The bundle is that of `AWS_CA_BUNDLE`, else that of the profile, else botocore's own. Raises SettingsError if it is
    no readable file of certificates.
    """
    configured = session.get_config_variable("ca_bundle")
    path = str(get_cert_path(configured or True))
    try:
        ssl.create_default_context(cafile=path)
    except OSError:
        raise SettingsError(
            "AWS_CA_BUNDLE", "is not a readable PEM file of certificates", "name one, or unset it"
        ) from None
    return path

"""Endpoints of the data-plane calls: those of botocore itself, including the `AWS_ENDPOINT_URL*` variables."""

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
    """URL and headers of one operation of one service. It is hashable, since connections are pooled by it."""

    url: str
    service: str
    headers: tuple[str, ...]
    method: str = "POST"


def session(region: str) -> Session:
    """Return a botocore session in `region`. It reads profile, credentials and configuration files as boto3 does.

    Its clients load other credentials once AWS refuses the present ones. Raise SettingsError if the profile or the
    files cannot be used.
    """
    new_session = _session(region)
    credentials.renew(new_session, lambda: _session(region))
    return new_session


def _session(region: str) -> Session:
    new_session = Session()
    new_session.set_config_variable("region", region)
    with refusals("kinesis"):
        new_session.get_scoped_config()
    return new_session


_VARIABLES = {"events": "EVENTBRIDGE", "secretsmanager": "SECRETS_MANAGER"}
"""Names of services in botocore's endpoint variables, if they differ from the service's own name."""


@contextlib.contextmanager
def refusals(service: str) -> Iterator[None]:
    """Replace botocore's errors for an unusable environment of `service` by a SettingsError of one line."""
    try:
        yield
    except (InvalidRegionError, UnknownRegionError):
        raise SettingsError("AWS_REGION", "is no region's name", "set AWS_REGION, for example us-east-1") from None
    except ProfileNotFound as error:
        named = error.kwargs.get("profile")
        raise SettingsError("AWS_PROFILE", f"there is no profile {named!r}", "name another, or unset it") from None
    except BotoCoreError as error:
        raise SettingsError(
            "AWS configuration", f"cannot be used ({type(error).__name__})", "check AWS_PROFILE and its file"
        ) from None
    except ValueError:
        name = _VARIABLES.get(service) or service.upper()
        raise SettingsError(
            f"AWS_ENDPOINT_URL_{name} or AWS_ENDPOINT_URL", "is no URL", "give https://HOST, or unset it"
        ) from None


def client(session: Session, service: str, config: Config | None = None, **more: Any) -> Any:
    """Return a botocore client without sending anything. Raise SettingsError if the environment cannot be used."""
    with refusals(service):
        botocore_client: Any = session.create_client(service, config=config, **more)
        check_url(botocore_client.meta.endpoint_url)
        return botocore_client


def check_url(url: str) -> None:
    """Raise ValueError for a URL at which botocore would fail only at the first call."""
    parts = urlsplit(url)
    _ = parts.port  # raises ValueError if the port is invalid
    if parts.scheme not in ("http", "https"):
        raise ValueError(url)


def is_aws(url: str) -> bool:
    """Return whether an endpoint is AWS's own; False for a text that is no URL."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host.endswith(_domains())


@functools.cache
def _domains() -> tuple[str, ...]:
    """Return the host suffixes of all partitions: aws, aws-cn, aws-us-gov, the European and the secret partitions."""
    outputs = [partition["outputs"] for partition in Loader().load_data("partitions")["partitions"]]
    return tuple({f".{output[suffix]}" for output in outputs for suffix in ("dnsSuffix", "dualStackDnsSuffix")})


def json_target(url: str, service: str, operation: str, json_version: str) -> CallEndpoint:
    """Return an awsJson operation, for example `AWSEvents.PutEvents` in version 1.1, at the endpoint `url`."""
    headers = (f"Content-Type: application/x-amz-json-{json_version}", f"X-Amz-Target: {operation}")
    return CallEndpoint(url.rstrip("/") + "/", service, headers)


def target(session: Session, service: str, operation: str) -> CallEndpoint:
    """Return an operation of an awsJson service. Raise SettingsError if the environment cannot be used."""
    botocore_client = client(session, service, **_SENDS_NOTHING)
    model = botocore_client.meta.service_model
    name = f"{model.metadata['targetPrefix']}.{operation}"
    return json_target(_url(botocore_client, operation), model.signing_name, name, model.metadata["jsonVersion"])


def v2_target(session: Session, bus_arn: str, operation: str) -> CallEndpoint:
    """Return an operation of a v2 bus, which uses rpc-v2-cbor; botocore derives host and path from the bus's ARN."""
    url = _url(client(session, "eventbridgev2", **_SENDS_NOTHING), operation, EventBusArn=bus_arn)
    headers = ("Content-Type: application/cbor", "Accept: application/cbor", "smithy-protocol: rpc-v2-cbor")
    return CallEndpoint(url, "events", headers)


def put_object(session: Session, bucket: str) -> CallEndpoint:
    """Return PutObject into an S3 bucket in path style. The object's key is the path of each call."""
    url = _url(client(session, "s3", **_SENDS_NOTHING), "PutObject", Bucket=bucket, Key="k")
    return CallEndpoint(url.removesuffix("k"), "s3", ("Content-Type: application/octet-stream",), "PUT")


_SENDS_NOTHING: dict[str, Any] = {
    "config": Config(parameter_validation=False, s3={"addressing_style": "path"}),
    "aws_access_key_id": "none",
    "aws_secret_access_key": "none",
}
"""Arguments of a client that only reports where it would send a call, which needs no credentials."""


class _WouldSendError(Exception):
    """Signal that ends botocore's call once its request is known, so that nothing is sent."""


def _would_send(request: AWSPreparedRequest, **_: object) -> None:
    raise _WouldSendError(request.url)


def _url(botocore_client: Any, operation: str, **arguments: Any) -> str:
    """Return the URL of an operation's request. A client's `endpoint_url` may differ: it comes from an older table."""
    botocore_client.meta.events.register("before-send", _would_send, unique_id="would-send")
    with refusals(botocore_client.meta.service_model.service_name):
        try:
            getattr(botocore_client, xform_name(operation))(**arguments)
        except _WouldSendError as found:
            return str(found)
    raise AssertionError("botocore sends without saying so")


def ca_bundle(session: Session) -> str:
    """Return the CA bundle that botocore would verify with: that of `AWS_CA_BUNDLE`, of the profile, or its own.

    Raise SettingsError if it is no readable file of certificates.
    """
    configured = session.get_config_variable("ca_bundle")
    path = str(get_cert_path(configured or True))
    try:
        ssl.create_default_context(cafile=path)
    except OSError:
        raise SettingsError(
            "AWS_CA_BUNDLE", "is no readable PEM file of certificates", "name one, or unset it"
        ) from None
    return path

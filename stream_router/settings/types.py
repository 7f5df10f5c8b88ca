"""Types of settings: addresses, queues, lists of event types, paths into an event.

Each type has a description of its form, as a text among its annotations. Error lines and the
generated pages show it (`common.allowed_values`). A value of another form raises ValueError. If the
error names no cure, the description is shown as the cure.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from stream_router import limits
from stream_router.errors import WrongValueError
from stream_router.settings.files import nearest_name


def items(text: str) -> tuple[str, ...]:
    """Return the items of a comma-separated list, in order, without empty items."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def is_utf8(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8. The environment may hold any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_quoted(text: str) -> bool:
    """Return whether a text begins and ends with the same quote."""
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def accepted_by(parse: Callable[[str], object]) -> AfterValidator:
    """Return a validator that returns a text unchanged if `parse` accepts it.

    `parse` raises ValueError for a text that it does not accept.
    """

    def validate(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(validate)


# --- names and files

Stream = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$"), "1 to 128 of A-Z a-z 0-9 _ . -"]
Application = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{3,255}$"), "3 to 255 of A-Z a-z 0-9 _ . -"]
Rule = Annotated[
    str,
    Field(pattern=rf"^[\.\-_A-Za-z0-9]{{1,{limits.RULE_NAME_MAX_CHARS}}}$"),
    f"1 to {limits.RULE_NAME_MAX_CHARS} of A-Z a-z 0-9 . - _",
]
WorkerName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:-]{1,128}$"), "1 to 128 of A-Z a-z 0-9 _ . : -"]
Bucket = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"), "an S3 bucket's name, 3 to 63 of a-z 0-9 . -"
]
Bus = Annotated[
    str,
    Field(pattern=r"^(arn:aws[a-z-]*:events:[a-z0-9-]+:\d+:event-bus(v2)?/[/.\-_A-Za-z0-9]+|[/.\-_A-Za-z0-9]{1,256})$"),
    "an event bus's name or ARN",
]
Arn = Annotated[str, Field(pattern=r"^arn:\S+$"), "an ARN"]
KmsKey = Annotated[
    str,
    Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]{1,128}$"),
    "the ARN of a KMS key: arn:aws:kms:REGION:ACCOUNT:key/ID",
]
HeaderName = Annotated[str, Field(min_length=1), "a header's name"]

File = Annotated[Path, "path of a file"]
Folder = Annotated[Path, "path of a folder that can be written to"]
PemFile = Annotated[Path, "path of a PEM file"]
TomlFile = Annotated[Path, "path of a TOML file"]


# --- the region: AWS's own variable, checked here because every call fails in a wrong region

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")


def region_of_environment() -> str:
    """Return AWS_REGION, else AWS_DEFAULT_REGION, else the profile's region.

    Raises ValueError if there is none.
    """
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        return region
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        region = str(Session().get_config_variable("region") or "")
    except BotoCoreError as error:
        raise WrongValueError(f"is not set, and {error}", "set AWS_REGION, or correct AWS_PROFILE") from None
    if not region:
        raise WrongValueError("is not set", "set AWS_REGION, for example us-east-1")
    return region


def check_region(name: str) -> str:
    """Return the region if botocore lists it. Raises ValueError if not.

    If an endpoint is set, any name that has the form of a region is accepted.
    """
    from botocore import __version__
    from botocore.loaders import create_loader

    # botocore's own pattern accepts eu-centrall-1 as well. Each call would then fail without naming the region.
    partitions = create_loader().load_data("partitions")["partitions"]
    # The lists also hold names that are no regions, such as aws-global.
    known = {region for partition in partitions for region in partition["regions"] if _REGION.fullmatch(region)}
    has_endpoint = any(value for variable, value in os.environ.items() if variable.startswith("AWS_ENDPOINT_URL"))
    if name in known or (has_endpoint and _REGION.fullmatch(name)):
        return name
    nearest = nearest_name(name, known)
    advice = f"did you mean {nearest}?" if nearest else "give one, for example us-east-1"
    raise WrongValueError(
        f"is not a region that botocore {__version__} knows",
        f"{advice} (for a newer region upgrade botocore, or set AWS_ENDPOINT_URL)",
    )


# --- secrets, and how a sender authenticates


def _strip_secret(value: SecretStr) -> SecretStr:
    """Return the secret without line breaks at its end: a value read from a file usually ends with one."""
    text = value.get_secret_value()
    if not is_utf8(text):
        raise ValueError("is not UTF-8")
    if text and not text.strip():
        raise ValueError("is blank")
    return SecretStr(text.rstrip("\r\n"))


Secret = Annotated[SecretStr, AfterValidator(_strip_secret), "the secret, file:PATH, secretsmanager:ARN", "ssm:NAME"]

Scheme = Literal["expert", "standard-webhooks", "hmac", "bearer", "basic", "none"]
"""How a sender authenticates.

`receiver/auth.py` checks each scheme, `send/signing.py` signs with each.
"""

SENDS_ITS_SECRET = ("bearer", "basic")
"""Schemes that send the secret itself, so never over plain HTTP."""

Template = Annotated[
    str,
    Field(pattern=r"^([^{}$]|\{(id|timestamp|body)\})*$"),
    "a text with {id}, {timestamp}, {body}, and no other braces or $",
]
"""Form of STREAM_ROUTER_HMAC_TEMPLATE.

An unknown placeholder would be signed literally, so no signature would ever match.
"""


# --- event types, and paths into an event


def _check_event_types(value: str) -> None:
    """Raise ValueError for a list of event types that no event could have, or that EventBridge would refuse."""
    if set(value) & set("[]{}\"'"):
        raise WrongValueError(
            "is a list in brackets or quotes, which would be a part of a type's name",
            "write the bare types with commas between, for example interaction.created,conversation.updated",
        )
    if not all(len(name) <= limits.DETAIL_TYPE_MAX_CHARS and name.isprintable() for name in items(value)):
        raise ValueError(f"has an event type of over {limits.DETAIL_TYPE_MAX_CHARS} characters, or not of plain text")
    if "," not in value and len(value.split()) > 1:
        raise WrongValueError(
            "has spaces and no comma, so the whole text would be one event type",
            "put commas between the types (if a single type has a space in its name, put a comma after it)",
        )


def _require_event_types(value: str) -> None:
    _check_event_types(value)
    if not items(value):
        raise ValueError("names no event type")


DropTypes = Annotated[
    str, accepted_by(_check_event_types), "event types with commas between, each of 1 to 128 characters"
]
EventTypes = Annotated[
    str, accepted_by(_require_event_types), "event types with commas between, each of 1 to 128 characters"
]


def parse_paths(text: str) -> list[list[str]]:
    """Return a comma-separated list of dotted paths, each as its steps.

    Raises ValueError if there is no path, if a step is empty, or if a path is a JSONPath or a JSON
    pointer. Such a path would match nothing in an event.
    """
    split_paths = [[step.strip() for step in path.split(".")] for path in items(text)]
    if not split_paths or not all(step for path in split_paths for step in path):
        raise ValueError("names no path, or one with an empty step")
    if any(path[0] == "$" or path[0].startswith("/") for path in split_paths):
        raise WrongValueError(
            "has a path that begins with $. or /, which is a JSONPath or a JSON pointer", "write data.case.id"
        )
    return split_paths


Paths = Annotated[str, accepted_by(parse_paths), "comma-separated dotted paths into the event, first found wins"]


# --- addresses


def split_host_port(value: str) -> tuple[str, int]:
    """Split `HOST:PORT` (an IPv6 host in brackets) into host and port. Raises ValueError."""
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 <= int(port) <= 65535:
        raise ValueError("has no host, or no port from 0 to 65535")
    return host.strip("[]"), int(port)


HostPort = Annotated[str, accepted_by(split_host_port), "HOST:PORT"]


_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")


def parse_host_names(text: str) -> tuple[str, ...]:
    """Return the host names of a comma-separated list, in lower case.

    Raises ValueError if an item is not a host name.
    """
    if not all(map(_HOST_NAME.fullmatch, items(text))):
        raise ValueError("has an item that is not a host name, or has a port or a scheme")
    return tuple(name.removesuffix(".").lower() for name in items(text))


HostNames = Annotated[str, accepted_by(parse_host_names), "host names with commas between, without ports"]


def own_url(listen: str, scheme: str = "http") -> str:
    """Return the URL at which a client on the same host reaches a server that listens at `HOST:PORT`.

    A server that listens at 0.0.0.0 or :: is reached at loopback.
    """
    host, port = split_host_port(listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing listens here
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def is_loopback(listen: str) -> bool:
    """Return whether a server at `HOST:PORT` can be reached only from this machine."""
    return is_loopback_host(split_host_port(listen)[0])


def is_loopback_host(host: str) -> bool:
    """Return whether a host's name or address is loopback."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Return the networks of a comma-separated list of CIDRs.

    Raises ValueError if an item is not a CIDR.
    """
    try:
        return tuple(map(ipaddress.ip_network, items(text)))
    except ValueError:
        raise ValueError("has an item that is not a CIDR, or has bits set beyond its length") from None


Networks = Annotated[str, accepted_by(parse_networks), "comma-separated CIDRs, for example 10.0.0.0/8"]


def is_url(text: str) -> bool:
    """Return whether a text is an http or https URL with a host, and with a valid port or none.

    A client would report a bad URL only at its first call, without naming the setting.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)


def without_user(url: str) -> str:
    """Return a URL without its user and password, so that it can be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def check_for_credentials(url: str) -> None:
    """Raise ValueError unless the URL is https, or http on loopback, without a user in it."""
    parts = urlsplit(url) if is_url(url) else None
    if parts is None or parts.username or (parts.scheme == "http" and not is_loopback_host(parts.hostname or "")):
        raise ValueError("is not an https:// URL, or has a user in it: credentials are sent over HTTPS only")


UrlForCredentials = Annotated[str, accepted_by(check_for_credentials), "an https:// URL"]
"""URL with HTTPS and without a user; plain HTTP is allowed on loopback only."""


def _check_queue_url(url: str) -> None:
    """Raise ValueError unless the text is the URL of a standard queue.

    A FIFO queue refuses messages without a group.
    """
    if url != url.strip():
        raise WrongValueError("begins or ends with white space", "remove it")
    if url.startswith("arn:"):
        raise WrongValueError("is an ARN", "give the queue's URL (`aws sqs get-queue-url` prints it)")
    if not is_url(url):
        raise ValueError("is not a URL")
    if url.endswith(".fifo"):
        raise WrongValueError("is a FIFO queue", "name a standard one")


QueueUrl = Annotated[
    str,
    accepted_by(_check_queue_url),
    "a queue's URL (standard, not FIFO); `stream-router setup` creates one",
]


# --- tags

_TAG = re.compile(r"(?!aws:)([\w .:/+@-]{1,128})=([\w .:/+@-]{0,256})")


def parse_tags(text: str) -> dict[str, str]:
    """Return `key=value,…` as a mapping. Raises ValueError for a tag that AWS would refuse."""
    matches = [_TAG.fullmatch(item) for item in items(text)]
    if not all(matches):
        raise ValueError("has an item that is not key=value, or that AWS does not allow")
    return {tag[1].strip(): tag[2].strip() for tag in matches if tag}


Tags = Annotated[
    str, accepted_by(parse_tags), "key=value,…: keys to 128, values to 256 letters, digits and _ . : / + @ -"
]

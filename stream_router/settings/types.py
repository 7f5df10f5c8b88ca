"""The forms of text that settings take: addresses, queues, lists of event types, paths into an event.

A type says its form in words, as a text among its annotations: the lines that refuse a value and the pages say it so
(`common.takes`). A form that is not met raises ValueError, whose text is the problem, or `problem; cure`. It quotes no
value, since some values are secrets.
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
from stream_router.settings.files import near


def items(text: str) -> tuple[str, ...]:
    """Return the items of a comma-separated list, in order, without what is empty."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def is_utf8(text: str) -> bool:
    """Whether a text of the environment is one that can be sent: it may hold any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_quoted(text: str) -> bool:
    """Whether a text begins and ends with the same quote."""
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def read_by(parse: Callable[[str], object]) -> AfterValidator:
    """Return a text that `parse` can read, kept as it is written."""

    def checked(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(checked)


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


# --- the region: AWS's own variable, but every program needs it, and wrong it makes each call fail

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")


def region_of_environment() -> str:
    """Return the region of everything: AWS_REGION, AWS_DEFAULT_REGION, or the profile's. Raise ValueError."""
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        return region
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        region = str(Session().get_config_variable("region") or "")
    except BotoCoreError as error:
        raise ValueError(f"is not set, and {error}; set AWS_REGION, or correct AWS_PROFILE") from None
    if not region:
        raise ValueError("is not set; set AWS_REGION, for example us-east-1")
    return region


def known_region(name: str) -> str:
    """Return the region, where botocore lists it, or where an endpoint is set and the name has a region's form.

    botocore's own pattern of names takes eu-centrall-1 as well, and no line would name what every call fails of.
    Raises ValueError.
    """
    from botocore import __version__
    from botocore.loaders import create_loader

    partitions = create_loader().load_data("partitions")["partitions"]
    known = {region for partition in partitions for region in partition["regions"] if _REGION.fullmatch(region)}
    elsewhere = any(value for variable, value in os.environ.items() if variable.startswith("AWS_ENDPOINT_URL"))
    if name in known or (elsewhere and _REGION.fullmatch(name)):
        return name
    meant = f"did you mean {nearest}?" if (nearest := near(name, known)) else "give one, for example us-east-1"
    raise ValueError(
        f"is no region that botocore {__version__} knows; {meant} (one that is newer: upgrade botocore, "
        "or set AWS_ENDPOINT_URL)"
    )


# --- secrets, and how a sender proves who it is


def _secret(value: SecretStr) -> SecretStr:
    """Without the line break that a variable has whose text comes from a file."""
    text = value.get_secret_value()
    if not is_utf8(text):
        raise ValueError("is not UTF-8")
    if text and not text.strip():
        raise ValueError("is blank")
    return SecretStr(text.rstrip("\r\n"))


Secret = Annotated[SecretStr, AfterValidator(_secret), "the secret, file:PATH, secretsmanager:ARN", "ssm:NAME"]

Scheme = Literal["expert", "standard-webhooks", "hmac", "bearer", "basic", "none"]
"""How a sender proves who it is. `receiver/auth.py` checks each, `send/signing.py` signs as each."""

SENDS_ITS_SECRET = ("bearer", "basic")
"""Schemes whose secret goes over the wire as it is, so never over plain HTTP."""

Template = Annotated[
    str,
    Field(pattern=r"^([^{}$]|\{(id|timestamp|body)\})*$"),
    "a text with {id}, {timestamp}, {body}, and no other braces or $",
]
"""What else looks like a placeholder would be signed as it is written, so no signature would ever fit."""


# --- event types, and paths into an event


def _event_types(value: str) -> None:
    """Another type could be no event's, or would be refused wherever it goes."""
    if set(value) & set("[]{}\"'"):
        raise ValueError(
            "is a list in brackets or quotes, which would be a part of a type's name; "
            "write the bare types with commas between, for example interaction.created,conversation.updated"
        )
    if not all(len(name) <= limits.DETAIL_TYPE_MAX_CHARS and name.isprintable() for name in items(value)):
        raise ValueError(f"has an event type of over {limits.DETAIL_TYPE_MAX_CHARS} characters, or not of plain text")
    if "," not in value and len(value.split()) > 1:
        raise ValueError(
            "has blanks and no comma, so all of it would be one event type; put commas between the types (behind a "
            "single type with a blank in its name put one comma)"
        )


def _some_event_types(value: str) -> None:
    _event_types(value)
    if not items(value):
        raise ValueError("names no event type")


DropTypes = Annotated[str, read_by(_event_types), "event types with commas between, each of 1 to 128 characters"]
EventTypes = Annotated[str, read_by(_some_event_types), "event types with commas between, each of 1 to 128 characters"]


def paths(text: str) -> list[list[str]]:
    """Return a comma-separated list of dotted paths, each as its steps. Raise ValueError for none or an empty step.

    An empty step leads to nothing in any event, and neither does what begins a JSONPath or a JSON pointer.
    """
    split_paths = [[step.strip() for step in path.split(".")] for path in items(text)]
    if not split_paths or not all(step for path in split_paths for step in path):
        raise ValueError("names no path, or one with an empty step")
    if any(path[0] == "$" or path[0].startswith("/") for path in split_paths):
        raise ValueError("has a path that begins with $. or /, as those of other languages do")
    return split_paths


Paths = Annotated[str, read_by(paths), "comma-separated dotted paths into the event, first found wins"]


# --- addresses


def split_host_port(value: str) -> tuple[str, int]:
    """`HOST:PORT` (an IPv6 host in brackets) as host and port. Raises ValueError."""
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 <= int(port) <= 65535:
        raise ValueError("has no host, or no port from 0 to 65535")
    return host.strip("[]"), int(port)


HostPort = Annotated[str, read_by(split_host_port), "HOST:PORT"]


_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")


def host_names(text: str) -> tuple[str, ...]:
    """Return the host names of a comma-separated list in lower case. Raises ValueError if an item is none."""
    if not all(map(_HOST_NAME.fullmatch, items(text))):
        raise ValueError("has an item that is no host's name, or has a port or a scheme")
    return tuple(name.removesuffix(".").lower() for name in items(text))


HostNames = Annotated[str, read_by(host_names), "host names with commas between, without ports"]


def own_url(listen: str, scheme: str = "http") -> str:
    """Where a client on the same host reaches what listens at `HOST:PORT`, also where that is every address."""
    host, port = split_host_port(listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing listens here
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def is_loopback(listen: str) -> bool:
    """Whether only this machine reaches what listens at `HOST:PORT`."""
    return is_loopback_host(split_host_port(listen)[0])


def is_loopback_host(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Return a comma-separated list of CIDRs. Raise ValueError where an item is none."""
    try:
        return tuple(map(ipaddress.ip_network, items(text)))
    except ValueError:
        raise ValueError("has an item that is no CIDR, or has bits set beyond its length") from None


Networks = Annotated[str, read_by(networks), "comma-separated CIDRs, for example 10.0.0.0/8"]


def is_url(text: str) -> bool:
    """Whether a text has the form of an http or https URL, with a host and a port as there can be one.

    Clients find out at their first call only, and say so in words that name no setting.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)


def without_user(url: str) -> str:
    """Return a URL without the user and the password that may stand in it, so that it can be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def check_for_credentials(url: str) -> None:
    """Raise ValueError where credentials may not be sent to a URL."""
    parts = urlsplit(url) if is_url(url) else None
    if parts is None or parts.username or (parts.scheme == "http" and not is_loopback_host(parts.hostname or "")):
        raise ValueError("is no https:// URL, or has a user in it: credentials are sent over HTTPS only")


UrlForCredentials = Annotated[str, read_by(check_for_credentials), "an https:// URL"]
"""HTTPS, without a user in it; plain HTTP on loopback alone."""


def _standard_queue(url: str) -> None:
    """Raise ValueError unless this is a standard queue's URL. A FIFO queue refuses each message without a group."""
    if url != url.strip():
        raise ValueError("begins or ends with a blank; take it away")
    if url.startswith("arn:"):
        raise ValueError("is an ARN; give the queue's URL (`aws sqs get-queue-url` prints it)")
    if not is_url(url):
        raise ValueError("is no URL")
    if url.endswith(".fifo"):
        raise ValueError("is a FIFO queue; name a standard one")


QueueUrl = Annotated[
    str,
    read_by(_standard_queue),
    "a queue's URL (standard, not FIFO); `stream-router setup` makes one",
]


# --- tags

_TAG = re.compile(r"(?!aws:)([\w .:/+@-]{1,128})=([\w .:/+@-]{0,256})")


def tags(text: str) -> dict[str, str]:
    """`key=value,…` as a mapping. Raises ValueError for what AWS would not take as a tag."""
    matches = [_TAG.fullmatch(item) for item in items(text)]
    if not all(matches):
        raise ValueError("has an item that is no key=value as AWS takes it")
    return {tag[1].strip(): tag[2].strip() for tag in matches if tag}


Tags = Annotated[str, read_by(tags), "key=value,…: keys to 128, values to 256 letters, digits and _ . : / + @ -"]

"""The forms of text that settings take: addresses, queues, lists of event types, paths into an event.

A form that is not met raises ValueError, whose text is the problem, or `problem; cure`; `reading` puts the setting's
name before it. It quotes no value, since some values are secrets.
"""

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from stream_router import limits
from stream_router.model import LEAST_JUDGED, PROBE_TYPE, DeadLetterShare


def items(text: str) -> tuple[str, ...]:
    """The items of a comma-separated list, in order, without what is empty."""
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


# --- secrets, and how a sender proves who it is


def _secret(value: SecretStr) -> SecretStr:
    """Without the line break that a variable has whose text comes from a file."""
    text = value.get_secret_value()
    if not is_utf8(text):
        raise ValueError("is not UTF-8")
    if text and not text.strip():
        raise ValueError("is blank")
    return SecretStr(text.rstrip("\r\n"))


Secret = Annotated[SecretStr, AfterValidator(_secret)]

Scheme = Literal["expert", "standard-webhooks", "hmac", "bearer", "basic", "none"]
"""How a sender proves who it is. `receiver/auth/schemes.py` checks each, `send/signing.py` signs as each."""

SENDS_ITS_SECRET = ("bearer", "basic")
"""Schemes whose secret goes over the wire as it is, so never over plain HTTP."""

_PLACEHOLDER = re.compile(r"\{\w*\}")
_SIGNED_FIELDS = {"{id}", "{timestamp}", "{body}"}


def _template(value: str) -> str:
    """Another placeholder would be signed as it is written, so no signature would ever fit."""
    if set(_PLACEHOLDER.findall(value)) - _SIGNED_FIELDS:
        raise ValueError("has a placeholder other than {id}, {timestamp}, {body}")
    if re.search(r"[${]\{\w+\}", value):
        raise ValueError("has a $ or a second { before a placeholder, which would be signed too")
    return value


Template = Annotated[str, AfterValidator(_template)]


# --- event types, and paths into an event


def _event_types(value: str) -> str:
    """Another type could be no event's, or would be refused wherever it goes."""
    types = items(value)
    if not types:
        raise ValueError("names no event type")
    if value.strip()[0] in "[{" or set(value) & set("\"'"):
        raise ValueError(
            "is a list in brackets or quotes, which would be a part of a type's name; "
            "write the bare types with commas between, for example interaction.created,conversation.updated"
        )
    if any(len(name) > limits.DETAIL_TYPE_MAX_CHARS for name in types):
        raise ValueError(f"has an event type of more than {limits.DETAIL_TYPE_MAX_CHARS} characters")
    if not all(name.isprintable() for name in types):
        raise ValueError("has an event type with a character that cannot be printed")
    if PROBE_TYPE in types:
        raise ValueError(f"has {PROBE_TYPE}, which is doctor's own and comes out at no target; leave it out")
    return value


EventTypes = Annotated[str, AfterValidator(_event_types)]


def _drop_types(value: str) -> str:
    return _event_types(value) if items(value) else value


DropTypes = Annotated[str, AfterValidator(_drop_types)]


def paths(text: str) -> list[list[str]]:
    """A comma-separated list of dotted paths, each as its steps."""
    return [[step.strip() for step in path.split(".")] for path in items(text)]


def _paths(value: str) -> str:
    """An empty step leads to nothing in any event, and neither does what begins a JSONPath or a JSON pointer."""
    found = paths(value)
    if not found:
        raise ValueError("names no path")
    if not all(step for path in found for step in path):
        raise ValueError("has a path with an empty step")
    if any(path[0] == "$" or path[0].startswith("/") for path in found):
        raise ValueError("has a path that begins with $. or /, as those of other languages do")
    return value


Paths = Annotated[str, AfterValidator(_paths)]


# --- addresses


def _host_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 <= int(port) <= 65535:
        raise ValueError("has no host, or no port from 0 to 65535")
    return value


HostPort = Annotated[str, AfterValidator(_host_port)]


def split_host_port(value: str) -> tuple[str, int]:
    """`HOST:PORT` (an IPv6 host in brackets) as host and port."""
    host, _, port = value.rpartition(":")
    return host.strip("[]"), int(port)


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
    """A comma-separated list of CIDRs. Raises ValueError where an item is none."""
    return tuple(map(ipaddress.ip_network, items(text)))


def _networks(value: str) -> str:
    try:
        networks(value)
    except ValueError:
        raise ValueError("has an item that is no CIDR (host bits must be 0)") from None
    return value


Networks = Annotated[str, AfterValidator(_networks)]


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
    """A URL without the user and the password that may stand in it, so that it can be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _url_for_credentials(url: str) -> str:
    parts = urlsplit(url) if is_url(url) else None
    if parts is None or parts.username or (parts.scheme == "http" and not is_loopback_host(parts.hostname or "")):
        raise ValueError("is no https:// URL, or has a user in it: credentials are sent over HTTPS only")
    return url


UrlForCredentials = Annotated[str, AfterValidator(_url_for_credentials)]
"""HTTPS, without a user in it; plain HTTP on loopback alone."""


# --- names and addresses in AWS

_BUS_NAME = re.compile(r"[/.\-_A-Za-z0-9]{1,256}")
_BUS_ARN = re.compile(r"arn:aws[a-z-]*:events:([a-z0-9-]+):\d+:event-bus(?:v2)?/[/.\-_A-Za-z0-9]+")


def _bus(value: str) -> str:
    if value.startswith("arn:"):
        if not _BUS_ARN.fullmatch(value):
            raise ValueError("is no event bus's ARN")
    elif not _BUS_NAME.fullmatch(value):
        raise ValueError("is no event bus's name")
    return value


Bus = Annotated[str, AfterValidator(_bus)]


def region_of_bus(bus: str) -> str:
    """The region of a bus that is named by its ARN; "" where it is named otherwise."""
    found = _BUS_ARN.fullmatch(bus)
    return found[1] if found else ""


def _standard_queue(url: str) -> str:
    """A FIFO queue refuses every message without a group: all dead letters would be held for ever."""
    if not is_url(url):
        raise ValueError("is no URL")
    if url.endswith(".fifo"):
        raise ValueError("is a FIFO queue, which takes no dead letters")
    return url


QueueUrl = Annotated[str, AfterValidator(_standard_queue)]

_TAG_KEY = re.compile(r"(?!aws:)[\w .:/+@-]{1,128}")
_TAG_VALUE = re.compile(r"[\w .:/+@-]{0,256}")
MOST_TAGS = 40
"""AWS takes 50 of most things; some are left to ours and to the account's own."""


def tags(text: str) -> dict[str, str]:
    """`key=value,…` as a mapping. Raises ValueError for what AWS would not take as tags."""
    pairs = [item.partition("=") for item in items(text)]
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if not all(separator for _, separator, _ in pairs):
        raise ValueError("has an item that is no key=value")
    if len(found) < len(pairs):
        raise ValueError("names a tag twice")
    if len(found) > MOST_TAGS:
        raise ValueError(f"has more than {MOST_TAGS} tags")
    if not all(_TAG_KEY.fullmatch(key) and _TAG_VALUE.fullmatch(value) for key, value in found.items()):
        raise ValueError("has a key of more than 128 or a value of more than 256 characters, or one that no tag takes")
    return found


def _tags(value: str) -> str:
    tags(value)
    return value


Tags = Annotated[str, AfterValidator(_tags)]


# --- the dead-letter limit

MOST_JUDGED = 1_000_000
"""A child remembers each judged event's outcome and time: a million are some 16 MB."""

_LIMIT = re.compile(r"(\d{1,3}(?:\.\d+)?)%/(\d{1,7})/(\d{1,6}(?:\.\d+)?)s")


def dead_letter_limit(text: str) -> DeadLetterShare | None:
    """`SHARE%/EVENTS/SECONDSs` read, None for `off`. Raises ValueError for what is neither, or out of range."""
    if text == "off":
        return None
    if not (found := _LIMIT.fullmatch(text)):
        raise ValueError("is not SHARE%/EVENTS/SECONDSs")
    limit = DeadLetterShare(float(found[1]) / 100, int(found[2]), float(found[3]))
    if not 0 < limit.share <= 1:
        raise ValueError("has a share that is not above 0 % and at most 100 %")
    if not LEAST_JUDGED <= limit.events <= MOST_JUDGED:
        raise ValueError(f"has a number of events that is not {LEAST_JUDGED} to {MOST_JUDGED}")
    if not 1 <= limit.over_s <= 86_400:
        raise ValueError("has a time that is not 1 to 86400 s")
    return limit


def _dead_letter_limit(value: str) -> str:
    dead_letter_limit(value)
    return value


LimitText = Annotated[str, AfterValidator(_dead_letter_limit)]

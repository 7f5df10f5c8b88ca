"""The forms of text that settings take: addresses, queues, secrets, lists of event types, paths into an event."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr, StringConstraints

from stream_router.core import limits


def _utf8(value: SecretStr) -> SecretStr:
    """The environment may hold any bytes; those that are no UTF-8 would fail only where the secret is used."""
    if not _is_utf8(value.get_secret_value()):
        raise ValueError("is not UTF-8")
    return value


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


Secret = Annotated[SecretStr, AfterValidator(_utf8)]


def items(text: str) -> tuple[str, ...]:
    """The items of a comma-separated list, in order, without what is empty."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _event_types(value: str) -> str:
    """Another type could be no event's, or would be refused wherever it goes."""
    types = items(value)
    if not types:
        raise ValueError("names no event type")
    if any(len(name) > limits.DETAIL_TYPE_MAX_CHARS for name in types):
        raise ValueError(f"has an event type of more than {limits.DETAIL_TYPE_MAX_CHARS} characters")
    if not all(name.isprintable() for name in types):
        raise ValueError("has an event type with a character that cannot be printed")
    return value


EventTypes = Annotated[str, AfterValidator(_event_types)]


def paths(text: str) -> list[list[str]]:
    """A comma-separated list of dotted paths, each as its steps."""
    return [[step.strip() for step in path.split(".")] for path in items(text)]


def _paths(value: str) -> str:
    """An empty step leads to nothing in any event."""
    found = paths(value)
    if not found:
        raise ValueError("names no path")
    if not all(step for path in found for step in path):
        raise ValueError("has a path with an empty step")
    if not _is_utf8(value):
        raise ValueError("is not UTF-8")
    return value


Paths = Annotated[str, AfterValidator(_paths)]


def _host_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("is not HOST:PORT")
    return value


HostPort = Annotated[str, AfterValidator(_host_port)]


def split_host_port(value: str) -> tuple[str, int]:
    """`HOST:PORT` (an IPv6 host in brackets) as host and port."""
    host, _, port = value.rpartition(":")
    return host.strip("[]"), int(port)


def _standard_queue(url: str) -> str:
    """A FIFO queue refuses every message without a group: all dead letters would be held for ever."""
    if url.endswith(".fifo"):
        raise ValueError("is a FIFO queue, which takes no dead letters")
    return url


QueueUrl = Annotated[str, StringConstraints(pattern=r"^https?://\S+$"), AfterValidator(_standard_queue)]

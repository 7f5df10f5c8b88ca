"""The forms of address that settings take: where to listen, which queue to send to."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints


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

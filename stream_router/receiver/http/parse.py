"""Feeds llhttp, and says what is to be answered where it cannot go on."""

import logging
from typing import Any

import httptools

from stream_router.receiver.headers import RequestHeaders
from stream_router.receiver.http import answers
from stream_router.receiver.http.answers import Response

log = logging.getLogger(__name__)

HEAD_PIECE_BYTES, BODY_PIECE_BYTES = 4 * 1024, 64 * 1024


def parser(owner: object) -> Any:
    """A parser that calls `owner`'s `on_…` methods."""
    return httptools.HttpRequestParser(owner)


class _BodyAlone:
    """Tells `owner` of a body and its end: of its head `owner` was told before."""

    def __init__(self, owner: Any) -> None:
        self.on_body, self.on_message_complete = owner.on_body, owner.on_message_complete


def parser_of_body(owner: object) -> Any:
    """A parser for what follows a head that asked for another protocol; it is fed `head_of_body` first.

    Nobody here speaks another one, so the request is what its head says; llhttp would take its body for one of its own.
    """
    return parser(_BodyAlone(owner))


def head_of_body(headers: RequestHeaders) -> bytes:
    """A head that says of its body what these headers say, and nothing else; what follows the body is no request."""
    length = headers.get("content-length").encode()
    framing = (
        b"Transfer-Encoding: chunked" if "transfer-encoding" in headers else b"Content-Length: " + (length or b"0")
    )
    return b"POST / HTTP/1.1\r\nConnection: close\r\n" + framing + b"\r\n\r\n"


def path_of(target: bytes) -> str:
    """The path that a request asks for; proxies may send scheme and host before it (RFC 9112, 3.2.2)."""
    path = target.partition(b"?")[0]
    if path[:1] != b"/" and b"://" in path:
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return path.decode("latin-1")


def cut(data: bytes, *, in_head: bool) -> tuple[bytes, bytes]:
    """The piece of `data` that is parsed next, and the rest."""
    size = HEAD_PIECE_BYTES if in_head else BODY_PIECE_BYTES
    return data[:size], data[size:]


def feed(parser: Any, piece: bytes) -> tuple[bytes | None, Response | None]:
    """Parse a piece: what is left of it behind a head that asks for another protocol, else None; and the refusal."""
    try:
        parser.feed_data(piece)
    except httptools.HttpParserUpgrade as upgrade:
        return piece[upgrade.args[0] :], None
    except httptools.HttpParserCallbackError:
        # Whatever we did not foresee is our trouble, so the sender is told to come again.
        log.exception("a request failed in an unforeseen way", extra={"event": "request-failed"})
        return None, answers.TROUBLE
    except httptools.HttpParserError:
        return None, answers.BAD_REQUEST
    return None, None

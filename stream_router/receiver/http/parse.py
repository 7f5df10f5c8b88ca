"""Feeds llhttp, and says what is to be answered where it cannot go on."""

import logging
from typing import Any

import httptools

from stream_router.receiver.http import answers
from stream_router.receiver.http.answers import Response

log = logging.getLogger(__name__)

HEAD_PIECE_BYTES, BODY_PIECE_BYTES = 4 * 1024, 64 * 1024


def parser(owner: object) -> Any:
    """A parser that calls `owner`'s `on_…` methods."""
    return httptools.HttpRequestParser(owner)


def cut(data: bytes, *, in_head: bool) -> tuple[bytes, bytes]:
    """The piece of `data` that is parsed next, and the rest."""
    size = HEAD_PIECE_BYTES if in_head else BODY_PIECE_BYTES
    return data[:size], data[size:]


def feed(parser: Any, piece: bytes) -> tuple[bool, Response | None]:
    """Parse a piece: whether nothing may follow what it held, and the refusal where it is no HTTP."""
    try:
        parser.feed_data(piece)
    except httptools.HttpParserUpgrade:
        # Nobody here speaks another protocol: the request is answered as what it is, and nothing follows it.
        return True, None
    except httptools.HttpParserCallbackError:
        # Whatever we did not foresee is our trouble, so the sender is told to come again.
        log.exception("a request failed in an unforeseen way")
        return True, answers.TROUBLE
    except httptools.HttpParserError:
        return True, answers.BAD_REQUEST
    return False, None

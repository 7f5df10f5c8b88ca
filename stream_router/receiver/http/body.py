"""Reads a request's body: never more than allowed, never longer than allowed, never buffered without account."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Protocol

from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]

from stream_router.receiver.http import answers
from stream_router.receiver.http.answers import Response

WHOLE_UP_TO_BYTES = 16 * 1024
"""A body announced to be this small is read in one step. A larger one is counted as it comes, so that many senders who
announce much and send little hold no memory that others need."""
MAX_READING_BYTES = 48 * 1024 * 1024
"""Bytes of all larger bodies that are half read; who comes on top of it is told to come again."""


SWEEP_EVERY_S = 0.25


class Http(Protocol):
    """The part of granian's request that is used here."""

    def __call__(self) -> Any: ...
    def __aiter__(self) -> Any: ...


class NoBodyError(Exception):
    """The body cannot be had; `answer` says why."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


class BodyReader:
    """Reads bodies of at most `max_bytes`, each within `timeout_s` seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_bytes: int, timeout_s: float) -> None:
        self._loop = loop
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._whole_up_to_bytes = min(WHOLE_UP_TO_BYTES, max_bytes)
        self._reading_bytes = 0
        self._arriving: dict[Any, float] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def read(self, http: Http, length: str | None) -> Coroutine[Any, Any, bytes]:
        """The whole body; `length` is the Content-Length header. Raises NoBodyError."""
        if length is not None and length.isascii() and length.isdigit() and int(length) <= self._whole_up_to_bytes:
            return self._small(http)
        return self._large(http, length)

    async def _small(self, http: Http) -> bytes:
        """Hyper holds the sender to its Content-Length, so this cannot grow."""
        arriving = http()
        self._arriving[arriving] = self._loop.time() + self._timeout_s
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)
        try:
            body: bytes = await arriving
        except asyncio.CancelledError:
            raise NoBodyError(answers.CUT) from None
        except (ProtocolClosed, ProtocolError):
            raise NoBodyError(answers.BROKEN_OFF) from None
        finally:
            del self._arriving[arriving]
        return body

    async def _large(self, http: Http, length: str | None) -> bytes:
        size = _size(length)
        if size is not None and size > self._max_bytes:
            raise NoBodyError(answers.TOO_LARGE)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._counted(http, size)
        except TimeoutError:
            raise NoBodyError(answers.CUT) from None
        except (ProtocolClosed, ProtocolError):
            raise NoBodyError(answers.BROKEN_OFF) from None

    def _sweep(self) -> None:
        """Cut the bodies that take too long. One timer for all: a timer a request would cost more than its MAC."""
        self._sweeper = None
        now_s = self._loop.time()
        late = [arriving for arriving, deadline_s in self._arriving.items() if deadline_s <= now_s]
        for arriving in late:
            arriving.cancel()
        if self._arriving:
            self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)

    async def discard(self, http: Http, length: str | None) -> None:
        """Read a small body that nobody wants: closing on unread bytes would reset the answer away."""
        size = _size(length)
        if size and size <= WHOLE_UP_TO_BYTES:
            with contextlib.suppress(NoBodyError):
                await self._small(http)

    async def _counted(self, http: Http, announced: int | None) -> bytes:
        """Granian ends its iteration with one empty chunk, and shows a broken body (or a trailer) as one more."""
        chunks: list[bytes] = []
        size = 0
        ended = False
        try:
            async for chunk in http:
                if ended:
                    raise NoBodyError(answers.BROKEN_OFF)
                ended = not chunk
                size += len(chunk)
                self._reading_bytes += len(chunk)
                if size > self._max_bytes:
                    raise NoBodyError(answers.TOO_LARGE)
                if self._reading_bytes > MAX_READING_BYTES:
                    raise NoBodyError(answers.BUSY)
                chunks.append(chunk)
        finally:
            self._reading_bytes -= size
        if announced is not None and announced != size:
            raise NoBodyError(answers.BROKEN_OFF)
        return b"".join(chunks)


def _size(length: str | None) -> int | None:
    """Content-Length as a number; None where there is none (hyper refuses one that is malformed)."""
    return int(length) if length is not None and length.isascii() and length.isdigit() else None

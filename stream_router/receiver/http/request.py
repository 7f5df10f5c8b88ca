"""One request of a connection: its head, its body, its answer; and what answers it."""

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from stream_router.receiver.headers import RequestHeaders
from stream_router.receiver.http import answers
from stream_router.receiver.http.answers import Response

MAX_FIELDS = 100
DISCARD_UP_TO_BYTES = 64 * 1024
"""A body that nobody wants is read where it is announced this small: closing on unread bytes resets the answer away."""


_NONE = RequestHeaders()


class Limits(NamedTuple):
    """What one connection may cost."""

    header_bytes: int
    body_bytes: int
    header_timeout_s: float
    body_timeout_s: float
    write_timeout_s: float
    unknown_for_s: float
    """How long a connection may be open that never carried a request of a known sender."""
    answers_to_the_unknown: int = 16
    """How many answers such a connection may carry, health checks too: with the last it is closed."""
    waiting_answers: int = 16
    """Requests that may wait for theirs before nothing more is read."""

    @property
    def kept_s(self) -> int:
        """What a sender is told of how long its connection may be idle: a second less, for the way."""
        return int(self.header_timeout_s) - 1


class Handler(Protocol):
    """What answers requests."""

    closing: bool

    def begin(self, request: "Request") -> Response | None: ...
    def complete(self, request: "Request") -> Response | None: ...
    def answered(self, request: "Request", answer: Response) -> None: ...


class Request:
    """One request and, once it has one, its answer. The handler may `finish` it later."""

    __slots__ = (
        "_finished",
        "answer",
        "body",
        "fields",
        "headers",
        "keep_alive",
        "known",
        "method",
        "path",
        "source",
        "started_s",
        "url",
        "waited_s",
        "waits",
    )

    def __init__(
        self,
        finished: Callable[[], None],
        known: Callable[[], None],
        waited_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        """`finished` is called once it has its answer; `known` by the handler, once the sender is known.

        `waited_s` tells for how long its last bytes have been here; None where nobody knows.
        """
        self.waited_s = waited_s
        self._finished = finished
        self.known = known
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        """The head as it comes; `headers` once all of it is there."""
        self.headers = _NONE
        self.body = b""
        self.method = ""
        self.path = ""
        self.source = ""
        """The source to which it is counted."""
        self.started_s = time.monotonic()
        self.keep_alive = True
        self.waits = False
        """Whether its client sends the body once it was told to; one of HTTP/1.0 would take that for the answer."""
        self.answer: Response | None = None

    def read_head(self, max_bytes: int, version: Callable[[], str]) -> Response | None:
        """Why this head is refused, whatever it asks for; None where it is as it should be."""
        fields = self.fields
        if len(fields) > MAX_FIELDS:
            return answers.HEADERS_TOO_LARGE
        size_bytes = len(self.url)
        for name, value in fields:
            size_bytes += len(name) + len(value)
        if size_bytes > max_bytes:
            return answers.HEADERS_TOO_LARGE
        headers = self.headers = RequestHeaders(fields)
        if "transfer-encoding" in headers:
            encodings = [value.strip().lower() for value in headers.get_all("transfer-encoding")]
            if encodings != ["chunked"] or version() != "1.1":
                return answers.BAD_REQUEST
        self.waits = headers.get("expect").lower() == "100-continue" and version() == "1.1"
        hosts = len(headers.get_all("host"))
        if hosts > 1 or (not hosts and version() == "1.1"):
            return answers.BAD_REQUEST
        return None

    @property
    def announced_bytes(self) -> int | None:
        """The body's length, where the head tells it."""
        length = self.headers.get("content-length")
        # llhttp takes any number of zeros before it, `int` only so many digits.
        return int(length.lstrip("0") or 0) if length.isdigit() else None

    def too_large(self, max_bytes: int) -> Response | None:
        """The refusal of a body that is announced larger than may be."""
        return answers.TOO_LARGE if (self.announced_bytes or 0) > max_bytes else None

    @property
    def is_long(self) -> bool:
        """Whether its body is too long to be read for nothing, or nobody knows its length."""
        announced = self.announced_bytes
        return "transfer-encoding" in self.headers if announced is None else announced > DISCARD_UP_TO_BYTES

    def finish(self, answer: Response) -> None:
        """Answer it, once; does nothing where its connection is gone."""
        if self.answer is None:
            self.answer = answer
            self._finished()

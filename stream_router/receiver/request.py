"""One request: its head, its body, its answer. llhttp has parsed it; what that lets through is refused here."""

import functools
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stream_router.receiver import answers
from stream_router.receiver.answers import Response

if TYPE_CHECKING:
    from stream_router.receiver.connection import Connection

MAX_HEAD_BYTES = 16 * 1024
"""Of a head, and of what stands beside a body (chunks' sizes, trailers). A webhook's head has some 600 bytes, with the
cookies and traces of proxies before it a few thousand; other servers take 8 to 16 KiB."""
MAX_FIELDS = 100
"""Tiny fields take much memory, so they are counted too."""
MAX_BODY_DISCARDED_BYTES = 64 * 1024
"""A body that nobody wants is read where it is announced this small: closing on unread bytes resets the answer away."""
_SPACES = b" \t"


class Headers:
    """A request's headers as they came, whatever bytes their values hold; those are decoded where they are asked for.

    Names are in lower case. Values are read as latin-1, so that a second copy of a header is seen whatever is
    in it. Spaces behind a value are no part of it (RFC 9110, 5.5), and llhttp leaves them there.
    """

    __slots__ = ("_again", "_values")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """`fields` in their order."""
        values: dict[str, bytes] = {}
        again: list[tuple[str, bytes]] = []
        for name, value in fields:
            key = _key(name)
            if key in values:
                again.append((key, value))
            else:
                values[key] = value
        self._values = values
        self._again = again
        """What came more than once, but for the first of each name."""

    def get_all(self, key: str, /) -> list[str]:
        """Every value, in order."""
        value = self._values.get(key)
        if value is None:
            return []
        found = [value.rstrip(_SPACES).decode("latin-1")]
        if self._again:
            found += [value.rstrip(_SPACES).decode("latin-1") for name, value in self._again if name == key]
        return found

    def __contains__(self, key: str, /) -> bool:
        return key in self._values

    def get(self, key: str) -> str:
        """Return the first value; empty where there is no such header."""
        value = self._values.get(key)
        return "" if value is None else value.rstrip(_SPACES).decode("latin-1")


@functools.lru_cache(256)
def _key(name: bytes) -> str:
    """Return a header's name in lower case. Strangers choose them, so a bounded number is kept, of bounded length."""
    return name.decode("latin-1").lower()


class Request:
    """One request and, once it has one, its answer. Who answers it may `finish` it later."""

    __slots__ = (
        *("answer", "body", "connection", "expects", "fields", "headers", "keep_alive", "method", "path", "read_s"),
        *("source", "started_s", "url", "verified"),
    )

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        """The head as it comes; `headers` once all of it is there."""
        self.headers = _NONE
        self.body = b""
        self.method = self.path = self.source = ""
        """`source` is the one to which it is counted."""
        self.started_s = self.read_s = time.monotonic()
        """When its first bytes were parsed, and when its last ones were read: from then on its 900 ms count."""
        self.keep_alive = True
        self.expects = False
        """Whether its client sends the body once it was told to; one of HTTP/1.0 would take that for the answer."""
        self.verified = False
        """Whether its sender is known: how long strangers take is in no percentile."""
        self.answer: Response | None = None

    def read_head(self, version: str) -> Response | None:
        """Why this head is refused, whatever it asks for; None where it is as it should be."""
        fields = self.fields
        size_bytes = len(self.url)
        for name, value in fields:
            size_bytes += len(name) + len(value)
        if size_bytes > MAX_HEAD_BYTES or len(fields) > MAX_FIELDS:
            return answers.HEADERS_TOO_LARGE
        self.path = path_of(self.url)
        headers = self.headers = Headers(fields)
        if "transfer-encoding" in headers:
            encodings = [value.strip().lower() for value in headers.get_all("transfer-encoding")]
            if encodings != ["chunked"] or version != "1.1":
                return answers.BAD_REQUEST
        self.expects = version == "1.1" and headers.get("expect").lower() == "100-continue"
        hosts = len(headers.get_all("host"))
        return answers.BAD_REQUEST if hosts > 1 or (not hosts and version == "1.1") else None

    @property
    def announced_bytes(self) -> int | None:
        """The body's length, where the head tells it."""
        length = self.headers.get("content-length")
        # llhttp takes any number of zeros before it, `int` only so many digits.
        return int(length.lstrip("0") or 0) if length.isdigit() else None

    @property
    def is_long(self) -> bool:
        """Whether its body is too long to be read for nothing, or nobody knows its length."""
        announced = self.announced_bytes
        return "transfer-encoding" in self.headers if announced is None else announced > MAX_BODY_DISCARDED_BYTES

    def finish(self, answer: Response) -> None:
        """Answer it, once; does nothing where its connection is gone."""
        if self.answer is None:
            self.answer = answer
            self.connection.flush()


_NONE = Headers()


def path_of(target: bytes) -> str:
    """Return the path that a request asks for; proxies may send scheme and host before it (RFC 9112, 3.2.2)."""
    path = target.partition(b"?")[0]
    if path[:1] != b"/" and b"://" in path:
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return path.decode("latin-1")

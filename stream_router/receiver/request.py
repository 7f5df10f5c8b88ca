"""One HTTP request: its head, body and answer. llhttp parses it; this module refuses heads that llhttp accepts."""

import functools
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stream_router.receiver import answers
from stream_router.receiver.answers import Response

if TYPE_CHECKING:
    from stream_router.receiver.connection import Connection

MAX_HEAD_BYTES = 16 * 1024
"""Maximum bytes of a head, and of the framing of a body (sizes of chunks, trailers).

A webhook's head has some 600 bytes, and a few thousand with cookies and traces of proxies. Other servers allow 8 to
16 KiB.
"""
MAX_FIELDS = 100
"""Maximum number of fields in a head. MAX_HEAD_BYTES alone is not enough, since many tiny fields take much memory."""
MAX_BODY_DISCARDED_BYTES = 64 * 1024
"""Maximum announced bytes of an unwanted body that is still read.

Closing a connection with unread bytes resets it, and the client may then miss the answer.
"""
_SPACES = b" \t"


class Headers:
    """A request's headers, with whatever bytes their values hold. Names are in lower case.

    Values are decoded on access, as latin-1, which never fails. Spaces after a value are removed: they are not a part
    of it (RFC 9110, 5.5), but llhttp keeps them.
    """

    __slots__ = ("_repeated", "_values")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Store the fields, given in their order."""
        values: dict[str, bytes] = {}
        again: list[tuple[str, bytes]] = []
        for name, value in fields:
            key = _lower_name(name)
            if key in values:
                again.append((key, value))
            else:
                values[key] = value
        self._values = values
        self._repeated = again
        """Fields whose name had occurred before, in order."""

    def get_all(self, key: str, /) -> list[str]:
        """Return every value of the header, in order."""
        value = self._values.get(key)
        if value is None:
            return []
        values = [value.rstrip(_SPACES).decode("latin-1")]
        if self._repeated:
            values += [value.rstrip(_SPACES).decode("latin-1") for name, value in self._repeated if name == key]
        return values

    def __contains__(self, key: str, /) -> bool:
        return key in self._values

    def get(self, key: str) -> str:
        """Return the first value; "" if there is no such header."""
        value = self._values.get(key)
        return "" if value is None else value.rstrip(_SPACES).decode("latin-1")


@functools.lru_cache(256)
def _lower_name(name: bytes) -> str:
    """Return a header's name in lower case. The cache is bounded, since strangers choose the names."""
    return name.decode("latin-1").lower()


class Request:
    """A request and, once `finish` was called, its answer."""

    __slots__ = (
        *("answer", "body", "connection", "expects", "fields", "headers", "keep_alive", "method", "path", "read_s"),
        *("source", "started_s", "url", "verified"),
    )

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        """Fields of the head parsed so far; `headers` holds them once the head is complete."""
        self.headers = _NONE
        self.body = b""
        self.method = self.path = self.source = ""
        """Method, path, and the name of the source under which the request is counted."""
        self.started_s = self.read_s = time.monotonic()
        """Times at which the first bytes were parsed and the last bytes were read.

        The 900 ms to answer begin at the latter.
        """
        self.keep_alive = True
        self.expects = False
        """Whether the client waits for 100 Continue. Never true for HTTP/1.0, where that would count as the answer."""
        self.verified = False
        """Whether the sender was verified. Latencies of other requests are not recorded."""
        self.answer: Response | None = None

    def read_head(self, version: str) -> Response | None:
        """Read the complete head. Return the answer if the head is refused, whatever its path; None if it is valid."""
        fields = self.fields
        size_bytes = len(self.url)
        for name, value in fields:
            size_bytes += len(name) + len(value)
        if size_bytes > MAX_HEAD_BYTES or len(fields) > MAX_FIELDS:
            return answers.HEADERS_TOO_LARGE
        self.path = parse_path(self.url)
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
        """Length of the body that the head states; None if it states none."""
        length = self.headers.get("content-length")
        # llhttp accepts any number of leading zeros; `int` refuses texts of more than 4,300 digits.
        return int(length.lstrip("0") or 0) if length.isdigit() else None

    @property
    def is_long(self) -> bool:
        """Whether the body is too long to be read and discarded, or its length is unknown."""
        announced = self.announced_bytes
        return "transfer-encoding" in self.headers if announced is None else announced > MAX_BODY_DISCARDED_BYTES

    def finish(self, answer: Response) -> None:
        """Answer the request, once. Do nothing further if its connection is closed."""
        if self.answer is None:
            self.answer = answer
            self.connection.flush()


_NONE = Headers()


def parse_path(target: bytes) -> str:
    """Return the path of a request's target. Proxies may send scheme and host before the path (RFC 9112, 3.2.2)."""
    path = target.partition(b"?")[0]
    if path[:1] != b"/" and b"://" in path:
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return path.decode("latin-1")

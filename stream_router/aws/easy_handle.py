"""One of libcurl's easy handles: what its current call has collected, and what libcurl may not do by itself."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pycurl

from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import Target
from stream_router.errors import Answer

Done = Callable[[Answer], None]


class Easy:
    """A pooled easy handle and what its current call has collected."""

    __slots__ = (
        "body",
        "credentials",
        "curl",
        "done",
        "header_lines",
        "max_answer_bytes",
        "path",
        "sent",
        "size_bytes",
        "skewed",
        "started",
        "target",
        "timeout_ms",
    )

    def __init__(self, curl: pycurl.Curl, target: Target, max_answer_bytes: int) -> None:
        self.curl = curl
        self.max_answer_bytes = max_answer_bytes
        self.target = target
        self.path = ""
        self.credentials: Credentials | None = None
        self.skewed = False
        self.body: list[bytes] = []
        self.header_lines: list[bytes] = []
        self.done: Done | None = None
        self.started = 0.0
        self.timeout_ms = 0
        self.sent = False
        curl.setopt(pycurl.PREREQFUNCTION, self.may_send)
        self.size_bytes = 0
        curl.setopt(pycurl.WRITEFUNCTION, self._take)
        curl.setopt(pycurl.HEADERFUNCTION, self.header_lines.append)

    def forget_name(self) -> None:
        """Let its next call ask for the host's address anew.

        libcurl takes "there is no such host" for true for half a minute. A name server that says so while it is being
        replaced is back after a second.
        """
        url = urlsplit(self.target.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        self.curl.setopt(pycurl.RESOLVE, [f"-{url.hostname}:{port}"])

    def may_send(self, *_: object) -> int:
        """Asked by libcurl before it sends a request: once is allowed.

        Left alone it sends again by itself, up to five times, where a connection that it kept is reset before a byte
        of the answer came; the service may have acted on every one. So that call ends unanswered instead.
        """
        if self.sent:
            return pycurl.PREREQFUNC_ABORT
        self.sent = True
        return pycurl.PREREQFUNC_OK

    def _take(self, chunk: bytes) -> int | None:
        """A piece of the answer; 0, which ends the call, where it grows beyond what any answer is."""
        self.size_bytes += len(chunk)
        if self.size_bytes > self.max_answer_bytes:
            return 0
        self.body.append(chunk)
        return None

"""Signed AWS calls over libcurl: one multi handle with kept connections and many calls in flight, without a thread.

`SignedCalls` is the core, and two subclasses drive it. The owner of a `Transport` calls its `pump`: the child does so
between the stages of its pipeline. A `LoopTransport` (`loop_transport.py`) runs on the receiver's asyncio loop. Neither
this module nor libcurl retries a call: each retry is a new call of the owner. A call ends in exactly one `Answer`.
"""

import select
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import pycurl

from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import CallEndpoint
from stream_router.aws_answers import Answer, parse_http_date, read_refusal
from stream_router.aws_error_codes import INVALID_CREDENTIALS

CONNECT_TIMEOUT_MS = 3_000
MAX_UNCORRECTED_SKEW_S = 30.0
"""Clock error in seconds above which calls are signed by AWS's clock instead of the local one.

AWS refuses a signature whose time is 5 minutes off, SQS one that is 15 minutes off.
"""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Maximum size of an answer, so that an endpoint that sends endlessly cannot fill the memory.

Only an answer to ReceiveMessage may be larger, and its caller sets a higher limit.
"""

RESOLVE_INTERVAL_S = 1.0
"""Minimum number of seconds between two attempts to resolve a host name that was not found."""

RESEND_PREVENTED = "the kept connection broke; sent once, unanswered"
"""Error of a call that libcurl would have sent a second time."""

LINGER_S = 0.0005
"""Seconds for which `pump` waits for further answers after the first.

Each wake-up checks every call in flight, so answers that are handled singly cost twice the CPU (benchmarks/child.py).
"""

OnAnswer = Callable[[Answer], None]


class PooledHandle:
    """A pooled easy handle of libcurl, and the answer of its current call as far as it has arrived."""

    __slots__ = (
        "body",
        "credentials",
        "curl",
        "endpoint",
        "header_lines",
        "is_sent",
        "is_skew_corrected",
        "max_answer_bytes",
        "on_answer",
        "path",
        "size_bytes",
        "timeout_ms",
    )

    def __init__(self, curl: pycurl.Curl, endpoint: CallEndpoint, max_answer_bytes: int) -> None:
        self.curl = curl
        self.max_answer_bytes = max_answer_bytes
        self.endpoint = endpoint
        self.path = ""
        self.credentials: Credentials | None = None
        """Credentials with which libcurl signs the handle's calls at present."""
        self.is_skew_corrected = False
        """Whether the present headers hold AWS's time."""
        self.body: list[bytes] = []
        self.header_lines: list[bytes] = []
        self.on_answer: OnAnswer | None = None
        self.timeout_ms = 0
        self.is_sent = False
        """Whether libcurl has begun to send the current call."""
        self.size_bytes = 0
        curl.setopt(pycurl.PREREQFUNCTION, self.allow_one_send)
        curl.setopt(pycurl.WRITEFUNCTION, self._store_chunk)
        curl.setopt(pycurl.HEADERFUNCTION, self.header_lines.append)

    def forget_address(self) -> None:
        """Make the handle's next call resolve the host name again.

        libcurl remembers for half a minute that a host was not found. A name server that is being replaced gives that
        answer for about a second only.
        """
        url = urlsplit(self.endpoint.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        self.curl.setopt(pycurl.RESOLVE, [f"-{url.hostname}:{port}"])

    def allow_one_send(self, *_: object) -> int:
        """Allow libcurl to send the request once, and abort the call if it sends a second time.

        libcurl calls this before it sends. If a kept connection is reset before the first byte of the answer, libcurl
        would send the request again, up to five times. The service may have acted on each of those requests, so the
        call ends unanswered instead.
        """
        if self.is_sent:
            return pycurl.PREREQFUNC_ABORT
        self.is_sent = True
        return pycurl.PREREQFUNC_OK

    def _store_chunk(self, chunk: bytes) -> int | None:
        """Store a piece of the answer's body. Return 0, which ends the call, if the answer exceeds its limit."""
        self.size_bytes += len(chunk)
        if self.size_bytes > self.max_answer_bytes:
            return 0
        self.body.append(chunk)
        return None


class SignedCalls:
    """Signed calls that are sent without blocking. Not thread-safe. A subclass lets them progress."""

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        region: str,
        ca_bundle: str,
        max_connections: int = 64,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._credentials = credentials
        self.on_credentials_refused: Callable[[], None] = lambda: None
        """Callback that is called if AWS refuses the credentials as invalid or expired."""
        self._region = region
        self._ca_bundle = ca_bundle
        self._idle: dict[CallEndpoint, list[PooledHandle]] = {}
        self._busy: dict[pycurl.Curl, PooledHandle] = {}
        self._failed: list[tuple[OnAnswer, str]] = []
        """Calls that could not begin, or broke with their handle, and the reasons; delivered with the next answers."""
        self.skew_s = 0.0
        """Seconds added to the local clock when signing, learned from an answer's Date."""
        self._last_resolve_s = float("-inf")
        self._max_connections = max_connections
        self._multi = self._new_multi()

    def _new_multi(self) -> pycurl.CurlMulti:
        multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_MAXCONNECTS, self._max_connections)
        multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_NOTHING)
        return multi

    @property
    def in_flight(self) -> int:
        """Number of calls that were started and are not answered yet."""
        return len(self._busy) + len(self._failed)

    def start(self, endpoint: CallEndpoint, body: bytes, timeout_s: float, on_answer: OnAnswer, path: str = "") -> None:
        """Begin one call. `on_answer` is called with its answer later, at most `timeout_s` seconds from now.

        `path`, for example an object's key, is appended to the endpoint's URL. Raises nothing: a call that cannot be
        sent gets an answer too, since its caller waits for one.
        """
        try:
            self._begin(endpoint, body, timeout_s, on_answer, path)
        except (pycurl.error, MemoryError, ValueError) as error:
            self._failed.append((on_answer, f"not sent: {type(error).__name__}"))

    def _begin(self, endpoint: CallEndpoint, body: bytes, timeout_s: float, on_answer: OnAnswer, path: str) -> None:
        """Sign the call and hand it to libcurl. Raises pycurl.error, MemoryError or ValueError if that fails."""
        pool = self._idle.get(endpoint)
        handle = pool.pop() if pool else self._new_handle(endpoint)
        curl = handle.curl
        self._sign(handle)
        if path != handle.path:
            handle.path = path
            curl.setopt(pycurl.URL, endpoint.url + path)
        curl.setopt(pycurl.POSTFIELDS, body)
        timeout_ms = max(1, int(timeout_s * 1000))
        if timeout_ms != handle.timeout_ms:
            handle.timeout_ms = timeout_ms
            curl.setopt(pycurl.TIMEOUT_MS, timeout_ms)
        handle.body.clear()
        handle.size_bytes = 0
        handle.header_lines.clear()
        handle.on_answer, handle.is_sent = on_answer, False
        self._multi.add_handle(curl)
        self._busy[curl] = handle

    def close(self) -> None:
        """Close every connection. Calls in flight are abandoned: their `on_answer` is never called."""
        for curl in list(self._busy):
            self._multi.remove_handle(curl)
            curl.close()
        for pool in self._idle.values():
            for handle in pool:
                handle.curl.close()
        self._busy.clear()
        self._failed.clear()
        self._idle.clear()
        self._close_multi(self._multi)

    def _close_multi(self, multi: pycurl.CurlMulti) -> None:
        multi.close()

    def _new_handle(self, endpoint: CallEndpoint) -> PooledHandle:
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, endpoint.url)
        # libcurl sends a body from memory only as a POST. CUSTOMREQUEST then replaces the method, for example by PUT.
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.CUSTOMREQUEST, endpoint.method)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.CAINFO, self._ca_bundle)
        curl.setopt(pycurl.AWS_SIGV4, f"aws:amz:{self._region}:{endpoint.service}")
        return PooledHandle(curl, endpoint, self._max_answer_bytes)

    def _sign(self, handle: PooledHandle) -> None:
        """Set the inputs of the signature if any of them has changed since the handle's last call.

        libcurl signs with the local time. If that is wrong, an X-Amz-Date header with AWS's time replaces it.
        """
        credentials = self._credentials()
        is_skewed = self.skew_s != 0.0
        if credentials is handle.credentials and not is_skewed and not handle.is_skew_corrected:
            return
        handle.credentials, handle.is_skew_corrected = credentials, is_skewed
        handle.curl.setopt(pycurl.USERNAME, credentials.access_key)
        handle.curl.setopt(pycurl.PASSWORD, credentials.secret_key)
        # The empty Expect keeps libcurl from waiting for 100 Continue before it sends a large body.
        headers = [*handle.endpoint.headers, "Expect:"]
        if credentials.token:
            headers.append(f"X-Amz-Security-Token: {credentials.token}")
        if is_skewed:
            aws_time = time.gmtime(time.time() + self.skew_s)
            headers.append(f"X-Amz-Date: {time.strftime('%Y%m%dT%H%M%SZ', aws_time)}")
        handle.curl.setopt(pycurl.HTTPHEADER, headers)

    def _deliver(self) -> int:
        """Call `on_answer` of every call that has ended, and return their number.

        The first exception of a callback is raised once all answers are delivered.
        """
        ended = [(on_answer, Answer(0, b"", {}, reason)) for on_answer, reason in self._failed]
        self._failed = []
        queued_count = 1
        while queued_count:
            queued_count, finished, failed = self._multi.info_read()
            ended += [self._finish(curl, "") for curl in finished]
            for curl, code, text in failed:
                if code == pycurl.E_COULDNT_RESOLVE_HOST:
                    self._resolve_again(self._busy[curl])
                # A request that was never sent has had no effect at the service, so it does not count as timed out.
                timed_out = code == pycurl.E_OPERATION_TIMEDOUT and self._busy[curl].is_sent
                is_resend = code == pycurl.E_ABORTED_BY_CALLBACK
                error = RESEND_PREVENTED if is_resend else f"curl {code}: {text or 'failed'}"
                ended.append(self._finish(curl, error, timed_out=timed_out))
        callback_errors: list[Exception] = []
        for on_answer, answer in ended:
            try:
                on_answer(answer)
            except Exception as error:  # noqa: BLE001 - raised below, once all answers are delivered
                callback_errors.append(error)
        if callback_errors:
            raise callback_errors[0]
        return len(ended)

    def _resolve_again(self, handle: PooledHandle) -> None:
        """Make the handle's next call resolve its host name again, at most once per RESOLVE_INTERVAL_S."""
        now_s = time.monotonic()
        if now_s - self._last_resolve_s >= RESOLVE_INTERVAL_S:
            self._last_resolve_s = now_s
            handle.forget_address()

    def _finish(self, curl: pycurl.Curl, error: str, *, timed_out: bool = False) -> tuple[OnAnswer, Answer]:
        """Return the callback and the answer of a call that has ended, and put its handle back into the pool."""
        self._multi.remove_handle(curl)
        handle = self._busy.pop(curl)
        on_answer, handle.on_answer = handle.on_answer, None
        assert on_answer is not None
        answer = self._read_answer(handle, error)
        if timed_out:
            answer = answer._replace(timed_out=True)
        curl.setopt(pycurl.POSTFIELDS, b"")  # otherwise the handle keeps this body until its next call
        self._idle.setdefault(handle.endpoint, []).append(handle)
        return on_answer, answer

    def _read_answer(self, handle: PooledHandle, error: str) -> Answer:
        """Return the answer that a handle has received; one with status 0 if `error` is not empty."""
        status, headers = 0, dict[str, str]()
        try:
            status = 0 if error else int(handle.curl.getinfo(pycurl.RESPONSE_CODE))
            # A successful answer needs its body alone, except that of a stored object, which needs its headers.
            if status != 200 or handle.endpoint.method == "PUT":
                headers = _parse_headers(handle.header_lines)
            if status in (400, 403):
                self._learn_from_refusal(Answer(status, b"".join(handle.body), headers, ""))
        except Exception as broken:  # noqa: BLE001 - whatever foreign headers contain, the call ends in one answer
            status, headers, error = 0, {}, f"unreadable headers: {type(broken).__name__}"
        return Answer(status, b"".join(handle.body), headers, error)

    def _learn_from_refusal(self, answer: Answer) -> None:
        """Report credentials that AWS refused, and sign by AWS's clock from now on if the local clock is wrong."""
        if read_refusal(answer).code in INVALID_CREDENTIALS:
            self.on_credentials_refused()
        if aws_time_s := parse_http_date(answer.headers.get("date", "")):
            skew_s = aws_time_s - time.time()
            self.skew_s = skew_s if abs(skew_s) > MAX_UNCORRECTED_SKEW_S else 0.0


def _parse_headers(lines: list[bytes]) -> dict[str, str]:
    """Return the headers by lower-case name. The status line and the blank line have no colon and are skipped."""
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


class Transport(SignedCalls):
    """Signed calls that progress when their owner calls `pump`."""

    def pump(self, wait_s: float = 0.0, others: Sequence[int] = ()) -> Sequence[int]:
        """Let every call progress, deliver the answers, and return those of `others` that can be read.

        `others` are file descriptors. If no call is answered yet, wait up to `wait_s` for an answer or for one of
        `others`, then LINGER_S for further answers.
        """
        if self._busy or self._failed:
            self._multi.perform()
            if self._deliver():
                wait_s = 0.0
        if wait_s <= 0:
            return ()
        return self._wait(wait_s, others)

    def _wait(self, wait_s: float, others: Sequence[int]) -> Sequence[int]:
        """Wait for an answer or for one of `others`, deliver answers, and return the readable ones of `others`."""
        if not self._busy:
            return select.select(others, (), (), wait_s)[0]
        reading, writing, failing = self._multi.fdset()
        next_timer_ms = self._multi.timeout()
        if next_timer_ms >= 0:
            wait_s = min(wait_s, next_timer_ms / 1000)
        readable, writable, failed = select.select([*reading, *others], writing, failing, wait_s)
        ready_count = len(readable) + len(writable) + len(failed)
        ready = [fd for fd in others if fd in readable] if ready_count else []
        # Any other ready socket is one of libcurl's, so an answer may have arrived.
        has_answers = ready_count > len(ready)
        if has_answers and len(self._busy) > 1:
            time.sleep(LINGER_S)
        self._multi.perform()
        self._deliver()
        return ready

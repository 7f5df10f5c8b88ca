"""Signed AWS calls over libcurl: one multi handle with kept connections and many calls in flight, without a thread.

`SignedCalls` is the core. A `Transport` is pumped by its owner: the child, between the stages of its pipeline. A
`LoopTransport` (`loop_transport.py`) runs on an asyncio loop, that of the receiver. Neither this module nor libcurl
retries: the caller makes every attempt. A call ends in exactly one `Answer`.
"""

import select
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import pycurl

from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import CallEndpoint
from stream_router.aws_answers import Answer, parse_http_date, refusal
from stream_router.aws_error_codes import CREDENTIALS_OVER

CONNECT_TIMEOUT_MS = 3_000
SKEW_NOTICED_S = 30.0
"""Clock error in seconds above which the clock is corrected. AWS refuses a signature that is 5 minutes off, SQS 15."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Maximum size of an answer, so that an endpoint that sends endlessly cannot fill the memory.

Of the answers that are read here, only that of ReceiveMessage may be larger.
"""

NAMES_ASKED_EVERY_S = 1.0
"""Minimum number of seconds between two occasions on which a host that was not found is resolved again."""

SENT_ONCE = "the kept connection broke; sent once, unanswered"
"""Error of a call that libcurl would have sent again."""

LINGER_S = 0.0005
"""Seconds for which `pump` waits for further answers after the first.

Each wake-up checks every call in flight, so answers that are taken singly cost twice the CPU (benchmarks/child.py).
"""

Done = Callable[[Answer], None]


class Easy:
    """A pooled easy handle, and the answer of its current call as far as it has arrived."""

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
        "target",
        "timeout_ms",
    )

    def __init__(self, curl: pycurl.Curl, target: CallEndpoint, max_answer_bytes: int) -> None:
        self.curl = curl
        self.max_answer_bytes = max_answer_bytes
        self.target = target
        self.path = ""
        self.credentials: Credentials | None = None
        self.skewed = False
        self.body: list[bytes] = []
        self.header_lines: list[bytes] = []
        self.done: Done | None = None
        self.timeout_ms = 0
        self.sent = False
        curl.setopt(pycurl.PREREQFUNCTION, self.may_send)
        self.size_bytes = 0
        curl.setopt(pycurl.WRITEFUNCTION, self._take)
        curl.setopt(pycurl.HEADERFUNCTION, self.header_lines.append)

    def forget_name(self) -> None:
        """Make the handle's next call resolve the host again.

        libcurl caches "there is no such host" for half a minute. A name server that answers so while it is being
        replaced is back after a second.
        """
        url = urlsplit(self.target.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        self.curl.setopt(pycurl.RESOLVE, [f"-{url.hostname}:{port}"])

    def may_send(self, *_: object) -> int:
        """Return whether libcurl may send the request: only once a call. libcurl calls this before it sends.

        If a kept connection is reset before the first byte of the answer, libcurl would send the request again, up to
        five times. The service may have acted on each of those requests, so the call ends unanswered instead.
        """
        if self.sent:
            return pycurl.PREREQFUNC_ABORT
        self.sent = True
        return pycurl.PREREQFUNC_OK

    def _take(self, chunk: bytes) -> int | None:
        """Store a piece of the answer. Return 0, which ends the call, if the answer exceeds its limit."""
        self.size_bytes += len(chunk)
        if self.size_bytes > self.max_answer_bytes:
            return 0
        self.body.append(chunk)
        return None


class SignedCalls:
    """Signed calls that are sent without blocking. Not thread-safe. A subclass drives them."""

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
        self.credentials_refused: Callable[[], None] = lambda: None
        """Callback for an answer with which AWS refuses the credentials as no longer valid."""
        self._region = region
        self._ca_bundle = ca_bundle
        self._idle: dict[CallEndpoint, list[Easy]] = {}
        self._busy: dict[pycurl.Curl, Easy] = {}
        self._unanswered: list[tuple[Done, str]] = []
        """Calls that could not begin, or broke with their handle, and the reasons; delivered with the next answers."""
        self.skew_s = 0.0
        """Seconds added to the local clock when signing, learned from an answer's Date."""
        self._asked_s = float("-inf")
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
        return len(self._busy) + len(self._unanswered)

    def start(self, target: CallEndpoint, body: bytes, timeout_s: float, done: Done, path: str = "") -> None:
        """Begin one call. `done` is called with its answer later, at most `timeout_s` from now.

        `path`, for example an object's key, is appended to the target's URL. Raises nothing: without an answer the call
        would occupy its place at the caller for ever.
        """
        try:
            self._begin(target, body, timeout_s, done, path)
        except (pycurl.error, MemoryError, ValueError) as error:
            self._unanswered.append((done, f"not sent: {type(error).__name__}"))

    def _begin(self, target: CallEndpoint, body: bytes, timeout_s: float, done: Done, path: str) -> None:
        pool = self._idle.get(target)
        easy = pool.pop() if pool else self._new(target)
        curl = easy.curl
        self._sign(easy)
        if path != easy.path:
            easy.path = path
            curl.setopt(pycurl.URL, target.url + path)
        curl.setopt(pycurl.POSTFIELDS, body)
        timeout_ms = max(1, int(timeout_s * 1000))
        if timeout_ms != easy.timeout_ms:
            easy.timeout_ms = timeout_ms
            curl.setopt(pycurl.TIMEOUT_MS, timeout_ms)
        easy.body.clear()
        easy.size_bytes = 0
        easy.header_lines.clear()
        easy.done, easy.sent = done, False
        self._multi.add_handle(curl)
        self._busy[curl] = easy

    def close(self) -> None:
        """Close every connection. Calls in flight are abandoned: their `done` is never called."""
        for curl in list(self._busy):
            self._multi.remove_handle(curl)
            curl.close()
        for pool in self._idle.values():
            for easy in pool:
                easy.curl.close()
        self._busy.clear()
        self._unanswered.clear()
        self._idle.clear()
        self._close(self._multi)

    def _close(self, multi: pycurl.CurlMulti) -> None:
        multi.close()

    def _new(self, target: CallEndpoint) -> Easy:
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, target.url)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.CUSTOMREQUEST, target.method)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.CAINFO, self._ca_bundle)
        curl.setopt(pycurl.AWS_SIGV4, f"aws:amz:{self._region}:{target.service}")
        return Easy(curl, target, self._max_answer_bytes)

    def _sign(self, easy: Easy) -> None:
        """Set the inputs of the signature if any of them has changed since the handle's last call."""
        credentials = self._credentials()
        skewed = self.skew_s != 0.0
        if credentials is easy.credentials and not skewed and not easy.skewed:
            return
        easy.credentials, easy.skewed = credentials, skewed
        easy.curl.setopt(pycurl.USERNAME, credentials.access_key)
        easy.curl.setopt(pycurl.PASSWORD, credentials.secret_key)
        headers = [*easy.target.headers, "Expect:"]
        if credentials.token:
            headers.append(f"X-Amz-Security-Token: {credentials.token}")
        if skewed:
            now = time.gmtime(time.time() + self.skew_s)
            headers.append(f"X-Amz-Date: {time.strftime('%Y%m%dT%H%M%SZ', now)}")
        easy.curl.setopt(pycurl.HTTPHEADER, headers)

    def _deliver(self) -> int:
        """Deliver the answers that are complete, and return their number. A callback that raises delays no other."""
        ended, self._unanswered = [(done, Answer(0, b"", {}, why)) for done, why in self._unanswered], []
        queued = 1
        while queued:
            queued, finished, failed = self._multi.info_read()
            ended += [self._end(curl, "") for curl in finished]
            for curl, code, text in failed:
                again = code == pycurl.E_ABORTED_BY_CALLBACK
                if code == pycurl.E_COULDNT_RESOLVE_HOST:
                    self._not_found(self._busy[curl])
                timed_out = code == pycurl.E_OPERATION_TIMEDOUT and self._busy[curl].sent
                error = SENT_ONCE if again else f"curl {code}: {text or 'failed'}"
                ended.append(self._end(curl, error, timed_out=timed_out))
        troubles: list[Exception] = []
        for done, answer in ended:
            try:
                done(answer)
            except Exception as error:  # noqa: BLE001 - raised below, once all answers are delivered
                troubles.append(error)
        if troubles:
            raise troubles[0]
        return len(ended)

    def _not_found(self, easy: Easy) -> None:
        now_s = time.monotonic()
        if now_s - self._asked_s >= NAMES_ASKED_EVERY_S:
            self._asked_s = now_s
            easy.forget_name()

    def _end(self, curl: pycurl.Curl, error: str, *, timed_out: bool = False) -> tuple[Done, Answer]:
        self._multi.remove_handle(curl)
        easy = self._busy.pop(curl)
        done, easy.done = easy.done, None
        assert done is not None
        answer = self._answer(easy, error)
        if timed_out:
            answer = answer._replace(timed_out=True)
        curl.setopt(pycurl.POSTFIELDS, b"")  # otherwise the handle keeps this body until its next call
        self._idle.setdefault(easy.target, []).append(easy)
        return done, answer

    def _answer(self, easy: Easy, error: str) -> Answer:
        status, headers = 0, dict[str, str]()
        try:
            status = 0 if error else int(easy.curl.getinfo(pycurl.RESPONSE_CODE))
            # A successful answer needs its body alone, except that of a stored object, which needs its headers.
            headers = _headers(easy.header_lines) if status != 200 or easy.target.method == "PUT" else {}
            if status in (400, 403):
                self._learn(Answer(status, b"".join(easy.body), headers, ""))
        except Exception as broken:  # noqa: BLE001 - whatever foreign headers contain, the call ends in one answer
            status, headers, error = 0, {}, f"unreadable headers: {type(broken).__name__}"
        return Answer(status, b"".join(easy.body), headers, error)

    def _learn(self, answer: Answer) -> None:
        """Report credentials that AWS refused, and sign by the service's clock if the local clock is wrong."""
        if refusal(answer).code in CREDENTIALS_OVER:
            self.credentials_refused()
        if served := parse_http_date(answer.headers.get("date", "")):
            skew = served - time.time()
            self.skew_s = skew if abs(skew) > SKEW_NOTICED_S else 0.0


def _headers(lines: list[bytes]) -> dict[str, str]:
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


class Transport(SignedCalls):
    """Signed calls that progress when their owner calls `pump`."""

    def pump(self, wait_s: float = 0.0, others: Sequence[int] = ()) -> Sequence[int]:
        """Let every call progress, deliver the answers, and return those of `others` that can be read.

        `others` are file descriptors. If no call is answered yet, wait up to `wait_s` for an answer or for one of
        `others`, then LINGER_S for further answers.
        """
        if self._busy or self._unanswered:
            self._multi.perform()
            if self._deliver():
                wait_s = 0.0
        if wait_s <= 0:
            return ()
        return self._wait(wait_s, others)

    def _wait(self, wait_s: float, others: Sequence[int]) -> Sequence[int]:
        if not self._busy:
            return select.select(others, (), (), wait_s)[0]
        reading, writing, failing = self._multi.fdset()
        soonest_ms = self._multi.timeout()
        if soonest_ms >= 0:
            wait_s = min(wait_s, soonest_ms / 1000)
        readable, writable, failed = select.select([*reading, *others], writing, failing, wait_s)
        answered = len(readable) + len(writable) + len(failed)
        ready = [fd for fd in others if fd in readable] if answered else []
        if answered > len(ready) and len(self._busy) > 1:
            time.sleep(LINGER_S)
        self._multi.perform()
        self._deliver()
        return ready

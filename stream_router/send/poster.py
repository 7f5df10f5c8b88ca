"""Posts signed webhooks at a rate, or as fast as they are answered, the way a patient sender does."""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import pycurl

from stream_router.send.signing import Sign
from stream_router.settings import types

CONNECTIONS = 48
TRY_AGAIN_S = 0.5
LOOK_S = 0.05
"""How often at least it is asked whether to go on."""
ANSWER_TIMEOUT_S = 5.0
_NO_TEXT = b"\xef\xbb\xbf \t\r\n"
"""What may stand before the first character of XML: a byte order mark, and space."""
ANSWER_KEPT_BYTES = 4 * 1024 * 1024
"""More than a receiver of ours answers to the largest array; what another server sends on is not kept."""


class Webhook(NamedTuple):
    """One delivery: its id, its body."""

    delivery_id: str
    body: bytes


class Answered(NamedTuple):
    """How a delivery ended: the last status, the answer's body, milliseconds from its first attempt to its end.

    Status 0 is no answer; `body` then says why. `late_ms` is how long after it was due it was first sent: 0 where no
    rate is asked for.
    """

    webhook: Webhook
    status: int
    body: bytes
    took_ms: float
    late_ms: float = 0.0


class _Begun(NamedTuple):
    """A delivery that was sent at least once: when for the first time, and how long after it was due."""

    webhook: Webhook
    first_s: float
    late_s: float


class _Attempt:
    """A connection's easy handle and the delivery that is on it."""

    def __init__(self, url: str, ca: str) -> None:
        self.curl = pycurl.Curl()
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.POST, 1)
        self.curl.setopt(pycurl.NOSIGNAL, 1)
        self.curl.setopt(pycurl.TIMEOUT_MS, int(ANSWER_TIMEOUT_S * 1000))
        if types.is_loopback_host(urlsplit(url).hostname or ""):
            self.curl.setopt(pycurl.PROXY, "")  # the environment's leads away from this machine
        if ca:
            self.curl.setopt(pycurl.CAINFO, ca)
        self.delivery = _Begun(Webhook("", b""), 0.0, 0.0)
        self.secret = b""
        self.chunks: list[bytes] = []
        self.kept_bytes = 0
        self.curl.setopt(pycurl.WRITEFUNCTION, self._took)

    def _took(self, piece: bytes) -> None:
        if self.kept_bytes < ANSWER_KEPT_BYTES:
            self.chunks.append(piece)
            self.kept_bytes += len(piece)

    def answered(self) -> bytes:
        """The answer's body, without the secret where that was sent as it is: what is answered is shown to people."""
        body = b"".join(self.chunks)
        return body.replace(self.secret, b"(hidden)") if self.secret else body


class Poster:
    """Sends deliveries to a receiver and hands each one's end to `done`, from `run`'s thread.

    For `give_up_s` one that is answered 503, or not at all, is sent again: always with the same delivery id.
    """

    def __init__(self, url: str, sign: Sign, done: Callable[[Answered], None], give_up_s: float, ca: str = "") -> None:
        self._sign = sign
        self._done = done
        self._give_up_s = give_up_s
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, CONNECTIONS)
        self._idle = [_Attempt(url, ca) for _ in range(CONNECTIONS)]
        self._busy: dict[pycurl.Curl, _Attempt] = {}
        self._again: list[tuple[float, _Begun]] = []
        self.sent = 0
        """Deliveries that were sent at least once."""

    @property
    def under_way(self) -> bool:
        """Whether a delivery was begun that has not ended."""
        return bool(self._busy or self._again)

    def run(self, webhooks: Iterator[Webhook], rate: float, go_on: Callable[[], bool]) -> None:
        """Send them all (`rate` a second, 0: as fast as they are answered) and return when each has ended.

        Stops early, with what is under way unanswered, as soon as `go_on` says no.
        """
        due_s, exhausted = time.monotonic(), False
        while go_on() and (self.under_way or not exhausted):
            self._send_again()
            while self._idle and not exhausted and (not rate or due_s <= time.monotonic()):
                webhook = next(webhooks, None)
                if webhook is None:
                    exhausted = True
                else:
                    now_s = time.monotonic()
                    self._send(_Begun(webhook, now_s, now_s - due_s if rate else 0.0))
                    self.sent += 1
                    due_s += 1 / rate if rate else 0.0
            self._multi.perform()
            self._collect()
            self._wait(due_s if rate and not exhausted else math.inf)

    def _wait(self, due_s: float) -> None:
        """Until something is to be done. With nothing under way libcurl has nothing to wait for, and does not."""
        now_s = time.monotonic()
        until_s = min(due_s, *(again_s for again_s, _ in self._again[:1]), now_s + LOOK_S)
        wait_s = max(0.0, until_s - now_s) if self._idle else LOOK_S
        if self._busy:
            self._multi.select(wait_s)
        else:
            time.sleep(wait_s)

    def _send_again(self) -> None:
        now_s = time.monotonic()
        while self._idle and self._again and self._again[0][0] <= now_s:
            self._send(self._again.pop(0)[1])

    def _send(self, delivery: _Begun) -> None:
        attempt, webhook = self._idle.pop(), delivery.webhook
        headers = self._sign(webhook.delivery_id, webhook.body, int(time.time()))
        kind = "text/xml" if webhook.body.lstrip(_NO_TEXT)[:1] == b"<" else "application/json"
        sent = [f"Content-Type: {kind}", "Expect:", *(f"{name}: {value}" for name, value in headers.items())]
        attempt.curl.setopt(pycurl.HTTPHEADER, sent)
        attempt.curl.setopt(pycurl.POSTFIELDS, webhook.body)
        attempt.chunks, attempt.kept_bytes = [], 0
        attempt.delivery, attempt.secret = delivery, headers.get("Authorization", "").partition(" ")[2].encode()
        self._busy[attempt.curl] = attempt
        self._multi.add_handle(attempt.curl)

    def _collect(self) -> None:
        queued = 1
        while queued:
            queued, finished, failed = self._multi.info_read()
            for curl in finished:
                self._end(curl, int(curl.getinfo(pycurl.RESPONSE_CODE)))
            for curl, _, why in failed:
                self._end(curl, 0, why.encode())

    def _end(self, curl: pycurl.Curl, status: int, why: bytes = b"") -> None:
        self._multi.remove_handle(curl)
        attempt = self._busy.pop(curl)
        self._idle.append(attempt)
        now_s, delivery = time.monotonic(), attempt.delivery
        if (status == 0 or status >= 500) and now_s - delivery.first_s < self._give_up_s:
            self._again.append((now_s + TRY_AGAIN_S, delivery))
            return
        took_ms, answered = (now_s - delivery.first_s) * 1000, why or attempt.answered()
        self._done(Answered(delivery.webhook, status, answered, took_ms, delivery.late_s * 1000))

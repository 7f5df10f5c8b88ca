"""Posts signed webhooks at a rate, or as fast as they are answered, the way a patient sender does."""

import math
import ssl
import time
from collections import Counter
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
ANSWER_KEPT_BYTES = 4 * 1024 * 1024
"""More than a receiver of ours answers to the largest array; what another server sends on is not kept."""
_NO_TEXT = b"\xef\xbb\xbf \t\r\n"
"""What may stand before the first character of XML: a byte order mark, and space."""


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


class _Delivery:
    """A delivery that was sent at least once, and what has come of its last attempt."""

    def __init__(self, webhook: Webhook, first_s: float, late_s: float) -> None:
        self.webhook, self.first_s, self.late_s = webhook, first_s, late_s
        self.secret = b""
        self.chunks: list[bytes] = []
        self.kept_bytes = 0

    def take(self, piece: bytes) -> None:
        """A piece of the answer."""
        if self.kept_bytes < ANSWER_KEPT_BYTES:
            self.chunks.append(piece)
            self.kept_bytes += len(piece)

    def answer(self) -> bytes:
        """The answer's body, without the secret where that was sent as it is: what is answered is shown to people."""
        body = b"".join(self.chunks)
        return body.replace(self.secret, b"(hidden)") if self.secret else body


class Poster:
    """Sends deliveries to a receiver and hands each one's end to `done`, from `run`'s thread.

    For `give_up_s` one that is answered 5xx, or not at all, is sent again: always with the same delivery id.
    """

    def __init__(self, url: str, sign: Sign, done: Callable[[Answered], None], give_up_s: float) -> None:
        self._url = url
        self._sign = sign
        self._done = done
        self._give_up_s = give_up_s
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, CONNECTIONS)
        self._idle = [self._connection() for _ in range(CONNECTIONS)]
        self._busy: dict[pycurl.Curl, _Delivery] = {}
        self._again: list[tuple[float, _Delivery]] = []
        self.sent = 0
        """Deliveries that were sent at least once."""
        self.sent_again: Counter[str] = Counter()
        """Attempts after the first, by what the one before had come to: "503", or "no answer"."""

    def _connection(self) -> pycurl.Curl:
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, self._url)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TIMEOUT_MS, int(ANSWER_TIMEOUT_S * 1000))
        if types.is_loopback_host(urlsplit(self._url).hostname or ""):
            curl.setopt(pycurl.PROXY, "")  # the environment's leads away from this machine
        trusted = ssl.get_default_verify_paths()  # SSL_CERT_FILE and SSL_CERT_DIR, where they are set
        if trusted.cafile:
            curl.setopt(pycurl.CAINFO, trusted.cafile)
        if trusted.capath:
            curl.setopt(pycurl.CAPATH, trusted.capath)
        return curl

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
            while self._idle and self._again and self._again[0][0] <= time.monotonic():
                self._send(self._again.pop(0)[1])
            while self._idle and not exhausted and (not rate or due_s <= time.monotonic()):
                webhook = next(webhooks, None)
                if webhook is None:
                    exhausted = True
                else:
                    now_s = time.monotonic()
                    self._send(_Delivery(webhook, now_s, now_s - due_s if rate else 0.0))
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

    def _send(self, delivery: _Delivery) -> None:
        curl, webhook = self._idle.pop(), delivery.webhook
        headers = self._sign(webhook.delivery_id, webhook.body, int(time.time()))
        delivery.secret = headers.get("Authorization", "").partition(" ")[2].encode()
        delivery.chunks, delivery.kept_bytes = [], 0
        kind = "text/xml" if webhook.body.lstrip(_NO_TEXT)[:1] == b"<" else "application/json"
        sent = [f"Content-Type: {kind}", "Expect:", *(f"{name}: {value}" for name, value in headers.items())]
        curl.setopt(pycurl.HTTPHEADER, sent)
        curl.setopt(pycurl.POSTFIELDS, webhook.body)
        curl.setopt(pycurl.WRITEFUNCTION, delivery.take)
        self._busy[curl] = delivery
        self._multi.add_handle(curl)

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
        delivery, now_s = self._busy.pop(curl), time.monotonic()
        self._idle.append(curl)
        if (status == 0 or status >= 500) and now_s - delivery.first_s < self._give_up_s:
            self.sent_again[str(status) if status else "no answer"] += 1
            self._again.append((now_s + TRY_AGAIN_S, delivery))
            return
        took_ms = (now_s - delivery.first_s) * 1000
        self._done(Answered(delivery.webhook, status, why or delivery.answer(), took_ms, delivery.late_s * 1000))

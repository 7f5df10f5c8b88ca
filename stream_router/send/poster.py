"""Posting of signed webhooks like a patient sender, at a rate or as fast as they are answered."""

import io
import queue
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import pycurl

from stream_router.send.signing import Sign
from stream_router.settings import types

CONNECTIONS = 48
RETRY_PAUSE_S = 0.5
POLL_S = 0.05
"""Maximum number of seconds between two checks of whether to continue."""
ANSWER_TIMEOUT_S = 5.0
_XML_PREFIX_BYTES = b"\xef\xbb\xbf \t\r\n"
"""Bytes that may precede the first character of XML: a byte order mark, and white space."""


class Webhook(NamedTuple):
    """Delivery id and body of one webhook."""

    delivery_id: str
    body: bytes


class DeliveryResult(NamedTuple):
    """Result of a delivery: the last status, the answer's body, milliseconds from its first attempt to its end.

    Status 0 means no answer; `body` is then the reason. `late_ms` is the time from when the delivery was due to its
    first attempt: 0 if there is no rate.
    """

    webhook: Webhook
    status: int
    body: bytes
    took_ms: float
    late_ms: float = 0.0


class Poster:
    """Sender of deliveries to a receiver, over CONNECTIONS connections with a thread each.

    A delivery that is answered with 5xx, or not at all, is retried for `give_up_s` seconds, with the same delivery id.
    """

    def __init__(self, url: str, sign: Sign, done: Callable[[DeliveryResult], None], give_up_s: float) -> None:
        self._url, self._sign, self._done, self._give_up_s = url, sign, done, give_up_s
        self._results: queue.SimpleQueue[DeliveryResult | Exception] = queue.SimpleQueue()
        self._next_lock, self._retries_lock = threading.Lock(), threading.Lock()
        """Locks. A thread holds the first until its delivery is due; the second guards `retries`."""
        self.sent = 0
        """Number of deliveries that were sent at least once."""
        self.answered = 0
        """Number of deliveries that have ended."""
        self.retries: Counter[str] = Counter()
        """Number of retries by the result of the previous attempt: "503", or "no answer"."""

    def run(self, webhooks: Iterator[Webhook], rate: float, is_running: Callable[[], bool]) -> None:
        """Send all webhooks and return when each has ended. Call `done` with each result, from this thread.

        `rate` is the number of deliveries per second; 0 means as fast as they are answered. As soon as `is_running`
        returns False, this returns early, and the results of deliveries in flight are dropped. Raises an exception that
        ended one of the threads.
        """
        due = self._wait_until_due(webhooks, rate)
        threads = [threading.Thread(target=self._work, args=(due,), daemon=True) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        while is_running():
            try:
                result = self._results.get(timeout=POLL_S)
            except queue.Empty:
                if any(thread.is_alive() for thread in threads) or not self._results.empty():
                    continue
                return
            if isinstance(result, Exception):
                raise result
            self.answered += 1
            self._done(result)

    def _wait_until_due(self, webhooks: Iterator[Webhook], rate: float) -> Iterator[tuple[Webhook, float]]:
        """Yield each webhook once it is due, and the time at which it was due (monotonic seconds)."""
        due_s = time.monotonic()
        while True:
            if rate:
                time.sleep(max(0.0, due_s - time.monotonic()))
            try:
                webhook = next(webhooks)
            except StopIteration:
                return
            yield webhook, due_s if rate else time.monotonic()
            due_s += 1 / rate if rate else 0.0

    def _work(self, due: Iterator[tuple[Webhook, float]]) -> None:
        """Send the deliveries of one connection, one after the other."""
        curl = self._open_connection()
        try:
            while True:
                with self._next_lock:
                    webhook, due_s = next(due)
                    self.sent += 1
                self._results.put(self._deliver(curl, webhook, due_s))
        except StopIteration:
            pass  # no webhook is left
        except Exception as error:  # noqa: BLE001 - `run` raises it in its own thread
            self._results.put(error)

    def _deliver(self, curl: pycurl.Curl, webhook: Webhook, due_s: float) -> DeliveryResult:
        """Send a delivery, and again after each failure, until it is answered or given up. Return its result."""
        first_attempt_s = time.monotonic()
        while True:
            status, body = self._attempt(curl, webhook)
            took_s = time.monotonic() - first_attempt_s
            if 0 < status < 500 or took_s >= self._give_up_s:
                return DeliveryResult(webhook, status, body, took_s * 1000, (first_attempt_s - due_s) * 1000)
            with self._retries_lock:
                self.retries[str(status) if status else "no answer"] += 1
            time.sleep(RETRY_PAUSE_S)

    def _attempt(self, curl: pycurl.Curl, webhook: Webhook) -> tuple[int, bytes]:
        """Return status and body of the answer; 0 and libcurl's reason if there is none."""
        headers = self._sign(webhook.delivery_id, webhook.body, int(time.time()))
        kind = "text/xml" if webhook.body.lstrip(_XML_PREFIX_BYTES)[:1] == b"<" else "application/json"
        # The empty Expect keeps libcurl from waiting for 100 Continue before it sends a large body.
        sent = [f"Content-Type: {kind}", "Expect:", *(f"{name}: {value}" for name, value in headers.items())]
        answer = io.BytesIO()
        curl.setopt(pycurl.HTTPHEADER, sent)
        curl.setopt(pycurl.POSTFIELDS, webhook.body)
        curl.setopt(pycurl.WRITEDATA, answer)
        try:
            curl.perform()
        except pycurl.error:
            return 0, curl.errstr().encode()
        return int(curl.getinfo(pycurl.RESPONSE_CODE)), answer.getvalue()

    def _open_connection(self) -> pycurl.Curl:
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, self._url)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TIMEOUT_MS, int(ANSWER_TIMEOUT_S * 1000))
        if types.is_loopback_host(urlsplit(self._url).hostname or ""):
            curl.setopt(pycurl.PROXY, "")  # the environment's proxy cannot reach this machine's loopback
        trusted = ssl.get_default_verify_paths()  # SSL_CERT_FILE and SSL_CERT_DIR, if they are set
        if trusted.cafile:
            curl.setopt(pycurl.CAINFO, trusted.cafile)
        if trusted.capath:
            curl.setopt(pycurl.CAPATH, trusted.capath)
        return curl

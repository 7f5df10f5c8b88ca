"""One HTTP exchange with CXone, retried: waits as told, with jitter, within a deadline, and never shows a secret."""

import email.utils
import importlib.metadata
import itertools
import json
import random
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx

from stream_router.cxone import proxies, troubles
from stream_router.errors import SettingsError
from stream_router.process import backoff_s
from stream_router.settings.types import is_url

TIMEOUT_S = 10.0
"""Of one step of an attempt: the connection, one read."""

DEADLINE_S = 45.0
"""All attempts of one exchange together, however slowly the last byte comes."""

LEAST_ATTEMPT_S = 1.0
"""No further attempt is made with less time than this: it would only hide what was wrong before."""

ANSWER_MAX_BYTES = 1024 * 1024
"""A token and a discovery document have a few kilobytes; what is longer is none."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 20.0
"""CXone sends no reliable Retry-After, so our own pauses double from 2 s (docs/facts.md, "CXone")."""

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    # Firewalls take a request without it for a robot's, AWS's own set of rules among them ("NoUserAgent_HEADER").
    "User-Agent": f"stream-router/{importlib.metadata.version('stream_router')}",
}

T = TypeVar("T")

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class CxoneError(Exception):
    """CXone refused, or cannot be reached. The text is one line with the cure, and holds no secret."""


class Clock(NamedTuple):
    """Time and chance, replaced in tests. `random` gives 0.0 to 1.0."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


class Reply(NamedTuple):
    """What CXone answered. `body` is empty where the caller did not want it."""

    status_code: int
    body: bytes

    def document(self) -> Any:
        """The body as JSON, None where it is none."""
        return read_json(self.body)


def read_json(text: bytes) -> Any:
    """What a JSON text says; None where it is no JSON, or is nested deeper than Python reads."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_url(url: str) -> httpx.URL | None:
    """A URL as it will be sent to; None where it is none. httpx alone lets a wrong port and half an IPv6 address by."""
    if not is_url(url):
        return None
    try:
        parsed = httpx.URL(url)
        _ = parsed.host
    except (ValueError, httpx.InvalidURL):
        return None
    return parsed


def is_safe(url: str) -> bool:
    """Whether credentials may be sent there: HTTPS, or HTTP on loopback (tests), to a host, without a user in it."""
    parts = parse_url(url)
    if not parts or not parts.host or parts.userinfo:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.host in _LOOPBACK)


def check_url(url: str, what: str) -> str:
    """`url` itself, where credentials may be sent to it. Raises CxoneError."""
    if not is_safe(url):
        raise CxoneError(f"{what} is no https:// URL; credentials are sent over HTTPS only")
    return url


def open_client(ca_bundle: Path | None = None) -> httpx.Client:
    """The HTTP client, with the proxy and the CA certificates of the environment: SSL_CERT_FILE, else `ca_bundle`.

    Raises SettingsError where one is wrong.
    """
    variable = "AWS_CA_BUNDLE" if ca_bundle else "SSL_CERT_FILE"
    try:
        verify = ssl.create_default_context(cafile=str(ca_bundle)) if ca_bundle else httpx.create_ssl_context()
    except OSError:
        cure = "name a PEM file (a folder for SSL_CERT_DIR), or unset it"
        raise SettingsError(f"{variable}: the CA certificates cannot be read; {cure}") from None
    return httpx.Client(timeout=TIMEOUT_S, transport=proxies.Ways(verify))


class Web:
    """Sends requests. 429, 5xx and broken connections are tried again until `deadline_s` has passed."""

    def __init__(self, client: httpx.Client, clock: Clock, deadline_s: float = DEADLINE_S) -> None:
        self._client = client
        self.clock = clock
        self._deadline_s = deadline_s

    def send(self, request: httpx.Request, what: str, *, wants_body: bool = True) -> Reply:
        """The first answer that is neither 429 nor 5xx; redirects are not followed. Raises CxoneError."""
        request.headers.update(_HEADERS)
        give_up_at = self.clock.monotonic() + self._deadline_s
        for failures in itertools.count():
            left_s = give_up_at - self.clock.monotonic()
            problem, told_s = self._attempt(request, what, left_s, wants_body=wants_body)
            if isinstance(problem, Reply):
                return problem
            # Full jitter below what the doubling allows; above what CXone asks for, so that callers spread out.
            jitter = self.clock.random()
            own_s = backoff_s(failures, FIRST_PAUSE_S, LONGEST_PAUSE_S, jitter)
            wait_s = told_s * (1.0 + 0.1 * jitter) if told_s else own_s
            if self.clock.monotonic() + wait_s > give_up_at - LEAST_ATTEMPT_S:
                raise CxoneError(f"{what}: {problem}; try again later")
            self.clock.sleep(wait_s)
        raise AssertionError("the deadline ends it")

    def _attempt(
        self, request: httpx.Request, what: str, left_s: float, *, wants_body: bool
    ) -> tuple[Reply | str, float]:
        """An answer to keep, or what was wrong and for how many seconds CXone asks to wait (0.0: it does not say)."""
        host, way = request.url.host, proxies.by_way(request.url)
        try:
            return _within(left_s, lambda: self._exchange(request, what, wants_body=wants_body))
        except (httpx.TimeoutException, TimeoutError):
            return f"{host} does not answer in time{way}", 0.0
        except (httpx.RequestError, ValueError) as error:  # a host name that cannot be asked for is a ValueError
            if wrong := troubles.distrust(error):  # another attempt would meet the same certificate
                cure = "set SSL_CERT_FILE or AWS_CA_BUNDLE to the CA that signed it, or check the host's name"
                raise CxoneError(f"{what}: the certificate of {host}{way} is not trusted ({wrong}); {cure}") from None
            if isinstance(error, httpx.ProxyError) and (refused := proxies.refusal(error, host)):
                raise CxoneError(f"{what}: {refused}") from None
            return f"{host} cannot be reached{way} ({troubles.why(error)})", 0.0

    def _exchange(self, request: httpx.Request, what: str, *, wants_body: bool) -> tuple[Reply | str, float]:
        answer = self._client.send(request, stream=True)
        try:
            # A date is counted from the answer's own clock, where it tells it: that clock wrote the date.
            now = _epoch_s(answer.headers.get("date", "")) or self.clock.wall()
            told_s = retry_after_s(answer.headers.get("retry-after", ""), now)
            asks = f" and asks for {told_s:.0f} s" if told_s else ""
            if answer.status_code == 429:
                return f"CXone throttles us (429){asks}", told_s
            if answer.status_code >= 500:
                return f"CXone is in trouble ({answer.status_code}){asks}", told_s
            return Reply(answer.status_code, _body(answer, what) if wants_body else b""), 0.0
        finally:
            answer.close()


def _body(answer: httpx.Response, what: str) -> bytes:
    """The answer's body as it came. Unpacking could make any size of it, so nothing packed was asked for."""
    cure = "check CXONE_AUTH_URL"
    if answer.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise CxoneError(f"{what} answers with a compressed body, which was not asked for; {cure}")
    body = bytearray()
    for piece in answer.iter_raw():
        body += piece
        if len(body) > ANSWER_MAX_BYTES:
            raise CxoneError(f"{what} answers with more than {ANSWER_MAX_BYTES} bytes; {cure}")
    return bytes(body)


def _within(left_s: float, call: Callable[[], T]) -> T:
    """What `call` gives or raises; TimeoutError once `left_s` has passed.

    httpx has no deadline: its time-outs begin anew with each byte, and looking up a name has none at all. So the call
    has a thread of its own, which ends with the connection when the client is closed, and holds no process up.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised where the result is waited for
            result.set_exception(error)

    threading.Thread(target=run, name="cxone", daemon=True).start()
    return result.result(max(0.0, left_s))


def retry_after_s(value: str, now: float) -> float:
    """A Retry-After of seconds or an HTTP date, in seconds from `now` (epoch); 0.0 where there is none to read."""
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    until = _epoch_s(value)
    return max(0.0, until - now) if until else 0.0


def _epoch_s(value: str) -> float:
    """An HTTP date as epoch seconds; 0.0 where it is none."""
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return 0.0

"""One HTTP exchange with CXone, retried: waits as told, with jitter, within a deadline, and never shows a secret."""

import email.utils
import random
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

TIMEOUT_S = 10.0
DEADLINE_S = 45.0
"""All attempts of one exchange together."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 20.0
"""CXone sends no reliable Retry-After, so our own pauses double from 2 s (FACTS 6)."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class CxoneError(Exception):
    """CXone refused, or cannot be reached. The text is one line with the cure, and holds no secret."""


class Clock(NamedTuple):
    """Time and chance, replaced in tests. `random` gives 0.0 to 1.0."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


def check_url(url: str, what: str) -> str:
    """`url` itself, where credentials may be sent to it: HTTPS, or HTTP on loopback (tests). Raises CxoneError."""
    parts = urlsplit(url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not safe or not parts.hostname or parts.username or parts.password:
        raise CxoneError(f"{what} is no https:// URL; credentials are sent over HTTPS only")
    return url


class Web:
    """Sends requests. 429, 5xx and broken connections are tried again until `deadline_s` has passed."""

    def __init__(self, client: httpx.Client, clock: Clock, deadline_s: float = DEADLINE_S) -> None:
        self._client = client
        self.clock = clock
        self._deadline_s = deadline_s

    def send(self, request: httpx.Request, what: str) -> httpx.Response:
        """The first answer that is neither 429 nor 5xx; redirects are not followed. Raises CxoneError."""
        give_up_at = self.clock.monotonic() + self._deadline_s
        pause_s = FIRST_PAUSE_S
        while True:
            problem, told_s = self._attempt(request)
            if isinstance(problem, httpx.Response):
                return problem
            # Full jitter below what the doubling allows; above what CXone asks for, so that callers spread out.
            jitter = self.clock.random()
            wait_s = told_s * (1.0 + 0.1 * jitter) if told_s else pause_s * jitter
            if self.clock.monotonic() + wait_s > give_up_at:
                raise CxoneError(f"{what}: {problem}; try again later")
            self.clock.sleep(wait_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _attempt(self, request: httpx.Request) -> tuple[httpx.Response | str, float]:
        """An answer to keep, or what was wrong and for how many seconds CXone asks to wait (0.0: it does not say)."""
        try:
            answer = self._client.send(request)
        except httpx.TimeoutException:
            return f"{request.url.host} does not answer in time", 0.0
        except httpx.TransportError as error:
            return f"{request.url.host} cannot be reached ({type(error).__name__})", 0.0
        if answer.status_code == 429:
            told_s = retry_after_s(answer.headers.get("retry-after", ""), self.clock.wall())
            return "CXone throttles us (429)" + (f" and asks for {told_s:.0f} s" if told_s else ""), told_s
        if answer.status_code >= 500:
            told_s = retry_after_s(answer.headers.get("retry-after", ""), self.clock.wall())
            return f"CXone is in trouble ({answer.status_code})", told_s
        return answer, 0.0


def retry_after_s(value: str, now: float) -> float:
    """A Retry-After of seconds or an HTTP date, in seconds from `now` (epoch); 0.0 where there is none to read."""
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return 0.0

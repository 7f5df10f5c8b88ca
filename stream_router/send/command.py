"""`stream-router send`: posts signed example events, and sums up what the receiver answered."""

import itertools
import re
import signal
import sys
import time
import uuid
from array import array
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import orjson
from rich.console import Console
from rich.progress import Progress

from stream_router.log import plain
from stream_router.process import heard_by
from stream_router.send.poster import CONNECTIONS, Answered, Poster, Webhook
from stream_router.send.samples import bodies
from stream_router.send.signing import check_url, own_url, signer
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import without_user

GIVE_UP_S = 10.0
"""A sender of CXone's tries for longer; someone at a terminal wants to know."""

BROKEN_OFF = 128 + signal.SIGINT

QUANTILES = ((50, 2), (90, 10), (99, 100))
"""Each with the number of answers from which on it says anything."""

LEAST_S = 1.0
"""Of a shorter time no rate is told: it would be that of the first moment."""

MOST_KINDS, KIND_MAX_CHARS = 20, 300
"""Whoever answers may be anybody, and may answer each delivery in other words."""

_ID = re.compile("[0-9a-f]{32}")
_AFTER = re.compile(r" after \d+ (?:ms|milliseconds)")
"""libcurl's own times, which would make each failure one of its kind."""


class Wish(NamedTuple):
    """What the command line asks for."""

    events: int
    rate: float
    preset: str
    event_type: str | None
    file: Path | None
    url: str | None


def run(settings: Receiver, wish: Wish) -> int:
    """Post the events. 0 where all were accepted, 1 where not, 130 where it was broken off. Raises SettingsError.

    At the first SIGINT or SIGTERM nothing new is sent; at the second no answer is awaited.
    """
    url = wish.url or own_url(settings)
    check_url(settings, url)
    made = itertools.islice(bodies(wish.preset, wish.event_type, wish.file), wish.events)
    tally, stops = Tally(wish.rate), list[int]()
    console = Console(stderr=True)
    with (
        heard_by(lambda number, _: stops.append(number), signal.SIGINT, signal.SIGTERM),
        Progress(console=console, transient=True, disable=wish.events == 1 or not console.is_terminal) as progress,
    ):
        task = progress.add_task("answered", total=wish.events)

        def done(answer: Answered) -> None:
            tally.take(answer)
            progress.advance(task)

        poster = Poster(url, signer(settings), done, GIVE_UP_S)
        begun_s = time.monotonic()
        webhooks = (Webhook(str(uuid.uuid4()), body) for body in itertools.takewhile(lambda _: not stops, made))
        poster.run(webhooks, wish.rate, lambda: not stops or (len(stops) < 2 and poster.under_way))
    _say(tally.lines(without_user(url), poster.sent, time.monotonic() - begun_s, poster.sent_again))
    if stops:
        open_ones = poster.sent - tally.count
        more = f"; {open_ones} were sent and have no answer yet, so they may be stored" if open_ones else ""
        _say([f"broken off: {wish.events - poster.sent} of {wish.events} were not sent{more}"])
        return BROKEN_OFF
    return 0 if tally.accepted == tally.count else 1


class Tally:
    """Counts answers by what they say, and keeps their times, in memory that does not grow with their bodies.

    `rate` is the one that was asked for, 0 none.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._kinds: Counter[str] = Counter()
        self._took_ms = array("d")
        self._first_ids: list[str] = []
        self.accepted = 0

    @property
    def count(self) -> int:
        """Deliveries that have ended."""
        return self._kinds.total()

    def take(self, answer: Answered) -> None:
        """A delivery has ended. What waited for a connection is counted in: a receiver that is slow made it wait."""
        ids = ids_of(answer)
        if not self.count:
            self._first_ids = ids
        kind = "202 accepted" if ids else _kind(answer)
        self._kinds[kind if kind in self._kinds or len(self._kinds) < MOST_KINDS else "in other words"] += 1
        self.accepted += bool(ids)
        if answer.status:
            self._took_ms.append(answer.took_ms + answer.late_ms)

    def lines(self, url: str, sent: int, seconds: float, again: Counter[str]) -> list[str]:
        """The sums, for an operator: `sent` were sent at least once, some of them `again`, all of it in `seconds`."""
        took = f" in {seconds:.3g} s" if sent > 1 else ""
        rate = f", {sent / seconds:.3g} a second" if sent > 1 and seconds >= LEAST_S else ""
        lines = [f"{sent} sent to {url}{took}{rate}"]
        lines += [f"{count:>7} {kind}" for kind, count in self._kinds.most_common()]
        if again:
            why = ", ".join(f"{count} after {kind}" for kind, count in again.most_common())
            lines.append(f"{again.total():>7} sent again, each with its delivery id: {why}")
        if took_ms := sorted(self._took_ms):
            at = [
                (percent, took_ms[len(took_ms) * percent // 100])
                for percent, least in QUANTILES
                if len(took_ms) >= least
            ]
            told = ", ".join([*(f"p{percent} {_figure(ms)}" for percent, ms in at), f"max {_figure(took_ms[-1])}"])
            lines.append(f"latency in ms{self._of_what()}: {told}")
        if self.count == 1 and self._first_ids:
            lines.append("eventId: " + ", ".join(self._first_ids))
        return lines

    def _of_what(self) -> str:
        """What the times are times of: those of senders that wait for each other say nothing of senders that do not."""
        if self.count == 1:
            return ""
        return ", each counted from when it was due" if self._rate else f", at most {CONNECTIONS} under way at once"


def ids_of(answer: Answered) -> list[str]:
    """The ids of the events that a receiver of ours stored; none where it did not, or where another server answered."""
    if answer.status != 202:
        return []
    try:
        ids = orjson.loads(answer.body)["ids"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []
    return ids if isinstance(ids, list) and all(isinstance(one, str) and _ID.fullmatch(one) for one in ids) else []


def _kind(answer: Answered) -> str:
    """The status, and what the receiver says of it."""
    if answer.status == 0:
        why = _AFTER.sub("", answer.body.decode("utf-8", "replace")).strip()
        return plain(f"without an answer: {why}"[:KIND_MAX_CHARS])
    try:
        told = orjson.loads(answer.body)
        return plain(f"{answer.status} {told['error']}: {told['message']}"[:KIND_MAX_CHARS])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"{answer.status}, not in the words of a receiver of ours: check the URL"


def _figure(ms: float) -> str:
    """Three figures, and no power of ten where there are more before the point."""
    return f"{ms:.3g}" if ms < 999.5 else f"{ms:,.0f}"


def _say(lines: list[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))

"""Command `stream-router send`: posts signed example events, and summarizes the receiver's answers."""

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

from stream_router.log import plain
from stream_router.process import handle_signals
from stream_router.send.poster import CONNECTIONS, Answered, Poster, Webhook
from stream_router.send.samples import bodies
from stream_router.send.signing import check_url, own_url, signer
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import without_user

GIVE_UP_S = 10.0
"""Seconds after which a delivery is given up. CXone retries for longer, but a person at a terminal waits for this."""

BROKEN_OFF = 128 + signal.SIGINT

_ID = re.compile("[0-9a-f]{32}")
_DURATION = re.compile(r" after \d+ (?:ms|milliseconds)")
"""Times in libcurl's messages. They are removed, or each failure would be counted as a kind of its own."""


class SendOptions(NamedTuple):
    """Options of the command line."""

    events: int
    rate: float
    preset: str
    event_type: str | None
    file: Path | None
    url: str | None


def run(settings: Receiver, options: SendOptions) -> int:
    """Post the events. Return 0 if all were accepted, 1 if not, 130 if it was interrupted. Raises SettingsError.

    After the first SIGINT or SIGTERM no further event is sent; after the second no answer is awaited.
    """
    url = options.url or own_url(settings)
    check_url(settings, url)
    drawn = itertools.islice(bodies(options.preset, options.event_type, options.file), options.events)
    tally, stops = Tally(), list[int]()
    poster = Poster(url, signer(settings), tally.take, GIVE_UP_S)
    begun_s = time.monotonic()
    webhooks = (Webhook(str(uuid.uuid4()), body) for body in itertools.takewhile(lambda _: not stops, drawn))
    with handle_signals(lambda number, _: stops.append(number), signal.SIGINT, signal.SIGTERM):
        poster.run(webhooks, options.rate, lambda: not stops or (len(stops) < 2 and poster.answered < poster.sent))
    took_s, open_ones = time.monotonic() - begun_s, poster.sent - poster.answered
    several = f" in {took_s:.3g} s, {poster.sent / took_s:.3g} a second" if poster.sent > 1 else ""
    lines = [f"{poster.sent} sent to {without_user(url)}{several}", *tally.answers()]
    if again := poster.sent_again:
        why = ", ".join(f"{count} after {kind}" for kind, count in again.most_common())
        lines.append(f"{again.total():>7} sent again, each with its delivery id: {why}")
    lines += tally.latencies(options.rate)
    if stops:
        more = f"; {open_ones} were sent and have no answer yet, so they may be stored" if open_ones else ""
        lines.append(f"broken off: {options.events - poster.sent} of {options.events} were not sent{more}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if stops:
        return BROKEN_OFF
    return 0 if tally.accepted == poster.sent else 1


class Tally:
    """Counts of the answers by kind, and their times."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._took_ms = array("d")
        self._first_ids: list[str] = []
        self.accepted = 0

    def take(self, answer: Answered) -> None:
        """Count a delivery that has ended. Its time includes its wait for a connection: a slow receiver caused that."""
        ids = ids_of(answer)
        self._first_ids = self._first_ids or ids
        self._kinds["202 accepted" if ids else _kind(answer)] += 1
        self.accepted += bool(ids)
        if answer.status:
            self._took_ms.append(answer.took_ms + answer.late_ms)

    def answers(self) -> list[str]:
        """Return a line for each kind of answer, and for a single delivery a line with its events' ids."""
        lines = [f"{count:>7} {kind}" for kind, count in self._kinds.most_common()]
        if self._kinds.total() == 1 and self._first_ids:
            lines.append("eventId: " + ", ".join(self._first_ids))
        return lines

    def latencies(self, rate: float) -> list[str]:
        """Return the line of percentiles. It also says how they were measured, since without a rate senders wait."""
        took_ms = sorted(self._took_ms)
        if not took_ms:
            return []
        of_what = "each counted from when it was due" if rate else f"at most {CONNECTIONS} under way at once"
        percentiles = [f"p{percent} {took_ms[len(took_ms) * percent // 100]:,.1f}" for percent in (50, 90, 99)]
        return [f"latency in ms, {of_what}: {', '.join(percentiles)}, max {took_ms[-1]:,.1f}"]


def ids_of(answer: Answered) -> list[str]:
    """Return the ids of the events that a receiver of ours stored; none for any other answer."""
    try:
        ids = orjson.loads(answer.body)["ids"] if answer.status == 202 else []
        return ids if all(_ID.fullmatch(each) for each in ids) else []
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []


def _kind(answer: Answered) -> str:
    """Return the kind of an answer, by which answers are counted.

    The kind is status, code and message of a receiver of ours, or curl's reason if there was no answer. For any other
    page it is the status alone, since foreign text could control the terminal.
    """
    if answer.status == 0:
        return plain("without an answer: " + _DURATION.sub("", answer.body.decode("utf-8", "replace")).strip())
    try:
        refusal = orjson.loads(answer.body)
        return plain(f"{answer.status} {refusal['error']}: {refusal['message']}")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"{answer.status}, not in the words of a receiver of ours: check the URL"

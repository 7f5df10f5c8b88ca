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
from stream_router.send.poster import CONNECTIONS, DeliveryResult, Poster, Webhook
from stream_router.send.samples import bodies
from stream_router.send.signing import check_url, own_url, signer
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import without_user

GIVE_UP_S = 10.0
"""Seconds after which a delivery is given up. CXone retries for longer, but here a person waits at a terminal."""

INTERRUPTED = 128 + signal.SIGINT

_ID = re.compile("[0-9a-f]{32}")
_ELAPSED = re.compile(r" after \d+ (?:ms|milliseconds)")
"""Times in libcurl's messages. They are removed, since otherwise each failure would be counted as a separate kind."""


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
    selected_bodies = itertools.islice(bodies(options.preset, options.event_type, options.file), options.events)
    tally, signals = Tally(), list[int]()
    poster = Poster(url, signer(settings), tally.take, GIVE_UP_S)
    begun_s = time.monotonic()
    webhooks = (
        Webhook(str(uuid.uuid4()), body) for body in itertools.takewhile(lambda _: not signals, selected_bodies)
    )
    # After one signal `poster` runs until each delivery that was sent has ended, after a second no longer.
    with handle_signals(lambda number, _: signals.append(number), signal.SIGINT, signal.SIGTERM):
        poster.run(webhooks, options.rate, lambda: not signals or (len(signals) < 2 and poster.answered < poster.sent))
    took_s, unanswered = time.monotonic() - begun_s, poster.sent - poster.answered
    rate_text = f" in {took_s:.3g} s, {poster.sent / took_s:.3g} per second" if poster.sent > 1 else ""
    lines = [f"{poster.sent} sent to {without_user(url)}{rate_text}", *tally.answers()]
    if retries := poster.retries:
        why = ", ".join(f"{count} after {kind}" for kind, count in retries.most_common())
        lines.append(f"{retries.total():>7} retries, each with the same delivery id: {why}")
    lines += tally.latencies(options.rate)
    if signals:
        unanswered_text = (
            f"; {unanswered} were sent and have no answer yet, so they may have been stored" if unanswered else ""
        )
        lines.append(f"interrupted: {options.events - poster.sent} of {options.events} were not sent{unanswered_text}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if signals:
        return INTERRUPTED
    return 0 if tally.accepted == poster.sent else 1


class Tally:
    """Counts of the answers by kind, and their times."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._took_ms = array("d")
        self._first_ids: list[str] = []
        self.accepted = 0

    def take(self, answer: DeliveryResult) -> None:
        """Count a delivery that has ended. Its time includes its wait for a connection: a slow receiver caused that."""
        ids = stored_ids(answer)
        self._first_ids = self._first_ids or ids
        self._kinds["202 accepted" if ids else _describe_answer(answer)] += 1
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
        """Return the line of percentiles; no line if nothing was answered.

        It also says how they were measured: only with a rate do they include the wait for a free connection.
        """
        took_ms = sorted(self._took_ms)
        if not took_ms:
            return []
        basis = "each measured from when it was due" if rate else f"at most {CONNECTIONS} in flight at once"
        percentiles = [f"p{percent} {took_ms[len(took_ms) * percent // 100]:,.1f}" for percent in (50, 90, 99)]
        return [f"latency in ms, {basis}: {', '.join(percentiles)}, max {took_ms[-1]:,.1f}"]


def stored_ids(answer: DeliveryResult) -> list[str]:
    """Return the ids of the events that our receiver stored; [] for any other answer."""
    try:
        ids = orjson.loads(answer.body)["ids"] if answer.status == 202 else []
        return ids if all(_ID.fullmatch(each) for each in ids) else []
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []


def _describe_answer(answer: DeliveryResult) -> str:
    """Return the kind of an answer, by which answers are counted.

    It is the status, code and message of our receiver, or libcurl's reason if there was no answer. For any other
    page it is the status alone, since foreign text could control the terminal.
    """
    if answer.status == 0:
        return plain("no answer: " + _ELAPSED.sub("", answer.body.decode("utf-8", "replace")).strip())
    try:
        refusal = orjson.loads(answer.body)
        return plain(f"{answer.status} {refusal['error']}: {refusal['message']}")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"{answer.status}, not an answer of our receiver: check the URL"

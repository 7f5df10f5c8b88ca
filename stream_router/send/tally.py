"""What the receiver answered, summed up as the answers come, in memory that does not grow with their bodies."""

import re
from array import array
from collections import Counter

import orjson

from stream_router.log import plain
from stream_router.send.poster import CONNECTIONS, Answered

QUANTILES = ((50, 2), (90, 10), (99, 100))
"""Each with the number of answers from which on it says anything."""

LEAST_S = 1.0
"""Of a shorter time no rate is told: it would be that of the first moment."""

MOST_KINDS = 20
KIND_MAX_CHARS = 300
"""Whoever answers may be anybody, and may answer each delivery in other words."""

OTHERS = "in other words"

_ID = re.compile("[0-9a-f]{32}")

_AFTER = re.compile(r" after \d+ (?:ms|milliseconds)")
"""libcurl's own times, which would make each failure one of its kind."""


class Tally:
    """Counts answers by what they say, and keeps their times. `rate` is the one that was asked for, 0 none."""

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
        kind = _kind(answer, ids)
        self._kinds[kind if kind in self._kinds or len(self._kinds) < MOST_KINDS else OTHERS] += 1
        self.accepted += bool(ids)
        if answer.status:
            self._took_ms.append(answer.took_ms + answer.late_ms)

    def lines(self, url: str, sent: int, seconds: float) -> list[str]:
        """The sums, for an operator; `sent` were sent at least once, and all of it took `seconds`."""
        took = f" in {seconds:.3g} s" if sent > 1 else ""
        rate = f", {sent / seconds:.3g} a second" if sent > 1 and seconds >= LEAST_S else ""
        lines = [f"{sent} sent to {url}{took}{rate}"]
        lines += [f"{count:>7} {kind}" for kind, count in self._kinds.most_common()]
        if answered := sorted(self._took_ms):
            told = [f"p{percent} {_at(answered, percent)}" for percent, least in QUANTILES if len(answered) >= least]
            lines.append(f"latency in ms{self._of_what()}: {', '.join([*told, f'max {_figure(answered[-1])}'])}")
        if self.count == 1 and self._first_ids:
            lines.append("eventId: " + ", ".join(self._first_ids))
        return lines

    def _of_what(self) -> str:
        """What the times are times of: those of senders that wait for each other say nothing of senders that do not."""
        if self.count == 1:
            return ""
        if self._rate:
            return ", each counted from when it was due"
        return f", at most {CONNECTIONS} under way at once"


def _at(sorted_ms: list[float], percent: int) -> str:
    return _figure(sorted_ms[min(len(sorted_ms) - 1, len(sorted_ms) * percent // 100)])


def _figure(ms: float) -> str:
    """Three figures, and no power of ten where there are more before the point."""
    return f"{ms:.3g}" if ms < 999.5 else f"{ms:,.0f}"


def _kind(answer: Answered, ids: list[str]) -> str:
    """The status, and what the receiver says of it."""
    if answer.status == 0:
        why = _AFTER.sub("", answer.body.decode("utf-8", "replace")).strip()
        return plain(f"without an answer: {why}"[:KIND_MAX_CHARS])
    if ids:
        return "202 accepted"
    try:
        told = orjson.loads(answer.body)
        return plain(f"{answer.status} {told['error']}: {told['message']}"[:KIND_MAX_CHARS])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"{answer.status}, not in the words of a receiver of ours: check the URL"


def ids_of(answer: Answered) -> list[str]:
    """The ids of the events that a receiver of ours stored; none where it did not, or where another server answered."""
    if answer.status != 202:
        return []
    try:
        ids = orjson.loads(answer.body)["ids"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []
    return ids if isinstance(ids, list) and all(isinstance(one, str) and _ID.fullmatch(one) for one in ids) else []

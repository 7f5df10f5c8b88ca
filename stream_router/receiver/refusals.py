"""Deliveries that are refused for good: said once when they begin, once a minute while they come, once when they end.

Nobody knows who posts what is not signed, so it is no error of ours; but a wrong secret or clock looks like this, and
a sender may give a delivery up for good.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from stream_router.log import Seldom
from stream_router.telemetry.receiver.receiver_stats import Stats

log = logging.getLogger(__name__)

SAID_AFTER_S = 1.0
OVER_AFTER_S = 60.0
"""Refused deliveries that are further apart are told anew."""

_SIGNATURE = "compare STREAM_ROUTER_WEBHOOK_SECRETS, the scheme and its headers with what the sender is set to"
_CLOCK = "check this host's clock: the senders' differ from it by more than STREAM_ROUTER_REPLAY_WINDOW_S"
_A_SENDER = "check the sender's clock, or whether old deliveries are sent again"
_JSON = "have the sender post an object, or an array of objects, in JSON"

_REASONS = {
    "bad_signature": (401, _SIGNATURE),
    "stale": (401, _A_SENDER),
    "too_large": (413, "have the sender send less at once, or raise STREAM_ROUTER_MAX_BODY_BYTES"),
    "malformed_json": (400, _JSON),
    "not_an_object": (400, _JSON),
}
"""What a sender may take as final, by its reason: the status, and what to do."""


class _Run(NamedTuple):
    """Refused deliveries without a pause."""

    since_s: float
    before: int
    known_before: int
    said: Seldom


class _Refusal:
    """One reason."""

    def __init__(self, reason: str, stats: Stats, clock: Callable[[], float]) -> None:
        self._reason, self._stats, self._clock = reason, stats, clock
        self._status, self._cure = _REASONS[reason]
        self._seen, self._known = self._counts()
        self._latest_s = 0.0
        self._run: _Run | None = None
        self._told = False

    def _counts(self) -> tuple[int, int]:
        """How many were refused for it, and how many were let in."""
        refused = known = 0
        for answers in self._stats.answers.values():
            refused += answers[self._status, self._reason]
            known += answers[202, "stored"] + answers[202, "seen_before"]
        return refused, known

    def look(self) -> None:
        now_s = self._clock()
        refused, known = self._counts()
        comes = refused > self._seen
        if comes:
            self._latest_s = now_s
            if self._run is None:
                self._run = _Run(now_s, self._seen, self._known, Seldom(self._clock))
        self._seen, self._known = refused, known
        if self._run is None:
            return
        if now_s - self._latest_s > OVER_AFTER_S:
            self._end(self._run)
        elif now_s - self._run.since_s >= SAID_AFTER_S and (comes or not self._told) and self._run.said():
            self._tell(self._run, now_s)

    def _tell(self, run: _Run, now_s: float) -> None:
        others = self._known > run.known_before
        cure = _CLOCK if self._reason == "stale" and not others else self._cure
        text = "others are let in" if others else "none is let in"
        extra = {"deliveries": self._seen - run.before, "since_s": round(now_s - run.since_s, 1)}
        log.warning(
            "deliveries are answered %d, %s (%s); %s",
            self._status,
            text,
            self._reason,
            cure,
            extra={"event": "deliveries-refused", **extra},
        )
        self._told = True

    def _end(self, run: _Run) -> None:
        if self._told:
            extra = {"deliveries": self._seen - run.before, "after_s": round(self._latest_s - run.since_s, 1)}
            log.info(
                "no delivery is answered %d any more (%s)",
                self._status,
                self._reason,
                extra={"event": "deliveries-refused-over", **extra},
            )
        self._run, self._told = None, False


class Refusals:
    """All reasons. `clock` tells seconds."""

    def __init__(self, stats: Stats, clock: Callable[[], float]) -> None:
        self._reasons = [_Refusal(reason, stats, clock) for reason in _REASONS]

    def look(self) -> None:
        """Called a few times a second."""
        for reason in self._reasons:
            reason.look()

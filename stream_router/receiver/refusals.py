"""Says that deliveries are refused: once when that begins, why, and what to do; and once when it is over.

Nobody knows who posts what is not signed, so it is no error of ours; but a wrong secret or clock looks like this, and a
sender may give a delivery up for good after a 4xx.
"""

import logging
import time
from collections.abc import Callable

from stream_router.receiver.answers import Response
from stream_router.receiver.request import Request
from stream_router.receiver.stats import DEFAULT_SOURCE, Stats

log = logging.getLogger(__name__)

OVER_AFTER_S = 60.0
"""Refused deliveries that are further apart are told anew."""

_JSON = "have the sender post an object, or an array of objects, in JSON"
CURES = {
    "bad_signature": "compare STREAM_ROUTER_WEBHOOK_SECRETS, the scheme and its headers with what the sender is set to",
    "stale": "check the sender's clock, or whether old deliveries are sent again",
    "too_large": "have the sender send less at once, or raise STREAM_ROUTER_MAX_BODY_BYTES",
    "malformed_json": _JSON,
    "not_an_object": _JSON,
    "overload": "the receiver has more to do than it can; give it a larger machine, or put another one beside it",
    "busy": "too much waits in its memory; if the stream is well, raise STREAM_ROUTER_MAX_HELD_BYTES",
}
"""What is refused before it is given to the batcher, by its reason, and what to do."""
_CLOCK = "check this host's clock: the senders' differ from it by more than STREAM_ROUTER_REPLAY_WINDOW_S"
_LET_IN = ("stored", "spilled", "seen_before")
SAID_AFTER_S = 1.0
"""By then it shows whether others are let in."""


class _Run:
    """Deliveries refused for one reason without a pause."""

    def __init__(self, now_s: float, let_in: int, client: str) -> None:
        self.since_s = self.latest_s = now_s
        self.let_in = let_in
        self.client = client
        self.count = 0
        self.said = False


class Refusals:
    """What is refused, by reason and source."""

    def __init__(self, stats: Stats, clock: Callable[[], float] = time.monotonic) -> None:
        self._stats, self._clock = stats, clock
        self._runs: dict[tuple[str, int, str], _Run] = {}

    def answered(self, request: Request, answer: Response) -> None:
        """A request was refused, for one of the reasons in CURES."""
        key, now_s = (request.source, answer.status, answer.reason), self._clock()
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = _Run(now_s, self._let_in(), request.connection.sender(request.headers))
        run.latest_s = now_s
        run.count += 1

    def _let_in(self) -> int:
        return sum(count for (_, _, reason), count in self._stats.answers.items() if reason in _LET_IN)

    def look(self) -> None:
        """Say what has begun, and what is over. Called a few times a second."""
        now_s = self._clock()
        for (source, status, reason), run in list(self._runs.items()):
            if not run.said and now_s - run.since_s >= SAID_AFTER_S:
                run.said = True
                others = self._let_in() > run.let_in
                log.warning(
                    "deliveries are answered %d, %s (%s); %s",
                    status,
                    "others are let in" if others else "none is let in",
                    reason,
                    _CLOCK if reason == "stale" and not others else CURES[reason],
                    extra={
                        "event": "deliveries-refused",
                        "source": source or DEFAULT_SOURCE,
                        "client": run.client,
                        "deliveries": run.count,
                    },
                )
            elif now_s - run.latest_s > OVER_AFTER_S:
                del self._runs[source, status, reason]
                log.warning(
                    "no delivery is answered %d any more (%s)",
                    status,
                    reason,
                    extra={
                        "event": "deliveries-refused-over",
                        "source": source or DEFAULT_SOURCE,
                        "deliveries": run.count,
                        "after_s": round(run.latest_s - run.since_s, 1),
                    },
                )

"""Calls of the KCL daemon that AWS refuses because a permission is missing, as the daemon's own log reports them.

The daemon retries such a call for ever, and logs a stack trace. Here each refusal becomes one line with the action, the
resource and the cure, and part of the worker's verdict.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from stream_router.aws_error_codes import MissingPermission
from stream_router.log import LogLimiter

log = logging.getLogger(__name__)

REFUSAL_EXPIRY_S = 30.0
"""Seconds since a call was last refused after which its refusal counts as over.

KCL 3.5.1 repeats a refused GetRecords, and most calls of its lease table, several times a second (docs/facts.md,
"Permissions"). With a longer time, the next problem would stay hidden for longer after the cure.
"""


@dataclass(slots=True)
class _Seen:
    """When a refusal began (epoch seconds), was noted last (monotonic seconds), and whether a log line is due."""

    since_s: float
    noted_at: float
    is_due: LogLimiter


class DaemonRefusals:
    """Refusals that have not expired. Any thread may call it. `clock` is monotonic, `now_s` the wall clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, now_s: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._now_s = now_s
        self._lock = threading.Lock()
        self._seen: dict[MissingPermission, _Seen] = {}

    def note(self, refusal: MissingPermission) -> None:
        """Record a refusal, and log it once a minute."""
        now = self._clock()
        with self._lock:
            self._forget_old(now)
            seen = self._seen.setdefault(refusal, _Seen(self._now_s(), now, LogLimiter(self._clock)))
            seen.noted_at = now
            is_due = seen.is_due()
        if is_due:
            log.error(
                "AWS refuses %s on %s to the KCL daemon of `stream-router consume`. Shards that need the call are not "
                "read; their events wait in the stream. Grant what `stream-router setup --policy consume` prints.",
                refusal.action,
                refusal.resource,
                extra={"event": "daemon-refused", "action": refusal.action, "resource": refusal.resource},
            )

    def current(self) -> list[tuple[MissingPermission, float]]:
        """Return each refusal that is not over, and the time (epoch seconds) at which it began; the oldest first."""
        with self._lock:
            self._forget_old(self._clock())
            return sorted(((refusal, seen.since_s) for refusal, seen in self._seen.items()), key=lambda pair: pair[1])

    def _forget_old(self, now: float) -> None:
        self._seen = {refusal: seen for refusal, seen in self._seen.items() if now - seen.noted_at < REFUSAL_EXPIRY_S}

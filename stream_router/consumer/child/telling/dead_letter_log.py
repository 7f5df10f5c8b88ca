"""A line for each dead letter: which event, why, where to look. At most ten a second, then their number."""

import logging
from collections.abc import Callable

from stream_router.model import DeadLetter

log = logging.getLogger(__name__)

MOST_A_SECOND = 10


class DeadLetterLog:
    """Told of every dead letter that is stored. `clock` tells monotonic seconds."""

    def __init__(self, shard_id: str, clock: Callable[[], float]) -> None:
        self._shard_id = shard_id
        self._clock = clock
        self._since_s = clock()
        self._said = self._unsaid = 0

    def buried(self, letter: DeadLetter) -> None:
        """One more."""
        self.tick()
        if self._said == MOST_A_SECOND:
            self._unsaid += 1
            return
        self._said += 1
        identity, reason = letter.event.event_id, letter.reason.value
        log.warning(
            "an event became a dead letter: %s (%s); see stream-router dlq %s",
            *(reason, letter.code, f"show {identity}" if identity else "list"),
            extra={
                "event": "dead-letter",
                "eventId": identity,
                "reason": reason,
                "code": letter.code,
                "shard": self._shard_id,
            },
        )

    def tick(self) -> None:
        """A moment to say how many were not said one by one."""
        now_s = self._clock()
        if now_s - self._since_s < 1.0:
            return
        if self._unsaid:
            extra = {"letters": self._unsaid, "shard": self._shard_id}
            log.warning(
                "%d events more became dead letters; see stream-router dlq list",
                self._unsaid,
                extra={"event": "dead-letters-more", **extra},
            )
        self._since_s, self._said, self._unsaid = now_s, 0, 0

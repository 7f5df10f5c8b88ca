"""Says that a destination accepts nothing: each cause once when it comes, and once a minute while it lasts."""

import logging
import math

from stream_router.errors import cure

log = logging.getLogger(__name__)

REMIND_EVERY_S = 60.0
SAID_AFTER_S = 1.0
"""A breaker that opens for a moment, for a few failures that came together, is not worth a line."""


class HoldReport:
    """The log lines on one destination's holding. Times are monotonic seconds."""

    def __init__(self, destination: str) -> None:
        self.destination = destination
        self._said: dict[str, float] = {}
        """When each cause of the last minute was said: in an outage several take turns, from probe to probe."""
        self.code = ""
        """The latest failure's code."""
        self._message = ""

    def failing(self, code: str, message: str) -> None:
        """A call failed. `message` is AWS's own; it must not be one that may quote a payload."""
        self.code, self._message = code, message

    def holds(self, now: float, since: float, waiting: int) -> None:
        """The destination has accepted nothing `since` then, and so many items wait."""
        if now - since < SAID_AFTER_S or now - self._said.get(self.code, -math.inf) < REMIND_EVERY_S:
            return
        lately = {code: at for code, at in self._said.items() if now - at < REMIND_EVERY_S}
        self._said = {**lately, self.code: now}
        log.warning(
            "%s accepts nothing, so its events wait, and nothing is lost: %s%s; %s",
            self.destination,
            self.code,
            f" ({self._message})" if self._message else "",
            cure(self.code),
            extra={"event": "holding", "code": self.code, "waiting": waiting, "held_s": round(now - since, 1)},
        )

    def over(self, now: float, since: float) -> None:
        """The destination accepts again."""
        if self._said:
            log.info("%s is back", self.destination, extra={"event": "back", "held_s": round(now - since, 1)})
        self._said = {}

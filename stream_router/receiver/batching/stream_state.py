"""What is known of the stream: whether it takes events, since when not, and the last reason that it gave."""

from collections.abc import Callable

DOWN_AFTER_S = 1.0
"""The stream counts as down once it refused for so long: longer than one event is tried, so another met it too."""
BELIEVED_FOR_S = 5.0
"""Without a new refusal it is believed for so long; then new traffic is let in to try, or nothing ever would."""


class StreamState:
    """Told of every record's outcome. `now_s` is the loop's clock."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.failing_since_s: float | None = None
        """When the stream began to refuse; None while it takes events."""
        self.last_failure_s = 0.0
        self.code = ""
        """AWS's code of the last refusal."""

    def took(self) -> None:
        """It took a record."""
        self.failing_since_s = None

    def refused(self, code: str) -> None:
        """It refused a record, or gave no answer."""
        self.last_failure_s = self._now_s()
        self.code = code
        if self.failing_since_s is None:
            self.failing_since_s = self.last_failure_s

    @property
    def failing_code(self) -> str:
        """AWS's code of the last refusal while it refuses; "" while it takes events."""
        return "" if self.failing_since_s is None else self.code

    @property
    def refuses(self) -> bool:
        """Whether it refused over a second or more, and took nothing since: as last known, however old."""
        return self.failing_since_s is not None and self.last_failure_s - self.failing_since_s >= DOWN_AFTER_S

    @property
    def down(self) -> bool:
        """The same while it is believed: whether to keep new traffic away."""
        return self.refuses and self._now_s() - self.last_failure_s <= BELIEVED_FOR_S

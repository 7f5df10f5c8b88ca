"""What is known of the stream: whether it takes events, since when not, and the last reason that it gave.

It takes some while one of its shards refuses. No bucket knows its shard, so this is told of buckets: one that refuses
again after another was taken is *apart*, and what it refuses says nothing of the stream.
"""

from collections.abc import Callable

DOWN_AFTER_S = 1.0
"""The stream counts as down once it refused for so long: longer than one event is tried, so another met it too."""
BELIEVED_FOR_S = 5.0
"""Without a new refusal it is believed for so long; then new traffic is let in to try, or nothing ever would."""
KNOWN_FOR_S = 30.0
"""A bucket that nobody tried for so long does not count as refusing: its shard may be well, and nothing may come for it
for hours. Less than what an alert waits."""


class _Refusing:
    """A bucket of which nothing was taken since `since_s`. `taken` is how much was of all by then."""

    __slots__ = ("apart", "last_s", "since_s", "taken")

    def __init__(self, now_s: float, taken: int) -> None:
        self.since_s = self.last_s = now_s
        self.taken = taken
        self.apart = False

    def refused(self, now_s: float) -> None:
        if now_s - self.last_s > KNOWN_FOR_S:
            self.since_s = now_s
        self.last_s = now_s

    def refuses_apart(self, now_s: float, known_for_s: float = KNOWN_FOR_S) -> bool:
        return self.apart and self.last_s - self.since_s >= DOWN_AFTER_S and now_s - self.last_s <= known_for_s


class StreamState:
    """Told of every record's outcome, by its bucket's number. `now_s` is the loop's clock."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.failing_since_s: float | None = None
        """When the stream began to refuse; None while it takes events."""
        self.last_failure_s = 0.0
        self.last_refusal_s = 0.0
        """The same, of a bucket apart too."""
        self.code = ""
        """AWS's code of the last refusal."""
        self.apart_code = ""
        """The same of a bucket apart."""
        self._refusing: dict[int, _Refusing] = {}
        self._taken = 0

    def took(self, bucket: int) -> None:
        """It took a record."""
        self.failing_since_s = None
        self._taken += 1
        self._refusing.pop(bucket, None)

    def refused(self, code: str, bucket: int) -> None:
        """It refused a record, or gave no answer."""
        now_s = self.last_refusal_s = self._now_s()
        one = self._refusing.get(bucket)
        if one is None:
            one = self._refusing[bucket] = _Refusing(now_s, self._taken)
        one.refused(now_s)
        if one.taken != self._taken:
            if not one.apart:
                one.apart, one.since_s = True, now_s
            self.apart_code = code
            return
        self.last_failure_s, self.code = now_s, code
        if self.failing_since_s is None:
            self.failing_since_s = now_s

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

    @property
    def apart(self) -> int:
        """How many buckets refused over a second or more while others are taken; 0 where none is."""
        now_s = self._now_s()
        return 0 if self.refuses else sum(one.refuses_apart(now_s) for one in self._refusing.values())

    def down_for(self, bucket: int) -> bool:
        """Whether to keep new traffic of a bucket away: it refused, and so does the stream, or it alone does."""
        one = self._refusing.get(bucket)
        if one is None:
            return False
        return self.down or one.refuses_apart(self._now_s(), BELIEVED_FOR_S)

"""What is known of the stream, and what is wrong in words: said when it begins, with why and what to do, and its end.

While requests are refused that is said once a minute, with their count and the reason.
"""

import logging
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from stream_router.errors import cure
from stream_router.receiver.spill import DEFECT

if TYPE_CHECKING:
    from stream_router.receiver.backlog import Backlog
    from stream_router.receiver.batcher import Batcher

log = logging.getLogger(__name__)

DOWN_AFTER_S = 1.0
"""The stream counts as down once it took nothing and refused for so long: longer than one event is tried."""
BELIEVED_FOR_S = 5.0
"""Without a new refusal it is believed for so long; then new traffic is let in to try, or nothing ever would."""
KNOWN_FOR_S = 30.0
"""A bucket that nobody tried for so long does not count as refusing: its shard may be well by now."""
REPEAT_S = 60.0

DISK_CURES = {
    "ENOSPC": "the disk is full; make room: what waits there drains without any",
    "EDQUOT": "the quota is used up; make room: what waits there drains without any",
    "EROFS": "the disk became read-only; look at the kernel's log, and mount it anew",
    "ENOENT": "the folder is gone; make it, or mount its disk, again",
    "ESTALE": "the server of the folder's disk (NFS) does not know it any more; mount it anew",
    "EACCES": "the folder, or a file in it, may not be used; give its rights back",
    "EMFILE": "no open file is left; raise the limit of open files (ulimit -n)",
    "EIO": "the disk fails; replace it",
    "hangs": "its disk does not answer; look at the kernel's log, and at the volume's own health",
    "full": "STREAM_ROUTER_SPILL_MAX_BYTES is reached; it drains when the stream is back",
    DEFECT: "a defect of ours; report the exception that the log shows",
}


class Stats:
    """What batcher, calls and backlog count, on one event loop."""

    def __init__(self) -> None:
        self.events_stored = self.events_spilled = self.events_refused = self.duplicates = 0
        self.calls = self.records = self.spill_damaged = 0
        self.events_in_flight = self.bytes_in_flight = 0
        """Events in memory: queued, in a call however late, or on their way to the disk."""
        self.failures: Counter[str] = Counter()
        """Records that the stream refused, by AWS's code; ours where there was no answer."""


class _Refusing:
    """A bucket of which nothing was taken since `since_s`. `taken` is how much was of all by then."""

    __slots__ = ("last_s", "since_s", "taken")

    def __init__(self, now_s: float, taken: int) -> None:
        self.since_s = self.last_s = now_s
        self.taken = taken


class StreamState:
    """Told of every record's outcome, by its bucket's number. `now_s` is the loop's clock."""

    def __init__(self, now_s: Callable[[], float], stats: Stats) -> None:
        self._now_s = now_s
        self._stats = stats
        self.failing_since_s: float | None = None
        """When the stream began to refuse; None while it takes events."""
        self.last_failure_s = 0.0
        self.heard_s = 0.0
        """When it took or refused something last."""
        self.code = ""
        """AWS's code of the last refusal."""
        self.taken = 0
        self._refusing: dict[int, _Refusing] = {}

    def took(self, bucket: int) -> None:
        """It took a record."""
        self.taken += 1
        self.failing_since_s = None
        self.heard_s = self._now_s()
        if self._refusing:
            self._refusing.pop(bucket, None)

    def refused(self, code: str, bucket: int) -> None:
        """It refused a record, or gave no answer."""
        now_s = self.heard_s = self._now_s()
        self._stats.failures[code] += 1
        self.code, self.last_failure_s = code, now_s
        if self.failing_since_s is None:
            self.failing_since_s = now_s
        one = self._refusing.get(bucket)
        if one is None or now_s - one.last_s > KNOWN_FOR_S:
            one = self._refusing[bucket] = _Refusing(now_s, self.taken)
        one.last_s = now_s

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
        if self.refuses:
            return 0
        now_s = self._now_s()
        return sum(
            self.taken > one.taken and one.last_s - one.since_s >= DOWN_AFTER_S and now_s - one.last_s <= KNOWN_FOR_S
            for one in self._refusing.values()
        )


class _Now(NamedTuple):
    """A state as it is: AWS's or the disk's code, what is so, where, and what to do."""

    code: str
    text: str
    resource: str
    cure: str


class State:
    """Says when something begins, with a WARNING, and when it is over. `counted`: how many events met it so far."""

    def __init__(self, event: str, name: str, now_s: Callable[[], float], counted: Callable[[], int]) -> None:
        self._event, self._name = event, name
        self._now_s = now_s
        self._counted = counted
        self._before = counted()
        self._since_s: float | None = None

    def look(self, now: _Now | None, *, begins: bool = False) -> None:
        """Told again and again what is. `begins`: it may come to this, so what is met is counted from here on."""
        if now is None:
            if self._since_s is not None:
                extra = {"event": f"{self._event}-over", "after_s": round(self._now_s() - self._since_s, 1)}
                log.warning("%s: over", self._name, extra={**extra, "events": self._counted() - self._before})
            self._since_s = None
            if not begins:
                self._before = self._counted()
        elif self._since_s is None:
            self._since_s = self._now_s()
            extra = {"event": self._event, "code": now.code, "resource": now.resource}
            log.warning("%s: %s (%s); %s", self._name, now.text, now.code, now.cure, extra=extra)


class States:
    """Of stream and disk, for one batcher."""

    def __init__(self, batcher: "Batcher", stream: str) -> None:
        self._batcher = batcher
        self._stream_name = stream
        met = lambda: batcher.stats.events_refused + batcher.stats.events_spilled  # noqa: E731
        now_s = batcher.now_s
        self._stream = State("stream-down", "the stream takes no events", now_s, met)
        self._part = State("stream-partly-down", "a part of the stream takes no events", now_s, met)
        self._disk = State("spill-down", "the spill takes no events", now_s, lambda: batcher.stats.events_refused)
        self._waiting: tuple[float, int] | None = None
        """Since when events wait on disk, and how many had been spilled before."""
        self._said_s = float("-inf")
        self._refused = 0

    def look(self) -> None:
        """Called a few times a second."""
        stream, backlog = self._batcher.stream, self._batcher.backlog
        where = "events wait in the spill" if backlog is not None and backlog.takes else "senders are answered 503"
        code, name, help_ = stream.code, self._stream_name, cure(stream.code)
        refuses = _Now(code, where, name, help_) if stream.refuses else None
        self._stream.look(refuses, begins=stream.failing_since_s is not None)
        part = f"{stream.apart} of its {len(self._batcher.buckets)} buckets, while others do"
        self._part.look(_Now(code, part, name, f"see how full each shard is; {help_}") if stream.apart else None)
        if backlog is not None:
            self._disk.look(self._of_disk(backlog))
            self._tell_of_drain(backlog.on_disk)
        self._tell_of_refusals(backlog, code)

    def _of_disk(self, backlog: "Backlog") -> _Now | None:
        code = backlog.error or ("full" if backlog.full else "")
        return _Now(code, "it refuses", backlog.folder, DISK_CURES.get(code, DISK_CURES["EIO"])) if code else None

    def _tell_of_drain(self, on_disk: int) -> None:
        spilled, now_s = self._batcher.stats.events_spilled, self._batcher.now_s()
        if on_disk and self._waiting is None:
            self._waiting = now_s, spilled - on_disk
        elif not on_disk and self._waiting is not None:
            (since_s, before), self._waiting = self._waiting, None
            log.info(
                "the spill is empty again: what waited there is in the stream",
                extra={"event": "spill-empty", "events": spilled - before, "after_s": round(now_s - since_s, 1)},
            )

    def _tell_of_refusals(self, backlog: "Backlog | None", code: str) -> None:
        refused = self._batcher.stats.events_refused - self._refused
        now_s = self._batcher.now_s()
        if not refused or now_s - self._said_s < REPEAT_S:
            return
        self._said_s, self._refused = now_s, self._batcher.stats.events_refused
        failing = self._batcher.stream.failing_since_s is not None
        why = "the stream answers too late; check the network"
        if failing:
            why = f"the stream refuses ({code}); {cure(code)}"
        if backlog is not None and not backlog.takes:
            why += f", and the spill takes nothing ({backlog.error or 'full'})"
        log.warning(
            "events were not stored in time, their requests were answered 503: %s",
            *(why,),
            extra={"event": "requests-refused", "events": refused, "resource": self._stream_name},
        )

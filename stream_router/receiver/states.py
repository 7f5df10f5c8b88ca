"""What is wrong, said once when it begins, once a minute while it is met, and once when it ends."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from stream_router.errors import cure
from stream_router.log import Seldom
from stream_router.receiver.batching.backlog import HANGS
from stream_router.receiver.batching.batcher import Batcher
from stream_router.receiver.batching.stats import Stats
from stream_router.receiver.spill.spill import DEFECT

log = logging.getLogger(__name__)

SAID_AFTER_S = 1.0
"""What lasts no longer is no state: a single refusal is counted, not said."""

_ONE_SHARD = "see how full each shard is (stream-router shards)"
DISK_CURES = {
    "ENOSPC": "the disk is full; make room: what waits there drains without any",
    "EDQUOT": "the quota is used up; make room: what waits there drains without any",
    "EROFS": "the disk became read-only; look at the kernel's log, and mount it anew",
    "ENOENT": "the folder is gone; make it, or mount its disk, again",
    "ESTALE": "the server of the folder's disk (NFS) does not know it any more; mount it anew",
    "EACCES": "the folder, or a file in it, may not be used; give its rights back",
    "EMFILE": "no open file is left; raise the limit of open files (ulimit -n)",
    "EIO": "the disk fails; replace it",
    "EBUSY": "another receiver has, or had, this folder; give each one of its own, and start this one again",
    HANGS: "look at the kernel's log, and at the volume's own health",
    DEFECT: "a defect of ours; report the exception that the log shows",
}

_NO_REFUSAL = {DEFECT: "a job of its thread failed", HANGS: "its disk does not answer"}


class _Now(NamedTuple):
    """One state as it is now: whether it is there, and how it is said."""

    code: str
    text: str
    resource: str
    cure: str
    latest_s: float | None = None
    """When it was met last; None where it is met at every look."""


class State:
    """Says when something begins, lasts and ends. `clock` tells seconds, `counted` how many events were met so far."""

    def __init__(self, name: str, clock: Callable[[], float], after_s: float, counted: Callable[[], int]) -> None:
        self._name = name
        self._clock = clock
        self._after_s = after_s
        self._counted = counted
        self._before = counted()
        self._since_s: float | None = None
        self._latest_s = 0.0
        self._said = Seldom(clock)
        self._begun = False

    def look(self, now: _Now | None) -> None:
        """Told again and again what is."""
        if now is None:
            if self._begun and self._since_s is not None:
                # To when it was met last: where nobody tried since, nobody knows when it ended.
                lasted_s = round(max(0.0, self._latest_s - self._since_s), 1)
                events = self._counted() - self._before
                log.warning(
                    "%s: over", self._name, extra={"event": "state-over", "after_s": lasted_s, "events": events}
                )
            self._since_s, self._begun, self._before = None, False, self._counted()
            return
        if self._since_s is None:
            self._since_s = self._clock()
            self._said.over()
        comes = now.latest_s is None or now.latest_s > self._latest_s
        self._latest_s = self._clock() if now.latest_s is None else now.latest_s
        lasted_s = self._clock() - self._since_s
        if (comes or not self._begun) and lasted_s >= self._after_s and self._said():
            extra: dict[str, object] = {"code": now.code, "resource": now.resource, "since_s": round(lasted_s, 1)}
            extra["events"] = self._counted() - self._before
            if self._begun:
                log.error(
                    "%s: still: %s (%s); %s",
                    self._name,
                    now.text,
                    now.code,
                    now.cure,
                    extra={"event": "state-lasts", **extra},
                )
            else:
                log.error(
                    "%s: %s (%s); %s",
                    self._name,
                    now.text,
                    now.code,
                    now.cure,
                    extra={"event": "state-begins", **extra},
                )
            self._begun = True


class Drain:
    """Says once that the spill is empty again, how many events it held and for how long."""

    def __init__(self, stats: Stats, clock: Callable[[], float]) -> None:
        self._stats = stats
        self._clock = clock
        self._since_s: float | None = None
        self._before = 0
        self._most = 0

    def look(self) -> None:
        """Told again and again what is."""
        waiting = self._stats.spilled_events
        if waiting and self._since_s is None:
            self._since_s, self._before, self._most = self._clock(), self._stats.events_spilled - waiting, 0
        self._most = max(self._most, waiting)
        if self._since_s is not None and not waiting:
            events = max(self._most, self._stats.events_spilled - self._before)
            extra = {"events": events, "after_s": round(self._clock() - self._since_s, 1)}
            log.info(
                "the spill is empty again: what waited there is in the stream", extra={"event": "spill-empty", **extra}
            )
            self._since_s = None


class States:
    """All that can be wrong with stream and spill."""

    def __init__(
        self, batcher: Batcher, stats: Stats, now_s: Callable[[], float], stream: str, buckets: int, folder: str
    ) -> None:
        self._batcher = batcher
        self._stats = stats
        self._stream_name = stream
        self._buckets = buckets
        self._folder = folder
        self._stream = State(
            "the stream takes no events", now_s, SAID_AFTER_S, lambda: stats.events_refused + stats.events_spilled
        )
        self._part = State(
            "a part of the stream takes no events", now_s, 0.0, lambda: stats.events_refused + stats.events_spilled
        )
        self._spill = State("the spill takes no events", now_s, 0.0, lambda: stats.events_refused)
        self._drain = Drain(stats, now_s)
        if stats.spill_damaged:
            log.error(
                "events of the spill are missing: its files were damaged, cut or deleted; what is there is sent on",
                extra={"event": "spill-events-missing", "events": stats.spill_damaged, "resource": self._folder},
            )
        self._damaged = stats.spill_damaged

    def look(self) -> None:
        """Called a few times a second."""
        self._drain.look()
        self._stream.look(self._of_stream())
        self._part.look(self._of_part())
        self._spill.look(self._of_spill())
        if self._stats.spill_damaged > self._damaged:
            missing = self._stats.spill_damaged - self._damaged
            log.error(
                "events of the spill are damaged and lost",
                extra={"event": "spill-events-lost", "events": missing, "resource": self._folder},
            )
            self._damaged = self._stats.spill_damaged

    def _of_stream(self) -> _Now | None:
        stream = self._batcher.stream
        if stream.failing_since_s is None:
            return None
        return _Now(stream.code, self._where_events_go, self._stream_name, cure(stream.code), stream.last_failure_s)

    def _of_part(self) -> _Now | None:
        stream = self._batcher.stream
        if not (apart := stream.apart):
            return None
        text = f"{apart} of its {self._buckets} buckets, while others do; {self._where_events_go}"
        what_to_do = f"{_ONE_SHARD}; {cure(stream.apart_code)}"
        return _Now(stream.apart_code, text, self._stream_name, what_to_do, stream.last_refusal_s)

    @property
    def _where_events_go(self) -> str:
        return "events wait in the spill" if self._batcher.spill_takes else "senders are answered 503"

    def _of_spill(self) -> _Now | None:
        spill = self._batcher.spill_state
        if spill.error:
            text = _NO_REFUSAL.get(spill.error, "its disk refuses")
            return _Now(spill.error, text, self._folder, DISK_CURES.get(spill.error, DISK_CURES["EIO"]))
        if spill.full:
            return _Now(
                "full", "STREAM_ROUTER_SPILL_MAX_BYTES is reached", self._folder, "it drains when the stream is back"
            )
        return None

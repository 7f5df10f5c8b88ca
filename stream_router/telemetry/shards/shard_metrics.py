"""What one child measures: counters and latencies of its shard, for CloudWatch, for snapshots on disk.

A new counter begins in `metrics_catalogue.py`, not here. Told a call or a batch at a time, never an event. Nothing here
raises into the pipeline or waits for anything.
"""

import collections
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from stream_router.log import Seldom
from stream_router.model import SNAPSHOTS
from stream_router.process import write_whole
from stream_router.settings.consumer import Consumer
from stream_router.telemetry import cloudwatch
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import COUNTERS, ENTRIES_PER_CALL, STAGES, Counter, Stage

log = logging.getLogger(__name__)

WAITING_MAX, WAITING_BYTES = 1_440, 8_000_000
"""Requests that wait for a CloudWatch that does not answer, and their bytes: a day of a quiet shard's minutes, some six
hours of a busy one's. Then the oldest is given up. A role may never be let in, and no child may be killed for that."""


SNAPSHOT_S = 2.0
"""How old a snapshot may be: the admin port's page is made of them."""


class ChildMetrics:
    """Counts and times of one shard, since the child began and since they were last sent.

    `clock` is monotonic, `now_s` the wall clock (epoch seconds).
    """

    def __init__(
        self,
        shard_id: str,
        settings: Consumer,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._shard_id = shard_id
        self._whose = cloudwatch.Whose(settings.aws_region, settings.application)
        self._folder = settings.state_dir / SNAPSHOTS if settings.state_dir else None
        self._every_s = cloudwatch.EVERY_S
        self._clock = clock
        self._now_s = now_s
        self._due = clock() + self._every_s
        self._total: collections.Counter[Counter] = collections.Counter(dict.fromkeys(COUNTERS, 0))
        self._sent: collections.Counter[Counter] = collections.Counter()
        self._latencies = {stage: Histogram() for stage in STAGES}
        self._unsent = {stage: Histogram() for stage in STAGES}
        self._calls: collections.Counter[int] = collections.Counter()
        self._unsent_calls: collections.Counter[int] = collections.Counter()
        self._reasons: collections.Counter[str] = collections.Counter()
        self._waiting: collections.deque[bytes] = collections.deque()
        self._snapshot_due = clock() + SNAPSHOT_S
        self._to_be_logged = Seldom(clock)
        self.retries: collections.Counter[str] = collections.Counter()
        """Entries sent again, by AWS's code."""
        self.vitals: Callable[[], dict[str, Any]] = dict
        """How the shard is now: what of it goes into the snapshot."""

    def count(self, counter: Counter, n: int = 1) -> None:
        """So many more of `counter`."""
        self._total[counter] += n

    def latency(self, stage: Stage, values_ms: Iterable[float]) -> None:
        """How long `stage` took, for each of several events (ms)."""
        self._unsent[stage].record(values_ms)

    def calls(self, entries: Iterable[int]) -> None:
        """PutEvents calls were accepted, wholly or in part, each with so many entries."""
        counts = collections.Counter(entries)
        self._unsent_calls.update(counts)
        self._total["delivered"] += sum(size * count for size, count in counts.items())

    def dead_letter(self, reason: str) -> None:
        """A dead letter was stored; the event was not delivered."""
        self._total["dead_lettered"] += 1
        self._total["failed"] += 1
        self._reasons[reason] += 1

    def value(self, counter: Counter) -> int:
        """What `counter` stands at since the child began."""
        return self._total[counter]

    def due(self) -> bool:
        """Whether it is time to publish again; from now on the next interval runs."""
        now = self._clock()
        if now < self._due:
            return False
        self._due = now + self._every_s
        return True

    def snapshot_is_due(self) -> bool:
        """Whether it is time for a snapshot between two publications: who looks at it wants the present."""
        now = self._clock()
        if self._folder is None or now < self._snapshot_due:
            return False
        self._snapshot_due = now + SNAPSHOT_S
        return True

    def bodies(self) -> list[bytes]:
        """The PutMetricData requests that are to be sent now: what is new, and what did not get through before.

        They are out of these books from then on; what fails comes back by `requeue`.
        """
        fresh = cloudwatch.bodies(self._series(), self._whose, round(self._now_s(), 3))
        waiting, self._waiting = [*self._waiting, *fresh], collections.deque()
        return waiting

    def requeue(self, bodies: Iterable[bytes]) -> None:
        """These requests did not get through: they are sent again next time, stamped as they are."""
        self._waiting.extend(bodies)
        held_bytes = sum(map(len, self._waiting))
        while len(self._waiting) > WAITING_MAX or held_bytes > WAITING_BYTES:
            held_bytes -= len(self._waiting.popleft())
            self.count("metrics_lost")

    def snapshot(self) -> dict[str, Any]:
        """Everything since the child began, as JSON data: `counters`, `deadLetters`, `entriesPerCall`, `latenciesMs`.

        Histograms are as `Histogram.to_dict` gives them, to be merged over shards.
        """
        latencies = {stage: _sum(self._latencies[stage], self._unsent[stage]) for stage in STAGES}
        calls = self._calls + self._unsent_calls
        vitals = self.vitals()
        return {
            "shardId": self._shard_id,
            "pid": os.getpid(),
            "at": round(self._now_s(), 3),
            "counters": {**self._total, **vitals.pop("counters", {})},
            "deadLetters": dict(self._reasons),
            "entriesPerCall": {str(entries): calls for entries, calls in sorted(calls.items())},
            "latenciesMs": {stage: histogram.to_dict() for stage, histogram in latencies.items()},
            "retries": dict(self.retries),
            **vitals,
        }

    def write_snapshot(self) -> None:
        """Put the snapshot into the state folder, whole or not at all. Trouble with it is logged once a minute."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(snapshot_file(self._folder, self._shard_id, os.getpid()), orjson.dumps(self.snapshot()))
        except OSError as error:
            if self._to_be_logged():
                log.warning(
                    "the metrics' snapshot was not written: %s", error.strerror, extra={"event": "snapshot-not-written"}
                )

    def _series(self) -> list[cloudwatch.Series]:
        """What is new since the last call, and mark it as handed over."""
        series = []
        # A zero is sent too, so that an alarm can tell "none" from "no child"; but none that claims health while the
        # shard holds.
        zeros = not self.vitals().get("holding")
        for counter, metric in COUNTERS.items():
            new = self._total[counter] - self._sent[counter]
            if new or (zeros and not (metric.cloudwatch and metric.cloudwatch.seldom)):
                series.append(cloudwatch.Series(metric, [float(new)], [1]))
        self._sent = collections.Counter(self._total)
        sizes = sorted(self._unsent_calls)
        counts = [self._unsent_calls[size] for size in sizes]
        series.append(cloudwatch.Series(ENTRIES_PER_CALL, [float(size) for size in sizes], counts))
        for stage, metric in STAGES.items():
            unsent, self._unsent[stage] = self._unsent[stage], Histogram()
            self._latencies[stage].merge(unsent)
            series.append(cloudwatch.Series(metric, *unsent.values_counts()))
        self._calls += self._unsent_calls
        self._unsent_calls = collections.Counter()
        return series


def _sum(*histograms: Histogram) -> Histogram:
    total = Histogram()
    for histogram in histograms:
        total.merge(histogram)
    return total


def snapshot_file(folder: Path, shard_id: str, pid: int) -> Path:
    """Where a child's snapshot is, in the `folder` of them."""
    return folder / f"{shard_id}.{pid}.json"


def read_snapshots(folder: Path) -> list[dict[str, Any]]:
    """Every snapshot under a state folder, of children that live and of those before them; unreadable ones left out."""
    found = []
    for file in sorted((folder / SNAPSHOTS).glob("*.json")):
        with contextlib.suppress(OSError, orjson.JSONDecodeError):
            found.append(orjson.loads(file.read_bytes()))
    return found

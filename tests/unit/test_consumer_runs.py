"""The line `consumer-runs`: which shards are read, and what was done since the last."""

import logging

import pytest

from stream_router.consumer.supervisor.admin.history import Moment
from stream_router.consumer.supervisor.consumer_runs import ConsumerRuns
from stream_router.telemetry.merged import Merged, Shard
from stream_router.telemetry.metrics_catalogue import COUNTERS, Counter
from stream_router.telemetry.snapshot import Snapshot


class Seen:
    """What the supervisor knows, moved by hand."""

    def __init__(self) -> None:
        self.totals = Snapshot()
        self.shards: dict[str, float] = {}

    def __call__(self) -> Merged:
        shards = [Shard(name, 1, Snapshot(at_s)) for name, at_s in self.shards.items()]
        return Merged(self.totals, shards)

    def does(self, **more: int) -> None:
        counted: dict[Counter, int] = more  # type: ignore[assignment]
        self.totals.add(Snapshot(0.0, {COUNTERS[name].name: {(): count} for name, count in counted.items()}))


def moment(lag_s: float | None, holding: int = 0) -> Moment:
    return Moment(0.0, 0.0, Snapshot(), lag_s, None, holding, 1)


def test_it_says_what_was_done_since_the_last() -> None:
    """Over all shards, and over all lives of their children, whatever files are still there of them."""
    now, seen = [1000.0], Seen()
    runs = ConsumerRuns(lambda: (seen(), moment(lag_s=12.34, holding=1)), lambda: now[0], lambda: now[0])
    now[0] = 1300.0
    seen.shards = {"a": 1290.0, "b": 1290.0}
    seen.does(delivered=600, retried=2, dead_lettered=1)
    first = runs.said()
    assert (first["shards"], first["delivered"], first["deliveredPerSecond"]) == (["a", "b"], 600, 2.0)
    assert (first["deadLetters"], first["retried"], first["overS"]) == (1, 2, 300)
    assert (first["lagS"], first["holdingShards"]) == (12.3, 1)
    now[0] = 1600.0
    seen.shards = {"a": 1590.0, "b": 1530.0}
    seen.does(delivered=60)
    second = runs.said()
    assert (second["shards"], second["delivered"], second["deadLetters"]) == (["a"], 60, 0), "b says nothing more"


def test_an_idle_consumer_says_so() -> None:
    """No shard, nothing done: another host has them, or the KCL has not begun."""
    said = ConsumerRuns(lambda: (Seen()(), moment(lag_s=None)), lambda: 0.0).said()
    assert (said["shards"], said["delivered"], said["lagS"]) == ([], 0, None)


def test_a_clock_that_is_set_makes_no_rate() -> None:
    """The wall clock goes back by an hour, and forth by two: what was done was done in five minutes all the same."""
    now, wall, seen = [1000.0], [1e9], Seen()
    runs = ConsumerRuns(lambda: (seen(), moment(lag_s=None)), lambda: wall[0], lambda: now[0])
    for step_s in (-3600.0, 7200.0):
        now[0], wall[0] = now[0] + 300, wall[0] + 300 + step_s
        seen.does(delivered=600)
        said = runs.said()
        assert (said["deliveredPerSecond"], said["overS"]) == (2.0, 300)


def test_the_first_line_comes_after_five_minutes(caplog: pytest.LogCaptureFixture) -> None:
    """At its start a consumer has done nothing, and its first line says all else."""
    caplog.set_level(logging.INFO)
    runs = ConsumerRuns(lambda: (Seen()(), moment(lag_s=None)))
    runs()
    assert not caplog.records
    runs()
    assert [record.message for record in caplog.records] == ["the consumer runs"]

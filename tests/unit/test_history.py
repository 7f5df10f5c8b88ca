"""The hour of history: a row every ten seconds, of what happened in them, bounded."""

import collections
import json
from typing import Any

import pytest

from stream_router.consumer.supervisor.admin import history
from stream_router.consumer.supervisor.admin.history import History, Moment
from stream_router.telemetry.histogram import PERCENTILES, Histogram
from stream_router.telemetry.metrics_catalogue import COUNTERS, STAGE_LATENCY
from stream_router.telemetry.snapshot import Numbers, Snapshot


class Pipeline:
    """What the supervisor would see, moved by hand."""

    def __init__(self) -> None:
        self.at_s, self.clock = 1_000_000.0, 50.0
        self.counters: collections.Counter[str] = collections.Counter()
        self.dead: collections.Counter[str] = collections.Counter()
        self.latency = Histogram()
        self.lag_s: float | None = 0.0

    def moment(self) -> Moment:
        latency = Histogram()
        latency.merge(self.latency)
        counts: Numbers = {COUNTERS[name].name: {(): float(self.counters[name])} for name in ("delivered", "retried")}
        counts[COUNTERS["dead_lettered"].name] = {(reason,): float(count) for reason, count in self.dead.items()}
        totals = Snapshot(self.at_s, counts, {}, {STAGE_LATENCY.name: {(history.STAGE,): latency}})
        return Moment(self.at_s, self.clock, totals, self.lag_s, 604_800.0, 0, 2)

    def passes(self, *latencies_ms: float, dead: str = "") -> None:
        self.at_s += 10
        self.clock += 10
        self.counters["delivered"] += len(latencies_ms)
        self.latency.record(list(latencies_ms))
        if dead:
            self.counters["dead_lettered"] += 1
            self.dead[dead] += 1


def rows(kept: History) -> list[dict[str, Any]]:
    told = json.loads(kept.body())
    return [dict(zip(told["columns"], row, strict=True)) for row in told["rows"]]


def test_a_row_tells_what_happened_since_the_one_before() -> None:
    """Rates and percentiles of these ten seconds alone: an hour of good ones does not hide a bad one."""
    pipeline = Pipeline()
    kept = History(pipeline.moment)
    pipeline.passes(*[1.0] * 1000)
    kept.take()
    assert rows(kept) == []
    pipeline.passes(*[float(n) for n in range(1, 101)], dead="malformed_json")
    pipeline.lag_s = 10.135402202606201
    kept.take()
    (row,) = rows(kept)
    assert (row["at"], row["deliveredPerS"], row["deadLettersPerS"]) == (1_000_020_000, 10.0, 0.1)
    assert [row[name] for name in ("p50", "p90", "p95", "p99")] == pytest.approx([50, 90, 95, 99], rel=0.011)
    assert (row["lagS"], row["headroomS"], row["holdingShards"], row["shards"]) == (10.135, 604_800.0, 0, 2)


def test_ten_seconds_without_an_event_have_no_percentiles() -> None:
    """0 ms would be a lie, and the line breaks there; an age that nobody knows is null too."""
    pipeline = Pipeline()
    kept = History(pipeline.moment)
    kept.take()
    pipeline.passes()
    pipeline.lag_s = None
    kept.take()
    (row,) = rows(kept)
    assert [row[name] for name in (*PERCENTILES, "lagS")] == [None] * 6
    assert row["deliveredPerS"] == 0


def test_dead_letters_by_reason_have_a_number_for_each_row() -> None:
    """A reason that comes later had none before."""
    pipeline = Pipeline()
    kept = History(pipeline.moment)
    kept.take()
    for reason in ("", "unroutable", "oversize", "unroutable"):
        pipeline.passes(dead=reason)
        kept.take()
    assert json.loads(kept.body())["deadLetters"] == {"oversize": [0, 0, 1, 0], "unroutable": [0, 1, 0, 1]}


def test_it_keeps_an_hour_and_no_more() -> None:
    """However long the supervisor lives; and an hour is small enough to be asked for."""
    pipeline = Pipeline()
    kept = History(pipeline.moment)
    for _ in range(history.ROWS_MAX + 40):
        pipeline.passes(1.5, 21.25, 333.125, dead="malformed_json")
        kept.take()
    found = rows(kept)
    assert len(found) == history.ROWS_MAX == 3600 / history.EVERY_S
    assert found[-1]["at"] - found[0]["at"] == (history.ROWS_MAX - 1) * 10_000
    assert len(json.loads(kept.body())["deadLetters"]["malformed_json"]) == history.ROWS_MAX
    assert len(kept.body()) < 60_000


def test_two_looks_at_one_moment_make_no_row() -> None:
    """A row lasts longer than nothing; the next one covers both."""
    pipeline = Pipeline()
    kept = History(pipeline.moment)
    kept.take()
    pipeline.passes(1.0)
    pipeline.clock -= 10
    kept.take()
    pipeline.clock += 10
    pipeline.passes(1.0)
    kept.take()
    (row,) = rows(kept)
    assert row["deliveredPerS"] == 0.1


@pytest.mark.parametrize("set_by_s", [-3600, 3600])
def test_a_clock_that_is_set_leaves_no_gap_and_no_wrong_rate(set_by_s: int) -> None:
    """The rows before it are told by the clock as it is now, so that an hour stays an hour, in its order."""
    pipeline = Pipeline()
    kept = History(pipeline.moment)
    kept.take()
    pipeline.passes(*[1.0] * 10)
    kept.take()
    pipeline.at_s += set_by_s
    pipeline.passes(*[1.0] * 10)
    kept.take()
    told = [(row["at"], row["deliveredPerS"]) for row in rows(kept)]
    assert told == [(1_000_010_000 + set_by_s * 1000, 1.0), (1_000_020_000 + set_by_s * 1000, 1.0)]

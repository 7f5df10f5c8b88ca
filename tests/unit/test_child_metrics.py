"""One child's books: exact counts, nothing counted twice, nothing lost when CloudWatch does not answer."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.shards.shard_metrics import WAITING_BYTES, WAITING_MAX, ChildMetrics, read_snapshots


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Consumer:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("SQS_DLQ_URL", "http://127.0.0.1/q")
    monkeypatch.setenv("STREAM_ROUTER_STATE_DIR", str(tmp_path))
    return load(Consumer)


def whole(body: bytes) -> list[dict[str, Any]]:
    """The data without the dimension Application: each metric once."""
    return [datum for datum in orjson.loads(body)["MetricData"] if len(datum["Dimensions"]) == 2]


def sums(bodies: list[bytes]) -> dict[str, float]:
    found: dict[str, float] = {}
    for body in bodies:
        for datum in whole(body):
            total = sum(value * count for value, count in zip(datum["Values"], datum["Counts"], strict=True))
            found[datum["MetricName"]] = found.get(datum["MetricName"], 0) + total
    return found


def samples(bodies: list[bytes], name: str) -> int:
    data: list[dict[str, Any]] = [datum for body in bodies for datum in whole(body)]
    return sum(sum(datum["Counts"]) for datum in data if datum["MetricName"] == name)


def test_each_event_is_sent_to_cloudwatch_once(configured: Consumer) -> None:
    """What was sent is not sent again; what came since is; the sums are the events."""
    metrics = ChildMetrics("shardId-0", configured, Clock(), lambda: 1767225600.0)
    metrics.calls([10])
    metrics.latency("received_to_accepted", [5.0] * 10)
    first = metrics.bodies()
    metrics.calls([3])
    metrics.latency("received_to_accepted", [7.0] * 3)
    metrics.dead_letter("malformed_json")
    second = metrics.bodies()
    assert sums(first)["RoutingSuccessCount"] == 10
    assert sums(first)["EntriesPerCall"] == 10
    assert samples(first, "RoutingLatencyMilliseconds") == 10
    assert sums(second)["RoutingSuccessCount"] == 3
    assert samples(second, "RoutingLatencyMilliseconds") == 3
    assert sums(second)["DeadLetterCount"] == sums(second)["RoutingFailureCount"] == 1


def test_a_zero_is_sent_to_tell_none_from_no_child_but_not_while_the_shard_holds(configured: Consumer) -> None:
    """A held shard would else look like one to which nothing comes: every alarm stayed green."""
    metrics = ChildMetrics("shardId-0", configured, Clock())
    assert sums(metrics.bodies())["RoutingSuccessCount"] == 0
    metrics.vitals = lambda: {"holding": "destination"}
    metrics.count("retried", 3)
    told = sums(metrics.bodies())
    assert told == {"RetryCount": 3}


def test_audit_records_that_cannot_be_written_are_told_and_who_has_none_does_not_pay(configured: Consumer) -> None:
    """Most have no audit log: no zero is sent, which CloudWatch would charge for as for any metric."""
    metrics = ChildMetrics("shardId-0", configured, Clock())
    assert "AuditFailureCount" not in sums(metrics.bodies())
    metrics.count("audit_failed", 2)
    assert sums(metrics.bodies())["AuditFailureCount"] == 2
    assert "AuditFailureCount" not in sums(metrics.bodies())


def test_what_does_not_get_through_is_sent_again_unchanged(configured: Consumer) -> None:
    """A request that failed comes first the next time, stamped as it was; the sums stay right."""
    metrics = ChildMetrics("shardId-0", configured, Clock(), lambda: 1767225600.0)
    metrics.count("delivered", 10)
    failed = metrics.bodies()
    metrics.requeue(failed)
    metrics.count("delivered", 1)
    again = metrics.bodies()
    assert again[: len(failed)] == failed
    assert sums(again)["RoutingSuccessCount"] == 11


def test_a_long_outage_of_cloudwatch_takes_bounded_memory_and_is_counted(configured: Consumer) -> None:
    """After a day of failures the oldest minute goes, and the loss itself is a number."""
    metrics = ChildMetrics("shardId-0", configured, Clock())
    metrics.requeue([b"{}"] * (WAITING_MAX + 3))
    assert metrics.value("metrics_lost") == 3
    assert len(metrics.bodies()) == WAITING_MAX + 1


def test_minutes_that_tell_much_are_kept_for_less_than_a_day(configured: Consumer) -> None:
    """A role that may send no metrics stays so for weeks: a child of a busy shard must not grow by a third for it."""
    metrics = ChildMetrics("shardId-0", configured, Clock())
    minutes = [bytes([number % 256]) * 25_000 for number in range(400)]
    for minute in minutes:
        metrics.requeue([minute])
    kept = WAITING_BYTES // 25_000
    assert kept < 400
    assert metrics.value("metrics_lost") == 400 - kept
    assert metrics.bodies()[:-1] == minutes[-kept:], "the oldest went"


def test_it_is_due_once_an_interval(configured: Consumer) -> None:
    """Every 60 s by default; asking when due starts the next interval."""
    clock = Clock()
    metrics = ChildMetrics("shardId-0", configured, clock)
    assert not metrics.due()
    clock.now += 60
    assert metrics.due()
    assert not metrics.due()


def test_the_snapshot_is_cumulative_and_merges_over_shards(configured: Consumer, tmp_path: Path) -> None:
    """The file holds everything since the child began, sent or not, and its histograms can be added up."""
    for shard, value in (("shardId-0", 10.0), ("shardId-1", 1000.0)):
        metrics = ChildMetrics(shard, configured, Clock())
        metrics.latency("received_to_accepted", [value] * 50)
        metrics.calls([10])
        metrics.bodies()
        metrics.latency("received_to_accepted", [value] * 50)
        metrics.calls([10])
        metrics.dead_letter("refused")
        metrics.write_snapshot()
        metrics.write_snapshot()
    found = read_snapshots(tmp_path)
    assert [one["shardId"] for one in found] == ["shardId-0", "shardId-1"]
    assert [one["entriesPerCall"] for one in found] == [{"10": 2}, {"10": 2}]
    assert [one["deadLetters"] for one in found] == [{"refused": 1}, {"refused": 1}]
    together = Histogram()
    for one in found:
        together.merge(Histogram.from_dict(one["latenciesMs"]["received_to_accepted"]))
    assert together.count == 200
    assert together.percentile(50) == pytest.approx(10, rel=0.01)
    assert together.percentile(99) == pytest.approx(1000, rel=0.01)


def test_a_folder_that_cannot_be_written_costs_the_snapshot_only(
    configured: Consumer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Trouble with the disk is logged and never reaches the pipeline."""
    (tmp_path / "metrics").write_text("a file where the folder should be")
    ChildMetrics("shardId-0", configured, Clock()).write_snapshot()
    assert "snapshot was not written" in caplog.text

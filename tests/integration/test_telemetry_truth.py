"""What the children count is what AWS's ledger holds, to the event; and telling it holds nothing up."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_router.telemetry.merged import Merger
from stream_router.telemetry.metrics_catalogue import COUNTERS, ENTRIES_PER_CALL, STAGE_LATENCY
from stream_router.telemetry.metrics_catalogue import Counter as Counted
from stream_router.telemetry.snapshot import Snapshot
from tests.daemon import Child, envelope, prove
from tests.fakeaws.process import FakeAwsProcess
from tests.told import read_snapshots


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", None, 1) as running:
        yield running


def host(folder: Path, name: str) -> Path:
    """The state folder of a worker whose supervisor has proven the bus for whatever the test's time."""
    made = folder / name
    made.mkdir()
    prove(made)
    return made


def batch(first: int, records: int, **fields: Any) -> list[bytes]:
    return [b"\n".join(envelope(first + 10 * r + n, **fields) for n in range(10)) for r in range(records)]


def codes(fake_aws: FakeAwsProcess) -> Counter[str]:
    return Counter(line["code"] for line in fake_aws.lines("PutEvents", "refused"))


def counted(told: Snapshot, name: Counted) -> float:
    return told.total(COUNTERS[name].name)


def by_label(told: Snapshot, name: Counted) -> dict[str, float]:
    return {label: count for (label,), count in told.counts[COUNTERS[name].name].items()}


def test_counters_equal_the_ledger_over_faults_and_a_shard_s_move(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Delivered, retried by code, dead by reason: the sums of both workers are the ledger's, exactly."""
    refused = {"fault": "entry_error", "operation": "PutEvents", "code": "MalformedDetail", "where": "int-77"}
    rules = [
        refused,
        {"fault": "entry_error", "operation": "PutEvents", "code": "InternalFailure", "rate": 0.03},
        {"fault": "entry_error", "operation": "PutEvents", "code": "ThrottlingException", "rate": 0.03},
        {"fault": "call_error", "operation": "PutEvents", "code": "ServiceUnavailable", "status": 503, "rate": 0.03},
        {"fault": "entry_error", "operation": "SendMessageBatch", "code": "InternalError", "rate": 0.2},
    ]
    fake_aws.plan({"rules": rules})
    hosts = [host(tmp_path, name) for name in ("one", "two")]
    for number, state in enumerate(hosts):
        with Child(fake_aws.url, state) as child:
            child.initialize()
            child.process_batch(batch(1000 * number, 50))
            child.process_batch([b"{broken", envelope(5000 + number, eventType="unheard.of")])
            child.say("shutdownRequested")
            assert child.hang_up() == 0
    totals = Snapshot()
    for state in hosts:
        totals.add(Merger(state, lambda _: False).merge().totals)
    letters = Counter(line["note"] for line in fake_aws.lines("SendMessageBatch", "accepted"))
    assert counted(totals, "delivered") == len(fake_aws.lines("PutEvents", "accepted")) > 900
    assert by_label(totals, "dead_lettered") == letters
    assert letters["malformed_json"] == letters["unroutable"] == 2
    assert letters["refused"] > 0
    assert counted(totals, "dead_lettered") == letters.total()
    retried = codes(fake_aws)
    assert retried.pop("MalformedDetail") == letters["refused"]
    assert by_label(totals, "retried") == retried
    assert counted(totals, "retried") == retried.total() > 0
    calls = {line["call"] for line in fake_aws.lines("PutEvents", "accepted")}
    assert totals.total(ENTRIES_PER_CALL.name) == len(calls)
    assert totals.histogram(STAGE_LATENCY.name, ("received_to_accepted",)).count == counted(totals, "delivered")
    assert totals.histogram(STAGE_LATENCY.name, ("received_to_dead_lettered",)).count == letters.total()


def test_after_a_kill_they_are_short_by_what_was_under_way_and_never_over(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """The last snapshot holds what was accepted before it, but for the calls in flight; nothing that was not."""
    state = host(tmp_path, "one")
    fake_aws.plan({"rules": [{"fault": "delay", "ms": 20, "operation": "PutEvents"}]})
    with Child(fake_aws.url, state) as child:
        child.initialize()
        until, number = time.monotonic() + 5, 0
        while time.monotonic() < until:
            child.process_batch(batch(number, 20))
            number += 200
        os.kill(child.process.pid, signal.SIGKILL)
        child.process.wait()
    (snapshot,) = read_snapshots(state)
    accepted_ms = [line["time"] for line in fake_aws.lines("PutEvents", "accepted")]
    before = sum(at <= snapshot.at_s * 1000 for at in accepted_ms)
    under_way = 10 * fake_aws.stats()["mostInFlight"]
    assert before - under_way <= counted(snapshot, "delivered") <= before
    assert before > 1000
    assert max(accepted_ms) / 1000 - snapshot.at_s < 3.0


def test_a_folder_that_takes_nothing_holds_up_no_event(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """No snapshot can be written: the events do not notice. CloudWatch no child asks at all."""
    state = host(tmp_path, "one")
    (state / "metrics").write_text("a file where the folder of snapshots should be")
    with Child(fake_aws.url, state) as child:
        child.initialize()
        child.process_batch(batch(0, 10))
        child.settle()
        time.sleep(0.5)
        began = time.monotonic()
        for number in range(10):
            child.process_batch(batch(1000 + 100 * number, 10))
        child.settle()
        took_s = time.monotonic() - began
        child.say("shutdownRequested")
        assert child.hang_up() == 0
    assert len(fake_aws.lines("PutEvents", "accepted")) == 1100
    assert took_s < 5.0
    assert fake_aws.lines("PutMetricData") == []

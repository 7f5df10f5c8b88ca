"""What the children count is what AWS's ledger holds, to the event; and telling it holds nothing up."""

import json
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_router.telemetry import audit
from stream_router.telemetry.merged import Merger
from stream_router.telemetry.metrics_catalogue import COUNTERS, ENTRIES_PER_CALL, STAGE_LATENCY
from stream_router.telemetry.metrics_catalogue import Counter as Counted
from stream_router.telemetry.snapshot import Snapshot
from tests.daemon import Child, envelope, prove
from tests.fakeaws.process import FakeAwsProcess
from tests.snapshots import read_snapshots

FAKE_AWS = (None, 1)


def host(folder: Path, name: str) -> Path:
    """The state folder of a worker whose supervisor has proven the bus for whatever the test's time."""
    path = folder / name
    path.mkdir()
    prove(path)
    return path


def batch(first: int, records: int, **fields: Any) -> list[bytes]:
    return [b"\n".join(envelope(first + 10 * r + n, **fields) for n in range(10)) for r in range(records)]


def log_lines(state: Path, event: str) -> list[dict[str, Any]]:
    """The lines of the child's log with that event."""
    lines = (json.loads(line) for line in (state / "stderr").read_text("utf-8").splitlines())
    return [line for line in lines if line.get("event") == event]


def counted(snapshot: Snapshot, name: Counted) -> float:
    return snapshot.total(COUNTERS[name].name)


def by_label(snapshot: Snapshot, name: Counted) -> dict[str, float]:
    return {label: count for (label,), count in snapshot.counts[COUNTERS[name].name].items()}


def test_counters_equal_the_ledger_over_faults_and_a_shard_s_move(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Delivered, retried by code, dead by reason: the sums of both workers, and of their audit, are the ledger's."""
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
    audited: list[dict[str, Any]] = []
    for number, state in enumerate(hosts):
        (state / "retention").write_text("stream 168h, dead letters 336h")
        own = {"STREAM_ROUTER_AUDIT_DIR": str(state / "audit"), "STREAM_ROUTER_MASKING": "default"}
        with Child(fake_aws.url, state, **own) as child:
            child.initialize()
            child.process_batch(batch(1000 * number, 50))
            child.process_batch([b"{broken", envelope(5000 + number, eventType="unheard.of")])
            child.say("shutdownRequested")
            assert child.hang_up() == 0
        (file,) = (state / "audit").iterdir()
        assert audit.verify(file, None) == audit.Result(2, "")
        audited += [json.loads(line) for line in file.read_bytes().splitlines()]
    totals = Snapshot()
    for state in hosts:
        totals.add(Merger(state, lambda _: False).merge().totals)
    letters = Counter(line["note"] for line in fake_aws.lines("SendMessageBatch", "accepted"))
    assert counted(totals, "delivered") == len(fake_aws.lines("PutEvents", "accepted")) > 900
    assert by_label(totals, "dead_lettered") == letters
    assert letters["malformed_json"] == letters["unroutable"] == 2
    assert letters["refused"] > 0
    assert counted(totals, "dead_lettered") == letters.total()
    retried = Counter(line["code"] for line in fake_aws.lines("PutEvents", "refused"))
    assert retried.pop("MalformedDetail") == letters["refused"]
    assert by_label(totals, "retried") == retried
    assert counted(totals, "retried") == retried.total() > 0
    calls = {line["call"] for line in fake_aws.lines("PutEvents", "accepted")}
    assert totals.total(ENTRIES_PER_CALL.name) == len(calls)
    assert totals.histogram(STAGE_LATENCY.name, ("received_to_accepted",)).count == counted(totals, "delivered")
    assert totals.histogram(STAGE_LATENCY.name, ("received_to_dead_lettered",)).count == letters.total()
    assert counted(totals, "records") == 104
    batches = sorted((line["metrics"]["batch"], line["eventsProcessed"]) for line in audited)
    assert batches == [(1, 500), (1, 500), (2, 2), (2, 2)]
    assert {line["complianceStatus"] for line in audited} == {"verified"}
    assert {line["dataRetentionPolicy"] for line in audited} == {"stream 168h, dead letters 336h"}
    assert sum((Counter(line["metrics"]["deadLetters"]) for line in audited), Counter()) == letters
    for name in ("delivered", "dead_lettered", "retried", "records", "dropped"):
        assert sum(line["metrics"][name] for line in audited) == totals.total(COUNTERS[name].name)
    assert {line["metrics"]["masking"].split()[0] for line in audited if line["metrics"]["masked"]} == {"default"}


def test_the_stages_of_the_way_add_up_and_each_dead_letter_is_told(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Received 4 s ago, stored 2 s ago, each call takes 2 s; of letters ten lines a second and then a number.

    Audit records stand in the order in which their batches were settled.
    """
    fake_aws.plan({"rules": [{"fault": "delay", "ms": 2000, "operation": "PutEvents"}]})
    state = host(tmp_path, "one")
    with Child(fake_aws.url, state, STREAM_ROUTER_AUDIT_DIR=str(state / "audit")) as child:
        child.initialize()
        now_ms = int(time.time() * 1000)
        received = re.compile(rb'"receivedAt":\d+')
        records = child.records([received.sub(b'"receivedAt":%d' % (now_ms - 4_000), item) for item in batch(0, 5)])
        for record in records:
            record["approximateArrivalTimestamp"] = now_ms - 2_000
        child.begin(records)
        child.done("processRecords")
        child.process_batch([envelope(1000, eventType="unheard.of")])
        child.settle()
        child.process_batch([b"{c4n4ry"] * 59)
        until = time.monotonic() + 10
        while (
            sum(line["letters"] for line in log_lines(state, "dead-letters-more"))
            + len(log_lines(state, "dead-letter"))
            < 60
        ):
            assert time.monotonic() < until
            child.settle()
            time.sleep(0.05)
        child.say("shutdownRequested")
        assert child.hang_up() == 0
    (snapshot,) = read_snapshots(state)
    ways = {stage: item for (stage,), item in snapshot.histograms[STAGE_LATENCY.name].items()}
    assert ways["received_to_stored"].percentile(50) == pytest.approx(2_000, rel=0.011)
    assert ways["stored_to_read"].percentile(50) >= 1_980
    assert ways["sent_to_accepted"].percentile(50) >= 1_980
    parts = ("received_to_stored", "stored_to_read", "read_to_sent", "sent_to_accepted")
    mean_ms = {stage: float(np.repeat(*item.values_counts()).mean()) for stage, item in ways.items()}
    assert mean_ms["received_to_accepted"] == pytest.approx(sum(mean_ms[part] for part in parts), rel=0.03)
    (file,) = (state / "audit").iterdir()
    assert [json.loads(line)["metrics"]["batch"] for line in file.read_bytes().splitlines()[:2]] == [2, 1]
    first, *others = log_lines(state, "dead-letter")
    assert first["message"].endswith(f"unroutable (UnroutableEventType). See `stream-router dlq show {1000:032x}`.")
    assert {other["reason"] for other in others} == {"malformed_json"}
    assert log_lines(state, "dead-letters-more")
    assert "c4n4ry" not in (state / "stderr").read_text("utf-8")


def test_after_a_kill_they_are_short_by_what_was_under_way_and_never_over(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """The last snapshot holds what was accepted before it, but for the calls in flight; nothing that was not."""
    state = host(tmp_path, "one")
    fake_aws.plan({"rules": [{"fault": "delay", "ms": 20, "operation": "PutEvents"}]})
    with Child(fake_aws.url, state) as child:
        child.initialize()
        until, number = time.monotonic() + 3, 0
        while time.monotonic() < until:
            child.process_batch(batch(number, 20))
            number += 200
        os.kill(child.process.pid, signal.SIGKILL)
        child.process.wait()
    (snapshot,) = read_snapshots(state)
    accepted_ms = [line["time"] for line in fake_aws.lines("PutEvents", "accepted")]
    before = sum(at <= snapshot.at_s * 1000 for at in accepted_ms)
    under_way = 10 * max(fake_aws.stats()["mostInFlight"], snapshot.gauge("calls_ceiling") or 0)
    assert before - under_way <= counted(snapshot, "delivered") <= before
    assert before > 1000
    assert max(accepted_ms) / 1000 - snapshot.at_s < 3.0


def test_a_folder_that_takes_nothing_holds_up_no_event(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Neither snapshot nor audit can be written: events do not notice. CloudWatch no child asks at all.

    Audit records that wait are counted again and again, or a quiet shard's alarm would end; what is missing at the end
    the log says.
    """
    state = host(tmp_path, "one")
    for name in ("metrics", "audit"):
        (state / name).write_text("a file where the folder should be")
    with Child(fake_aws.url, state, STREAM_ROUTER_AUDIT_DIR=str(state / "audit")) as child:
        child.initialize()
        began = time.monotonic()
        for number in range(10):
            child.process_batch(batch(100 * number, 10))
        child.settle()
        took_s = time.monotonic() - began
        (state / "metrics").unlink()
        until = time.monotonic() + 10
        while not any(counted(snapshot, "audit_failed") > 10 for snapshot in read_snapshots(state)):
            assert time.monotonic() < until
            time.sleep(0.05)
        child.say("shutdownRequested")
        assert child.hang_up() == 0
    assert len(fake_aws.lines("PutEvents", "accepted")) == 1000
    assert took_s < 5.0
    assert fake_aws.lines("PutMetricData") == []
    (line,) = log_lines(state, "audit-unwritten")
    assert line["message"].startswith("10 audit records were not written")

"""The worker's one snapshot and its views: `/status`, `/metrics`, `/history` and CloudWatch."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_router.aws_error_codes import MissingPermission
from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor import history
from stream_router.consumer.supervisor.status import ConsumerStatus, sends_zeros
from stream_router.consumer.supervisor.stream_watch import NO_OWNER, StreamFacts, UnreadShard
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.target_check import CheckResult, TargetBroken, TargetOk, TargetStateMachine, TargetUnknown
from stream_router.dead_letter_reasons import Reason
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.cloudwatch import FINAL_SEND_TIMEOUT_S, MetricDimensions, Sender
from stream_router.telemetry.histogram import PERCENTILES
from stream_router.telemetry.metrics_catalogue import CONSUMER_IN_CLOUDWATCH, STAGES
from stream_router.telemetry.silence import Silence
from stream_router.telemetry.verdict import START_S, TABLE, Code
from tests import snapshots
from tests.environment import QUEUE

WEEK_S = 168 * 3600.0
NO_PROCESS = 2**22 + 7
"""Above the kernel's largest."""


class World:
    """A worker whose children said what the test wrote, on the test's clocks."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.now, self.wall = 50.0, time.time()
        self.state = StateDir(folder)
        self.known = StreamFacts()
        self.table_waits_for = self.disk_problem = ""
        self.silences: list[Silence] = []
        self.refusals: list[tuple[MissingPermission, float]] = []
        self.vitals = Vitals(lambda: self.now, lambda: self.wall)
        self.vitals.record_daemon_start(1)
        self.target_state = TargetStateMachine()
        self.status = ConsumerStatus(
            Consumer(aws_region="us-east-1", sqs_dlq_url=QUEUE, **settings),
            self.state,
            self.vitals,
            self.target_state,
            lambda: self.known,
            lambda: self.now,
            lambda: self.wall,
            lambda: self.table_waits_for,
            lambda: self.silences,
            lambda: self.disk_problem,
            lambda: self.refusals,
        )
        self.sent: list[dict[str, Any]] = []
        metric_dimensions, metrics = MetricDimensions("us-east-1", "router"), CONSUMER_IN_CLOUDWATCH
        self.send = Sender(self, metric_dimensions, self.status.snapshot, metrics, sends_zeros)
        self.after(2)  # what was there when it began is kept for a second

    def put_metric_data(self, **call: Any) -> None:
        """CloudWatch's."""
        self.sent = call["MetricData"]

    def in_cloudwatch(self) -> dict[str, float]:
        """The first value of each metric that is sent now."""
        self.send()
        return {datum["MetricName"]: datum["Values"][0] for datum in self.sent}

    def child_says(self, shard: str, pid: int = 1, delivered: int = 5, **output: Any) -> None:
        snapshots.write_snapshots(self.state.path, snapshots.caught_up(shard, pid, delivered, at=self.wall, **output))

    def status_object(self) -> dict[str, Any]:
        page: dict[str, Any] = json.loads(self.status.status())
        return page

    def samples(self, begin: str) -> dict[str, float]:
        """Those of `/metrics` that begin so, without what all begin with."""
        text = self.status.metrics().decode().replace("\nstream_router_", "\n")
        result = (line.rpartition(" ") for line in text.splitlines() if line.startswith(begin))
        return {sample: float(value) for sample, _, value in result}

    def answered(self, output: CheckResult) -> None:
        """Of bus and rule: a no counts when it was said twice."""
        for second in (0.0, 1.0):
            self.target_state.apply(output, second)

    def unread(self, *shards: str) -> None:
        self.known = StreamFacts([UnreadShard(shard, NO_OWNER, 1_764_000_000.0) for shard in shards], WEEK_S)

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def passes(self, seconds: int) -> None:
        """With a look every ten seconds, as the supervisor's sampler has them."""
        for _ in range(seconds // 10):
            self.after(10)
            self.status.observe()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    result = World(tmp_path)
    yield result
    result.state.close()


HAPPENS: dict[str, Callable[[World], object]] = {
    "reads": lambda world: world.child_says("a"),
    "holds": lambda world: world.child_says("a", holding="bytes"),
    "hangs": lambda world: world.vitals.record_hangs(tuple(f"child {n} stands" for n in range(60))),
    "unmatched": lambda world: world.answered(TargetBroken("rule", "is gone")),
    "unread": lambda world: world.unread("a", "b"),
    "dies": lambda world: world.vitals.record_daemon_end(),
    "starts": lambda world: world.vitals.record_daemon_start(2),
    "unasked": lambda world: world.answered(TargetUnknown("Throttling")),
    "others read": lambda world: world.unread(),
    "silent": lambda world: setattr(
        world, "silences", [Silence("DynamoDB", world.wall - 9), Silence("EventBridge", world.wall - 4)]
    ),
    "silent destination": lambda world: world.child_says("a", holding="destination", silent="EventBridge"),
    "disk": lambda world: setattr(world, "disk_problem", "the disk of /state is full"),
    "refused": lambda world: world.refusals.append((MissingPermission("kinesis:GetRecords", "arn"), world.wall)),
    "stops": lambda world: world.vitals.record_stop_request(),
    "index": lambda world: setattr(world, "table_waits_for", "the lease table's index is being built"),
}


@pytest.mark.parametrize(
    ("kind", "later_s", "code", "reason"),
    [
        ("reads", 0, "well", None),
        ("holds", 0, "holding", "1 of 1 shards: bytes"),
        ("holds, unread", 0, "holding", "1 of 1 shards: bytes"),
        ("holds, unread", START_S, "shards-unread", "nobody reads b (no owner)"),
        ("holds, hangs", 0, "hanging", "child 0 stands; child 1 stands; child 2 stands and 57 more"),
        ("holds, unmatched", 0, "target-broken", "is gone"),
        ("holds, hangs, unmatched, silent", 0, "aws-silent", "DynamoDB and EventBridge"),
        ("silent destination", 0, "aws-silent", "EventBridge"),
        ("reads, disk", 0, "disk-full", "the disk of /state is full"),
        ("holds, hangs, refused", 0, "daemon-refused", "kinesis:GetRecords on arn is refused"),
        ("unread, refused", START_S, "daemon-refused", "kinesis:GetRecords on arn is refused"),
        ("dies, refused", 2, "daemon-refused", "kinesis:GetRecords on arn is refused"),
        ("refused, unmatched", 0, "target-broken", "is gone"),
        ("stops, refused", 0, "draining", "stopping on request"),
        ("reads, unread", START_S, "shards-unread", "nobody reads b (no owner)"),
        ("", 0, "starting", "the KCL daemon reads no shard yet"),
        ("unread", 0, "starting", "the KCL daemon reads no shard yet"),
        ("unread", START_S, "shards-unread", "nobody reads a (no owner), b (no owner)"),
        ("unread, index", START_S, "starting", "the lease table's index is being built"),
        ("reads, index", 0, "well", None),
        ("dies", 2, "restarting", "the KCL daemon died"),
        ("dies, starts", 2, "starting", "the KCL daemon was restarted and reads no shard yet"),
        ("dies, starts", START_S, "well", "no shard is read here"),
        ("unasked", START_S, "cut-off", "no shard is read here, and neither bus nor stream can be checked"),
        ("unasked, others read", START_S, "well", "no shard is read here"),
        ("stops, unmatched", 0, "draining", "stopping on request"),
        ("stops, silent", 0, "aws-silent", "DynamoDB and EventBridge"),
    ],
)
def test_the_verdict(world: World, kind: str, later_s: float, code: str, reason: str | None) -> None:
    """The worst of what is known, with its reason. A shard that is read here is not unread, whatever the table says."""
    for item in filter(None, kind.split(", ")):
        HAPPENS[item](world)
    world.status.observe()
    world.after(later_s + 1)
    page = world.status_object()
    row = TABLE[Code(code)]
    assert (page["code"], page["state"], page["level"], page["reason"]) == (code, row.words, row.level.value, reason)
    assert page["meaning"] == row.meaning
    assert page["lag"]["caughtUp"] is (bool(page["shards"]) and "unread" not in kind)


def test_a_worker_starts_until_every_shard_is_read(world: World) -> None:
    """Amber and not green while a shard has no owner yet. Once all were read, a shard without a reader is red."""
    world.child_says("a")
    world.known = StreamFacts(None, WEEK_S, without_owner=["a", "b", "c"])
    world.after(2)
    page = world.status_object()
    assert (page["code"], page["level"], page["reason"]) == ("starting", "warn", "not read yet: b, c")
    assert page["meaning"] == "The shards that are read go on. Events of the others wait in the stream."
    world.unread("b")
    world.after(2)
    page = world.status_object()
    assert (page["code"], page["reason"]) == ("starting", "not read yet: b"), "no owner for 8 s, but the start goes on"
    world.unread()
    world.after(2)
    assert world.status_object()["code"] == "well"
    world.unread("b")
    world.after(2)
    assert world.status_object()["code"] == "shards-unread"


def test_an_aws_that_was_silent_leaves_a_worker_without_shards_starting_and_not_well(world: World) -> None:
    """Minutes in which AWS gave no answer are no time in which a shard could be read. The start of a state stays."""
    world.silences = [Silence("DynamoDB", world.wall)]
    begun = world.status_object()["since"]
    world.passes(300)
    assert (world.status_object()["code"], world.status_object()["since"]) == ("aws-silent", begun)
    world.silences = []
    world.after(2)
    assert world.status_object()["code"] == "starting"
    world.passes(110)
    assert world.status_object()["code"] == "starting"
    world.passes(20)
    assert world.status_object()["code"] == "well"


@pytest.mark.parametrize(
    ("proof", "output", "bus", "rule", "value"),
    [
        ("describe", TargetBroken("rule", "is gone", "mend it"), "unproven", "unmatched", 1.0),
        ("describe", TargetBroken("bus", "is gone"), "gone", "unmatched", 1.0),
        ("describe", TargetOk(), "proven", "matched", 0.0),
        ("describe", TargetUnknown("Throttling"), "unasked", "unknown", None),
        ("trust", TargetOk(), "trusted", "unwatched", None),
    ],
)
def test_bus_and_rule_are_told_where_they_are_known(
    tmp_path: Path, proof: str, output: CheckResult, bus: str, rule: str, value: float | None
) -> None:
    """1 is CloudWatch's alarm; of what is not known nothing is claimed, nor of a bus that nobody asks for."""
    world = World(tmp_path, bus_proof=proof)
    world.answered(output)
    page = world.status_object()
    assert (page["bus"]["state"], page["rule"]["state"]) == (bus, rule)
    assert page["rule"]["cure"] == (output.cure if isinstance(output, TargetBroken) else None)
    world.child_says("a")
    world.after(2)
    assert world.in_cloudwatch().get("RuleUnmatched") == value
    world.state.close()


def test_what_is_so_lately_is_told_apart_from_what_was(world: World) -> None:
    """Rates, time shares and the time to catch up are of a minute, percentiles of five; an hour before says nothing."""
    before = [10.0] * 1000
    for step in range(-360, 31):
        steps = max(0, step)
        oldest_ms = (world.wall - (400 - 10 * steps)) * 1000
        last_minute = max(0, step - 24) / 6
        world.child_says(
            "a",
            delivered=20 * steps + int(120 * last_minute),
            latencies_ms=before + [1000.0] * steps,
            times_s={"waiting": 3600.0, "work": 45 * last_minute, "bus": 15 * last_minute},
            oldestReceivedMs=oldest_ms,
            oldestArrivedMs=oldest_ms,
        )
        world.passes(10)
    page = world.status_object()
    assert page["rates"]["deliveredPerS"] == pytest.approx(4.0, rel=0.01)
    latency = page["recent"]["latenciesMs"]["received_to_accepted"]
    assert (latency["count"], latency["p50"]) == (pytest.approx(30, abs=1), pytest.approx(1000, rel=0.01))
    assert page["totals"]["latenciesMs"]["received_to_accepted"]["count"] == 1030
    (shard,) = page["shards"]
    assert shard["timeShares"] == {"waiting": 0, "work": 0.75, "bus": 0.25, "holding": 0, "deadLetters": 0}
    # 110 s behind, 10 s of which stand since the child's last word: ten seconds are gained in ten.
    assert page["lag"]["catchUpS"] == pytest.approx(page["lag"]["oldestUnsettledAgeS"], rel=0.05)
    world.passes(60)
    assert world.status_object()["lag"]["catchUpS"] is None, "no lag that does not shrink is ever over"


def test_the_hour_has_a_row_of_what_happened_since_the_one_before(world: World) -> None:
    """Null where nothing is known or went out. It is bounded, and told by the clock as it is now: one that is set
    leaves neither a gap nor a wrong rate. Dead letters have a number for each row."""
    world.child_says("a", delivered=0, latencies_ms=[1.0] * 1000)
    world.passes(10 * (history.MAX_ROWS + 40))
    world.wall += 3600
    world.after(10)
    world.child_says("a", delivered=100, latencies_ms=[1.0] * 1000 + [float(n) for n in range(1, 101)])
    world.status.observe()
    page = json.loads(world.status.history())
    first, *others, before, row = (dict(zip(page["columns"], item, strict=True)) for item in page["rows"])
    assert len(others) + 3 == history.MAX_ROWS
    assert (row["at"], row["deliveredPerS"]) == (pytest.approx(world.wall * 1000, abs=1), 10.0)
    assert row["at"] - first["at"] == pytest.approx((history.MAX_ROWS - 1) * 10_000, abs=2)
    assert [row[name] for name in ("p50", "p90", "p95", "p99")] == pytest.approx([50, 90, 95, 99], rel=0.011)
    assert [before[name] for name in PERCENTILES] == [None] * 5
    assert (row["lagS"], row["headroomS"], row["holdingShards"], row["shards"]) == (0, None, 0, 1)
    world.child_says("a", pid=2, delivered=100)
    world.passes(10)
    (letters,) = json.loads(world.status.history())["deadLetters"].values()
    assert (len(letters), letters[-1]) == (history.MAX_ROWS, 1)


def test_metrics_are_sums_of_counts_and_the_shards_own_gauges(world: World) -> None:
    """What was never counted is 0, or `rate` would miss the first; what nobody tells has no sample."""
    world.child_says("a", delivered=900, gauges={"window_bytes": 7}, holding="the bus refuses everything")
    world.child_says("b", delivered=100)
    world.child_says("c", pid=NO_PROCESS, delivered=10)
    assert world.samples("events_d") == {"events_delivered_total": 1010, "events_dropped_total": 0}
    letters = world.samples("dead_letters_total")
    assert letters == {
        f'dead_letters_total{{reason="{item.value}"}}': 3 * (item == "malformed_json") for item in Reason
    }
    assert sorted(world.samples("stage_latency_seconds_count").values()) == [0] * (len(STAGES) - 1) + [1010]
    assert world.samples("window_bytes") == {'window_bytes{shard="a"}': 7}
    assert world.samples("holding") == {
        'holding{reason="the bus refuses everything",shard="a"}': 1,
        'holding{reason="",shard="b"}': 0,
    }
    assert world.samples("unread_shards") == {}
    world.unread("d")
    world.after(2)
    assert world.samples("unread_shards") == {"unread_shards": 1}


def test_cloudwatch_gets_the_worst_of_the_shards_that_are_read_here(world: World) -> None:
    """It grows with the clock; of a dead child nothing is told, and no zero claims health while a shard holds."""
    world.unread("c")
    received_ms = world.wall * 1000 - 30_000
    world.child_says("a", holding="destination", oldestReceivedMs=received_ms, oldestArrivedMs=received_ms)
    world.child_says("b")
    world.child_says("c", pid=NO_PROCESS)
    for seconds in (0.0, 30.0):
        world.after(seconds)
        result = world.in_cloudwatch()
        assert result["OldestUnsettledAgeSeconds"] == pytest.approx(30 + seconds, abs=0.01)
        assert result["RetentionHeadroomSeconds"] == pytest.approx(WEEK_S - 30 - seconds, abs=0.01)
        assert (result["HoldingShards"], result["UnreadShards"]) == (1.0, 1.0)
        assert "DroppedCount" not in result
    world.child_says("a")
    world.after(2)
    assert world.in_cloudwatch()["DroppedCount"] == 0


def test_a_cloudwatch_that_hangs_holds_up_no_stop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked on threads of its own: a worker that ends gives its last numbers a second."""
    released, asked = threading.Event(), threading.Event()

    def hangs(**_: Any) -> None:
        asked.set()
        released.wait(30)

    monkeypatch.setattr(world, "put_metric_data", hangs)
    world.child_says("a", pid=os.getpid())
    began = time.monotonic()
    world.send.last()
    assert time.monotonic() - began < FINAL_SEND_TIMEOUT_S + 1
    assert asked.is_set()
    released.set()

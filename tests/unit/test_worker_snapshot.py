"""What the supervisor sends to CloudWatch: what is known, twice; never a 0 that claims health."""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor.admin.status import Status, snapshot, tells_zeros
from stream_router.consumer.supervisor.admin.status_json import Identity
from stream_router.consumer.supervisor.stream_watch import NO_OWNER, StreamKnown, UnreadShard
from stream_router.consumer.supervisor.vitals import Hang, Vitals
from stream_router.consumer.target_proof import Answer, No, Standing, Unasked, Yes
from stream_router.model import Reason
from stream_router.receiver.stats import Stats
from stream_router.telemetry import prometheus
from stream_router.telemetry.cloudwatch import Whose
from stream_router.telemetry.cloudwatch_sender import LAST_WITHIN_S, Sender
from stream_router.telemetry.merged import snapshot_file
from stream_router.telemetry.metrics_catalogue import (
    CONSUMER,
    CONSUMER_IN_CLOUDWATCH,
    COUNTERS,
    ENTRIES_PER_CALL,
    OF_A_CHILD,
    RECEIVER,
    STAGE_LATENCY,
    STAGES,
)
from stream_router.telemetry.snapshot import Snapshot
from tests import told

COUNTED = {one.cloudwatch.name for one in (*COUNTERS.values(), *STAGES.values(), ENTRIES_PER_CALL) if one.cloudwatch}
WHO = Identity("router", "stream", "us-east-1", "worker-1", "default")
WEEK_S = 168 * 3600.0
Sample = tuple[str, tuple[tuple[str, str], ...]]


class CloudWatch:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.refusal = ""

    def put_metric_data(self, **call: Any) -> None:
        if self.refusal:
            raise ClientError({"Error": {"Code": self.refusal}}, "PutMetricData")
        self.sent.append(call)

    def data(self) -> dict[str, Any]:
        """Of the last call, by name; each datum came twice."""
        data = self.sent[-1]["MetricData"]
        whole = [one for one in data if len(one["Dimensions"]) == 2]
        assert len(data) == 2 * len(whole)
        return {one["MetricName"]: one for one in whole}

    def values(self) -> dict[str, float]:
        """How it is now, without what the children counted."""
        return {name: one["Values"][0] for name, one in self.data().items() if name not in COUNTED}


class World:
    """A worker whose children said what the test wrote, on the test's clocks."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.wall = time.time()
        self.state = StateDir(folder)
        self.known = StreamKnown()
        self.vitals = Vitals()
        self.vitals.daemon_runs(1)
        self.standing = Standing()
        self.status = Status(
            self.state, self.vitals, WHO, self.standing, lambda: self.known, lambda: self.now, lambda: self.wall
        )
        self.cloud = CloudWatch()
        whose, metrics = Whose("us-east-1", "router"), CONSUMER_IN_CLOUDWATCH
        self.send = Sender(self.cloud, whose, lambda: snapshot(self.status.seen()), metrics, tells_zeros)
        self.now += 2  # what was there when it began is kept for a second

    def child_says(self, shard: str, pid: int = 1, delivered: int = 5, **said: Any) -> None:
        self.writes(told.caught_up(shard, pid, delivered, at=self.wall, **said))

    def writes(self, said: Snapshot) -> None:
        file = snapshot_file(self.state.path, said.states["shard"], said.states["pid"])
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(orjson.dumps(said.to_dict()))

    def samples(self) -> dict[Sample, float]:
        """`/metrics`, read back by Prometheus's own parser."""
        return {
            (sample.name.removeprefix("stream_router_"), tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.status.pages().metrics.decode())
            for sample in family.samples
        }

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.state.close()


def test_before_anything_is_known_nothing_is_sent(world: World) -> None:
    """No shard, no look at the stream, no word on the rule: an alarm on missing data must see that."""
    world.send()
    assert world.cloud.sent == []


def test_a_worker_that_holds_says_so_and_its_lag_grows_with_the_clock(world: World) -> None:
    """The largest age, the smallest headroom, of the shards of this worker."""
    world.known = StreamKnown([], WEEK_S)
    received_ms = world.wall * 1000 - 30_000
    held: dict[str, Any] = {
        "holding": "destination",
        "holdReason": "x",
        "oldestReceivedMs": received_ms,
        "oldestArrivedMs": received_ms,
    }
    world.child_says("a", **held)
    world.child_says("b")
    for seconds in (0.0, 30.0):
        world.after(seconds)
        world.send()
        assert world.cloud.values() == {
            "OldestUnsettledAgeSeconds": pytest.approx(30 + seconds, abs=0.01),
            "RetentionHeadroomSeconds": pytest.approx(WEEK_S - 30 - seconds, abs=0.01),
            "HoldingShards": 1.0,
            "UnreadShards": 0.0,
        }


def test_a_caught_up_worker_has_age_zero_until_its_children_fall_silent(world: World) -> None:
    """A child that was stopped says nothing more: 0 is not claimed for it for longer than ten seconds."""
    world.child_says("a")
    world.send()
    assert world.cloud.values()["OldestUnsettledAgeSeconds"] == 0.0
    world.after(120)
    world.send()
    assert world.cloud.values()["OldestUnsettledAgeSeconds"] == pytest.approx(120)


def test_a_shard_whose_child_died_keeps_no_stale_zero(world: World) -> None:
    """Its process is gone: no lag of it, no count of holding shards."""
    world.child_says("a", pid=2**22 + 7)
    world.known = StreamKnown([UnreadShard("a", NO_OWNER, 1.0)], WEEK_S)
    world.send()
    assert world.cloud.values() == {"UnreadShards": 1.0}


def test_a_bus_that_is_trusted_is_not_called_proven(world: World) -> None:
    """Its proof is written without a question: whether it is there nobody has seen."""
    world.standing.heard(Yes(), 0.0)
    status = Status(world.state, world.vitals, WHO._replace(trusted=True), world.standing)
    told = orjson.loads(status.pages().status)
    assert (told["bus"]["state"], told["bus"]["proofAgeS"], told["rule"]["state"]) == ("trusted", None, "unwatched")
    assert orjson.loads(world.status.pages().status)["bus"]["state"] == "proven"


def names(call: dict[str, Any]) -> dict[str, float]:
    return {one["MetricName"]: one["Values"][0] for one in call["MetricData"]}


def test_each_restart_of_the_daemon_is_told_once(world: World) -> None:
    """Also where CloudWatch did not take it at first; without any there is no such metric to pay for."""

    def told_after(restarts: int, refusal: str = "") -> float | None:
        for _ in range(restarts):
            world.vitals.daemon_ended()
            world.vitals.daemon_runs(2)
        world.after(60)
        world.cloud.refusal = refusal
        world.send()
        return world.cloud.values().get("DaemonRestartCount")

    world.child_says("a")
    assert told_after(0) is None
    assert told_after(2) == 2.0
    assert told_after(0) is None
    told_after(1, refusal="Throttling")
    assert told_after(1) == 1.0, "the one before comes with its own time"
    assert [one.get("DaemonRestartCount") for one in map(names, world.cloud.sent[-2:])] == [1.0, 1.0]


def test_a_page_is_at_most_a_second_old_whoever_looked_before(world: World) -> None:
    """The supervisor's own looks are kept for a second too, and the two do not add up."""
    world.child_says("a")
    world.status.seen()
    world.after(0.9)
    before = world.status.pages()
    world.after(0.2)
    assert world.status.pages() is not before


def test_a_daemon_that_was_started_again_runs_once_a_shard_is_read(world: World) -> None:
    """One that dies again and again has no shard most of the time, and must not look like a host that is spare."""
    assert orjson.loads(world.status.pages().status)["state"] == "running"
    world.vitals.daemon_ended()
    world.vitals.daemon_runs(2)
    world.wall = time.time()
    world.after(1)
    told = orjson.loads(world.status.pages().status)
    assert (told["state"], told["reason"]) == ("restarting", "the KCL daemon was started again and reads no shard yet")
    world.after(60)
    told = orjson.loads(world.status.pages().status)
    assert (told["state"], told["reason"]) == ("running", "no shard is read here")


@pytest.mark.parametrize(
    ("said", "state", "value"),
    [(No("rule", "is gone"), "unmatched", 1.0), (Yes(), "matched", 0.0), (Unasked("Throttling"), "unknown", None)],
)
def test_the_rule_is_told_where_it_is_known(world: World, said: Answer, state: str, value: float | None) -> None:
    """1 is the alarm."""
    for second in (0.0, 1.0):
        world.standing.heard(said, second)
    assert orjson.loads(world.status.pages().status)["rule"]["state"] == state
    world.child_says("a")
    world.send()
    assert (world.cloud.values() if world.cloud.sent else {}).get("RuleUnmatched") == value


def test_a_cloudwatch_that_refuses_is_said_and_nothing_more(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What was not taken goes with the next minute's, under its own time."""
    world.child_says("a")
    world.cloud.refusal = "AccessDenied"
    world.send()
    assert "CloudWatch does not take the metrics: AccessDenied" in caplog.text
    world.cloud.refusal = ""
    world.send()
    assert world.cloud.values()["HoldingShards"] == 0.0


def test_what_the_children_counted_is_told_once_and_summed_over_shards(world: World) -> None:
    """Each event in one datum, latencies with their counts; a zero tells none from no child."""
    for shard, delivered in (("a", 5), ("b", 7)):
        world.writes(told.snapshot(shard, 1, delivered, at=world.wall))
    world.send()
    assert world.cloud.data()["RoutingSuccessCount"]["Values"] == [12.0]
    assert sum(world.cloud.data()["RoutingLatencyMilliseconds"]["Counts"]) == 12
    world.after(60)
    world.writes(told.snapshot("a", 1, 6, at=world.wall))
    world.send()
    assert world.cloud.data()["RoutingSuccessCount"]["Values"] == [1.0]
    assert world.cloud.data()["RoutingFailureCount"]["Values"] == [0.0]
    assert world.cloud.data()["RoutingLatencyMilliseconds"]["Counts"] == [1]


def test_a_cloudwatch_that_hangs_holds_up_no_stop(world: World) -> None:
    """It is asked on threads of its own: a worker that ends gives its last numbers a second."""
    released, asked = threading.Event(), threading.Event()

    def hangs(**_: Any) -> None:
        asked.set()
        released.wait(30)

    world.cloud.put_metric_data = hangs  # type: ignore[method-assign]
    world.child_says("a")
    began = time.monotonic()
    world.send.last()
    assert time.monotonic() - began < LAST_WITHIN_S + 1
    assert asked.is_set()
    released.set()


def test_a_zero_claims_no_health_while_a_shard_holds(world: World) -> None:
    """Of what was counted alone something is told then."""
    world.child_says("a", holding="destination", holdReason="x")
    world.send()
    assert "RoutingSuccessCount" in world.cloud.data()
    assert "DroppedCount" not in world.cloud.data()


def test_what_hangs_is_told_while_it_does(world: World) -> None:
    """Each process once; nothing where all go on, and nothing is paid for then."""
    world.child_says("a")
    world.send()
    assert "HangingProcesses" not in world.cloud.values()
    world.vitals.hang((Hang("a", 2), Hang("", 1)))
    world.after(60)
    world.send()
    assert world.cloud.values()["HangingProcesses"] == 2.0
    world.vitals.hang(())
    world.after(60)
    world.send()
    assert "HangingProcesses" not in world.cloud.values()


def test_a_bus_that_cannot_be_asked_is_told_while_it_cannot(world: World) -> None:
    """Since when, long before the shards hold for it; nothing while it answers, and nothing is paid for then."""
    world.child_says("a")
    world.send()
    assert "BusUnaskedSeconds" not in world.cloud.values()
    world.standing.heard(Unasked("Throttling"), world.now)
    world.after(660)
    world.child_says("a")
    world.send()
    assert world.cloud.values()["BusUnaskedSeconds"] == 660.0


def test_a_host_without_a_daemon_is_told_while_it_has_none(world: World) -> None:
    """Though nothing else is known there. Not one that starts, or starts again, nor one that is told to stop."""
    world.vitals.daemon_ended()
    world.send()
    assert world.cloud.sent == []
    world.after(61)
    world.send()
    assert world.cloud.values() == {"DaemonDown": 1.0}
    world.vitals.daemon_runs(2)
    world.after(60)
    world.child_says("a")
    world.send()
    assert "DaemonDown" not in world.cloud.values()
    world.vitals.draining()
    world.vitals.daemon_ended()
    world.after(60)
    world.send()
    assert "DaemonDown" not in world.cloud.values()


def test_status_tells_what_hangs_before_all_else(world: World) -> None:
    """A holding shard is told by its child, and that of a child that hangs is old."""
    world.child_says("a", holding="bytes")
    world.vitals.hang((Hang("a", 2), Hang("", 1)))
    told = orjson.loads(world.status.pages().status)
    assert told["state"] == "hanging"
    problems = "the child of a has not moved; a child (process 1) has not moved"
    assert told["reason"] == problems


def test_of_many_that_hang_three_are_named(world: World) -> None:
    """Where Kinesis does not answer, all children of a host are brought nothing: a verdict is one line all the same."""
    world.child_says("a")
    world.vitals.hang(tuple(Hang(f"s{n}", n) for n in range(60)))
    told = orjson.loads(world.status.pages().status)
    named = "; ".join(f"the child of s{n} has not moved" for n in range(3))
    assert told["reason"] == f"{named} and 57 more"


def test_status_tells_unread_shards_and_says_so_first(world: World) -> None:
    """In the verdict, in the list, with why and since when; not caught up."""
    world.child_says("a")
    world.known = StreamKnown([UnreadShard("b", NO_OWNER, 1_764_000_000.0)], WEEK_S)
    told = orjson.loads(world.status.pages().status)
    assert (told["state"], told["reason"]) == ("shards unread", "nobody reads b (no owner)")
    assert told["since"] == "2025-11-24T16:00:00.000Z"
    assert told["unreadShards"] == [{"shard": "b", "why": NO_OWNER, "since": "2025-11-24T16:00:00.000Z"}]
    assert told["lag"] == {
        "oldestUnsettledAgeS": 0.0,
        "retentionHeadroomS": WEEK_S,
        "caughtUp": False,
        "catchUpS": 0.0,
    }
    assert b"stream_router_unread_shards 1.0" in world.status.pages().metrics
    world.known = StreamKnown()
    world.after(2)
    assert b"\nstream_router_unread_shards" not in world.status.pages().metrics


def test_a_worker_without_a_shard_that_reaches_nothing_is_cut_off(world: World) -> None:
    """It cannot know whether another reads its shards, so it is not called well; a spare one, which can ask, is."""
    world.standing.heard(Unasked("Throttling"), 1.0)
    world.after(61)
    assert orjson.loads(world.status.pages().status)["state"] == "cut off"
    world.known = StreamKnown([], WEEK_S)
    world.after(2)
    assert orjson.loads(world.status.pages().status)["state"] == "running"


# --- /metrics


def test_counters_carry_the_contracts_names(world: World) -> None:
    """Delivered, dead letters by reason, retries by code, over all shards."""
    world.child_says("a", delivered=900)
    world.child_says("b", delivered=100)
    found = world.samples()
    assert found["events_delivered_total", ()] == 1000
    assert found["dead_letters_total", (("reason", "malformed_json"),)] == 2
    assert found["retries_total", (("code", ""),)] == 4
    assert found["daemon_restarts_total", ()] == 0


def test_what_was_never_counted_is_0_and_not_missing(world: World) -> None:
    """`rate` and `increase` do not see the first of a series that begins with it: a lone dead letter, or event."""
    found = world.samples()
    assert all(found["dead_letters_total", (("reason", reason.value),)] == 0 for reason in Reason)
    assert all(found["stage_latency_seconds_count", (("stage", stage),)] == 0 for stage in STAGES)
    assert found["events_delivered_total", ()] == 0
    assert not [name for name, labels in found if "shard" in dict(labels)]


def test_gauges_are_those_of_the_shards_that_tell_them(world: World) -> None:
    """A shard that tells nothing has no sample; every shard has its hold and the age of what it said."""
    world.child_says("a", gauges={"window_bytes": 7, "calls_in_flight": 3}, holding="the bus refuses everything")
    world.child_says("b")
    world.after(10)
    found = world.samples()
    assert found["window_bytes", (("shard", "a"),)] == 7
    assert ("window_bytes", (("shard", "b"),)) not in found
    assert found["holding", (("reason", "the bus refuses everything"), ("shard", "a"))] == 1
    assert found["holding", (("reason", ""), ("shard", "b"))] == 0
    assert found["snapshot_age_seconds", (("shard", "a"),)] == pytest.approx(10)
    assert ("window_bytes", ()) not in found, "the worst of all is for CloudWatch"


def test_what_hangs_has_a_sample_and_nothing_else_has(world: World) -> None:
    """Of a child by its shard, of the daemon with none; no 0 is told of what nobody judged, nor of a rule unknown."""
    world.vitals.hang((Hang("", 1), Hang("a", 2)))
    found = world.samples()
    hanging = {labels: value for (name, labels), value in found.items() if name == "hanging"}
    assert hanging == {(("shard", ""),): 1.0, (("shard", "a"),): 1.0}
    assert ("rule_matched", ()) not in found


def test_the_classic_buckets_are_exact_but_for_one_fine_bucket(world: World) -> None:
    """Each cumulative count lies between those of the exact values at the bound less and more 1 %."""
    world.child_says("a", delivered=900)
    found, exact_s, stage = world.samples(), [n / 1000 for n in range(1, 901)], ("stage", "received_to_accepted")
    for bound in STAGE_LATENCY.bounds:
        count = found["stage_latency_seconds_bucket", (("le", str(bound)), stage)]
        below, above = (sum(value <= bound * factor for value in exact_s) for factor in (0.989, 1.011))
        assert below <= count <= above
    assert found["stage_latency_seconds_bucket", (("le", "+Inf"), stage)] == 900
    assert found["stage_latency_seconds_sum", (stage,)] == pytest.approx(sum(exact_s), rel=0.01)
    assert found["entries_per_call_bucket", (("le", "10.0"),)] == found["entries_per_call_count", ()] == 90


def test_every_family_stands_in_the_catalogue_and_every_one_of_it_is_shown(world: World) -> None:
    """A metric that is only in the table, or only on a page, is a promise that nobody keeps."""
    gauges = {metric.name: 1.0 for metric in OF_A_CHILD}
    world.child_says("a", gauges=gauges, holding="bytes", breaker="open", times_s={"work": 1.25})
    world.known = StreamKnown([], WEEK_S)
    world.vitals.daemon_runs(os.getpid())
    world.vitals.hang((Hang("a", 2),))
    for second in (0.0, 1.0):
        world.standing.heard(Yes(), second)
    stats = Stats(("", "expert"))
    known = {metric.name.removeprefix("receiver_"): 1.0 for metric in RECEIVER}
    receiver = prometheus.page(stats.snapshot(known, {"InternalFailure": 1}), RECEIVER, "receive")
    for text, table in ((world.status.pages().metrics.decode(), CONSUMER), (receiver.decode(), RECEIVER)):
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        assert kinds == {metric.full_name: metric.kind for metric in table}
        with_samples = {family.name for family in text_string_to_metric_families(text) if family.samples}
        may_be_unknown = {"stream_router_catch_up_seconds"}
        assert {metric.full_name.removesuffix("_total") for metric in table} - with_samples <= may_be_unknown
        if shutil.which("promtool"):  # Prometheus's own linter of names and units (Debian's package prometheus)
            ran = subprocess.run(
                ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
            )
            assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    assert world.samples()["child_time_seconds_total", (("activity", "work"),)] == 1.25

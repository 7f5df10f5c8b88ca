"""The worker's one snapshot and its views: `/status`, `/metrics`, `/history`, CloudWatch and the line of the log."""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor import history
from stream_router.consumer.supervisor.status import Status, tells_zeros
from stream_router.consumer.supervisor.stream_watch import NO_OWNER, StreamKnown, UnreadShard
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.target_proof import Answer, No, Standing, Unasked, Yes
from stream_router.model import Reason
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.cloudwatch import LAST_WITHIN_S, Sender, Whose
from stream_router.telemetry.histogram import PERCENTILES
from stream_router.telemetry.merged import SNAPSHOTS, snapshot_file
from stream_router.telemetry.metrics_catalogue import (
    CONSUMER_IN_CLOUDWATCH,
    COUNTERS,
    ENTRIES_PER_CALL,
    STAGES,
)
from stream_router.telemetry.snapshot import Snapshot
from tests import told
from tests.environment import QUEUE

COUNTED = {one.cloudwatch.name for one in (*COUNTERS.values(), *STAGES.values(), ENTRIES_PER_CALL) if one.cloudwatch}
COUNTED |= {"RoutingFailureCount"}
WEEK_S = 168 * 3600.0
NO_PROCESS = 2**22 + 7
"""Above the kernel's largest."""


class CloudWatch:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def put_metric_data(self, **call: Any) -> None:
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

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.now, self.wall = 50.0, time.time()
        self.state = StateDir(folder)
        self.known = StreamKnown()
        self.vitals = Vitals(lambda: self.now, lambda: self.wall)
        self.vitals.daemon_runs(1)
        self.standing = Standing()
        self.status = Status(
            Consumer(aws_region="us-east-1", sqs_dlq_url=QUEUE, **settings),
            self.state,
            self.vitals,
            self.standing,
            lambda: self.known,
            lambda: self.now,
            lambda: self.wall,
        )
        self.cloud = CloudWatch()
        whose, metrics = Whose("us-east-1", "router"), CONSUMER_IN_CLOUDWATCH
        self.send = Sender(self.cloud, whose, self.status.snapshot, metrics, tells_zeros)
        self.after(2)  # what was there when it began is kept for a second

    def child_says(self, shard: str, pid: int = 1, delivered: int = 5, **said: Any) -> None:
        self.writes(told.caught_up(shard, pid, delivered, at=self.wall, **said))

    def writes(self, said: Snapshot) -> None:
        file = snapshot_file(self.state.path, said.states["shard"], said.states["pid"])
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(orjson.dumps(said.to_dict()))

    def told(self) -> dict[str, Any]:
        page: dict[str, Any] = json.loads(self.status.status())
        return page

    def rows(self) -> list[dict[str, Any]]:
        page = json.loads(self.status.history())
        return [dict(zip(page["columns"], row, strict=True)) for row in page["rows"]]

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """`/metrics`, read back by Prometheus's own parser."""
        return {
            (sample.name.removeprefix("stream_router_"), tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.status.metrics().decode())
            for sample in family.samples
        }

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def passes(self, seconds: int) -> None:
        """With a look every ten seconds, as the supervisor's sampler has them."""
        for _ in range(seconds // 10):
            self.after(10)
            self.status.look()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.state.close()


# --- the state in words


def test_status_says_what_is_so(world: World) -> None:
    """State and reason in words, totals with percentiles, each shard; as docs/schemas has it, or this test fails."""
    world.child_says("a", delivered=100, gauges={"window_bytes": 7})
    page = world.told()
    assert (page["program"], page["state"], page["reason"], page["pid"]) == ("consume", "caught up", None, os.getpid())
    assert page["totals"]["counters"]["delivered"] == 100
    assert (page["totals"]["deadLetters"], page["totals"]["entriesPerCall"]) == ({"malformed_json": 1}, 10)
    latency = page["totals"]["latenciesMs"]["received_to_accepted"]
    assert (latency["count"], latency["max"]) == (100, 100)
    assert latency["p50"] == pytest.approx(50, rel=0.011)
    (shard,) = page["shards"]
    assert (shard["shard"], shard["state"], shard["gauges"]["window_bytes"]) == ("a", "caught up", 7)
    assert page["unreadShards"] is None


@pytest.mark.parametrize(
    ("said", "bus", "rule", "value"),
    [
        (No("rule", "is gone", "mend it"), "unproven", "unmatched", 1.0),
        (No("bus", "is gone"), "gone", "unmatched", 1.0),
        (Yes(), "proven", "matched", 0.0),
        (Unasked("Throttling"), "unasked", "unknown", None),
    ],
)
def test_bus_and_rule_are_told_where_they_are_known(
    world: World, said: Answer, bus: str, rule: str, value: float | None
) -> None:
    """1 is the alarm; the problem is the worker's state."""
    for second in (0.0, 1.0):
        world.standing.heard(said, second)
    page = world.told()
    assert (page["bus"]["state"], page["rule"]["state"]) == (bus, rule)
    if isinstance(said, No):
        assert (page["state"], page["reason"], page["rule"]["cure"]) == ("rule unmatched", "is gone", said.cure)
    world.child_says("a")
    world.after(2)
    world.send()
    assert world.cloud.values().get("RuleUnmatched") == value


def test_a_bus_that_is_trusted_is_not_called_proven(tmp_path: Path) -> None:
    """Its proof is written without a question: whether it is there nobody has seen."""
    world = World(tmp_path, bus_proof="trust")
    world.standing.heard(Yes(), 0.0)
    page = world.told()
    assert (page["bus"]["state"], page["bus"]["proofAgeS"], page["rule"]["state"]) == ("trusted", None, "unwatched")
    world.state.close()


def test_a_daemon_that_was_started_again_runs_once_a_shard_is_read(world: World) -> None:
    """One that dies again and again has no shard most of the time, and must not look like a host that is spare."""
    assert world.told()["state"] == "running"
    world.vitals.daemon_ended()
    world.vitals.daemon_runs(2)
    world.after(2)
    page = world.told()
    assert (page["state"], page["reason"]) == ("restarting", "the KCL daemon was started again and reads no shard yet")
    world.after(60)
    assert (world.told()["state"], world.told()["reason"]) == ("running", "no shard is read here")


def test_what_hangs_is_told_before_what_holds_and_three_of_many_are_named(world: World) -> None:
    """A holding shard is told by its child, and that of a child that hangs is old."""
    world.child_says("a", holding="bytes")
    assert (world.told()["state"], world.told()["reason"]) == ("holding", "1 of 1 shards hold: bytes")
    world.vitals.hang(tuple(f"the child of s{n} has not moved" for n in range(60)))
    world.after(2)
    named = "; ".join(f"the child of s{n} has not moved" for n in range(3))
    assert (world.told()["state"], world.told()["reason"]) == ("hanging", f"{named} and 57 more")


def test_unread_shards_are_the_state_while_they_are_known(world: World) -> None:
    """In the verdict, in the list, with why and since when; not caught up. One that is read here is not unread."""
    world.child_says("a")
    unread = [UnreadShard(shard, NO_OWNER, 1_764_000_000.0) for shard in ("a", "b")]
    world.known = StreamKnown(unread, WEEK_S)
    page = world.told()
    assert (page["state"], page["reason"]) == ("shards unread", "nobody reads b (no owner)")
    assert page["unreadShards"] == [{"shard": "b", "why": NO_OWNER, "since": "2025-11-24T16:00:00.000Z"}]
    lag = {"oldestUnsettledAgeS": 0.0, "retentionHeadroomS": WEEK_S, "caughtUp": False, "catchUpS": 0.0}
    assert page["lag"] == lag
    assert world.samples()["unread_shards", ()] == 1
    world.known = StreamKnown()
    world.after(2)
    assert ("unread_shards", ()) not in world.samples()


def test_a_worker_without_a_shard_that_reaches_nothing_is_cut_off(world: World) -> None:
    """It cannot know whether another reads its shards, so it is not called well; a spare one, which can ask, is."""
    world.standing.heard(Unasked("Throttling"), 1.0)
    world.after(61)
    assert world.told()["state"] == "cut off"
    world.known = StreamKnown([], WEEK_S)
    world.after(2)
    assert world.told()["state"] == "running"


# --- what was so lately


def test_rates_are_of_a_minute_and_percentiles_of_five(world: World) -> None:
    """What was before says nothing."""
    world.child_says("a", delivered=0, latencies_ms=[10.0] * 1000)
    world.passes(3600)
    for number in range(1, 31):
        world.passes(10)
        world.child_says("a", delivered=number * 20, latencies_ms=[10.0] * 1000 + [1000.0] * number)
    world.after(2)
    page = world.told()
    assert page["rates"]["deliveredPerS"] == pytest.approx(2.0, rel=0.2)
    latency = page["recent"]["latenciesMs"]["received_to_accepted"]
    assert latency["count"] == pytest.approx(30, abs=1)
    assert latency["p50"] == pytest.approx(1000, rel=0.01)


def test_time_shares_sum_to_one_and_are_of_the_last_minute(world: World) -> None:
    """A child that waited for an hour and now only works: it works."""
    world.child_says("a", times_s={"waiting": 3600.0})
    world.passes(70)
    world.child_says("a", times_s={"waiting": 3600.0, "work": 45.0, "bus": 15.0})
    world.after(2)
    (shard,) = world.told()["shards"]
    assert shard["timeShares"] == {"waiting": 0, "work": 0.75, "bus": 0.25, "holding": 0, "deadLetters": 0}


@pytest.mark.parametrize(("gains", "rest_s"), [(True, 60.0), (False, None)])
def test_the_time_to_catch_up_is_that_at_the_speed_of_the_last_minute(
    world: World, gains: bool, rest_s: float | None
) -> None:
    """A lag that halves in a minute is gone in another; one that does not shrink is never over."""
    for step in range(7):
        lag_ms = (120 - 10 * step if gains else 120 + step) * 1000
        behind: dict[str, Any] = {
            "oldestReceivedMs": world.wall * 1000 - lag_ms,
            "oldestArrivedMs": world.wall * 1000 - lag_ms,
        }
        world.child_says("a", **behind)
        world.passes(10)
    caught_up_in = world.told()["lag"]["catchUpS"]
    assert caught_up_in == (rest_s and pytest.approx(rest_s, rel=0.3))


def test_a_row_of_the_hour_tells_what_happened_since_the_one_before(world: World) -> None:
    """Rates and percentiles of these ten seconds alone; an age that nobody knows, or no latency, is null."""
    world.child_says("a", delivered=0, latencies_ms=[1.0] * 1000)
    world.passes(10)
    later = [1.0] * 1000 + [float(n) for n in range(1, 101)]
    world.after(10)
    world.child_says("a", delivered=100, latencies_ms=later)
    world.status.look()
    *_, row = world.rows()
    assert (row["at"], row["deliveredPerS"]) == (pytest.approx(world.wall * 1000, abs=1), 10.0)
    assert [row[name] for name in ("p50", "p90", "p95", "p99")] == pytest.approx([50, 90, 95, 99], rel=0.011)
    assert (row["lagS"], row["headroomS"], row["holdingShards"], row["shards"]) == (0, None, 0, 1)
    world.passes(10)
    assert [world.rows()[-1][name] for name in PERCENTILES] == [None] * 5


def test_the_hour_is_bounded_and_told_by_the_clock_as_it_is_now(world: World) -> None:
    """A clock that is set leaves neither a gap nor a wrong rate; dead letters have a number for each row."""
    world.child_says("a")
    world.passes(10 * (history.ROWS_MAX + 40))
    world.wall += 3600
    world.passes(10)
    found = world.rows()
    assert len(found) == history.ROWS_MAX
    assert found[-1]["at"] - found[0]["at"] == pytest.approx((history.ROWS_MAX - 1) * 10_000, abs=2)
    assert found[-1]["at"] == pytest.approx(world.wall * 1000, abs=1)
    page = world.status.history()
    assert len(page) < 60_000
    assert {*map(len, json.loads(page)["deadLetters"].values())} <= {history.ROWS_MAX}


def test_the_log_says_every_five_minutes_what_was_done(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An idle consumer and a hung one differ; the first line comes after five minutes."""
    caplog.set_level(logging.INFO)
    world.status.say()
    assert not caplog.records
    world.child_says("a", delivered=0)
    world.passes(10)
    world.child_says("a", delivered=600)
    world.passes(300)
    world.status.say()
    (line,) = caplog.records
    said = vars(line)
    assert (said["shards"], said["delivered"], said["deliveredPerSecond"], said["overS"]) == (["a"], 600, 2.0, 300)


# --- numbers


def test_ended_children_are_cleaned_up_and_stay_counted(world: World) -> None:
    """A daemon that dies again and again fills neither the folder nor the memory, and no sum falls."""
    for number in range(60):
        world.writes(told.snapshot("a", NO_PROCESS + number, 10, at=world.wall - 3600 + number))
    world.child_says("a", os.getpid(), 5)
    for _ in range(3):
        world.after(2)
        assert world.told()["totals"]["counters"]["delivered"] == 605
    assert len(list((world.state.path / SNAPSHOTS).iterdir())) < 30
    assert [shard["pid"] for shard in world.told()["shards"]] == [os.getpid()]


def test_torn_files_of_the_state_folder_break_no_page(world: World) -> None:
    """What cannot be read is not known."""
    (world.state.path / SNAPSHOTS).mkdir()
    (world.state.path / SNAPSHOTS / "shardId-0.1.json").write_text("[1]")
    page = world.told()
    assert (page["bus"]["state"], page["rule"]["state"], page["shards"]) == ("unproven", "unknown", [])
    assert world.samples()


def test_what_was_never_counted_is_0_and_not_missing(world: World) -> None:
    """`rate` and `increase` do not see the first of a series that begins with it: a lone dead letter, or event."""
    found = world.samples()
    assert all(found["dead_letters_total", (("reason", reason.value),)] == 0 for reason in Reason)
    assert all(found["stage_latency_seconds_count", (("stage", stage),)] == 0 for stage in STAGES)
    assert not [name for name, labels in found if "shard" in dict(labels)]


def test_metrics_are_those_of_the_shards_that_tell_them(world: World) -> None:
    """Sums over all shards; a shard that tells nothing has no sample; every shard has its hold."""
    world.child_says("a", delivered=900, gauges={"window_bytes": 7}, holding="the bus refuses everything")
    world.child_says("b", delivered=100)
    found = world.samples()
    assert found["events_delivered_total", ()] == 1000
    assert found["dead_letters_total", (("reason", "malformed_json"),)] == 2
    assert found["window_bytes", (("shard", "a"),)] == 7
    assert ("window_bytes", (("shard", "b"),)) not in found
    assert found["holding", (("reason", "the bus refuses everything"), ("shard", "a"))] == 1
    assert found["holding", (("reason", ""), ("shard", "b"))] == 0
    assert ("window_bytes", ()) not in found, "the worst of all is for CloudWatch"


# --- CloudWatch


def test_a_worker_that_holds_says_so_and_its_lag_grows_with_the_clock(world: World) -> None:
    """The largest age, the smallest headroom, of the shards of this worker; of a dead child neither."""
    world.known = StreamKnown([UnreadShard("c", NO_OWNER, 1.0)], WEEK_S)
    received_ms = world.wall * 1000 - 30_000
    held: dict[str, Any] = {"holdReason": "x", "oldestReceivedMs": received_ms, "oldestArrivedMs": received_ms}
    world.child_says("a", holding="destination", **held)
    world.child_says("b")
    world.child_says("c", pid=NO_PROCESS)
    for seconds in (0.0, 30.0):
        world.after(seconds)
        world.send()
        assert world.cloud.values() == {
            "OldestUnsettledAgeSeconds": pytest.approx(30 + seconds, abs=0.01),
            "RetentionHeadroomSeconds": pytest.approx(WEEK_S - 30 - seconds, abs=0.01),
            "HoldingShards": 1.0,
            "UnreadShards": 1.0,
        }
        assert "DroppedCount" not in world.cloud.data(), "a zero claims no health while a shard holds"


def test_a_caught_up_worker_has_age_zero_until_its_children_fall_silent(world: World) -> None:
    """A child that was stopped says nothing more: 0 is not claimed for it for longer than ten seconds."""
    world.child_says("a")
    for seconds in (0.0, 120.0):
        world.after(seconds)
        world.send()
        assert world.cloud.values()["OldestUnsettledAgeSeconds"] == pytest.approx(seconds)


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

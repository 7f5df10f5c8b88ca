"""`stream-router plan`: arithmetic by hand, what binds, what it refuses; figures and tables are the newest."""

import importlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import cost as costs
from benchmarks.harness import results
from stream_router import cli
from stream_router.consumer.supervisor.watches import rule_watch, stream_watch
from stream_router.consumer.supervisor.watches.bus_prober import ask_every_s
from stream_router.control.plan import bounds, capacity, command, cost, data
from stream_router.control.plan.capacity import Fleet, Load
from stream_router.control.plan.data import Figures
from stream_router.errors import EX_CONFIG
from stream_router.settings.consumer import Consumer

ROOT = Path(__file__).parents[2]
ROUND = Figures(20.0, 10.0, 100.0, 1.0, 50.0, 100.0, 25.0, 1_000.0, 100.0, 400.0)
"""Figures that are easy to reckon with; taken with events of 600 bytes."""

runner = CliRunner()


def reckon(rate: float, size: int = 900, peak: float = 1.0, quota: int = 10_000) -> capacity.Capacity:
    return capacity.reckon(Load(rate, size, peak, "us-east-1"), ROUND, 600, quota)


def test_records_by_hand() -> None:
    """Below one event a linger each is alone; above, a record holds what one bucket got in 5 ms."""
    assert capacity.records(100, 2, 8) == pytest.approx(100)
    # one receiver, 2,000/s: 200 sends of 10 events over 8 buckets: 8 * (1 - (7/8)**10) = 5.896 records a send
    assert capacity.records(2_000, 1, 8) == pytest.approx(200 * 5.8955, rel=1e-3)


def test_calls_by_hand() -> None:
    """Full calls, and one that is not full for each batch: 4 batches a second of each of 2 shards."""
    assert capacity.calls(1_000, 2, 10) == pytest.approx(1_000 / 10 + 8 * 0.9)
    assert capacity.calls(4, 2, 10) == pytest.approx(4.0)  # fewer events than batches: each alone


def test_shards_by_bytes_and_by_records() -> None:
    """The mean fills half, the peak 80 %; at least two, and four buckets for each."""
    assert reckon(10).shards == 2
    # 1,000 bytes in the stream, 5,000/s: 5 MB a second, a half of 10 shards; the peak wants 5 / 0.8 = 7
    assert reckon(5_000, size=9_900).shards == 100  # 10,000 bytes: 50 MB a second
    found = reckon(100, size=99_900)  # 100,000 bytes: 10 MB a second
    assert (found.shards, found.buckets) == (20, 80)
    assert reckon(100, size=99_900, peak=4.0).shards == 50  # the peak binds: 40 MB / 0.8


def test_a_plan_by_hand() -> None:
    """Every figure of one load, worked out with a calculator."""
    found = reckon(100, size=99_900, peak=2.0)
    assert found.child_us == pytest.approx(20 + 999)
    # 25 shards are read 4 times a second, 1,000 us each: 0.1 cores, 500 us of each event at the peak
    assert found.event_us == pytest.approx(1_019 + 25 * found.record_rate_peak / 200 + 500)
    assert found.child_mb == pytest.approx(199.9)
    assert found.entries_per_call == 9  # 1,000,000 // 100,300
    assert found.shards == 25  # the peak: 20 MB / 0.8
    assert found.calls_peak == pytest.approx(200 / 9 + 100 * 8 / 9)  # 25 shards, 4 batches each
    # receiver: 50 + 10 ns * 99,300 = 1,043 us; 200/s are 0.21 cores, at 60 % 0.35 of a core; one to spare
    assert found.receivers._replace(cores=0) == Fleet(2, 0.5, 1, 0)
    assert found.receivers.cores == pytest.approx(0.2086, rel=1e-3)
    # an answer is 10.49 MB: 8.39 + 10.49 ahead, and 3.67 answers: 57 MB a shard; 25 of them and 40 MB: 1,474 MB
    assert (found.heap_mb, found.consumer_shards) == (1_536, 25)
    # children: 25 * 199.9 MB, and 1,536 + 270 + 199.9 MB in one task; 0.31 cores
    assert (found.consumers.tasks, found.consumers.vcpu, found.consumers.gb) == (2, 1, 8)
    assert found.lease_writes == pytest.approx((25 * 30 + 2 * 12) / 60)
    # 12,500 bytes are 4 units, 6,250 are 2; a supervisor's scans are eventually consistent, so half
    assert found.lease_reads == pytest.approx((12 * 4 + 2 * (24.5 * 2 + 1.2 * 4 / 2)) / 60)
    # 25 shards serve 50 MB a second: 500 events/s of 100,000 bytes; 100 * 3,600 / (500 - 100); but two vCPUs do more
    assert found.catch_up_s == pytest.approx(900)
    assert found.catch_up_binds == "what the shards serve"
    assert found.retention_left_h == 167


@pytest.mark.parametrize(
    ("record_bytes", "mb"),
    [(1_048_576, 57.3), (4_096, 46.6), (700, 9.3), (100, 1.3)],  # in use: 55 MB, and of a shard that holds 27
)
def test_what_a_backlog_takes_of_the_heap_by_hand(record_bytes: float, mb: float) -> None:
    """2,000 records are 10 MiB at most; three such answers ahead, or 8 MiB and the one that passes them."""
    assert capacity.heap_of_shard_mb(record_bytes) == pytest.approx(mb, abs=0.1)


def test_the_heap_grows_with_the_shards_of_a_consumer() -> None:
    """A thousand shards of 4 KB: each consumer's heap carries its share; the shipped one would be full at once."""
    made = command.plan(Load(100_000, 4_096, 2.0, "us-east-1"))
    found = made.found
    assert found.shards > 900
    assert found.consumer_shards == math.ceil(found.shards / (found.consumers.tasks - 1))
    assert found.heap_mb >= 40 + found.consumer_shards * capacity.heap_of_shard_mb(4_199)
    assert found.consumers.gb * 1000 >= found.heap_mb + 270 + found.consumer_shards * found.child_mb
    assert f"-Xmx{found.heap_mb}m for {found.consumer_shards} shards" in "\n".join(command.table(made))
    assert command.as_object(made)["jvmHeapMb"] == found.heap_mb


def test_what_never_catches_up_has_no_retention_left() -> None:
    """At 100,000/s the 10,000 calls of the quota just carry the mean: nothing is left for the backlog."""
    found = reckon(100_000, size=600)
    assert (found.catch_up_s, found.catch_up_binds, found.retention_left_h) == (None, "the PutEvents quota", None)
    assert reckon(100_000, size=600, quota=20_000).catch_up_s is not None


@pytest.mark.parametrize(
    ("rate", "region", "first", "passed"),
    [
        (100, "us-east-1", "target invocations/s", False),
        (10_000, "us-east-1", "target invocations/s", True),
        (10_000, "ca-central-1", "PutEvents calls/s", True),  # 600 calls; its invocations were not read
    ],
)
def test_what_binds_first(rate: float, region: str, first: str, passed: bool) -> None:
    """The limit that is full first as the load grows; of a region whose quota is unknown nothing is made up."""
    made = command.plan(Load(rate, 600, 2.0, region))
    assert made.first.bound.name == first
    assert (made.first.times < 1) is passed
    assert ("target invocations/s" in {one.name for one in made.bounds}) is (region == "us-east-1")


def test_what_each_consumer_asks_of_eventbridge_is_held_against_its_limit() -> None:
    """All consumers of an account share 50 calls a second: each looks at the bus every 5 s, at the rule every 30."""
    made = command.plan(Load(1_000_000, 600, 2.0, "us-east-1"))
    (found,) = [one for one in made.bounds if one.name == "control plane calls/s"]
    assert found.used == pytest.approx(made.found.consumers.tasks * (1 / 5 + 2 / 30))
    assert found.limit == 50


@pytest.mark.parametrize("rate", [10, 100, 2_000])
def test_what_binds_first_is_full_at_so_many_times_the_load(rate: float) -> None:
    """Not what a small load uses most of: two shards and their buckets are the least, and do not grow with it."""
    first = command.plan(Load(rate, 600, 2.0, "us-east-1")).first
    (then,) = [
        one
        for one in command.plan(Load(rate * first.times, 600, 2.0, "us-east-1")).bounds
        if one.name == first.bound.name
    ]
    assert then.share == pytest.approx(1, abs=0.02)
    before = command.plan(Load(rate * first.times * 0.95, 600, 2.0, "us-east-1")).bounds
    assert all(one.share < 1 for one in before)


def test_dollars_by_hand() -> None:
    """Prices times numbers, with round prices."""
    usd = dict.fromkeys(data.prices(), 1.0)
    load = Load(100, 600, 1.0, "us-east-1")
    found = capacity.reckon(load, ROUND, 600, 10_000)
    dollars = cost.product(load, found, usd, 1_000)
    assert dollars["Kinesis"] == pytest.approx(2 * 730 * 2 + found.record_rate * 2.628)
    assert dollars["EventBridge"] == pytest.approx(262.8)
    assert dollars["Fargate"] == pytest.approx(2 * 730 * (0.5 + 1) + 2 * 730 * (0.5 + 2))  # 512 + 270 MB, children
    assert dollars["load balancer"] == pytest.approx(730 * (1 + 0.216))  # 100 * 600 * 3,600 bytes an hour
    assert dollars["SQS"] == pytest.approx(262.8 * 0.003)
    others = cost.lambda_and_eventbridge(load, usd, 70_000)
    assert others == {
        "API Gateway": pytest.approx(262.8),
        "Lambda": pytest.approx(262.8 * 12_501),
        "EventBridge": 525.6,
    }
    piped = cost.kinesis_and_pipes(Load(1_000, 600, 2.0, "us-east-1"), usd, 1_000)
    assert piped["Kinesis"] == pytest.approx(3 * 730 * 2 + 2_628)  # 2,000 records at the peak / 0.8 = 3 shards
    assert piped["Pipes"] == pytest.approx(2_628)


def test_every_price_and_quota_has_source_and_date() -> None:
    """No figure without where it is from."""
    folder = ROOT / "stream_router/control/plan"
    entries = [
        *json.loads((folder / "prices.json").read_text("utf-8"))["prices"].values(),
        *json.loads((folder / "quotas.json").read_text("utf-8")).values(),
    ]
    assert all(len(one["source"]) > 20 and one["date"].startswith("202") for one in entries)


def _tool(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def test_the_figures_are_those_of_the_result_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """measured.json is what benchmarks/results says. Write it anew with `make docs`."""
    tool = _tool(monkeypatch, "measured")
    assert tool.TARGET.read_text("utf-8") == tool.text(), "run `make docs`"


def test_the_tables_of_the_page_are_the_commands_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/scale.md shows what `plan` and `benchmarks/cost.py` say. Write it anew with `make docs`."""
    tool = _tool(monkeypatch, "scale")
    assert tool.PAGE.read_text("utf-8") == tool.page(), "run `make docs`"
    assert "\n".join(costs.table()) in tool.PAGE.read_text("utf-8")


def test_a_line_is_true_to_the_sizes_between() -> None:
    """From the CPU at 0.6 and 64 KB the plan predicts the run at 4 KB within 20 %."""
    run = {name: results.median(results.latest("sizes"), "child, 4096 bytes", name) for name in ("cpuUs", "rssMb")}
    planned = command.plan(Load(1_000, 4_096, 1.0, "us-east-1")).found
    assert planned.child_us == pytest.approx(run["cpuUs"], rel=0.2)
    assert planned.child_mb == pytest.approx(run["rssMb"], rel=0.2)


@pytest.mark.parametrize("rate", ["0.5", "1000", "1000000"])
@pytest.mark.parametrize("size", ["1", "600", "900000"])
def test_it_reads_at_60_columns(rate: str, size: str) -> None:
    """And ends with 0 also where limits are passed."""
    done = runner.invoke(cli.app, ["plan", "--events-per-second", rate, "--event-bytes", size])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 60
    assert all(line == line.rstrip() for line in lines)
    assert any("binds first" in line or "passed already" in line for line in lines)


def test_json_says_the_same() -> None:
    """One object, whose dollars add up."""
    done = runner.invoke(cli.app, ["plan", "--events-per-second", "1000", "--event-bytes", "600", "--json"])
    found = json.loads(done.output)
    assert (found["shards"], found["putEventsQuota"], found["peakEventsPerSecond"]) == (2, 10_000, 2_000)
    assert (found["bindsFirst"], found["limits"][0]["name"]) == ("target invocations/s", "target invocations/s")
    assert 1 < found["bindsAtTimesThisLoad"] < 10_000
    assert sum(found["dollarsAMonth"].values()) == pytest.approx(found["dollarsAMonthAll"])


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (["0", "600"], "--events-per-second: 0 is not above 0"),
        (["nan", "600"], "--events-per-second: nan is not"),
        (["1", "0"], "--event-bytes: 0 is not from 1"),
        (["1", "600", "--peak", "0.5"], "--peak: 0.5 is not from 1"),
        (["1", "600", "--region", "us-east-9"], "--region: 'us-east-9' is no AWS region"),
    ],
)
def test_a_wrong_argument_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: list[str], line: str
) -> None:
    """What is wrong, and what would be right; no traceback."""
    rate, size, *more = wrong
    arguments = ["stream-router", "plan", "--events-per-second", rate, "--event-bytes", size, *more]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == EX_CONFIG
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"stream-router: {line}")
    assert said.err.count("\n") == 1


def test_the_plan_reckons_with_the_reads_of_the_shipped_properties() -> None:
    """The daemon's pause between two reads of a shard stands in its properties; the plan has a copy."""
    lines = (Path(__file__).parent.parent.parent / "properties" / "consumer.properties").read_text().splitlines()
    pause_ms = next(int(line.split("=")[1]) for line in lines if line.startswith("idleTimeBetweenReadsInMillis"))
    assert pause_ms * capacity.READS_PER_S == 1000
    assert f"maxRecords = {capacity.READ_RECORDS}" in lines
    assert any(line.startswith(f"jvm.options = -Xmx{capacity.JVM_MB}m ") for line in lines)


def test_the_plan_reckons_with_the_intervals_at_which_a_supervisor_asks() -> None:
    """Bus, rule and lease table: the plan has copies."""
    bus_s = ask_every_s(Consumer.model_fields["checkpoint_s"].default)
    assert pytest.approx(1 / bus_s + 2 / rule_watch.EVERY_S) == bounds.CONTROL_CALLS
    assert pytest.approx(60 / stream_watch.EVERY_S) == capacity.WATCHES

"""`shards`: loads against limits, what to do, and a reshard with its rules."""

import os
import sys
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.control.shards import command, load, reshard
from stream_router.control.shards.load import Load
from stream_router.control.stream import session
from stream_router.control.stream import shards as shards_
from stream_router.control.stream.polite_reads import UserRecord
from stream_router.control.stream.positions import Position
from stream_router.control.stream.reader import Piece, Span
from stream_router.control.stream.session import Stops
from stream_router.control.stream.shards import Shard, Stream
from tests import broken_off
from tests.scripted import Script

HALF = 2**127


def summary(shards: int = 4, status: str = "ACTIVE", mode: str = "PROVISIONED") -> dict[str, Any]:
    return {"OpenShardCount": shards, "StreamStatus": status, "StreamModeDetails": {"StreamMode": mode}}


def test_a_load_is_measured_by_records_and_bytes() -> None:
    """User records of one Kinesis record count once; closed shards are not shown, empty ones are."""
    shards = {
        "a": Shard("a", (), 0, HALF - 1, is_open=True),
        "b": Shard("b", (), HALF, 2 * HALF - 1, is_open=True),
        "c": Shard("c", (), 0, HALF - 1, is_open=False),
    }
    records = [UserRecord(Position(n // 2, n % 2), 1, bytes(100), passed_over=False) for n in range(20)]
    pieces = [Piece(shards["a"], records[:10], 0, 1, 1), Piece(shards["a"], records[10:], 0, 1, 1)]
    assert load.measure(pieces, shards, Span(0, 10_000)) == [Load("a", 0.5, 1.0, 200.0), Load("b", 0.5, 0.0, 0.0)]


def test_what_a_measurement_keeps_does_not_grow_with_what_it_reads() -> None:
    """A thousand full shards bring 60 million records a minute: of each shard a few numbers are kept."""
    shard = Shard("a", (), 0, 2 * HALF - 1, is_open=True)

    def pieces() -> Iterator[Piece]:
        for n in range(200):
            records = [UserRecord(Position(2**80 + 100 * n + m, 0), 1, b"x", passed_over=False) for m in range(100)]
            yield Piece(shard, records, 0, 1, 1)

    tracemalloc.start()
    found = load.measure(pieces(), {"a": shard}, Span(0, 10_000))
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [Load("a", 1.0, 2_000.0, 2_000.0)]
    assert most_bytes < 200_000


@pytest.mark.parametrize(
    ("loads", "says"),
    [
        ([(900, 0), (900, 0)], "nearly full: `stream-router shards --to 4`"),
        ([(0, 850_000)], "nearly full: `stream-router shards --to 2`"),
        ([(950, 0), (10, 0), (10, 0)], "a is far fuller than the others"),
        ([(0, 0), (0, 0)], "nothing to do"),  # `plan` never wants fewer than two
        ([(100, 0), (100, 0), (100, 0)], "half as many shards would do at this load: `stream-router shards --to 2`"),
        ([(400, 0), (400, 0)], "nothing to do"),
        ([(10, 0)], "nothing to do"),
    ],
)
def test_it_says_what_to_do(loads: list[tuple[float, float]], says: str) -> None:
    """By the limit that binds first, and not where another number of shards would not help."""
    made = [Load("abc"[n], 1 / len(loads), *one) for n, one in enumerate(loads)]
    assert load.advice(made).startswith(says)


@pytest.mark.parametrize("records_per_s", [10.0, 900.0])
def test_of_an_on_demand_stream_no_number_of_shards_is_advised(records_per_s: float) -> None:
    """`shards --to` refuses it: Kinesis reshards it by itself."""
    made = [load.Load(f"s{n}", 0.25, records_per_s, 0.0) for n in range(4)]
    said = load.advice(made, on_demand=True)
    assert "--to" not in said
    assert said.startswith("the stream is on demand")


def test_the_table_is_readable_at_60_columns() -> None:
    """Figures and shares of the limits."""
    lines = command.table([Load("shardId-000000000001", 0.5, 412.0, 612_345.0)], 60)
    assert lines[1].split() == ["shardId-000000000001", "50.0%", "412.0", "41%", "612.3", "61%"]
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize(
    ("given", "wanted", "buckets", "why"),
    [
        (summary(), 8, 32, ""),
        (summary(), 2, 32, ""),
        (summary(5), 3, 32, ""),
        (summary(), 9, 64, "at most double at once: first --to 8"),
        (summary(5), 2, 32, "at least half at once: first --to 3"),
        (summary(6_000), 10_001, 64_000, "at most 10,000 shards"),
        (summary(status="UPDATING"), 8, 32, "the stream is UPDATING"),
        (summary(mode="ON_DEMAND"), 8, 32, "the stream is on demand"),
        (summary(1_000), 2_000, 4_096, ""),  # a receiver has no more of them
        (summary(1_000), 2_000, 4_095, "2000 shards want STREAM_ROUTER_BUCKETS of at least 4096 (here it is 4095)"),
        (summary(), 8, 31, "8 shards want STREAM_ROUTER_BUCKETS of at least 32 (here it is 31)"),
    ],
)
def test_the_rules_of_a_reshard(given: dict[str, Any], wanted: int, buckets: int, why: str) -> None:
    """What AWS would refuse, and what would leave shards empty, is said before."""
    found = reshard.refusal(given, wanted, buckets)
    assert found.startswith(why)
    assert bool(found) == bool(why)


def described(status: str, shards: int) -> dict[str, Any]:
    told = {"StreamName": "s", "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s", "StreamStatus": status}
    more = {"RetentionPeriodHours": 24, "StreamCreationTimestamp": 1.0, "EnhancedMonitoring": []}
    return {"StreamDescriptionSummary": {**told, **more, "OpenShardCount": shards}}


def test_a_reshard_is_followed_to_its_end() -> None:
    """Active with the wanted number of shards; active too early is not the end."""
    script = Script()
    states = [("ACTIVE", 2), ("UPDATING", 3), ("UPDATING", 4), ("ACTIVE", 4)]
    for state in states:
        script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described(*state))
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return False

    told = list(reshard.follow(script.clients.kinesis, "s", 4, lambda: 0.0, wait))
    assert told == states
    assert waited == [reshard.FOLLOWED_EVERY_S] * 3


def test_a_reshard_that_does_not_end_is_given_up() -> None:
    """After half an hour; Kinesis may still go on."""
    script, now = Script(), [0.0]
    for _ in range(2):
        script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described("UPDATING", 3))

    def wait(seconds: float) -> bool:
        now[0] += reshard.FOLLOWED_FOR_S + 1
        return False

    with pytest.raises(
        TimeoutError,
        match=f"after 30 minutes the stream is UPDATING, with 3 shards open: {reshard.GOES_ON}",
    ):
        list(reshard.follow(script.clients.kinesis, "s", 4, lambda: now[0], wait))


def test_ctrl_c_before_the_reshard_is_asked_for_leaves_the_stream_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """The first question may take long; who breaks off then does not want the rest."""
    script, stops = Script(), Stops()
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described("ACTIVE", 2))
    stops.asked.set()
    settings: Any = SimpleNamespace(stream="s", buckets=64)
    assert command._reshard(settings, 4, script.clients, stops) == command.NOT_DONE
    script.done()
    told = capsys.readouterr()
    assert told.err == "broken off: the stream is as it was\n"
    assert "a template owns the stream (CloudFormation, Terraform): change the number of shards there" in told.out


def test_a_reshard_that_is_not_followed_to_its_end_is_not_said_to_be_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C: Kinesis goes on, and the command does not know how it ends."""
    script, stops = Script(), Stops()
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described("ACTIVE", 2))
    asked = {"StreamName": "s", "TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING"}
    script.expect("kinesis", "update_shard_count", asked)
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described("UPDATING", 2))

    def wait(_: float) -> bool:
        stops.asked.set()
        return True

    monkeypatch.setattr(stops.asked, "wait", wait)
    settings: Any = SimpleNamespace(stream="s", buckets=64)
    assert command._reshard(settings, 4, script.clients, stops) == command.NOT_DONE
    told = capsys.readouterr()
    assert told.err == f"broken off: {reshard.GOES_ON}\n"
    assert "done" not in told.out


def test_a_measurement_that_is_broken_off_shows_no_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of a minute would be half of the load."""
    stops = Stops()
    monkeypatch.setattr(session, "reading", broken_off.reading(stops))
    monkeypatch.setattr(shards_, "describe", lambda *_: Stream("s", "arn", {}, 0))
    settings: Any = SimpleNamespace(stream="s", buckets=64)
    clients: Any = SimpleNamespace(kinesis=None)
    assert command._show(settings, clients, stops) == command.NOT_DONE
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "broken off: nothing is measured\n")


def test_a_reshard_that_nobody_reads_of_any_more_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`| head -1`: the status says how the reshard ended, not that a line was not read."""
    script, (there, here) = Script(), os.pipe()
    os.close(there)
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described("ACTIVE", 2))
    asked = {"StreamName": "s", "TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING"}
    script.expect("kinesis", "update_shard_count", asked)
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described("ACTIVE", 4))
    settings: Any = SimpleNamespace(stream="s", buckets=64)
    with os.fdopen(here, "w") as unread:
        monkeypatch.setattr(sys, "stdout", unread)
        assert command._reshard(settings, 4, script.clients, Stops()) == command.DONE
    script.done()

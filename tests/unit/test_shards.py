"""`shards`: loads against limits, what to do, and a reshard with its rules."""

import os
import sys
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.operate import shards
from stream_router.operate import stream as streams
from stream_router.operate.console import Stop
from stream_router.operate.shards import Load
from stream_router.operate.stream import Piece, Position, Shard, Span, Stream, UserRecord
from tests.scripted import Script

HALF = 2**127


def summary(count: int = 4, status: str = "ACTIVE", mode: str = "PROVISIONED") -> dict[str, Any]:
    return {"OpenShardCount": count, "StreamStatus": status, "StreamModeDetails": {"StreamMode": mode}}


def test_a_load_is_measured_by_records_and_bytes() -> None:
    """User records of one Kinesis record count once; closed shards are not shown, empty ones are."""
    found = {
        "a": Shard("a", (), 0, HALF - 1, is_open=True),
        "b": Shard("b", (), HALF, 2 * HALF - 1, is_open=True),
        "c": Shard("c", (), 0, HALF - 1, is_open=False),
    }
    records = [UserRecord(Position(n // 2, n % 2), 1, bytes(100), passed_over=False) for n in range(20)]
    pieces = [Piece(found["a"], records[:10], 0, 1, is_last=True), Piece(found["a"], records[10:], 0, 1, is_last=True)]
    assert shards.measure(pieces, found, Span(0, 10_000)) == [Load("a", 0.5, 1.0, 200.0), Load("b", 0.5, 0.0, 0.0)]


def test_what_a_measurement_keeps_does_not_grow_with_what_it_reads() -> None:
    """A thousand full shards bring 60 million records a minute: of each shard a few numbers are kept."""
    shard = Shard("a", (), 0, 2 * HALF - 1, is_open=True)

    def pieces() -> Iterator[Piece]:
        for n in range(200):
            records = [UserRecord(Position(2**80 + 100 * n + m, 0), 1, b"x", passed_over=False) for m in range(100)]
            yield Piece(shard, records, 0, 1, is_last=True)

    tracemalloc.start()
    found = shards.measure(pieces(), {"a": shard}, Span(0, 10_000))
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
    assert shards.advice(made).startswith(says)


@pytest.mark.parametrize("records_per_s", [10.0, 900.0])
def test_of_an_on_demand_stream_no_number_of_shards_is_advised(records_per_s: float) -> None:
    """`shards --to` refuses it: Kinesis reshards it by itself."""
    made = [Load(f"s{n}", 0.25, records_per_s, 0.0) for n in range(4)]
    said = shards.advice(made, on_demand=True)
    assert "--to" not in said
    assert said.startswith("the stream is on demand")


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
    found = next(shards.refusals(given, wanted, buckets), "")
    assert found.startswith(why)
    assert bool(found) == bool(why)


def described(status: str, count: int) -> dict[str, Any]:
    told = {"StreamName": "s", "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s", "StreamStatus": status}
    more = {"RetentionPeriodHours": 24, "StreamCreationTimestamp": 1.0, "EnhancedMonitoring": []}
    return {"StreamDescriptionSummary": {**told, **more, "OpenShardCount": count}}


SETTINGS: Any = SimpleNamespace(stream="s", buckets=64)


def resharding(*states: tuple[str, int]) -> Script:
    """An AWS in which a stream of two shards gets four, and is found in these states then."""
    script = Script()
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described("ACTIVE", 2))
    asked = {"StreamName": "s", "TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING"}
    script.expect("kinesis", "update_shard_count", asked)
    for state in states:
        script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described(*state))
    return script


def test_a_reshard_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Active with the wanted number of shards; active too early is not the end."""
    script = resharding(("ACTIVE", 2), ("UPDATING", 3), ("UPDATING", 3), ("ACTIVE", 4))
    monkeypatch.setattr(shards, "FOLLOWED_EVERY_S", 0.0)
    assert shards.reshard(SETTINGS, 4, script.clients, Stop()) == shards.DONE
    script.done()
    told = capsys.readouterr().out
    assert told.endswith(
        "stream s: from 2 shards to 4\nACTIVE, 2 shards open\nUPDATING, 3 shards open\nACTIVE, 4 shards open\ndone\n"
    )
    assert "a template owns the stream (CloudFormation, Terraform): change the number of shards there" in told


def test_a_reshard_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After half an hour; Kinesis may still go on."""
    monkeypatch.setattr(shards, "FOLLOWED_FOR_S", -1.0)
    with pytest.raises(TimeoutError, match=f"minutes the stream is UPDATING, 3 shards open: {shards.GOES_ON}"):
        shards.reshard(SETTINGS, 4, resharding(("UPDATING", 3)).clients, Stop())


def test_ctrl_c_before_the_reshard_is_asked_for_leaves_the_stream_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """The first question may take long; who breaks off then does not want the rest."""
    script, stop = Script(), Stop()
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described("ACTIVE", 2))
    stop.ask()
    assert shards.reshard(SETTINGS, 4, script.clients, stop) == shards.NOT_DONE
    script.done()
    assert capsys.readouterr().err == "broken off: the stream is as it was\n"


def test_a_reshard_that_is_not_followed_to_its_end_is_not_said_to_be_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C: Kinesis goes on, and the command does not know how it ends."""
    stop = Stop()
    monkeypatch.setattr(stop, "wait", lambda _: True)
    assert shards.reshard(SETTINGS, 4, resharding(("UPDATING", 2)).clients, stop) == shards.NOT_DONE
    told = capsys.readouterr()
    assert told.err == f"broken off: {shards.GOES_ON}\n"
    assert "done" not in told.out


@pytest.mark.parametrize("is_broken_off", [False, True])
def test_the_load_is_shown_unless_it_is_broken_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_broken_off: bool
) -> None:
    """Figures and shares of the limits, at 60 columns. Half of a minute would be half of the load."""
    stop, shard = Stop(), Shard("shardId-000000000001", (), 0, 2 * HALF - 1, is_open=True)

    def read(*_: Any) -> Iterator[Piece]:
        yield Piece(shard, [UserRecord(Position(n, 0), 1, bytes(1000)) for n in range(24_000)], 0, 1, is_last=True)
        if is_broken_off:
            stop.ask()

    monkeypatch.setattr(streams, "read", read)
    monkeypatch.setattr(streams, "describe", lambda *_: Stream("s", {shard.shard_id: shard}))
    clients: Any = SimpleNamespace(kinesis=None)
    assert shards.show(SETTINGS, clients, stop) == (shards.NOT_DONE if is_broken_off else shards.DONE)
    told = capsys.readouterr()
    if is_broken_off:
        assert (told.out, told.err) == ("", "broken off: nothing is measured\n")
        return
    _, line, says = told.out.splitlines()
    assert line.split() == ["shardId-000000000001", "100.0%", "400.0", "40%", "400.0", "40%"]
    assert len(line) <= 60
    assert says == "nothing to do"


def test_a_reshard_that_nobody_reads_of_any_more_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`| head -1`: the status says how the reshard ended, not that a line was not read."""
    script, (there, here) = resharding(("ACTIVE", 4)), os.pipe()
    os.close(there)
    with os.fdopen(here, "w") as unread:
        monkeypatch.setattr(sys, "stdout", unread)
        assert shards.reshard(SETTINGS, 4, script.clients, Stop()) == shards.DONE
    script.done()

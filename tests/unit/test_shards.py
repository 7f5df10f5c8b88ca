"""`shards`: loads against limits, what to do, and a reshard with its rules."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.operate import shards
from stream_router.operate import stream as streams
from stream_router.operate.console import Stop
from stream_router.operate.shards import Load
from stream_router.operate.stream import Piece, Position, Shard, Stream, UserRecord
from tests.scripted import Script

SETTINGS: Any = SimpleNamespace(stream="s", buckets=64)


@pytest.mark.parametrize(
    ("loads", "says"),
    [
        ([(900, 0), (900, 0)], "nearly full: `stream-router shards --to 4`"),
        ([(0, 850_000)], "nearly full: `stream-router shards --to 2`"),
        ([(950, 0), (10, 0), (10, 0)], "a is far fuller than the others"),
        ([(0, 0), (0, 0)], "nothing to do"),
        ([(100, 0), (100, 0), (100, 0)], "half as many shards would do at this load: `stream-router shards --to 2`"),
        ([(400, 0), (400, 0)], "nothing to do"),
    ],
)
def test_it_says_what_to_do(loads: list[tuple[float, float]], says: str) -> None:
    """By the limit that binds first, and not where another number of shards would not help, or Kinesis reshards."""
    made = [Load("abc"[n], 1 / len(loads), *one) for n, one in enumerate(loads)]
    assert shards.advice(made).startswith(says)
    assert "--to" not in shards.advice(made, on_demand=True)


@pytest.mark.parametrize(
    ("count", "wanted", "buckets", "more", "why"),
    [
        (4, 8, 32, {}, ""),
        (5, 3, 32, {}, ""),
        (4, 9, 64, {}, "at most double at once: first --to 8"),
        (5, 2, 32, {}, "at least half at once: first --to 3"),
        (6_000, 10_001, 64_000, {}, "at most 10,000 shards"),
        (4, 8, 32, {"StreamStatus": "UPDATING"}, "the stream is UPDATING"),
        (4, 8, 32, {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}}, "the stream is on demand"),
        (1_000, 2_000, 4_096, {}, ""),  # a receiver has no more of them
        (4, 8, 31, {}, "8 shards want STREAM_ROUTER_BUCKETS of at least 32"),
    ],
)
def test_the_rules_of_a_reshard(count: int, wanted: int, buckets: int, more: dict[str, Any], why: str) -> None:
    """What AWS would refuse, and what would leave shards empty, is said before."""
    found = next(shards.refusals({"OpenShardCount": count, "StreamStatus": "ACTIVE", **more}, wanted, buckets), "")
    assert (found.startswith(why), bool(found)) == (True, bool(why))


@pytest.mark.parametrize("is_broken_off", [False, True])
def test_a_reshard_is_followed_to_its_end_unless_it_is_broken_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_broken_off: bool
) -> None:
    """Active with the wanted number of shards; active too early is not the end. Who breaks off is told so."""
    script, stop = Script(), Stop()
    states = [("ACTIVE", 2)] if is_broken_off else [("ACTIVE", 2), ("UPDATING", 3), ("UPDATING", 3), ("ACTIVE", 4)]
    for at, (status, count) in enumerate([("ACTIVE", 2), *states]):
        told = {"StreamName": "s", "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s"}
        more = {"RetentionPeriodHours": 24, "StreamCreationTimestamp": 1.0, "EnhancedMonitoring": []}
        has = {**told, **more, "OpenShardCount": count, "StreamStatus": status}
        script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, {"StreamDescriptionSummary": has})
        if at == 0:
            asked = {"StreamName": "s", "TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING"}
            script.expect("kinesis", "update_shard_count", asked)
    monkeypatch.setattr(shards, "FOLLOWED_EVERY_S", 0.0)
    monkeypatch.setattr(stop, "wait", lambda _: is_broken_off)
    why = shards.reshard(SETTINGS, 4, script.clients, stop)
    script.done()
    assert capsys.readouterr().out.endswith("ACTIVE, 2 shards open\n" if is_broken_off else "4 shards open\ndone\n")
    assert why.startswith("no longer followed, the stream is ACTIVE, 2 shards open: ") is is_broken_off


@pytest.mark.parametrize("is_broken_off", [False, True])
def test_the_load_is_shown_unless_it_is_broken_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_broken_off: bool
) -> None:
    """A Kinesis record counts once however many user records are in it; closed shards are not shown."""
    stop, name = Stop(), "shardId-000000000001"
    closed = Shard("closed", (), 0, 9, is_open=False)
    found = {name: Shard(name, (), 0, 2**128 - 1, is_open=True), "closed": closed}

    def read(*_: Any) -> Iterator[Piece]:
        records = [UserRecord(Position(n // 2, n % 2), 1, bytes(500)) for n in range(48_000)]
        yield Piece(found[name], records, 0, 1, is_last=True)
        if is_broken_off:
            stop.ask()

    monkeypatch.setattr(streams, "read", read)
    monkeypatch.setattr(streams, "describe", lambda *_: Stream("s", found))
    clients: Any = SimpleNamespace(kinesis=None)
    assert bool(shards.show(SETTINGS, clients, stop)) is is_broken_off
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    shown = [[name, "100.0%", "400.0", "40%", "400.0", "40%"], ["nothing", "to", "do"]]
    assert lines == ([] if is_broken_off else shown)

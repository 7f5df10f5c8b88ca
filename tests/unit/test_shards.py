"""`shards`: loads against limits, what to do, and a reshard with its rules."""

from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.operate import shards
from stream_router.operate.console import Stop
from stream_router.operate.shards import Load
from stream_router.operate.stream import Piece, Position, Shard, Span, UserRecord
from tests.scripted import Script


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


def test_a_reshard_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Active with the wanted number of shards; active too early is not the end."""
    script = Script()
    for at, (status, count) in enumerate(
        [("ACTIVE", 2), ("ACTIVE", 2), ("UPDATING", 3), ("UPDATING", 3), ("ACTIVE", 4)]
    ):
        if at == 1:
            asked = {"StreamName": "s", "TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING"}
            script.expect("kinesis", "update_shard_count", asked)
        told = {"StreamName": "s", "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s"}
        more = {"RetentionPeriodHours": 24, "StreamCreationTimestamp": 1.0, "EnhancedMonitoring": []}
        has = {**told, **more, "OpenShardCount": count, "StreamStatus": status}
        script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, {"StreamDescriptionSummary": has})
    monkeypatch.setattr(shards, "FOLLOWED_EVERY_S", 0.0)
    settings: Any = SimpleNamespace(stream="s", buckets=64)
    assert shards.reshard(settings, 4, script.clients, Stop()) == ""
    script.done()
    assert capsys.readouterr().out.endswith("UPDATING, 3 shards open\nACTIVE, 4 shards open\ndone\n")


def test_a_kinesis_record_counts_once_however_many_user_records_are_in_it() -> None:
    """Of the open shards, each by its share of the keys."""
    of = {name: Shard(name, (), 0, 2**127 - 1, is_open=name == "open") for name in ("open", "closed")}
    records = [UserRecord(Position(n // 2, n % 2), 1, bytes(500)) for n in range(480)]
    pieces = [
        Piece(of["open"], records[:241], 0, 1, is_last=False),
        Piece(of["open"], records[241:], 0, 1, is_last=True),
    ]
    assert shards.measure(pieces, of, Span(0, 60_000)) == [Load("open", 0.5, 4.0, 4_000.0)]

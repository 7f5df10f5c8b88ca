"""The operators' one reader of the stream: its pace, its order over shards, its bounds, and what it does in trouble."""

import contextlib
import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from stream_router.operate import leases
from stream_router.operate import stream as stream_module
from stream_router.operate.console import Stop
from stream_router.operate.leases import Lease
from stream_router.operate.stream import (
    AT_TIMESTAMP,
    FORGOTTEN_MS,
    LATE_MS,
    LATEST,
    READ_BYTES,
    SHARD_END,
    TRIM_HORIZON,
    Piece,
    Position,
    Shard,
    Span,
    TooOldError,
    UnreadableError,
    describe,
    has_passed,
    read,
    span_of,
)
from tests.kinesis_shelf import Kept, Shelf, quick, refusal
from tests.scripted import Script

HOUR_MS = 3_600_000
SPAN = Span(100, 200)


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


def one_shard(*kept: Kept, is_open: bool = False) -> Shelf:
    shelf = Shelf({"a": ()}, {"a"} if is_open else set())
    shelf.kept["a"] = list(kept)
    return shelf


def sized(*sizes: int) -> Shelf:
    return one_shard(*(Kept(n + 1, 100, bytes(size)) for n, size in enumerate(sizes)))


def pieces(shelf: Shelf, span: Span = SPAN, stop: Stop | None = None) -> list[Piece]:
    return list(read(shelf.clients, shelf.stream, span, stop or Stop()))


def numbers(found: list[Piece]) -> list[tuple[str, int]]:
    return [(piece.shard.shard_id, one.position.sequence_number) for piece in found for one in piece.records]


# --- pace


@pytest.mark.parametrize("size", [200, 5_000, 300_000, 1_000_000])
def test_a_read_is_of_at_most_a_megabyte_and_comes_near_it(size: int) -> None:
    """Kinesis bounds a read by records alone, so their size is judged by those that came."""
    shelf = sized(*[size] * (20_000_000 // size))
    assert sum(len(piece.records) for piece in pieces(shelf)) == 20_000_000 // size
    reads = [read_bytes for _, _, read_bytes in shelf.reads]
    assert max(reads[1:]) <= READ_BYTES
    if size == 5_000:
        assert len(reads) < 26


def test_a_shard_is_read_once_in_a_while_and_a_large_read_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small records, then large ones: the pace stays the same, since the rest after a large read is longer."""
    monkeypatch.setattr(stream_module, "READ_EVERY_S", 0.03)
    shelf = sized(*[1_000] * 200, *[500_000] * 12)
    pieces(shelf)
    for (_, sooner, size), (_, later, _) in itertools.pairwise(shelf.reads):
        assert later - sooner >= 0.03 * max(1.0, size / READ_BYTES) - 0.005


def test_nothing_more_is_asked_for_while_the_caller_has_a_piece_in_hand() -> None:
    """A replay at 100/s: what is read ahead of it is one read a shard at most."""
    shelf = sized(*[100] * 1_000)
    with contextlib.closing(read(shelf.clients, shelf.stream, SPAN, Stop())) as reading:  # type: ignore[type-var]
        next(reading)
        time.sleep(0.05)
        assert len(shelf.reads) == 1


# --- trouble


def refusing(*errors: Exception | None) -> Callable[[str, str], Exception | None]:
    left = list(errors)
    return lambda *_: left.pop(0) if left else None


def test_throttling_faults_and_expired_iterators_are_waited_out() -> None:
    """Each read is repeated until it works: nothing is missed and nothing comes twice."""
    shelf = sized(*[10] * 100)
    shelf.refuse = refusing(
        refusal("ProvisionedThroughputExceededException"),
        refusal("InternalFailure", 500),
        None,
        EndpointConnectionError(endpoint_url="x"),
        refusal("ExpiredIteratorException"),
    )
    assert numbers(pieces(shelf)) == [("a", n + 1) for n in range(100)]
    assert shelf.asked[0]["ShardIteratorType"] == "AT_TIMESTAMP"
    assert shelf.asked[1]["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDeniedException", "kinesis:DescribeStreamSummary"),
        ("ResourceNotFoundException", "stream s, or a shard of it, is no longer there.*give a later --since"),
        ("ExpiredTokenException", r"\(ExpiredTokenException\): renew the credentials"),
    ],
)
def test_what_stays_refused_ends_the_reading_with_the_cure(code: str, words: str) -> None:
    """Nothing is said of a part of a stream as if it were the whole."""
    shelf = sized(10)
    shelf.refuse = lambda *_: refusal(code)
    with pytest.raises(UnreadableError, match=words):
        pieces(shelf)


def test_a_shard_that_only_throttles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two minutes in which no read worked; never at the first failure."""
    monkeypatch.setattr(stream_module, "GIVEN_UP_AFTER_S", 0.05)
    shelf = sized(10)
    shelf.refuse = lambda *_: refusal("ProvisionedThroughputExceededException")
    with pytest.raises(UnreadableError, match="could not be read for"):
        pieces(shelf)


def test_a_reading_that_retention_overtakes_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinesis then goes on at the oldest that is left, and says nothing: what is between would be called never sent."""
    now_ms = int(time.time() * 1000)
    shelf = one_shard(Kept(1, now_ms - HOUR_MS, b"x"), Kept(2, now_ms, b"x"))
    for late_ms, whole in ((FORGOTTEN_MS - 5_000, True), (FORGOTTEN_MS + 5_000, False)):
        kept = shelf.stream._replace(keeps_ms=HOUR_MS)
        reading = read(shelf.clients, kept, Span(now_ms - HOUR_MS - late_ms, now_ms), Stop())
        if whole:
            assert len(numbers(list(reading))) == 1
        else:
            with pytest.raises(UnreadableError, match=r"^a: .* overtook the reading.* give a later --since$"):
                list(reading)


# --- which records


def test_a_span_is_of_arrival_times_and_ends_at_an_open_shards_tip() -> None:
    """From its beginning on, and before its end."""
    shelf = one_shard(Kept(1, 99), Kept(2, 100), Kept(3, 199), Kept(4, 200), is_open=True)
    assert numbers(pieces(shelf)) == [("a", 2), ("a", 3)]


def test_arrival_times_are_approximate_so_a_shard_is_read_on_for_a_while() -> None:
    """One that came a little earlier by Kinesis's clock may stand behind one that came later."""
    shelf = one_shard(Kept(1, 200), Kept(2, 199), Kept(3, 200 + LATE_MS), Kept(4, 199), is_open=True)
    shelf.most = lambda _: 1
    assert numbers(pieces(shelf)) == [("a", 2)]
    assert len(shelf.reads) == 3


def test_how_far_a_shard_is_read_is_never_said_too_far() -> None:
    """By what was handed out, not by Kinesis's word on what is left, which is old by the time it is heard."""
    now_ms = int(time.time() * 1000)
    shelf = one_shard(Kept(1, now_ms - 800), Kept(2, now_ms - 500))
    shelf.most, shelf.behind_ms = lambda _: 1, lambda *_: 10
    found = pieces(shelf, Span(now_ms - 1_000, now_ms))
    assert [piece.read_to_ms for piece in found] == [now_ms - 800, now_ms]
    assert found[0].reached_ms > now_ms - 100


def lineage() -> Shelf:
    """a splits into b and c; b and d merge into e; f's parent is beyond what the stream keeps."""
    shelf = Shelf({"a": (), "b": ("a",), "c": ("a",), "d": (), "e": ("b", "d"), "f": ("gone",)}, {"c", "e", "f"})
    for n, name in enumerate(shelf.parents):
        shelf.kept[name] = [Kept(n + 1, 100 + n)]
    return shelf


def _next_of(late: Iterator[int]) -> bool:
    return bool(next(late, 0))


def test_parents_come_before_their_children() -> None:
    """Of a split and of a merge, closed shards too; every record comes once. A closed shard may tell its end late."""
    for seed in range(4):
        shelf = lineage()
        late = iter([seed & 1, seed & 2, 0, 0])
        shelf.says_end_late = functools.partial(_next_of, late)
        found = numbers(pieces(shelf))
        assert sorted(found) == [(name, n + 1) for n, name in enumerate(shelf.parents)]
        order = [name for name, _ in found]
        for name, parents in shelf.parents.items():
            assert all(order.index(parent) < order.index(name) for parent in parents if parent in order)


def test_children_of_a_shard_that_was_left_early_are_not_read() -> None:
    """What comes after the span's end in the parent is before anything in its children."""
    shelf = lineage()
    for name in ("a", "d", "f"):
        shelf.kept[name] = [Kept(1, 200 + LATE_MS), Kept(2, 200 + LATE_MS)]
    shelf.most = lambda _: 1
    assert numbers(pieces(shelf)) == []
    assert {name for name, _, _ in shelf.reads} == {"a", "d", "f"}


def test_a_reading_can_be_stopped_at_any_moment() -> None:
    """Ctrl-C: nothing more is handed out, and no thread is left behind."""
    stop, shelf = Stop(), sized(*[10] * 1_000)
    shelf.most = lambda _: 1
    reading = read(shelf.clients, shelf.stream, SPAN, stop)
    next(reading)
    stop.ask()
    assert not list(reading)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]


# --- what is said


def asked(minutes: int, period_s: int) -> dict[str, Any]:
    return {
        "Namespace": "AWS/Kinesis",
        "MetricName": "IncomingBytes",
        "Dimensions": [{"Name": "StreamName", "Value": "s"}],
        "Period": period_s,
        "Statistics": ["Sum"],
        "StartTime": datetime.fromtimestamp(0, UTC),
        "EndTime": datetime.fromtimestamp(60 * minutes, UTC),
    }


@pytest.mark.parametrize(
    ("megabytes", "said"),
    [
        (400, "reading 400 MB by CloudWatch, of 1 shard at 1 MB a second each: about 7 min; Ctrl-C ends it, a later "),
        (50, ""),
        (0, ""),
    ],
)
def test_what_takes_more_than_a_minute_is_said_before(
    megabytes: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By what came into the stream; a bound that is far from the truth is not said."""
    script, shelf = Script(), sized()
    points = {"Datapoints": [{"Sum": megabytes * 500_000.0}] * 2} if megabytes else {}
    script.expect("cloudwatch", "get_metric_statistics", asked(7 * 24 * 60, 420), points)
    clients = shelf.clients
    clients.cloudwatch = script.clients.cloudwatch
    assert len(list(read(clients, shelf.stream, Span(0, 7 * 24 * HOUR_MS), Stop()))) == 1
    err = capsys.readouterr().err
    assert err.startswith(said) if said else not err
    script.done()


@pytest.mark.parametrize(("live", "said"), [(False, "read 50%: 1 records, 0.0 MB, 7 put"), (True, "\rread 50%")])
def test_progress_is_by_arrival_time_over_all_shards(
    live: bool, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plain line now and then where nobody watches; on a terminal one that is written over, and gone in the end."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: live)
    for name in ("LINE_EVERY_S", "REDRAW_EVERY_S"):
        monkeypatch.setattr(stream_module._Progress, name, 0.0)
    shelf = Shelf({"a": (), "b": ("a",)}, set())
    shelf.kept["a"] = [Kept(1, 100, b"x")]
    list(read(shelf.clients, shelf.stream, SPAN, Stop(), lambda: ", 7 put"))
    assert said in capsys.readouterr().err


def test_an_until_in_the_future_is_said_to_be_read_to_now(capsys: pytest.CaptureFixture[str]) -> None:
    """By this machine's clock: one that is slow would leave out, unsaid, what came last."""
    now_ms = 1_764_000_000_000
    assert span_of("2025-11-24T15:00Z", "2025-11-24T16:00Z", now_ms) == (now_ms - HOUR_MS, now_ms)
    assert capsys.readouterr().err == ""
    assert span_of("2025-11-24T15:00Z", "2025-11-24T16:05Z", now_ms) == (now_ms - HOUR_MS, now_ms)
    assert "read up to now, 2025-11-24T16:00:00.000Z" in capsys.readouterr().err


# --- which shards


def described(hours: int = 168) -> dict[str, Any]:
    return {
        "StreamDescriptionSummary": {
            "StreamName": "s",
            "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
            "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": hours,
            "StreamCreationTimestamp": 1.0,
            "EnhancedMonitoring": [],
            "OpenShardCount": 1,
        }
    }


def listed(name: str, **more: Any) -> dict[str, Any]:
    return {
        "ShardId": name,
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
        "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        **more,
    }


def test_a_stream_is_described_with_closed_shards_and_all_pages() -> None:
    """A page's token stands alone: AWS refuses the stream's name beside it."""
    script = Script()
    since = datetime.fromtimestamp(900, UTC)
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described())
    wanted = {"StreamName": "s", "ShardFilter": {"Type": "FROM_TIMESTAMP", "Timestamp": since}}
    closed = {"SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": "2"}}
    script.expect("kinesis", "list_shards", wanted, {"Shards": [listed("a", **closed)], "NextToken": "more"})
    child = listed("b", ParentShardId="a", AdjacentParentShardId="z")
    script.expect("kinesis", "list_shards", {"NextToken": "more"}, {"Shards": [child]})
    stream = describe(script.clients.kinesis, "s", 900_000, 1_000_000)
    assert stream.shards["a"] == Shard("a", (), 0, 9, is_open=False)
    assert stream.shards["b"] == Shard("b", ("a", "z"), 0, 9, is_open=True)
    script.done()


def test_a_span_older_than_retention_is_refused() -> None:
    """It says what the stream keeps, and from when on it can be read."""
    script = Script()
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described(24))
    with pytest.raises(TooOldError, match=r"\(24 hours\): nothing before 1970-01-03T00:00:00.000Z can be read"):
        describe(script.clients.kinesis, "s", 48 * HOUR_MS - 1, 72 * HOUR_MS)


# --- the lease table

LONG = "49590338271490256608559692538361571095921575989136588898"


def row(shard: str, checkpoint: str = LONG, **more: Any) -> dict[str, Any]:
    return {
        "leaseKey": {"S": shard},
        "checkpoint": {"S": checkpoint},
        "checkpointSubSequenceNumber": {"N": "0"},
        **more,
    }


def shard(name: str, *parents: str) -> Shard:
    return Shard(name, parents, 0, 9, is_open=False)


def lease(name: str, at: Position) -> Lease:
    return Lease(name, at, "", 0)


@pytest.mark.parametrize(
    ("checkpoint", "record", "passed"),
    [
        (Position(100, 0), Position(99, 5), True),
        (Position(100, 0), Position(100, 0), True),
        (Position(100, 3), Position(100, 4), False),
        (Position(100, 10), Position(100, 9), True),
        (Position(9, 0), Position(10, 0), False),
        (TRIM_HORIZON, Position(1, 0), False),
        (SHARD_END, Position(10**56, 7), True),
        (LATEST, Position(1, 0), None),
        (AT_TIMESTAMP, Position(1, 0), None),
    ],
)
def test_positions_are_compared_as_integers(checkpoint: Position, record: Position, passed: bool | None) -> None:
    """100 is behind 99 as a text, not as a number; the words are before and behind all numbers, or tell nothing."""
    assert has_passed(checkpoint, record) is passed


def test_a_lease_is_read_and_other_rows_are_passed_over() -> None:
    """KCL 3.5 keeps its leader and its workers in the same table; the row of a worker of many streams is not ours."""
    rows = [
        row("shardId-1", entityType={"S": "LEASE"}, leaseOwner={"S": "w"}, leaseCounter={"N": "4"}),
        row("shardId-2", checkpointSubSequenceNumber={"N": "7"}),
        {"leaseKey": {"S": "leader"}, "entityType": {"S": "LEADER"}, "checkpoint": {"S": "1"}},
        {"leaseKey": {"S": "w"}, "entityType": {"S": "WORKER_METRIC_STATS"}},
        row("acc:stream:1:shardId-3", streamName={"S": "acc:stream:1"}),
        {"leaseKey": {"S": "no-checkpoint"}},
        row("shardId-4", "SHARD_END"),
        row("shardId-5", "neither"),
    ]
    script = Script()
    script.expect("dynamodb", "scan", {"TableName": "app-1", "ConsistentRead": True}, {"Items": rows})
    assert leases.read(script.clients.dynamodb, "app-1") == {
        "shardId-1": Lease("shardId-1", Position(int(LONG), 0), "w", 4),
        "shardId-2": Lease("shardId-2", Position(int(LONG), 7), "", 0),
        "shardId-4": Lease("shardId-4", SHARD_END, "", 0),
    }


@pytest.mark.parametrize(
    ("code", "words"),
    [("ResourceNotFoundException", "no consumer of this name has run"), ("AccessDeniedException", "dynamodb:Scan")],
)
def test_a_table_that_cannot_be_read_is_one_line_with_the_cure(code: str, words: str) -> None:
    """Nothing is said of checkpoints that were not seen."""
    script = Script()
    script.refuse("dynamodb", "scan", {"TableName": "app-1", "ConsistentRead": True}, code)
    with pytest.raises(leases.LeasesError, match=words):
        leases.read(script.clients.dynamodb, "app-1")


def test_a_shard_without_a_lease_is_done_only_where_a_child_is_under_way() -> None:
    """The KCL deletes the lease of a shard that it has read to its end, once a child has begun; never before."""
    shards = {one.shard_id: one for one in (shard("p"), shard("c", "p"), shard("q"), shard("d", "q"), shard("new"))}
    at = {"c": lease("c", Position(5, 0)), "d": lease("d", TRIM_HORIZON)}
    assert leases.checkpoints(at, shards) == {
        "p": SHARD_END,
        "c": Position(5, 0),
        "q": TRIM_HORIZON,
        "d": TRIM_HORIZON,
        "new": TRIM_HORIZON,
    }


def test_a_week_of_splits_and_merges_is_judged_shard_by_shard() -> None:
    """Only the last one's lease is left. Each of 35 times two ways lead there: 2^35 in all, and nobody walks them."""
    shards = {"0": shard("0")}
    for n in range(35):
        halves = (shard(f"{n}a", str(n)), shard(f"{n}b", str(n)))
        shards |= {one.shard_id: one for one in (*halves, shard(str(n + 1), *(half.shard_id for half in halves)))}
    made = leases.checkpoints({"35": lease("35", Position(5, 0))}, shards)
    assert made == dict.fromkeys(shards, SHARD_END) | {"35": Position(5, 0)}

"""The operators' one reader of the stream: its pace, its order over shards, its bounds, and what it does in trouble."""

import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator
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
    UnreadableError,
    has_passed,
    read,
)
from tests.kinesis_shelf import Kept, Shelf, quick, refusal

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


@pytest.mark.parametrize(("megabytes", "is_said"), [(400, True), (50, False), (0, False)])
def test_what_takes_more_than_a_minute_is_said_before(
    megabytes: int, is_said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """By what came into the stream as CloudWatch knows it."""
    clients = sized().clients
    points = {"Datapoints": [{"Sum": megabytes * 500_000.0}] * 2} if megabytes else {}
    clients.cloudwatch.get_metric_statistics = lambda **_: points
    list(read(clients, sized().stream, Span(0, 7 * 24 * HOUR_MS), Stop()))
    said = "reading 400 MB by CloudWatch, of 1 shard at 1 MB a second each: about 7 min; Ctrl-C ends it, a later "
    assert capsys.readouterr().err.startswith(said if is_said else "") is True


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


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDeniedException", "grant it"),
        ("ResourceNotFoundException", "stream s, or a shard of it, is no longer there.*give a later --since"),
        ("ExpiredTokenException", r"\(ExpiredTokenException\): renew the credentials"),
        ("ProvisionedThroughputExceededException", "could not be read for"),
    ],
)
def test_what_stays_refused_ends_the_reading_with_the_cure(
    code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said of a part of a stream as if it were the whole. What only throttles is given up after a while."""
    monkeypatch.setattr(stream_module, "GIVEN_UP_AFTER_S", 0.05)
    shelf = sized(10)
    shelf.refuse = lambda *_: refusal(code)
    with pytest.raises(UnreadableError, match=words):
        pieces(shelf)


@pytest.mark.parametrize(("late_ms", "is_whole"), [(FORGOTTEN_MS - 5_000, True), (FORGOTTEN_MS + 5_000, False)])
def test_a_reading_that_retention_overtakes_is_not_whole(late_ms: int, is_whole: bool) -> None:
    """Kinesis then goes on at the oldest that is left, and says nothing: what is between would be called never sent."""
    now_ms = int(time.time() * 1000)
    shelf = one_shard(Kept(1, now_ms - HOUR_MS, b"x"), Kept(2, now_ms, b"x"))
    kept = shelf.stream._replace(keeps_ms=HOUR_MS)
    reading = read(shelf.clients, kept, Span(now_ms - HOUR_MS - late_ms, now_ms), Stop())
    if is_whole:
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


def lineage() -> Shelf:
    """a splits into b and c; b and d merge into e; f's parent is beyond what the stream keeps."""
    shelf = Shelf({"a": (), "b": ("a",), "c": ("a",), "d": (), "e": ("b", "d"), "f": ("gone",)}, {"c", "e", "f"})
    for n, name in enumerate(shelf.parents):
        shelf.kept[name] = [Kept(n + 1, 100 + n)]
    return shelf


def _next_of(late: Iterator[int]) -> bool:
    return bool(next(late, 0))


@pytest.mark.parametrize("seed", range(4))
def test_parents_come_before_their_children(seed: int) -> None:
    """Of a split and of a merge, closed shards too; every record comes once. A closed shard may tell its end late."""
    shelf = lineage()
    shelf.says_end_late = functools.partial(_next_of, iter([seed & 1, seed & 2, 0, 0]))
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


# --- the lease table


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


@pytest.mark.parametrize(
    "row",
    [
        {"leaseKey": {"S": "leader"}, "entityType": {"S": "LEADER"}, "checkpoint": {"S": "1"}},
        {"leaseKey": {"S": "w"}, "entityType": {"S": "WORKER_METRIC_STATS"}},
        {"leaseKey": {"S": "acc:stream:1:shardId-3"}, "checkpoint": {"S": "1"}, "streamName": {"S": "acc:stream:1"}},
        {"leaseKey": {"S": "no-checkpoint"}},
        {"leaseKey": {"S": "shardId-5"}, "checkpoint": {"S": "neither"}},
    ],
)
def test_rows_that_are_no_lease_are_passed_over(row: dict[str, Any]) -> None:
    """KCL 3.5 keeps its leader and its workers in the same table; the row of a worker of many streams is not ours."""
    assert leases.lease_of(row) is None


def shard(name: str, *parents: str) -> Shard:
    return Shard(name, parents, 0, 9, is_open=False)


def lease(name: str, at: Position) -> Lease:
    return Lease(name, at, "", 0)


def test_a_shard_without_a_lease_is_done_only_where_a_child_is_under_way() -> None:
    """The KCL deletes the lease of a shard that it has read to its end, once a child has begun; never before."""
    shards = {one.shard_id: one for one in (shard("p"), shard("c", "p"), shard("q"), shard("d", "q"), shard("new"))}
    at = {"c": lease("c", Position(5, 0)), "d": lease("d", TRIM_HORIZON)}
    rest = dict.fromkeys(("q", "d", "new"), TRIM_HORIZON)
    assert leases.checkpoints(at, shards) == {"p": SHARD_END, "c": Position(5, 0), **rest}


def test_a_week_of_splits_and_merges_is_judged_shard_by_shard() -> None:
    """Only the last one's lease is left. Each of 35 times two ways lead there: 2^35 in all, and nobody walks them."""
    shards = {"0": shard("0")}
    for n in range(35):
        halves = (shard(f"{n}a", str(n)), shard(f"{n}b", str(n)))
        shards |= {one.shard_id: one for one in (*halves, shard(str(n + 1), *(half.shard_id for half in halves)))}
    made = leases.checkpoints({"35": lease("35", Position(5, 0))}, shards)
    assert made == dict.fromkeys(shards, SHARD_END) | {"35": Position(5, 0)}

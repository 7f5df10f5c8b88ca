"""The operators' one reader of the stream, and their one writer: sizes, order, giving up; how positions compare.

Which records are read, over reshards and trouble, is shown by tests/property/test_replay_goes_on.py; that a shard is
read once a second by tests/contract/test_stream_reading.py.
"""

import random
import time

import pytest
from botocore.exceptions import ConnectTimeoutError

from stream_router.envelope import conversation_hash, group_of
from stream_router.leases import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Lease, Position, Shard
from stream_router.operate import leases, stream_writer
from stream_router.operate.console import Stop
from stream_router.operate.stream import (
    ARRIVAL_TOLERANCE_MS,
    READ_BYTES,
    RETENTION_TOLERANCE_MS,
    Span,
    UnreadableError,
    has_passed,
    read,
)
from stream_router.operate.stream_writer import MAX_LINE_BYTES, OutgoingLine, StreamRefusesError, StreamWriter
from stream_router.receiver.events import PartitionGroup
from tests.kinesis_shelf import Kept, Puts, Shelf, quick, refusal

HOUR_MS = 3_600_000
SPAN = Span(100, 200)


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


def shelf_of(*kept: Kept) -> Shelf:
    shelf = Shelf({"a": ()}, set())
    shelf.kept["a"] = list(kept)
    return shelf


def count(shelf: Shelf, span: Span = SPAN, retention_ms: int = HOUR_MS) -> int:
    """How many records the reading brings."""
    description = shelf.stream._replace(retention_ms=retention_ms)
    return sum(len(piece.records) for piece in read(shelf.clients, description, span, Stop()))


@pytest.mark.parametrize("size", [500, 5_000, 300_000, 1_000_000])
def test_a_read_is_of_at_most_a_megabyte_and_comes_near_it(size: int) -> None:
    """Kinesis bounds a read by records alone, so their size is judged by those that came."""
    many = 5_000_000 // size
    shelf = shelf_of(*(Kept(n, int(time.time() * 1000), bytes(size)) for n in range(1, many + 1)))
    assert count(shelf, Span(0, 2**45), 2**45) == many
    assert max(size for _, size in shelf.reads[1:]) <= READ_BYTES
    assert len(shelf.reads) < 12 or size != 5_000


@pytest.mark.parametrize(("megabytes", "is_said"), [(400, True), (50, False)])
def test_what_takes_more_than_a_minute_is_said_before(
    megabytes: int, is_said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """By what came into the stream as CloudWatch knows it."""
    shelf = shelf_of()
    clients = shelf.clients
    clients.cloudwatch.get_metric_statistics = lambda **_: {"Datapoints": [{"Sum": megabytes * 1e6}]}
    list(read(clients, shelf.stream._replace(retention_ms=2**45), Span(0, 7 * 24 * HOUR_MS), Stop()))
    assert ("about 7 min" in capsys.readouterr().err) is is_said


@pytest.mark.parametrize(
    ("late_ms", "is_whole"), [(RETENTION_TOLERANCE_MS - 5_000, True), (RETENTION_TOLERANCE_MS + 5_000, False)]
)
def test_a_reading_that_retention_overtakes_is_not_whole(late_ms: int, is_whole: bool) -> None:
    """Kinesis then goes on at the oldest that is left, and says nothing: what is between would be called never sent."""
    now_ms = int(time.time() * 1000)
    shelf, span = shelf_of(Kept(1, now_ms - HOUR_MS)), Span(now_ms - HOUR_MS - late_ms, now_ms)
    if is_whole:
        assert count(shelf, span) == 1
    else:
        with pytest.raises(UnreadableError):
            count(shelf, span)


def test_arrival_times_are_approximate_so_a_shard_is_read_on_for_a_while() -> None:
    """One that came a little earlier by Kinesis's clock may stand behind one that came later."""
    shelf = shelf_of(Kept(1, 200), Kept(2, 199), Kept(3, 200 + ARRIVAL_TOLERANCE_MS), Kept(4, 199))
    shelf.most = lambda _: 1
    assert (count(shelf, retention_ms=2**45), len(shelf.reads)) == (1, 3)


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


WEEK = {"s0": ""}
for n in range(35):
    WEEK |= {f"s{n}a": f"s{n}", f"s{n}b": f"s{n}", f"s{n + 1}": f"s{n}a s{n}b"}
BEGUN = Position(5, 0)


@pytest.mark.parametrize(
    ("parents", "at", "done"),
    [
        ({"p": "", "c": "p", "q": "", "d": "q", "new": ""}, {"c": BEGUN, "d": TRIM_HORIZON}, {"p"}),
        # Each of 35 times two ways lead to the last one's lease, the only one that is left: 2^35 that nobody walks.
        (WEEK, {"s35": BEGUN}, {*WEEK} - {"s35"}),
    ],
)
def test_a_shard_without_a_lease_is_done_only_where_a_child_is_under_way(
    parents: dict[str, str], at: dict[str, Position], done: set[str]
) -> None:
    """The KCL deletes the lease of a shard that it has read to its end, once a child has begun; never before."""
    shards = {name: Shard(name, tuple(of.split()), 0, 9, is_open=False) for name, of in parents.items()}
    checkpoints = leases.checkpoints({name: Lease(name, item) for name, item in at.items()}, shards)
    assert checkpoints == dict.fromkeys(parents, TRIM_HORIZON) | dict.fromkeys(done, SHARD_END) | at


# --- the writer


def writer(puts: Puts, groups: int = 4) -> StreamWriter:
    return StreamWriter(puts, "s", groups, 0.0, Stop())  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_each_line_is_handed_back_once_and_each_conversation_keeps_its_order(seed: int) -> None:
    """Whatever is refused, and though an answer is lost whose records were stored: those come twice, in order too.

    Each goes to the partition group that the receiver gives it, in calls and records that Kinesis takes.
    """
    dice = random.Random(seed)
    puts, groups = Puts(lambda _: "ProvisionedThroughputExceededException" if dice.random() < 0.3 else ""), seed + 1
    puts.loses_answer = lambda: dice.random() < 0.2
    sizes, names = [10, 3_000, 300_000, MAX_LINE_BYTES - 3][: 1 + seed % 4], dice.randint(1, 20)
    sent = [OutgoingLine(b"%d" % n + b"x" * dice.choice(sizes), f"conversation {n % names}", n) for n in range(150)]
    back = list(writer(puts, groups).put(sent))
    assert sorted(item.token for item in back) == list(range(150))  # type: ignore[type-var]
    first_seen = dict.fromkeys(puts.stored)
    name_of = {event.line: event.conversation for event in sent}
    for name in set(name_of.values()):
        mine = [line for line in first_seen if name_of[line] == name]
        assert mine == [event.line for event in sent if event.conversation == name]
    for records in puts.calls:
        assert sum(len(item["Data"]) for item in records) <= 4 * 1024 * 1024
        for record in records:
            assert len(record["Data"]) + len(record["PartitionKey"]) <= 1024 * 1024
            hashed = conversation_hash(name_of[record["Data"].split(b"\n")[0]])
            address = PartitionGroup(group_of(hashed, groups), groups)
            assert record["PartitionKey"] == address.partition_key
            assert record["ExplicitHashKey"].encode() in address.tail


@pytest.mark.parametrize("raised", [None, refusal("ThrottlingException"), ConnectTimeoutError(endpoint_url="x")])
def test_a_stream_that_takes_nothing_is_given_up(raised: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute; for want of a right or of a stream at once (tests/integration/test_dlq.py)."""
    monkeypatch.setattr(stream_writer, "GIVE_UP_AFTER_S", 0.05)

    def judge(_: int) -> str:
        if raised:
            raise raised
        return "ProvisionedThroughputExceededException"

    with pytest.raises(StreamRefusesError):
        list(writer(Puts(judge)).put([OutgoingLine(b"1", "", 1)]))

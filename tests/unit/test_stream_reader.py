"""The polite reader: its pace, its reads' size, what it does in trouble; and which shards are read when, how far."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stream_router.control.stream import estimate
from stream_router.control.stream import shards as shards_
from stream_router.control.stream.polite_reads import (
    GIVEN_UP_AFTER_S,
    READ_BYTES,
    Batch,
    Means,
    PoliteReads,
    UserRecord,
)
from stream_router.control.stream.positions import Position
from stream_router.control.stream.reader import FORGOTTEN_MS, LATE_MS, Piece, Span, StreamReader, bounded
from stream_router.control.stream.shards import Shard, TooOldError, UnreadableError
from tests.scripted import Script

TOP = 2**128 - 1
SHARD = Shard("shard-1", (), 0, TOP, is_open=True)
HOUR_MS = 3_600_000


class Kinesis:
    """One shard in virtual time: records of a size, errors by script; notes when each read came, and its size."""

    def __init__(self, sizes: list[int], errors: Sequence[Exception | None] = ()) -> None:
        self.now = 0.0
        self.sizes = sizes
        self.errors = list(errors)
        self.reads: list[tuple[float, int]] = []
        self.iterators: list[dict[str, Any]] = []

    def get_shard_iterator(self, **asked: Any) -> dict[str, Any]:
        self.iterators.append(asked)
        return {"ShardIterator": asked.get("StartingSequenceNumber", "0")}

    def get_records(self, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803 - the API's own names
        error = self.errors.pop(0) if self.errors else None
        if error:
            raise error
        at = int(ShardIterator)
        found = self.sizes[at : at + Limit]
        self.reads.append((self.now, sum(found)))
        records = [
            {
                "Data": bytes(size),
                "PartitionKey": "",
                "SequenceNumber": str(at + n + 1),
                "ApproximateArrivalTimestamp": datetime.fromtimestamp(1000, UTC),
            }
            for n, size in enumerate(found)
        ]
        end = at + len(found) >= len(self.sizes)
        return {"Records": records, "MillisBehindLatest": 0 if end else 1} | (
            {} if end else {"NextShardIterator": str(at + len(found))}
        )

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def all(self) -> list[Batch]:
        source = PoliteReads(Means(self, "s", lambda: self.now, self.wait, lambda: 0.5))  # type: ignore[arg-type]
        return list(source.batches(SHARD, 5_000))


def refusal(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetRecords")  # type: ignore[typeddict-item]


@pytest.mark.parametrize("size", [200, 5_000, 300_000, 1_000_000])
def test_one_read_a_second_of_at_most_a_megabyte(size: int) -> None:
    """Records of one size: never more than 1 MB a read, never two reads in a second, and it comes near 1 MB."""
    kinesis = Kinesis([size] * (20_000_000 // size))
    batches = kinesis.all()
    assert sum(len(batch.records) for batch in batches) == len(kinesis.sizes)
    starts = [at for at, _ in kinesis.reads]
    assert all(later - sooner >= 0.999 for sooner, later in itertools.pairwise(starts))
    assert max(read for _, read in kinesis.reads) <= READ_BYTES
    if size == 5_000:
        assert kinesis.now < 45  # 20 MB, with a margin for what is not known of the next records


def test_a_read_that_turned_out_large_is_paid_for() -> None:
    """Small records, then large ones: the pace stays 1 MB a second, since the rest after a large read is longer."""
    kinesis = Kinesis([1_000] * 3_000 + [500_000] * 100)
    kinesis.all()
    starts = [at for at, _ in kinesis.reads]
    for (_, size), sooner, later in zip(kinesis.reads, starts, starts[1:], strict=False):
        assert later - sooner >= size / READ_BYTES - 0.001


@pytest.mark.parametrize("sizes", [[5_000], [2_000, 5_000, 10_000, 40_000], [600, 200_000, 3_000, 30_000]])
def test_a_reading_takes_no_longer_than_was_said(sizes: list[int]) -> None:
    """It is said "at most" of a full shard: a read keeps a margin below 1 MB, since the next records may be larger."""
    kinesis = Kinesis([size for _ in range(40_000_000 // sum(sizes)) for size in sizes])
    kinesis.all()
    said = estimate.estimate(sum(kinesis.sizes), 1, Span(0, HOUR_MS))
    assert 0.7 * said.seconds < kinesis.now <= said.seconds


def test_throttling_and_faults_are_waited_out() -> None:
    """Each read is repeated until it works; nothing is missed and nothing comes twice."""
    errors = [
        refusal("ProvisionedThroughputExceededException"),
        refusal("InternalFailure", 500),
        None,
        EndpointConnectionError(endpoint_url="x"),
    ]
    kinesis = Kinesis([10] * 100, errors)
    batches = kinesis.all()
    assert [record.position.sequence_number for batch in batches for record in batch.records] == list(range(1, 101))


def test_an_expired_iterator_goes_on_behind_the_last_record() -> None:
    """An iterator lives 5 minutes; a new one begins behind what was read."""
    kinesis = Kinesis([10] * 5, [None, refusal("ExpiredIteratorException")])
    batches = kinesis.all()
    assert [record.position.sequence_number for batch in batches for record in batch.records] == [1, 2, 3, 4, 5]
    assert kinesis.iterators[0]["ShardIteratorType"] == "AT_TIMESTAMP"
    assert kinesis.iterators[1]["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER"
    assert kinesis.iterators[1]["StartingSequenceNumber"] == "1"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDeniedException", "kinesis:DescribeStreamSummary"),
        ("ResourceNotFoundException", "stream s, or a shard of it, is no longer there.*give a later --since"),
        ("ExpiredTokenException", r"\(ExpiredTokenException\): renew the credentials"),
        ("UnrecognizedClientException", "renew the credentials"),
    ],
)
def test_a_stream_that_may_not_be_read_is_said_at_once(code: str, words: str) -> None:
    """No waiting helps there."""
    kinesis = Kinesis([10], [refusal(code)])
    with pytest.raises(UnreadableError, match=words):
        kinesis.all()
    assert kinesis.now == 0


def test_trouble_without_end_is_given_up() -> None:
    """After two minutes without one good read nothing can be said of the stream."""
    kinesis = Kinesis([10], [refusal("ProvisionedThroughputExceededException") for _ in range(1000)])
    with pytest.raises(UnreadableError, match="could not be read for 120 s"):
        kinesis.all()
    assert GIVEN_UP_AFTER_S <= kinesis.now < GIVEN_UP_AFTER_S + 20


# --- how far ----------------------------------------------------------------------------------------------------


def record(number: int, arrived_at_ms: int) -> UserRecord:
    return UserRecord(Position(number, 0), arrived_at_ms, b"", passed_over=False)


def batch(*records: UserRecord, behind_ms: int = 1000, ended: bool = False) -> Batch:
    return Batch(records, 1, behind_ms, ended)


def drained(
    batches: list[Batch], span: Span, last: Position | None = None, now_ms: int = 10**9
) -> tuple[list[int], int, bool]:
    """The numbers of the records that come, how many batches were taken, whether the shard was read to its end."""
    taken = 0

    def counted() -> Iterator[Batch]:
        nonlocal taken
        for one in batches:
            taken += 1
            yield one

    found: list[int] = []
    pieces = bounded(counted(), SHARD, span, last, lambda: now_ms)
    while True:
        try:
            found += [one.position.sequence_number for one in next(pieces).records]
        except StopIteration as end:
            return found, taken, end.value


def test_a_span_ends_before_its_until_and_late_records_still_count() -> None:
    """Arrival times are approximate: a record of the span may stand behind one that is not of it."""
    late = [
        batch(record(1, 100), record(2, 205), record(3, 199)),
        batch(record(4, 150), record(5, 200 + LATE_MS)),
        batch(record(6, 150)),
    ]
    assert drained(late, Span(100, 200)) == ([1, 3, 4], 2, False)


def test_a_quiet_shard_is_done_at_its_tip_once_the_spans_end_is_past() -> None:
    """Nothing more of the span can come; before that moment it can."""
    quiet = [batch(record(1, 100), behind_ms=0), batch(behind_ms=0)]
    assert drained(quiet, Span(100, 200), now_ms=200) == ([1], 1, False)
    assert drained(quiet, Span(100, 200), now_ms=199)[1] == 2


def overtaken(*behind_ms: int, began_ms: int = HOUR_MS, parents: tuple[str, ...] = ()) -> int:
    """How many batches are read of a stream that keeps an hour; each, a minute later, leaves it so far behind."""
    now_ms = [began_ms]

    def read() -> Iterator[Batch]:
        for behind in behind_ms:
            yield batch(behind_ms=behind)
            now_ms[0] += 60_000

    shard, taken = SHARD._replace(parents=parents), 0
    for _ in bounded(read(), shard, Span(0, 10 * HOUR_MS), None, lambda: now_ms[0], HOUR_MS):
        taken += 1
    return taken


def test_a_reading_that_retention_overtakes_is_not_whole() -> None:
    """Kinesis then goes on at the oldest that is left, and says nothing: what is between would be called never sent."""
    assert overtaken(3_540_000, 3_540_000, 3_540_000) == 3
    for behind, began_ms in (((3_540_000, 3_700_000, 3_600_000), HOUR_MS), ((1_000,), HOUR_MS + FORGOTTEN_MS + 1)):
        with pytest.raises(UnreadableError, match=r"shard-1: .* overtook the reading.* give a later --since$"):
            overtaken(*behind, began_ms=began_ms)


def test_a_shard_that_began_after_the_span_did_is_overtaken_by_nothing_before_that() -> None:
    """A child is read once its parents are, which may take days: it holds nothing that is older than it is."""
    assert overtaken(1_000, began_ms=5 * HOUR_MS, parents=("shard-0",)) == 1


def test_a_bound_is_a_position_and_is_included() -> None:
    """What is behind it comes anyway."""
    found = drained(
        [batch(record(1, 100), record(2, 100), record(3, 100)), batch(record(4, 100))], Span(0, 200), Position(2, 0)
    )
    assert found == ([1, 2], 1, False)


def test_a_closed_shard_is_read_to_its_end() -> None:
    """Then its children may be read."""
    assert drained([batch(record(1, 100), ended=True)], Span(0, 200)) == ([1], 1, True)


def test_a_closed_shard_at_its_tip_is_read_on_until_its_end_is_said() -> None:
    """Its last records may come with "0 ms behind" and one more iterator; its children are read all the same."""
    shards = {"a": Shard("a", (), 0, TOP, is_open=False), "b": Shard("b", ("a",), 0, TOP, is_open=True)}
    last = [batch(record(1, 100), behind_ms=0), batch(behind_ms=0, ended=True)]
    shelf = Shelf({"a": [*last], "b": [batch(record(2, 150), behind_ms=0)]})
    assert numbers(reader(shelf, shards).pieces()) == [("a", 1), ("b", 2)]


class Shelf:
    """A source of prepared batches that notes the order in which shards are begun, and which were done by then."""

    def __init__(self, batches: dict[str, list[Batch | Exception]]) -> None:
        self._batches = batches
        self.begun: list[str] = []
        self.done: list[str] = []
        self.done_before: dict[str, list[str]] = {}

    def batches(self, shard: Shard, from_ms: int) -> Iterator[Batch]:
        self.begun.append(shard.shard_id)
        self.done_before[shard.shard_id] = list(self.done)
        for one in self._batches[shard.shard_id]:
            if isinstance(one, Exception):
                raise one
            if one.ended:
                self.done.append(shard.shard_id)
            yield one


def lineage() -> dict[str, Shard]:
    """a splits into b and c; b and d merge into e; f's parent is beyond what the stream keeps."""
    parents = {"a": (), "b": ("a",), "c": ("a",), "d": (), "e": ("b", "d"), "f": ("gone",)}
    return {name: Shard(name, of, 0, TOP, is_open=False) for name, of in parents.items()}


def reader(shelf: Shelf, shards: dict[str, Shard], stop: threading.Event | None = None) -> StreamReader:
    return StreamReader(shelf.batches, shards, Span(0, 200), lambda: 10**9, stop or threading.Event())


def numbers(pieces: Iterator[Piece]) -> list[tuple[str, int]]:
    return [(piece.shard.shard_id, one.position.sequence_number) for piece in pieces for one in piece.records]


def test_parents_come_before_their_children() -> None:
    """Of a split and of a merge, closed shards too; every record comes once."""
    shards = lineage()
    shelf = Shelf({name: [batch(record(n, 100)), batch(ended=True)] for n, name in enumerate(shards)})
    found = numbers(reader(shelf, shards).pieces())
    assert sorted(found) == [("a", 0), ("b", 1), ("c", 2), ("d", 3), ("e", 4), ("f", 5)]
    for name, shard in shards.items():
        assert all(parent in shelf.done_before[name] for parent in shard.parents if parent in shards)


def test_what_may_be_read_next_is_looked_for_only_where_a_shard_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with every piece: a stream that is resharded daily has tens of thousands of shards to look through."""
    looks = itertools.count(1)
    last = 0

    def ready(*told: Any) -> list[Shard]:
        nonlocal last
        last = next(looks)
        return all_ready(*told)

    all_ready = shards_.ready
    monkeypatch.setattr(shards_, "ready", ready)
    shards = lineage()
    shelf = Shelf({name: [*(batch(record(n, 100)) for n in range(20)), batch(ended=True)] for name in shards})
    assert len(numbers(reader(shelf, shards).pieces())) == 20 * len(shards)
    assert last == 1 + len(shards)


def test_children_of_a_shard_that_was_left_early_are_not_read() -> None:
    """What comes after the span's end in the parent is before anything in its children."""
    shards = lineage()
    shelf = Shelf({name: [batch(record(1, 200 + LATE_MS)), batch(ended=True)] for name in shards})
    assert numbers(reader(shelf, shards).pieces()) == []
    assert sorted(shelf.begun) == ["a", "d", "f"]


def test_a_shard_that_cannot_be_read_ends_the_reading() -> None:
    """Nothing is said of a part of a stream as if it were the whole."""
    shelf = Shelf({"a": [UnreadableError("as scripted")], "d": [batch(ended=True)]})
    shards = {name: shard for name, shard in lineage().items() if name in ("a", "d")}
    with pytest.raises(UnreadableError, match="as scripted"):
        numbers(reader(shelf, shards).pieces())


def test_a_reading_can_be_stopped_at_any_moment() -> None:
    """Ctrl-C: the reader hands nothing more out, and no thread is left behind."""
    stop = threading.Event()
    shelf = Shelf({"a": [batch(record(n, 100)) for n in range(1000)]})
    pieces = reader(shelf, {"a": lineage()["a"]}, stop).pieces()
    next(pieces)
    stop.set()
    assert len(list(pieces)) < 100
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-")]


# --- which shards -----------------------------------------------------------------------------------------------


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
    asked = {"StreamName": "s", "ShardFilter": {"Type": "FROM_TIMESTAMP", "Timestamp": since}}
    closed = {"SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": "2"}}
    script.expect("kinesis", "list_shards", asked, {"Shards": [listed("a", **closed)], "NextToken": "more"})
    child = listed("b", ParentShardId="a", AdjacentParentShardId="z")
    script.expect("kinesis", "list_shards", {"NextToken": "more"}, {"Shards": [child]})
    stream = shards_.describe(script.clients.kinesis, "s", 900_000, 1_000_000)
    assert stream.shards["a"] == Shard("a", (), 0, 9, is_open=False)
    assert stream.shards["b"] == Shard("b", ("a", "z"), 0, 9, is_open=True)
    script.done()


def test_a_span_older_than_retention_is_refused() -> None:
    """It says what the stream keeps, and from when on it can be read."""
    script = Script()
    script.expect("kinesis", "describe_stream_summary", {"StreamName": "s"}, described(24))
    with pytest.raises(TooOldError, match=r"\(24 hours\): nothing before 1970-01-03T00:00:00.000Z can be read"):
        shards_.describe(script.clients.kinesis, "s", 48 * HOUR_MS - 1, 72 * HOUR_MS)


def test_how_far_a_shard_is_read_is_never_said_too_far() -> None:
    """By what was handed out, not by Kinesis's word on what is left, which is old by the time it is heard."""
    pieces = bounded(
        iter([batch(record(1, 120), behind_ms=10), batch(ended=True)]), SHARD, Span(100, 900), None, lambda: 800
    )
    assert [(piece.reached_ms, piece.read_to_ms) for piece in pieces] == [(790, 120), (900, 900)]

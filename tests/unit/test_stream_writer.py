"""The operators' one writer to the stream: order, what is refused, the rate, and when it gives up."""

import random
from collections.abc import Iterator

import pytest
from botocore.exceptions import ConnectTimeoutError

from stream_router.envelope import bucket_place, conversation_hash
from stream_router.operate import stream_writer
from stream_router.operate.console import Stop
from stream_router.operate.stream_writer import MOST_LINE_BYTES, Outgoing, StreamRefusesError, StreamWriter
from stream_router.receiver.events import Bucket
from tests.kinesis_shelf import Puts, quick, refusal


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


def writer(puts: Puts, rate_s: float = 0.0, stop: Stop | None = None, buckets: int = 4) -> StreamWriter:
    return StreamWriter(puts, "s", buckets, rate_s, stop or Stop())  # type: ignore[arg-type]


def lines(count: int, conversations: int = 10, size_bytes: int = 20) -> list[Outgoing]:
    return [Outgoing(b"%d" % n + b"x" * size_bytes, f"conversation {n % conversations}", n) for n in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_each_line_is_handed_back_once_and_each_conversation_keeps_its_order(seed: int) -> None:
    """Whatever is refused, and though an answer is lost whose records were stored: those come twice, in order too."""
    dice = random.Random(seed)
    puts = Puts(lambda _: "ProvisionedThroughputExceededException" if dice.random() < 0.3 else "")
    puts.loses_answer = lambda: dice.random() < 0.2
    sent = lines(300, dice.randint(1, 20), dice.choice([10, 3_000, 300_000]))
    back = list(writer(puts, buckets=dice.randint(1, 8)).put(sent))
    assert sorted(one.token for one in back) == list(range(300))  # type: ignore[type-var]
    first_seen = dict.fromkeys(puts.lines())
    where = {one.line: one.group for one in sent}
    for group in set(where.values()):
        assert [line for line in first_seen if where[line] == group] == [one.line for one in sent if one.group == group]


def test_a_conversation_has_the_bucket_that_the_receiver_gives_it() -> None:
    """Its lines stay behind those that the receiver stored, in one shard, before and after a reshard."""
    puts = Puts()
    list(writer(puts, buckets=8).put([Outgoing(b"x", "c-1", None)]))
    (record,) = puts.calls[0][1]
    address = Bucket(conversation_hash("c-1") % 8, 8)
    assert record["PartitionKey"] == address.partition_key
    assert record["ExplicitHashKey"].encode() in address.tail
    assert (record["PartitionKey"], record["ExplicitHashKey"]) == bucket_place(conversation_hash("c-1") % 8, 8)


def test_calls_are_full_and_no_record_is_larger_than_kinesis_takes() -> None:
    """5,000 small lines are a call of one record a bucket; large ones as many as fit."""
    puts = Puts()
    assert len(list(writer(puts).put(lines(5_000)))) == 5_000
    assert len(puts.calls) == 1
    assert len(puts.calls[0][1]) == 4
    puts = Puts()
    assert len(list(writer(puts).put(lines(30, size_bytes=MOST_LINE_BYTES - 2)))) == 30
    for _, records in puts.calls:
        assert sum(len(one["Data"]) for one in records) <= 4 * 1024 * 1024
        assert all(len(one["Data"]) + len(one["PartitionKey"]) <= 1024 * 1024 for one in records)


def test_a_stop_ends_it_and_only_what_is_stored_was_handed_back() -> None:
    """The caller deletes what comes back, so nothing else may."""
    puts, stop = Puts(), Stop()

    def source() -> Iterator[Outgoing]:
        for one in lines(100):
            if one.token == 60:
                stop.ask()
            yield one

    back = [one.line for one in writer(puts, rate_s=100_000, stop=stop).put(source())]
    assert back == sorted(puts.lines(), key=back.index)
    assert len(back) < 100


@pytest.mark.parametrize(
    ("judged", "raised", "words"),
    [
        ("", refusal("AccessDeniedException"), r"stream s takes nothing \(AccessDeniedException\): .*grant"),
        ("", refusal("ResourceNotFoundException"), "there is no stream s; see STREAM_ROUTER_STREAM"),
        ("ProvisionedThroughputExceededException", None, "wait, then give a lower --rate"),
        ("", refusal("ThrottlingException"), "wait, then give a lower --rate"),
        ("", ConnectTimeoutError(endpoint_url="x"), "ConnectTimeoutError"),
    ],
)
def test_a_stream_that_takes_nothing_is_given_up(
    judged: str, raised: Exception | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once for want of a right, else after a minute; what was not handed back is not stored as far as one knows."""
    monkeypatch.setattr(stream_writer, "GIVEN_UP_AFTER_S", 0.05)

    class Refusing(Puts):
        def put_records(self, StreamName: str, Records: list[dict[str, object]]) -> dict[str, object]:  # noqa: N803
            if raised:
                raise raised
            return super().put_records(StreamName, Records)

    with pytest.raises(StreamRefusesError, match=words):
        list(writer(Refusing(lambda _: judged)).put(lines(3)))

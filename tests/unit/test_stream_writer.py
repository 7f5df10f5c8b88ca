"""The operators' one writer to the stream: order, what is refused, the rate, and when it gives up."""

import random

import pytest
from botocore.exceptions import ConnectTimeoutError

from stream_router.envelope import conversation_hash
from stream_router.operate import stream_writer
from stream_router.operate.console import Stop
from stream_router.operate.stream_writer import MOST_LINE_BYTES, Outgoing, StreamRefusesError, StreamWriter
from stream_router.receiver.events import Bucket
from tests.kinesis_shelf import Puts, quick, refusal


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


def writer(puts: Puts, buckets: int = 4) -> StreamWriter:
    return StreamWriter(puts, "s", buckets, 0.0, Stop())  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(8))
def test_each_line_is_handed_back_once_and_each_conversation_keeps_its_order(seed: int) -> None:
    """Whatever is refused, and though an answer is lost whose records were stored: those come twice, in order too.

    Each goes to the bucket that the receiver gives it, in calls and records that Kinesis takes.
    """
    dice = random.Random(seed)
    puts, buckets = Puts(lambda _: "ProvisionedThroughputExceededException" if dice.random() < 0.3 else ""), seed + 1
    puts.loses_answer = lambda: dice.random() < 0.2
    sizes, groups = [10, 3_000, 300_000, MOST_LINE_BYTES - 3][: 1 + seed % 4], dice.randint(1, 20)
    sent = [Outgoing(b"%d" % n + b"x" * dice.choice(sizes), f"conversation {n % groups}", n) for n in range(150)]
    back = list(writer(puts, buckets).put(sent))
    assert sorted(one.token for one in back) == list(range(150))  # type: ignore[type-var]
    first_seen = dict.fromkeys(puts.stored)
    group_of = {one.line: one.group for one in sent}
    for group in set(group_of.values()):
        mine = [line for line in first_seen if group_of[line] == group]
        assert mine == [one.line for one in sent if one.group == group]
    for _, records in puts.calls:
        assert sum(len(one["Data"]) for one in records) <= 4 * 1024 * 1024
        for record in records:
            assert len(record["Data"]) + len(record["PartitionKey"]) <= 1024 * 1024
            address = Bucket(conversation_hash(group_of[record["Data"].split(b"\n")[0]]) % buckets, buckets)
            assert record["PartitionKey"] == address.partition_key
            assert record["ExplicitHashKey"].encode() in address.tail


@pytest.mark.parametrize("raised", [None, refusal("ThrottlingException"), ConnectTimeoutError(endpoint_url="x")])
def test_a_stream_that_takes_nothing_is_given_up(raised: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute; for want of a right or of a stream at once (tests/integration/test_dlq.py)."""
    monkeypatch.setattr(stream_writer, "GIVEN_UP_AFTER_S", 0.05)

    def judge(_: int) -> str:
        if raised:
            raise raised
        return "ProvisionedThroughputExceededException"

    with pytest.raises(StreamRefusesError):
        list(writer(Puts(judge)).put([Outgoing(b"1", "", 1)]))

"""The stream's reader and writer on the wire: the fake AWS, which has Kinesis's limits, and ministack."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router.aws.clients import Clients
from stream_router.operate import leases
from stream_router.operate import stream as stream_module
from stream_router.operate.console import Stop
from stream_router.operate.stream import Position, Span
from stream_router.operate.stream_writer import Outgoing, StreamWriter
from tests import kpl
from tests.fakeaws.process import FakeAwsProcess

Client = Callable[[str], Any]
HOUR_MS = 3_600_000


@pytest.fixture
def kept(fake_aws: FakeAwsProcess) -> FakeAwsProcess:
    """The fake AWS with a stream of two shards that can be read."""
    fake_aws.plan({"keep_records": True, "shards": 2})
    return fake_aws


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Clients]:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    return lambda url: Clients("us-east-1", url)


def put(kinesis: Any, datas: list[bytes], stream: str = "s") -> list[str]:
    """Records over all shards; the sequence numbers."""
    records = [
        {"Data": data, "PartitionKey": str(n), "ExplicitHashKey": str(n % 4 * 2**126)} for n, data in enumerate(datas)
    ]
    answer = kinesis.put_records(StreamName=stream, Records=records)
    assert not answer["FailedRecordCount"]
    return [record["SequenceNumber"] for record in answer["Records"]]


def now_ms() -> int:
    return int(time.time() * 1000)


def read(clients: Clients, since_ms: int, stream: str = "s") -> list[tuple[str, bytes]]:
    """Everything since then, with the shard that it is in."""
    told = stream_module.describe(clients.kinesis, stream, since_ms, now_ms())
    found = stream_module.read(clients, told, Span(since_ms, now_ms()), Stop())
    return [(piece.shard.shard_id, record.data) for piece in found for record in piece.records]


def test_what_was_put_is_read_across_a_split_and_a_merge(
    kept: FakeAwsProcess, client: Client, clients: Callable[[str], Clients]
) -> None:
    """Parents before children, each record once, in the order of its shard; the reads keep to one a second a shard."""
    kinesis = client("kinesis")
    put(kinesis, [b"a%d" % n for n in range(40)])
    kinesis.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126))
    put(kinesis, [b"b%d" % n for n in range(40)])
    kinesis.merge_shards(
        StreamName="s", ShardToMerge="shardId-000000000003", AdjacentShardToMerge="shardId-000000000001"
    )
    put(kinesis, [b"c%d" % n for n in range(40)])
    begun = time.time() * 1000
    found = read(clients(kept.url), now_ms() - HOUR_MS)
    assert sorted(data for _, data in found) == sorted(b"%c%d" % (letter, n) for letter in b"abc" for n in range(40))
    assert {shard for shard, _ in found} == {f"shardId-{n:012d}" for n in range(5)}
    order = [data for _, data in found]
    for n in range(40):  # the same hash key: a before b before c, whichever shards they are in
        assert order.index(b"a%d" % n) < order.index(b"b%d" % n) < order.index(b"c%d" % n)
    reads = [line for line in kept.lines("GetRecords", "accepted") if line["time"] >= begun]
    for _, of_shard in itertools.groupby(
        sorted(reads, key=lambda line: line["partitionKey"]), lambda line: line["partitionKey"]
    ):
        starts = [line["time"] for line in of_shard]
        # A busy machine takes one read late and the next in time; over all of them that evens out.
        assert starts[-1] - starts[0] >= (len(starts) - 1) * 1000 - 500


def test_what_is_put_back_is_in_the_stream_in_order_whatever_a_call_refuses(
    kept: FakeAwsProcess, clients: Callable[[str], Clients]
) -> None:
    """2,000 lines of 20 conversations, a call throttled, single records refused: each conversation in its order."""
    refused = {"fault": "entry_error", "operation": "PutRecords", "code": "ProvisionedThroughputExceededException"}
    call = {"fault": "call_error", "operation": "PutRecords", "code": "ThrottlingException", "next": 2}
    kept.plan({"keep_records": True, "shards": 2, "rules": [call, {**refused, "rate": 0.3}]})
    writer = StreamWriter(clients(kept.url).kinesis_once, "s", 8, 4_000, Stop())
    lines = [Outgoing(b"%d of %d" % (n, n % 20), str(n % 20), n) for n in range(2_000)]
    assert sorted(one.token for one in writer.put(lines)) == list(range(2_000))  # type: ignore[type-var]
    order: dict[bytes, list[int]] = {}
    for _, data in read(clients(kept.url), now_ms() - HOUR_MS):
        for line in data.split(b"\n"):
            number, _, conversation = line.partition(b" of ")
            order.setdefault(conversation, []).append(int(number))
    assert [order[b"%d" % n] for n in range(20)] == [list(range(n, 2_000, 20)) for n in range(20)]


def test_the_fake_kinesis_enforces_the_limits_of_reading(kept: FakeAwsProcess, client: Client) -> None:
    """A sixth read in a second is refused, and a read of 10 MB keeps every reader waiting."""
    kinesis = client("kinesis")
    kept.plan({"keep_records": True, "shards": 1, "shard_limits": False})
    kinesis.put_records(StreamName="s", Records=[{"Data": bytes(1_000_000), "PartitionKey": "a"}] * 10)
    kept.plan({"keep_records": True, "shards": 1})
    asked = {"StreamName": "s", "ShardId": "shardId-000000000000"}
    latest = kinesis.get_shard_iterator(**asked, ShardIteratorType="LATEST")["ShardIterator"]
    for _ in range(5):
        kinesis.get_records(ShardIterator=latest)
    # Five come back with each second: on a busy machine the sixth may still be one of them.
    with pytest.raises(ClientError, match="ProvisionedThroughputExceeded"):
        [kinesis.get_records(ShardIterator=latest) for _ in range(45)]
    time.sleep(0.5)
    oldest = kinesis.get_shard_iterator(**asked, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    assert len(kinesis.get_records(ShardIterator=oldest)["Records"]) == 10
    time.sleep(1.5)
    with pytest.raises(ClientError, match="ProvisionedThroughputExceeded"):
        kinesis.get_records(ShardIterator=latest)


@pytest.fixture
def ministack_stream(ministack_client: Client) -> Iterator[Any]:
    kinesis = ministack_client("kinesis")
    kinesis.create_stream(StreamName="read-me", ShardCount=2)
    yield kinesis
    kinesis.delete_stream(StreamName="read-me")


def test_ministack_is_read(ministack_stream: Any, ministack_url: str, clients: Callable[[str], Clients]) -> None:
    """What `stream-router local` serves; an aggregated record as the KCL takes it apart."""
    datas = [b"%d" % n for n in range(30)]
    put(ministack_stream, datas, "read-me")
    ministack_stream.put_record(
        StreamName="read-me",
        PartitionKey="k",
        ExplicitHashKey="0",
        Data=kpl.aggregated([("k", b"u"), ("k", b"v")], hash_keys=["0", "1"]),
    )
    wanted = sorted([*datas, b"u", b"v"])
    assert sorted(data for _, data in read(clients(ministack_url), now_ms() - HOUR_MS, "read-me")) == wanted


def test_leases_are_read_page_by_page(kept: FakeAwsProcess, client: Client, clients: Callable[[str], Clients]) -> None:
    """A table of many leases takes more than one call."""
    dynamodb = client("dynamodb")
    for n in range(60):
        dynamodb.put_item(TableName="app-1", Item={"leaseKey": {"S": f"shardId-{n:012d}"}, "checkpoint": {"S": str(n)}})
    found = leases.read(clients(kept.url).dynamodb, "app-1")
    assert len(found) == 60
    assert found["shardId-000000000059"].checkpoint == Position(59, 0)
    with pytest.raises(leases.LeasesError):
        leases.read(clients(kept.url).dynamodb, "app-2")

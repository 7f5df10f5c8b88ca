"""The stream's reader and writer on the wire: the fake AWS, which has Kinesis's limits."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from stream_router.aws.clients import Clients
from stream_router.leases import Position
from stream_router.operate import leases
from stream_router.operate import stream as stream_module
from stream_router.operate.console import Stop
from stream_router.operate.stream import Span
from stream_router.operate.stream_writer import OutgoingLine, StreamWriter
from tests import kpl
from tests.environment import set_environment
from tests.fakeaws.process import FakeAwsProcess

Client = Callable[[str], Any]
HOUR_MS = 3_600_000


@pytest.fixture
def kept(fake_aws: FakeAwsProcess) -> FakeAwsProcess:
    """The fake AWS with a stream of two shards that can be read."""
    fake_aws.plan({"keep_records": True, "shards": 2})
    return fake_aws


@pytest.fixture
def clients(kept: FakeAwsProcess, monkeypatch: pytest.MonkeyPatch) -> Clients:
    set_environment(monkeypatch, {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"})
    return Clients("us-east-1", kept.url)


def read(clients: Clients) -> list[tuple[str, bytes]]:
    """Everything of the last hour, with the shard that it is in."""
    now_ms = int(time.time() * 1000) + 1_000
    description = stream_module.describe(clients.kinesis, "s", now_ms - HOUR_MS, now_ms)
    result = stream_module.read(clients, description, Span(now_ms - HOUR_MS, now_ms), Stop())
    return [(piece.shard.shard_id, record.data) for piece in result for record in piece.records]


def test_what_was_put_is_read_across_a_split_and_a_merge(
    kept: FakeAwsProcess, client: Client, clients: Clients
) -> None:
    """Parents before children, each record once, in the order of its shard, an aggregated one as the KCL takes it
    apart; the reads keep to one a second a shard."""
    kinesis = client("kinesis")

    def put(letter: bytes) -> None:
        records = [
            {"Data": b"%b%d" % (letter, n), "PartitionKey": str(n), "ExplicitHashKey": str(n % 4 * 2**126)}
            for n in range(40)
        ]
        assert not kinesis.put_records(StreamName="s", Records=records)["FailedRecordCount"]

    put(b"a")
    kinesis.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126))
    put(b"b")
    of_a_shard = {"ShardToMerge": "shardId-000000000003", "AdjacentShardToMerge": "shardId-000000000001"}
    kinesis.merge_shards(StreamName="s", **of_a_shard)
    put(b"c")
    several = kpl.aggregated([("k", b"u"), ("k", b"v")], hash_keys=["0", "1"])
    kinesis.put_records(StreamName="s", Records=[{"PartitionKey": "k", "ExplicitHashKey": "0", "Data": several}])
    begun = time.time() * 1000
    result = read(clients)
    order = [data for _, data in result]
    assert sorted(order) == sorted([*(b"%c%d" % (letter, n) for letter in b"abc" for n in range(40)), b"u", b"v"])
    assert {shard for shard, _ in result} == {f"shardId-{n:012d}" for n in range(5)}
    for n in range(40):  # the same hash key: a before b before c, whichever shards they are in
        assert order.index(b"a%d" % n) < order.index(b"b%d" % n) < order.index(b"c%d" % n)
    reads = [line for line in kept.lines("GetRecords", "accepted") if line["time"] >= begun]
    reads.sort(key=lambda line: line["partitionKey"])
    for _, of_shard in itertools.groupby(reads, lambda line: line["partitionKey"]):
        starts = [line["time"] for line in of_shard]
        # A busy machine takes one read late and the next in time; over all of them that evens out.
        assert starts[-1] - starts[0] >= (len(starts) - 1) * 1000 - 500


def test_what_is_put_back_is_in_the_stream_in_order_whatever_a_call_refuses(
    kept: FakeAwsProcess, clients: Clients
) -> None:
    """2,000 lines of 20 conversations, a call throttled, single records refused: each conversation in its order."""
    refused = {"fault": "entry_error", "operation": "PutRecords", "code": "ProvisionedThroughputExceededException"}
    call = {"fault": "call_error", "operation": "PutRecords", "code": "ThrottlingException", "next": 2}
    kept.plan({"keep_records": True, "shards": 2, "rules": [call, {**refused, "rate": 0.3}]})
    writer = StreamWriter(clients.kinesis_without_retries, "s", 8, 4_000, Stop())
    lines = [OutgoingLine(b"%d of %d" % (n, n % 20), str(n % 20), n) for n in range(2_000)]
    assert sorted(item.token for item in writer.put(lines)) == list(range(2_000))  # type: ignore[type-var]
    order: dict[bytes, list[int]] = {}
    for _, data in read(clients):
        for line in data.split(b"\n"):
            number, _, conversation = line.partition(b" of ")
            order.setdefault(conversation, []).append(int(number))
    assert [order[b"%d" % n] for n in range(20)] == [list(range(n, 2_000, 20)) for n in range(20)]


def test_leases_are_read_page_by_page(client: Client, clients: Clients) -> None:
    """A table of many leases takes more than one call."""
    dynamodb = client("dynamodb")
    for n in range(60):
        dynamodb.put_item(TableName="app-1", Item={"leaseKey": {"S": f"shardId-{n:012d}"}, "checkpoint": {"S": str(n)}})
    result = leases.read(clients.dynamodb, "app-1")
    assert len(result) == 60
    assert result["shardId-000000000059"].checkpoint == Position(59, 0)
    with pytest.raises(leases.LeasesError):
        leases.read(clients.dynamodb, "app-2")

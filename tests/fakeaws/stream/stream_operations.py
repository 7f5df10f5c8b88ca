"""The operations that read a stream and its lease table: how each is read, carried out and answered."""

from collections.abc import Callable
from typing import Any

from tests.fakeaws.call import Call, Refusal
from tests.fakeaws.http import Request
from tests.fakeaws.operation import Operation, json_body
from tests.fakeaws.state.memory import Memory, Settings
from tests.fakeaws.state.shards import Shard
from tests.fakeaws.stream import kinesis_reads
from tests.fakeaws.wire import Wire

_KINESIS = "com.amazonaws.kinesis#"
_DYNAMODB = "com.amazonaws.dynamodb.v20120810#"
Read = Callable[[dict[str, Any], Settings, Memory], Call]


def _nothing(_call: Call, _state: Memory, _settings: Settings) -> None:
    """Reading changes nothing."""


def _document(call: Call) -> Any:
    return call.document


def _of(name: str, read: Read, namespace: str = _KINESIS, wire: Wire = Wire.JSON_1_1) -> Operation:
    def parsed(request: Request, state: Memory, settings: Settings, _ids: bool) -> Call:
        return read(json_body(request), settings, state)

    return Operation(name, wire, namespace, parsed, _nothing, _document)


def _shard_of(document: dict[str, Any], state: Memory, name: str) -> Shard | Refusal:
    return state.shards.named(str(document.get(name))) or Refusal("ResourceNotFoundException", "No such shard.")


def _split(document: dict[str, Any], _settings: Settings, state: Memory) -> Call:
    shard = _shard_of(document, state, "ShardToSplit")
    if isinstance(shard, Refusal):
        return Call([], shard)
    return Call([], state.shards.split(shard, int(document.get("NewStartingHashKey") or 0)))


def _merge(document: dict[str, Any], _settings: Settings, state: Memory) -> Call:
    one, other = _shard_of(document, state, "ShardToMerge"), _shard_of(document, state, "AdjacentShardToMerge")
    if isinstance(one, Refusal) or isinstance(other, Refusal):
        return Call([], one if isinstance(one, Refusal) else None)
    return Call([], state.shards.merge(one, other))


_READS: tuple[Operation, ...] = (
    _of(
        "DescribeStreamSummary",
        lambda document, settings, state: kinesis_reads.summary(document, settings, state.shards),
    ),
    _of("ListShards", lambda document, settings, state: kinesis_reads.listed(document, settings, state.shards)),
    _of("GetShardIterator", lambda document, settings, state: kinesis_reads.iterator(document, settings, state.shards)),
    _of("GetRecords", lambda document, settings, state: kinesis_reads.read(document, settings, state.shards))._replace(
        accept=lambda call, _state, _settings: kinesis_reads.records(call), answer=lambda call: call.items[0].result
    ),
    _of("SplitShard", _split),
    _of("MergeShards", _merge),
)

BY_TARGET = {f"Kinesis_20131202.{operation.name}": operation for operation in _READS} | {
    "DynamoDB_20120810.PutItem": _of(
        "PutItem", lambda document, _settings, state: state.tables.put(document), _DYNAMODB, Wire.JSON_1_0
    )._replace(accept=lambda call, state, _settings: state.tables.accept(call), answer=lambda _call: {}),
    "DynamoDB_20120810.GetItem": _of(
        "GetItem", lambda document, _settings, state: state.tables.get(document), _DYNAMODB, Wire.JSON_1_0
    ),
    "DynamoDB_20120810.Scan": _of(
        "Scan", lambda document, _settings, state: state.tables.scan(document), _DYNAMODB, Wire.JSON_1_0
    ),
}
"""awsJson operations by X-Amz-Target."""

"""Reading the stream: its shards, closed ones too, and GetRecords with its limits.

Records are there to be read where the plan says `keep_records`. Sources: botocore model `kinesis`; Kinesis developer
guide, quotas.
"""

import base64
import json
import time
from typing import Any

from tests.fakeaws import detail
from tests.fakeaws.call import Call, Item, Refusal
from tests.fakeaws.state.shards import Kept, Shard, Shards, rate_exceeded

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/"
MOST_RECORDS = 10_000
MOST_BYTES = 10 * 1024 * 1024
ITERATOR_LIVES_S = 300.0
PAGE = 100

Document = dict[str, Any]


def stream_of(document: Document, settings: Document) -> tuple[str, Refusal | None]:
    """The stream that a call names, and why it cannot be had."""
    name = str(document.get("StreamName") or document.get("StreamARN") or "").rsplit("/", 1)[-1]
    if not name:
        return name, Refusal("ValidationException", "Either StreamName or StreamARN must be given.")
    if name in settings.get("missing", ()):
        return name, Refusal("ResourceNotFoundException", f"Stream {name} under account 123456789012 not found.")
    return name, None


def summary(document: Document, settings: Document, shards: Shards) -> Call:
    """DescribeStreamSummary."""
    name, refusal = stream_of(document, settings)
    found = {
        "StreamName": name,
        "StreamARN": ARN + name,
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": "PROVISIONED"},
        "RetentionPeriodHours": int(settings.get("retention_hours", 168)),
        "StreamCreationTimestamp": 1_764_000_000,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "KMS",
        "OpenShardCount": sum(shard.closed_s is None for shard in shards.all),
        "ConsumerCount": 0,
    }
    return Call([], refusal, name, {"StreamDescriptionSummary": found})


def listed(document: Document, settings: Document, shards: Shards) -> Call:
    """ListShards, PAGE shards at a time; a token stands alone."""
    token = document.get("NextToken")
    if token:
        if document.get("StreamName") or document.get("ShardFilter"):
            return Call(
                [], Refusal("InvalidArgumentException", "NextToken and StreamName cannot be provided together.")
            )
        name, since_s, start = json.loads(base64.b64decode(token))
        refusal = None
    else:
        name, refusal = stream_of(document, settings)
        wanted = document.get("ShardFilter") or {}
        since_s, start = (wanted.get("Timestamp") if wanted.get("Type") == "FROM_TIMESTAMP" else None), 0
    found = [shard for shard in shards.all if shard.closed_s is None or since_s is None or shard.closed_s >= since_s]
    answer: Document = {"Shards": [_shape(shard) for shard in found[start : start + PAGE]]}
    if len(found) > start + PAGE:
        answer["NextToken"] = base64.b64encode(json.dumps([name, since_s, start + PAGE]).encode()).decode()
    return Call([], refusal, name, answer)


def _shape(shard: Shard) -> Document:
    numbers = {"StartingSequenceNumber": str(shard.begun)}
    if shard.closed_s is not None:
        numbers["EndingSequenceNumber"] = str(shard.ended)
    return {
        "ShardId": shard.name,
        "HashKeyRange": _hash_keys(shard),
        "SequenceNumberRange": numbers,
        **dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parent_names, strict=False)),
    }


def _hash_keys(shard: Shard) -> Document:
    return {"StartingHashKey": str(shard.first), "EndingHashKey": str(shard.last)}


def start(shard: Shard, kind: str, document: Document) -> int | Refusal:
    """Which of a shard's records comes first, by iterator type."""
    records = shard.records
    if kind == "TRIM_HORIZON":
        return 0
    if kind == "LATEST":
        return len(records)
    if kind == "AT_TIMESTAMP":
        at_s = document.get("Timestamp")
        if at_s is None or at_s > time.time():
            return Refusal("InvalidArgumentException", "The timestamp is missing, or in the future.")
        return next((at for at, one in enumerate(records) if one.arrived_s >= at_s), len(records))
    number = int(document.get("StartingSequenceNumber") or document.get("SequenceNumber") or 0)
    if kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        beyond = number + (kind == "AFTER_SEQUENCE_NUMBER")
        return next((at for at, one in enumerate(records) if one.sequence_number >= beyond), len(records))
    return Refusal("ValidationException", "The iterator type is not known.")


def iterator(document: Document, settings: Document, shards: Shards) -> Call:
    """GetShardIterator."""
    name, refusal = stream_of(document, settings)
    shard = shards.named(str(document.get("ShardId")))
    if refusal or shard is None:
        return Call([], refusal or Refusal("ResourceNotFoundException", "The shard does not exist."), name)
    at = start(shard, str(document.get("ShardIteratorType")), document)
    if isinstance(at, Refusal):
        return Call([], at, name)
    return Call([], None, name, {"ShardIterator": _token(name, shard, at)})


def _token(name: str, shard: Shard, at: int) -> str:
    return base64.b64encode(json.dumps([name, shard.name, at, time.time()]).encode()).decode()


def read(document: Document, settings: Document, shards: Shards) -> Call:
    """GetRecords, as a call of one item: its size is what is read, its key the shard; `records` carries it out."""
    try:
        name, shard_name, at, made_s = json.loads(base64.b64decode(str(document.get("ShardIterator"))))
    except (ValueError, TypeError):
        return Call([], Refusal("InvalidArgumentException", "The iterator is not valid."))
    shard, most = shards.named(shard_name), int(document.get("Limit") or MOST_RECORDS)
    if shard is None or name in settings.get("missing", ()):
        return Call([], Refusal("ResourceNotFoundException", "The stream or shard does not exist."), name)
    item = Item((shard, at, most), b"", 0)
    item.key = shard_name
    if time.time() - made_s > ITERATOR_LIVES_S:
        return Call([item], Refusal("ExpiredIteratorException", "Iterator expired."), name)
    if not 1 <= most <= MOST_RECORDS:
        return Call([item], Refusal("ValidationException", "Limit must be 1 to 10000."), name)
    if shards.limited and (shard.reads.left < 1 or shard.read_bytes.left <= 0):
        return Call([item], Refusal("ProvisionedThroughputExceededException", rate_exceeded(shard, name)), name)
    return Call([item], None, name)


def records(call: Call) -> None:
    """Read, at the cost of the shard's budget."""
    for item in call.items:
        shard, at, most = item.raw
        found, item.size = _taken(shard, at, most, MOST_BYTES)
        shard.reads.take(1)
        shard.read_bytes.take(item.size)
        reached = at + len(found)
        item.event_ids = [name for one in found for name in detail.ids_in_record(base64.b64decode(one.data))]
        item.result = {"Records": [_record(one) for one in found], "MillisBehindLatest": _behind_ms(shard, reached)}
        if shard.closed_s is None or reached < len(shard.records):
            item.result["NextShardIterator"] = _token(call.target, shard, reached)
        else:
            item.result["ChildShards"] = [
                {"ShardId": one.name, "ParentShards": one.parent_names, "HashKeyRange": _hash_keys(one)}
                for one in shard.children
            ]


def _taken(shard: Shard, at: int, most: int, room: int) -> tuple[list[Kept], int]:
    found: list[Kept] = []
    size = 0
    for one in shard.records[at : at + most]:
        if found and size + one.size > room:
            break
        found.append(one)
        size += one.size
    return found, size


def _behind_ms(shard: Shard, at: int) -> int:
    return max(0, round((time.time() - shard.records[at].arrived_s) * 1000)) if at < len(shard.records) else 0


def _record(one: Kept) -> Document:
    return {
        "SequenceNumber": str(one.sequence_number),
        "ApproximateArrivalTimestamp": round(one.arrived_s, 3),
        "Data": one.data,
        "PartitionKey": one.partition_key,
        "EncryptionType": "KMS",
    }

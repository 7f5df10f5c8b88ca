"""PutRecords: Kinesis's limits, and what a shard takes in a second.

Sources: botocore model `kinesis`; Kinesis developer guide, quotas.
"""

import binascii
import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pybase64

from stream_router.fakeaws import detail, model
from stream_router.fakeaws.call import ACCEPTED, Call, Item, Refusal

RECORD_BYTES = 1_048_576
"""Data and partition key of one record of a stream that was not raised to more."""

REQUEST_BYTES = 10 * 1024 * 1024
SHARD_RECORDS_PER_S = 1_000
SHARD_BYTES_PER_S = 1_048_576
HASH_KEYS = 2**128


def read(document: dict[str, Any], settings: dict[str, Any], *, with_ids: bool) -> Call:
    """Parse and check a PutRecords. `with_ids`: whether to look for the events inside (the ledger wants them)."""
    records = document.get("Records")
    stream = str(document.get("StreamName") or document.get("StreamARN") or "")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        return Call([], Refusal("SerializationException", "Records is no list of structures."), stream)
    try:
        items = [_item(record, with_ids=with_ids) for record in records]
    except (binascii.Error, TypeError, ValueError):
        return Call([], Refusal("SerializationException", "Data is not base64."), stream)
    return Call(items, next(_refusals(stream, items, settings), None), stream, document)


def _item(record: dict[str, Any], *, with_ids: bool) -> Item:
    data = pybase64.b64decode(record.get("Data", ""), validate=True)
    key = record.get("PartitionKey")
    item = Item(record, data, len(data) + len(str(key or "").encode()))
    item.key = str(key or "")
    if with_ids:
        item.event_ids = detail.ids_in_record(data)
    return item


def _refusals(stream: str, items: list[Item], settings: dict[str, Any]) -> Iterator[Refusal]:
    """Why the call is refused whole: the first reason counts."""
    most = model.longest("kinesis", "PutRecordsRequestEntryList")
    if not stream:
        yield Refusal("ValidationException", "Either StreamName or StreamARN must be given.")
    if stream.rsplit("/", 1)[-1] in settings.get("missing", ()):
        yield Refusal("ResourceNotFoundException", f"Stream {stream} under account 123456789012 not found.")
    if not 1 <= len(items) <= most:
        yield _invalid(f"'records': Member must have length less than or equal to {most}, at least 1")
    for number, item in enumerate(items, 1):
        if "Data" not in item.raw or len(item.content) + len(item.key.encode()) > RECORD_BYTES:
            yield _invalid(f"'records.{number}.member.data': Member must have length at most {RECORD_BYTES}")
        if not model.fits("kinesis", "PartitionKey", item.raw.get("PartitionKey")):
            yield _invalid(f"'records.{number}.member.partitionKey': Member must have length 1 to 256")
        hash_key = item.raw.get("ExplicitHashKey")
        if hash_key is not None and not (model.fits("kinesis", "HashKey", hash_key) and int(hash_key) < HASH_KEYS):
            yield Refusal("InvalidArgumentException", "Invalid ExplicitHashKey. It must be 0 to 2^128-1.")
    if sum(item.size for item in items) > REQUEST_BYTES:
        yield Refusal("InvalidArgumentException", "Records size exceeds 10 MB limit")


def _invalid(text: str) -> Refusal:
    return Refusal("ValidationException", f"1 validation error detected: Value at {text}")


class Shards:
    """The open shards of a stream: equal ranges of hash keys, each with its budget of one second."""

    def __init__(self, count: int, *, limited: bool) -> None:
        self._count = count
        self._limited = limited
        self._records = [float(SHARD_RECORDS_PER_S)] * count
        self._bytes = [float(SHARD_BYTES_PER_S)] * count
        self._refilled = [time.monotonic()] * count
        self._sequence = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898

    def accept(self, call: Call) -> None:
        """Store every record that is not refused, unless its shard has had enough this second."""
        for item in call.items:
            shard = self.of(item)
            if item.verdict != ACCEPTED:
                continue
            if self._limited and not self._take(shard, item.size):
                text = (
                    f"Rate exceeded for shard shardId-{shard:012d} in stream {call.target} under account 123456789012."
                )
                item.refuse("ProvisionedThroughputExceededException", text)
                continue
            self._sequence += 1
            item.result = {"SequenceNumber": str(self._sequence), "ShardId": f"shardId-{shard:012d}"}

    def of(self, item: Item) -> int:
        """The shard that a record's explicit hash key, or the MD5 of its partition key, falls into."""
        explicit = item.raw.get("ExplicitHashKey")
        hashed = hashlib.md5(item.key.encode(), usedforsecurity=False).digest()
        key = int(explicit) if explicit is not None else int.from_bytes(hashed, "big")
        return key * self._count // HASH_KEYS

    def _take(self, shard: int, size: int) -> bool:
        now = time.monotonic()
        passed, self._refilled[shard] = now - self._refilled[shard], now
        records = min(SHARD_RECORDS_PER_S, self._records[shard] + passed * SHARD_RECORDS_PER_S)
        space = min(SHARD_BYTES_PER_S, self._bytes[shard] + passed * SHARD_BYTES_PER_S)
        fits = records >= 1 and space >= size
        self._records[shard] = records - 1 if fits else records
        self._bytes[shard] = space - size if fits else space
        return fits


def answer(call: Call) -> dict[str, Any]:
    """The answer, by position."""
    results = [
        {"ErrorCode": item.code, "ErrorMessage": item.message} if item.code else item.result for item in call.items
    ]
    failed = sum(1 for item in call.items if item.code)
    return {"FailedRecordCount": failed, "Records": results, "EncryptionType": "KMS"}

"""PutRecords: Kinesis's limits.

Sources: botocore model `kinesis`; Kinesis developer guide, quotas.
"""

import binascii
from collections.abc import Iterator
from typing import Any

import pybase64

from tests.fakeaws import detail, model
from tests.fakeaws.call import Call, Item, Refusal
from tests.fakeaws.state.shards import HASH_KEYS

RECORD_BYTES = 1_048_576
"""Data and partition key of one record of a stream that was not raised to more."""

REQUEST_BYTES = 10 * 1024 * 1024


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


def answer(call: Call) -> dict[str, Any]:
    """The answer, by position."""
    results = [
        {"ErrorCode": item.code, "ErrorMessage": item.message} if item.code else item.result for item in call.items
    ]
    failed = sum(1 for item in call.items if item.code)
    return {"FailedRecordCount": failed, "Records": results, "EncryptionType": "KMS"}

"""Kinesis: PutRecords, and reading the stream, its closed shards too, with Kinesis's limits.

Records are there to be read where the plan says `keep_records`. Sources: botocore model `kinesis`; Kinesis developer
guide, quotas.
"""

import base64
import binascii
import json
import time
from collections.abc import Callable, Iterator

import pybase64

from tests.fakeaws import detail, model
from tests.fakeaws.call import ACCEPTED, Call, Document, Item, Operation, Service, by_position
from tests.fakeaws.http import Request
from tests.fakeaws.shards import HASH_KEYS, Kept, Shard, Shards, sequence_numbers
from tests.fakeaws.wire import Refusal, Wire

RECORD_BYTES = 1_048_576
"""Data and partition key of one record of a stream that was not raised to more."""

REQUEST_BYTES = 10 * 1024 * 1024
ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/"
MAX_RECORDS = 10_000
MAX_BYTES = 10 * 1024 * 1024
ITERATOR_LIVES_S = 300.0
PAGE = 100


class Kinesis(Service):
    """The one stream, under whatever name. `with_ids`: whether records are looked into, as the ledger wants it."""

    def __init__(self, *, with_ids: bool) -> None:
        super().__init__()
        self._with_ids = with_ids
        self.shards = Shards(1)
        self._keeps = False
        self.records_of_a_read: Callable[[int], int] = lambda limit: limit
        """Number of records that a read returns at most, by its Limit: Kinesis may return fewer, or none."""
        self.shows_end_late: Callable[[], bool] = lambda: False
        """Whether another iterator comes with the last record of a closed shard."""

    def operations(self) -> dict[str, Operation]:
        form = Wire.JSON_1_1, "com.amazonaws.kinesis#"
        result = (
            Operation("PutRecords", *form, self._read_put, self._put, _put_answer),
            Operation("DescribeStreamSummary", *form, self._summary),
            Operation("ListShards", *form, self._list),
            Operation("GetShardIterator", *form, self._iterator),
            Operation("GetRecords", *form, self._read_get, self._get, lambda call: call.items[0].result),
            Operation("SplitShard", *form, self._split),
            Operation("MergeShards", *form, self._merge),
        )
        return {f"Kinesis_20131202.{operation.name}": operation for operation in result}

    def apply(self, settings: Document) -> None:
        """A stream keeps its records while the number of its shards stays what it was."""
        super().apply(settings)
        count, keeps = int(settings.get("shards", 1)), bool(settings.get("keep_records", False))
        if not keeps or not self._keeps or count != self.shards.count:
            self.shards = Shards(count)
        self._keeps = keeps

    @property
    def _is_limited(self) -> bool:
        return bool(self.settings.get("shard_limits", True))

    def _stream(self, document: Document) -> tuple[str, Refusal | None]:
        """The stream that a call names, and why it cannot be had."""
        name = str(document.get("StreamName") or document.get("StreamARN") or "").rsplit("/", 1)[-1]
        if not name:
            return name, Refusal("ValidationException", "Either StreamName or StreamARN must be given.")
        if not self.stands(name):
            text = f"Stream {name} under account 123456789012 not found."
            return name, Refusal("ResourceNotFoundException", text)
        return name, None

    # --- writing ------------------------------------------------------------------------------------------------

    def _read_put(self, document: Document, _: Request) -> Call:
        records = document.get("Records")
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise TypeError("no list of structures")
        name, refusal = self._stream(document)
        items = [self._item(record) for record in records]
        refusal = refusal or next(_put_refusals(items), None)
        if document.get("DryRun") and refusal is None:
            refusal = Refusal("DryRunOperationException", "The request would have succeeded without DryRun.")
        return Call(items, refusal, name, document)

    def _item(self, record: Document) -> Item:
        try:
            data = pybase64.b64decode(record.get("Data", ""), validate=True)
        except binascii.Error as error:
            raise ValueError("not base64") from error
        key = str(record.get("PartitionKey") or "")
        ids = detail.ids_in_record(data) if self._with_ids else []
        return Item(record, data, len(data) + len(key.encode()), key=key, event_ids=ids)

    def _put(self, call: Call) -> None:
        """Store every record that is not refused, unless its shard has had enough this second."""
        for item in call.items:
            if item.verdict != ACCEPTED:
                continue
            shard = self.shards.of(item.key, item.raw.get("ExplicitHashKey"))
            if self._is_limited and not shard.takes(item.size):
                item.refuse(*_rate_exceeded(shard, call.target)[:2])
                continue
            number = next(sequence_numbers)
            if self._keeps:
                at_s = time.time() + float(self.settings.get("arrival_offset_s", 0.0))
                shard.records.append(Kept(number, at_s, item.raw["Data"], item.key, item.size))
            item.result = {"SequenceNumber": str(number), "ShardId": shard.name}

    # --- the stream and its shards ------------------------------------------------------------------------------

    def _summary(self, document: Document, _: Request) -> Call:
        name, refusal = self._stream(document)
        result = {
            "StreamName": name,
            "StreamARN": ARN + name,
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
            "RetentionPeriodHours": 168,
            "StreamCreationTimestamp": 1_764_000_000,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "KMS",
            "KeyId": "alias/aws/kinesis",
            "OpenShardCount": self.shards.open_count,
            "ConsumerCount": 0,
        }
        return Call([], refusal, name, {"StreamDescriptionSummary": result})

    def _list(self, document: Document, _: Request) -> Call:
        """PAGE shards at a time; a token stands alone."""
        wanted = document.get("ShardFilter") or {}
        if token := document.get("NextToken"):
            if document.get("StreamName") or wanted:
                text = "NextToken and StreamName cannot be provided together."
                return Call([], Refusal("InvalidArgumentException", text))
            try:
                name, since_s, start = json.loads(base64.b64decode(token))
            except ValueError:
                return Call([], Refusal("InvalidArgumentException", "NextToken is not valid."))
            refusal = None
        else:
            name, refusal = self._stream(document)
            since_s, start = (wanted.get("Timestamp") if wanted.get("Type") == "FROM_TIMESTAMP" else None), 0
        result = [
            item for item in self.shards.all if item.closed_s is None or since_s is None or item.closed_s >= since_s
        ]
        answer: Document = {"Shards": [_shape(shard) for shard in result[start : start + PAGE]]}
        if len(result) > start + PAGE:
            answer["NextToken"] = _token(name, since_s, start + PAGE)
        return Call([], refusal, name, answer)

    def _split(self, document: Document, _: Request) -> Call:
        at = int(document.get("NewStartingHashKey") or 0)
        return self._with_shards(document, ("ShardToSplit",), lambda shard: self.shards.split(shard, at))

    def _merge(self, document: Document, _: Request) -> Call:
        return self._with_shards(document, ("ShardToMerge", "AdjacentShardToMerge"), self.shards.merge)

    def _with_shards(self, document: Document, names: tuple[str, ...], do: Callable[..., Refusal | None]) -> Call:
        _, refusal = self._stream(document)
        result = [shard for name in names if (shard := self.shards.named(document.get(name)))]
        if refusal or len(result) < len(names):
            return Call([], refusal or Refusal("ResourceNotFoundException", "No such shard."))
        return Call([], do(*result))

    # --- reading ------------------------------------------------------------------------------------------------

    def _iterator(self, document: Document, _: Request) -> Call:
        name, refusal = self._stream(document)
        shard = self.shards.named(document.get("ShardId"))
        if refusal or shard is None:
            return Call([], refusal or Refusal("ResourceNotFoundException", "The shard does not exist."), name)
        at = _start(shard, str(document.get("ShardIteratorType")), document)
        if isinstance(at, Refusal):
            return Call([], at, name)
        return Call([], None, name, {"ShardIterator": _token(name, shard.name, at, time.time())})

    def _read_get(self, document: Document, _: Request) -> Call:
        """A call of one item: its size is what is read, its key the shard."""
        try:
            name, shard_name, at, made_s = json.loads(base64.b64decode(str(document.get("ShardIterator"))))
        except (ValueError, TypeError):
            return Call([], Refusal("InvalidArgumentException", "The iterator is not valid."))
        shard, most = self.shards.named(shard_name), int(document.get("Limit", MAX_RECORDS))
        if shard is None or self.is_missing(name):
            return Call([], Refusal("ResourceNotFoundException", "The stream or shard does not exist."), name)
        refusal = None
        if time.time() - made_s > ITERATOR_LIVES_S:
            refusal = Refusal("ExpiredIteratorException", "Iterator expired.")
        elif not 1 <= most <= MAX_RECORDS:
            refusal = Refusal("InvalidArgumentException", "Limit must be 1 to 10000.")
        elif self._is_limited and (shard.reads.left < 1 or shard.read_bytes.left <= 0):
            refusal = _rate_exceeded(shard, name)
        return Call([Item((shard, at, most), b"", 0, key=shard_name)], refusal, name)

    def _get(self, call: Call) -> None:
        """Read, at the cost of the shard's budget."""
        for item in call.items:
            shard, at, most = item.raw
            result, item.size = _taken(shard.records[at : at + self.records_of_a_read(most)])
            shard.reads.take(1)
            shard.read_bytes.take(item.size)
            reached = at + len(result)
            item.event_ids = [name for item in result for name in detail.ids_in_record(base64.b64decode(item.data))]
            item.result = {
                "Records": [_record(item) for item in result],
                "MillisBehindLatest": _behind_ms(shard, reached),
            }
            if shard.closed_s is None or reached < len(shard.records) or self.shows_end_late():
                item.result["NextShardIterator"] = _token(call.target, shard.name, reached, time.time())
            else:
                item.result["ChildShards"] = [
                    {"ShardId": child.name, "ParentShards": child.parents, "HashKeyRange": child.hash_keys}
                    for child in shard.children
                ]


def shard_of(iterator: str) -> str:
    """Return the name of the shard that an iterator is of."""
    return str(json.loads(base64.b64decode(iterator))[1])


def _put_refusals(items: list[Item]) -> Iterator[Refusal]:
    """Why the call is refused whole: the first reason counts."""
    most = model.longest("kinesis", "PutRecordsRequestEntryList")
    if not 1 <= len(items) <= most:
        yield _invalid(f"'records': Member must have length less than or equal to {most}, at least 1")
    for number, item in enumerate(items, 1):
        if "Data" not in item.raw or item.size > RECORD_BYTES:
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


def _put_answer(call: Call) -> Document:
    failed = sum(1 for item in call.items if item.code)
    return {"FailedRecordCount": failed, "Records": by_position(call), "EncryptionType": "KMS"}


def _rate_exceeded(shard: Shard, stream: str) -> Refusal:
    text = f"Rate exceeded for shard {shard.name} in stream {stream} under account 123456789012."
    return Refusal("ProvisionedThroughputExceededException", text)


def _token(*subject: object) -> str:
    return base64.b64encode(json.dumps(subject).encode()).decode()


def _shape(shard: Shard) -> Document:
    numbers = {"StartingSequenceNumber": str(shard.begun)}
    if shard.closed_s is not None:
        numbers["EndingSequenceNumber"] = str(shard.ended)
    return {
        "ShardId": shard.name,
        "HashKeyRange": shard.hash_keys,
        "SequenceNumberRange": numbers,
        **dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False)),
    }


def _start(shard: Shard, kind: str, document: Document) -> int | Refusal:
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
        return next((at for at, item in enumerate(records) if item.arrived_s >= at_s), len(records))
    if kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        number = str(document.get("StartingSequenceNumber") or "")
        if not number.isdecimal():
            return Refusal("InvalidArgumentException", "StartingSequenceNumber is missing or not valid.")
        beyond = int(number) + (kind == "AFTER_SEQUENCE_NUMBER")
        return next((at for at, item in enumerate(records) if item.sequence_number >= beyond), len(records))
    return Refusal("ValidationException", "The iterator type is not known.")


def _taken(there: list[Kept]) -> tuple[list[Kept], int]:
    """As many of these as a read brings, and their bytes."""
    size = 0
    for number, item in enumerate(there):
        if number and size + item.size > MAX_BYTES:
            return there[:number], size
        size += item.size
    return there, size


def _behind_ms(shard: Shard, at: int) -> int:
    return max(0, round((time.time() - shard.records[at].arrived_s) * 1000)) if at < len(shard.records) else 0


def _record(candidate: Kept) -> Document:
    return {
        "SequenceNumber": str(candidate.sequence_number),
        "ApproximateArrivalTimestamp": round(candidate.arrived_s, 3),
        "Data": candidate.data,
        "PartitionKey": candidate.partition_key,
        "EncryptionType": "KMS",
    }

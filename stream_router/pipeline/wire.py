"""What a PutEvents call looks like on the wire: awsJson1.1 for a classic bus, rpc-v2-cbor for a v2 bus."""

import hashlib
import struct
from collections.abc import Sequence

import orjson

from stream_router import limits
from stream_router.pipeline.transform import SOURCE
from stream_router.records import Entry


def put_events(bus: str, entries: Sequence[Entry]) -> bytes:
    """The body of a classic PutEvents call to `bus` (name or ARN)."""
    return orjson.dumps(
        {
            "Entries": [
                {
                    "Source": SOURCE,
                    "DetailType": entry.detail_type,
                    "Detail": entry.detail.decode(),
                    "Time": entry.time_s,
                    "EventBusName": bus,
                }
                for entry in entries
            ]
        }
    )


def describe_event_bus(bus: str) -> bytes:
    """The body of a DescribeEventBus call, in the bus's own protocol."""
    if limits.is_v2_bus(bus):
        return _map(1) + _text("EventBusArn") + _text(bus)
    return orjson.dumps({"Name": bus})


class V2Encoder:
    """Writes PutEvents calls for one v2 bus in CBOR (RFC 8949), as botocore's serializer for `eventbridgev2` does."""

    def __init__(self, bus_arn: str, shard_id: str, *, grouped: bool) -> None:
        self._shard_id = shard_id
        self._grouped = grouped
        self._head = _map(2) + _text("EventBusArn") + _text(bus_arn) + _text("Entries")
        self._source = _text("Source") + _text(SOURCE) + _text("DetailType")
        self._detail = _text("Detail")
        self._time = _text("Time") + b"\xc1\xfb"  # tag 1 (epoch time), a 64-bit float
        self._metadata = _text("SystemMetadata")
        self._deduplication_id = _text("DeduplicationId")
        self._group_id = _text("EventGroupId")

    def put_events(self, entries: Sequence[Entry]) -> bytes:
        """The body of one call."""
        parts = [self._head, _head(0x80, len(entries))]
        for entry in entries:
            parts += (
                b"\xa5",
                self._source,
                _text(entry.detail_type),
                self._detail,
                _head(0x60, len(entry.detail)),
                entry.detail,
                self._time,
                struct.pack(">d", entry.time_s),
                self._metadata,
                self._system_metadata(entry),
            )
        return b"".join(parts)

    def _system_metadata(self, entry: Entry) -> bytes:
        deduplication = self._deduplication_id + _text(deduplication_id(self._shard_id, entry))
        if self._grouped and entry.order_key:
            return b"\xa2" + self._group_id + _text(group_id(entry.order_key)) + deduplication
        return b"\xa1" + deduplication


def deduplication_id(shard_id: str, entry: Entry) -> str:
    """What tells a v2 bus that an entry is a copy: the event's id where the sender gave its delivery one.

    An id derived from content never does, since two equal records may be two real events: then the place in the stream.
    """
    event = entry.event
    if event.id_from == "delivery":
        return event.event_id
    record = event.record
    return f"{shard_id}:{record.sequence_number}:{record.sub_sequence_number}:{event.line}"


def group_id(order_key: str) -> str:
    """An EventGroupId of at most 128 characters (model `eventbridgev2`); a longer conversation id is hashed."""
    if len(order_key) <= 128:
        return order_key
    return hashlib.sha256(order_key.encode()).hexdigest()


def _head(major: int, value: int) -> bytes:
    """A CBOR item's head: major type in the top three bits, then the shortest form of `value`."""
    if value < 24:
        return bytes((major | value,))
    if value < 0x100:
        return bytes((major | 24, value))
    if value < 0x10000:
        return struct.pack(">BH", major | 25, value)
    return struct.pack(">BI", major | 26, value)


def _map(size: int) -> bytes:
    return _head(0xA0, size)


def _text(value: str) -> bytes:
    data = value.encode()
    return _head(0x60, len(data)) + data

"""Wire format of a PutEvents call: awsJson1.1 for a classic bus, rpc-v2-cbor for a v2 bus."""

import hashlib
import struct
from collections.abc import Callable, Sequence

import orjson

from stream_router.envelope import read_resubmitted
from stream_router.model import SOURCE, Entry, Event

MAX_CACHED_TYPES = 100
"""Maximum number of detail types whose bytes are cached."""
_LARGE_BYTES = 2_048
"""Size from which a Detail is escaped as bytes. Below it, orjson is quicker.

orjson would decode the Detail, encode it again and look at every byte: 38 µs for 64 KB, against 4 µs
(benchmarks/sizes.py).
"""
_DOUBLE = struct.Struct(">d").pack


def put_events(bus: str, entries: Sequence[Entry]) -> bytes:
    """Return the body of a classic PutEvents call to `bus` (name or ARN)."""
    wired = [
        {
            "Source": SOURCE,
            "EventBusName": bus,
            "DetailType": detail_type,
            "Detail": detail.decode() if len(detail) < _LARGE_BYTES else _escape_as_json_string(detail),
            "Time": time_s,
        }
        for _, detail_type, detail, time_s, _, _, _ in entries
    ]
    return orjson.dumps({"Entries": wired})


def _escape_as_json_string(detail: bytes) -> orjson.Fragment:
    """Return a Detail, which is JSON itself, as a JSON string.

    JSON holds no raw control characters, so only backslashes and quotes have to be escaped.
    """
    return orjson.Fragment(b'"%b"' % detail.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))


class V2Encoder:
    """Encoder of PutEvents calls to one v2 bus in CBOR (RFC 8949), like botocore's serializer for `eventbridgev2`.

    `token_of` returns an event's DeduplicationId. If `grouped`, entries with an order key have an EventGroupId.
    """

    def __init__(self, bus_arn: str, token_of: Callable[[Event], str], *, grouped: bool) -> None:
        self._token_of = token_of
        self._grouped = grouped
        self._head = _map(2) + _text("EventBusArn") + _text(bus_arn) + _text("Entries")
        self._before_detail: dict[str, bytes] = {}
        self._time = _text("Time") + b"\xc1\xfb"  # tag 1 (epoch time), a 64-bit float
        # 0xa1, 0xa2 and 0xa5 begin a map of one, two and five members.
        metadata, token = _text("SystemMetadata"), _text("DeduplicationId")
        self._alone = metadata + b"\xa1" + token
        self._group_id = metadata + b"\xa2" + _text("EventGroupId")
        self._deduplication_id = token

    def put_events(self, entries: Sequence[Entry]) -> bytes:
        """Return the body of one call."""
        parts = [self._head, _head(0x80, len(entries))]
        for event, detail_type, detail, time_s, _, order_key, _ in entries:
            parts += (
                self._before_detail.get(detail_type) or self._build_before_detail(detail_type),
                _head(0x60, len(detail)),
                detail,
                self._time,
                _DOUBLE(time_s),
            )
            if self._grouped and order_key:
                parts += (self._group_id, _text(group_id(order_key)), self._deduplication_id)
            else:
                parts.append(self._alone)
            parts.append(_text(self._token_of(event)))
        return b"".join(parts)

    def _build_before_detail(self, detail_type: str) -> bytes:
        """Return the bytes before the Detail, which are the same for all entries of a detail type, and cache them."""
        text = b"\xa5" + _text("Source") + _text(SOURCE) + _text("DetailType") + _text(detail_type) + _text("Detail")
        if len(self._before_detail) < MAX_CACHED_TYPES:
            self._before_detail[detail_type] = text
        return text


def deduplication_id(shard_id: str, event: Event) -> str:
    """Return the token by which a v2 bus recognises a copy of an event.

    It is the event's id if the sender gave its delivery an id. An id derived from the content would not do, since two
    equal deliveries may be two real events; then the token is the event's place in the stream. If an operator
    resubmitted the event, the run of that command is part of the token, so that the bus does not drop the event.
    """
    if event.id_from == "delivery":
        token = event.event_id
    else:
        record = event.record
        token = f"{shard_id}:{record.sequence_number}:{record.sub_sequence_number}:{event.line}"
    if resubmission := read_resubmitted(event.resubmitted):
        token = f"{token}:{resubmission.run}"
    return _shorten_to_128(token)


def group_id(order_key: str) -> str:
    """Return the EventGroupId of a conversation: its id, or a hash if the id is too long."""
    return _shorten_to_128(order_key)


def _shorten_to_128(text: str) -> str:
    """Return a text, or its hash if it has more than 128 characters (EventGroupId and DeduplicationId, AWS's model)."""
    return text if len(text) <= 128 else hashlib.sha256(text.encode()).hexdigest()


def _head(major: int, value: int) -> bytes:
    """Return a CBOR item's head: major type in the top three bits, then the shortest form of `value`."""
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

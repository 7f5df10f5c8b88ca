"""Deaggregation of KPL records as the KCL does it: the same user records, sub-sequence numbers, and losses.

For a child the KCL deaggregates. This module is for commands that read the stream without the KCL. Source:
`AggregatorUtil` and `messages.proto` of KCL 3.5.1. If a record's tables are wrong, the KCL passes on the user records
before the fault and skips the rest. If a hash key is out of range, it skips the whole record.
"""

import functools
import hashlib
import re
from typing import Any, NamedTuple

MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES = 16
_HASH_KEYS_IN_ALL = 1 << 128
_INTEGER = re.compile(r"[+-]?\d+")
"""Integers that Java's BigInteger can parse."""


class Part(NamedTuple):
    """One user record of a Kinesis record. `passed_over` is true if the KCL does not pass it to the consumer."""

    data: bytes
    sub_sequence_number: int
    passed_over: bool = False


def parts_of(data: bytes) -> list[Part]:
    """Return the user records of a Kinesis record's data, in order; a single one, number 0, if it is not aggregated."""
    message, digest = data[len(MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not data.startswith(MAGIC) or not message or hashlib.md5(message, usedforsecurity=False).digest() != digest:
        return [Part(data, 0)]
    from google.protobuf.message import DecodeError

    aggregate = _aggregated_record()()
    try:
        aggregate.ParseFromString(message)
    except DecodeError:
        return [Part(data, 0)]
    if not aggregate.IsInitialized():  # a required field is missing
        return [Part(data, 0)]
    parts = [Part(record.data, number) for number, record in enumerate(aggregate.records)]
    for number, record in enumerate(aggregate.records):
        try:
            aggregate.keys[_index(record.key)]
            hash_key = _integer(aggregate.hash_keys[_index(record.hash_key)]) if record.HasField("hash_key") else 0
        except (IndexError, ValueError):
            return [*parts[:number], *_passed_over(parts[number:])]
        if not 0 <= hash_key < _HASH_KEYS_IN_ALL:
            return _passed_over(parts)
    return parts


def _passed_over(parts: list[Part]) -> list[Part]:
    return [part._replace(passed_over=True) for part in parts]


def _index(value: int) -> int:
    """Return an index as Java casts it to 32 bits. A negative index becomes a number beyond every table."""
    return min(value & 0xFFFFFFFF, 0x80000000)


def _integer(text: bytes) -> int:
    digits = text.decode("utf-8", "replace")
    if not _INTEGER.fullmatch(digits):
        raise ValueError(digits)
    return int(digits)


@functools.cache
def _aggregated_record() -> Any:
    """Return the class of the KPL's message. Its strings are bytes, since Java accepts strings that are not UTF-8.

    The class is built for the first aggregated record: few streams have any, and protobuf needs memory.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="kpl.proto", package="kpl", syntax="proto2")
    whole, record = file.message_type.add(name="AggregatedRecord"), file.message_type.add(name="Record")
    repeated, required, optional = kind.LABEL_REPEATED, kind.LABEL_REQUIRED, kind.LABEL_OPTIONAL
    whole.field.add(name="keys", number=1, label=repeated, type=kind.TYPE_BYTES)
    whole.field.add(name="hash_keys", number=2, label=repeated, type=kind.TYPE_BYTES)
    whole.field.add(name="records", number=3, label=repeated, type=kind.TYPE_MESSAGE, type_name=".kpl.Record")
    record.field.add(name="key", number=1, label=required, type=kind.TYPE_UINT64)
    record.field.add(name="hash_key", number=2, label=optional, type=kind.TYPE_UINT64)
    record.field.add(name="data", number=3, label=required, type=kind.TYPE_BYTES)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kpl.AggregatedRecord"))

"""Deaggregation of KPL records as the KCL does it: the same user records, sub-sequence numbers, and losses.

A producer that uses the KPL packs many user records into one Kinesis record. The KCL unpacks them before a child gets
them. This module is for commands, which read the stream without the KCL. Source: `AggregatorUtil` and `messages.proto`
of KCL 3.5.1.
"""

import functools
import hashlib
import re
from typing import Any, NamedTuple

MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES = 16
_HASH_KEY_COUNT = 1 << 128
_JAVA_INTEGER = re.compile(r"[+-]?\d+")
"""Pattern of the integers that Java's BigInteger can parse. It accepts the digits of every script, and no blanks."""


class KplRecord(NamedTuple):
    """One user record of a Kinesis record. `is_skipped` is true if the KCL does not pass it to the consumer."""

    data: bytes
    sub_sequence_number: int
    is_skipped: bool = False


def split_user_records(data: bytes) -> list[KplRecord]:
    """Return the user records in a Kinesis record's data, in order. Data that are not aggregated are one user record.

    If a user record refers to a partition key or hash key that is missing, the KCL skips that user record and all later
    ones of this Kinesis record. If a hash key is out of range, the KCL skips all user records of this Kinesis record.
    """
    message, digest = data[len(MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not data.startswith(MAGIC) or not message or hashlib.md5(message, usedforsecurity=False).digest() != digest:
        return [KplRecord(data, 0)]
    from google.protobuf.message import DecodeError

    aggregate = _build_message_class()()
    try:
        aggregate.ParseFromString(message)
    except DecodeError:
        return [KplRecord(data, 0)]
    if not aggregate.IsInitialized():  # a required field is missing
        return [KplRecord(data, 0)]
    user_records = [KplRecord(record.data, number) for number, record in enumerate(aggregate.records)]
    for number, record in enumerate(aggregate.records):
        hash_key = 0
        try:
            aggregate.keys[_to_table_index(record.key)]  # the KCL looks the key up as well, and fails if it is missing
            if record.HasField("hash_key"):
                hash_key = _parse_java_integer(aggregate.hash_keys[_to_table_index(record.hash_key)])
        except (IndexError, ValueError):
            return [*user_records[:number], *_mark_skipped(user_records[number:])]
        if not 0 <= hash_key < _HASH_KEY_COUNT:
            return _mark_skipped(user_records)
    return user_records


def _mark_skipped(user_records: list[KplRecord]) -> list[KplRecord]:
    return [user_record._replace(is_skipped=True) for user_record in user_records]


def _to_table_index(value: int) -> int:
    """Return an index as Java casts it to 32 bits. Java's negative indexes become a number beyond every table.

    In Java a negative index is an error. In Python it would count from the end of the table.
    """
    return min(value & 0xFFFFFFFF, 0x80000000)


def _parse_java_integer(text: bytes) -> int:
    """Return the integer that Java's BigInteger reads in `text`. Raise ValueError if it reads none."""
    digits = text.decode("utf-8", "replace")
    if not _JAVA_INTEGER.fullmatch(digits):
        raise ValueError(digits)
    return int(digits)


@functools.cache
def _build_message_class() -> Any:
    """Return the protobuf class of the KPL's message AggregatedRecord.

    String fields are declared as bytes, since Java accepts strings that are not UTF-8. The class is built only for the
    first aggregated record: few streams have any, and protobuf needs memory.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="kpl.proto", package="kpl", syntax="proto2")
    aggregate, record = file.message_type.add(name="AggregatedRecord"), file.message_type.add(name="Record")
    repeated, required, optional = field_type.LABEL_REPEATED, field_type.LABEL_REQUIRED, field_type.LABEL_OPTIONAL
    aggregate.field.add(name="keys", number=1, label=repeated, type=field_type.TYPE_BYTES)
    aggregate.field.add(name="hash_keys", number=2, label=repeated, type=field_type.TYPE_BYTES)
    aggregate.field.add(name="records", number=3, label=repeated, type=field_type.TYPE_MESSAGE, type_name=".kpl.Record")
    record.field.add(name="key", number=1, label=required, type=field_type.TYPE_UINT64)
    record.field.add(name="hash_key", number=2, label=optional, type=field_type.TYPE_UINT64)
    record.field.add(name="data", number=3, label=required, type=field_type.TYPE_BYTES)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kpl.AggregatedRecord"))

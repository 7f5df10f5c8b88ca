"""KPL aggregation taken apart as the KCL does it: the same user records, sub-sequence numbers, and losses.

Source: `AggregatorUtil` and `messages.proto` of KCL 3.5.1. Where a record's tables are wrong, the KCL hands on what
stands before the fault and passes over the rest; where a hash key is out of all bounds, it passes over the record.
"""

import hashlib
import re
from typing import NamedTuple

MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES = 16
_HASH_KEYS_IN_ALL = 1 << 128
_JAVA_INTEGER = re.compile(r"[+-]?\d+")
_PARTITION_KEYS, _HASH_KEYS, _RECORDS = 1, 2, 3
_KEY_INDEX, _HASH_INDEX, _DATA = 1, 2, 3
_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_SIZES = {_VARINT: 0, _FIXED64: 8, _BYTES: 0, _GROUP: 0, _GROUP_END: 0, _FIXED32: 4}


class Part(NamedTuple):
    """One user record of a Kinesis record. `passed_over`: the KCL does not hand it to the consumer."""

    data: bytes
    sub_sequence_number: int
    passed_over: bool = False


class _WrongProtobufError(ValueError):
    """The bytes are no message of this kind: the KCL then takes the whole record as it is."""


def parts_of(data: bytes) -> list[Part]:
    """The user records of a Kinesis record's data, in order; one, with sub-sequence 0, where it is not aggregated."""
    if not data.startswith(MAGIC) or len(data) - len(MAGIC) <= _DIGEST_BYTES:
        return [Part(data, 0)]
    message, digest = data[len(MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.md5(message, usedforsecurity=False).digest() != digest:
        return [Part(data, 0)]
    try:
        keys, hash_keys, records = _aggregated(message)
    except _WrongProtobufError:
        return [Part(data, 0)]
    parts = [Part(content, number) for number, (_, _, content) in enumerate(records)]
    for number, (key_index, hash_index, _) in enumerate(records):
        try:
            keys[key_index]
            hash_key = 0 if hash_index is None else _integer(hash_keys[hash_index])
        except (IndexError, ValueError):
            return [*parts[:number], *_passed_over(parts[number:])]
        if not 0 <= hash_key < _HASH_KEYS_IN_ALL:
            return _passed_over(parts)
    return parts


def _passed_over(parts: list[Part]) -> list[Part]:
    return [part._replace(passed_over=True) for part in parts]


def _integer(text: str) -> int:
    """As Java's BigInteger reads it. Raises ValueError where it does not."""
    if not _JAVA_INTEGER.fullmatch(text):
        raise ValueError
    return int(text)


_Record = tuple[int, int | None, bytes]


def _aggregated(message: bytes) -> tuple[list[str], list[str], list[_Record]]:
    """Partition keys, hash keys and records. A text that is no UTF-8 has replacement characters, as in Java."""
    fields = _fields(message)
    texts = [(field, value) for field, value in fields if isinstance(value, bytes)]
    keys = [value.decode("utf-8", "replace") for field, value in texts if field == _PARTITION_KEYS]
    hash_keys = [value.decode("utf-8", "replace") for field, value in texts if field == _HASH_KEYS]
    return keys, hash_keys, [_record(value) for field, value in texts if field == _RECORDS]


def _record(message: bytes) -> _Record:
    fields = _fields(message)
    numbers = {field: value for field, value in fields if isinstance(value, int)}
    contents = [value for field, value in fields if field == _DATA and isinstance(value, bytes)]
    if _KEY_INDEX not in numbers or not contents:
        raise _WrongProtobufError
    hash_index = numbers.get(_HASH_INDEX)
    return _as_int(numbers[_KEY_INDEX]), None if hash_index is None else _as_int(hash_index), contents[-1]


def _as_int(value: int) -> int:
    """An index as Java casts it to 32 bits; a negative one is beyond every table."""
    low = value & 0xFFFFFFFF
    return min(low, 0x80000000)


def _fields(message: bytes) -> list[tuple[int, int | bytes]]:
    """The fields of a protobuf message, in order; those within groups, which no message here has, are left out."""
    found: list[tuple[int, int | bytes]] = []
    groups: list[int] = []
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, kind = tag >> 3, tag & 7
        if not field or kind not in _SIZES:
            raise _WrongProtobufError
        if kind == _GROUP:
            groups.append(field)
            continue
        if kind == _GROUP_END:
            if not groups or groups.pop() != field:
                raise _WrongProtobufError
            continue
        value, at = _value(message, at, kind)
        if not groups:
            found.append((field, value))
    if groups:
        raise _WrongProtobufError
    return found


def _value(message: bytes, at: int, kind: int) -> tuple[int | bytes, int]:
    if kind == _VARINT:
        return _varint(message, at)
    size = _SIZES[kind]
    if kind == _BYTES:
        size, at = _varint(message, at)
    if at + size > len(message):
        raise _WrongProtobufError
    return message[at : at + size], at + size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _WrongProtobufError

"""Writes records as the Kinesis Producer Library aggregates them (`messages.proto` of the KPL), right or wrong ones."""

import hashlib
from collections.abc import Sequence

MAGIC = b"\xf3\x89\x9a\xc2"


def aggregated(records: Sequence[tuple[str, bytes]], *, hash_keys: Sequence[str] = ()) -> bytes:
    """One Kinesis record's data from (partition key, data) pairs; `hash_keys`, where given, one for each record."""
    keys = list(dict.fromkeys(key for key, _ in records))
    message = b"".join(_field(1, key.encode()) for key in keys)
    message += b"".join(_field(2, key.encode()) for key in hash_keys)
    for number, (key, data) in enumerate(records):
        inner = _number(1, keys.index(key)) + (_number(2, number) if hash_keys else b"") + _field(3, data)
        message += _field(3, inner)
    return MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))

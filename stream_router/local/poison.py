"""Bad input of several kinds.

The receiver must refuse some of it. The rest must become dead letters with the reasons named here.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

import orjson

from stream_router.dead_letter_reasons import Reason


class Garbage(NamedTuple):
    """A bad record for the stream: its kind, its unique bytes, and the reason with which it must be dead-lettered."""

    kind: str
    data: bytes
    reason: Reason


_BROKEN: tuple[Callable[[int, bytes], bytes], ...] = (
    lambda _, good: good[: len(good) * 2 // 3],
    lambda _, good: good.replace(b'"payload"', b'"pay\xff\xfeload"', 1),
    lambda number, _: b'"just a text, number %d"' % number,
    lambda number, _: b"<event id='%d'/>" % number,
)


def broken_body(number: int, good: bytes) -> bytes:
    """Return a body that is not a JSON object, made from a good body. The receiver must answer 400."""
    return _BROKEN[number % len(_BROKEN)](number, good)


def _with_fields(good: bytes, **fields: object) -> bytes:
    return orjson.dumps({**orjson.loads(good), **fields})


def _binary(serial: int, rng: random.Random) -> bytes:
    return b"\xff\xfe%d\0%s" % (serial, rng.randbytes(300).replace(b"\n", b"\r"))


def _envelope_of_version_2(serial: int, good: bytes) -> bytes:
    """Return a line of version 2 without `receivedAt`. Its arrival counts as its receipt, so latencies stay correct."""
    return orjson.dumps({"v": 2, "id": f"{serial:032x}", "idFrom": "delivery", "body": orjson.loads(good)})


KINDS: tuple[tuple[str, Reason, Callable[[int, bytes, random.Random], bytes]], ...] = (
    ("JSON cut short", Reason.MALFORMED_JSON, lambda n, good, _: b"%s  " % good[: 200 + n % 100]),
    ("binary", Reason.MALFORMED_JSON, lambda n, _, rng: _binary(n, rng)),
    ("another schema", Reason.SCHEMA_MISMATCH, lambda n, _, __: orjson.dumps({"level": "info", "n": n})),
    ("envelope of version 2", Reason.UNSUPPORTED_VERSION, lambda n, good, _: _envelope_of_version_2(n, good)),
    (
        "type that no rule takes",
        Reason.UNROUTABLE,
        lambda n, good, _: _with_fields(good, eventType="agent.lunch.started", interactionId=f"unroutable-{n}"),
    ),
    (
        "unreadable timestamp",
        Reason.SCHEMA_MISMATCH,
        lambda n, good, _: _with_fields(good, timestamp=f"the day before, {n}"),
    ),
)


def garbage(serial: int, good: bytes, rng: random.Random) -> Garbage:
    """Return bad record number `serial`, of each kind in turn, made from the good body `good`."""
    kind, reason, make = KINDS[serial % len(KINDS)]
    return Garbage(kind, make(serial, good, rng), reason)

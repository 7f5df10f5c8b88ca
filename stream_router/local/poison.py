"""Garbage of several kinds: what the receiver must refuse, and what, once in the stream, must be buried, and why."""

import random
from collections.abc import Callable
from typing import NamedTuple

import orjson

from stream_router.model import Reason


class Garbage(NamedTuple):
    """One record for the stream: what it is, its bytes (no two alike), the reason under which it must be buried."""

    kind: str
    data: bytes
    reason: Reason


def broken_body(number: int, good: bytes) -> bytes:
    """A body that is no JSON object, made of a good one: the receiver must answer 400."""
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: good[: len(good) * 2 // 3],
        lambda: good[:-1] + b",}",
        lambda: good.replace(b'"payload":', b'"payload":NaN,"was":', 1),
        lambda: good.replace(b'"payload"', b'"pay\xff\xfeload"', 1),
        lambda: b'"just a text, number %d"' % number,
        lambda: b"<event id='%d'/>" % number,
    )
    return kinds[number % len(kinds)]()


def _cut_short(serial: int, good: bytes, _: random.Random) -> Garbage:
    return Garbage("JSON cut short", b"%s  " % good[: 200 + serial % 100], Reason.MALFORMED_JSON)


def _binary(serial: int, _: bytes, rng: random.Random) -> Garbage:
    noise = rng.randbytes(300).replace(b"\n", b"\r")
    return Garbage("binary", b"\xff\xfe%d\0%s" % (serial, noise), Reason.MALFORMED_JSON)


def _broken_aggregate(serial: int, _: bytes, rng: random.Random) -> Garbage:
    """What the KPL's magic number begins and no MD5 ends: the KCL passes it through as it is."""
    noise = rng.randbytes(120).replace(b"\n", b"\r")
    return Garbage("broken KPL aggregate", b"\xf3\x89\x9a\xc2%d\xff%s" % (serial, noise), Reason.MALFORMED_JSON)


def _other_schema(serial: int, _: bytes, __: random.Random) -> Garbage:
    data = orjson.dumps({"level": "info", "msg": "a log line that strayed in", "n": serial})
    return Garbage("another schema", data, Reason.SCHEMA_MISMATCH)


def _bad_timestamp(serial: int, good: bytes, _: random.Random) -> Garbage:
    event = {**orjson.loads(good), "timestamp": f"the day before yesterday, {serial}"}
    return Garbage("unreadable timestamp", orjson.dumps(event), Reason.SCHEMA_MISMATCH)


def _future_version(serial: int, good: bytes, _: random.Random) -> Garbage:
    # Without `receivedAt`: it counts as received when it came, and the demo's latencies mean something.
    envelope = {"v": 2, "id": f"{serial:032x}", "idFrom": "delivery", "body": orjson.loads(good)}
    return Garbage("envelope of version 2", orjson.dumps(envelope), Reason.UNSUPPORTED_VERSION)


def _unknown_type(serial: int, good: bytes, _: random.Random) -> Garbage:
    event = {**orjson.loads(good), "eventType": "agent.lunch.started", "interactionId": f"unroutable-{serial}"}
    return Garbage("type that no rule takes", orjson.dumps(event), Reason.UNROUTABLE)


KINDS = (_cut_short, _binary, _other_schema, _future_version, _unknown_type, _bad_timestamp, _broken_aggregate)


def garbage(serial: int, good: bytes, rng: random.Random) -> Garbage:
    """Record number `serial` of the garbage, each kind in turn; `good` is a body to spoil."""
    return KINDS[serial % len(KINDS)](serial, good, rng)

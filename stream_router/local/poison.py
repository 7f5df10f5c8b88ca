"""Bad input of several kinds for the demo.

Broken bodies are posted, and the receiver must refuse them. Bad records (`Garbage`) are put on the stream directly, and
must become dead letters with the reasons named here.
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


# Each takes a number, which makes the body unique, and a good body.
_BROKEN: tuple[Callable[[int, bytes], bytes], ...] = (
    lambda _, good: good[: len(good) * 2 // 3],
    lambda _, good: good.replace(b'"payload"', b'"pay\xff\xfeload"', 1),
    lambda number, _: b'"just a text, number %d"' % number,
    lambda number, _: b"<event id='%d'/>" % number,
)


def broken_body(number: int, good: bytes) -> bytes:
    """Return a body that is not a JSON object, of each kind in turn by `number`. The receiver must answer 400.

    `good` is the good body of which some kinds are made.
    """
    return _BROKEN[number % len(_BROKEN)](number, good)


def _with_fields(good: bytes, **fields: object) -> bytes:
    return orjson.dumps({**orjson.loads(good), **fields})


def _binary(serial: int, rng: random.Random) -> bytes:
    # Without a line break the record is a single line.
    return b"\xff\xfe%d\0%s" % (serial, rng.randbytes(300).replace(b"\n", b"\r"))


def _envelope_of_version_2(serial: int, good: bytes) -> bytes:
    """Return an envelope of a version that does not exist yet, without `receivedAt`.

    Its arrival in the stream then counts as its receipt, so the measured latencies stay correct.
    """
    return orjson.dumps({"v": 2, "id": f"{serial:032x}", "idFrom": "delivery", "body": orjson.loads(good)})


# Kind, reason of the dead letter, and the function that makes the record's bytes from serial number and good body. The
# number must be part of the bytes, because the demo recognises a record by them.
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
    """Return a bad record, of each kind in turn by its number `serial`.

    `good` is the good body of which some kinds are made; `rng` gives the random bytes.
    """
    kind, reason, make = KINDS[serial % len(KINDS)]
    return Garbage(kind, make(serial, good, rng), reason)

"""The claim check: what no call can carry goes to the bucket, however deep it nests, and never ends the process."""

import hashlib
import random
from collections.abc import Iterable

import orjson
import pytest

from stream_router.aws_answers import Answer
from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import open_record
from stream_router.model import DeadLetter, Record
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of
from tests.fakes import Rig, World, event, rig

LIMITS = CallLimits(10, 262_144)
HEAD = orjson.dumps({name: value for name, value in BODY.items() if name != "payload"})[:-1]
LONG = b'"' + b"y" * 300_000 + b'"'


def with_bucket(troubles: Iterable[Answer | None] = ()) -> tuple[Rig, dict[str, bytes]]:
    """A rig with a bucket, which answers with `troubles` first (None stores), and what the bucket stores."""
    objects: dict[str, bytes] = {}
    first = iter(troubles)

    def store(key: str, data: bytes) -> Answer:
        if trouble := next(first, None):
            return trouble
        objects[key] = data
        return Answer(200, b"", {"etag": '"e"'}, "")

    def bucket(world: World) -> ClaimCheck:
        return ClaimCheck(
            lambda key, data, done: world.after(0.01, lambda: done(store(key, data))),
            "bucket",
            world.clock,
            world.random.random,
        )

    return rig(limits=LIMITS, transform=Transform(config_of(), lambda: NOW_MS), claim_check=bucket), objects


def nested(levels: int, inmost: bytes) -> bytes:
    return b'{"a":' * levels + inmost + b"}" * levels


def through(created: Rig, body: bytes) -> None:
    created.router.route_opened(open_record(Record(body, 100)))
    created.drain()


@pytest.mark.parametrize("levels", [1, 240])
@pytest.mark.parametrize("beside", [b"{}", nested(240, b"1")], ids=["flat", "deep"])
def test_an_oversize_payload_goes_to_the_bucket_however_deep(levels: int, beside: bytes) -> None:
    """The object is the payload, and the entry that is delivered says where it is, how long, and its SHA-256."""
    result, objects = with_bucket()
    payload = nested(levels, LONG)
    through(result, HEAD + b',"beside":' + beside + b',"payload":' + payload + b"}")
    assert not result.tally.dead
    (entry,) = result.tally.delivered
    detail = orjson.loads(entry.detail)
    reference = detail["payloadRef"]
    assert "payload" not in detail
    assert detail["extensions"] == {"beside": orjson.loads(beside)}
    assert objects == {reference["key"]: payload}
    assert (reference["size"], reference["sha256"]) == (len(payload), hashlib.sha256(payload).hexdigest())


def test_what_is_too_large_without_its_payload_is_a_dead_letter() -> None:
    """The claim check is tried once: an entry whose rest no call can carry is buried."""
    result, objects = with_bucket()
    through(result, orjson.dumps(BODY)[:-1] + b',"beside":' + LONG + b"}")
    assert [letter.reason for letter in result.tally.dead] == [Reason.OVERSIZE]
    assert len(objects) == 1


def xml(status: int, code: str) -> Answer:
    return Answer(status, f"<Error><Code>{code}</Code></Error>".encode(), {}, "")


TROUBLES = {
    "503": xml(503, "SlowDown"),
    "403": xml(403, "AccessDenied"),
    "404": xml(404, "NoSuchBucket"),
    "400": xml(400, "ExpiredToken"),
    "413": xml(413, "EntityTooLarge"),
    "301": xml(301, "PermanentRedirect"),
    "no answer": Answer(0, b"", {}, "curl 56: reset"),
    "a page with a 200": Answer(200, b"<html>", {"content-type": "text/html"}, ""),
    "a 200 of another service": Answer(200, b"", {}, ""),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_an_entry_goes_out_only_once_its_payload_is_stored(trouble: str) -> None:
    """While the bucket says no, whatever the reason, nothing is sent, nothing is settled and the shard holds.

    So with a letter that is put aside: its message names the object, and only the message settles the event.
    """
    result, objects = with_bucket(troubles=[None, *[TROUBLES[trouble]] * 40])
    payload = nested(1, LONG)
    through(result, HEAD + b',"payload":' + payload + b"}")
    ((before, _),) = objects.items()
    record = Record(HEAD + b',"second":1,"payload":' + payload + b"}", 101)
    bad = event(1)._replace(raw=random.Random(1).randbytes(2_000_000))
    result.router.route_opened(open_record(record))
    result.router.send_dead_letters([DeadLetter(bad, Reason.SCHEMA_MISMATCH, "X", "why")])
    result.run_for(5)
    assert result.router.holding
    assert len(result.bus.calls) == 1, "of the entry before"
    assert not result.queue.bodies
    assert record.unsettled
    assert bad.record.unsettled
    result.drain(limit_s=120)
    (_, entry), (body,) = result.tally.delivered, result.queue.bodies
    assert body["record"] == {"encoding": "s3", "data": "s3://bucket/dead-letters/1001-0-0"}
    key = orjson.loads(entry.detail)["payloadRef"]["key"]
    assert objects == {before: payload, key: payload, "dead-letters/1001-0-0": bad.raw}
    assert [item.event for item in result.tally.dead] == [bad]
    assert not record.unsettled
    assert not bad.record.unsettled

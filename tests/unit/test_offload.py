"""The claim check: what no call can carry goes to the bucket, however deep it nests, and never ends the process."""

import hashlib

import orjson
import pytest

from stream_router.envelope import open_record
from stream_router.errors import Reason
from stream_router.outcomes import Answer
from stream_router.pipeline.offload import Offload
from stream_router.pipeline.pack import CallLimits
from stream_router.pipeline.transform import Transform
from stream_router.records import Entry, Event, Record
from tests.events import BODY, NOW_MS, consumer
from tests.fakes import Rig, rig

LIMITS = CallLimits(10, 262_144)
HEAD = orjson.dumps({name: value for name, value in BODY.items() if name != "payload"})[:-1]
LONG = b'"' + b"y" * 300_000 + b'"'


def with_bucket(made: Rig) -> dict[str, bytes]:
    """Give the rig a bucket; what it stores appears in the returned objects."""
    objects: dict[str, bytes] = {}

    def store(key: str, data: bytes) -> Answer:
        objects[key] = data
        return Answer(200, b"", {}, "", 0.01)

    made.router.offload = Offload(
        lambda key, data, done: made.world.after(0.01, lambda: done(store(key, data))),
        "bucket",
        made.world.clock,
        made.world.random.random,
    )
    return objects


def pipeline() -> Rig:
    return rig(limits=LIMITS, transform=Transform(consumer(), lambda: NOW_MS))


def nested(levels: int, inmost: bytes) -> bytes:
    return b'{"a":' * levels + inmost + b"}" * levels


def through(made: Rig, body: bytes) -> None:
    made.router.route_found(open_record(Record(body, 100)))
    made.drain()


@pytest.mark.parametrize("levels", [1, 300])
@pytest.mark.parametrize("beside", [b"{}", nested(300, b"1")], ids=["flat", "deep"])
def test_an_oversize_payload_goes_to_the_bucket_however_deep(levels: int, beside: bytes) -> None:
    """The object is the payload, and the entry that is delivered says where it is, how long, and its SHA-256."""
    made = pipeline()
    objects = with_bucket(made)
    payload = nested(levels, LONG)
    through(made, HEAD + b',"beside":' + beside + b',"payload":' + payload + b"}")
    assert not made.books.dead
    (entry,) = made.books.delivered
    detail = orjson.loads(entry.detail)
    reference = detail["payloadRef"]
    assert "payload" not in detail
    assert detail["extensions"] == {"beside": orjson.loads(beside)}
    assert objects == {reference["key"]: payload}
    assert (reference["size"], reference["sha256"]) == (len(payload), hashlib.sha256(payload).hexdigest())


def test_a_payload_that_cannot_be_written_is_a_dead_letter() -> None:
    """What nests deeper than can be written by itself is buried as `oversize`; nothing is stored, nothing escapes."""
    detail = b'{"eventId":"e","payload":' + b"[" * 1010 + LONG + b"]" * 1010 + b"}"

    def deep(found: Event) -> Entry:
        return Entry(found, "t", detail, 1.0, len(detail), "")

    made = rig(limits=LIMITS, transform=deep)
    objects = with_bucket(made)
    through(made, b"{}")
    assert [letter.reason for letter in made.books.dead] == [Reason.OVERSIZE]
    assert not objects
    assert not made.books.delivered


def test_what_is_too_large_without_its_payload_is_a_dead_letter() -> None:
    """The claim check is tried once: an entry whose rest no call can carry is buried."""
    made = pipeline()
    objects = with_bucket(made)
    through(made, orjson.dumps(BODY)[:-1] + b',"beside":' + LONG + b"}")
    assert [letter.reason for letter in made.books.dead] == [Reason.OVERSIZE]
    assert len(objects) == 1

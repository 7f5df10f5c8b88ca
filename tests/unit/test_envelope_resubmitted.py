"""What an operator put back on the stream (docs/contract.md, "In the stream"): kinds `line` and `entry`."""

import base64

import orjson
import pytest

from stream_router.envelope import (
    Resubmitted,
    open_record,
    read_resubmitted,
    redriven,
    seal,
    seal_entry,
    seal_line,
)
from stream_router.model import DeadLetter, DeadLetterShare, Dropped, Entry, Event, Made, Reason, Record
from stream_router.pipeline.sinks.eventbridge.wire_format import deduplication_id
from stream_router.pipeline.transform import Transform, TransformConfig
from tests.fakes import rig

ID, OTHER = "a" * 32, "b" * 32
BODY = b'{"interactionId":"i","eventType":"interaction.created","timestamp":"2026-11-24T09:30:00Z","payload":{"n":1}}'
LINE = seal(OTHER, "delivery", 1_764_000_000_000, BODY)
REDRIVE, REPLAY = Resubmitted("redrive", "app", "run-1", 1), Resubmitted("replay", "app", "run-2", 1)
ACCEPTED = orjson.dumps(
    {
        "version": "0",
        "id": "11111111-2222-3333-4444-555555555555",
        "detail-type": "interaction.created",
        "source": "nice.cxone.webhook",
        "account": "123456789012",
        "time": "2026-11-24T09:30:00Z",
        "region": "eu-central-1",
        "resources": [],
    }
)[:-1] + b', "detail": {"eventId":"%s", "eventSource":"cxone.webhook","conversationId":"c-1","payload":{"n":1.50}}}' % (
    ID.encode()
)


def opened(data: bytes) -> Event | DeadLetter:
    (found,) = open_record(Record(data, 7, 0, 1_765_000_000_000))
    return found


def made_of(line: bytes, application: str = "app") -> Made:
    config = TransformConfig("eu-central-1", ("interaction.created",), application=application)
    return Transform(config, lambda: 1_765_000_000_000.0)(opened(line))


def sealed_line(line: bytes, resubmitted: Resubmitted = REDRIVE, *, crashed: bool = False) -> bytes:
    return seal_line(line, ID, "content", 1_764_000_000_001, resubmitted, crashed=crashed)


def test_a_line_is_opened_as_it_was_the_first_time_under_the_new_envelopes_identity() -> None:
    """Its body is the inner one's, its own line the inner line; id, origin of the id and receipt are the outer's."""
    found = opened(sealed_line(LINE))
    assert isinstance(found, Event)
    assert (found.event_id, found.id_from, found.received_at_ms) == (ID, "content", 1_764_000_000_001)
    assert found.raw == LINE
    assert found.body == orjson.loads(BODY)
    assert found.resubmitted == "redrive/app/run-1/1"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{broken", "MalformedJson"),
        (b"\xff\xfe\x00", "MalformedJson"),
        (b'{"v":9,"id":"x","idFrom":"x","body":{}}', "UnsupportedVersion"),
        (b'{"v":1,"id":"x","idFrom":"x","body":{}}', "MalformedEnvelope"),
        (b'{"a":1e999}', "NumberOutOfRange"),
        (sealed_line(LINE), "MalformedEnvelope"),
    ],
)
def test_a_bad_line_is_bad_again_with_its_own_bytes(line: bytes, code: str) -> None:
    """It is a dead letter for the same reason, under the same id, and says which run put it back."""
    letter = opened(sealed_line(line))
    assert isinstance(letter, DeadLetter)
    assert (letter.code, letter.event.raw, letter.event.event_id) == (code, line, ID)
    assert letter.event.resubmitted == str(REDRIVE)


@pytest.mark.parametrize(
    "told", ["", "redrive/app/run-1", "redrive/app/run-1/0", "other/app/run/1", "redrive/a/b/c/1", 5]
)
def test_a_kind_without_a_run_is_a_malformed_envelope(told: object) -> None:
    """Neither kind counts without a `resubmitted` of the right form."""
    assert read_resubmitted(told) is None
    line = LINE[:-1] + b',"kind":"line","resubmitted":%b}' % orjson.dumps(told)
    letter = opened(line)
    assert isinstance(letter, DeadLetter)
    assert letter.code == "MalformedEnvelope"
    assert not letter.event.resubmitted


def test_an_entry_is_published_as_it_stands() -> None:
    """Detail type, time and the detail's own bytes are those of the accepted event; size by AWS's formula."""
    made = made_of(seal_entry(ACCEPTED, ID, "delivery", 5, Resubmitted("undelivered", "app", "run", 1)))
    assert isinstance(made, Entry)
    detail = (
        b'{"eventId":"%s", "eventSource":"cxone.webhook","conversationId":"c-1","payload":{"n":1.50}}' % ID.encode()
    )
    assert (made.detail, made.detail_type, made.time_s) == (detail, "interaction.created", 1795512600.0)
    assert (made.order_key, made.event.event_id) == ("c-1", ID)
    assert made.size_bytes == 14 + len("nice.cxone.webhook") + len("interaction.created") + len(detail)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"nice.cxone.webhook", b"another.source"),
        (b'cxone.webhook",', b'another",'),
        (ID.encode(), b""),
        (b'"eventId":"', b'"noId":"'),
        (b'"time":"2026', b'"time":"x'),
        (b'"detail-type":"interaction.created"', b'"detail-type":7'),
        (b'"detail":', b'"other":'),
    ],
)
def test_an_entry_that_is_none_of_ours_is_a_dead_letter(before: bytes, after: bytes) -> None:
    """Nobody publishes under another name, or without our marks, by way of the stream."""
    line = seal_entry(ACCEPTED.replace(b" ", b"").replace(before, after), OTHER, "delivery", 5, REDRIVE)
    letter = made_of(line)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.code, letter.event.raw) == (Reason.SCHEMA_MISMATCH, "NotOurEntry", line)


@pytest.mark.parametrize("line", [LINE, b"{broken"])
def test_what_was_put_back_for_another_application_is_settled_unsent(line: bytes) -> None:
    """Good or bad, it is dropped by an application that did not put it back."""
    assert isinstance(made_of(sealed_line(line), "another"), Dropped)
    assert not isinstance(made_of(sealed_line(line), "app"), Dropped)


@pytest.mark.parametrize(
    ("told", "replayed"), [(REPLAY, "run-2"), (REPLAY._replace(way="edit"), "run-2"), (REDRIVE, None)]
)
def test_a_replayed_or_edited_event_says_so(told: Resubmitted, replayed: str | None) -> None:
    """`metadata.replayed` is the run's id; a redriven event is the one that never went out."""
    made = made_of(sealed_line(LINE, told))
    assert isinstance(made, Entry)
    assert orjson.loads(made.detail)["metadata"].get("replayed") == replayed


def test_a_redriven_replay_stays_one_under_its_first_run() -> None:
    """Consumers that drop repeats by (`eventId`, `replayed`) see the same pair."""
    assert str(redriven(str(REPLAY), "app", "run-9")) == "replay/app/run-2/2"
    assert str(redriven(str(REDRIVE), "app", "run-9")) == "redrive/app/run-9/2"
    assert str(redriven(None, "app", "run-9")) == "redrive/app/run-9/1"


def test_what_was_put_back_has_no_age() -> None:
    """A record's oldest receipt is that of its other events; where all were put back, its arrival."""
    record = Record(b"\n".join((sealed_line(LINE), seal(OTHER, "delivery", 1_764_900_000_000, BODY))), 7, 0, 9)
    open_record(record)
    assert record.received_at_ms == 1_764_900_000_000
    alone = Record(sealed_line(LINE), 7, 0, 1_765_000_000_000)
    open_record(alone)
    assert alone.received_at_ms == 1_765_000_000_000


def test_what_was_put_back_counts_in_no_limit_and_no_latency() -> None:
    """A thousand letters without their cure are letters again, and the shard does not hold."""
    transform = Transform(TransformConfig("r", ("interaction.created",), application="app"), lambda: 0.0)
    pipeline = rig(transform=transform, limit=DeadLetterShare(0.1, 100, 300.0))
    bad = seal(OTHER, "delivery", 1, b'{"interactionId":"i"}')
    lines = [sealed_line(bad)] * 300 + [sealed_line(LINE)] * 3
    pipeline.router.route([Record(line, number) for number, line in enumerate(lines)])
    pipeline.drain()
    assert pipeline.router.limit.passed_by is None
    assert len(pipeline.tally.dead) == 300
    assert pipeline.tally.again == 3
    assert not pipeline.tally.delivered
    assert pipeline.queue.bodies[0]["resubmitted"] == str(REDRIVE)
    assert base64.b64decode(pipeline.queue.bodies[0]["record"]["data"]) == bad  # type: ignore[index]


def test_the_run_is_part_of_a_v2_buss_token() -> None:
    """A copy of what went out before is no copy to the bus; what one run put back twice is."""
    plain, first, second = (opened(line) for line in (LINE, sealed_line(LINE), sealed_line(LINE, REPLAY)))
    assert isinstance(plain, Event)
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    told = [deduplication_id("s", event._replace(id_from="delivery", event_id=ID)) for event in (plain, first, second)]
    assert told == [ID, f"{ID}:run-1", f"{ID}:run-2"]
    long = first._replace(resubmitted="redrive/app/" + "r" * 64 + "/1")
    assert len(deduplication_id("shardId-" + "0" * 60, long)) <= 128

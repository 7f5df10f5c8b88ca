"""What an operator put back on the stream (docs/contract.md, "In the stream"): kinds `line` and `entry`."""

import base64
from typing import Any

import orjson
import pytest

from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import Resubmitted, mark_redriven, open_record, seal, seal_entry, seal_line
from stream_router.model import DeadLetter, Entry, Event, Record
from stream_router.pipeline.sinks.eventbridge.wire_format import deduplication_id
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, code_of, config_of, door, sent
from tests.fakes import rig

ID, OTHER = "a" * 32, "b" * 32
LINE = seal(OTHER, "delivery", 1_764_000_000_000, orjson.dumps(BODY))
REDRIVE, REPLAY = Resubmitted("redrive", "app", "run-1", 1), Resubmitted("replay", "app", "run-2", 1)
EDIT = Resubmitted("edit", "app", "run-3", 1)
DETAIL = b'{"eventId":"%b", "eventSource":"cxone.webhook","conversationId":"c-1","payload":{"n":1.50}}' % ID.encode()
ACCEPTED = (
    b'{"version":"0","detail-type":"interaction.created","source":"nice.cxone.webhook",'
    b'"time":"2026-11-24T09:30:00Z","resources":[], "detail": %b}' % DETAIL
)


def put_back(line: bytes, by: Resubmitted = REDRIVE) -> bytes:
    return seal_line(line, ID, "content", 1_764_000_000_001, by)


LINES = {
    LINE: "",
    b'{"a":1}': "UnknownShape",
    b"{broken": "MalformedJson",
    b"\xff\xfe\x00": "MalformedJson",
    b'{"v":9,"id":"x","idFrom":"x","body":{}}': "UnsupportedVersion",
    b'{"v":1,"id":"x","idFrom":"x","body":{}}': "MalformedEnvelope",
    b'{"a":1e999}': "NumberOutOfRange",
    put_back(LINE): "MalformedEnvelope",
}


@pytest.mark.parametrize(("line", "code"), LINES.items())
def test_a_line_is_opened_as_it_was_the_first_time(line: bytes, code: str) -> None:
    """Good or bad for the same reason, its own bytes, under the new envelope's identity; it says who put it back.

    By an application that did not put it back it is settled unsent.
    """
    (result,) = door(put_back(line), application="app")
    event = result.event
    assert (code_of(result), event.raw, event.event_id, event.resubmitted) == (code, line, ID, "redrive/app/run-1/1")
    assert (event.id_from, event.received_at_ms) == ("content", 1_764_000_000_001)
    assert [code_of(item) for item in door(put_back(line), application="another")] == ["dropped"]


def test_an_entry_is_published_as_it_stands() -> None:
    """Detail type, time and the detail's own bytes are those of the accepted event, but for the tag."""
    line = seal_entry(ACCEPTED, ID, "delivery", 5, Resubmitted("undelivered", "app", "run", 1))
    (result,) = door(line, application="app", masking="default")
    assert isinstance(result, Entry)
    tagged = DETAIL.replace(b", ", b",")[:-1] + b',"metadata":{"complianceTag":"resubmitted"}}'
    size = 14 + len("nice.cxone.webhook") + len("interaction.created") + len(tagged)
    assert result[1:6] == ("interaction.created", tagged, 1795512600.0, size, "c-1")
    assert result.event.event_id == ID
    assert [code_of(item) for item in door(line, application="another")] == ["dropped"]


FORGED = [
    b'{"complianceTag":"pii-masked","maskingPolicy":{"id":"default","version":"1"},"region":"x","of": 1.50}',
    b'{"complianceTag":"pii-masked","compliance\\u0054ag":"pii-masked"}',
    b'"pii-masked"',
    b"null",
    b'{},"metadata":{"complianceTag":"pii-masked"}',
]


@pytest.mark.parametrize("metadata", FORGED)
@pytest.mark.parametrize("masking", ["off", "default"])
def test_an_entry_carries_no_tag_of_a_policy_that_did_not_run(metadata: bytes, masking: str) -> None:
    """Whoever may write to the stream may forge an entry: its tag says that it was put there, whatever it claims."""
    forged = ACCEPTED.replace(b'"payload"', b'"metadata":%b,"payload"' % metadata)
    (result,) = door(seal_entry(forged, ID, "delivery", 5, REDRIVE), application="app", masking=masking)
    assert isinstance(result, Entry)
    published = orjson.loads(result.detail)["metadata"]
    assert published["complianceTag"] == "resubmitted"
    assert "maskingPolicy" not in published
    assert b"pii-masked" not in result.detail
    assert (b'"of":1.50' in result.detail) is (b'"of"' in metadata)


NO_ENTRIES = [b"null", b"1", b'"text"', b"[]", b"[1]", b"{}", b"true"]


@pytest.mark.parametrize("body", NO_ENTRIES)
def test_an_entry_that_is_no_object_is_a_mismatch(body: bytes) -> None:
    """It is data that somebody wrote into the stream, and no defect of ours."""
    (letter,) = door(seal_entry(body, ID, "delivery", 5, REDRIVE), application="app")
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.code) == (Reason.SCHEMA_MISMATCH, "NotOurEntry")


NOT_OURS = {
    b"nice.cxone.webhook": b"another.source",
    b'"eventSource":"cxone.webhook"': b'"eventSource":"another"',
    ID.encode(): b"",
    b'"eventId":"': b'"noId":"',
    b'"time":"2026': b'"time":"x',
    b'"detail-type":"interaction.created"': b'"detail-type":7',
    b'"detail-type":"interaction': b'"detail-type":"inter\\u0007action',
    b'"detail":': b'"other":',
}
NO_RUNS = ["", "redrive/app/run-1", "redrive/app/run-1/0", "other/app/run/1", "redrive/a/b/c/1", 5]
REFUSED = {
    **{seal_entry(ACCEPTED.replace(*row), OTHER, "delivery", 5, REDRIVE): "NotOurEntry" for row in NOT_OURS.items()},
    **{LINE[:-1] + b',"kind":"line","resubmitted":%b}' % orjson.dumps(value): "MalformedEnvelope" for value in NO_RUNS},
}


@pytest.mark.parametrize(("line", "code"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_nobody_put_back_so_is_a_dead_letter(line: bytes, code: str) -> None:
    """Nobody publishes under another name, or without our marks, by way of the stream; no kind counts without a run."""
    (result,) = door(line, application="app")
    assert isinstance(result, DeadLetter)
    assert (result.code, result.event.raw) == (code, line)
    assert bool(result.event.resubmitted) is (code == "NotOurEntry")


def test_a_replayed_or_edited_event_says_so_and_stays_so() -> None:
    """`metadata.replayed` is its first run's id, which a redrive keeps; a redriven event is one that never went out."""
    for by, replayed in ((REPLAY, "run-2"), (EDIT, "run-3"), (REDRIVE, None)):
        again = mark_redriven(str(by), "app", "run-9")
        assert again.times == 2
        for resubmission in (by, again):
            metadata = sent(put_back(LINE, resubmission), application="app")["metadata"]
            assert metadata.get("replayed") == replayed


def test_what_was_put_back_counts_in_no_alarm_and_no_latency() -> None:
    """Letters without their cure are letters again; delivered ones are reported apart."""
    result = rig(transform=Transform(config_of(application="app"), lambda: NOW_MS))
    bad = seal(OTHER, "delivery", 1, b'{"interactionId":"i"}')
    lines = [put_back(bad)] * 300 + [put_back(LINE)] * 3
    result.router.route([Record(line, number) for number, line in enumerate(lines)])
    result.drain()
    assert (len(result.tally.dead), result.tally.again, result.tally.delivered) == (300, 3, [])
    body: dict[str, Any] = result.queue.bodies[0]
    assert (body["resubmitted"], base64.b64decode(body["record"]["data"])) == (str(REDRIVE), bad)


def test_the_run_is_part_of_a_v2_buss_token() -> None:
    """A copy of what went out before is no copy to the bus; what one run put back twice is. 128 characters at most."""
    runs = [REDRIVE, REPLAY, Resubmitted("redrive", "app", "r" * 64, 1)]
    result = [item for line in (LINE, *(put_back(LINE, by) for by in runs)) for item in open_record(Record(line, 7))]
    events = [item._replace(event_id=ID) for item in result if isinstance(item, Event)]
    tokens = [deduplication_id("shardId-" + "0" * 60, event._replace(id_from="delivery")) for event in events]
    assert tokens[:3] == [ID, f"{ID}:run-1", f"{ID}:run-2"]
    assert len(deduplication_id("shardId-" + "0" * 60, events[3])) <= 128


@pytest.mark.parametrize(("more", "oldest"), [([seal(OTHER, "delivery", 9, b"{}")], 9), ([], 1_765_000_000_000)])
def test_what_was_put_back_has_no_age(more: list[bytes], oldest: int) -> None:
    """A record's oldest receipt is that of its other events; where all were put back, its arrival."""
    record = Record(b"\n".join([seal_line(LINE, ID, "content", 1, REDRIVE), *more]), 7, 0, 1_765_000_000_000)
    open_record(record)
    assert record.received_at_ms == oldest

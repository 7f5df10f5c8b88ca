"""Masked copies in dead letters where not the body alone decides its form: XML, named sources, shapes of one's own."""

from pathlib import Path

import orjson
import pytest

from stream_router.envelope import added_fields, added_text, open_record, seal
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.transform import Transform, TransformConfig
from tests.unit.test_xml_and_sources import NOW_S, TYPE, sealed

POLICY = 'unknown = "pass"\ndead_letters = true\ndrop = ["**.email", "payload.marker"]\n'
REACHING = 'dead_letters = true\nallow = ["payload.**.nothing", "extensions.**.nothing"]\n'
OF_IDS = 'hash = ["conversationId", "originalEventId"]\n'
HIDDEN = '["payload.**.id", "payload.id", "payload.conversationId"]\n'
IDS_HIDDEN = {
    "redacted": REACHING + OF_IDS,
    "dropped": f'dead_letters = true\nunknown = "pass"\n{OF_IDS}drop = {HIDDEN}',
}
TOLD = '["payload.**.datetime", "payload.datetime", "payload.createdAtWithMilliseconds", "payload.{at,kind}"]\n'
TIME_HIDDEN = {
    "redacted": f'{REACHING}allow_ids = ["conversationId", "originalEventId"]\n',
    "dropped": f'dead_letters = true\nunknown = "pass"\ndrop = {TOLD}',
}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

EXPERT_JSON = b'{"id":"e-1","conversationId":"42","email":"anna@example.com","datetime":"2026-11-24T09:30:00Z"}'
EXPERT_XML = (
    b'<event id="e-1" datetime="2026-11-24T09:30:00Z" type="page.updated"><page id="42"/>'
    b"<email>anna@example.com</email></event>"
)

MARKED = """
[[shapes]]
name = "marked"
when = ["marker", "acd.id"]
fields = { interactionId = "acd.id", eventType = "kind", timestamp = "at", payload = "acd" }
"""
LISTED = """
[[shapes]]
name = "listed"
when = ["calls.0.id"]
fields.interactionId = "calls.0.id"
fields.conversationId = "calls.1.id"
fields.eventType = "kind"
fields.timestamp = "at"
fields.payload = "acd"
"""
OTHER = """
[[shapes]]
name = "other"
when = ["acd.id"]
fields = { interactionId = "acd.id", eventType = "kind", timestamp = "at", payload = "data" }

[[cxone.sources]]
name = "acd"
preset = "other"
"""
BODY = {
    "marker": "anna@example.com",
    "acd": {"id": "7", "email": "anna@example.com"},
    "calls": [{"id": "7", "email": "anna@example.com"}, {"id": "8"}],
    "data": {"email": "anna@example.com"},
    "kind": TYPE,
    "at": "2026-11-24T09:30:00Z",
}


def transform_of(folder: Path, shapes: str = "", said: str = POLICY) -> Transform:
    policy, config = folder / "policy.toml", folder / "config.toml"
    policy.write_text(said)
    config.write_text(shapes)
    config_of = TransformConfig(
        "us-east-1", (TYPE,), masking=str(policy), masking_key=b"0123456789abcdef", config_file=config
    )
    return Transform(config_of, lambda: NOW_S * 1000)


def event_of(line: bytes) -> Event:
    (found,) = open_record(Record(line, 1))
    assert isinstance(found, Event)
    return found


def kept_of(transform: Transform, line: bytes) -> bytes:
    return transform.dead_letter_raw(DeadLetter(event_of(line), Reason.UNROUTABLE, "", ""))


def sent_and_again(transform: Transform, line: bytes) -> tuple[Entry, Entry]:
    """The entry of an event, and that of the masked copy that its dead letter keeps."""
    sent = transform(event_of(line))
    again = transform(event_of(kept_of(transform, line)))
    assert isinstance(sent, Entry)
    assert isinstance(again, Entry)
    return sent, again


def line_of(**said: str) -> bytes:
    return seal("0" * 32, "delivery", int(NOW_S * 1000), orjson.dumps(BODY), added_text(said))


@pytest.mark.parametrize(
    ("shapes", "line"),
    [
        ("", sealed(EXPERT_JSON)),
        ("", sealed(EXPERT_XML)),
        ("", sealed(EXPERT_XML, event_type="")),
        ('[[cxone.sources]]\nname = "kb"\npreset = "expert"\n', sealed(EXPERT_JSON, source="kb")),
        (MARKED, line_of()),
        (LISTED, line_of()),
        (MARKED + OTHER, line_of(source="acd")),
        (MARKED, line_of(traceparent=TRACE)),
    ],
    ids=[
        "JSON of Expert",
        "XML of Expert",
        "XML without a header",
        "a source of Expert's",
        "a shape known by what it does not read",
        "a shape that reads through an array",
        "a source mapped by a later shape",
        "a traced event",
    ],
)
def test_what_is_masked_is_kept_and_gives_the_same_entry_again(tmp_path: Path, shapes: str, line: bytes) -> None:
    """Whatever decides an event's form, its masked copy is the event again: nothing of it is lost, or shown."""
    transform = transform_of(tmp_path, shapes)
    sent = transform(event_of(line))
    assert isinstance(sent, Entry)
    kept = kept_of(transform, line)
    assert b"anna" not in kept
    again = transform(event_of(kept))
    assert isinstance(again, Entry)
    assert (again.event.event_id, again.detail) == (sent.event.event_id, sent.detail)
    assert kept_of(transform, kept) == kept


def test_headers_are_kept_only_where_the_entry_shows_them(tmp_path: Path) -> None:
    """A sender chooses what stands in its headers, and no rule of a policy reads that."""
    transform = transform_of(tmp_path, MARKED)
    line = line_of(traceparent="of Anna", contentType="text/xml; of=Anna", note="Anna")
    assert b"Anna" not in kept_of(transform, line)
    assert added_fields(kept_of(transform, line_of(note="Anna", traceparent=TRACE))) == {"traceparent": TRACE}


INSIDE = """
[[shapes]]
name = "inside"
when = ["acd.id"]
fields.interactionId = "acd.id"
fields.conversationId = "acd.call.id"
fields.eventType = "kind"
fields.timestamp = "at"
fields.payload = "acd"
"""
DIGITAL = {
    "eventId": "e-1",
    "eventType": TYPE,
    "createdAt": "2026-11-24T09:30:00Z",
    "data": {"thread": {"id": "anna-1"}, "email": "anna@example.com"},
}


@pytest.mark.parametrize("how", ["redacted", "dropped"])
@pytest.mark.parametrize(
    ("shapes", "line"),
    [
        ("", seal("0" * 32, "delivery", int(NOW_S * 1000), orjson.dumps(DIGITAL))),
        ("", sealed(EXPERT_JSON)),
        ("", sealed(EXPERT_XML)),
        (INSIDE, seal("0" * 32, "delivery", 0, orjson.dumps({**BODY, "acd": {"id": "7", "call": {"id": "8"}}}))),
    ],
    ids=["a preset", "JSON of Expert", "XML of Expert", "a shape of one's own"],
)
def test_an_event_is_told_by_the_same_ids_again_though_its_payload_hides_them(
    tmp_path: Path, shapes: str, line: bytes, how: str
) -> None:
    """Hashed ids join events; in the payload, where they are read from, another rule takes them away."""
    transform = transform_of(tmp_path, shapes, IDS_HIDDEN[how])
    sent, again = sent_and_again(transform, line)
    assert orjson.loads(again.detail) == orjson.loads(sent.detail)
    assert orjson.loads(sent.detail)["conversationId"].startswith("hmac:")


LATE = """
[[shapes]]
name = "late"
when = ["data.id"]
fields.interactionId = "data.id"
fields.eventType = { path = "data.kind", default = "other" }
fields.timestamp = { path = "data.at", default = "receivedAt" }
fields.payload = "data"
"""
LATE_BODY = {"data": {"id": "7", "kind": TYPE, "at": "2026-11-24T09:30:00.123Z"}}
MILLISECONDS = {**DIGITAL, "createdAtWithMilliseconds": "2026-11-24T09:30:00.123Z"}


@pytest.mark.parametrize("how", ["redacted", "dropped"])
@pytest.mark.parametrize(
    ("shapes", "line"),
    [
        ("", sealed(EXPERT_XML)),
        ("", sealed(EXPERT_JSON)),
        ("", seal("0" * 32, "delivery", 0, orjson.dumps(MILLISECONDS))),
        (LATE, seal("0" * 32, "delivery", 0, orjson.dumps(LATE_BODY))),
    ],
    ids=["XML of Expert", "JSON of Expert", "a preset with a second time", "a shape that can do without"],
)
def test_an_event_has_the_same_time_and_type_again_though_its_payload_hides_them(
    tmp_path: Path, shapes: str, line: bytes, how: str
) -> None:
    """The entry shows both, so its masked copy does: it is never told by when it was received, or by a default."""
    transform = transform_of(tmp_path, shapes, TIME_HIDDEN[how])
    sent, again = sent_and_again(transform, line)
    assert orjson.loads(again.detail) == orjson.loads(sent.detail)
    assert (again.time_s, again.detail_type) == (sent.time_s, sent.detail_type)

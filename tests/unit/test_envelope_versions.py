"""An upgrade's two directions: today's reader takes the first envelopes, and the first reader takes today's.

`tests/data/first-envelope-reader.txt` is the reader of the first commit that had one, word for word: a frozen
program, no description of it. `tests/data/first-envelopes.jsonl` is what its `seal` wrote.
"""

from pathlib import Path
from types import ModuleType

import orjson
import pytest

from stream_router import envelope
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.pipeline.transform import Transform, TransformConfig
from stream_router.receiver.intake import Body, Intake
from stream_router.settings.receiver import Receiver

DATA = Path(__file__).parents[1] / "data"
FIRST_ENVELOPES = (DATA / "first-envelopes.jsonl").read_bytes().splitlines()
MOVED = {
    "stream_router.errors": "stream_router.model",
    "stream_router.records": "stream_router.model",
}
"""Where what the frozen reader imports has gone since."""
NOW_MS = 1_795_000_000_123
ADDED = {"source": "crm", "traceparent": f"00-{'4b' * 16}-{'0a' * 8}-01", "eventTypeHeader": "interaction.created"}
NOTICE = {
    "interactionId": "i-1",
    "eventType": "interaction.created",
    "timestamp": "2026-11-24T09:30:00Z",
    "payload": {"name": "Zoë"},
}


def first_reader() -> ModuleType:
    """The frozen program, at work on today's events and records."""
    text = (DATA / "first-envelope-reader.txt").read_text("utf-8")
    for old, new in MOVED.items():
        text = text.replace(old, new)
    made = ModuleType("first_envelope_reader")
    exec(compile(text, "first-envelope-reader.txt", "exec"), made.__dict__)
    return made


def sealed(body: bytes, content_type: str = "application/json") -> bytes:
    """What today's receiver writes with everything that it can add."""
    settings = Receiver(aws_region="x", webhook_scheme="none")
    intake = Intake(settings, lambda: NOW_MS / 1000, ADDED["source"], takes_xml=True)
    request = Body(body, "d-1", content_type, ADDED["eventTypeHeader"], ADDED["traceparent"])
    (event,) = intake.events(request)
    return event.line


def transform() -> Transform:
    return Transform(TransformConfig("us-east-1", ("interaction.created",)), lambda: float(NOW_MS))


@pytest.mark.parametrize("line", FIRST_ENVELOPES, ids=range(len(FIRST_ENVELOPES)))
def test_todays_consumer_takes_an_envelope_of_the_first_form(line: bytes) -> None:
    """A stream keeps records for a week or a year: identity, time and body are read as the first reader read them."""
    (then,) = first_reader().open_record(Record(line, 1))
    (now,) = envelope.open_record(Record(line, 1))
    assert isinstance(then, Event)
    assert isinstance(now, Event)
    assert now[2:] == then[2:]
    assert isinstance(transform()(now), Entry), "and it becomes an entry"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(orjson.dumps(NOTICE), "application/json"), (b'<event id="1"/>', "text/xml"), (b"<e>\xff</e>", "text/xml")],
    ids=["json", "text", "base64"],
)
def test_the_first_reader_takes_todays_envelope(body: bytes, content_type: str) -> None:
    """It passes over the fields that it does not know: identity, time and body are there as today's reader has them."""
    line = sealed(body, content_type)
    assert ADDED.items() <= envelope.added_fields(line).items(), "today's receiver adds all that it can"
    (then,) = first_reader().open_record(Record(line, 1))
    (now,) = envelope.open_record(Record(line, 1))
    assert isinstance(now, Event)
    assert isinstance(then, Event)
    assert then[2:] == now[2:]


def test_a_field_that_nobody_knows_yet_is_passed_over() -> None:
    """So that tomorrow's receiver may add one without a new version; of any kind, at any place behind the body."""
    line = sealed(orjson.dumps(NOTICE))
    (known,) = envelope.open_record(Record(line, 1))
    assert isinstance(known, Event)
    tomorrow = line[:-1] + b',"ofTomorrow":{"a":[1,null]},"more":true}'
    for found in (envelope.open_record(Record(tomorrow, 1)), first_reader().open_record(Record(tomorrow, 1))):
        (event,) = found
        assert isinstance(event, Event)
        assert (event.event_id, event.received_at_ms, event.body) == (known.event_id, NOW_MS, known.body)
        assert isinstance(transform()(event), Entry)


def test_a_newer_version_is_a_letter_that_the_next_version_redrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that was upgraded last buries it whole; after the upgrade its line opens, with the id it had."""
    line = sealed(orjson.dumps(NOTICE)).replace(b'{"v":1,', b'{"v":2,', 1)
    (buried,) = envelope.open_record(Record(line, 7))
    assert isinstance(buried, DeadLetter)
    assert buried.reason is Reason.UNSUPPORTED_VERSION
    buried = buried._replace(raw=transform().dead_letter_raw(buried))
    (message,) = LetterWriter("s", "shardId-000000000000", lambda: float(NOW_MS), ordered=False).write(buried)
    letter = reader.read(message.body, message.attributes)
    raw, at = reader.original(letter), letter.origin
    assert raw == line
    again = envelope.redriven(letter.resubmitted, "an-application", "run")

    def put_back() -> Event | DeadLetter:
        sealed_again = envelope.seal_line(raw, at.event_id, at.id_from, at.received_at_ms, again)
        (found,) = envelope.open_record(Record(sealed_again, 8))
        return found

    assert isinstance(put_back(), DeadLetter), "before the upgrade it stays a letter"
    monkeypatch.setattr(envelope, "VERSION", 2)
    event = put_back()
    assert isinstance(event, Event)
    assert (event.event_id, event.body) == (orjson.loads(line)["id"], NOTICE)
    assert isinstance(transform()(event._replace(resubmitted="")), Entry)

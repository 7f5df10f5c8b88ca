"""An upgrade's two directions: today's reader takes the first envelopes, and the first reader takes today's.

`tests/data/first-envelope-reader.txt` is the reader of the first commit that had one, word for word: a frozen
program, no description of it. `tests/data/first-envelopes.jsonl` is what its `seal` wrote.
"""

from pathlib import Path
from types import ModuleType

import orjson
import pytest

from stream_router import envelope
from stream_router.model import DeadLetter, Entry, Event, Made, Record
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.receiver.intake import Body, Intake
from stream_router.settings.receiver import Receiver
from tests.events import BODY, code_of, door

DATA = Path(__file__).parents[1] / "data"
MOVED = ("stream_router.errors", "stream_router.records")
"""Where what the frozen reader imports was; it is in `model` since."""
ADDED = {"source": "crm", "traceparent": f"00-{'4b' * 16}-{'0a' * 8}-01", "eventTypeHeader": "interaction.created"}


def first_reader() -> ModuleType:
    """The frozen program, at work on today's events and records."""
    text = (DATA / "first-envelope-reader.txt").read_text("utf-8")
    for module in MOVED:
        text = text.replace(module, "stream_router.model")
    made = ModuleType("first_envelope_reader")
    exec(compile(text, "first-envelope-reader.txt", "exec"), made.__dict__)
    return made


def sealed(body: bytes, content_type: str = "application/json") -> bytes:
    """What today's receiver writes with everything that it can add."""
    intake = Intake(Receiver(aws_region="x", webhook_scheme="none"), source=ADDED["source"], takes_xml=True)
    request = Body(body, "d-1", content_type, ADDED["eventTypeHeader"], ADDED["traceparent"])
    (event,) = intake.events(request)
    assert ADDED.items() <= envelope.added_fields(event.line).items(), "it adds all that it can"
    return event.line


NOTICE = sealed(orjson.dumps(BODY))
LINES = {
    **{f"first {at}": line for at, line in enumerate((DATA / "first-envelopes.jsonl").read_bytes().splitlines())},
    "json": NOTICE,
    "text": sealed(b'<event id="1"/>', "text/xml"),
    "base64": sealed(b"<event>\xff</event>", "text/xml"),
    "tomorrow's fields": NOTICE[:-1] + b',"ofTomorrow":{"a":[1,null]},"more":true}',
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_both_readers_say_the_same_of_any_versions_envelope(line: bytes) -> None:
    """Identity, time and body, whoever is upgraded first; fields that a reader does not know are passed over.

    A stream keeps records for a week or a year, so what the first receiver sealed becomes an entry today.
    """
    (then,), (now,) = first_reader().open_record(Record(line, 1)), envelope.open_record(Record(line, 1))
    assert isinstance(now, Event)
    assert now[2:] == then[2:]
    assert b"xml" in line or isinstance(door(line)[0], Entry)


def test_a_newer_version_is_a_letter_that_the_next_version_redrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that was upgraded last buries it whole; after the upgrade its line opens, with the id it had."""
    line = NOTICE.replace(b'{"v":1,', b'{"v":2,', 1)
    (buried,) = door(line)
    assert isinstance(buried, DeadLetter)
    (message,) = LetterWriter("s", "shardId-0", lambda: 0.0, ordered=False).write(buried._replace(raw=buried.event.raw))
    letter = reader.read(message.body, message.attributes)
    at, run = letter.origin, envelope.redriven(letter.resubmitted, "app", "run")

    def put_back() -> Made:
        sealed_again = envelope.seal_line(reader.original(letter), at.event_id, at.id_from, at.received_at_ms, run)
        (made,) = door(sealed_again, application="app")
        return made

    assert code_of(put_back()) == "UnsupportedVersion", "before the upgrade it stays a letter"
    monkeypatch.setattr(envelope, "VERSION", 2)
    made = put_back()
    assert isinstance(made, Entry)
    assert made.event.event_id == orjson.loads(line)["id"]
    assert orjson.loads(made.detail)["payload"] == BODY["payload"]

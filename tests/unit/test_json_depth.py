"""How deep an event may nest: a bound of our own, so that the answer does not depend on the Python that gives it."""

import orjson
import pytest

from stream_router import envelope
from stream_router.envelope import is_too_deep
from stream_router.limits import EVENT_MAX_DEPTH
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.transform import Transform, TransformConfig
from stream_router.receiver.intake import Body, ProblemError
from tests.unit.test_receiver_intake import intake

DEEPER = EVENT_MAX_DEPTH + 1


def _nested(levels: int, core: bytes = b"1") -> bytes:
    return b'{"a":' * levels + core + b"}" * levels


@pytest.mark.parametrize("core", [b"1", b'"\\ud83d"', b"1e999"])
def test_an_event_of_just_the_depth_is_taken_and_one_deeper_is_not(core: bytes) -> None:
    """Whichever of the two parsers reads it; the message says the bound."""
    assert len(intake().events(Body(_nested(EVENT_MAX_DEPTH, core), "d"))) == 1
    with pytest.raises(ProblemError, match="malformed_json") as refused:
        intake().events(Body(_nested(DEEPER, core), "d"))
    assert (refused.value.status, refused.value.message) == (
        400,
        f"the body nests deeper than {EVENT_MAX_DEPTH} levels",
    )


@pytest.mark.parametrize("core", [b"1", b'"\\ud83d"'])
def test_an_array_counts_as_a_level(core: bytes) -> None:
    """Its elements are cut at every depth that is taken."""
    deep = _nested(EVENT_MAX_DEPTH - 1, core)
    assert [sealed.line.endswith(deep + b"}") for sealed in intake().events(Body(b"[{}, " + deep + b"]", "d"))] == [
        False,
        True,
    ]
    with pytest.raises(ProblemError, match="malformed_json"):
        intake().events(Body(b"[" + _nested(EVENT_MAX_DEPTH, core) + b"]", "d"))


@pytest.mark.parametrize("levels", [10_000, 90_000])
@pytest.mark.parametrize("core", [b"1", b'"\\ud83d"'])
def test_what_no_parser_follows_is_the_same_400(levels: int, core: bytes) -> None:
    """Nothing but the answer comes of it."""
    with pytest.raises(ProblemError, match="malformed_json"):
        intake().events(Body(_nested(levels, core), "d"))


def test_an_array_of_others_that_nests_too_deep_is_one_dead_letter() -> None:
    """Its reason is the depth, and the bytes are whole."""
    raw = b"[{}," + _nested(1000) + b"]"
    (letter,) = envelope.open_record(Record(raw, 1))
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.code, letter.event.raw) == (Reason.SCHEMA_MISMATCH, "TooDeep", raw)


def test_a_document_that_nests_too_deep_ends_a_line_of_several() -> None:
    """What stands before it is an event; it and what follows is one dead letter, on every Python."""
    deep = _nested(DEEPER)
    first, letter = envelope.open_record(Record(b'{"a":1}' + deep + b'{"b":2}', 1))
    assert isinstance(first, Event)
    assert isinstance(letter, DeadLetter)
    assert letter.event.raw == deep + b'{"b":2}'


@pytest.mark.parametrize("core", [b'"\\ud83d"', b"1e999"])
def test_depth_is_told_before_what_else_keeps_a_line_from_being_read(core: bytes) -> None:
    """A line that orjson cannot read is looked at by the other parser, whose own depth does not matter."""
    (letter,) = envelope.open_record(Record(_nested(DEEPER, core), 1))
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.code) == (Reason.SCHEMA_MISMATCH, "TooDeep")


@pytest.mark.parametrize(
    ("levels", "delivered"), [(EVENT_MAX_DEPTH - 1, True), (DEEPER + 4, False), (900, False), (1000, False)]
)
def test_what_the_receiver_takes_the_transform_can_write(levels: int, *, delivered: bool) -> None:
    """What others wrote deeper into the stream is a dead letter `TooDeep`."""
    body = b'{"interactionId":"i","conversationId":"c","eventType":"interaction.created",'
    body += b'"timestamp":"2026-11-24T09:30:00Z","payload":' + _nested(levels) + b"}"
    (event,) = envelope.open_record(Record(body, 1))
    assert isinstance(event, Event)
    made = Transform(TransformConfig("eu-central-1", ("interaction.created",)), lambda: 0.0)(event)
    if delivered:
        assert isinstance(made, Entry)
        assert orjson.dumps(orjson.loads(made.detail)["payload"]) == _nested(levels)
    else:
        assert isinstance(made, DeadLetter)
        assert (made.reason, made.code) == (Reason.SCHEMA_MISMATCH, "TooDeep")


def test_breadth_is_no_depth() -> None:
    """Thousands of arrays beside each other nest one level deep."""
    assert not is_too_deep([[]] * 2000)

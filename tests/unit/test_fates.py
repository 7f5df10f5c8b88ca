"""What is said of an event, case by case: only what checkpoint, queues and today's settings make certain."""

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from stream_router import limits
from stream_router.control.fates import find, found_report
from stream_router.control.fates.books import Letters, Look, Message, UndeliveredBook
from stream_router.control.fates.found_report import Answer
from stream_router.control.fates.judge import Fate, Judge
from stream_router.control.fates.wanted import Wanted
from stream_router.control.stream.polite_reads import UserRecord
from stream_router.control.stream.positions import LATEST, Position
from stream_router.control.stream.reader import Span
from stream_router.control.stream.session import Checkpoints
from stream_router.control.stream.sightings import Sighting, of_record
from stream_router.envelope import seal
from stream_router.errors import SettingsError
from stream_router.model import DeadLetter, Dropped, Entry, Event, Reason
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.mapper import Validator
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load

SHARD, STREAM = "shard-1", "cxone-events"
ID = "0123456789abcdef0123456789abcdef"
NOTHING = Look(())
AT_10 = Position(10, 0)


def sighting(number: int = 10, *, identity: str = ID, passed_over: bool = False, **body: Any) -> Sighting:
    said = {"interactionId": "i-1", "conversationId": "c-1", "eventType": "t", "timestamp": "2026-11-24T09:30:00Z"}
    line = seal(identity, "delivery", 1_000, orjson.dumps({**said, "payload": {}, **body}))
    (one,) = of_record(SHARD, UserRecord(Position(number, 0), 2_000, line, passed_over))
    return one


def letter(
    number: int | str = 10, line: int = 0, stream: str = STREAM, identity: str = ID, part: Any = None
) -> Message:
    origin = {"stream": stream, "shardId": SHARD, "sequenceNumber": str(number), "subSequenceNumber": 0, "line": line}
    body = {
        "schema": "stream-router.dead-letter/1",
        "reason": "refused",
        "error": {"code": "MalformedDetail", "message": "no"},
        "failedAt": "2026-11-24T09:30:00.000Z",
        "origin": {**origin, "eventId": identity},
        "record": {"encoding": "base64", "data": ""},
        "part": part,
    }
    return Message(json.dumps(body), {}, 0)


def undelivered(identity: str = ID) -> Message:
    return Message(json.dumps({"detail": {"eventId": identity}}), {"ERROR_CODE": "NO_PERMISSIONS"}, 0)


def to_entry(event: Event) -> Entry | DeadLetter | Dropped:
    return Entry(event, "t", b"{}", 0.0, 1, "")


def to_letter(event: Event) -> Entry | DeadLetter | Dropped:
    return DeadLetter(event, Reason.UNROUTABLE, "UnroutableEventType", "no", event_type="t")


def to_nothing(event: Event) -> Entry | DeadLetter | Dropped:
    return Dropped(event, "t")


def judge(
    transform: Any = to_entry,
    checkpoint: Position | None = AT_10,
    letters: Look = NOTHING,
    target: Look = NOTHING,
    missing: str = "",
) -> Judge:
    checkpoints: Mapping[str, Position] | None = None if checkpoint is None else {SHARD: checkpoint}
    book = Letters(letters, STREAM)
    return Judge(transform, lambda _: "A_SETTING", checkpoints, book, UndeliveredBook(target), missing)


@pytest.mark.parametrize(("bucket", "fate"), [(None, Fate.LETTER_GONE), ("a-bucket", Fate.ACCEPTED)])
def test_what_no_call_can_carry_was_not_accepted(
    monkeypatch: pytest.MonkeyPatch, bucket: str | None, fate: Fate
) -> None:
    """Without a bucket it is a dead letter `oversize`, whatever the mapping makes of it."""
    monkeypatch.setattr(limits, "REQUEST_BYTES_1MB", 1_024)
    settings = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q")
    settings = settings.model_copy(update={"offload_bucket": bucket})
    letters = Letters(NOTHING, STREAM)
    made = find.judge_of(settings, Checkpoints({SHARD: AT_10}), letters, UndeliveredBook(NOTHING))
    large = made(sighting(eventType="interaction.created", payload={"text": "x" * 1_024}))
    assert large.fate is fate
    assert ("oversize" in large.why) is (fate is Fate.LETTER_GONE)


@pytest.mark.parametrize(
    ("given", "seen", "fate", "why"),
    [
        ({}, {}, Fate.ACCEPTED, "publish it as t"),
        ({"checkpoint": Position(9, 0)}, {}, Fate.WAITING, "when its turn comes"),
        ({"letters": Look([letter()])}, {}, Fate.DEAD, "refused (MalformedDetail)"),
        ({"letters": Look([letter()]), "checkpoint": Position(9, 0)}, {}, Fate.DEAD, "refused"),
        ({"letters": Look([letter(11)])}, {}, Fate.ACCEPTED, ""),
        ({"letters": Look([letter(line=1)])}, {}, Fate.ACCEPTED, ""),
        ({"letters": Look([letter(stream="other")])}, {}, Fate.ACCEPTED, ""),
        ({"target": Look([undelivered()])}, {}, Fate.UNDELIVERED, "NO_PERMISSIONS"),
        ({"target": Look([undelivered()]), "letters": Look([letter()])}, {}, Fate.DEAD, "refused"),
        ({"transform": to_nothing}, {}, Fate.DROPPED, "A_SETTING drops events of type t"),
        ({"transform": to_letter}, {}, Fate.LETTER_GONE, "unroutable, UnroutableEventType"),
        ({}, {"passed_over": True}, Fate.PASSED_OVER, "a wrong table"),
        ({"checkpoint": LATEST}, {}, Fate.UNKNOWN, "a word, not a position"),
        ({"checkpoint": None, "missing": "no table"}, {}, Fate.UNKNOWN, "no table"),
        ({"letters": Look((), "half of it")}, {}, Fate.UNKNOWN, "half of it"),
        ({"letters": Look((), "half of it"), "transform": to_letter}, {}, Fate.UNKNOWN, "half of it"),
        ({"letters": Look((), "half of it"), "transform": to_nothing}, {}, Fate.DROPPED, ""),
        ({"letters": Look((), "half of it"), "checkpoint": Position(9, 0)}, {}, Fate.WAITING, ""),
        ({"target": Look((), "not seen")}, {}, Fate.ACCEPTED, "it may be undelivered at the target: not seen"),
    ],
)
def test_only_what_is_certain_is_said(given: dict[str, Any], seen: dict[str, Any], fate: Fate, why: str) -> None:
    """A letter counts for its own place in the stream; what was not seen makes a fate uncertain only where it can."""
    verdict = judge(**given)(sighting(**seen))
    assert verdict.fate is fate
    assert why in verdict.why


def test_garbage_that_no_letter_tells_of_has_lost_its_letter() -> None:
    """What cannot be read cannot have been accepted."""
    (one,) = of_record(SHARD, UserRecord(Position(3, 0), 2_000, b"{broken", passed_over=False))
    assert judge()(one).fate is Fate.LETTER_GONE


@pytest.mark.parametrize(
    ("given", "fate"),
    [
        ({}, Fate.UNKNOWN),
        ({"letters": Look([letter(3)])}, Fate.DEAD),
        ({"checkpoint": Position(2, 0)}, Fate.WAITING),
    ],
)
def test_an_envelope_of_a_later_version_may_have_been_published(given: dict[str, Any], fate: Fate) -> None:
    """The consumers may be of that version already, and the command not: no letter of it is missing then."""
    line = sighting().event.raw.replace(b'"v":1', b'"v":2', 1)
    (one,) = of_record(SHARD, UserRecord(Position(3, 0), 2_000, line, passed_over=False))
    verdict = judge(**given)(one)
    assert verdict.fate is fate
    assert ("look with the version of the consumers" in verdict.why) is (fate is Fate.UNKNOWN)


def test_an_event_that_is_kept_keeps_its_own_line_alone() -> None:
    """Of a long conversation each event lies in another record, in which the receiver grouped those of many."""
    lines = [sighting(identity=f"{n:032x}").event.raw for n in range(3)]
    found = list(of_record(SHARD, UserRecord(Position(3, 0), 2_000, b"\n".join(lines), passed_over=False)))
    assert [one.event.raw for one in found] == lines
    assert not any(one.event.record.data for one in found)


def test_a_v2_bus_tells_of_the_undelivered_by_token() -> None:
    """An event id where the sender gave one, else the place in the stream; of one that was edited the same."""
    (foreign,) = of_record(SHARD, UserRecord(Position(20, 0), 2_000, b'{"a":1}', passed_over=False))
    for edit in ("", "/0123456789abcdef"):
        failed = [{"deduplicationId": f"{token}{edit}"} for token in (ID, f"{SHARD}:20:0:0")]
        record = {"errorCode": "X", "errorMessage": "y", "failedMessages": failed}
        book = Look([Message(json.dumps(record), {}, 0)])
        assert judge(target=book)(sighting()).fate is Fate.UNDELIVERED
        assert judge(target=book, checkpoint=Position(30, 0))(foreign).fate is Fate.UNDELIVERED


@pytest.mark.parametrize("body", ["no json", "[]", "{}", '{"detail":7}', '{"failedMessages":[7]}'])
def test_other_messages_in_the_queues_are_passed_over(body: str) -> None:
    """They tell of no event."""
    assert list(UndeliveredBook(Look([Message(body, {}, 0)])).all) == []
    assert len(Letters(Look([Message(body, {}, 0), letter()]), STREAM).all) == 1


@pytest.mark.parametrize("change", [{"schema": "stream-router.dead-letter/2"}, {"attempts": "many"}])
def test_a_letter_that_this_version_cannot_read_may_be_any_events(change: dict[str, str]) -> None:
    """On the way back from an upgrade: an event whose letter it is was not accepted, and its queue is not empty."""
    strange = Message(json.dumps({**json.loads(letter().body), **change}), {}, 0)
    verdict = judge(letters=Look([strange]))(sighting())
    assert verdict.fate is Fate.UNKNOWN
    assert "1 message of the dead-letter queue is a letter that this version cannot read" in verdict.why
    book = Letters(Look([strange, letter(11)]), STREAM)
    assert len(book.all) == 1
    assert answered(letters=Look([strange]))[0] == 2


def test_what_a_look_before_saw_counts_only_where_a_later_one_saw_less() -> None:
    """A letter that was redriven meanwhile is gone, whatever else in the queue cannot be read."""
    strange = Message('{"schema":"stream-router.dead-letter/2"}', {}, 0)
    before = Letters(Look([letter()]), STREAM)
    assert not Letters(Look([strange]), STREAM).after(before).all
    assert Letters(Look([strange], "half of it"), STREAM).after(before).all


def test_a_letter_in_parts_is_one_letter() -> None:
    """So is a letter that was received twice."""
    parts = [letter(part={"n": n, "of": 2}) for n in (1, 2)]
    assert len(Letters(Look([*parts, parts[0]]), STREAM).all) == 1


@pytest.mark.parametrize("number", ["abc", "-1", "9" * 5_000])
def test_a_letter_whose_place_is_none_stops_no_search(number: str) -> None:
    """Somebody else's message in our form, or a damaged letter: it is of no event in the stream."""
    letters = Letters(Look([letter(number), letter()]), STREAM)
    assert len(letters.all) == 2
    assert letters.of(sighting()) is not None


# --- what is asked for ------------------------------------------------------------------------------------------


def wanted(*ids: str, interaction: str | None = None, conversation: str | None = None) -> Wanted:
    mapping = config_file.load(None)
    return Wanted(ids, interaction, conversation, Validator(mapping.shapes, mapping.sources))


def test_an_event_is_known_by_either_of_its_names() -> None:
    """eventId and correlationId are the same 128 bits."""
    assert wanted(ID.upper()).takes(sighting().found)
    assert wanted(str(uuid.UUID(ID))).takes(sighting().found)
    assert not wanted("f" * 32).takes(sighting().found)


def test_interaction_and_conversation_are_those_that_mapping_finds() -> None:
    """What cannot be mapped has neither."""
    assert wanted(interaction="i-1").takes(sighting().found)
    assert wanted(conversation="c-1").takes(sighting().found)
    assert not wanted(conversation="i-1").takes(sighting().found)
    assert not wanted(conversation="c-1").takes(sighting(timestamp="never").found)


@pytest.mark.parametrize(
    ("ids", "more"),
    [((), {}), ((ID,), {"interaction": "i"}), (("not-an-id",), {}), ((), {"interaction": "i", "conversation": "c"})],
)
def test_one_question_at_a_time(ids: tuple[str, ...], more: dict[str, str]) -> None:
    """Neither none, nor two, nor an id that is none."""
    with pytest.raises(SettingsError, match=r"^find: "):
        wanted(*ids, **more)


def answered(
    *seen: Sighting, letters: Look = NOTHING, target: Look = NOTHING, missing: str = ""
) -> tuple[int, list[str]]:
    """The exit status and the lines for a search of ID."""
    book, lost = Letters(letters, STREAM), UndeliveredBook(target)
    buried = [one for one in book.all if one.origin.event_id == ID]
    unseen = "; ".join(filter(None, (book.missing, lost.missing)))
    answer = Answer(wanted(ID), Span(0, 9_000), seen, buried, lost, missing, unseen)
    made = judge(letters=letters, target=target)
    return find.status(answer, made, book), list(found_report.lines(answer, made, to_entry))


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        ({}, 1, "not received since then, unless a receiver's spill still has it"),
        ({"letters": Look((), "half of it")}, 2, "not all of the queues was seen: half of it"),
        ({"letters": Look((), "half of it")}, 2, "and in no queue that was seen: "),
        ({"target": Look((), "no such queue")}, 1, "not all of the queues was seen: no such queue"),
        ({"missing": "no stream"}, 2, "cannot be judged: no stream"),
        ({"missing": "no stream", "letters": Look([letter()])}, 0, "in the dead-letter queue"),
        ({"target": Look([undelivered()])}, 0, "undelivered at the rule's target"),
    ],
)
def test_an_event_that_is_not_in_the_stream(given: dict[str, Any], status: int, says: str) -> None:
    """What is in a queue is found all the same; where stream or letters were not seen, nothing is certain."""
    ended, lines = answered(**given)
    assert ended == status
    assert any(says in line for line in lines)


def test_a_search_that_was_broken_off_says_that_there_may_be_more() -> None:
    """An event may be in the stream more than once, and each of them is asked for."""
    _, lines = answered(sighting(), missing="the reading was broken off")
    assert lines[-1] == "there may be more: the reading was broken off"
    _, lines = answered(sighting(), target=Look((), "no such queue"))
    assert "there may be more: no such queue" not in lines, "of one event no more is asked"


def test_an_event_that_is_in_the_stream_is_shown_with_its_place() -> None:
    """Shard, record, times, checkpoint, fate; readable at 60 columns but for AWS's own words."""
    status, lines = answered(sighting())
    assert status == 0
    assert lines[:4] == [
        f"{ID}  t",
        "  stream      shard shard-1",
        "              record 10",
        "  received    1970-01-01T00:00:01.000Z, stored 1970-01-01T00:00:02.000Z",
    ]
    assert "  checkpoint  past it" in lines


def test_each_copy_of_an_event_has_a_fate_of_its_own() -> None:
    """The queue was not wholly seen, so of the copy in the stream nothing is certain, though one is a dead letter."""
    half = Look([letter(99)], "half of it")
    status, lines = answered(sighting(), letters=half)
    assert status == 2
    assert "  fate        cannot be judged" in lines
    assert lines[-4:] == [
        "  stream      was at shard shard-1",
        "              record 99, line 0",
        "  fate        in the dead-letter queue",
        "              refused (MalformedDetail): no; since 2026-11-24T09:30:00.000Z",
    ]
    assert answered(sighting(), letters=Look((), "half of it"))[0] == 2


@pytest.mark.parametrize("part", [None, {"n": 1, "of": 2}])
def test_a_conversation_is_not_said_to_be_nowhere_where_a_letter_cannot_be_compared(part: Any) -> None:
    """Its event lies in S3, or in parts: it may be of this conversation, from before the span."""
    body = json.loads(letter(part=part).body)
    if part is None:
        body["record"] = {"encoding": "s3", "data": "s3://bucket/key"}
    asked, book = wanted(conversation="c-1"), Letters(Look([Message(json.dumps(body), {}, 0)]), STREAM)
    apart = find.uncompared(book, asked)
    assert apart == "1 dead letter could not be compared, in S3, in parts or masked"
    answer = Answer(asked, Span(0, 9_000), [], [], UndeliveredBook(NOTHING), "", apart, apart)
    assert find.status(answer, judge(), book) == 2
    found = answer._replace(sightings=[sighting()])
    assert find.status(found, judge(), book) == 0
    assert list(found_report.lines(found, judge(), to_entry))[-1] == f"there may be more: {apart}"
    (line,) = found_report.lines(answer, judge(), to_entry)
    assert line.endswith(f"not all of the queues was seen: {apart}")
    assert find.uncompared(book, wanted(ID)) == ""


def kept(conversation: str | None) -> bytes:
    """A letter's line, as masking leaves it; without a conversation, where it withheld all of it."""
    if conversation is None:
        return b'{"withheld":"the policy masks dead letters","code":"UnknownShape"}'
    times = {"eventType": "t", "timestamp": "2026-11-24T09:30:00Z"}
    return json.dumps({"interactionId": "i", "conversationId": conversation, "payload": {}, **times}).encode()


@pytest.mark.parametrize(
    ("conversation", "is_said"),
    [
        (None, True),
        ("[REDACTED]", True),
        ("chat-[EMAIL]-1", True),
        ("****4567", True),
        (f"hmac:k1:{'0' * 32}", True),
        ("c-2", False),
    ],
)
def test_a_conversation_is_not_said_to_be_nowhere_where_a_letter_was_masked(
    conversation: str | None, is_said: bool
) -> None:
    """Its event is known no more by what is asked for."""
    body = json.loads(letter().body)
    body["record"]["data"] = base64.b64encode(kept(conversation)).decode()
    asked, book = wanted(conversation="c-1"), Letters(Look([Message(json.dumps(body), {}, 0)]), STREAM)
    apart = find.uncompared(book, asked)
    assert apart == ("1 dead letter could not be compared, in S3, in parts or masked" if is_said else "")
    assert find.uncompared(book, wanted(ID)) == ""

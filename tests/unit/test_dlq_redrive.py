"""What `dlq redrive` says of itself: its summary and its exit status tell what was not looked at, too."""

import base64
import gzip
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import orjson
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from stream_router.aws import endpoints
from stream_router.aws.endpoints import Target
from stream_router.control.dead_letters.desk import Depth, Desk
from stream_router.control.dead_letters.queue import messages as messages_
from stream_router.control.dead_letters.queue.gathering import Gathering, QueueUnreadableError, Whole
from stream_router.control.dead_letters.queue.messages import Messages
from stream_router.control.dead_letters.queue.selection import Selection
from stream_router.control.dead_letters.redriving.redrive import Redrive
from stream_router.control.dead_letters.redriving.settling import Redriving, Tally
from stream_router.control.dead_letters.redriving.summary import How, Summary
from stream_router.control.dead_letters.redriving.trial import Trial, not_tried
from stream_router.control.republish import preconditions
from stream_router.control.republish.preconditions import Verdict
from stream_router.errors import Answer
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.pipeline.sinks.dead_letters.reader import UnavailableLetterError, UnreadableLetterError
from tests.fakes import NO_ANSWER
from tests.sqs_in_time import Sqs


def refused_by_s3(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "GetObject")


DRY = How(rate=0.0, limit=0, dry_run=True, take_all=False, yes=False)
WET = DRY._replace(dry_run=False)


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Sqs:
    monkeypatch.setattr(endpoints, "target", lambda _, service, operation: Target(operation, service, ()))
    monkeypatch.setattr(preconditions, "look", lambda *_: Verdict([], []))
    made = Sqs()
    made.bodies = [letter(sequenceNumber=str(number)) for number in range(3)]
    return made


class Eligible:
    """Takes every letter to be eligible; `after` is called with each one's number."""

    def __init__(self, after: Callable[[int], None] = lambda _: None) -> None:
        self.tried = 0
        self.after = after

    def __call__(self, whole: Whole) -> Trial:
        self.tried += 1
        self.after(self.tried)
        return Trial(whole, self.tried, b"{}", ("interaction.created",))


def letter(**origin: Any) -> str:
    content = {"schema": SCHEMA, "reason": "outage", "record": reader.encoded(b"{}"), "origin": origin}
    return orjson.dumps(content).decode()


def redrive(
    sqs: Sqs,
    asked: Callable[[], bool],
    trials: Eligible,
    how: How = DRY,
    identity: str = "",
    depth: Callable[[], Depth] = lambda: Depth(3, 0),
    *,
    masked: bool = True,
) -> int:
    messages = Messages(sqs, "http://sqs/1/q", sqs.world.clock)  # type: ignore[arg-type]
    settings = SimpleNamespace(ordering="none", event_bus="default", stream="ours", offload_bucket=None)
    desk: Any = SimpleNamespace(messages=messages, settings=settings, connection=MagicMock(), fetch=None, depth=depth)
    if not masked:
        desk.connection.transform.return_value.policy = None
    one = Redrive(desk, Selection(id=identity), how, asked, "2026-11-26T00:00:00.000Z")
    one._trials = trials  # type: ignore[assignment]
    return one.run()


def test_a_dry_run_that_was_whole_is_0(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """Every letter was tried, and nothing is added."""
    assert redrive(sqs, lambda: False, Eligible()) == 0
    assert "note" not in capsys.readouterr().out


def test_letters_of_another_stream_want_a_word(
    sqs: Sqs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The queue may be another deployment's: its events would go to our bus, and be out of its queue."""
    monkeypatch.setattr(Redriving, "round", lambda *_: None)
    there = [letter(sequenceNumber=str(n), stream=name) for n, name in enumerate(("ours", "theirs", "theirs"))]
    sqs.bodies = list(there)
    assert redrive(sqs, lambda: False, Eligible(), WET) == 1
    told = capsys.readouterr()
    assert told.out.count("note: here are dead letters of stream theirs, and STREAM_ROUTER_STREAM is ours: ") == 1
    assert "see the note above; add --yes to go on all the same; nothing more was published" in told.err
    assert len(given_back(sqs)) == 3
    for how in (WET._replace(yes=True), DRY):
        sqs.bodies = list(there)
        assert redrive(sqs, lambda: False, Eligible(), how) == 0
        assert "note: here are dead letters of stream theirs" in capsys.readouterr().out


def test_events_that_were_to_be_masked_want_a_word_where_masking_is_off(
    sqs: Sqs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shell lacks the deployment's setting: their targets would get what they were never to get."""
    monkeypatch.setattr(Redriving, "round", lambda *_: None)
    there = [changed(letter(sequenceNumber=str(n)), masking="default 2") for n in (1, 2)]
    sqs.bodies = list(there)
    assert redrive(sqs, lambda: False, Eligible(), WET, masked=False) == 1
    told = capsys.readouterr()
    said = "note: the consumer masked by default 2 when it wrote these letters, and STREAM_ROUTER_MASKING is off here: "
    assert told.out.count(said) == 1
    assert "see the note above; add --yes to go on all the same; nothing more was published" in told.err
    assert len(given_back(sqs)) == 2
    for how, masked in ((WET._replace(yes=True), False), (DRY, False), (WET, True)):
        sqs.bodies = list(there)
        assert redrive(sqs, lambda: False, Eligible(), how, masked=masked) == 0
        assert (said in capsys.readouterr().out) is not masked


def test_a_stop_is_heard_between_two_letters(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand letters `crashed` take minutes to try: Ctrl-C does not wait for the last. A dry run ends with 1."""
    stop = list[int]()
    trials = Eligible(stop.append)
    assert redrive(sqs, lambda: bool(stop), trials) == 1
    told = capsys.readouterr()
    assert trials.tried == 1
    assert "left in the queue 2" in told.out
    assert "broken off" in told.err


def test_a_call_for_messages_without_an_answer_is_told(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """SQS may have given it ten messages, which are hidden then: the queue was not redriven whole."""
    unanswered = [NO_ANSWER]

    def judge(name: str, _: dict[str, Any]) -> Answer | None:
        return unanswered.pop() if name == "ReceiveMessage" and unanswered else None

    sqs.judge = judge
    assert redrive(sqs, lambda: False, Eligible()) == 1
    assert "note: 1 call for messages got no answer" in capsys.readouterr().out


def test_what_nobody_foresaw_gives_back_what_is_held(sqs: Sqs) -> None:
    """Else nobody could look at the queue for five minutes after it."""

    def fail(_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        redrive(sqs, lambda: False, Eligible(fail))
    assert len(given_back(sqs)) == 3


def test_a_second_ctrl_c_ends_at_once(sqs: Sqs) -> None:
    """Nothing more is asked of SQS: what is held is shown again after some minutes."""

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        redrive(sqs, lambda: False, Eligible(interrupt))
    assert given_back(sqs) == []


def test_what_nobody_foresaw_comes_after_the_summary(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """The operator has to know what was published before it."""

    def fail(_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        redrive(sqs, lambda: False, Eligible(fail), WET)
    told = capsys.readouterr()
    assert "redriven 0" in told.out
    assert "ZeroDivisionError, unforeseen; nothing more was published" in told.err


def given_back(sqs: Sqs) -> list[dict[str, Any]]:
    return [entry for entry in sqs.named("ChangeMessageVisibilityBatch") if entry["VisibilityTimeout"] == 0]


def test_a_number_that_is_none_of_kinesis_stops_no_other_letter(sqs: Sqs) -> None:
    """Somebody else's message, or a damaged one: Python refuses to read five thousand digits."""
    sqs.bodies.append(letter(sequenceNumber="9" * 5_000))
    trials = Eligible()
    assert redrive(sqs, lambda: False, trials) == 0
    assert trials.tried == 4


@pytest.mark.parametrize(
    ("refusal", "later"),
    [
        (refused_by_s3("NoSuchKey"), False),
        (refused_by_s3("NoSuchBucket"), True),
        (refused_by_s3("AccessDenied"), True),
        (refused_by_s3("InvalidObjectState"), True),
        (ReadTimeoutError(endpoint_url="http://s3"), True),
    ],
    ids=["removed", "bucket", "forbidden", "archived", "no answer"],
)
def test_an_object_that_may_be_had_later_is_told_from_one_that_is_gone(refusal: Exception, later: bool) -> None:
    """Only of an object that S3 says is not there nothing can be expected any more."""
    desk = Desk.__new__(Desk)
    desk._s3 = MagicMock()
    desk._s3.get_object.side_effect = refusal
    with pytest.raises(UnreadableLetterError) as caught:
        desk.fetch("s3://bucket/key")
    assert isinstance(caught.value, UnavailableLetterError) is later


def copies(*letters: str) -> Gathering:
    """What is in hand of these messages."""
    sqs = Sqs()
    sqs.bodies = list(letters)
    messages = Messages(sqs, "http://sqs/1/q", sqs.world.clock)  # type: ignore[arg-type]
    made = Gathering(messages, Selection())
    made.gather(lambda: True)
    return made


def changed(text: str, **more: Any) -> str:
    return orjson.dumps({**orjson.loads(text), **more}).decode()


ONE = letter(sequenceNumber="7", eventId="0" * 32)
GZIPPED = {"encoding": "base64+gzip", "data": base64.b64encode(gzip.compress(b"{}")).decode()}


@pytest.mark.usefixtures("sqs")
@pytest.mark.parametrize("other", [{"attempts": 2}, {"record": GZIPPED}, {"generation": 1}])
def test_a_letter_that_is_in_the_queue_twice_is_one_letter(other: dict[str, Any]) -> None:
    """SQS was sent it again, it was imported beside itself, or a redrive died between its copy and its delete."""
    made = copies(ONE, changed(ONE, **other))
    (whole,) = made.take_round()
    assert len(whole.messages) == 2
    assert whole.letter.generation == other.get("generation", 0)
    assert made.copies == 1


@pytest.mark.usefixtures("sqs")
@pytest.mark.parametrize(
    "other",
    [
        {"edited": True},
        {"record": reader.encoded(b"[]")},
        {"record": {"encoding": "s3", "data": "s3://b/k"}},
        {"origin": {"sequenceNumber": "8", "eventId": "0" * 32}},
        {"origin": {"sequenceNumber": "7", "eventId": "1" * 32}},
    ],
)
def test_another_letter_of_an_event_is_no_copy(other: dict[str, Any]) -> None:
    """What was mended by hand, another place in the stream, another event."""
    made = copies(ONE, changed(ONE, **other))
    assert len(made.take_round()) == 2
    assert made.copies == 0


@pytest.mark.usefixtures("sqs")
def test_letters_without_a_place_are_no_copies_of_each_other() -> None:
    """Two equal events may be two."""
    assert len(copies(letter(), changed(letter(), attempts=2)).take_round()) == 2


def part_of(number: int, **more: Any) -> str:
    """One of the two parts of ONE."""
    data = ("e3", "0=")[number - 1]
    return changed(ONE, record={"encoding": "base64", "data": data}, part={"n": number, "of": 2}, **more)


@pytest.mark.usefixtures("sqs")
@pytest.mark.parametrize("order", [(1, 2, 1), (1, 1, 2), (2, 1, 1, 2), (2, 2, 1, 1)])
def test_a_part_that_is_in_the_queue_twice_is_no_letter_of_which_one_is_missing(order: tuple[int, ...]) -> None:
    """A send whose answer was lost: left behind it would lie there for 14 days, and be missed by each redrive."""
    made = copies(*(part_of(n, attempts=at) for at, n in enumerate(order)))
    (whole,) = made.take_round()
    made.end()
    assert len(whole.messages) == len(order)
    assert (made.copies, +made.unavailable) == (len(order) - 2, {})


@pytest.mark.usefixtures("sqs")
def test_parts_in_another_form_of_a_letter_that_is_whole_are_copies_of_it() -> None:
    """The queue refused the first form after a part of it: the second is whole, and both go with the event."""
    smaller = changed(part_of(1), part={"n": 1, "of": 9})
    for there in ((smaller, part_of(1), part_of(2)), (part_of(1), part_of(2), smaller)):
        made = copies(*there)
        (whole,) = made.take_round()
        made.end()
        assert (len(whole.messages), made.copies, +made.unavailable) == (3, 1, {})


@pytest.mark.usefixtures("sqs")
@pytest.mark.parametrize(("data", "together"), [("Wz", True), ("Wy", False)])
def test_a_part_of_an_edited_letter_that_was_imported_twice_is_a_copy(data: str, together: bool) -> None:
    """An import was broken off between its parts, and said again; of another edit it is none."""
    made = copies(edited_part(1, "Wz"), edited_part(2, "Fd"), changed(edited_part(1, data), attempts=2))
    (whole,) = made.take_round()
    made.end()
    assert len(whole.messages) == 2 + together
    assert (made.copies, made.unavailable.total()) == (int(together), int(not together))


@pytest.mark.usefixtures("sqs")
def test_parts_of_an_edited_letter_are_none_of_its_originals() -> None:
    """Both may be in the queue after an import beside what others held: put together they are damaged data."""
    there = (part_of(1), edited_part(2, "Fd"), edited_part(1, "Wz"), part_of(2))
    assert sorted(reader.original(one.letter) for one in copies(*there).take_round()) == [b"[1]", b"{}"]


def test_a_part_that_was_not_waited_for_is_not_missing(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """A rehearsal of one letter takes some messages more in hand; what it gives back says nothing of their letters."""
    sqs.bodies = [letter(sequenceNumber="1"), part_of(1)]
    assert redrive(sqs, lambda: False, Eligible(), DRY._replace(limit=1)) == 0
    assert "could not be tried" not in capsys.readouterr().out
    sqs.bodies = [letter(sequenceNumber="1"), part_of(1)]
    assert redrive(sqs, lambda: False, Eligible()) == 1
    assert "could not be tried 1\n        1  a part of it is missing" in capsys.readouterr().out


def edited_part(number: int, data: str) -> str:
    return changed(part_of(number), record={"encoding": "base64", "data": data}, edited=True)


def test_copies_are_published_once_and_told(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """The operator counts messages, and the redrive letters."""
    sqs.bodies = [ONE, changed(ONE, attempts=2)]
    trials = Eligible()
    assert redrive(sqs, lambda: False, trials) == 0
    assert trials.tried == 1
    told = capsys.readouterr().out
    assert "selected 1, eligible 1" in told
    assert "1 message is a copy of a letter that is in the queue once more" in told


def test_what_failed_again_elsewhere_and_was_passed_over_is_told(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """Another operator's redrive put it back, or one whose clock is ahead: an empty summary would say that all is well.

    What this redrive itself puts back it counts as failed again, and does not take a second time.
    """
    again = changed(ONE, generation=1, failedAt="2026-11-26T00:10:00.000Z")
    sqs.bodies = [again, changed(ONE, generation=1, failedAt="2026-11-25T23:59:59.000Z")]
    trials = Eligible()
    assert redrive(sqs, lambda: False, trials) == 1
    assert trials.tried == 1
    assert "1 dead letter failed again after this redrive began, in another redrive" in capsys.readouterr().err


@pytest.mark.parametrize(("met", "warned"), [(2, "1 dead letter failed again after"), (1, "")])
def test_what_failed_here_is_none_of_what_was_passed_over(
    met: int, warned: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in the queue and failed just now, others have put back, but for what this redrive did."""
    gathering: Any = SimpleNamespace(failed_since=met, copies=0, skipped=Counter())
    tally, messages = Tally(), MagicMock(undeleted=0, unanswered=0)
    tally.failed_again["unroutable (no rule)"] += 1
    told = Summary(Redrive.words, gathering, Counter(), Counter(), 1, None, 0, "")
    assert told.tell(tally, messages, WET, "") == 1
    assert warned in (err := capsys.readouterr().err)
    assert bool(err) == bool(warned)


class Unroutable(Eligible):
    """Takes no letter to be eligible."""

    def __call__(self, whole: Whole) -> Trial:
        return super().__call__(whole)._replace(skipped="still unroutable")


def test_an_event_that_was_asked_for_and_is_not_redriven_is_no_success(
    sqs: Sqs, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped id, or one that today's settings still cannot publish: it was asked for by name."""
    typed = "ABCDEF00-0000-0000-0000-000000000002"
    assert redrive(sqs, lambda: False, Eligible(), identity=typed) == 1
    assert (
        f"no dead letter of {typed} was seen that is meant; see stream-router find {typed}" in capsys.readouterr().err
    )
    sqs.bodies = ["{"]  # what cannot be read is perhaps another event's
    assert redrive(sqs, lambda: False, Eligible(), identity=typed) == 1
    assert f"no dead letter of {typed} was seen that is meant" in capsys.readouterr().err
    there = "0" * 32
    sqs.bodies = [letter(sequenceNumber="1", eventId=there)]
    assert redrive(sqs, lambda: False, Unroutable(), identity=there) == 1
    assert f"of {there} nothing can be redriven" in capsys.readouterr().err
    sqs.bodies = [letter(sequenceNumber="1", eventId=there)]
    assert redrive(sqs, lambda: False, Eligible(), identity=there) == 0
    assert there not in capsys.readouterr().err


def test_a_queue_of_which_sqs_hides_no_more_is_not_wholly_redriven(
    sqs: Sqs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who redrives by reason out of half a million letters would else hear that all was done."""
    monkeypatch.setattr(messages_, "NEARLY_ALL_HIDDEN", 2)
    sqs.bodies = sqs.bodies[:2]
    assert redrive(sqs, lambda: False, Unroutable()) == 1
    told = capsys.readouterr().err
    assert "about 1 message of q was not looked at: SQS hides 120,000 of a queue at most, and gave no more" in told
    assert "`stream-router dlq export FILE --take`" in told


@pytest.mark.parametrize(
    ("depths", "limit", "is_told"),
    [
        ((Depth(9, 0), Depth(0, 6)), 0, True),
        ((Depth(9, 0), Depth(6, 0)), 0, False),
        ((Depth(9, 0), Depth(0, 6)), 1, False),
        ((Depth(3, 0), Depth(0, 6)), 0, False),
    ],
)
def test_what_another_command_took_meanwhile_is_told(
    sqs: Sqs, capsys: pytest.CaptureFixture[str], depths: tuple[Depth, Depth], limit: int, is_told: bool
) -> None:
    """A `find` beside it holds most of the queue for some seconds: the redrive's end is not the queue's."""
    asked = list(depths)
    assert redrive(sqs, lambda: False, Eligible(), DRY._replace(limit=limit), depth=lambda: asked.pop(0)) == 0
    assert ("note: 6 more are hidden until" in capsys.readouterr().out) == is_told


def test_a_count_that_is_refused_at_the_end_hides_no_summary(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """Credentials that ran out: what was published is told all the same."""
    asked = [Depth(9, 0)]

    def depth() -> Depth:
        if not asked:
            raise QueueUnreadableError("the queue q cannot be asked (ExpiredToken)")
        return asked.pop()

    assert redrive(sqs, lambda: False, Eligible(), depth=depth) == 0
    assert "selected 3, eligible 3" in capsys.readouterr().out


class Unavailable(Eligible):
    """Of the first letter the bytes cannot be had now."""

    def __call__(self, whole: Whole) -> Trial:
        made = super().__call__(whole)
        return made if self.tried > 1 else not_tried(whole, 1, UnavailableLetterError("S3 says no"))


def test_a_letter_that_could_not_be_tried_is_told_and_no_success(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """A skip is a letter of which it is known that today's settings cannot publish it; of this one nothing is."""
    assert redrive(sqs, lambda: False, Unavailable()) == 1
    told = capsys.readouterr().out
    assert "selected 3, eligible 2" in told
    assert "could not be tried 1\n        1  S3 says no" in told


def test_a_letter_of_which_a_part_was_not_seen_is_no_success(sqs: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody else may have it in hand: the next redrive may have the whole."""
    content = orjson.loads(letter(sequenceNumber="7")) | {"part": {"n": 1, "of": 2}}
    sqs.bodies.append(orjson.dumps(content).decode())
    assert redrive(sqs, lambda: False, Eligible()) == 1
    assert "could not be tried 1\n        1  a part of it is missing" in capsys.readouterr().out


def test_an_address_of_an_object_that_is_none_skips_its_letter() -> None:
    """Whatever a message of somebody else's says, only that message is passed over."""
    desk = Desk.__new__(Desk)
    desk._s3 = MagicMock()
    with pytest.raises(UnreadableLetterError, match="address"):
        desk.fetch("s3://[bucket/key")

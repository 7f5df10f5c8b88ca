"""Publishing again: each event's outcome is told, nothing is buried, and settled means proven."""

from collections.abc import Callable, Sequence

import pytest

from stream_router.control.dead_letters.redriving import reopening
from stream_router.control.republish.republisher import (
    Again,
    Outcome,
    Republisher,
    token_of,
    unedited,
    why_nothing_ends,
    why_refused,
)
from stream_router.errors import Answer
from stream_router.model import DeadLetter, Entry, Event
from stream_router.pipeline.delivery.dispatcher_contract import Policy
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.pipeline.sinks.eventbridge.conversation_lanes import Lanes
from stream_router.pipeline.sinks.eventbridge.packer import CallLimits
from stream_router.pipeline.sinks.eventbridge.publisher import Publisher
from stream_router.pipeline.sinks.eventbridge.putevents_calls import PutEventsCalls
from tests.fakes import NO_ANSWER, FakeBus, World, entry, refused


class Proof:
    """A bus that is proven at each question, unless it is gone."""

    def __init__(self, world: World) -> None:
        self.world, self.gone, self.at = world, False, 0.0

    def latest(self) -> float:
        return self.at

    def renew(self) -> None:
        if not self.gone:
            self.at = self.world.now


class Rig:
    """A republisher over a fake bus, in virtual time."""

    def __init__(
        self,
        judge: Callable[[Sequence[Entry]], Answer] | None = None,
        *,
        ordered: bool = False,
        rate: float = 0.0,
        bucket: Callable[[World], ClaimCheck] | None = None,
    ) -> None:
        self.world = World()
        self.bus = FakeBus(self.world, judge)
        self.proof = Proof(self.world)
        dice, policy = self.world.random.random, Policy(16, 1_000_000, 4, outage_gives_up=True, max_rate=rate)
        calls = PutEventsCalls(self.bus, CallLimits(10, 10_000))
        publisher = Publisher(calls, Lanes(enabled=ordered), policy, self.world.clock, dice)
        self.republisher = Republisher(
            publisher,
            bucket(self.world) if bucket else None,
            self.proof,
            self.world.pump,
            self.world.clock,
        )
        self.outcomes: list[Outcome] = []

    def run(self, seconds: float = 300.0) -> None:
        until = self.world.now + seconds
        while self.republisher.backlog and self.world.now < until:
            before = self.world.now
            self.outcomes += self.republisher.turn(0.25)
            self.world.now = max(self.world.now, before + 0.001)

    def settled(self) -> list[Event]:
        return [one.event for one in self.outcomes if one.failure is None]

    def failures(self) -> list[DeadLetter]:
        return [one.failure for one in self.outcomes if one.failure]


def test_every_event_comes_back_settled_once() -> None:
    """A thousand of them, in full calls."""
    rig, entries = Rig(), [entry(n) for n in range(1000)]
    rig.republisher.publish(entries)
    rig.run()
    assert {id(one) for one in rig.settled()} == {id(one.event) for one in entries}
    assert len(rig.outcomes) == 1000
    assert len(rig.bus.calls) == 100


def test_an_accepted_event_is_not_settled_before_the_bus_is_proven_after_it() -> None:
    """PutEvents to a bus that is gone answers success."""
    rig = Rig()
    rig.republisher.publish([entry(1)])
    rig.proof.gone = True
    rig.run(10)
    assert rig.bus.accepted
    assert (rig.outcomes, rig.republisher.backlog, rig.republisher.unproven) == ([], 1, 1)
    assert rig.republisher.bus_gone
    rig.proof.gone = False
    rig.run(10)
    assert len(rig.settled()) == 1


def test_what_is_refused_for_its_data_is_handed_back_with_its_reason() -> None:
    """It is buried nowhere: whoever asked decides."""
    rig = Rig()
    rig.bus.judge = lambda entries: rig.bus.answer(
        entries, ["MalformedDetail" if one.event.record.sequence_number == 1003 else "" for one in entries]
    )
    rig.republisher.publish([entry(n) for n in range(10)])
    rig.run()
    (failure,) = rig.failures()
    assert (failure.reason, failure.code) == ("refused", "MalformedDetail")
    assert failure.event.record.sequence_number == 1003
    assert failure.entry is not None
    assert len(rig.settled()) == 9


def test_an_outage_ends_and_says_so() -> None:
    """A person waits: what could not be sent comes back as `outage` after the budget, not never."""
    rig = Rig(lambda _: refused("ThrottlingException"))
    rig.republisher.publish([entry(n) for n in range(30)])
    rig.run(200)
    assert {failure.reason for failure in rig.failures()} == {"outage"}
    assert len(rig.failures()) >= 20
    assert rig.republisher.holding


def test_after_a_stop_nothing_is_started_and_what_is_in_flight_comes_back() -> None:
    """Ctrl-C: the calls that are under way are heard to their end."""
    rig = Rig(rate=10.0)
    rig.republisher.publish([entry(n) for n in range(500)])
    rig.outcomes += rig.republisher.turn(0.0)
    sent = sum(map(len, rig.bus.calls))
    assert rig.republisher.in_flight
    rig.republisher.stop()
    rig.run(60)
    assert sum(map(len, rig.bus.calls)) == sent == len(rig.settled())
    assert not rig.republisher.in_flight
    assert not rig.republisher.has_room


def test_the_rate_is_kept() -> None:
    """At most so many events a second."""
    rig = Rig(rate=50.0)
    rig.republisher.publish([entry(n) for n in range(500)])
    begun = rig.world.now
    rig.run()
    assert len(rig.settled()) == 500
    assert rig.bus.times[-1] - begun >= 9.0


def test_a_conversation_stays_in_order() -> None:
    """With ordering=conversation one that fails holds back those behind it, and no other conversation."""
    seen: dict[int, int] = {}

    def judge(entries: Sequence[Entry]) -> Answer:
        codes = []
        for one in entries:
            number = one.event.record.sequence_number
            seen[number] = seen.get(number, 0) + 1
            codes.append("InternalFailure" if number == 1000 and seen[number] < 3 else "")
        return rig.bus.answer(entries, codes)

    rig = Rig(judge, ordered=True)
    rig.republisher.publish([entry(n, "a" if n % 2 == 0 else "b") for n in range(20)])
    rig.run()
    for key in ("a", "b"):
        accepted = [one.event.record.sequence_number for one in rig.bus.accepted if one.order_key == key]
        assert accepted == sorted(accepted)
        assert len(accepted) == 10
    assert rig.republisher.retries == 2
    assert rig.republisher.last_code == "InternalFailure"


def test_a_bucket_that_takes_nothing_is_named() -> None:
    """Not "no answer", which would be said of EventBridge: whoever redrives may lack the right to put objects."""
    denied = Answer(403, b"<Error><Code>AccessDenied</Code></Error>", {}, "")

    def bucket(world: World) -> ClaimCheck:
        def send(_key: str, _data: bytes, done: Callable[[Answer], None]) -> None:
            world.after(0.01, lambda: done(denied))

        return ClaimCheck(send, "mine", world.clock, world.random.random)

    rig = Rig(bucket=bucket)
    rig.republisher.publish([entry(1, size_bytes=10_001)])
    rig.run(60)
    assert rig.republisher.backlog == 1
    assert why_nothing_ends(rig.republisher) == "the offload bucket mine: AccessDenied"


def test_what_no_call_can_carry_goes_by_claim_check() -> None:
    """Where there is a bucket; else it is handed back as oversize."""
    rig = Rig()
    rig.republisher.publish([entry(1, size_bytes=20_000)])
    rig.run()
    assert [failure.reason for failure in rig.failures()] == ["oversize"]
    stored: list[str] = []

    def bucket(world: World) -> ClaimCheck:
        def send(key: str, data: bytes, done: Callable[[Answer], None]) -> None:
            stored.append(key)
            world.after(0.01, lambda: done(Answer(200, b"", {"etag": '"e"'}, "")))

        return ClaimCheck(send, "bucket", world.clock, world.random.random)

    rig = Rig(bucket=bucket)
    large = entry(1)
    rig.republisher.publish([large._replace(size_bytes=20_000, detail=b'{"payload":"' + b"x" * 19_500 + b'"}')])
    rig.run()
    assert len(rig.settled()) == len(stored) == 1


def test_an_answer_that_never_comes_settles_nothing() -> None:
    """It is sent again."""
    answers = iter([NO_ANSWER])
    rig = Rig()
    rig.bus.judge = lambda entries: next(answers, None) or rig.bus.accept(entries)
    rig.republisher.publish([entry(1)])
    rig.run()
    assert len(rig.bus.calls) == 2
    assert len(rig.settled()) == 1


@pytest.mark.parametrize(
    ("id_from", "alone", "token"),
    [("delivery", False, "e1"), ("content", False, "shard-1:77:2:4"), ("content", True, "shard-1:77:2:")],
)
def test_a_v2_bus_knows_a_copy_by_what_the_child_called_it(id_from: str, alone: bool, token: str) -> None:
    """The event's id where its sender gave one; else its place in the stream, never its content."""
    record = Again(b"", "shard-1:77:2:", 5, alone=alone)
    assert token_of(Event(record, 4, b"", "e1", id_from, 0, None)) == token


@pytest.mark.parametrize("id_from", ["delivery", "content"])
def test_a_v2_bus_takes_no_edited_event_for_a_copy_of_another(id_from: str) -> None:
    """One that was edited twice within five minutes would else be deleted unpublished; edited alike it is a copy."""
    origin = {"shardId": "shardId-000000000000", "sequenceNumber": "9" * 56, "line": 4, "eventId": "e" * 32}
    content = {"schema": SCHEMA, "reason": "refused", "record": reader.encoded(b""), "edited": True}
    edited = reader.of_content({**content, "origin": {**origin, "idFrom": id_from}})
    letters = [edited.model_copy(update={"edited": False}), edited, edited]
    lines = (b"{}", b"{}", b'{"a":1}')
    tokens = [token_of(reopening.unread(raw, one, 1)) for raw, one in zip(lines, letters, strict=True)]
    assert len(set(tokens)) == 3
    assert max(map(len, tokens)) <= 128, "botocore's model eventbridgev2, EventDeduplicationId"
    assert {unedited(token) for token in tokens} == {tokens[0]}
    assert token_of(reopening.unread(b"{}", edited, 2)) == tokens[1]


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("AccessDeniedException", "grant it (stream-router setup --policy)"),
        ("ExpiredTokenException", "renew the credentials"),
        ("ThrottlingException", "wait, then give a lower --rate"),
    ],
)
def test_what_refuses_everything_is_told_with_its_cure(code: str, cure: str) -> None:
    """A code alone tells nobody what to do; of throttling the consumer's own setting is no cure here."""
    assert why_refused(code) == f"EventBridge accepts nothing ({code}): {cure}"

"""Who is to blame for a failure: a test for each row of the table in docs/delivery.md."""

import itertools
from collections.abc import Sequence

import pytest

from stream_router.errors import Answer
from stream_router.model import Entry, Reason
from tests.fakes import Rig, entry, refused, rig


def sick(pipeline: Rig, one: Entry, code: str = "InternalFailure") -> None:
    """From now on the bus fails this entry, with this code of its own."""
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, [code if it is one else "" for it in call])


def refuse(pipeline: Rig, poison: Entry) -> None:
    """From now on each call that holds this entry is refused whole."""

    def judge(call: Sequence[Entry]) -> Answer:
        bad = any(it is poison for it in call)
        return refused("ValidationException") if bad else pipeline.bus.accept(call)

    pipeline.bus.judge = judge


def test_wrong_data() -> None:
    """An entry whose code blames its data is buried as `refused` at its first failure, whoever else fails."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad, "MalformedDetail")
    pipeline.router.publisher.take([bad])
    pipeline.drain(limit_s=1)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.REFUSED]


def test_the_destinations_trouble() -> None:
    """An entry that is throttled for an hour while others are accepted waits, and is delivered in the end."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad, "ThrottlingException")
    pipeline.router.publisher.take([bad])
    for number in range(1, 361):
        pipeline.router.publisher.take([entry(number)])
        pipeline.run_for(10)
    assert not pipeline.books.dead
    pipeline.bus.judge = pipeline.bus.accept
    pipeline.drain(limit_s=10)
    assert len(pipeline.books.delivered) == 361


def test_everybodys_trouble_begins_the_budget_anew() -> None:
    """Ten minutes among others of which a fifth fail are no word about an entry; half a minute among well ones is."""
    pipeline, bad = rig(), entry(0)
    numbers = itertools.count(1)
    ill = True

    def judge(call: Sequence[Entry]) -> Answer:
        fails = [it is bad or (ill and it.event.record.sequence_number % 5 == 0) for it in call]
        return pipeline.bus.answer(call, ["InternalFailure" if failing else "" for failing in fails])

    def live(seconds: int) -> None:
        for _ in range(seconds):
            pipeline.router.publisher.take([entry(next(numbers)) for _ in range(10)])
            pipeline.run_for(1)

    pipeline.bus.judge = judge
    pipeline.router.publisher.take([bad])
    live(600)
    assert not pipeline.books.dead
    ill = False
    live(25)
    assert not pipeline.books.dead
    live(120)
    assert [letter.entry for letter in pipeline.books.dead] == [bad]


def test_own_trouble_is_tried_again_and_delays_nobody() -> None:
    """While its budget lasts an entry is tried again after pauses of its own, and the others go at once."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad)
    pipeline.router.publisher.take([bad, *(entry(n) for n in range(1, 10))])
    pipeline.run_for(0.1)
    assert len(pipeline.books.delivered) == 9
    pipeline.run_for(20)
    assert pipeline.router.backlog == 1
    assert not pipeline.books.dead


def test_own_trouble_proven() -> None:
    """Its retries are over and of the others, sent since, nine tenths are accepted: `retries_exhausted`."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad)
    pipeline.router.publisher.take([bad])
    pipeline.run_in_company(limit_s=60)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.RETRIES_EXHAUSTED]


def test_an_entry_is_judged_by_all_answers_of_its_call() -> None:
    """Its retries are over, one that was sent with it is accepted and two behind it fail: everybody's trouble."""
    pipeline, bad, good = rig(), entry(0), entry(1)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["" if it is good else "InternalFailure" for it in call]
    )
    pipeline.router.publisher.take([bad])
    pipeline.run_for(60)
    pipeline.world.pump(pipeline.router.wait_s(60.0))
    pipeline.router.publisher.take([good, entry(2), entry(3)])
    pipeline.run_for(1)
    assert any(call[0] is bad and len(call) == 4 for call in pipeline.bus.calls)
    assert not pipeline.books.dead


def test_own_trouble_with_nobody_to_compare_with() -> None:
    """It waits, however long, and the breaker stays closed: it alone says nothing of the destination."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad)
    pipeline.router.publisher.take([bad])
    pipeline.run_for(3_600)
    assert not pipeline.books.dead
    assert not pipeline.router.holding
    assert pipeline.router.only_sick


def test_poison_proven() -> None:
    """Refused with its call, alone, after another was accepted that was sent since: `refused`."""
    pipeline, bad = rig(), entry(0)
    refuse(pipeline, bad)
    pipeline.router.publisher.take([bad])
    pipeline.run_for(3)
    assert not pipeline.books.dead
    pipeline.run_in_company(limit_s=20)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.REFUSED]


def test_perhaps_poison() -> None:
    """Refused alone where nothing was ever accepted: it is tried again alone, as a probe, and nothing is buried."""
    pipeline = rig()
    pipeline.bus.judge = lambda _: refused("ValidationException")
    pipeline.router.publisher.take([entry(0), entry(1)])
    pipeline.run_for(600)
    assert not pipeline.books.dead
    assert pipeline.router.holding
    assert all(len(call) == 1 for call in pipeline.bus.calls[1:])


def test_sick_entries_at_a_shards_end_are_tried_for_fifteen_minutes() -> None:
    """Nobody will ever come to compare with: then they are given up, be they sick or refused for their content."""
    for judge in ("sick", "poison"):
        pipeline, bad = rig(), entry(0)
        (sick if judge == "sick" else refuse)(pipeline, bad)
        pipeline.router.publisher.take([bad])
        pipeline.run_for(60)
        pipeline.router.at_the_end()
        pipeline.run_for(890)
        assert not pipeline.books.dead
        pipeline.drain(limit_s=40)
        assert len(pipeline.books.dead) == 1


def test_many_that_fail_at_a_shards_end_wait() -> None:
    """More than a call's worth look like a destination that takes nothing."""
    pipeline = rig()
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, ["InternalFailure"] * len(call))
    pipeline.router.publisher.take([entry(n) for n in range(50)])
    pipeline.router.at_the_end()
    pipeline.run_for(3_600)
    assert not pipeline.books.dead


def test_who_waits_alone_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Once a minute, in words that name the cure: the next event."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad)
    pipeline.router.publisher.take([bad])
    pipeline.run_for(25)
    assert not caplog.records
    pipeline.run_for(60)
    assert "it waits for the next one" in caplog.text
    assert len(caplog.records) <= 2


def test_nobody_is_said_to_wait_alone_whose_retries_are_not_over(caplog: pytest.LogCaptureFixture) -> None:
    """Not after another waited so either, be it refused for its content or sick."""
    pipeline, bad = rig(), entry(0)
    refuse(pipeline, bad)
    pipeline.router.publisher.take([bad])
    pipeline.run_for(10)
    pipeline.run_in_company(limit_s=30)
    caplog.clear()
    sick(pipeline, later := entry(1))
    pipeline.router.publisher.take([later])
    pipeline.run_for(25)
    assert "no other tells" not in caplog.text


def test_a_conversations_budget_goes_on() -> None:
    """With ordering, the next sick one of a conversation whose first was given up needs no half minute."""
    pipeline = rig(ordered=True)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if one.order_key == "bad" else "" for one in call]
    )
    pipeline.router.publisher.take([entry(n, "bad") for n in range(8)])
    pipeline.run_in_company(limit_s=180)
    assert len(pipeline.books.dead) == 8

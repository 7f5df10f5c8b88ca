"""The engine over minutes of trouble: in an outage nothing is buried, and what is sick among well ones is, in time."""

import random
from collections.abc import Callable, Sequence

import pytest

from stream_router.errors import Answer
from stream_router.model import Entry, Reason
from tests.fakes import Rig, entry, rig

WITHIN_S = 180.0
"""A sick entry is buried within this."""


def live(
    pipeline: Rig, seconds: float, per_s: float, first: int = 0, sick: Callable[[int], bool] = lambda _: False
) -> int:
    """Events come at this rate for so long; the number after the last. Entries of `sick` numbers have a key."""
    start, number = pipeline.world.now, first
    while pipeline.world.now < start + seconds:
        due = first + int((pipeline.world.now - start) * per_s) + 1
        pipeline.router.publisher.submit([entry(n, "sick" if sick(n) else "") for n in range(number, due)])
        number = max(number, due)
        pipeline.run_once()
    return number


def fail_the_sick(pipeline: Rig) -> None:
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if one.order_key == "sick" else "" for one in call]
    )


def assert_buried(pipeline: Rig, sick: int, healthy: int) -> None:
    assert len(pipeline.books.dead) == sick
    assert {letter.reason for letter in pipeline.books.dead} == {Reason.RETRIES_EXHAUSTED}
    assert all(letter.entry and letter.entry.order_key == "sick" for letter in pipeline.books.dead)
    assert len(pipeline.books.delivered) == healthy


@pytest.mark.parametrize("by", ["attempt", "entry"])
@pytest.mark.parametrize("per_s", [1, 20])
@pytest.mark.parametrize("seed", range(2))
def test_a_partial_outage_buries_nothing(by: str, per_s: int, seed: int) -> None:
    """Sixty per cent of entries fail for five minutes, by chance anew or always the same ones; then all is well."""
    dice = random.Random(seed)
    pipeline = rig(seed=seed)
    pipeline.router.publisher.submit([entry(n) for n in range(900_000, 900_020)])
    pipeline.drain()
    until = pipeline.world.now + 300

    def fails(one: Entry) -> bool:
        if pipeline.world.now >= until:
            return False
        return (dice.random() if by == "attempt" else random.Random(one.event.event_id).random()) < 0.6

    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if fails(one) else "" for one in call]
    )
    number = live(pipeline, 330, per_s)
    pipeline.drain(limit_s=60)
    assert not pipeline.books.dead
    assert len(pipeline.books.delivered) == number + 20


def test_a_success_of_just_before_an_outage_proves_nothing() -> None:
    """Ten minutes of everything failing, beginning 10 s after a single success: no dead letter."""
    pipeline = rig()
    pipeline.router.publisher.submit([entry(900_000)])
    pipeline.drain()
    pipeline.run_for(10)
    until = pipeline.world.now + 600

    def judge(call: Sequence[Entry]) -> Answer:
        return pipeline.bus.answer(call, ["InternalFailure" if pipeline.world.now < until else ""] * len(call))

    pipeline.bus.judge = judge
    number = live(pipeline, 660, 1)
    pipeline.drain(limit_s=60)
    assert not pipeline.books.dead
    assert len(pipeline.books.delivered) == number + 1


def test_four_sick_entries_on_a_slow_stream_are_buried() -> None:
    """Five events a second, four of them sick at the start: buried in three minutes, and everybody else delivered."""
    pipeline = rig()
    fail_the_sick(pipeline)
    number = live(pipeline, WITHIN_S, 5, sick=lambda n: n < 4)
    pipeline.drain(limit_s=5)
    assert_buried(pipeline, 4, number - 4)


def test_eight_per_cent_of_sick_entries_are_buried() -> None:
    """A hundred events a second of which 8 % are sick: each is buried within three minutes of its first failure."""
    pipeline = rig()
    fail_the_sick(pipeline)
    number = live(pipeline, 60, 100, sick=lambda n: n % 25 in (0, 12))
    assert len(pipeline.books.delivered) >= number * 0.92 - 100
    sick = sum(n % 25 in (0, 12) for n in range(number))
    after = live(pipeline, WITHIN_S, 100, number)
    pipeline.drain(limit_s=5)
    assert_buried(pipeline, sick, after - sick)


def test_one_sick_entry_on_a_stream_of_an_event_in_twenty_seconds_is_buried() -> None:
    """One other that was sent after its first failure is enough to compare with."""
    pipeline = rig()
    fail_the_sick(pipeline)
    number = live(pipeline, WITHIN_S, 0.05, sick=lambda n: n == 0)
    pipeline.run_for(1)
    assert_buried(pipeline, 1, number - 1)


def test_a_call_of_only_sick_entries_counts_neither_for_nor_against_the_breaker() -> None:
    """Their tries alone, however many, open nothing; and nothing that comes after is paced as a probe."""
    pipeline = rig()
    fail_the_sick(pipeline)
    pipeline.router.publisher.submit([entry(n, "sick") for n in range(10)])
    pipeline.run_for(600)
    gate = pipeline.router.publisher.dispatcher.gate
    assert len(pipeline.bus.calls) > 100
    assert not gate.holding
    assert gate.failures == 1
    before = pipeline.world.now
    pipeline.router.publisher.submit([entry(n) for n in range(100, 110)])
    while not pipeline.books.delivered:
        pipeline.run_once()
    assert pipeline.world.now - before < 0.1


def test_an_old_sick_entry_closes_no_open_breaker() -> None:
    """While everything else is refused whole, the tries of a sick entry change nothing."""
    pipeline = rig()
    fail_the_sick(pipeline)
    pipeline.router.publisher.submit([entry(0, "sick")])
    pipeline.run_for(60)
    accept = pipeline.bus.judge
    pipeline.bus.judge = lambda call: accept(call) if all(one.order_key for one in call) else Answer(500, b"", {}, "")
    pipeline.router.publisher.submit([entry(n) for n in range(1, 100)])
    pipeline.run_for(60)
    assert pipeline.router.holding
    assert not pipeline.books.delivered
    pipeline.bus.judge = accept
    pipeline.run_in_company(limit_s=90)
    assert len(pipeline.books.dead) == 1


def test_a_sick_entry_delays_its_own_conversation_and_no_other() -> None:
    """With ordering=conversation the next of its conversation waits until it is buried; the others go at once."""
    pipeline = rig(ordered=True)
    bad, next_of_it = entry(0, "a"), entry(1, "a")
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if one is bad else "" for one in call]
    )
    pipeline.router.publisher.submit([bad, next_of_it])
    for number in range(100, 150):
        before = len(pipeline.books.delivered)
        pipeline.router.publisher.submit([entry(number, f"c{number}")])
        pipeline.run_for(1)
        assert len(pipeline.books.delivered) > before
    pipeline.run_for(15)
    assert [letter.entry for letter in pipeline.books.dead] == [bad]
    assert next_of_it in pipeline.books.delivered

"""The engine over minutes of trouble: in an outage nothing is buried, and what is sick among well ones is, in time."""

import random
from collections.abc import Callable, Sequence

import pytest

from stream_router.consumer.destinations import CALL_TIMEOUT_S
from stream_router.errors import Answer
from stream_router.model import Entry, Reason
from stream_router.pipeline.delivery.blame import Policy
from tests.fakes import Rig, entry, refused, rig

WITHIN_S = 180.0
"""A sick entry is buried within this."""


def live(
    pipeline: Rig, seconds: float, per_s: float, first: int = 0, sick: Callable[[int], bool] = lambda _: False
) -> int:
    """Events come at this rate for so long; the number after the last. Entries of `sick` numbers have a key."""
    start, number = pipeline.world.now, first
    while pipeline.world.now < start + seconds:
        due = first + int((pipeline.world.now - start) * per_s) + 1
        pipeline.router.publisher.take([entry(n, "sick" if sick(n) else "") for n in range(number, due)])
        number = max(number, due)
        pipeline.run_once()
    return number


def fail_the_sick(pipeline: Rig) -> None:
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if one.order_key == "sick" else "" for one in call]
    )


def assert_buried(pipeline: Rig, sick: int, healthy: int) -> None:
    assert len(pipeline.tally.dead) == sick
    assert {letter.reason for letter in pipeline.tally.dead} == {Reason.RETRIES_EXHAUSTED}
    assert all(letter.entry and letter.entry.order_key == "sick" for letter in pipeline.tally.dead)
    assert len(pipeline.tally.delivered) == healthy


HOUR_S = 3_600.0


def an_hour(share: float, per_s: float, seed: int) -> tuple[Rig, int]:
    """An hour in which this share of entries fails, anew by chance at each try, and one in 500 always.

    The pipeline four minutes after it, and how many came by then; the always sick ones have a key.
    """
    dice, pipeline = random.Random(seed), rig(seed=seed)
    until = pipeline.world.now + HOUR_S

    def fails(one: Entry) -> bool:
        return one.order_key == "sick" or (pipeline.world.now < until and dice.random() < share)

    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if fails(one) else "" for one in call]
    )
    number = live(pipeline, HOUR_S, per_s, sick=lambda n: n % 500 == 250)
    assert not [letter for letter in pipeline.tally.dead if letter.entry and letter.entry.order_key != "sick"]
    return pipeline, live(pipeline, 240, per_s, number)


@pytest.mark.parametrize("share", [0.2, 0.3, 0.4, 0.5, 0.6])
def test_an_hour_of_random_failures_at_an_event_a_second_buries_nothing_but_the_sick(share: float) -> None:
    """Whatever share fails by chance, only entries that always fail are buried, and all of these are."""
    pipeline, came = an_hour(share, 1.0, seed=int(share * 10))
    assert_buried(pipeline, 7, came - 7)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
@pytest.mark.parametrize("per_s", [1, 50])
def test_no_seed_of_random_failures_buries_what_is_well(share: float, per_s: float, seed: int) -> None:
    """At an event a second and at fifty."""
    an_hour(share, per_s, seed)


@pytest.mark.parametrize("per_s", [1, 8])
def test_an_outage_of_always_the_same_entries_buries_nothing(per_s: int) -> None:
    """Sixty per cent of entries fail for five minutes, always the same ones; then all is well."""
    pipeline = rig()
    until = pipeline.world.now + 300

    def fails(one: Entry) -> bool:
        return pipeline.world.now < until and random.Random(one.event.event_id).random() < 0.6

    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if fails(one) else "" for one in call]
    )
    number = live(pipeline, 330, per_s)
    pipeline.drain(limit_s=60)
    assert not pipeline.tally.dead
    assert len(pipeline.tally.delivered) == number


def test_a_validation_exception_on_everything_buries_nothing() -> None:
    """Ten minutes of it on a shard that was well a moment before; then everything comes out."""
    pipeline = rig()
    number = live(pipeline, 10, 20)
    accept, until = pipeline.bus.accept, pipeline.world.now + 600
    pipeline.bus.judge = lambda call: refused("ValidationException") if pipeline.world.now < until else accept(call)
    number = live(pipeline, 630, 20, number)
    pipeline.drain(limit_s=60)
    assert not pipeline.tally.dead
    assert len(pipeline.tally.delivered) == number


@pytest.mark.parametrize("per_s", [10, 500])
def test_a_sick_entry_among_healthy_ones_is_buried_within_a_minute(per_s: int) -> None:
    """It is a dead letter 30 to 60 s after it failed, and delays nobody."""
    pipeline = rig(policy=Policy(128, 16 * 1024 * 1024, 4))
    fail_the_sick(pipeline)
    began = pipeline.world.now
    number = live(pipeline, 29, per_s, sick=lambda n: n == 5)
    assert not pipeline.tally.dead
    while not pipeline.tally.dead:
        number = live(pipeline, 0.5, per_s, number)
    assert 30 <= pipeline.world.now - began <= 60
    pipeline.drain(limit_s=2)
    assert_buried(pipeline, 1, number - 1)
    assert max(pipeline.tally.took_s) < 0.2


def test_a_bus_that_does_one_call_after_the_other_gets_each_event_once() -> None:
    """60 ms each: calls in flight follow the answers, so that none waits for its turn for longer than it has."""
    pipeline = rig(policy=Policy(128, 16 * 1024 * 1024, 4))
    free_at = 0.0

    def waits_its_turn() -> float:
        nonlocal free_at
        now = pipeline.world.now
        free_at = max(now, free_at) + 0.06
        return free_at - now

    pipeline.bus.latency_s = waits_its_turn
    pipeline.router.publisher.take([entry(n) for n in range(30_000)])
    pipeline.drain(limit_s=200)
    assert len(pipeline.tally.delivered) == 30_000
    assert max(pipeline.tally.took_s) < CALL_TIMEOUT_S / 2
    assert pipeline.world.now - 1000 < 30_000 / 10 * 0.06 * 1.05, "the bus is kept busy"


def test_a_success_of_just_before_an_outage_proves_nothing() -> None:
    """Ten minutes of everything failing, beginning 10 s after a single success: no dead letter."""
    pipeline = rig()
    pipeline.router.publisher.take([entry(900_000)])
    pipeline.drain()
    pipeline.run_for(10)
    until = pipeline.world.now + 600

    def judge(call: Sequence[Entry]) -> Answer:
        return pipeline.bus.answer(call, ["InternalFailure" if pipeline.world.now < until else ""] * len(call))

    pipeline.bus.judge = judge
    number = live(pipeline, 660, 1)
    pipeline.drain(limit_s=60)
    assert not pipeline.tally.dead
    assert len(pipeline.tally.delivered) == number + 1


def test_eight_per_cent_of_sick_entries_are_buried() -> None:
    """Twenty-five events a second of which 8 % are sick: each is buried within three minutes of its first failure."""
    pipeline = rig()
    fail_the_sick(pipeline)
    number = live(pipeline, 60, 25, sick=lambda n: n % 25 in (0, 12))
    assert len(pipeline.tally.delivered) >= number * 0.92 - 25
    sick = sum(n % 25 in (0, 12) for n in range(number))
    after = live(pipeline, WITHIN_S, 25, number)
    pipeline.drain(limit_s=5)
    assert_buried(pipeline, sick, after - sick)


def test_a_call_of_only_sick_entries_counts_neither_for_nor_against_the_breaker() -> None:
    """Their tries alone, however many, open nothing; and nothing that comes after is paced as a probe."""
    pipeline = rig()
    fail_the_sick(pipeline)
    pipeline.router.publisher.take([entry(n, "sick") for n in range(10)])
    pipeline.run_for(600)
    gate = pipeline.router.publisher.dispatcher.gate
    assert len(pipeline.bus.calls) > 100
    assert not gate.holding
    assert gate.failures == 1
    before = pipeline.world.now
    pipeline.router.publisher.take([entry(n) for n in range(100, 110)])
    while not pipeline.tally.delivered:
        pipeline.run_once()
    assert pipeline.world.now - before < 0.1


def test_a_sick_entry_delays_its_own_conversation_and_no_other() -> None:
    """With ordering=conversation the next of its conversation waits until it is buried; the others go at once."""
    pipeline = rig(ordered=True)
    bad, next_of_it = entry(0, "a"), entry(1, "a")
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if one is bad else "" for one in call]
    )
    pipeline.router.publisher.take([bad, next_of_it])
    for number in range(100, 150):
        before = len(pipeline.tally.delivered)
        pipeline.router.publisher.take([entry(number, f"c{number}")])
        pipeline.run_for(1)
        assert len(pipeline.tally.delivered) > before
    pipeline.run_for(15)
    assert [letter.entry for letter in pipeline.tally.dead] == [bad]
    assert next_of_it in pipeline.tally.delivered

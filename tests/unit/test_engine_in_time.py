"""The engine over minutes of trouble: in an outage nothing is buried, and what is sick among well ones is, in time."""

import itertools
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from stream_router.aws_answers import Answer
from stream_router.aws_error_codes import Disposition
from stream_router.dead_letter_reasons import Reason
from stream_router.model import Entry
from stream_router.pipeline.delivery.blame import Blame, Decision, RetryPolicy
from tests.fakes import NO_ANSWER, Rig, entry, rig


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
        call, ["InternalFailure" if event.order_key == "sick" else "" for event in call]
    )


def assert_buried(pipeline: Rig, sick: int, healthy: int) -> None:
    assert len(pipeline.tally.dead) == sick
    assert {letter.reason for letter in pipeline.tally.dead} == {Reason.RETRIES_EXHAUSTED}
    assert all(letter.entry and letter.entry.order_key == "sick" for letter in pipeline.tally.dead)
    assert len(pipeline.tally.delivered) == healthy


@pytest.mark.parametrize(("share", "seed"), [(0.2, 7), (0.3, 1), (0.4, 4), (0.6, 6)])
def test_an_hour_of_random_failures_at_an_event_a_second_buries_nothing_but_the_sick(share: float, seed: int) -> None:
    """Whatever share fails by chance, anew at each try, only entries that always fail are buried, and all of these.

    In the first two half a minute looks well by chance.
    """
    dice, pipeline = random.Random(seed), rig(seed=seed)
    until = pipeline.world.now + 3_600

    def fails(candidate: Entry) -> bool:
        return candidate.order_key == "sick" or (pipeline.world.now < until and dice.random() < share)

    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if fails(item) else "" for item in call]
    )
    number = live(pipeline, 3_600, 1.0, sick=lambda n: n % 500 == 250)
    came = live(pipeline, 240, 1.0, number)
    assert_buried(pipeline, 7, came - 7)


def fails(pipeline: Rig, call: Sequence[Entry], share: float) -> Answer:
    """So many of all entries fail, always the same ones."""
    sick = [random.Random(item.event.event_id).random() < share for item in call]
    return pipeline.bus.answer(call, ["InternalFailure" if is_sick else "" for is_sick in sick])


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_an_outage_is_probed_and_buries_nothing(share: float) -> None:
    """Ten minutes in which each entry, or always the same six in ten, fails by itself; then everything comes out."""
    pipeline = rig()
    number = live(pipeline, 10, 20)
    until = pipeline.world.now + 600
    pipeline.bus.judge = lambda call: (
        fails(pipeline, call, share) if pipeline.world.now < until else pipeline.bus.accept(call)
    )
    number = live(pipeline, 609, 1, number)
    pipeline.drain(limit_s=60)
    assert not pipeline.tally.dead
    assert len(pipeline.tally.delivered) == number


@pytest.mark.parametrize(("per_s", "every", "then_s"), [(10, 10**6, 31), (200, 10**6, 31), (50, 12, 60)])
def test_a_sick_entry_among_healthy_ones_is_buried_within_a_minute(per_s: int, every: int, then_s: float) -> None:
    """It is a dead letter 30 to 60 s after it failed, four times retried, and delays nobody; so is each of 8 %."""
    pipeline = rig(policy=RetryPolicy(128, 16 * 1024 * 1024, 4))
    fail_the_sick(pipeline)
    number = live(pipeline, 29, per_s, sick=lambda n: n % every == 5)
    assert not pipeline.tally.dead
    came = live(pipeline, then_s, per_s, number)
    pipeline.drain(limit_s=2)
    sick = sum(n % every == 5 for n in range(number))
    assert_buried(pipeline, sick, came - sick)
    assert min(letter.attempts for letter in pipeline.tally.dead) == 5
    assert sick > 1 or pipeline.tally.retries == 4
    assert max(pipeline.tally.took_s) < 0.2


def test_a_sick_entry_delays_its_own_conversation_and_no_other() -> None:
    """With ordering=conversation the next of its conversation waits until it is buried; the others go at once."""
    pipeline = rig(ordered=True)
    bad, next_of_it = entry(0, "a"), entry(1, "a")
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if item is bad else "" for item in call]
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


class SilentBus:
    """A bus that answers none of the calls it gets for a while, and does all of them in the end.

    `copies` counts how often it accepts each entry, the ones without an answer included.
    """

    def __init__(self, until: float) -> None:
        self.copies: Counter[str] = Counter()
        self.sent_at: list[tuple[float, int]] = []
        """When a call without an answer was sent, and its number of entries."""
        self._until = until

    def play(self, pipeline: Rig) -> None:
        def judge(call: Sequence[Entry]) -> Answer:
            self.copies.update(item.event.event_id for item in call)
            if pipeline.world.now < self._until:
                self.sent_at.append((pipeline.world.now, len(call)))
                return NO_ANSWER
            return pipeline.bus.accept(call)

        pipeline.bus.judge = judge
        pipeline.bus.latency_s = lambda: 5.0 if pipeline.world.now < self._until else 0.03


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("per_s", [0.2, 50, 400])
def test_a_silent_bus_gets_one_entry_after_ever_longer_pauses(
    per_s: float, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """110 s without an answer: no entry reaches the bus more than twice, but where none is new on a quiet shard.

    At most 1.1 copies an event in all. The log says how many may come twice. What waited leaves once the probe is
    answered.
    """
    caplog.set_level(logging.INFO)
    pipeline = rig(policy=RetryPolicy(128, 16 * 1024 * 1024, 4), ordered=ordered)
    number = live(pipeline, 20, per_s)
    before = len(pipeline.tally.delivered)
    bus = SilentBus(pipeline.world.now + 110)
    bus.play(pipeline)
    number = live(pipeline, 125, per_s, number)
    pipeline.drain(limit_s=10)
    assert not pipeline.tally.dead
    assert len(pipeline.tally.delivered) == number
    probes = [at for at, entries in bus.sent_at if at > bus.sent_at[0][0] + 6]
    assert max(entries for at, entries in bus.sent_at if at in probes) == 1
    assert len(probes) <= 4
    pauses = [later - earlier - 5 for earlier, later in itertools.pairwise(probes)]
    assert pauses == pytest.approx([10, 20, 30], abs=0.5)
    assert max(bus.copies.values()) <= 2
    unanswered = sum(copies > 1 for copies in bus.copies.values())
    assert bus.copies.total() <= 1.1 * (number - before) or unanswered < 20
    (back,) = [record for record in caplog.records if getattr(record, "event", "") == "back"]
    assert vars(back)["may_be_delivered_twice"] == unanswered


def test_a_lone_call_without_an_answer_delays_nobody() -> None:
    """One connection in many dies in silence: the breaker stays closed, and its entry is sent again at once."""
    pipeline = rig()
    lost, calls = entry(7), list[float]()

    def judge(call: Sequence[Entry]) -> Answer:
        if lost not in call:
            return pipeline.bus.accept(call)
        calls.append(pipeline.world.now)
        return NO_ANSWER if len(calls) == 1 else pipeline.bus.accept(call)

    pipeline.bus.judge = judge
    pipeline.bus.latency_s = lambda: 5.0 if len(calls) == 1 and calls[0] == pipeline.world.now else 0.03
    pipeline.router.publisher.take([lost])
    for number in range(100, 200):
        pipeline.run_for(0.1)
        pipeline.router.publisher.take([entry(number)])
        assert not pipeline.router.publisher.dispatcher.held
    first, again = calls
    assert 5 <= again - first <= 5.5
    assert lost in pipeline.tally.delivered


def test_an_outage_does_not_bury_what_comes_behind_a_sick_entry() -> None:
    """The next of its conversation has no half minute of its own, yet is judged by what others met since it failed."""
    blame = Blame[str](lambda item: item, 4)
    for at in (1_000, 1_001, 1_005, 1_010, 1_031):
        blame.record_accepted([f"{at} {number}" for number in range(60)], at, at)
        result = blame.decide(Disposition.RETRY, blame.record_failure("conversation", at, at, own_failure=True), at, 1)
    assert result is Decision.GIVE_UP
    blame.record_given_up("conversation")
    for at in (1_033, 1_034, 1_035, 1_036, 1_037):
        blame.record_failure(f"other at {at}", at, at, own_failure=True)
        result = blame.decide(Disposition.RETRY, blame.record_failure("conversation", at, at, own_failure=True), at, 2)
    assert result is Decision.RETRY


def test_another_that_is_accepted_after_a_budget_began_anew_convicts_nobody() -> None:
    """Of a few others one is accepted by chance: all first tries of the last minute count, so the entry waits.

    Once a minute passes in which the others are well it is buried.
    """
    blame = Blame[str](lambda item: item, 4)

    def fails_until(now: float, others: int) -> Decision:
        """The entry fails five times within 31 s, and so many others fail at their first try beside it."""
        for number in range(others):
            blame.record_failure(f"{now} {number}", now - 20, now - 20, own_failure=True)
        for at in (now - 31, now - 25, now - 15, now - 5, now):
            result = blame.decide(Disposition.RETRY, blame.record_failure("it", at, at, own_failure=True), at, 1)
        return result

    assert fails_until(1_030, 3) is Decision.RETRY, "everybody's trouble"
    blame.record_accepted(["lucky"], 1_050, 1_050)
    assert fails_until(1_063, 0) is Decision.RETRY
    for number in range(20):
        blame.record_accepted([f"well {number}"], 1_070 + number, 1_070 + number)
    assert fails_until(1_095, 0) is Decision.GIVE_UP

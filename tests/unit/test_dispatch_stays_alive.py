"""The engine in corners where it once stood still for ever, buried what was good, or lost an order."""

import random
from collections.abc import Sequence

import orjson
import pytest

from stream_router.errors import Answer
from stream_router.model import DeadLetter, Entry, Reason, Record
from stream_router.pipeline.delivery.blame import Policy
from stream_router.pipeline.route import SLICE_EVENTS
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits
from tests.fakes import Done, Rig, World, entry, event, ok, refused, rig

GIVES_UP = Policy(16, 10**9, 4, outage_gives_up=True)


def down(_: Sequence[Entry]) -> Answer:
    return refused("InternalException", 500)


def test_a_quiet_stream_notices_that_the_bus_is_back() -> None:
    """With ON_OUTAGE=dead-letter an outage buries what came in it, and later events go through: a probe is sent."""
    pipeline = rig(judge=down, policy=GIVES_UP)
    pipeline.router.publisher.take([entry(1)])
    pipeline.drain(limit_s=120)
    pipeline.bus.judge = pipeline.bus.accept
    pipeline.world.now += 600
    later = [entry(2), entry(3)]
    pipeline.router.publisher.take(later)
    pipeline.drain(limit_s=10)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.OUTAGE]
    assert pipeline.bus.accepted == later


def test_one_long_conversation_is_given_up_without_recursion() -> None:
    """However many events of one conversation wait in an outage, all are buried and nothing is raised."""
    pipeline = rig(judge=down, policy=GIVES_UP, ordered=True)
    pipeline.router.publisher.take([entry(n, key="c") for n in range(2_000)])
    pipeline.drain(limit_s=120)
    assert len(pipeline.books.dead) == 2_000


def test_words_about_size_prove_nothing_of_a_small_call() -> None:
    """A refusal may quote an entry; the limit is not learned from a call that was taken everywhere before."""
    pipeline = rig()
    poison = entry(1)

    def judge(call: Sequence[Entry]) -> Answer:
        if poison in call:
            return refused("ValidationException", message="Value 'order.size.changed' failed to satisfy constraint")
        return pipeline.bus.accept(call)

    pipeline.bus.judge = judge
    pipeline.router.publisher.take([entry(0)])
    pipeline.drain()
    pipeline.router.publisher.take([poison])
    pipeline.run_in_company(limit_s=60)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.REFUSED]
    pipeline.router.publisher.take([entry(n, size_bytes=90_000) for n in range(100, 110)])
    pipeline.drain()
    assert len(pipeline.bus.calls[-1]) == 10


def test_sick_entries_do_not_keep_others_from_the_probes() -> None:
    """More of them than a call takes, each due again before all had their turn: what waits behind them is tried too."""
    pipeline = rig(policy=Policy(4, 10**9, 4), latency_s=lambda: 1.0)
    sick, poison = [entry(n) for n in range(34)], entry(100)

    def judge(call: Sequence[Entry]) -> Answer:
        if poison in call:
            return refused("ValidationException")
        return pipeline.bus.answer(call, ["InternalFailure" if one in sick else "" for one in call])

    pipeline.bus.judge = judge
    pipeline.router.publisher.take([*sick, poison])
    pipeline.run_for(60)
    assert pipeline.router.holding
    good = [entry(n) for n in range(1_000, 1_400)]
    pipeline.router.publisher.take(good)
    pipeline.run_for(120)
    assert [one for one in good if one not in pipeline.bus.accepted] == []


def test_sick_entries_do_not_take_every_call_of_a_bus_that_is_well() -> None:
    """Calls of nothing but entries that failed before open no breaker; they take no more than their share either."""
    pipeline = rig(policy=Policy(1, 10**9, 4), latency_s=lambda: 1.0)
    sick = [entry(n) for n in range(400)]
    numbers = {id(one) for one in sick}
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if id(one) in numbers else "" for one in call]
    )
    pipeline.router.publisher.take(sick)
    pipeline.run_for(60)
    pipeline.router.publisher.take([entry(n) for n in range(1_000, 3_000)])
    pipeline.run_for(300)
    assert not pipeline.router.holding
    assert len(pipeline.bus.accepted) > 1_000


@pytest.mark.parametrize("count", [1, 6])
def test_a_queue_that_takes_less_than_documented_stores_every_letter(count: int) -> None:
    """Where SQS refuses a whole batch for its size, batches shrink, and a lone letter goes in parts that fit."""
    pipeline = rig()

    def judge(messages: list[dict[str, object]]) -> Answer | None:
        size = sum(len(str(message["MessageBody"])) for message in messages)
        return refused("BatchRequestTooLong") if size > 262_144 else None

    pipeline.queue.judge = judge
    made = [
        DeadLetter(event(n)._replace(raw=orjson.dumps(list(range(n, n + 70_000)))), Reason.UNROUTABLE, "X", "why")
        for n in range(count)
    ]
    pipeline.router.bury(made)
    pipeline.drain(limit_s=60)
    assert len(pipeline.books.dead) == count
    assert all(not one.event.record.unsettled for one in made)


def bucket(world: World, keys: list[str]) -> ClaimCheck:
    """A bucket that stores after a second, and notes the keys that were put."""

    def send(key: str, _: bytes, done: Done) -> None:
        keys.append(key)
        world.after(1.0, lambda: done(ok({})._replace(headers={"etag": '"e"'})))

    return ClaimCheck(send, "bucket", world.clock, world.random.random)


def test_a_claim_check_does_not_let_its_conversation_overtake_it() -> None:
    """With ORDERING=conversation the events after an oversize one wait until it is accepted in its small form."""
    keys: list[str] = []
    pipeline = rig(ordered=True, limits=CallLimits(10, 262_144), claim_check=lambda world: bucket(world, keys))
    detail = orjson.dumps({"eventId": "0" * 32, "payload": {"text": "x" * 300_000}})
    large = entry(0, key="c")._replace(detail=detail, size_bytes=300_100)
    pipeline.router.publisher.take([large, entry(1, key="c"), entry(2, key="d")])
    pipeline.drain(limit_s=60)
    assert len(keys) == 1
    places = [one.event.record.sequence_number for one in pipeline.bus.accepted]
    first, second, other = (entry(n).event.record.sequence_number for n in range(3))
    assert sorted(places) == sorted([first, second, other])
    assert places.index(first) < places.index(second)


def test_a_record_of_very_many_lines_is_routed_in_slices() -> None:
    """Its owner gets a turn between them, so that the backlog stays small."""
    pipeline = rig()
    turns: list[int] = []
    record = Record(b"1\n" * (SLICE_EVENTS * 3 + 1), 1)

    def keep_up() -> None:
        turns.append(pipeline.router.backlog)
        pipeline.drain()

    pipeline.router.transform = lambda found: DeadLetter(found, Reason.SCHEMA_MISMATCH, "X", "why")  # type: ignore[arg-type]
    pipeline.router.route([record], keep_up)
    assert turns == [SLICE_EVENTS] * 3 + [1]
    assert not record.unsettled


def warm(pipeline: Rig) -> None:
    """Something was accepted just now."""
    pipeline.router.publisher.take([entry(n, key=f"warm-{n}") for n in range(100_000, 100_020)])
    pipeline.drain()


def refuse(pipeline: Rig, poison: Sequence[Entry]) -> None:
    """Every call that holds one of `poison` is refused whole for its content."""
    bad = {id(one) for one in poison}

    def judge(call: Sequence[Entry]) -> Answer:
        return refused("ValidationException") if any(id(one) in bad for one in call) else pipeline.bus.accept(call)

    pipeline.bus.judge = judge


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("policy", [Policy(16, 10**9, 4), GIVES_UP, Policy(1, 10**9, 4)])
@pytest.mark.parametrize("count", [1, 11, 60, 160])
def test_poison_does_not_starve_what_waits_behind_it(count: int, policy: Policy, ordered: bool) -> None:
    """However much poison comes first, what is good is delivered, soon, and the poison alone is buried, as refused."""
    pipeline = rig(policy=policy, ordered=ordered)
    warm(pipeline)
    made = [entry(n, key=f"c-{n}") for n in range(1_000)]
    refuse(pipeline, made[:count])
    pipeline.router.publisher.take(made)
    pipeline.drain(limit_s=60)
    assert sorted(letter.event.record.sequence_number for letter in pipeline.books.dead) == list(
        range(1_000, 1_000 + count)
    )
    assert {letter.reason for letter in pipeline.books.dead} == {Reason.REFUSED}
    assert len(pipeline.books.delivered) == 20 + 1_000 - count


@pytest.mark.parametrize("every", [100, 10, 5, 2])
def test_poison_in_every_call_costs_seconds_not_minutes(every: int) -> None:
    """Where hardly a call is without poison the good events get through all the same."""
    pipeline = rig()
    warm(pipeline)
    made = [entry(n) for n in range(1_000)]
    refuse(pipeline, made[::every])
    pipeline.router.publisher.take(made)
    pipeline.drain(limit_s=60)
    assert {letter.reason for letter in pipeline.books.dead} == {Reason.REFUSED}
    assert len(pipeline.books.dead) == 1_000 // every
    assert len(pipeline.books.delivered) == 20 + 1_000 - 1_000 // every


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 10, 1_000])
def test_a_bus_that_refuses_everything_buries_a_callful_at_most(batch: int, ordered: bool) -> None:
    """Whether the stream is busy or quiet, one conversation or many: without a success no more than ten are blamed."""
    pipeline = rig(ordered=ordered)
    warm(pipeline)
    pipeline.bus.judge = lambda _: refused("ValidationException")
    calls, number, start = len(pipeline.bus.calls), 0, pipeline.world.now
    while pipeline.world.now < start + 120:
        if not pipeline.router.backlog:
            pipeline.router.publisher.take([entry(number + n, key="c") for n in range(batch)])
            number += batch
        pipeline.run_once()
    assert len(pipeline.books.dead) <= 10
    assert len(pipeline.bus.calls) - calls <= 2 * 120 + 40


@pytest.mark.parametrize(
    ("count", "outage_s"),
    [
        *((count, outage_s) for count in (1, 5, 10, 50) for outage_s in (45, 3_000)),
        (1_000, 45),
        pytest.param(1_000, 3_000, marks=pytest.mark.long),
    ],
)
def test_an_internal_failure_of_everything_buries_nothing_however_long(count: int, outage_s: float) -> None:
    """Entries that fail while no other is accepted spend no budget."""
    pipeline = rig()
    warm(pipeline)
    until = pipeline.world.now + outage_s

    def judge(call: Sequence[Entry]) -> Answer:
        down = pipeline.world.now < until
        return pipeline.bus.answer(call, ["InternalFailure" if down else ""] * len(call))

    pipeline.bus.judge = judge
    pipeline.router.publisher.take([entry(n) for n in range(count)])
    pipeline.drain(limit_s=outage_s + 60)
    assert not pipeline.books.dead
    assert len(pipeline.books.delivered) == 20 + count


@pytest.mark.parametrize("seed", range(20))
def test_the_onset_of_a_general_refusal_buries_a_callful_at_most(seed: int) -> None:
    """Some calls that were on the wire are accepted after others were refused: that proves nothing against those."""
    dice = random.Random(seed)
    pipeline = rig(seed=seed, latency_s=lambda: dice.uniform(0.01, 0.2))
    warm(pipeline)
    onset = pipeline.world.now + 0.5

    def judge(call: Sequence[Entry]) -> Answer:
        if pipeline.world.now < onset:
            return pipeline.bus.accept(call)
        return refused("ValidationException")

    pipeline.bus.judge = judge
    pipeline.router.publisher.take([entry(n) for n in range(3_000)])
    pipeline.run_for(120)
    assert len(pipeline.books.dead) <= 10
    assert len(pipeline.books.delivered) > 20


@pytest.mark.parametrize("seed", range(5))
def test_a_failure_that_grows_buries_a_callful_at_most(seed: int) -> None:
    """First half of each call's entries fail, then all of them for longer than their budget lasts."""
    dice = random.Random(seed)
    pipeline = rig(seed=seed)
    warm(pipeline)
    start = pipeline.world.now

    def judge(call: Sequence[Entry]) -> Answer:
        since = pipeline.world.now - start
        share = 0.5 if since < 0.2 else 1.0 if since < 300 else 0.0
        return pipeline.bus.answer(call, ["InternalFailure" if dice.random() < share else "" for _ in call])

    pipeline.bus.judge = judge
    pipeline.router.publisher.take([entry(n) for n in range(5_000)])
    pipeline.drain(limit_s=600)
    assert len(pipeline.books.dead) <= 10
    assert len(pipeline.books.delivered) == 20 + 5_000 - len(pipeline.books.dead)


@pytest.mark.parametrize("count", [1, 9])
def test_entries_that_failed_beside_others_wait_until_another_is_there_to_compare_with(count: int) -> None:
    """That others of their first call got through is an old success; one that is sent later decides."""
    pipeline = rig()
    made = [entry(n) for n in range(10)]
    bad = {id(one) for one in made[:count]}
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if id(one) in bad else "" for one in call]
    )
    pipeline.router.publisher.take(made)
    pipeline.run_for(600)
    assert not pipeline.books.dead
    assert not pipeline.router.holding
    for number in range(1_000, 1_900, 5):
        pipeline.router.publisher.take([entry(number + n) for n in range(5)])
        pipeline.run_for(1)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.RETRIES_EXHAUSTED] * count
    assert len(pipeline.books.delivered) == 10 - count + 900


def test_an_unknown_code_on_a_quiet_stream_does_not_stop_it() -> None:
    """It may be about the data, or about the bus: it waits by itself, the breaker stays closed, others go through."""
    pipeline = rig()
    warm(pipeline)
    sick = entry(0)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, ["SomethingNew" if one == sick else "" for one in call])
    pipeline.router.publisher.take([sick])
    pipeline.run_for(600)
    assert not pipeline.router.holding
    assert not pipeline.books.dead
    start = pipeline.world.now
    healthy = entry(1)
    pipeline.router.publisher.take([healthy])
    pipeline.drain(limit_s=60)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.RETRIES_EXHAUSTED]
    assert pipeline.bus.accepted[-1] is healthy
    assert pipeline.world.now - start < 60


def test_a_smaller_call_is_learned_for_packing_and_condemns_nothing() -> None:
    """Where a call is refused for its size, calls are smaller; an entry above that goes alone, and may be taken."""
    pipeline = rig()

    def judge(call: Sequence[Entry]) -> Answer:
        if sum(one.size_bytes for one in call) > 600_000:
            return Answer(413, b"<html>413 Request Entity Too Large</html>", {}, "")
        return pipeline.bus.accept(call)

    pipeline.bus.judge = judge
    for at in (0, 10):
        pipeline.router.publisher.take([entry(at + n, size_bytes=350_000) for n in range(10)])
        pipeline.drain(limit_s=60)
    assert not pipeline.books.dead
    assert len(pipeline.books.delivered) == 20


def test_an_earlier_call_that_succeeds_ends_no_pause_that_was_asked_for() -> None:
    """Retry-After holds though a call that was on the wire already is answered 200 after it."""
    delays = iter([0.5, 0.1])
    pipeline = rig(latency_s=lambda: next(delays, 0.01))
    answers = iter([None, refused("ServiceUnavailable", 503, headers={"retry-after": "20"})])
    pipeline.bus.judge = lambda call: next(answers, None) or pipeline.bus.accept(call)
    start = pipeline.world.now
    pipeline.router.publisher.take([entry(n) for n in range(20)])
    pipeline.drain()
    assert len(pipeline.bus.times) == 3
    assert pipeline.bus.times[2] >= start + 20

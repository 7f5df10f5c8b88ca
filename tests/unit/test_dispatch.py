"""What becomes of entries by what the bus answers: the pipeline's core through its door, in virtual time."""

import random
from collections.abc import Callable, Sequence

import pytest

from stream_router.aws_answers import Answer
from stream_router.dead_letter_reasons import Reason
from stream_router.model import Entry
from stream_router.pipeline.delivery.blame import RetryPolicy
from stream_router.pipeline.delivery.gate import INITIAL_CALLS
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits
from tests.fakes import Rig, entry, ok, refused, rig

GIVES_UP = RetryPolicy(16, 10**9, 4, outage_gives_up=True)


def publish(pipeline: Rig, entries: Sequence[Entry]) -> None:
    pipeline.router.publisher.take(entries)


def sick(pipeline: Rig, *bad: Entry) -> None:
    """From now on the bus fails these entries, each with a code of its own."""
    numbers = set(map(id, bad))
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if id(item) in numbers else "" for item in call]
    )


def refuse(pipeline: Rig, *poison: Entry) -> None:
    """From now on each call that holds one of these entries is refused whole for its content."""
    numbers = set(map(id, poison))

    def judge(call: Sequence[Entry]) -> Answer:
        bad = not numbers.isdisjoint(map(id, call))
        return refused("ValidationException") if bad else pipeline.bus.accept(call)

    pipeline.bus.judge = judge


def reasons(pipeline: Rig) -> list[Reason]:
    return [letter.reason for letter in pipeline.tally.dead]


def test_an_entry_that_is_throttled_among_healthy_ones_waits() -> None:
    """For ten minutes, while others are accepted: it is the destination's trouble, and delivered in the end.

    Half as many calls may be in flight at once.
    """
    pipeline, entries = rig(), [entry(n) for n in range(70)]
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["ThrottlingException" if item is entries[0] else "" for item in call]
    )
    publish(pipeline, entries[:10])
    pipeline.run_for(0.02)
    assert pipeline.router.publisher.dispatcher.gate.ceiling == INITIAL_CALLS / 2
    for candidate in entries[10:]:
        publish(pipeline, [candidate])
        pipeline.run_for(10)
    pipeline.bus.judge = pipeline.bus.accept
    pipeline.drain(limit_s=10)
    assert not pipeline.tally.dead
    assert len(pipeline.tally.delivered) == 70


@pytest.mark.parametrize("whole", [True, False], ids=["of the call", "of the entries"])
def test_what_aws_says_of_content_comes_into_no_log(whole: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Its words on an entry may quote it: the line on the hold names the code alone."""
    quoting = refused("ValidationException", message="value 'Anna' at 'entries.1.member.detail'")
    failed = {"ErrorCode": "InternalFailure", "ErrorMessage": "cannot handle 'Anna'"}
    pipeline = rig(
        judge=lambda call: quoting if whole else ok({"FailedEntryCount": len(call), "Entries": [failed] * len(call)})
    )
    publish(pipeline, [entry(n) for n in range(30)])
    pipeline.run_for(20)
    assert "accepts nothing" in caplog.text
    assert "Anna" not in caplog.text


def test_an_outage_gives_up_where_a_setting_says_so() -> None:
    """After 30 s all that waits is buried, those that wait in a conversation too; a probe tells when the bus is back.

    However many events of one conversation wait, nothing is raised.
    """
    pipeline = rig(policy=GIVES_UP, ordered=True, judge=lambda _: refused("InternalException", 500))
    publish(pipeline, [entry(n, key="c" if n < 2_000 else "") for n in range(2_050)])
    pipeline.run_for(29)
    assert not pipeline.tally.dead
    pipeline.drain(limit_s=60)
    assert reasons(pipeline) == [Reason.OUTAGE] * 2_050
    pipeline.bus.judge = pipeline.bus.accept
    pipeline.world.now += 600
    later = [entry(2_100), entry(2_101, key="c")]
    publish(pipeline, later)
    pipeline.drain(limit_s=10)
    assert pipeline.bus.accepted == later


@pytest.mark.parametrize(
    "too_large", [refused("ValidationException", message="Total size of the entries"), Answer(413, b"<html>", {}, "")]
)
def test_a_call_refused_for_its_size_is_halved_and_the_limit_learned(too_large: Answer) -> None:
    """A region with a smaller limit than documented costs one refusal a call; what is too large alone is `oversize`.

    A refusal may quote an entry: of a call that was taken everywhere before its words about size prove nothing.
    """
    pipeline, poison = rig(limits=CallLimits(10, 1_000_000)), entry(1)

    def judge(call: Sequence[Entry]) -> Answer:
        if sum(item.size_bytes for item in call) > 262_144:
            return too_large
        quoting = refused("ValidationException", message="'order.size.changed' failed to satisfy constraint")
        return quoting if poison in call else pipeline.bus.accept(call)

    pipeline.bus.judge = judge
    publish(pipeline, [entry(0, size_bytes=300_000), poison, *(entry(n, size_bytes=60_000) for n in range(2, 100))])
    pipeline.drain(limit_s=60)
    assert len(pipeline.bus.accepted) == 98
    assert sorted(reasons(pipeline)) == [Reason.OVERSIZE, Reason.REFUSED]
    before = len(pipeline.bus.calls)
    publish(pipeline, [entry(n, size_bytes=60_000) for n in range(100, 120)])
    pipeline.drain()
    assert [len(call) for call in pipeline.bus.calls[before:]] == [4] * 5


# Who is to blame (docs/delivery.md).


@pytest.mark.parametrize(
    ("count", "policy", "ordered"), [(160, GIVES_UP, True), (160, RetryPolicy(1, 10**9, 4), False)]
)
def test_poison_does_not_starve_what_waits_behind_it(count: int, policy: RetryPolicy, ordered: bool) -> None:
    """However much poison comes first, what is good is delivered, soon, and the poison alone is buried, as refused."""
    pipeline = rig(policy=policy, ordered=ordered)
    entries = [entry(n, key=f"c-{n}") for n in range(1_000)]
    refuse(pipeline, *entries[20 : 20 + count])
    publish(pipeline, entries[:20])
    pipeline.drain()
    publish(pipeline, entries[20:])
    pipeline.drain(limit_s=60)
    assert {letter.entry for letter in pipeline.tally.dead} == set(entries[20 : 20 + count])
    assert reasons(pipeline) == [Reason.REFUSED] * count
    assert len(pipeline.tally.delivered) == 1_000 - count


@pytest.mark.parametrize("seed", range(4))
def test_the_onset_of_a_general_refusal_buries_a_callful_at_most(seed: int) -> None:
    """Some calls that were on the wire are accepted after others were refused: that proves nothing against those."""
    dice = random.Random(seed)
    pipeline = rig(seed=seed, latency_s=lambda: dice.uniform(0.01, 0.2))
    onset = pipeline.world.now + 0.5

    def judge(call: Sequence[Entry]) -> Answer:
        return pipeline.bus.accept(call) if pipeline.world.now < onset else refused("ValidationException")

    pipeline.bus.judge = judge
    publish(pipeline, [entry(n) for n in range(3_000)])
    pipeline.run_for(120)
    assert len(pipeline.tally.dead) <= 10
    assert pipeline.tally.delivered


@pytest.mark.parametrize(
    ("falls_ill", "reason"), [(refuse, Reason.REFUSED), (sick, Reason.RETRIES_EXHAUSTED)], ids=["poison", "sick"]
)
def test_what_has_nobody_to_compare_with_waits_for_one(
    falls_ill: Callable[[Rig, Entry], None], reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    """However long, until one that was sent since is accepted. A sick one's waiting is said, once a minute at most.

    Of poison, refused with its call, the bus holds; a sick one opens no breaker.
    """
    pipeline, bad = rig(), entry(0)
    falls_ill(pipeline, bad)
    publish(pipeline, [bad])
    pipeline.run_for(600)
    assert not pipeline.tally.dead
    assert pipeline.router.holding == (falls_ill is refuse)
    assert pipeline.router.has_only_failing_items
    assert 8 <= len(caplog.records) <= 10
    start, healthy = pipeline.world.now, entry(1)
    publish(pipeline, [healthy])
    pipeline.drain(limit_s=60)
    assert reasons(pipeline) == [reason]
    assert pipeline.bus.accepted == [healthy]
    assert pipeline.world.now - start < 60


@pytest.mark.parametrize(("falls_ill", "count"), [(sick, 1), (refuse, 1), (sick, 11)])
def test_at_a_shards_end_a_few_are_tried_for_fifteen_minutes(falls_ill: Callable[..., None], count: int) -> None:
    """Nobody will ever come to compare with: then they are given up. Many look like a bus that takes nothing."""
    pipeline, bad = rig(), [entry(n) for n in range(count)]
    falls_ill(pipeline, *bad)
    publish(pipeline, bad)
    pipeline.run_for(60)
    pipeline.router.mark_input_ended(0.0)
    pipeline.run_for(890)
    assert not pipeline.tally.dead
    pipeline.run_for(40)
    assert len(pipeline.tally.dead) == (count if count == 1 else 0)


@pytest.mark.parametrize("falls_ill", [sick, refuse])
def test_the_fifteen_minutes_at_a_shards_end_do_not_begin_anew(falls_ill: Callable[..., None]) -> None:
    """The processes before count: one that comes late owes what is in trouble half a minute."""
    pipeline, bad = rig(), entry(0)
    falls_ill(pipeline, bad)
    publish(pipeline, [bad])
    pipeline.router.mark_input_ended(3_600.0)
    pipeline.run_for(29)
    assert not pipeline.tally.dead
    pipeline.run_for(60)
    assert len(pipeline.tally.dead) == 1


def test_that_others_of_its_first_call_got_through_proves_nothing() -> None:
    """It is an old success: only one that is sent after the entry's first failure decides."""
    pipeline, entries = rig(), [entry(n) for n in range(200)]
    sick(pipeline, entries[-1])
    publish(pipeline, entries)
    pipeline.run_for(600)
    assert not pipeline.tally.dead


def test_an_entry_is_judged_by_all_answers_of_its_call() -> None:
    """Its retries are over, one that was sent with it is accepted and two behind it fail: everybody's trouble."""
    pipeline, entries = rig(), [entry(n) for n in range(4)]
    sick(pipeline, entries[0], *entries[2:])
    publish(pipeline, entries[:1])
    pipeline.run_for(60)
    pipeline.world.pump(pipeline.router.wait_s(60.0))
    publish(pipeline, entries[1:])
    pipeline.run_for(1)
    assert any(call[0] is entries[0] and len(call) == 4 for call in pipeline.bus.calls)
    assert not pipeline.tally.dead


def test_a_conversations_budget_goes_on() -> None:
    """With ordering, the next sick one of a conversation whose first was given up needs no half minute."""
    pipeline, bad = rig(ordered=True), [entry(n, "bad") for n in range(8)]
    sick(pipeline, *bad)
    publish(pipeline, bad)
    pipeline.drain(limit_s=180, company=True)
    assert len(pipeline.tally.dead) == 8

"""What becomes of entries by what the bus answers: the contract's table, in virtual time."""

from collections.abc import Sequence

import pytest

from stream_router.errors import CODES, Answer, Disposition
from stream_router.model import Entry, Reason
from stream_router.pipeline.delivery.blame import Policy
from stream_router.pipeline.delivery.gate import BURST_S
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits
from tests.fakes import NO_ANSWER, Rig, entry, ok, refused, rig

SYSTEMIC = sorted(code for code, means in CODES.items() if means.disposition is Disposition.HOLD)
DATA = sorted(code for code, means in CODES.items() if means.disposition is Disposition.DEAD_LETTER)


def publish(pipeline: Rig, entries: Sequence[Entry]) -> None:
    pipeline.router.publisher.take(entries)


def test_everything_accepted_is_delivered_once_in_full_calls() -> None:
    """A bus that accepts everything gets full calls, in order, each entry once."""
    pipeline = rig()
    publish(pipeline, [entry(n) for n in range(95)])
    pipeline.drain()
    assert [len(call) for call in pipeline.bus.calls] == [10] * 9 + [5]
    assert [one.event.event_id for one in pipeline.bus.accepted] == [entry(n).event.event_id for n in range(95)]
    assert all(one.event.record.unsettled == 0 for one in pipeline.bus.accepted)


def test_calls_in_flight_are_bounded() -> None:
    """Never more calls are on the wire than the policy allows."""
    pipeline = rig(policy=Policy(3, 10**9, 4))
    publish(pipeline, [entry(n) for n in range(200)])
    pipeline.drain()
    assert pipeline.bus.most_in_flight == 3


def test_bytes_in_flight_are_bounded() -> None:
    """Another call starts only while the bytes on the wire are under the bound."""
    pipeline = rig(limits=CallLimits(1, 1_000_000), policy=Policy(16, 1000, 4))
    publish(pipeline, [entry(n, size_bytes=600) for n in range(20)])
    pipeline.drain()
    assert pipeline.bus.most_in_flight == 2


@pytest.mark.parametrize("code", DATA)
def test_an_entry_whose_data_is_wrong_is_buried_at_once(code: str) -> None:
    """A data error on one entry buries it after one attempt; its neighbours are delivered once."""
    pipeline = rig()
    bad = entry(3)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, [code if one == bad else "" for one in call])
    publish(pipeline, [entry(n) if n != 3 else bad for n in range(10)])
    pipeline.drain()
    assert len(pipeline.bus.calls) == 1
    assert len(pipeline.bus.accepted) == 9
    (letter,) = pipeline.books.dead
    assert (letter.reason, letter.code, letter.attempts) == (Reason.REFUSED, code, 1)
    assert bad.event.record.unsettled == 0


@pytest.mark.parametrize("code", ["InternalFailure", "SomethingNew"])
def test_an_entry_in_trouble_is_retried_alone_then_buried(code: str) -> None:
    """Entry trouble has four retries, over at least 30 s while others are accepted, and then is a dead letter."""
    pipeline = rig()
    bad = entry(3)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, [code if one == bad else "" for one in call])
    start = pipeline.world.now
    publish(pipeline, [entry(n) if n != 3 else bad for n in range(10)])
    pipeline.run_in_company()
    assert sum(bad in call for call in pipeline.bus.calls) == 5
    assert pipeline.world.now - start >= 30
    (letter,) = pipeline.books.dead
    assert (letter.reason, letter.attempts) == (Reason.RETRIES_EXHAUSTED, 5)
    assert pipeline.books.retries == 4


def test_who_waits_is_told_when_time_alone_lets_something_happen() -> None:
    """The gate's next opening, or an entry's next try; where nothing is timed, as long as the asker likes."""
    pipeline = rig(policy=Policy(16, 10**9, 4, max_rate=10.0))
    dispatcher = pipeline.router.publisher.dispatcher
    assert dispatcher.wait_s(5.0) == 5.0
    publish(pipeline, [entry(n) for n in range(30)])
    assert dispatcher.wait_s(5.0) == pytest.approx(10 / 10.0 - BURST_S)
    assert dispatcher.wait_s(0.1) == 0.1
    pipeline = rig()
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, ["InternalFailure", *[""] * (len(call) - 1)])
    publish(pipeline, [entry(n) for n in range(10)])
    pipeline.world.pump(0.02)
    dispatcher = pipeline.router.publisher.dispatcher
    assert 0.0 < dispatcher.wait_s(5.0) <= 0.25
    pipeline.world.now += 1.0
    assert dispatcher.wait_s(5.0) == 0.0


def test_calls_in_which_every_entry_fails_open_the_breaker() -> None:
    """Each entry's own code says trouble, and yet nothing is accepted: that is the destination's."""
    pipeline = rig()
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, ["InternalFailure"] * len(call))
    publish(pipeline, [entry(n) for n in range(30)])
    pipeline.run_for(0.05)
    assert len(pipeline.bus.calls) == 3
    assert pipeline.router.publisher.dispatcher.gate.holding


def test_the_retries_of_entries_in_trouble_open_no_breaker() -> None:
    """A call of theirs alone says nothing of the destination: the next good entry leaves at once."""
    pipeline = rig()
    sick = [entry(n) for n in range(3)]
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if one in sick else "" for one in call]
    )
    publish(pipeline, [*sick, *(entry(n) for n in range(10, 17))])
    pipeline.run_for(20.0)
    assert sum(set(map(id, call)) <= set(map(id, sick)) for call in pipeline.bus.calls) >= 3
    gate = pipeline.router.publisher.dispatcher.gate
    assert (gate.failures, gate.holding) == (0, False)


@pytest.mark.parametrize("code", SYSTEMIC)
def test_systemic_codes_of_entries_never_reach_the_dead_letters(code: str) -> None:
    """A systemic code, even on single entries and for ten minutes, is retried until it passes."""
    pipeline = rig()
    until = pipeline.world.now + 600
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, [code if pipeline.world.now < until and n % 2 else "" for n in range(len(call))]
    )
    publish(pipeline, [entry(n) for n in range(20)])
    pipeline.drain()
    assert not pipeline.books.dead
    assert len(pipeline.bus.accepted) == 20


OUTAGES = {
    "throttling": refused("ThrottlingException"),
    "500": refused("InternalException", 500),
    "503 without a body": Answer(503, b"", {}, ""),
    "a proxy's page": Answer(502, b"<html>", {}, ""),
    "a page with a 200": Answer(200, b"<html>", {}, ""),
    "too few results": Answer(200, b'{"Entries":[]}', {}, ""),
    "expired token": refused("ExpiredTokenException"),
    "access denied": refused("AccessDeniedException"),
    "clock skew": refused("InvalidSignatureException", 403),
    "no bus": refused("ResourceNotFoundException"),
    "no answer": NO_ANSWER,
    "validation of everything": refused("ValidationException"),
}


@pytest.mark.parametrize("fault", OUTAGES)
def test_an_outage_holds_and_probes_and_loses_nothing(fault: str) -> None:
    """While everything is refused nothing is buried, at most two calls a second go out; then all is delivered."""
    pipeline = rig()
    heal_at = pipeline.world.now + 300
    publish(pipeline, [entry(n) for n in range(5)])
    pipeline.drain()
    pipeline.bus.judge = lambda call: OUTAGES[fault] if pipeline.world.now < heal_at else pipeline.bus.accept(call)
    publish(pipeline, [entry(n) for n in range(100, 400)])
    pipeline.run_for(299)
    assert len(pipeline.bus.calls) <= 16 + 2 * 300
    assert pipeline.router.holding
    assert not pipeline.books.dead
    pipeline.drain(limit_s=20)
    assert len(pipeline.bus.accepted) == 305
    assert not pipeline.books.dead


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
    """With ON_OUTAGE=dead-letter everything that waits is buried as `outage` after the budget, and probing goes on."""
    pipeline = rig(policy=Policy(16, 10**9, 4, outage_gives_up=True))
    pipeline.bus.judge = lambda _: refused("ThrottlingException")
    publish(pipeline, [entry(n) for n in range(50)])
    pipeline.run_for(29)
    assert not pipeline.books.dead
    pipeline.drain(limit_s=60)
    assert {letter.reason for letter in pipeline.books.dead} == {Reason.OUTAGE}
    assert len(pipeline.books.dead) == 50
    pipeline.bus.judge = pipeline.bus.accept
    publish(pipeline, [entry(n) for n in range(100, 110)])
    pipeline.drain(limit_s=60)
    assert len(pipeline.bus.accepted) + len(pipeline.books.dead) == 60


def test_retry_after_is_obeyed() -> None:
    """A Retry-After is waited for, to the second, before the next call."""
    pipeline = rig()
    answers = iter([refused("ThrottlingException", headers={"retry-after": "7"})])
    pipeline.bus.judge = lambda call: next(answers, None) or pipeline.bus.accept(call)
    publish(pipeline, [entry(1)])
    pipeline.drain()
    first, second = pipeline.bus.times
    assert second - first >= 7


def test_one_bad_call_among_good_ones_does_not_hold_the_others() -> None:
    """A single 500 costs its own entries a short wait and nobody else one."""
    pipeline = rig()
    poor = iter([refused("InternalException", 500)])
    pipeline.bus.judge = lambda call: next(poor, None) or pipeline.bus.accept(call)
    start = pipeline.world.now
    publish(pipeline, [entry(n) for n in range(100)])
    pipeline.drain()
    assert len(pipeline.bus.accepted) == 100
    assert pipeline.world.now - start < 1


def poison_judge(pipeline: Rig, poison: Sequence[Entry], message: str = "") -> None:
    def judge(call: Sequence[Entry]) -> Answer:
        if any(one in poison for one in call):
            return refused("ValidationException", message=message)
        return pipeline.bus.accept(call)

    pipeline.bus.judge = judge


@pytest.mark.parametrize("bad", [[0], [9], [3, 4], [0, 5, 9]])
def test_a_call_refused_for_its_content_is_bisected(bad: list[int]) -> None:
    """The poison entries of a refused call are found and buried as `refused`; the good ones are delivered."""
    pipeline = rig()
    entries = [entry(n) for n in range(10)]
    poison_judge(pipeline, [entries[n] for n in bad])
    publish(pipeline, entries)
    pipeline.drain(limit_s=60)
    assert {letter.entry for letter in pipeline.books.dead} == {entries[n] for n in bad}
    assert {letter.reason for letter in pipeline.books.dead} == {Reason.REFUSED}
    assert len(pipeline.bus.accepted) == 10 - len(bad)


def test_a_lone_refusal_without_any_success_holds() -> None:
    """Where nothing was accepted within the last minute a refusal says nothing about the entry: it is held."""
    pipeline = rig()
    pipeline.bus.judge = lambda _: refused("ValidationException")
    publish(pipeline, [entry(1)])
    pipeline.run_for(600)
    assert not pipeline.books.dead
    assert pipeline.router.backlog == 1


def test_a_call_refused_for_its_size_is_halved_and_the_limit_learned() -> None:
    """A region with a smaller limit than documented costs one refusal; later calls keep below it."""
    pipeline = rig(limits=CallLimits(10, 1_000_000))

    def judge(call: Sequence[Entry]) -> Answer:
        if sum(one.size_bytes for one in call) > 262_144:
            return refused("ValidationException", message="Total size of the entries in the request is over the limit.")
        return pipeline.bus.accept(call)

    pipeline.bus.judge = judge
    publish(pipeline, [entry(n, size_bytes=60_000) for n in range(100)])
    pipeline.drain(limit_s=60)
    assert len(pipeline.bus.accepted) == 100
    assert max(sum(one.size_bytes for one in call) for call in pipeline.bus.calls[-5:]) <= 262_144
    assert not pipeline.books.dead


def test_an_entry_refused_alone_for_its_size_is_oversize() -> None:
    """What is too large all by itself is buried as `oversize`, and the rest goes on."""
    pipeline = rig()

    def judge(call: Sequence[Entry]) -> Answer:
        if sum(one.size_bytes for one in call) > 262_144:
            return refused("ValidationException", message="Total size of the entries in the request is over the limit.")
        return pipeline.bus.accept(call)

    pipeline.bus.judge = judge
    publish(pipeline, [entry(0, size_bytes=300_000), *(entry(n) for n in range(1, 30))])
    pipeline.drain(limit_s=60)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.OVERSIZE]
    assert len(pipeline.bus.accepted) == 29


def test_an_indeterminate_call_is_sent_again_never_settled() -> None:
    """An answer that does not come settles nothing: the same entries go out again."""
    pipeline = rig()
    silence = iter([NO_ANSWER])
    pipeline.bus.judge = lambda call: next(silence, None) or pipeline.bus.accept(call)
    one = entry(1)
    publish(pipeline, [one])
    pipeline.router.advance(flush=True)
    pipeline.world.pump(0.05)
    assert one.event.record.unsettled == 1
    pipeline.drain()
    assert pipeline.bus.calls == [[one], [one]]


def test_no_retries_allowed_buries_as_soon_as_another_is_accepted() -> None:
    """With a budget of no retry an entry in trouble is buried at the first try that others prove well.

    Not at the first failure: nothing was sent after it yet, so nobody knows whether the bus is well.
    """
    pipeline = rig(policy=Policy(16, 10**9, 0))
    bad = entry(1)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if one == bad else "" for one in call]
    )
    publish(pipeline, [entry(0), bad])
    pipeline.run_in_company(limit_s=40)
    (letter,) = pipeline.books.dead
    assert 2 <= letter.attempts <= 5


def test_after_a_hand_off_what_comes_back_starts_nothing() -> None:
    """A call that was in flight then fails an entry: its dead letter is another worker's to write."""
    pipeline = rig()
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, [DATA[0] for _ in call])
    publish(pipeline, [entry(n) for n in range(10)])
    pipeline.router.advance(flush=True)
    assert len(pipeline.bus.calls) == 1
    pipeline.router.stop()
    pipeline.run_for(60)
    assert len(pipeline.bus.calls) == 1
    assert not pipeline.queue.messages

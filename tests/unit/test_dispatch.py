"""What becomes of entries by what the bus answers: the tables of contract and docs/delivery.md, in virtual time."""

import itertools
import random
from collections.abc import Callable, Sequence

import orjson
import pytest

from stream_router.errors import CODES, Answer, Disposition
from stream_router.model import DeadLetter, Entry, Reason, Record
from stream_router.pipeline.delivery.blame import Policy
from stream_router.pipeline.route import SLICE_EVENTS
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits
from tests.fakes import NO_ANSWER, Done, Rig, World, entry, event, ok, refused, rig

SYSTEMIC = sorted(code for code, means in CODES.items() if means.disposition is Disposition.HOLD)
DATA = sorted(code for code, means in CODES.items() if means.disposition is Disposition.DEAD_LETTER)


GIVES_UP = Policy(16, 10**9, 4, outage_gives_up=True)


def publish(pipeline: Rig, entries: Sequence[Entry]) -> None:
    pipeline.router.publisher.take(entries)


def sick(pipeline: Rig, *bad: Entry, code: str = "InternalFailure") -> None:
    """From now on the bus fails these entries, each with this code of its own."""
    numbers = set(map(id, bad))
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, [code if id(one) in numbers else "" for one in call])


def refuse(pipeline: Rig, *poison: Entry) -> None:
    """From now on each call that holds one of these entries is refused whole for its content."""
    numbers = set(map(id, poison))

    def judge(call: Sequence[Entry]) -> Answer:
        bad = not numbers.isdisjoint(map(id, call))
        return refused("ValidationException") if bad else pipeline.bus.accept(call)

    pipeline.bus.judge = judge


def reasons(pipeline: Rig) -> list[Reason]:
    return [letter.reason for letter in pipeline.tally.dead]


def test_everything_accepted_is_delivered_once_in_full_calls() -> None:
    """A bus that accepts everything gets full calls, in order, each entry once."""
    pipeline = rig()
    publish(pipeline, [entry(n) for n in range(95)])
    pipeline.drain()
    assert [len(call) for call in pipeline.bus.calls] == [10] * 9 + [5]
    assert [one.event.event_id for one in pipeline.bus.accepted] == [entry(n).event.event_id for n in range(95)]
    assert all(one.event.record.unsettled == 0 for one in pipeline.bus.accepted)


@pytest.mark.parametrize(
    ("limits", "policy", "most"),
    [(CallLimits(10, 10**6), Policy(3, 10**9, 4), 3), (CallLimits(1, 10**6), Policy(16, 1_000, 4), 2)],
)
def test_calls_and_bytes_in_flight_are_bounded(limits: CallLimits, policy: Policy, most: int) -> None:
    """Never more calls are on the wire than the policy allows; another starts while the bytes are under the bound."""
    pipeline = rig(limits=limits, policy=policy)
    publish(pipeline, [entry(n, size_bytes=600) for n in range(200)])
    pipeline.drain()
    assert pipeline.bus.most_in_flight == most


@pytest.mark.parametrize("code", DATA)
def test_an_entry_whose_data_is_wrong_is_buried_at_once(code: str) -> None:
    """A data error on one entry buries it after one attempt; its neighbours are delivered once."""
    pipeline, bad = rig(), entry(3)
    sick(pipeline, bad, code=code)
    publish(pipeline, [entry(n) if n != 3 else bad for n in range(10)])
    pipeline.drain()
    assert (len(pipeline.bus.calls), len(pipeline.bus.accepted)) == (1, 9)
    (letter,) = pipeline.tally.dead
    assert (letter.reason, letter.code, letter.attempts) == (Reason.REFUSED, code, 1)
    assert bad.event.record.unsettled == 0


@pytest.mark.parametrize("code", ["InternalFailure", "SomethingNew"])
def test_an_entry_in_trouble_is_retried_alone_then_buried(code: str) -> None:
    """Entry trouble has four retries, over at least 30 s while others are accepted, and then is a dead letter."""
    pipeline, bad = rig(), entry(3)
    sick(pipeline, bad, code=code)
    start = pipeline.world.now
    publish(pipeline, [entry(n) if n != 3 else bad for n in range(10)])
    pipeline.run_for(0.1)
    assert len(pipeline.tally.delivered) == 9
    pipeline.run_in_company()
    assert sum(bad in call for call in pipeline.bus.calls) == 5
    assert pipeline.world.now - start >= 30
    (letter,) = pipeline.tally.dead
    assert (letter.reason, letter.attempts) == (Reason.RETRIES_EXHAUSTED, 5)
    assert pipeline.tally.retries == 4


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
    assert not pipeline.tally.dead
    assert len(pipeline.bus.accepted) == 20


def test_an_entry_that_is_throttled_among_healthy_ones_waits() -> None:
    """For ten minutes, while others are accepted: it is the destination's trouble, and delivered in the end."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad, code="ThrottlingException")
    publish(pipeline, [bad])
    for number in range(1, 61):
        publish(pipeline, [entry(number)])
        pipeline.run_for(10)
    assert not pipeline.tally.dead
    pipeline.bus.judge = pipeline.bus.accept
    pipeline.drain(limit_s=10)
    assert len(pipeline.tally.delivered) == 61


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
    assert not pipeline.tally.dead
    pipeline.drain(limit_s=20)
    assert len(pipeline.bus.accepted) == 305
    assert not pipeline.tally.dead


def test_a_hold_is_said_with_its_cause_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """Each cause at once and then once a minute, though several take turns; a moment's hold not at all."""
    caplog.set_level("INFO")
    pipeline = rig(judge=lambda _: refused("AccessDeniedException", message="not authorized"))
    publish(pipeline, [entry(n) for n in range(50)])
    pipeline.run_for(0.9)
    assert not caplog.records
    pipeline.run_for(300)
    assert len(caplog.records) == 5
    assert caplog.records[0].getMessage() == (
        "EventBridge accepts nothing, so its events wait, and nothing is lost: AccessDeniedException (not authorized);"
        " grant it (stream-router setup --policy)"
    )
    caplog.clear()
    turns = itertools.cycle([refused("InternalException", 500), NO_ANSWER])
    pipeline.bus.judge = lambda _: next(turns)
    pipeline.run_for(179)
    assert 4 <= len(caplog.records) <= 7, "three minutes of two causes"
    pipeline.bus.judge = pipeline.bus.accept
    pipeline.drain(limit_s=10)
    assert caplog.records[-1].getMessage() == "EventBridge is back"


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
    assert not pipeline.tally.dead
    pipeline.drain(limit_s=60)
    assert {letter.reason for letter in pipeline.tally.dead} == {Reason.OUTAGE}
    assert len(pipeline.tally.dead) == 50
    pipeline.bus.judge = pipeline.bus.accept
    publish(pipeline, [entry(n) for n in range(100, 110)])
    pipeline.drain(limit_s=60)
    assert len(pipeline.bus.accepted) + len(pipeline.tally.dead) == 60


def test_a_quiet_stream_notices_that_the_bus_is_back() -> None:
    """With ON_OUTAGE=dead-letter an outage buries what came in it, and later events go through: a probe is sent."""
    pipeline = rig(judge=lambda _: refused("InternalException", 500), policy=GIVES_UP)
    publish(pipeline, [entry(1)])
    pipeline.drain(limit_s=120)
    pipeline.bus.judge = pipeline.bus.accept
    pipeline.world.now += 600
    later = [entry(2), entry(3)]
    publish(pipeline, later)
    pipeline.drain(limit_s=10)
    assert [letter.reason for letter in pipeline.tally.dead] == [Reason.OUTAGE]
    assert pipeline.bus.accepted == later


def test_one_long_conversation_is_given_up_without_recursion() -> None:
    """However many events of one conversation wait in an outage, all are buried and nothing is raised."""
    pipeline = rig(judge=lambda _: refused("InternalException", 500), policy=GIVES_UP, ordered=True)
    publish(pipeline, [entry(n, key="c") for n in range(2_000)])
    pipeline.drain(limit_s=120)
    assert len(pipeline.tally.dead) == 2_000


@pytest.mark.parametrize("bad", [[0], [9], [3, 4], [0, 5, 9]])
def test_a_call_refused_for_its_content_is_bisected(bad: list[int]) -> None:
    """The poison entries of a refused call are found and buried as `refused`; the good ones are delivered."""
    pipeline = rig()
    entries = [entry(n) for n in range(10)]
    refuse(pipeline, *(entries[n] for n in bad))
    publish(pipeline, entries)
    pipeline.drain(limit_s=60)
    assert {letter.entry for letter in pipeline.tally.dead} == {entries[n] for n in bad}
    assert {letter.reason for letter in pipeline.tally.dead} == {Reason.REFUSED}
    assert len(pipeline.bus.accepted) == 10 - len(bad)


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
    assert not pipeline.tally.dead


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
    assert [letter.reason for letter in pipeline.tally.dead] == [Reason.OVERSIZE]
    assert len(pipeline.bus.accepted) == 29


def test_words_about_size_prove_nothing_of_a_small_call() -> None:
    """A refusal may quote an entry; the limit is not learned from a call that was taken everywhere before."""
    pipeline = rig()
    poison = entry(1)

    def judge(call: Sequence[Entry]) -> Answer:
        if poison in call:
            return refused("ValidationException", message="Value 'order.size.changed' failed to satisfy constraint")
        return pipeline.bus.accept(call)

    pipeline.bus.judge = judge
    publish(pipeline, [entry(0)])
    pipeline.drain()
    publish(pipeline, [poison])
    pipeline.run_in_company(limit_s=60)
    assert [letter.reason for letter in pipeline.tally.dead] == [Reason.REFUSED]
    publish(pipeline, [entry(n, size_bytes=90_000) for n in range(100, 110)])
    pipeline.drain()
    assert len(pipeline.bus.calls[-1]) == 10


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


def test_sick_entries_do_not_keep_others_from_the_probes() -> None:
    """More of them than a call takes, each due again before all had their turn: what waits behind them is tried too."""
    pipeline = rig(policy=Policy(4, 10**9, 4), latency_s=lambda: 1.0)
    ill, poison = [entry(n) for n in range(34)], entry(100)

    def judge(call: Sequence[Entry]) -> Answer:
        if poison in call:
            return refused("ValidationException")
        return pipeline.bus.answer(call, ["InternalFailure" if one in ill else "" for one in call])

    pipeline.bus.judge = judge
    publish(pipeline, [*ill, poison])
    pipeline.run_for(60)
    assert pipeline.router.holding
    good = [entry(n) for n in range(1_000, 1_400)]
    publish(pipeline, good)
    pipeline.run_for(120)
    assert [one for one in good if one not in pipeline.bus.accepted] == []


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
    assert len(pipeline.tally.dead) == count
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
    publish(pipeline, [large, entry(1, key="c"), entry(2, key="d")])
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
    publish(pipeline, [entry(n, key=f"warm-{n}") for n in range(100_000, 100_020)])
    pipeline.drain()


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("policy", [Policy(16, 10**9, 4), GIVES_UP, Policy(1, 10**9, 4)])
@pytest.mark.parametrize("count", [1, 160])
def test_poison_does_not_starve_what_waits_behind_it(count: int, policy: Policy, ordered: bool) -> None:
    """However much poison comes first, what is good is delivered, soon, and the poison alone is buried, as refused."""
    pipeline = rig(policy=policy, ordered=ordered)
    warm(pipeline)
    made = [entry(n, key=f"c-{n}") for n in range(1_000)]
    refuse(pipeline, *made[:count])
    publish(pipeline, made)
    pipeline.drain(limit_s=60)
    assert {letter.entry for letter in pipeline.tally.dead} == set(made[:count])
    assert set(reasons(pipeline)) == {Reason.REFUSED}
    assert len(pipeline.tally.delivered) == 20 + 1_000 - count


@pytest.mark.parametrize("seed", range(8))
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
    publish(pipeline, [entry(n) for n in range(3_000)])
    pipeline.run_for(120)
    assert len(pipeline.tally.dead) <= 10
    assert len(pipeline.tally.delivered) > 20


def test_an_entry_is_judged_by_all_answers_of_its_call() -> None:
    """Its retries are over, one that was sent with it is accepted and two behind it fail: everybody's trouble."""
    pipeline, bad, good = rig(), entry(0), entry(1)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["" if it is good else "InternalFailure" for it in call]
    )
    publish(pipeline, [bad])
    pipeline.run_for(60)
    pipeline.world.pump(pipeline.router.wait_s(60.0))
    publish(pipeline, [good, entry(2), entry(3)])
    pipeline.run_for(1)
    assert any(call[0] is bad and len(call) == 4 for call in pipeline.bus.calls)
    assert not pipeline.tally.dead


def test_poison_is_proven_by_another_that_was_sent_later() -> None:
    """Refused with its call, alone: it waits as a probe, however long, until one that was sent since is accepted."""
    pipeline, bad = rig(), entry(0)
    refuse(pipeline, bad)
    publish(pipeline, [bad])
    pipeline.run_for(600)
    assert pipeline.router.holding
    assert not pipeline.tally.dead
    assert all(len(call) == 1 for call in pipeline.bus.calls[1:])
    pipeline.run_in_company(limit_s=20)
    assert reasons(pipeline) == [Reason.REFUSED]


def test_own_trouble_with_nobody_to_compare_with(caplog: pytest.LogCaptureFixture) -> None:
    """It waits, however long, and the breaker stays closed; that is said once a minute, after its retries."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad)
    publish(pipeline, [bad])
    pipeline.run_for(25)
    assert not caplog.records
    pipeline.run_for(575)
    assert not pipeline.tally.dead
    assert not pipeline.router.holding
    assert pipeline.router.only_sick
    assert "it waits for the next one" in caplog.text
    assert len(caplog.records) <= 10
    start, healthy = pipeline.world.now, entry(1)
    publish(pipeline, [healthy])
    pipeline.drain(limit_s=60)
    assert reasons(pipeline) == [Reason.RETRIES_EXHAUSTED]
    assert pipeline.bus.accepted[-1] is healthy
    assert pipeline.world.now - start < 60


@pytest.mark.parametrize("falls_ill", [sick, refuse])
def test_sick_entries_at_a_shards_end_are_tried_for_fifteen_minutes(falls_ill: Callable[[Rig, Entry], None]) -> None:
    """Nobody will ever come to compare with: then they are given up, be they sick or refused for their content."""
    pipeline, bad = rig(), entry(0)
    falls_ill(pipeline, bad)
    publish(pipeline, [bad])
    pipeline.run_for(60)
    pipeline.router.at_the_end()
    pipeline.run_for(890)
    assert not pipeline.tally.dead
    pipeline.drain(limit_s=40)
    assert len(pipeline.tally.dead) == 1


def test_that_others_of_its_first_call_got_through_proves_nothing() -> None:
    """It is an old success: only one that is sent after the entry's first failure decides."""
    pipeline, made = rig(), [entry(n) for n in range(200)]
    sick(pipeline, made[-1])
    publish(pipeline, made)
    pipeline.run_for(600)
    assert not pipeline.tally.dead


def test_many_that_fail_at_a_shards_end_wait() -> None:
    """More than a call's worth look like a destination that takes nothing."""
    pipeline = rig()
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, ["InternalFailure"] * len(call))
    publish(pipeline, [entry(n) for n in range(11)])
    pipeline.router.at_the_end()
    pipeline.run_for(1_200)
    assert not pipeline.tally.dead


def test_a_conversations_budget_goes_on() -> None:
    """With ordering, the next sick one of a conversation whose first was given up needs no half minute."""
    pipeline = rig(ordered=True)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if one.order_key == "bad" else "" for one in call]
    )
    publish(pipeline, [entry(n, "bad") for n in range(8)])
    pipeline.run_in_company(limit_s=180)
    assert len(pipeline.tally.dead) == 8

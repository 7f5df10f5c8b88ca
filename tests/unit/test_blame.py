"""Who is to blame for a failure: a test for each row of the table, and one that the table is whole."""

import itertools
from collections.abc import Sequence

import pytest

from stream_router.errors import Answer, Disposition
from stream_router.model import Entry, Reason
from stream_router.pipeline.delivery.blame import TABLE, Failure, Row, Then, decide, failure_of
from stream_router.pipeline.delivery.health import Others
from tests.fakes import Rig, entry, refused, rig

ROWS = {row.name: row for row in TABLE}
CASES = [
    (failure, others, spent, decide(failure, others, budget_spent=spent))
    for failure, others, spent in itertools.product(Failure, Others, [False, True])
]


def sick(pipeline: Rig, one: Entry, code: str = "InternalFailure") -> None:
    """From now on the bus fails this entry, with this code of its own."""
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, [code if it is one else "" for it in call])


def refuse(pipeline: Rig, poison: Entry) -> None:
    """From now on each call that holds this entry is refused whole."""

    def judge(call: Sequence[Entry]) -> Answer:
        bad = any(it is poison for it in call)
        return refused("ValidationException") if bad else pipeline.bus.accept(call)

    pipeline.bus.judge = judge


def test_every_row_is_reached() -> None:
    """A row that no case falls into would be a claim that nobody keeps."""
    assert {row.name for *_, row in CASES} == set(ROWS)


def test_every_case_has_its_row_and_only_what_is_proven_or_presumed_is_buried() -> None:
    """Nothing is buried for its own trouble, or for its call's, unless the others are well, or were a moment ago."""
    for failure, others, spent, row in CASES:
        assert (row.then is Then.BURY) is (row.reason is not None)
        if row.then is Then.BURY and failure is not Failure.DATA:
            assert others in (Others.WELL, Others.LATELY)
            assert spent or failure is Failure.REFUSED_ALONE
        assert failure is not Failure.WITH_ALL or row.then is Then.WAIT


@pytest.mark.parametrize(
    ("disposition", "failure"),
    [
        (Disposition.DEAD_LETTER, Failure.DATA),
        (Disposition.HOLD, Failure.WITH_ALL),
        (Disposition.RETRY, Failure.ITSELF),
        (Disposition.BISECT, Failure.ITSELF),
        (None, Failure.ITSELF),
    ],
)
def test_what_an_entrys_own_code_says_of_its_failure(disposition: Disposition | None, failure: Failure) -> None:
    """Data, the destination, or itself: what is unknown is its own trouble."""
    assert failure_of(disposition) is failure


@pytest.mark.parametrize(
    ("name", "failure", "others", "spent"),
    [
        ("wrong data", Failure.DATA, Others.UNWELL, False),
        ("the destination's trouble", Failure.WITH_ALL, Others.WELL, True),
        ("everybody's trouble", Failure.ITSELF, Others.UNWELL, True),
        ("own trouble", Failure.ITSELF, Others.WELL, False),
        ("own trouble, proven", Failure.ITSELF, Others.WELL, True),
        ("own trouble, nobody to compare with", Failure.ITSELF, Others.UNKNOWN, True),
        ("own trouble, nobody to compare with", Failure.ITSELF, Others.LATELY, True),
        ("poison, proven", Failure.REFUSED_ALONE, Others.WELL, False),
        ("poison, presumed", Failure.REFUSED_ALONE, Others.LATELY, False),
        ("perhaps poison", Failure.REFUSED_ALONE, Others.UNWELL, False),
        ("perhaps poison", Failure.REFUSED_ALONE, Others.UNKNOWN, False),
    ],
)
def test_a_case_falls_into_its_row(name: str, failure: Failure, others: Others, spent: bool) -> None:
    """The first row that fits decides."""
    row: Row = decide(failure, others, budget_spent=spent)
    assert row is ROWS[name]


def test_wrong_data() -> None:
    """An entry whose code blames its data is buried as `refused` at its first failure, whoever else fails."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad, "MalformedDetail")
    pipeline.router.publisher.submit([bad])
    pipeline.drain(limit_s=1)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.REFUSED]


def test_the_destinations_trouble() -> None:
    """An entry that is throttled for an hour while others are accepted waits, and is delivered in the end."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad, "ThrottlingException")
    pipeline.router.publisher.submit([bad])
    for number in range(1, 361):
        pipeline.router.publisher.submit([entry(number)])
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
            pipeline.router.publisher.submit([entry(next(numbers)) for _ in range(10)])
            pipeline.run_for(1)

    pipeline.bus.judge = judge
    pipeline.router.publisher.submit([bad])
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
    pipeline.router.publisher.submit([bad, *(entry(n) for n in range(1, 10))])
    pipeline.run_for(0.1)
    assert len(pipeline.books.delivered) == 9
    pipeline.run_for(20)
    assert pipeline.router.backlog == 1
    assert not pipeline.books.dead


def test_own_trouble_proven() -> None:
    """Its retries are over and of the others, sent since, nine tenths are accepted: `retries_exhausted`."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad)
    pipeline.router.publisher.submit([bad])
    pipeline.run_in_company(limit_s=60)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.RETRIES_EXHAUSTED]


def test_an_entry_is_judged_by_all_answers_of_its_call() -> None:
    """Its retries are over, one that was sent with it is accepted and two behind it fail: everybody's trouble."""
    pipeline, bad, good = rig(), entry(0), entry(1)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["" if it is good else "InternalFailure" for it in call]
    )
    pipeline.router.publisher.submit([bad])
    pipeline.run_for(60)
    pipeline.world.pump(pipeline.router.wait_s(60.0))
    pipeline.router.publisher.submit([good, entry(2), entry(3)])
    pipeline.run_for(1)
    assert any(call[0] is bad and len(call) == 4 for call in pipeline.bus.calls)
    assert not pipeline.books.dead


def test_own_trouble_with_nobody_to_compare_with() -> None:
    """It waits, however long, and the breaker stays closed: it alone says nothing of the destination."""
    pipeline, bad = rig(), entry(0)
    sick(pipeline, bad)
    pipeline.router.publisher.submit([bad])
    pipeline.run_for(3_600)
    assert not pipeline.books.dead
    assert not pipeline.router.holding
    assert pipeline.router.only_sick


def test_poison_proven() -> None:
    """Refused with its call, alone, after another was accepted that was sent since: `refused`."""
    pipeline, bad = rig(), entry(0)
    refuse(pipeline, bad)
    pipeline.router.publisher.submit([bad])
    pipeline.run_for(3)
    assert not pipeline.books.dead
    pipeline.run_in_company(limit_s=20)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.REFUSED]


def test_poison_presumed() -> None:
    """Nobody is left to ask, and another was accepted in the minute before: `refused`, ten in a row at most."""
    pipeline = rig()
    pipeline.router.publisher.submit([entry(n) for n in range(1, 10)])
    pipeline.drain()
    pipeline.bus.judge = lambda _: refused("ValidationException")
    for number in range(100, 120):
        pipeline.router.publisher.submit([entry(number)])
        pipeline.run_for(3)
    assert 0 < len(pipeline.books.dead) <= 10


def test_perhaps_poison() -> None:
    """Refused alone where nothing was ever accepted: it is tried again alone, as a probe, and nothing is buried."""
    pipeline = rig()
    pipeline.bus.judge = lambda _: refused("ValidationException")
    pipeline.router.publisher.submit([entry(0), entry(1)])
    pipeline.run_for(600)
    assert not pipeline.books.dead
    assert pipeline.router.holding
    assert all(len(call) == 1 for call in pipeline.bus.calls[1:])

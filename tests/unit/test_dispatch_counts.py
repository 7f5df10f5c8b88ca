"""How often an entry is tried, and what its dead letter says of that."""

from collections.abc import Sequence

import pytest

from stream_router.errors import Answer
from stream_router.model import Entry, Reason
from stream_router.pipeline.delivery.dispatcher_contract import Policy
from tests.fakes import NO_ANSWER, entry, refused, rig


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("retries", [1, 2, 4, 10, 20])
def test_an_entry_has_exactly_the_retries_that_are_allowed(retries: int, seed: int) -> None:
    """One attempt and MAX_RETRIES more, whatever the dice say; then it is a dead letter that says how many."""
    pipeline = rig(policy=Policy(16, 10**9, retries), seed=seed)
    bad = entry(1)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if one == bad else "" for one in call]
    )
    start = pipeline.world.now
    pipeline.router.publisher.submit([entry(0), bad])
    pipeline.run_in_company(limit_s=300)
    assert sum(bad in call for call in pipeline.bus.calls) == retries + 1
    (letter,) = pipeline.books.dead
    assert (letter.reason, letter.attempts) == (Reason.RETRIES_EXHAUSTED, retries + 1)
    assert pipeline.books.retries == retries
    assert pipeline.world.now - start >= 30


WHOLE = {
    "500": [refused("InternalException", 500)] * 6,
    "throttled": [refused("ThrottlingException")] * 6,
    "no answer": [NO_ANSWER] * 6,
    "refused for its content": [refused("ValidationException")] * 2,
}


@pytest.mark.parametrize("code", ["MalformedDetail", "InternalFailure"])
@pytest.mark.parametrize("whole", WHOLE)
def test_a_letter_s_attempts_count_the_calls_that_failed_whole(whole: str, code: str) -> None:
    """It says how often the event was on the wire, though calls that failed whole cost it no retry of its own."""
    pipeline = rig(policy=Policy(16, 10**9, 10))
    bad = entry(1)
    failures = iter(WHOLE[whole])

    def judge(call: Sequence[Entry]) -> Answer:
        if bad in call and (failure := next(failures, None)):
            return failure
        return pipeline.bus.answer(call, [code if one == bad else "" for one in call])

    pipeline.bus.judge = judge
    pipeline.router.publisher.submit([bad])
    for number in range(100, 200):
        pipeline.run_for(1)
        pipeline.router.publisher.submit([entry(number)])
    pipeline.drain(limit_s=120)
    (letter,) = pipeline.books.dead
    own = 1 if code == "MalformedDetail" else 11
    assert sum(bad in call for call in pipeline.bus.calls) == letter.attempts == len(WHOLE[whole]) + own

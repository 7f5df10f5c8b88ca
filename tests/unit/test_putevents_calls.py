"""Which entries share a PutEvents call, and what is learned where the bus takes less than AWS says."""

from collections import deque

import pytest

from stream_router import limits
from stream_router.errors import Disposition, Refusal
from stream_router.model import Entry
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits, PutEventsCalls, take
from tests.fakes import FakeBus, World, entry

LARGE = limits.REQUEST_BYTES_256K // 2 + 1
LIMITS = CallLimits(10, 1_048_576)


def sized(*sizes: int) -> list[Entry]:
    return [entry(number, size_bytes=size) for number, size in enumerate(sizes)]


def refusal(message: str = "", code: str = "ValidationException") -> Refusal:
    return Refusal(Disposition.BISECT, code, retry_after_s=0.0, message=message)


@pytest.fixture
def calls() -> PutEventsCalls:
    return PutEventsCalls(FakeBus(World()), LIMITS)


def test_one_above_a_limit_that_was_lowered_goes_alone() -> None:
    """AWS judges it."""
    ready = deque(sized(2_000, 1))
    assert [one.size_bytes for one in take(ready, CallLimits(10, 1_000))] == [2_000]


@pytest.mark.parametrize(
    "said",
    [
        refusal("Total size of the entries in the request is over the limit."),
        refusal("the request is TOO LARGE"),
        refusal("", "Http413"),
    ],
    ids=["EventBridge", "in other words", "a proxy"],
)
def test_a_large_call_that_is_refused_for_its_size_teaches_a_smaller_one(calls: PutEventsCalls, said: Refusal) -> None:
    """The next calls are packed to what held everywhere before; what an entry may be stays as it was."""
    assert calls.too_large(sized(LARGE, LARGE), said)
    assert calls.packing == LIMITS._replace(bytes=limits.REQUEST_BYTES_256K)
    assert calls.limits == LIMITS
    ready = deque(sized(LARGE, LARGE))
    assert len(calls.take(ready)) == 1
    assert calls.too_large(sized(2 * LARGE), said)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [((LARGE, LARGE), refusal("a field is malformed")), ((LARGE, LARGE - 2), refusal("size", "Http413"))],
    ids=["other words", "of a size that holds everywhere"],
)
def test_other_refusals_teach_nothing_of_sizes(calls: PutEventsCalls, sizes: tuple[int, ...], said: Refusal) -> None:
    """A message may quote an entry, so words alone prove nothing of a small call; it is bisected as any other."""
    assert not calls.too_large(sized(*sizes), said)
    assert calls.packing == LIMITS

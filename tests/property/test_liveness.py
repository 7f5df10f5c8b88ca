"""The engine beside entries that never succeed: what the bus would accept gets through in time."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.errors import Answer
from stream_router.model import Entry
from stream_router.pipeline.delivery.blame import Policy
from tests.fakes import entry, refused, rig

THROUGH_WITHIN_S = 120.0
WELL = 50


@settings(max_examples=60, deadline=None)
@given(
    sick=st.integers(0, 80),
    poison=st.integers(0, 4),
    alone_s=st.sampled_from([1, 20, 60]),
    max_in_flight=st.sampled_from([1, 4, 16]),
    latency_s=st.sampled_from([0.005, 0.1, 1.0]),
    seed=st.integers(0, 99),
)
def test_what_is_well_gets_through_beside_what_never_does(
    sick: int, poison: int, alone_s: float, max_in_flight: int, latency_s: float, seed: int
) -> None:
    """However many sick and poisoned entries came before it, and however long they were alone."""
    pipeline = rig(policy=Policy(max_in_flight, 10**9, 4), latency_s=lambda: latency_s, seed=seed)
    entries = [entry(n) for n in range(sick + poison + WELL)]
    sick_ones, poisoned = set(map(id, entries[:sick])), set(map(id, entries[sick : sick + poison]))

    def judge(call: Sequence[Entry]) -> Answer:
        if not poisoned.isdisjoint(map(id, call)):
            return refused("ValidationException")
        return pipeline.bus.answer(call, ["InternalFailure" if id(one) in sick_ones else "" for one in call])

    pipeline.bus.judge = judge
    pipeline.router.publisher.take(entries[:-WELL])
    pipeline.run_for(alone_s)
    pipeline.router.publisher.take(entries[-WELL:])
    pipeline.run_for(THROUGH_WITHIN_S)
    assert [one for one in entries[-WELL:] if one not in pipeline.bus.accepted] == []

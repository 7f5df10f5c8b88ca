"""A conversation's entries one after the other: through the lanes, and through the publisher that holds them."""

import pytest

from stream_router.model import Entry, Reason
from stream_router.pipeline.delivery.blame import Policy
from stream_router.pipeline.delivery.dispatcher import GivenUp
from stream_router.pipeline.sinks.eventbridge.publisher import TOO_LARGE, CallLimits, Lanes, Publisher, PutEventsCalls
from tests.fakes import FakeBus, World, entry

A1, A2, A3 = (entry(number, "a") for number in (1, 2, 3))
B1 = entry(4, "b")
FREE = entry(5)
OUTAGE = GivenUp(Reason.OUTAGE, "Code", "why", 7)
REFUSED = GivenUp(Reason.REFUSED, "Code", "why", 1)


def test_a_lane_that_is_shut_lets_nothing_through_any_more() -> None:
    """What waits in it, and what comes, stays unsettled; other conversations, and what has none, go on."""
    lanes = Lanes(enabled=True)
    lanes.enter([A1, A2, B1, FREE])
    lanes.shut(A1)
    lanes.shut(FREE)
    assert len(lanes) == 0
    assert lanes.enter([A3, FREE]) == [FREE]
    assert len(lanes) == 0
    assert lanes.leave([B1]) == []
    assert lanes.enter([B1]) == [B1]


class Bench:
    """A publisher in order over a fake bus; a call carries two entries, and 1,000 bytes."""

    def __init__(self) -> None:
        self.world = World()
        self.bus = FakeBus(self.world)
        calls = PutEventsCalls(self.bus.send, self.bus.read, CallLimits(2, 1_000), ordered=True)
        policy = Policy(16, 10**9, 4)
        self.publisher = Publisher(calls, policy, self.world.clock, self.world.random.random)

    def sent(self) -> list[Entry]:
        return [one for call in self.bus.calls for one in call]

    def turn(self) -> tuple[list[Entry], list[tuple[Entry, GivenUp]]]:
        """What ended in a moment, accepted and given up."""
        self.publisher.dispatcher.advance(flush=True)
        self.world.pump(0.1)
        ended = self.publisher.collect()
        return ([entry for call in ended.accepted for entry in call], ended.given_up) if ended else ([], [])


def test_one_that_no_call_can_carry_keeps_its_place_until_it_ended_elsewhere() -> None:
    """The next of its conversation goes after it, or, where it comes back smaller, behind it."""
    bench = Bench()
    large = A1._replace(size_bytes=1_001)
    bench.publisher.take([large, A2])
    assert bench.turn() == ([], [(large, TOO_LARGE)])
    assert bench.sent() == []
    bench.publisher.again(A1)
    assert bench.turn() == ([A1], [])
    assert bench.turn() == ([A2], [])
    bench.publisher.take([large, A3])
    assert bench.turn() == ([], [(large, TOO_LARGE)])
    bench.publisher.ended(large, TOO_LARGE)
    assert bench.turn() == ([A3], [])


@pytest.mark.parametrize("why", [OUTAGE, REFUSED], ids=["outage", "refused"])
def test_in_an_outage_that_is_given_up_for_those_behind_are_given_up_too(why: GivenUp) -> None:
    """They waited as long, and were never tried; behind any other end the next goes."""
    bench, large = Bench(), A1._replace(size_bytes=1_001)
    bench.publisher.take([large, A2, A3])
    bench.turn()
    bench.publisher.ended(large, why)
    if why is OUTAGE:
        assert bench.turn() == ([], [(A2, OUTAGE._replace(attempts=0))])
        assert bench.sent() == []
    else:
        assert bench.turn() == ([A2], [])
        assert bench.turn() == ([A3], [])

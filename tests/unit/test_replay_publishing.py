"""A replay's publishing over a fake bus, in virtual time."""

import itertools
from collections.abc import Callable

import pytest

from stream_router.control.replay.choice import Chosen, Failed
from stream_router.control.replay.publishing import END_WITHIN_S, MOST_KEPT, Publishing
from stream_router.control.republish.patience import PATIENCE_S, patience_at
from stream_router.control.republish.republisher import Again
from stream_router.errors import Answer
from stream_router.model import Entry
from tests.fakes import NO_ANSWER, event, refused
from tests.unit.test_republisher import Rig


def chosen(number: int, event_type: str = "interaction.created") -> Chosen:
    record = Again(b"", f"shard-1:{number}:0:", number)
    record.expect(1)
    made = event(number, record=record)
    return Chosen(Entry(made, event_type, b"{}", 0.0, 500, ""), "shard-1", 1_000 + number, b"")


def test_a_low_rate_is_no_standstill() -> None:
    """A full call of ten events at one in ten seconds is followed by a rest of 100 s: longer than the patience."""
    rate = 0.1
    rig = Rig(rate=rate)
    publishing = Publishing(rig.republisher, lambda: False, lambda _: "", rig.world.clock, patience_at(rate, "default"))
    publishing.take(chosen(n) for n in range(30))
    publishing.finish()
    assert publishing.ended_because == ""
    assert publishing.published == 30


def test_at_a_low_rate_it_is_told_how_far_it_is() -> None:
    """Thirty events at one in ten seconds take minutes, in which no piece of the stream is read."""
    rig = Rig(rate=0.1)
    told_at = [rig.world.now]
    publishing = Publishing(
        rig.republisher,
        lambda: False,
        lambda _: "",
        rig.world.clock,
        patience_at(0.1, "default"),
        lambda: told_at.append(rig.world.now),
    )
    publishing.take(chosen(n) for n in range(30))
    publishing.finish()
    assert told_at[-1] > 100
    assert max(after - before for before, after in itertools.pairwise(told_at)) < 1


def test_the_patience_grows_with_the_rest_after_a_full_call() -> None:
    """A call to a v2 bus holds a hundred events, so that one a second is slow enough to look like a standstill."""
    v2 = "arn:aws:eventbridge:us-east-1:123456789012:event-busv2/abc"
    assert patience_at(0.0, "default") == PATIENCE_S
    assert patience_at(0.1, "default") == PATIENCE_S + 100
    assert patience_at(1.0, v2) == PATIENCE_S + 100


class Bench:
    """A publishing over a fake bus that can be asked to stop; it remembers which types were asked for."""

    def __init__(self, why_not: Callable[[str], str] = lambda _: "") -> None:
        self.rig = Rig()
        self.asked_to_stop = False
        self.types: list[str] = []
        self._why_not = why_not
        self.publishing = Publishing(
            self.rig.republisher, lambda: self.asked_to_stop, self._prove, self.rig.world.clock, PATIENCE_S
        )

    def _prove(self, event_type: str) -> str:
        self.types.append(event_type)
        return self._why_not(event_type)

    @property
    def now(self) -> float:
        return self.rig.world.now


def test_a_type_is_proven_once_before_its_first_event() -> None:
    """The rule is asked of AWS; a million events are no reason to ask a million times."""
    bench = Bench()
    bench.publishing.take(chosen(n, f"type-{n % 2}") for n in range(20))
    bench.publishing.finish()
    assert bench.types == ["type-0", "type-1"]
    assert bench.publishing.types == {"type-0": 10, "type-1": 10}
    assert bench.publishing.oldest_open_ms is None


def test_a_type_that_may_not_be_published_ends_it_before_its_event() -> None:
    """The event stays in hand, so that the replay is gone on with from it; those before it are published."""
    bench = Bench(lambda event_type: "no rule takes it" if event_type == "bad" else "")
    bench.publishing.take([chosen(1), chosen(2, "bad"), chosen(3)])
    bench.publishing.finish()
    assert bench.publishing.ended_because == "no rule takes it"
    assert (bench.publishing.published, bench.publishing.oldest_open_ms) == (1, 1_002)
    assert [one.detail_type for one in bench.rig.bus.accepted] == ["interaction.created"]


def test_an_outage_leaves_in_hand_what_it_met() -> None:
    """It is no failure of an event: the replay is gone on with from the oldest that is not published."""
    bench = Bench()
    bench.rig.bus.judge = lambda _: refused("AccessDeniedException")
    bench.publishing.take(chosen(n) for n in range(5))
    bench.publishing.finish()
    assert bench.publishing.ended_because == (
        "EventBridge accepts nothing (AccessDeniedException): grant it (stream-router setup --policy); go on later"
    )
    assert (bench.publishing.published, +bench.publishing.failed) == (0, {})
    assert bench.publishing.oldest_open_ms == 1_000


def test_what_is_in_flight_at_a_stop_is_heard_and_the_rest_is_not_begun() -> None:
    """The first reason is the one that is told."""
    bench = Bench()
    bench.rig.bus.latency_s = lambda: 3.0
    bench.publishing.take([chosen(1)])
    bench.asked_to_stop = True
    bench.publishing.take([chosen(2)])
    bench.publishing.stop("another reason")
    bench.publishing.finish()
    assert bench.publishing.ended_because.startswith("broken off")
    assert (bench.publishing.published, bench.publishing.oldest_open_ms) == (1, 1_002)


@pytest.mark.parametrize("gone", [False, True])
def test_after_a_stop_the_buss_proof_is_waited_for_but_not_without_end(gone: bool) -> None:
    """Of a bus that is gone there will be none, so nobody waits; what is not proven is not published."""
    bench = Bench()
    bench.rig.proof.renew = lambda: None  # type: ignore[method-assign]
    bench.publishing.take([chosen(1)])
    for _ in range(10):
        bench.publishing.turn(0.25)
    assert bench.rig.republisher.unproven == 1
    bench.rig.proof.gone = gone
    bench.publishing.stop("enough")
    begun = bench.now
    bench.publishing.finish()
    assert (END_WITHIN_S < bench.now - begun < END_WITHIN_S + 1) is not gone
    assert bench.now - begun <= END_WITHIN_S + 1
    assert (bench.publishing.published, bench.publishing.oldest_open_ms) == (0, 1_001)


def test_a_call_that_is_never_answered_is_waited_for_for_a_while() -> None:
    """After a stop; a client that loses an answer must not keep the command for good."""
    bench = Bench()
    bench.rig.bus.latency_s = lambda: 10_000.0
    bench.publishing.take([chosen(1)])
    bench.publishing.turn(0.25)
    bench.publishing.stop("enough")
    begun = bench.now
    bench.publishing.finish()
    assert END_WITHIN_S < bench.now - begun < END_WITHIN_S + 1


def test_where_nothing_ends_it_ends_and_a_rest_of_the_reader_is_no_standstill() -> None:
    """Patience is spent only while something is under way."""
    bench = Bench()
    for _ in range(3):
        bench.rig.world.now += 2 * PATIENCE_S
        bench.publishing.turn(0.25)
    bench.publishing.take([chosen(1)])
    bench.publishing.finish()
    assert bench.publishing.ended_because == ""
    answers: list[Answer] = [NO_ANSWER]
    bench.rig.bus.judge = lambda _: answers[0]
    bench.rig.bus.latency_s = lambda: 10_000.0
    begun = bench.now
    bench.publishing.take([chosen(2)])
    while not bench.publishing.ended and bench.now < begun + 10 * PATIENCE_S:
        bench.publishing.turn(0.25)
    assert bench.publishing.ended_because == "nothing more ends (no answer): go on later"
    assert PATIENCE_S < bench.now - begun < PATIENCE_S + 2


def test_what_is_under_way_ends_while_little_of_what_is_read_is_chosen() -> None:
    """Many full shards are read without a rest: who is asked for nothing else must see to the calls all the same."""
    bench = Bench()
    bench.publishing.take([chosen(1)])
    for _ in range(10):
        bench.rig.world.now += PATIENCE_S / 4
        bench.publishing.take([])
    assert bench.publishing.published == 1
    bench.publishing.take([chosen(2)])
    bench.publishing.finish()
    assert (bench.publishing.ended_because, bench.publishing.published) == ("", 2)


def test_failures_are_counted_all_and_listed_up_to_a_number() -> None:
    """A list without end would be the command's memory."""
    bench = Bench()
    one = Failed("id", "shard-1", 1, 0, "schema_mismatch", "TooDeep", "why")
    bench.publishing.take([one] * (MOST_KEPT + 5))
    assert bench.publishing.failed == {"schema_mismatch (TooDeep)": MOST_KEPT + 5}
    assert len(bench.publishing.failures) == MOST_KEPT

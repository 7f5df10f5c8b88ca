"""The limit on dead letters: where nearly everything is refused for its data the shard holds instead of burying."""

import pytest

from stream_router.dead_letter_reasons import REASONS_OF_DATA, Reason
from stream_router.model import DeadLetter, DeadLetterShare, Entry, Event
from stream_router.pipeline.dead_letter_limit import DeadLetterLimit
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits
from tests.fakes import entry, event, rig

CONFIG = DeadLetterShare(0.9, 1_000, 300.0)
BAD = Reason.SCHEMA_MISMATCH


def letters(count: int, reason: Reason = BAD) -> list[DeadLetter]:
    return [DeadLetter(event(n), reason, "X", "why") for n in range(count)]


Judged = list[tuple[int, int, int]]
"""How many seconds after the ones before, so many events became entries and so many did not."""

SHARES: dict[str, tuple[Judged, bool]] = {
    "less than nine tenths": ([(0, 11, 89)], False),
    "nine tenths": ([(0, 10, 90)], True),
    "nearly a hundred": ([(0, 0, 99)], False),
    "800 after a day of good ones": ([(0, 100, 0)] * 100 + [(0, 0, 100)] * 8, False),
    "900 after a day of good ones": ([(0, 100, 0)] * 100 + [(0, 0, 100)] * 9, True),
    "99 an hour after good ones": ([(0, 500, 0), (3_600, 0, 99)], False),
    "100 an hour after good ones": ([(0, 500, 0), (3_600, 0, 99), (0, 0, 1)], True),
    "99 on a slow shard": ([(600, 0, 1)] * 99, False),
    "100 on a slow shard": ([(600, 0, 1)] * 100, True),
}


@pytest.mark.parametrize(("judged", "passes"), SHARES.values(), ids=SHARES)
def test_the_share_decides(judged: Judged, passes: bool) -> None:
    """Nine tenths of the last thousand events, or of those of five minutes, but for as many as make a hundred."""
    now = 0
    limit = DeadLetterLimit(CONFIG, lambda: now)
    for after_s, entries, dead in judged:
        now += after_s
        limit.judge(entries, letters(dead))
    assert limit.passed_by is (BAD if passes else None)


@pytest.mark.parametrize("reason", sorted(Reason))
def test_only_reasons_of_data_count(reason: Reason) -> None:
    """To subscribe to 3 of 20 event types is normal; an outage or a crash is no mistake of the data."""
    limit = DeadLetterLimit(CONFIG, lambda: 0.0)
    limit.judge(0, letters(500, reason))
    assert limit.passed_by is (reason if reason in REASONS_OF_DATA else None)
    assert Reason.UNROUTABLE not in REASONS_OF_DATA


def test_types_that_no_rule_takes_are_buried_and_each_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many of their events come: two types, one line each."""

    def transform(found: Event) -> DeadLetter:
        return DeadLetter(found, Reason.UNROUTABLE, "X", "why", event_type=f"agent.{found.record.sequence_number % 2}")

    pipeline = rig(transform=transform, limit=CONFIG)
    pipeline.router.route_found([event(n) for n in range(400)])
    pipeline.drain()
    assert len(pipeline.tally.dead) == 400
    said = [str(vars(one)["event_type"]) for one in caplog.records if vars(one).get("event") == "types-unmatched"]
    assert sorted(said) == ["agent.0", "agent.1"]


def test_an_event_that_the_bus_refused_turns_bad_afterwards() -> None:
    """It was judged to be an entry, and is counted once."""
    limit = DeadLetterLimit(CONFIG, lambda: 0.0)
    limit.judge(100, [])
    for letter in letters(90, Reason.REFUSED):
        assert limit.passed_by is None
        limit.refused(letter)
    assert limit.passed_by is Reason.REFUSED


def test_bad_events_are_held_not_buried() -> None:
    """From the slice on that passes the limit they stay unsettled; what is good goes through."""

    def transform(found: Event) -> Entry | DeadLetter:
        good = found.record.sequence_number % 20 == 0
        return entry(found.line)._replace(event=found) if good else DeadLetter(found, BAD, "X", "why")

    pipeline = rig(transform=transform, limit=CONFIG)
    found = [event(n) for n in range(400)]
    for slice_ in (found[:50], found[50:]):
        pipeline.router.route_found(slice_)
        pipeline.drain()
        assert len(pipeline.tally.dead) == 47
    assert pipeline.router.limit.passed_by is BAD
    assert len(pipeline.tally.delivered) == 20
    assert sum(bool(one.record.unsettled) for one in found) == 400 - 67


def test_a_size_of_a_call_that_no_event_fits_buries_no_day() -> None:
    """A wrong STREAM_ROUTER_MAX_REQUEST_BYTES is a mistake in a setting like any other."""
    pipeline = rig(transform=lambda found: entry(0)._replace(event=found), limits=CallLimits(10, 100), limit=CONFIG)
    for first in range(0, 2_000, 100):
        pipeline.router.route_found([event(n) for n in range(first, first + 100)])
        pipeline.drain()
    assert pipeline.router.limit.passed_by is Reason.OVERSIZE
    assert len(pipeline.tally.dead) < 100


def test_what_is_refused_once_the_limit_is_passed_is_not_overtaken() -> None:
    """It comes again after the operator's mend, and what follows it then; meanwhile nothing is left to wait for."""
    pipeline = rig(ordered=True, limit=CONFIG)
    sick, behind, other, later = entry(0, "c"), entry(1, "c"), entry(2, "d"), entry(3, "c")
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, ["InvalidArgument" * (one is sick) for one in call])
    pipeline.router.limit.passed_by = Reason.REFUSED
    for entries in ([sick, behind, other], [later]):
        pipeline.router.publisher.take(entries)
        pipeline.drain(limit_s=60)
    assert pipeline.tally.delivered == [other]
    assert not pipeline.tally.dead
    assert all(one.event.record.unsettled for one in (sick, behind, later))

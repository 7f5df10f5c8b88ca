"""The limit on dead letters: where nearly everything is refused for its data the shard holds instead of burying."""

from pathlib import Path

import pytest

from stream_router.model import REASONS_OF_DATA, DeadLetter, DeadLetterShare, Entry, Event, Reason
from stream_router.pipeline.dead_letter_limit import DeadLetterLimit
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits
from tests.fakes import entry, event, rig
from tests.lives import Life

CONFIG = DeadLetterShare(0.9, 1_000, 300.0)


class World:
    """A limit on a clock that the test moves."""

    def __init__(self, config: DeadLetterShare | None = CONFIG) -> None:
        self.now = 0.0
        self.limit = DeadLetterLimit(config, lambda: self.now)

    def judge(self, entries: int, dead: int, reason: Reason = Reason.SCHEMA_MISMATCH) -> Reason | None:
        self.limit.judge(entries, letters(dead, reason))
        return self.limit.passed_by


def letters(count: int, reason: Reason = Reason.SCHEMA_MISMATCH) -> list[DeadLetter]:
    return [DeadLetter(event(n), reason, "X", "why") for n in range(count)]


@pytest.mark.parametrize(("good", "bad", "passes"), [(11, 89, False), (10, 90, True), (0, 100, True), (100, 0, False)])
def test_the_share_decides(good: int, bad: int, passes: bool) -> None:
    """Nine tenths, by default."""
    assert (World().judge(good, bad) is not None) is passes


@pytest.mark.parametrize("reason", sorted(Reason))
def test_only_reasons_of_data_count(reason: Reason) -> None:
    """To subscribe to 3 of 20 event types is normal; an outage or a crash is no mistake of the data."""
    world = World()
    assert world.judge(0, 500, reason) is (reason if reason in REASONS_OF_DATA else None)
    assert Reason.UNROUTABLE not in REASONS_OF_DATA


def test_only_the_last_thousand_events_count() -> None:
    """A day of good events does not hide that the last thousand are bad."""
    world = World()
    for _ in range(100):
        world.judge(100, 0)
    for _ in range(8):
        assert world.judge(0, 100) is None
    assert world.judge(0, 100) is Reason.SCHEMA_MISMATCH


def test_only_the_last_five_minutes_count_or_the_last_hundred_events() -> None:
    """Good events of an hour ago are forgotten, but for as many as make a hundred."""
    world = World()
    world.judge(500, 0)
    world.now += 3_600
    assert world.judge(0, 99) is None
    assert world.judge(0, 1) is Reason.SCHEMA_MISMATCH
    slow = World()
    for _ in range(99):
        slow.now += 600
        assert slow.judge(0, 1) is None
    assert slow.judge(0, 1) is not None


def test_an_event_that_the_bus_refused_turns_bad_afterwards() -> None:
    """It was judged to be an entry, and is counted once."""
    world = World()
    world.judge(100, 0)
    for letter in letters(89, Reason.REFUSED):
        world.limit.refused(letter)
    assert world.limit.passed_by is None
    world.limit.refused(letters(1, Reason.REFUSED)[0])
    assert world.limit.passed_by is Reason.REFUSED


def test_bad_events_are_held_not_buried() -> None:
    """From the slice on that passes the limit they stay unsettled; what is good goes through."""

    def transform(found: Event) -> Entry | DeadLetter:
        bad = DeadLetter(found, Reason.SCHEMA_MISMATCH, "X", "why")
        return entry(found.line)._replace(event=found) if found.record.sequence_number % 20 == 0 else bad

    pipeline = rig(transform=transform, limit=CONFIG)
    found = [event(n) for n in range(400)]
    pipeline.router.route_found(found[:50])
    pipeline.drain()
    assert len(pipeline.tally.dead) == 47
    pipeline.router.route_found(found[50:])
    pipeline.drain()
    assert pipeline.router.limit.passed_by is Reason.SCHEMA_MISMATCH
    assert len(pipeline.tally.dead) == 47
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
    sick, behind, other = entry(0, "c"), entry(1, "c"), entry(2, "d")
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InvalidArgument" if one is sick else "" for one in call]
    )
    pipeline.router.limit.passed_by = Reason.REFUSED
    pipeline.router.publisher.take([sick, behind, other])
    pipeline.drain(limit_s=60)
    pipeline.router.publisher.take([later := entry(3, "c")])
    pipeline.drain(limit_s=1)
    assert pipeline.tally.delivered == [other]
    assert not pipeline.tally.dead
    assert behind.event.record.unsettled
    assert later.event.record.unsettled


def test_a_shard_that_passed_the_limit_holds_and_says_the_cure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It opens nothing more, checkpoints nothing that is not settled, and names reason and cure once a minute."""
    life = Life(
        tmp_path,
        transform=lambda found: DeadLetter(found, Reason.MASKING_FAILED, "X", "why"),
        limit=CONFIG,
        checkpoint_s=1.0,
    )
    start = life.rig.world.now
    life.at_wait = lambda: life.shard.told_to_leave() if life.rig.world.now > start + 200 else None
    life.process(*range(100, 2_000))
    assert life.rig.world.now > start + 200
    assert life.buried == []
    assert life.taken == []
    said = [one for one in caplog.records if "the shard holds" in one.message]
    assert len(said) == 4
    assert {one.__dict__["reason"] for one in said} == {"masking_failed"}
    assert all("STREAM_ROUTER_DEAD_LETTER_LIMIT=off" in one.message for one in said)

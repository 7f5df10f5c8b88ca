"""Lag and state of a shard: 0 only when caught up, growing with the clock also where nobody says anything."""

from pathlib import Path
from typing import Any

import pytest

from stream_router.model import DeadLetter, Entry, Event, Reason
from stream_router.telemetry.merged import Shard
from stream_router.telemetry.metrics_catalogue import TIME
from stream_router.telemetry.shard_state import lag, state
from stream_router.telemetry.snapshot import Snapshot
from tests.events import RECEIVED_MS
from tests.fakes import World, entry, refused
from tests.lives import Life
from tests.told import caught_up

NOW = 1_000_000.0
BEGAN = World().now


def shard(**told: Any) -> Shard:
    """A shard whose child spoke at NOW; caught up unless `told` otherwise."""
    said = caught_up("a", 1, 1, at=NOW, **{"callbackAgoS": 1.0, **told})
    return Shard("a", 1, said)


def test_the_age_is_zero_only_when_caught_up() -> None:
    """A callback within ten seconds, nothing unsettled, nothing behind: else it grows from the last such moment."""
    known = lag(shard(), NOW + 5)
    assert known == (0.0, 0.0, True)
    late = lag(shard(caughtUpAgoS=0.5), NOW + 60)
    assert (late.oldest_age_s, late.caught_up) == (60.5, False)
    silent = "its child has said nothing for 60 s: it hangs, or STREAM_ROUTER_STATE_DIR takes nothing"
    assert state(shard(), late, NOW + 60)[:2] == ("catching up", silent)
    uncalled = shard(callbackAgoS=61.0, caughtUpAgoS=61.0)
    told = state(uncalled, lag(uncalled, NOW + 1), NOW + 1)
    assert told[:2] == ("catching up", "the daemon has brought nothing for 62 s")


def test_the_age_is_that_of_the_oldest_unsettled_event() -> None:
    """By its receipt for users, by its record's arrival for the retention; the last caught-up moment says nothing."""
    told = shard(oldestReceivedMs=(NOW - 30) * 1000, oldestArrivedMs=(NOW - 20) * 1000, caughtUpAgoS=3600.0)
    known = lag(told, NOW + 2)
    assert (known.oldest_age_s, known.arrived_ago_s, known.caught_up) == (32.0, 22.0, False)


def test_what_is_not_read_yet_counts_too() -> None:
    """The daemon says how far behind its batch the stream's end is."""
    known = lag(shard(behindS=90.0), NOW)
    assert (known.oldest_age_s, known.caught_up) == (91.0, False)


def test_a_child_that_was_brought_nothing_yet_claims_nothing(tmp_path: Path) -> None:
    """Kinesis may refuse it from its start on, days behind: neither is it caught up, nor is the stream's time full.

    Only that it waits is known, and tells an alarm once it waits for long.
    """
    life = Life(tmp_path)
    life.rest(5)
    found, at_s = told(life), wall_s(life)
    assert lag(found, at_s) == (None, None, False)
    assert state(found, lag(found, at_s), at_s)[:2] == ("catching up", "the daemon has brought nothing yet")
    life.rest(55)
    found, at_s = told(life), wall_s(life)
    known = lag(found, at_s)
    assert known.oldest_age_s == pytest.approx(60, abs=1.5)
    assert (known.arrived_ago_s, known.caught_up) == (None, False)
    assert "the daemon has brought nothing for" in str(state(found, known, at_s)[1])
    life.process(1)
    life.live(5)
    assert lag(told(life), wall_s(life)).caught_up


def test_a_child_of_another_version_claims_nothing() -> None:
    """No lag told: unknown, not zero."""
    found = shard(callbackAgoS=None)
    assert lag(found, NOW) == (None, None, False)
    assert state(found, lag(found, NOW), NOW)[0] == "catching up"


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"holding": "bytes", "holdReason": "why", "holdingS": 7.0, "full": True}, "holding"),
        ({"careful": True, "full": True}, "careful"),
        ({"full": True}, "back-pressure"),
        ({"oldestReceivedMs": (NOW - 11) * 1000}, "catching up"),
        ({"oldestReceivedMs": (NOW - 9) * 1000}, "caught up"),
    ],
)
def test_the_state_in_a_word(told: dict[str, Any], word: str) -> None:
    """The worst first."""
    found = shard(**told)
    said = state(found, lag(found, NOW), NOW)
    assert said[0] == word
    if word == "holding":
        assert said == ("holding", "why", NOW - 7)


def told(life: Life) -> Shard:
    """What the life's child says now, on a wall clock that began when its events were received."""
    said = Snapshot(wall_s(life), states={"shard": "shard-1", "pid": 1})
    life.told.vitals(said)
    return Shard("a", 1, said)


def wall_s(life: Life) -> float:
    return RECEIVED_MS / 1000 + life.rig.world.now - BEGAN


def test_while_the_bus_refuses_everything_the_shard_holds_and_its_lag_grows_with_the_clock(tmp_path: Path) -> None:
    """60 s of AccessDenied on a quiet shard: not caught up, holding with the code, the age as old as the hold."""
    life = Life(tmp_path, judge=lambda _: refused("AccessDeniedException"))
    life.process(100)
    while (seconds := life.rig.world.now - BEGAN) < 60:
        known = lag(told(life), wall_s(life))
        assert known.oldest_age_s == known.arrived_ago_s == pytest.approx(seconds, abs=0.1)
        life.live(5)
    found = told(life)
    word, reason, since = state(found, lag(found, wall_s(life)), wall_s(life))
    assert (word, reason) == ("holding", "EventBridge accepts nothing: AccessDeniedException")
    assert since == pytest.approx(RECEIVED_MS / 1000, abs=1.5)
    assert found.told.states["breaker"] in ("open", "half-open")
    assert found.told.count(TIME.name, ("holding",)) > 50
    life.rig.bus.judge = life.rig.bus.accept
    life.live(5)
    assert lag(told(life), wall_s(life)).caught_up
    assert told(life).told.states["breaker"] == "closed"


def test_a_queue_that_takes_nothing_is_told_though_other_events_go_out(tmp_path: Path) -> None:
    """The checkpoint stands at its letter: "catching up" would send the operator to look for what is slow."""

    def every_tenth_is_bad(found: Event) -> Entry | DeadLetter:
        if found.record.sequence_number % 10 == 0:
            return DeadLetter(found, Reason.SCHEMA_MISMATCH, "X", "why")
        return entry(0)._replace(event=found)

    life = Life(tmp_path, transform=every_tenth_is_bad)
    life.rig.queue.judge = lambda _: refused("AccessDenied", 403)
    for number in range(100, 130):
        life.process(number)
        life.rest(1.0)
    found = told(life)
    word, reason, _ = state(found, lag(found, wall_s(life)), wall_s(life))
    assert len(life.delivered) == 27
    assert word == "holding"
    assert str(reason).endswith("accepts nothing: AccessDenied")
    life.rig.queue.judge = lambda _: None
    life.live(30)
    assert lag(told(life), wall_s(life)).caught_up


def test_time_is_put_down_to_what_it_was_for(tmp_path: Path) -> None:
    """A quiet shard waits for records; with a call under way it waits for the bus; all of it is the child's life."""
    life = Life(tmp_path)
    began = life.rig.world.now
    life.live(20)
    life.rig.bus.latency_s = lambda: 3.0
    life.process(100)
    life.rest(5)
    spent = {activity: seconds for (activity,), seconds in told(life).told.counts[TIME.name].items()}
    assert spent["waiting"] > 20
    assert spent["bus"] == pytest.approx(3.0, abs=0.1)
    assert sum(spent.values()) == pytest.approx(life.rig.world.now - began, abs=0.01)


def test_a_batch_that_waits_for_room_counts_though_nobody_has_opened_it(tmp_path: Path) -> None:
    """The window is full: the age is that of what waits in the daemon's batch too."""
    life = Life(tmp_path, window_bytes=1024 * 1024)
    life.rig.bus.latency_s = lambda: 1.0
    seen: list[Any] = []
    life.at_wait = lambda: seen.append(told(life).told.states["oldestReceivedMs"])
    life.process(*range(100, 103), body=b'"%b"' % (b"x" * 600_000))
    assert any(one is not None for one in seen)
    life.settle()
    assert told(life).told.states["oldestReceivedMs"] is None

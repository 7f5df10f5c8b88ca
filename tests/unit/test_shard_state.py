"""Lag and state of a shard: 0 only when caught up, growing with the clock also where nobody says anything."""

from pathlib import Path
from typing import Any

import pytest

from stream_router.telemetry.merged import MergedShard
from stream_router.telemetry.metrics_catalogue import TIME
from stream_router.telemetry.shard_state import condition, lag
from stream_router.telemetry.snapshot import Snapshot
from stream_router.telemetry.verdict import Code, Condition
from tests.child_life import Life
from tests.events import RECEIVED_MS
from tests.fakes import World, refused
from tests.snapshots import caught_up

NOW = 1_000_000.0
BEGAN = World().now
CAREFUL = "its child died repeatedly at one place, and opens one event at a time until that place is passed"
SILENT = "its child has not reported for 60 s: it hangs, or STREAM_ROUTER_STATE_DIR cannot be written"


@pytest.mark.parametrize(
    ("states", "later_s", "age_s", "output"),
    [
        ({}, 5, 0.0, ("well", "")),
        ({"caughtUpAgoS": 0.5}, 60, 60.5, ("catching-up", SILENT)),
        (
            {"callbackAgoS": 61.0, "caughtUpAgoS": 61.0},
            1,
            62.0,
            ("catching-up", "the daemon has brought no records for 62 s"),
        ),
        ({"oldestReceivedMs": (NOW - 30) * 1000}, 2, 32.0, ("catching-up", "events wait for longer than 10 s")),
        ({"oldestReceivedMs": (NOW - 9) * 1000}, 0, 9.0, ("well", "")),
        ({"behindS": 90.0}, 0, 91.0, ("catching-up", "events wait for longer than 10 s")),
        ({"callbackAgoS": None}, 0, None, ("starting", "the daemon has brought no records yet")),
        ({"holding": "bytes", "holdReason": "why", "holdingS": 7.0, "full": True}, 0, 0.0, ("holding", "why")),
        ({"careful": True, "full": True}, 0, 0.0, ("careful", CAREFUL)),
        ({"full": True}, 0, 0.0, ("back-pressure", "the window is full; the events in flight are being settled")),
    ],
)
def test_the_age_of_the_oldest_event_and_the_state_in_a_word(
    states: dict[str, Any], later_s: float, age_s: float | None, output: tuple[str, str]
) -> None:
    """A callback within ten seconds, nothing unsettled, nothing behind: else it grows from the last such moment."""
    shard = MergedShard("a", 1, caught_up("a", 1, 1, at=NOW, **{"callbackAgoS": 1.0, **states}))
    known = lag(shard, NOW + later_s)
    assert (known.oldest_age_s, known.caught_up) == (age_s, age_s == 0.0)
    letter = condition(shard, known, NOW + later_s) or Condition(Code.WELL)
    assert (letter.code.value, letter.reason) == output
    assert letter.since_s == (NOW - 7 if letter.code is Code.HOLDING else None)


def shard_and_time(life: Life) -> tuple[MergedShard, float]:
    """What the life's child says now, and when that is on a wall clock that began when its events were received."""
    wall_s = RECEIVED_MS / 1000 + life.rig.world.now - BEGAN
    snapshot = Snapshot(wall_s, states={"shard": "shard-1", "pid": 1})
    life.vitals(snapshot)
    return MergedShard("shard-1", 1, snapshot), wall_s


def spent(life: Life) -> dict[str, float]:
    """Seconds of the child's life by what they were for."""
    return {activity: seconds for (activity,), seconds in shard_and_time(life)[0].snapshot.counts[TIME.name].items()}


def test_a_child_tells_its_lag_its_hold_and_where_its_time_goes(tmp_path: Path) -> None:
    """A life on a quiet shard: nothing is brought, then all is well, then the bus refuses everything, then it is slow.

    Kinesis may refuse a child from its start on, days behind: it claims nothing, and only that it waits is known.
    """
    life = Life(tmp_path)
    life.rest(5)
    assert lag(*shard_and_time(life)) == (None, None, False)
    life.rest(55)
    assert lag(*shard_and_time(life))._replace(oldest_age_s=None) == (None, None, False)
    assert lag(*shard_and_time(life)).oldest_age_s == pytest.approx(60, abs=1.5)
    life.process(1)
    life.live(20)
    assert lag(*shard_and_time(life)).caught_up
    judge, life.rig.bus.judge = life.rig.bus.judge, lambda _: refused("AccessDeniedException")
    life.process(2)
    refused_s = life.rig.world.now
    while (seconds := life.rig.world.now - refused_s) < 60:
        known = lag(*shard_and_time(life))
        assert known.oldest_age_s == known.arrived_ago_s == pytest.approx(life.rig.world.now - BEGAN, abs=0.1)
        assert not known.caught_up
        life.live(5)
    shard, at_s = shard_and_time(life)
    held = condition(shard, lag(shard, at_s), at_s)
    assert held is not None
    assert (held.code, held.reason) == (Code.HOLDING, "EventBridge accepts nothing: AccessDeniedException")
    assert held.since_s == pytest.approx(at_s - seconds, abs=1.5)
    life.rig.bus.judge = judge
    life.live(5)
    assert lag(*shard_and_time(life)).caught_up
    bus_s = spent(life)["bus"]
    life.rig.bus.latency_s = lambda: 3.0
    life.process(3)
    life.rest(5)
    assert spent(life)["bus"] - bus_s == pytest.approx(3.0, abs=0.1)
    assert spent(life)["waiting"] > 20
    assert spent(life)["holding"] > 50
    assert sum(spent(life).values()) == pytest.approx(life.rig.world.now - BEGAN, abs=0.01)


def test_a_batch_that_waits_for_room_counts_though_nobody_has_opened_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is full: the age is that of what waits in the daemon's batch too, here the oldest of all."""
    life = Life(tmp_path, window_bytes=1024 * 1024)
    life.rig.bus.latency_s = lambda: 1.0
    hear = life.hear

    def last_arrived_first(action: str, **output: Any) -> None:
        output["records"][-1]["approximateArrivalTimestamp"] -= 5_000
        hear(action, **output)

    monkeypatch.setattr(life, "hear", last_arrived_first)
    seen: list[Any] = []
    life.at_wait = lambda: seen.append(shard_and_time(life)[0].snapshot.states["oldestReceivedMs"])
    life.process(*range(100, 103), body=b'"%b"' % (b"x" * 600_000))
    assert RECEIVED_MS - 5_000 in seen
    monkeypatch.undo()
    life.settle()
    assert shard_and_time(life)[0].snapshot.states["oldestReceivedMs"] is None

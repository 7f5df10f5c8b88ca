"""The window of a shard at work: however slow the bus and however long the batch, only so much is under way."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from stream_router.consumer.child.checkpoints import LeavingError
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.window import READY_MAX
from stream_router.model import DeadLetterShare
from tests.lives import START, Life

MANY = 5 * READY_MAX


def leave_at(life: Life, seconds: float) -> None:
    """After so long of virtual time the supervisor says SIGTERM."""
    until = life.rig.world.now + seconds
    life.at_wait = lambda: life.shard.told_to_leave() if life.rig.world.now > until else None


def fail(life: Life, sick: Iterable[int]) -> None:
    """From now on the bus answers InternalFailure to the events of these records."""
    bus, numbers = life.rig.bus, set(sick)
    bus.judge = lambda call: bus.answer(
        call, ["InternalFailure" if one.event.record.sequence_number in numbers else "" for one in call]
    )


BIG = b'{"a":"' + b"x" * 20_000 + b'"}'


def test_bytes_that_only_sick_entries_hold_let_a_small_batch_in_too(tmp_path: Path) -> None:
    """Else nothing would ever tell whose trouble it is. The healthy come in and prove it: all sick ones are buried."""
    life = Life(tmp_path, window_bytes=1024 * 1024)
    # The most that 500 healthy ones, a hundred every five seconds of a budget, can prove: they are nine tenths.
    fail(life, range(55))
    life.process(*range(55), body=BIG)
    life.process(*range(55, 1_200))
    life.live(60)
    assert sorted(life.buried) == list(range(55))
    assert sorted(life.delivered) == list(range(55, 1_200))


def test_in_an_outage_of_every_entry_small_batches_have_an_end(tmp_path: Path) -> None:
    """Two megabytes more than the window's are held, however long it lasts."""
    life = Life(tmp_path, window_bytes=1024 * 1024)
    fail(life, range(10_000))
    leave_at(life, 600)
    life.process(*range(400), body=BIG)
    assert 2 * 1024 * 1024 < life.window.held_bytes < 3 * 1024 * 1024 + 200 * 1024
    assert not life.buried


def test_the_checkpoint_goes_on_while_the_window_is_full(tmp_path: Path) -> None:
    """The wait for room is inside a callback that may carry it: what settles meanwhile is checkpointed."""
    life = Life(tmp_path, checkpoint_s=1.0)
    life.rig.bus.latency_s = lambda: 5.0
    life.process(*range(100, 100 + MANY))
    assert life.taken
    assert all(where == "processRecords" for where in life.taken_in)


def test_a_shards_end_holds_where_the_limit_on_dead_letters_is_passed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Refusals that come in after the last batch pass it: the shard holds, says so, and leaves when it is told to."""
    life = Life(tmp_path, limit=DeadLetterShare(0.9, 1_000, 300.0), checkpoint_s=1.0)
    bus = life.rig.bus
    bus.latency_s = lambda: 2.0
    bus.judge = lambda call: bus.answer(call, ["MalformedDetail"] * len(call))
    life.process(*range(100, 300))
    leave_at(life, 100)
    with pytest.raises(LeavingError):
        life.hear("shardEnded")
    assert "nearly every event would be a dead letter" in caplog.text
    assert None not in life.taken


def careful(folder: Path, **more: float) -> Life:
    """The fourth life of a shard whose child died three times at one checkpoint, all with records up to 150."""
    for _ in range(3):
        CrashGuard(folder, "shard-1", f"{START}:0").took_charge(150, 0)
    life = Life(folder, **more)  # type: ignore[arg-type]
    assert life.guard.careful
    return life


def test_careful_mode_does_not_wait_for_a_sick_entry(tmp_path: Path) -> None:
    """One event at a time is started, not seen to its end: others are delivered, and the sick one is buried."""
    life = careful(tmp_path, checkpoint_s=1.0)
    fail(life, [100])
    began = life.rig.world.now
    life.process(*range(100, 151))
    assert life.rig.world.now - began < 5
    life.live(1)
    assert life.delivered == list(range(101, 151))
    assert [len(call) for call in life.rig.bus.calls[:51]] == [1] * 51
    assert life.guard.careful
    for number in range(200, 260):
        life.process(number)
        life.live(1)
    assert life.buried == [100]


def test_what_no_dead_child_had_taken_needs_no_care(tmp_path: Path) -> None:
    """A sick entry keeps the checkpoint, and care, for a while: what comes after it all goes in full calls."""
    life = careful(tmp_path, checkpoint_s=1.0)
    fail(life, [140])
    life.process(*range(140, 160))
    life.process(*range(160, 191))
    life.live(1)
    assert life.guard.careful
    good = [call for call in life.rig.bus.calls if call[0].event.record.sequence_number > 140]
    assert [len(call) for call in good] == [1] * 10 + [9, 10, 10, 10, 1]

"""The record processor of a shard, driven as the daemon drives it, in virtual time: how it holds, leaves and ends."""

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from amazon_kclpy import dispatch

from stream_router.aws_answers import Answer
from stream_router.consumer.child.checkpoints import IntendedExitError
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.daemon_lines import DaemonInput
from stream_router.consumer.child.kcl_adapter import KclMainLoop
from stream_router.consumer.child.shard import DAEMON_STOP_TIMEOUT_S, HAND_OFF_TIMEOUT_S, STOP_TIMEOUT_S, ShardProcessor
from stream_router.consumer.child.window import MAX_READY_EVENTS
from stream_router.consumer.target_check import TargetUnknown
from stream_router.model import Entry
from tests.child_life import MIB, START, Life
from tests.fakes import NO_ANSWER, refused
from tests.shard_ends import ITERATOR, read

BIG = b'{"a":"' + b"x" * 20_000 + b'"}'


def down(_: Sequence[Entry]) -> Answer:
    return refused("InternalException", 500)


def sick(life: Life, *sequence_numbers: int) -> None:
    """From now on the bus answers InternalFailure to the events of these records, always."""
    bus, numbers = life.rig.bus, set(sequence_numbers)
    bus.judge = lambda call: bus.answer(
        call, ["InternalFailure" if item.event.record.sequence_number in numbers else "" for item in call]
    )


def leave_at(life: Life, seconds: float) -> float:
    """After so long of virtual time the supervisor says SIGTERM. The time now."""
    began = life.rig.world.now
    life.at_wait = lambda: life.shard.request_stop() if life.rig.world.now >= began + seconds else None
    return began


def test_checkpoints_are_sent_only_in_callbacks_that_may_carry_one(tmp_path: Path) -> None:
    """Not between two callbacks, not in leaseLost: the daemon would take the line for the answer to something else."""
    life = Life(tmp_path, checkpoint_s=0.1)
    for number in range(100, 110):
        life.process(number)
        life.rest(5)
        tries = life.tries
        life.rest(5)
        assert life.tries == tries
    life.process()
    life.hear("leaseLost")
    life.rest(20)
    assert set(life.taken_in) == {"processRecords"}


@pytest.mark.parametrize(("records", "body"), [(60, BIG), (2 * MAX_READY_EVENTS, b"{}")], ids=["bytes", "calls"])
def test_the_checkpoint_goes_on_while_a_batch_waits_for_room(tmp_path: Path, records: int, body: bytes) -> None:
    """The wait is inside a callback that may carry it: what settles meanwhile is checkpointed."""
    life = Life(tmp_path, checkpoint_s=1.0, window_bytes=200_000)
    life.rig.bus.latency_s = lambda: 5.0
    began = life.rig.world.now
    life.process(*range(records), body=body)
    assert len(life.taken) > (life.rig.world.now - began) / 10


@pytest.mark.parametrize("again", [102, 99])
def test_records_that_are_given_again_end_the_process(tmp_path: Path, again: int) -> None:
    """They would be sent behind newer ones. Nothing of them is opened, and it is not a death of the child's."""
    life = Life(tmp_path, checkpoint_s=1.0)
    life.process(100, 101, 102)
    life.settle()
    with pytest.raises(IntendedExitError):
        life.process(again, 103)
    assert life.delivered == [100, 101, 102]
    assert life.guard._marker.alive is False


def test_bytes_that_only_sick_entries_hold_let_a_small_batch_in_too(tmp_path: Path) -> None:
    """Else nothing would ever tell whose trouble it is. The healthy come in and prove it: all sick ones are buried."""
    life = Life(tmp_path, window_bytes=MIB)
    # The most that 500 healthy ones, a hundred every five seconds of a budget, can prove: they are nine tenths.
    sick(life, *range(55))
    life.process(*range(55), body=BIG)
    life.process(*range(55, 1_200))
    life.live(60)
    assert sorted(life.buried) == list(range(55))
    assert sorted(life.delivered) == list(range(55, 1_200))


def test_the_supervisor_sees_each_turn_inside_a_callback_and_none_outside(tmp_path: Path) -> None:
    """A child that waits for room goes on; a daemon that brings nothing does not. No wait is longer than a second."""
    life = Life(tmp_path, judge=down, window_bytes=150)  # room for one record
    life.process(100)
    beats = life.beats
    assert beats
    life.rest(100)
    assert life.beats == beats
    assert max(life.waited) <= 1.0
    leave_at(life, 60)
    life.process(101)
    assert life.beats - beats >= 60 / 0.25


# A stop, and a lease that moves.


@pytest.mark.parametrize(
    ("told_after_s", "within_s"), [(None, HAND_OFF_TIMEOUT_S), (0.0, STOP_TIMEOUT_S), (1.0, 1 + STOP_TIMEOUT_S)]
)
def test_a_hand_off_and_a_stop_are_answered_in_time(
    tmp_path: Path, told_after_s: float | None, within_s: float
) -> None:
    """The last checkpoint is tried again while it is throttled: what the KCL waits, less five seconds.

    After a SIGTERM, before it or in the middle of it, four seconds; so while the bus is down.
    """
    throttled, holding = Life(tmp_path / "a", checkpoint_s=600.0), Life(tmp_path / "b", judge=down)
    throttled.errors = ["ThrottlingException"] * 1_000
    for life in (throttled, holding):
        life.process(100)
        began = leave_at(life, 10**9 if told_after_s is None else told_after_s)
        life.hear("shutdownRequested")
        assert within_s - 1 < life.rig.world.now - began < within_s + 1
        assert (life.telemetry.closed, life.taken) == (1, [])


@pytest.mark.parametrize("hand_off", [True, False])
def test_once_it_leaves_batches_are_answered_unread(tmp_path: Path, hand_off: bool) -> None:
    """Nothing of them could be sent; and so the shard's end is not checkpointed. The last checkpoint is tried again."""
    life = Life(tmp_path, checkpoint_s=600.0)
    life.process(*range(100, 150))
    life.settle()
    if hand_off:
        life.errors = ["ThrottlingException"] * 3
        life.hear("shutdownRequested")
    else:
        life.shard.request_stop()
    assert life.taken == (["149"] if hand_off else [])
    life.process(150, 151)
    life.rest(1)  # within the time in which an end can still be proven
    life.process()
    assert life.window.pending_bytes == 0
    with pytest.raises(IntendedExitError):
        life.hear("shardEnded")
    assert None not in life.taken
    assert life.delivered == [*range(100, 150)]


@pytest.mark.parametrize("end", ["leaseLost", "shutdownRequested"])
def test_once_the_lease_is_given_back_no_call_is_started(tmp_path: Path, end: str) -> None:
    """Not a retry, not the dead letter of what comes back late: the shard is another's."""
    life = Life(tmp_path, checkpoint_s=1.0)
    bus, codes = life.rig.bus, ("MalformedDetail", "InternalFailure", "")
    bus.latency_s = lambda: 60.0
    bus.judge = lambda call: bus.answer(call, [codes[n % 3] for n in range(len(call))])
    life.process(*range(100, 130))
    life.hear(end)
    calls = len(bus.calls)
    assert calls
    life.rest(300)
    assert len(bus.calls) == calls
    assert not life.rig.queue.messages
    assert life.telemetry.closed == 1


def test_a_checkpoint_that_says_that_the_lease_is_lost_stops_the_shard(tmp_path: Path) -> None:
    """What is in flight ends unheard; nothing is sent, nothing more is checkpointed, no exception leaves."""
    life = Life(tmp_path, checkpoint_s=0.0)
    sick(life, 101)
    life.errors = ["ShutdownException"]
    life.process(100)
    life.process(101)
    life.live(30)
    assert not life.errors
    calls, tries = len(life.rig.bus.calls), life.tries
    life.process(102)
    life.rest(60)
    life.hear("leaseLost")
    assert (len(life.rig.bus.calls), life.tries) == (calls, tries)


def test_a_sigterm_that_comes_as_the_shard_is_taken_up_is_heard(tmp_path: Path) -> None:
    """In the last moment before the process knows its shard: else a shard that holds is told of no stop."""
    life = Life(tmp_path)

    def make_shard(*_: str) -> ShardProcessor:
        process.request_stop()
        return life.shard

    nothing = os.open(os.devnull, os.O_RDONLY)
    process = KclMainLoop(DaemonInput(nothing), io.BytesIO(), make_shard, lambda: None)
    message = {"action": "initialize", "shardId": "shard-1", "sequenceNumber": START, "subSequenceNumber": 0}
    process._perform_action(dispatch.message_decode(message))
    assert life.shard.stop_by
    os.close(nothing)


# How it leaves without being suspected for it.


def not_proven(life: Life) -> None:
    """The bus cannot be asked, and the child is told to leave."""
    life.process(100)
    life.proof.ask = lambda: TargetUnknown("ThrottlingException")
    life.shard.request_stop()


def not_ended(life: Life) -> None:
    """A record comes after the last one that was given."""
    life.rig.bus.latency_s = lambda: 3.0
    life.kinesis.will_answer(ITERATOR, read(9_000), read(0, b"{}"))
    life.process(100)


def not_told(life: Life) -> None:
    """Kinesis does not answer, and the child is told to leave."""
    life.kinesis.will_answer(*[NO_ANSWER] * 100)
    life.process(100)
    life.at_wait = life.shard.request_stop


@pytest.mark.parametrize("mode", [not_proven, not_ended, not_told])
def test_a_shards_end_that_is_not_to_be_proven_is_left(tmp_path: Path, mode: Callable[[Life], None]) -> None:
    """Without a checkpoint: of the last record's the KCL makes SHARD_END. It is not a death; what is in flight ends."""
    for _ in range(4):
        life = Life(tmp_path, checkpoint_s=1.0)
        mode(life)
        began = life.rig.world.now
        with pytest.raises(IntendedExitError):
            life.hear("shardEnded")
        assert life.rig.world.now - began < 30
        assert (life.telemetry.closed, life.guard._marker.deaths) == (1, 0)
        assert life.taken == []
        assert life.delivered == [100]


def test_a_lease_that_moves_once_a_minute_does_not_keep_a_shards_end_open(tmp_path: Path) -> None:
    """A sick event that is alone there is given up after fifteen minutes, by the process that has the shard then."""
    for minute in range(20):
        life = a_minute_at_the_end(tmp_path, minute)
        if life.buried:
            break
    assert life.taken == [None]
    assert minute == 14


def test_an_outage_at_the_shards_end_counts_against_no_event(tmp_path: Path) -> None:
    """A bus that was away for twenty minutes, and fails each entry then, has not tried anybody for fifteen."""
    for minute in range(20):
        a_minute_at_the_end(tmp_path, minute, down=True)
    assert not a_minute_at_the_end(tmp_path, 20).buried


def a_minute_at_the_end(folder: Path, minute: int, *, down: bool = False) -> Life:
    """The life of that minute: it has one event, which is sick, or meets a bus that is down, and the shard's end."""
    life = Life(folder, judge=(lambda _: NO_ANSWER) if down else None, later_s=60.0 * minute)
    if not down:
        sick(life, 100)
    life.process(100)
    leave_at(life, 60)
    with contextlib.suppress(IntendedExitError):
        life.hear("shardEnded")
    return life


@pytest.mark.parametrize("known_before", [False, True])
def test_a_lease_that_is_lost_at_the_shards_end_is_no_death(tmp_path: Path, known_before: bool) -> None:
    """The bare checkpoint, or one before it, says that the shard is another worker's: no exception, no suspicion."""
    for _ in range(4):
        life = Life(tmp_path, checkpoint_s=0.0)
        life.process(100)
        life.live(2)
        life.rig.bus.latency_s = lambda: 5.0
        life.process(101)
        life.errors = ["ShutdownException"]
        if known_before:
            life.live(10)
            assert not life.errors
        life.hear("shardEnded")
        assert not life.errors
        assert None not in life.taken
        assert (life.telemetry.closed, life.guard._marker.deaths) == (1, 0)


def test_a_child_that_alone_is_told_to_leave_ends_though_its_daemon_goes_on(tmp_path: Path) -> None:
    """Somebody's `kill` names the child: for as long as it lived it would answer each batch unread, and look well."""
    life = Life(tmp_path)
    life.shard.request_stop()
    life.live(STOP_TIMEOUT_S + DAEMON_STOP_TIMEOUT_S - 1)
    with pytest.raises(IntendedExitError):
        life.live(3)
    assert life.telemetry.closed == 1
    assert CrashGuard(tmp_path, "shard-1", f"{START}:0")._marker.deaths == 0


def test_careful_mode_does_not_wait_for_a_sick_entry(tmp_path: Path) -> None:
    """One event at a time is started, not seen to its end. What no dead child had taken goes in full calls."""
    for _ in range(3):
        CrashGuard(tmp_path, "shard-1", f"{START}:0").record_accepted_batch(150, 0)
    life = Life(tmp_path, checkpoint_s=1.0)
    sick(life, 140)
    began = life.rig.world.now
    life.process(*range(140, 160))
    life.process(*range(160, 191))
    assert life.rig.world.now - began < 5
    life.live(1)
    assert life.guard.is_careful
    assert life.delivered == list(range(141, 191))
    good = [call for call in life.rig.bus.calls if call[0].event.record.sequence_number > 140]
    assert [len(call) for call in good] == [1] * 10 + [9, 10, 10, 10, 1]

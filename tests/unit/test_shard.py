"""The record processor of a shard, driven as the daemon drives it, in virtual time: how it holds, leaves and ends."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from amazon_kclpy import dispatch

from stream_router.consumer import target_proof
from stream_router.consumer.child.checkpoints import LeavingError
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.daemon_lines import DaemonInput
from stream_router.consumer.child.kcl_adapter import Process
from stream_router.consumer.child.shard import HAND_OFF_WITHIN_S, LEAVE_WITHIN_S, STAY_S, Shard
from stream_router.consumer.target_proof import No, Unasked
from stream_router.errors import Answer
from stream_router.model import Entry
from tests.fakes import refused
from tests.lives import START, Life


def down(_: Sequence[Entry]) -> Answer:
    return refused("InternalException", 500)


def sick(life: Life, *sequence_numbers: int) -> None:
    """From now on the bus answers InternalFailure to the events of these records, always."""
    bus = life.rig.bus
    bus.judge = lambda call: bus.answer(
        call, ["InternalFailure" if one.event.record.sequence_number in sequence_numbers else "" for one in call]
    )


@pytest.mark.parametrize("error", ["ThrottlingException", "KinesisClientLibDependencyException"])
def test_the_last_checkpoint_is_tried_again_while_it_is_throttled(tmp_path: Path, error: str) -> None:
    """At shutdownRequested there is no next time: what was not checkpointed would all come again."""
    life = Life(tmp_path, checkpoint_s=600.0)
    life.process(*range(100, 150))
    life.errors = [error] * 3
    life.hear("shutdownRequested")
    assert life.taken == ["149"]
    assert life.told.closed == 1


@pytest.mark.parametrize("told", [True, False], ids=["a stop", "a hand-off"])
def test_the_last_checkpoint_is_not_tried_for_ever(tmp_path: Path, told: bool) -> None:
    """After a SIGTERM four seconds; where another worker wants the lease what the KCL waits, less five seconds."""
    life = Life(tmp_path, checkpoint_s=600.0)
    life.process(100)
    life.errors = ["ThrottlingException"] * 1_000
    began = life.rig.world.now
    if told:
        life.shard.told_to_leave()
    life.hear("shutdownRequested")
    within = LEAVE_WITHIN_S if told else HAND_OFF_WITHIN_S
    assert within - 1 < life.rig.world.now - began < within + 1
    assert life.told.closed == 1


def test_a_stop_during_a_hand_off_is_obeyed_in_time(tmp_path: Path) -> None:
    """The hand-off has 25 seconds; the SIGTERM that comes in its first one leaves four."""
    life = Life(tmp_path, judge=down)
    life.process(100)
    began = life.rig.world.now
    life.at_wait = lambda: life.shard.told_to_leave() if life.rig.world.now >= began + 1 else None
    life.hear("shutdownRequested")
    assert 1 + LEAVE_WITHIN_S <= life.rig.world.now - began < 2 + LEAVE_WITHIN_S


@pytest.mark.parametrize("said", [Unasked("ThrottlingException"), No("bus", "is gone")])
def test_a_shards_end_that_is_not_proven_is_no_death(tmp_path: Path, said: target_proof.Answer) -> None:
    """Told to leave while the bus cannot be asked, or the bus is gone: the accounts close, nobody is suspected."""
    for _ in range(4):
        life = Life(tmp_path)
        life.process(100)
        life.proof.ask = lambda: said
        life.shard.told_to_leave()
        with pytest.raises(LeavingError):
            life.hear("shardEnded")
        assert life.told.closed == 1
        assert life.taken == []
    again = CrashGuard(tmp_path, "shard-1", f"{START}:0")
    again.ended_well()
    assert not again.careful
    assert again._life.deaths == 0


def test_a_batch_is_answered_while_its_events_are_under_way(tmp_path: Path) -> None:
    """A sick entry keeps nobody else: the next batches come, and are delivered; the checkpoint waits before it."""
    life = Life(tmp_path, checkpoint_s=1.0)
    sick(life, 104)
    for first in range(100, 250, 10):
        began = life.rig.world.now
        life.process(*range(first, first + 10))
        assert life.rig.world.now - began < 1.0
        life.live(1)
    assert life.delivered == [n for n in range(100, 250) if n != 104]
    assert life.taken == ["103"]
    life.live(60)
    assert life.buried == [104]
    assert life.taken[-1] == "249"


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
    ending = Life(tmp_path / "other", checkpoint_s=600.0)
    ending.process(100)
    ending.hear("shardEnded")
    assert set(ending.taken_in) == {"shardEnded"}
    assert ending.taken[-1] is None


@pytest.mark.parametrize("end", ["leaseLost", "shutdownRequested"])
def test_once_the_lease_is_given_back_no_call_is_started(tmp_path: Path, end: str) -> None:
    """Not a retry, not the dead letter of what comes back late, not another batch: the shard is another's."""
    life = Life(tmp_path, checkpoint_s=1.0)
    bus, queue = life.rig.bus, life.rig.queue
    bus.latency_s = lambda: 60.0
    bus.judge = lambda call: bus.answer(
        call, [("MalformedDetail", "InternalFailure", "")[n % 3] for n in range(len(call))]
    )
    asked: list[int] = []
    queue.judge = lambda messages: asked.append(len(messages))
    life.process(*range(100, 130))
    life.hear(end)
    calls = len(bus.calls)
    assert calls
    life.rest(300)
    assert len(bus.calls) == calls
    assert not asked
    assert life.told.closed == 1


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
    assert len(life.rig.bus.calls) == calls
    assert life.tries == tries


def told_to_leave_after_100(folder: Path) -> Life:
    """Record 100 is settled, the child is told to leave, and a batch of 101 and 102 comes."""
    life = Life(folder, checkpoint_s=600.0)
    life.process(100)
    life.settle()
    life.shard.told_to_leave()
    life.process(101, 102)
    return life


def test_after_sigterm_batches_are_answered_unread_and_the_shards_end_is_not_checkpointed(tmp_path: Path) -> None:
    """What was not read comes again; the bare checkpoint would say that nothing is left to come."""
    life = told_to_leave_after_100(tmp_path)
    life.rest(1)
    assert life.delivered == [100]
    with pytest.raises(LeavingError):
        life.hear("shardEnded")
    assert None not in life.taken


def test_a_child_that_alone_is_told_to_leave_ends_though_its_daemon_goes_on(tmp_path: Path) -> None:
    """Somebody's `kill` names the child: for as long as it lived it would answer each batch unread, and look well."""
    life = Life(tmp_path)
    life.shard.told_to_leave()
    life.live(LEAVE_WITHIN_S + STAY_S - 1)
    with pytest.raises(LeavingError):
        life.live(3)
    assert life.told.closed == 1
    assert CrashGuard(tmp_path, "shard-1", f"{START}:0")._life.deaths == 0


def test_a_sigterm_that_comes_as_the_shard_is_taken_up_is_heard(tmp_path: Path) -> None:
    """In the last moment before the process knows its shard: else a shard that holds is told of no stop."""
    life = Life(tmp_path)

    def make_shard(*_: str) -> Shard:
        process.told_to_leave()
        return life.shard

    nothing = os.open(os.devnull, os.O_RDONLY)
    process = Process(DaemonInput(nothing), io.BytesIO(), make_shard, lambda: None)
    told = {"action": "initialize", "shardId": "shard-1", "sequenceNumber": START, "subSequenceNumber": 0}
    process._perform_action(dispatch.message_decode(told))
    assert life.shard.leave_by
    os.close(nothing)


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
        assert life.told.closed == 1
    again = CrashGuard(tmp_path, "shard-1", f"{START}:0")
    assert again._life.deaths == 0


def test_records_after_the_last_checkpoint_are_not_taken_up(tmp_path: Path) -> None:
    """Nothing of them could be sent any more: they are answered unread, and so the shard's end is not checkpointed."""
    life = Life(tmp_path, checkpoint_s=1.0)
    life.process(100, 101)
    life.hear("shutdownRequested")
    life.process(102, 103)
    life.rest(10)
    life.process()
    assert life.window.held_bytes == 0
    with pytest.raises(LeavingError):
        life.hear("shardEnded")
    assert (life.taken, life.delivered) == (["101"], [100, 101])


@pytest.mark.parametrize("again", [102, 101, 99])
def test_records_that_are_given_again_end_the_process(tmp_path: Path, again: int) -> None:
    """They would be sent behind newer ones. Nothing of them is opened, and it is no death of the child's."""
    life = Life(tmp_path, checkpoint_s=1.0)
    life.process(100, 101, 102)
    life.settle()
    with pytest.raises(LeavingError):
        life.process(again, 103)
    assert life.delivered == [100, 101, 102]
    assert life.guard._life.alive is False


def test_the_supervisor_sees_each_turn_inside_a_callback_and_none_outside(tmp_path: Path) -> None:
    """A child that waits for room goes on; a daemon that brings nothing does not. No wait is longer than a second."""
    life = Life(tmp_path, judge=down, window_bytes=150)  # room for one record
    life.process(100)
    beats = life.beats
    assert beats
    life.rest(100)
    assert life.beats == beats
    assert max(life.waited) <= 1.0
    began = life.rig.world.now
    life.at_wait = lambda: life.shard.told_to_leave() if life.rig.world.now > began + 60 else None
    life.process(101)
    assert life.beats - beats >= 60 / 0.25

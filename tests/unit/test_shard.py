"""The record processor of a shard, driven as the daemon drives it, in virtual time: how it holds, leaves and ends."""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from amazon_kclpy import dispatch, messages
from amazon_kclpy.checkpoint_error import CheckpointError

from stream_router.consumer.bus_proof import BusProof
from stream_router.consumer.child.checkpoints import Checkpoints
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.shard import LEAVE_WITHIN_S, LeavingError, ShardProcessor
from stream_router.core.aws_answers import Answer
from stream_router.core.envelope import seal
from stream_router.core.model import Entry, Record
from tests.events import RECEIVED_MS
from tests.fakes import Rig, entry, ok, refused, rig

START = "TRIM_HORIZON"


class KilledError(BaseException):
    """Stands for the death of the process: no `except Exception` sees it."""


class Books:
    """Remembers whether it was closed."""

    closed = 0

    def opened(self, records: Sequence[Record]) -> None:
        pass

    def batch_done(self, records: int) -> None:
        pass

    def tick(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


class Heartbeat:
    """Knows whether the watchdog is armed."""

    armed = False

    def __call__(self) -> None:
        self.armed = True

    def rest(self) -> None:
        self.armed = False


class Life:
    """One child's life over `folder`: its processor, the pipeline's fakes, the daemon's answers to checkpoints.

    With `dies_after_s` somebody kills it so long after its start. `describe` gives the bus's answer to a question.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dies_after_s: float = 0.0,
        judge: Callable[[Sequence[Entry]], Answer] | None = None,
        checkpoint_s: float = 5.0,
    ) -> None:
        self.rig: Rig = rig(transform=lambda found: entry(0)._replace(event=found), judge=judge)
        world = self.rig.world
        self.books, self.heartbeat = Books(), Heartbeat()
        self.describe: Callable[[], Answer] = lambda: ok({})
        self.errors: list[str] = []
        self.tries = 0
        self.taken: list[str | None] = []
        self._dies_at = world.now + dies_after_s if dies_after_s else 0.0
        proof = BusProof(None, lambda done: world.after(0.01, lambda: done(self.describe())), world.clock)
        router: Any = self.rig.router
        self.processor = ShardProcessor(
            lambda shard_id: (router, self.books),
            self._wait,
            lambda moved: Checkpoints(proof, checkpoint_s, world.clock, moved),
            lambda shard_id, start: CrashGuard(folder, shard_id, start),
            self.heartbeat,
            world.clock,
        )
        self.hear("initialize", shardId="shard-1", sequenceNumber=START, subSequenceNumber=0)

    def _wait(self, seconds: float) -> None:
        if self._dies_at and self.rig.world.now >= self._dies_at:
            raise KilledError
        self.rig.world.pump(seconds)

    def checkpoint(self, sequence_number: str | None = None, sub_sequence_number: int | None = None) -> None:
        """What the daemon's checkpointer does: fails with the next of `errors`, while there are any."""
        self.tries += 1
        if self.errors:
            raise CheckpointError(self.errors.pop(0))
        self.taken.append(sequence_number)

    def hear(self, action: str, **fields: Any) -> None:
        """One message of the daemon's."""
        told = {"action": action, **fields}
        message = messages.ProcessRecordsInput(told) if "records" in fields else dispatch.message_decode(told)
        message.dispatch(self, self.processor)

    def process(self, *sequence_numbers: int) -> None:
        """A batch of one event a record."""
        records = [
            {
                "data": base64.b64encode(seal(f"{number:032x}", "delivery", RECEIVED_MS, b"{}")).decode(),
                "sequenceNumber": str(number),
                "subSequenceNumber": 0,
                "approximateArrivalTimestamp": RECEIVED_MS,
            }
            for number in sequence_numbers
        ]
        self.hear("processRecords", records=records, millisBehindLatest=0)

    @property
    def buried(self) -> list[int]:
        return [letter.event.record.sequence_number for letter in self.rig.books.dead]


def test_an_event_that_was_only_held_is_not_buried(tmp_path: Path) -> None:
    """The bus is down and somebody kills the child once a minute, ten times: when it is back all are delivered."""
    for _ in range(10):
        life = Life(tmp_path, judge=lambda _: refused("InternalException", 500), dies_after_s=60.0)
        with pytest.raises(KilledError):
            life.process(100, 101, 102)
        assert life.buried == []
    life = Life(tmp_path)
    life.process(100, 101, 102)
    assert life.buried == []
    assert len(life.rig.books.delivered) == 3


@pytest.mark.parametrize("error", ["ThrottlingException", "KinesisClientLibDependencyException"])
def test_the_last_checkpoint_is_tried_again_while_it_is_throttled(tmp_path: Path, error: str) -> None:
    """At shutdownRequested there is no next time: what was not checkpointed would all come again."""
    life = Life(tmp_path, checkpoint_s=600.0)
    life.process(*range(100, 150))
    life.errors = [error] * 3
    life.hear("shutdownRequested")
    assert life.taken == ["149"]
    assert life.books.closed == 1


def test_the_last_checkpoint_is_not_tried_for_ever(tmp_path: Path) -> None:
    """The daemon waits for its children only so long."""
    life = Life(tmp_path, checkpoint_s=600.0)
    life.process(100)
    life.errors = ["ThrottlingException"] * 1_000
    began = life.rig.world.now
    life.hear("shutdownRequested")
    assert life.rig.world.now - began < LEAVE_WITHIN_S + 1
    assert life.books.closed == 1


@pytest.mark.parametrize("code", ["ThrottlingException", "ResourceNotFoundException"])
def test_a_shards_end_that_is_not_proven_is_no_death(tmp_path: Path, code: str) -> None:
    """Told to leave while the bus cannot be asked, or the bus is gone: the books are closed, nobody is suspected."""
    for _ in range(4):
        life = Life(tmp_path)
        life.process(100)
        life.describe = lambda: refused(code)
        life.processor.told_to_leave()
        with pytest.raises(LeavingError):
            life.hear("shardEnded")
        assert life.books.closed == 1
        assert life.taken == []
    again = CrashGuard(tmp_path, "shard-1", f"{START}:0")
    again.ended_well()
    assert not again.careful
    assert again._life.deaths == 0


def test_the_watchdog_rests_whenever_the_daemon_is_waited_for(tmp_path: Path) -> None:
    """After a batch, after one that ended with the lease, after the last checkpoint: the daemon may take any time."""
    life = Life(tmp_path, checkpoint_s=0.0)
    life.process(100)
    assert not life.heartbeat.armed
    life.errors = ["ShutdownException"]
    life.rig.world.now += 11
    life.process(101)
    life.process(102)
    assert life.tries == 1
    assert not life.heartbeat.armed
    life = Life(tmp_path, checkpoint_s=600.0)
    life.process(100)
    life.hear("shutdownRequested")
    assert not life.heartbeat.armed

"""A bus that is deleted and made again: what was sent in between is never taken for delivered."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router.consumer.bus_proof import BusProver, Proof
from stream_router.consumer.checkpoints import Checkpoints
from stream_router.consumer.proof import BusProof
from stream_router.consumer.state import BUS_GONE, BUS_PROOF, StateDir
from stream_router.consumer.watermark import Position
from stream_router.outcomes import Answer
from stream_router.records import Record
from tests.fakes import ok, refused

Done = Callable[[Answer], None]


class World:
    """A supervisor's prover and the checkpoints of one child, over a bus that is there or not, on one clock."""

    def __init__(self, state: StateDir, *, supervised: bool) -> None:
        self.now, self.there = 1000.0, True
        self.state = state
        self.reports: list[Proof] = []
        self.taken: list[int] = []
        self.prover = BusProver(state, "default", self.describe, self.reports.append, lambda: self.now)
        self.supervised = supervised
        if supervised:
            self.prover.prove_once()
        self.proof = BusProof(state.path, self.ask, lambda: self.now)
        self.checkpoints = Checkpoints(self.proof, 5.0, lambda: self.now, lambda position: None)

    def describe(self) -> None:
        if not self.there:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeEventBus")

    def ask(self, done: Done) -> None:
        done(ok({}) if self.there else refused("ResourceNotFoundException"))

    def checkpoint(self, sequence_number: str, sub_sequence_number: int) -> None:
        self.taken.append(int(sequence_number))

    def live(self, seconds: int, first: int = 0) -> None:
        """So many seconds, the bus asked every 10; from `first` on, a record comes and is accepted each second."""
        checkpointer: Any = self
        for second in range(seconds):
            self.now += 1
            if self.supervised and self.now % 10 == 0:
                self.prover.prove_once()
            if first:
                record = Record(b"", first + second)
                record.expect(1)
                self.checkpoints.expect([record], 1)
                record.settle(0)
            self.checkpoints.take_if_due(checkpointer)


@pytest.fixture(params=[True, False], ids=["supervised", "alone"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with StateDir(tmp_path) as state:
        yield World(state, supervised=request.param)


def test_nothing_sent_while_the_bus_was_gone_is_checkpointed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Twenty seconds into a void, then a new bus of the same name: the checkpoint stays before the void."""
    world.live(40, first=1)
    assert world.taken
    world.there = False
    world.live(20, first=41)
    world.there = True
    world.live(60)
    assert max(world.taken) <= 40
    assert world.checkpoints.bus_gone
    assert not world.checkpoints.proven()
    assert caplog.text.count("the event bus is gone: ") == 1


def test_trouble_of_another_kind_is_only_waited_for(world: World) -> None:
    """A question that is refused for another reason says nothing about the bus: the next proof counts."""
    world.proof._ask = lambda done: done(refused("ThrottlingException"))
    world.prover._describe = lambda: (_ for _ in ()).throw(TimeoutError())
    world.live(30, first=1)
    world.proof._ask = world.ask
    world.prover._describe = world.describe
    world.live(40)
    assert not world.checkpoints.bus_gone
    assert world.taken[-1] == 30


def test_a_child_tells_the_others_where_a_supervisor_is(world: World) -> None:
    """The mark in the state folder reaches every child of the host; without a supervisor nobody would remove it."""
    world.there = False
    world.proof.renew()
    assert bool(world.state.read(BUS_GONE)) is world.supervised
    other = BusProof(world.state.path, world.ask, lambda: world.now)
    world.there = True
    other.latest()
    assert other.gone is world.supervised


def test_the_supervisor_tells_once_and_is_well_on_the_next_proof(tmp_path: Path) -> None:
    """The mark outlives the bus's return, until the supervisor has ended the daemon; FIRST is reported once."""
    with StateDir(tmp_path) as state:
        world = World(state, supervised=True)
        assert not world.prover.gone
        world.there = False
        world.prover.prove_once()
        assert world.prover.gone
        assert state.read(BUS_GONE)
        world.there, world.now = True, 2000.0
        world.prover.prove_once()
        assert not world.prover.gone
        assert state.read(BUS_GONE)
        assert float(state.read(BUS_PROOF)) == 2000.0
        assert world.reports == [Proof.FIRST]
    with StateDir(tmp_path) as state:
        assert state.read(BUS_GONE) == ""


def test_what_was_proven_before_stays_proven(world: World) -> None:
    """A checkpoint may still be taken up to the last proof that was seen."""
    world.live(35, first=1)
    seen = world.checkpoints._watermark.proven(world.proof.latest())
    world.there = False
    world.proof.renew()
    world.live(30)
    assert world.taken[-1] == (seen or Position(0, 0)).sequence_number

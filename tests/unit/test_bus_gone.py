"""A bus that is deleted and made again: what was sent in between is never taken for delivered."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router.consumer.bus_proof import BusProof
from stream_router.consumer.child.checkpoints import Checkpoints
from stream_router.consumer.child.watermark import Position
from stream_router.consumer.state_dir import BUS_GONE, BUS_PROOF, StateDir
from stream_router.consumer.supervisor.watches.bus_prober import BusProver, Proof
from stream_router.errors import Answer
from stream_router.model import Record
from tests.fakes import ok, refused
from tests.shard_ends import NEVER_ASKED

Done = Callable[[Answer], None]


class World:
    """A supervisor's prover and the checkpoints of one child, over a bus that is there or not, on one clock."""

    def __init__(self, state: StateDir, *, supervised: bool) -> None:
        self.now, self.there = 1000.0, True
        self.made_s = 1_764_000_000.1234565
        self.state = state
        self.reports: list[Proof] = []
        self.taken: list[int] = []
        self.prover = BusProver(state, "default", self.describe, self.reports.append, lambda: self.now)
        self.supervised = supervised
        if supervised:
            self.prover.prove_once()
        self.proof = BusProof(state.path, self.ask, lambda: self.now)
        self.checkpoints = Checkpoints(self.proof, 5.0, lambda: self.now, NEVER_ASKED)

    def describe(self) -> float:
        if not self.there:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeEventBus")
        return round(self.made_s, 6)  # as botocore reads it

    def ask(self, done: Done) -> None:
        found = {"CreationTime": self.made_s} if self.made_s else {}
        done(ok(found) if self.there else refused("ResourceNotFoundException"))

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


def test_what_is_settled_while_a_child_asks_is_not_proven_by_the_answer(tmp_path: Path) -> None:
    """The bus may have been deleted right after it answered: what was sent since the question waits for the next."""
    with StateDir(tmp_path) as state:
        world, asked = World(state, supervised=False), list[Done]()
        world.proof._ask = asked.append
        world.now += 1.0
        world.proof.renew()
        world.now += 0.5
        record = Record(b"", 1)
        record.expect(1)
        world.checkpoints.expect([record], 1)
        record.settle(0)
        assert world.checkpoints.settled
        world.now += 0.5
        world.ask(asked[0])
        assert not world.checkpoints.proven()
        world.now += 1.0
        assert not world.checkpoints.proven()
        world.ask(asked[1])
        assert world.checkpoints.proven()


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


def test_while_the_supervisor_cannot_ask_no_child_does(tmp_path: Path) -> None:
    """A thousand children that ask a throttled control plane would keep it throttled, for everyone in the account."""
    with StateDir(tmp_path) as state:
        world = World(state, supervised=True)
        asked: list[Done] = []
        world.proof._ask = asked.append
        world.prover._describe = lambda: (_ for _ in ()).throw(ClientError({"Error": {"Code": "Throttling"}}, "x"))
        world.live(90, first=1)
        assert world.checkpoints.unasked
        assert (asked, world.taken[-1:]) == ([], [])
        world.prover._describe = world.describe
        world.live(20)
        assert (asked, world.taken[-1]) == ([], 90)


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
        world.there, world.now, world.made_s = True, 2000.0, 1_764_000_999.0
        world.prover.prove_once()
        assert not world.prover.gone
        assert state.read(BUS_GONE)
        assert state.read(BUS_PROOF).split() == ["2000.0", "1764000999.0"]
        assert world.reports == [Proof.FIRST]
    with StateDir(tmp_path) as state:
        assert state.read(BUS_GONE) == ""


def test_a_disk_that_does_not_tell_proves_nothing_and_ends_no_child(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO or ESTALE of a network's file system: whether the bus was gone is not known until the disk is well."""
    world.prover.prove_once()
    before = world.proof.latest()

    def trouble(_: Path) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    world.now += 30.0
    world.prover.prove_once()
    with monkeypatch.context() as then:
        then.setattr(Path, "exists", trouble)
        assert world.proof.latest() == before
        assert not world.proof.gone
        world.now += 60.0
        assert not world.proof.unasked
    world.prover.prove_once()
    assert world.proof.latest() == world.now


def test_what_was_proven_before_stays_proven(world: World) -> None:
    """A checkpoint may still be taken up to the last proof that was seen."""
    world.live(35, first=1)
    seen = world.checkpoints._watermark.proven(world.proof.latest())
    world.there = False
    world.proof.renew()
    world.live(30)
    assert world.taken[-1] == (seen or Position(0, 0)).sequence_number


def test_a_bus_made_again_between_two_questions_is_another_bus(world: World) -> None:
    """Seven seconds into a void that no question fell into: the new bus's time of creation tells."""
    world.live(41, first=1)
    world.live(7, first=42)  # into the void
    world.made_s += 200.0
    world.live(30, first=49)
    assert max(world.taken) <= 41
    assert world.checkpoints.bus_gone


def test_a_childs_first_question_knows_the_supervisors_bus(tmp_path: Path) -> None:
    """At its end a child asks for itself: the bus has to be the one of the file, or nothing is proven."""
    with StateDir(tmp_path) as state:
        world = World(state, supervised=True)
        world.live(3, first=1)
        world.made_s += 200.0
        assert not world.checkpoints.proven()
        assert world.checkpoints.bus_gone
        assert state.read(BUS_GONE)


def test_a_child_that_outlived_its_supervisor_does_not_take_the_next_ones_bus_for_its_own(tmp_path: Path) -> None:
    """The new supervisor forgets the old marks, and proves a bus that the child never sent to."""
    with StateDir(tmp_path) as state:
        world = World(state, supervised=True)
        world.live(3, first=1)
    with StateDir(tmp_path) as state:
        BusProver(state, "default", lambda: 1_764_009_999.0, world.reports.append, lambda: world.now).prove_once()
        world.supervised = False
        world.live(10)
    assert world.taken == []
    assert world.checkpoints.bus_gone


def test_the_supervisor_tells_of_a_bus_made_again_and_proves_it_on_the_next_question(tmp_path: Path) -> None:
    """The answer that betrays the new bus is no proof; the one after it is, for the next daemon."""
    with StateDir(tmp_path) as state:
        world = World(state, supervised=True)
        before = state.read(BUS_PROOF)
        world.made_s += 200.0
        world.prover.prove_once()
        assert world.prover.gone
        assert state.read(BUS_GONE)
        assert state.read(BUS_PROOF) == before
        world.prover.prove_once()
        assert not world.prover.gone
        assert state.read(BUS_PROOF).split()[1] == "1764000200.123456"
        assert world.reports == [Proof.FIRST]


def test_an_emulator_that_tells_no_time_of_creation_proves_as_before(world: World) -> None:
    """Nothing to compare: the bus is there, now and later, whether the time was known once or never."""
    world.live(20, first=1)
    world.made_s = 0.0
    world.live(40, first=21)
    assert not world.checkpoints.bus_gone
    assert world.taken[-1] > 40


def test_the_first_time_that_is_told_is_remembered(world: World) -> None:
    """A proof without it, such as an emulator's, does not make the first one that has it another bus."""
    world.made_s = 0.0
    world.live(20, first=1)
    world.made_s = 1_764_000_000.0
    world.live(40, first=21)
    assert not world.checkpoints.bus_gone
    world.made_s += 200.0
    world.live(40, first=61)
    assert world.checkpoints.bus_gone

"""A daemon or a child that hangs is said within a minute; what is stopped for good is killed, and nothing else is."""

import logging
import os
from collections.abc import Callable
from typing import Any

import pytest

from stream_router.consumer.supervisor import processes
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.supervisor.watches.hang_watch import EVERY_S, REPLACED_AFTER, SAID_AFTER, HangWatch
from stream_router.telemetry.shards.merged_shards import Shard

JVM, CHILD = 42, 43
MINUTE_LOOKS = int(60 / EVERY_S)


class World:
    """One daemon and one child; a look passes EVERY_S. What is stopped says nothing and calls nobody."""

    def __init__(self) -> None:
        self.vitals = Vitals(lambda: 0.0, lambda: 1e9)
        self.vitals.daemon_runs(JVM)
        self.at_s = 1e9
        self.awaits_s: float | None = 0.2
        self.states = {JVM: "S", CHILD: "S"}
        self.children = [CHILD]
        self.killed: list[int] = []
        self.watch = HangWatch(
            self.vitals,
            self.shards,
            lambda pid: self.children if pid == JVM else [],
            lambda pid: self.states.get(pid, ""),
            self.killed.append,
        )

    def shards(self) -> list[Shard]:
        told: dict[str, Any] = {"awaitsDaemonS": self.awaits_s}
        return [Shard("shard-1", CHILD, self.at_s, {}, {}, "", told)]

    def look(self, times: int = 1, meanwhile: Callable[[], None] = lambda: None) -> None:
        for _ in range(times):
            self.watch.look()
            meanwhile()

    def speaks(self) -> None:
        self.at_s += EVERY_S

    def waits(self) -> None:
        """The child is well and hears nothing of its daemon."""
        self.at_s += EVERY_S
        self.awaits_s = (self.awaits_s or 0.0) + EVERY_S

    def kinds(self) -> list[tuple[str, str]]:
        return [(one.shard, one.kind) for one in self.vitals.known().hangs]


@pytest.fixture
def world() -> World:
    return World()


def test_a_child_that_speaks_is_well(world: World) -> None:
    """However long, while it has a batch in hand, and while the daemon calls it."""
    world.look(50, world.speaks)
    world.awaits_s = None
    world.look(50, world.speaks)
    assert not world.kinds()
    assert world.vitals.known().ready


def test_a_child_that_says_nothing_is_said_within_a_minute(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """In the log with the cure, and not ready; it is not killed: a full disk keeps a healthy child silent too."""
    world.look(MINUTE_LOOKS)
    assert world.kinds() == [("shard-1", "silent")]
    assert (world.vitals.known().ready, world.vitals.known().healthy) == (False, True)
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the child of shard-1 has said nothing, for 35 s at least" in line.getMessage()
    assert f"kill -KILL {CHILD}" in line.getMessage()
    world.look(REPLACED_AFTER * 2)
    assert not world.killed


def test_what_goes_on_again_is_ready_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """And the log says that it is over."""
    caplog.set_level(logging.INFO)
    world.look(MINUTE_LOOKS)
    world.look(2, world.speaks)
    world.look(1)
    assert not world.kinds()
    assert world.vitals.known().ready
    assert "goes on again" in caplog.text


def test_a_stopped_child_is_said_and_then_killed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Its own watchdog is stopped with it, and its daemon keeps its lease: the shard would stand for good."""
    world.states[CHILD] = "T"
    world.look(SAID_AFTER + 1)
    assert world.kinds() == [("shard-1", "stopped")], "and not silent besides: one cause, one line"
    assert f"kill -CONT {CHILD}" in caplog.text
    assert not world.killed
    world.look(REPLACED_AFTER)
    assert world.killed == [CHILD]


def test_a_stopped_daemon_is_said_and_then_killed(world: World) -> None:
    """Its leases go to other hosts; killed, it takes leases again."""
    world.states[JVM] = "T"
    world.look(SAID_AFTER + 1, world.waits)
    assert world.kinds() == [("", "stopped")], "its children hear nothing for the same cause"
    world.look(REPLACED_AFTER, world.waits)
    assert world.killed == [JVM]


def test_a_process_under_a_debugger_is_not_killed(world: World) -> None:
    """Somebody looks at it just now."""
    world.states[CHILD] = "t"
    world.look(REPLACED_AFTER * 2)
    assert world.kinds() == [("shard-1", "stopped")]
    assert not world.killed


def test_a_daemon_that_brings_nothing_is_said_within_a_minute(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Not killed: a stream that cannot be read looks the same from here."""
    world.look(MINUTE_LOOKS, world.waits)
    assert world.kinds() == [("shard-1", "uncalled")]
    assert "the daemon has brought shard-1 nothing, for 35 s at least" in caplog.text
    world.look(REPLACED_AFTER * 2, world.waits)
    assert not world.killed


def test_a_daemon_that_calls_seldom_does_not_hang(world: World) -> None:
    """Another poll interval, whatever its beat against the looks is."""
    for number in range(200):
        world.awaits_s = number * EVERY_S * 1.02 % 20.0
        world.look(1, world.speaks)
        assert not world.kinds(), number


def test_a_host_that_was_suspended_raises_no_alarm(world: World) -> None:
    """All stood still, this watch too: however long, it is one look."""
    world.look(3, world.speaks)
    world.look(1)
    world.at_s, world.awaits_s = world.at_s + 7200, 7200.0
    world.look(1)
    world.awaits_s = 0.3
    world.look(3, world.speaks)
    assert not world.kinds()


def test_a_clock_that_was_set_back_hides_no_hang(world: World) -> None:
    """Silence is that a child's word stays the same, whatever time it carries."""
    world.at_s += 7200
    world.look(SAID_AFTER + 1)
    assert world.kinds() == [("shard-1", "silent")]


def test_a_clock_that_was_set_back_makes_no_hang(world: World) -> None:
    """A word that is earlier than the last is a new word."""
    world.look(SAID_AFTER - 1)
    world.at_s -= 7200
    world.look(SAID_AFTER - 1, world.speaks)
    assert not world.kinds()


def test_another_child_begins_anew(world: World) -> None:
    """The count is of a process, not of a shard; a daemon that ended takes what hung with it."""
    world.look(SAID_AFTER + 1)
    assert world.kinds()
    world.vitals.daemon_ended()
    assert not world.kinds()
    world.look()
    assert not world.kinds()
    world.vitals.daemon_runs(JVM + 10)
    world.look(SAID_AFTER - 1)
    assert not world.kinds()


def test_while_it_drains_nobody_is_judged(world: World) -> None:
    """A stop has its own deadline."""
    world.look(SAID_AFTER + 1)
    world.vitals.draining()
    world.states[CHILD] = "T"
    world.look(REPLACED_AFTER * 2)
    assert not world.kinds()
    assert not world.killed


def test_the_state_of_a_process_is_the_kernel_s() -> None:
    """As in /proc: this one runs; one that is not there has none."""
    assert processes.state(os.getpid()) == "R"
    assert processes.state(2**22 + 1) == ""


def test_a_dead_childs_number_may_be_a_strangers() -> None:
    """The kernel gives process ids again: what is none of the daemon's children is neither named nor killed."""
    world = World()
    world.look()
    world.children = []
    world.states[CHILD] = "T"
    world.look(REPLACED_AFTER + SAID_AFTER)
    assert world.killed == []
    assert world.vitals.known().hangs == ()

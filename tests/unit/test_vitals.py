"""Health and readiness of the consumer: ill only where a restart would mend something."""

import pytest

from stream_router.consumer.supervisor.vitals import DAEMON_DEAD_S, LOOP_DEAD_S, Vitals


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.vitals = Vitals(lambda: self.now, lambda: self.now + 1e9)

    def passes(self, seconds: float, *, loop_turns: bool = True) -> None:
        self.now += seconds
        if loop_turns:
            self.vitals.beat()


@pytest.fixture
def world() -> World:
    return World()


def test_until_the_daemon_runs_it_is_healthy_but_not_ready(world: World) -> None:
    """A bus that does not answer is waited for, however long: a restart would not bring it."""
    world.passes(3600)
    known = world.vitals.known()
    assert (known.state, known.healthy, known.ready) == ("starting", True, False)


def test_a_daemon_that_runs_is_ready(world: World) -> None:
    """With its process id, since when."""
    world.passes(5)
    world.vitals.daemon_runs(42)
    known = world.vitals.known()
    assert (known.state, known.daemon, known.restarts, known.ready) == ("running", 42, 0, True)
    assert known.since_s == 1e9 + 105


def test_a_loop_that_stands_is_ill(world: World) -> None:
    """Nobody would notice the daemon's death any more."""
    world.vitals.daemon_runs(42)
    world.passes(LOOP_DEAD_S + 1, loop_turns=False)
    assert not world.vitals.known().healthy


def test_a_daemon_that_is_started_again_is_well_one_that_stays_down_is_ill(world: World) -> None:
    """Restarts are ordinary, and ready all the while; for minutes without one something is stuck."""
    world.vitals.daemon_runs(42)
    world.vitals.daemon_ended()
    known = world.vitals.known()
    assert (known.state, known.daemon, known.healthy, known.ready) == ("restarting", None, True, True)
    world.passes(DAEMON_DEAD_S + 1)
    assert not world.vitals.known().healthy
    world.vitals.daemon_runs(43)
    assert (world.vitals.known().restarts, world.vitals.known().healthy) == (1, True)


def test_a_daemon_that_cannot_be_started_is_down_since_the_last_one_ended(world: World) -> None:
    """No process, no memory: each try ends at once, every 30 s at the latest, and is no word of a daemon."""
    world.passes(600)  # the bus was waited for
    for _ in range(4):
        world.vitals.daemon_ended()
        known = world.vitals.known()
        assert (known.state, known.since_s, known.healthy) == ("restarting", 1e9 + 700, True)
        world.passes(DAEMON_DEAD_S / 4)
    world.passes(1)
    assert not world.vitals.known().healthy
    world.vitals.daemon_runs(42)
    assert world.vitals.known().healthy


def test_draining_is_not_ready_but_well_to_the_end(world: World) -> None:
    """The daemon's end is what was asked for."""
    world.vitals.daemon_runs(42)
    world.vitals.draining()
    world.passes(20)
    world.vitals.daemon_ended()
    known = world.vitals.known()
    assert (known.state, known.healthy, known.ready) == ("draining", True, False)

"""The rule that restarts a daemon if nobody reads a shard: when it does, when it must not, and what it logs."""

import logging
from collections.abc import Callable

import pytest

from stream_router.consumer.supervisor import stuck
from stream_router.consumer.supervisor.stream_watch import CHECK_INTERVAL_S
from stream_router.consumer.supervisor.stuck import (
    MAX_DELAY_S,
    REST_AFTER_RESTART_S,
    STUCK_S,
    UNHEALTHY_AFTER_S,
    StuckEvent,
    StuckState,
)
from stream_router.consumer.supervisor.stuck_watch import StuckWatch
from stream_router.consumer.supervisor.supervisor import PlannedRestart
from stream_router.consumer.supervisor.vitals import Vitals
from tests.leases import LeasedStream

JVM = 42
US = "us"


class World(LeasedStream):
    """A stream and its lease table as the test wants them, one worker's watches, and a clock that the test moves."""

    def __init__(self, shards: dict[str, tuple[str, ...]], max_leases: int | None = None, delay: float = 0.5) -> None:
        super().__init__(shards)
        self.restarts: list[PlannedRestart] = []
        self.is_index_being_built = False
        self.vitals = Vitals(lambda: self.now_s, lambda: self.now_s)
        self.watch = StuckWatch(
            *(self.watched, self.vitals, self.restarts.append, US, max_leases, lambda: self.now_s, lambda: delay),
            lambda: self.is_index_being_built,
        )

    def run(self, for_s: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Let time pass, with a check every CHECK_INTERVAL_S; `meanwhile` is called before each."""
        until_s = self.now_s + for_s
        while self.now_s < until_s:
            self.now_s += CHECK_INTERVAL_S
            meanwhile()
            self.vitals.beat()
            self.watched.check()
            self.watch.check()

    @property
    def is_healthy(self) -> bool:
        return self.vitals.read().healthy


def stopped(world: World) -> None:
    world.lease("0", "them", counter=7)


def ownerless(world: World) -> None:
    world.lease("0")


def without_lease(world: World) -> None:
    world.rows.pop("0", None)


def not_handed_over(world: World) -> None:
    world.lease("0", "them", counter=int(world.now_s), before="gone")


STANDSTILLS = [stopped, ownerless, without_lease, not_handed_over]
"""Called before each check: what the table has of a shard that nobody reads."""


@pytest.mark.parametrize("standstill", STANDSTILLS)
def test_a_shard_that_nobody_reads_restarts_the_daemon_after_three_minutes_and_a_random_time(
    standstill: Callable[[World], None],
) -> None:
    """Once in ten minutes, not before the random time is over. Health is bad after five minutes, then well."""
    world = World({"0": ()})
    world.vitals.record_daemon_start(JVM)
    world.run(STUCK_S + 0.5 * MAX_DELAY_S, lambda: standstill(world))
    assert not world.restarts
    world.run(2 * CHECK_INTERVAL_S, lambda: standstill(world))
    (planned,) = world.restarts
    assert (planned.daemon, planned.cause) == (JVM, "shards_stuck")
    assert "Nobody has read 0 for three minutes" in planned.reason
    world.vitals.record_daemon_end(planned=True)
    world.vitals.record_daemon_start(JVM + 1)
    assert world.is_healthy
    world.run(UNHEALTHY_AFTER_S - STUCK_S - 0.5 * MAX_DELAY_S, lambda: standstill(world))
    assert not world.is_healthy
    world.run(REST_AFTER_RESTART_S - (UNHEALTHY_AFTER_S - STUCK_S - 0.5 * MAX_DELAY_S), lambda: standstill(world))
    assert len(world.restarts) == 1
    world.run(0.5 * MAX_DELAY_S + 2 * CHECK_INTERVAL_S, lambda: standstill(world))
    assert [planned.daemon for planned in world.restarts] == [JVM, JVM + 1]
    world.lease("0", US)
    world.run(2 * CHECK_INTERVAL_S, lambda: world.renew("0"))
    assert world.is_healthy


def test_what_is_over_during_the_random_time_restarts_nobody() -> None:
    """The restart of another worker's daemon has mended it, or the KCL has."""
    world = World({"0": ()}, delay=1.0)
    world.vitals.record_daemon_start(JVM)
    world.run(STUCK_S + 0.8 * MAX_DELAY_S, lambda: stopped(world))
    world.lease("0", US)
    world.run(2 * STUCK_S, lambda: world.renew("0"))
    assert (world.restarts, world.is_healthy) == ([], True)


def test_a_consumer_that_is_held_at_its_start_restarts_nobody() -> None:
    """Bus or rule is wrong, so that no daemon is started and no lease is made. Time without a daemon does not count."""
    world = World({"0": ()})
    world.run(3 * STUCK_S)
    assert (world.restarts, world.is_healthy) == ([], True)
    world.vitals.record_daemon_start(JVM)
    world.run(STUCK_S - 2 * CHECK_INTERVAL_S)
    assert not world.restarts


def test_an_index_that_aws_builds_restarts_nobody() -> None:
    """An older KCL's lease table has none, and AWS takes up to 20 minutes; a standstill after that counts from then."""
    world = World({"0": ()})
    world.vitals.record_daemon_start(JVM)
    world.is_index_being_built = True
    world.run(7 * STUCK_S, lambda: ownerless(world))
    assert (world.restarts, world.is_healthy) == ([], True)
    world.is_index_being_built = False
    world.run(STUCK_S - 2 * CHECK_INTERVAL_S, lambda: ownerless(world))
    assert not world.restarts
    world.run(MAX_DELAY_S + 4 * CHECK_INTERVAL_S, lambda: ownerless(world))
    assert len(world.restarts) == 1


def test_a_closed_parent_that_is_not_finished_restarts_nobody() -> None:
    """Its children wait for it, with a lease that nobody owns, or without one, for as long as it takes."""
    world = World({})
    world.kinesis.shards.arrange({"0": (), "1": ("0",), "2": ("0",)}, closed="0")
    world.vitals.record_daemon_start(JVM)
    world.lease("0", US)
    world.lease("1")
    world.run(5 * STUCK_S, lambda: world.renew("0"))
    assert (world.restarts, world.is_healthy) == ([], True)
    world.lease("0", checkpoint="SHARD_END")
    world.run(STUCK_S + MAX_DELAY_S)
    assert "1, 2" in world.restarts[0].reason


@pytest.mark.parametrize("dead", [False, True])
def test_workers_that_are_full_restart_nobody_and_say_so_once(caplog: pytest.LogCaptureFixture, dead: bool) -> None:
    """With maxLeasesForWorker nobody may take the shard, whether it has no owner or a dead one that was full itself."""
    world = World({"0": (), "1": (), "2": ()}, max_leases=1)
    world.vitals.record_daemon_start(JVM)
    world.lease("0", "dead" if dead else "")
    world.lease("1", US)
    world.lease("2", "them")
    world.run(5 * STUCK_S, lambda: world.renew("1", "2"))
    assert (world.restarts, world.is_healthy) == ([], True)
    lines = [line for line in caplog.records if line.__dict__["event"] == "shards-stuck-workers-full"]
    assert len(lines) == 1
    assert "No worker may read 0, since each holds 1 leases" in lines[0].getMessage()
    world.rows.pop("2")
    world.kinesis.shards.arrange({"0": (), "1": ()})
    world.run(STUCK_S + MAX_DELAY_S, lambda: world.renew("1"))
    assert not world.restarts, "the one worker that is left is full"
    world.lease("0", checkpoint="SHARD_END")
    world.lease("1")
    world.run(STUCK_S + MAX_DELAY_S + CHECK_INTERVAL_S)
    assert world.restarts, "this worker has room"


@pytest.mark.parametrize("away", ["ListShards", "Scan"])
def test_an_outage_of_stream_or_lease_table_restarts_nobody(away: str) -> None:
    """However long it lasts, also if one check in two minutes is answered; nor is the consumer ill."""
    world = World({"0": ()})
    world.vitals.record_daemon_start(JVM)
    world.lease("0", "them")
    world.run(STUCK_S - 2 * CHECK_INTERVAL_S)
    for _ in range(10):
        world.script(away, lambda _: "InternalFailure")
        world.run(120)
        world.answer(away)
        world.run(CHECK_INTERVAL_S)
    assert (world.restarts, world.is_healthy) == ([], True)
    world.run(STUCK_S + MAX_DELAY_S)
    assert len(world.restarts) == 1


def test_the_first_minutes_of_200_shards_restart_nobody() -> None:
    """Leases appear after 112 s, ten shards every 5 s, and are taken one after the other: no shard waits three minutes.

    112 s is the longest first start that was measured. Each lease is seen without an owner for some time.
    """
    names = [f"{number:03d}" for number in range(200)]
    world = World(dict.fromkeys(names, ()))
    world.vitals.record_daemon_start(JVM)
    begun_s = world.now_s

    def kcl() -> None:
        since_s = world.now_s - begun_s
        for place, name in enumerate(names):
            if since_s >= 112 + place / 2:
                world.lease(name)
            if since_s >= 172 + place:
                world.lease(name, US, counter=int(since_s))

    world.run(600, kcl)
    assert (world.restarts, world.is_healthy) == ([], True)


def test_another_daemon_begins_the_three_minutes_anew() -> None:
    """A crash is not a standstill, and a new daemon needs its time to take leases. No daemon is not a standstill."""
    world = World({"0": ()})
    for pid in range(JVM, JVM + 10):
        world.vitals.record_daemon_start(pid)
        world.run(STUCK_S - 2 * CHECK_INTERVAL_S)
        world.vitals.record_daemon_end()
        world.run(2 * CHECK_INTERVAL_S)
    assert (world.restarts, world.is_healthy) == ([], True)


def test_a_host_that_was_asleep_restarts_nobody_for_it() -> None:
    """What was not observed is not known, and after the sleep everybody needs a moment."""
    world = World({"0": ()})
    world.vitals.record_daemon_start(JVM)
    world.lease("0", US)
    world.run(STUCK_S, lambda: world.renew("0"))
    world.now_s += 3600
    world.run(STUCK_S - 2 * CHECK_INTERVAL_S)
    assert not world.restarts


def test_the_table_at_the_top_of_the_module_is_the_one_in_force() -> None:
    """Every state knows every event that can meet it."""
    rows = [line.strip("| ").split(" | ") for line in (stuck.__doc__ or "").splitlines() if line.startswith("| ")]
    states = {state.name for state in StuckState}
    documented = set()
    for state, events, following, *action in (row for row in rows if row[0] in states):
        for event in events.split(", "):
            does = action[0].strip(" |") if action else ""
            documented.add((state, event, following.strip(" |"), does or "NOTHING"))
    in_force = {
        (state.name, event.name, following.name, action.name)
        for (state, event), (following, action) in stuck.TRANSITIONS.items()
    }
    assert documented == in_force
    always = {StuckEvent.CLEAR, StuckEvent.STUCK, StuckEvent.FULL}
    assert {(state, event) for state in StuckState for event in always} <= stuck.TRANSITIONS.keys()


def test_a_line_of_the_log_says_that_a_restart_is_planned_and_names_few_shards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A hundred stuck shards are three names and a number."""
    caplog.set_level(logging.INFO)
    world = World({f"{number:03d}": () for number in range(100)})
    world.vitals.record_daemon_start(JVM)
    world.run(STUCK_S + MAX_DELAY_S)
    assert "000, 001, 002 and 97 more" in world.restarts[0].reason

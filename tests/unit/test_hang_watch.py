"""A consumer's health; a child that does not go on is said within a minute, after three its daemon is killed."""

import faulthandler
import io
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_router.consumer import destinations
from stream_router.consumer.child import __main__ as program
from stream_router.consumer.child import assembly
from stream_router.consumer.child.daemon_lines import DaemonInput
from stream_router.consumer.state_dir import HEARTBEATS
from stream_router.consumer.supervisor.hang_watch import (
    CHECK_INTERVAL_S,
    KILL_AFTER_CHECKS,
    LOG_AFTER_CHECKS,
    HangWatch,
)
from stream_router.consumer.supervisor.vitals import DAEMON_TIMEOUT_S, LOOP_TIMEOUT_S, Vitals
from stream_router.errors import SettingsError
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from stream_router.telemetry.merged import MergedShard
from stream_router.telemetry.snapshot import Snapshot
from tests.environment import CONSUMER, set_environment

JVM, CHILD, OTHER = 42, 43, 44
MINUTE_LOOKS = int(60 / CHECK_INTERVAL_S)


class World:
    """One daemon and two children; a look passes CHECK_INTERVAL_S."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vitals = Vitals()
        self.vitals.record_daemon_start(JVM)
        self.children = [CHILD, OTHER]
        self.killed: list[int] = []
        self.at = time.time()
        shards = [MergedShard(f"shard-{pid}", pid, Snapshot()) for pid in self.children]
        self.services_answer = True
        self.watch = HangWatch(
            folder,
            self.vitals,
            lambda: shards,
            lambda: self.services_answer,
            lambda _: self.children,
            self.killed.append,
        )
        self.beat(CHILD, OTHER)

    def beat(self, *pids: int) -> None:
        self.at += CHECK_INTERVAL_S
        for pid in pids:
            (self.folder / str(pid)).touch()
            os.utime(self.folder / str(pid), (self.at, self.at))

    def look(self, times: int = 1, meanwhile: Callable[[], None] = lambda: None) -> None:
        for _ in range(times):
            self.watch.check()
            meanwhile()

    @property
    def hangs(self) -> tuple[str, ...]:
        return self.vitals.read().hangs


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_one_that_stands_still_is_said_within_a_minute_and_its_daemon_killed_after_three(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """With its shard and its process, once a minute; and nobody is killed for what is over."""
    caplog.set_level(logging.INFO)
    world.look(100, lambda: world.beat(CHILD, OTHER))
    assert (world.hangs, world.killed) == ((), [])
    world.look(MINUTE_LOOKS, lambda: world.beat(OTHER))
    assert [*world.hangs] == ["the child of shard-43 has not moved"]
    assert (world.vitals.read().ready, world.vitals.read().healthy) == (False, True)
    world.look(KILL_AFTER_CHECKS - MINUTE_LOOKS, lambda: world.beat(CHILD, OTHER))
    assert (world.hangs, world.killed) == ((), [])
    assert "the child of shard-43 makes progress again" in caplog.text
    caplog.clear()
    world.look(KILL_AFTER_CHECKS, lambda: world.beat(OTHER))
    assert world.killed == []
    world.look()
    assert world.killed == [JVM]
    assert caplog.text.count("has not moved") == 3
    assert f"kill -KILL {CHILD}" in caplog.text
    world.look(LOG_AFTER_CHECKS)
    assert world.killed == [JVM]


def test_what_says_nothing_of_a_child_kills_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file outlives its process, a child that starts has none, a consumer drains, a folder takes nothing."""
    world.children = [OTHER, 45]
    world.look(KILL_AFTER_CHECKS + 1, lambda: world.beat(OTHER))
    assert (world.hangs, world.killed) == ((), [])
    world.children = [CHILD]
    world.look(MINUTE_LOOKS)
    assert world.hangs
    world.vitals.record_stop_request()
    world.look(KILL_AFTER_CHECKS)
    assert world.killed == []

    def full(self: Path, text: str) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    world.vitals.record_daemon_start(JVM)
    world.look(2 * KILL_AFTER_CHECKS)
    assert world.killed == []


def test_an_outage_of_stream_or_lease_table_kills_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged that the child does not move, for as long as it lasts. Once both answer, three minutes count."""
    world.services_answer = False
    world.look(10 * KILL_AFTER_CHECKS, lambda: world.beat(OTHER))
    assert world.killed == []
    assert world.hangs
    assert caplog.text.count("has not moved") > 10
    world.services_answer = True
    world.look(KILL_AFTER_CHECKS - 1)
    assert world.killed == []
    world.look()
    assert world.killed == [JVM]


def test_health_is_ill_only_where_a_restart_would_mend_something() -> None:
    """Not while a start waits, a daemon is started again, or drains; where the loop or the daemon stays down."""
    now = [100.0]
    vitals = Vitals(lambda: now[0])

    def after(seconds: float, *, loop_turns: bool = True) -> tuple[str, bool, bool]:
        now[0] += seconds
        if loop_turns:
            vitals.beat()
        known = vitals.read()
        return known.state, known.healthy, known.ready

    assert after(3600) == ("starting", True, False)
    vitals.record_daemon_start(42)
    assert after(5) == ("running", True, True)
    assert after(LOOP_TIMEOUT_S + 1, loop_turns=False) == ("running", False, True)
    vitals.record_daemon_end()
    assert after(1) == ("restarting", True, True)
    for _ in range(4):  # each try fails, and is no word of a daemon
        vitals.record_daemon_end()
        state, healthy, _ready = after(DAEMON_TIMEOUT_S / 4)
    assert (state, healthy) == ("restarting", False)
    vitals.record_daemon_start(43)
    assert (after(1), vitals.read().restarts) == (("running", True, True), 1)
    vitals.record_stuck_shards(is_unhealthy=True)
    assert after(1) == ("running", False, True)
    vitals.record_stop_request()
    vitals.record_daemon_end()
    assert after(DAEMON_TIMEOUT_S + 1) == ("draining", True, False)


def test_a_heartbeat_is_a_file_that_moves_once_a_second(tmp_path: Path) -> None:
    """Named by the process id, in the state folder; a folder that takes none is no trouble."""
    file, now_s = tmp_path / HEARTBEATS / str(os.getpid()), 1_000.0
    beat, nowhere = assembly.Heartbeat(tmp_path, lambda: now_s), assembly.Heartbeat(file, lambda: now_s)
    moved = list[bool]()
    for step in range(100):
        now_s = 1_000 + step / 10
        beat()
        nowhere()
        moved.append(file.stat().st_mtime > 0)
        os.utime(file, (0, 0))
    assert 8 <= moved.count(True) <= 11


def test_a_child_that_hangs_before_its_first_sign_of_life_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a program for credentials that never ends, for example: nobody else would notice, it has no snapshot yet."""
    armed = list[float]()

    def asks(*_: object) -> None:
        assert armed == [program.START_TIMEOUT_S]
        raise SettingsError("SETTING", "enough")

    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, **_: armed.append(seconds))
    monkeypatch.setattr(destinations, "DestinationEndpoints", asks)
    set_environment(monkeypatch, CONSUMER)
    with pytest.raises(SettingsError, match="enough"):
        program._serve(load(Consumer), DaemonInput(os.open(os.devnull, os.O_RDONLY)), io.BytesIO(), [])

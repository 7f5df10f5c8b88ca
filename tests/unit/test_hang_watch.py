"""A child that does not go on is said within a minute, and after three its daemon is killed; nobody else is."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_router.consumer.supervisor.hang_watch import EVERY_S, KILLED_AFTER, SAID_AFTER, HangWatch
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.telemetry.merged import Shard
from stream_router.telemetry.snapshot import Snapshot

JVM, CHILD, OTHER = 42, 43, 44
MINUTE_LOOKS = int(60 / EVERY_S)


class World:
    """One daemon and two children; a look passes EVERY_S."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vitals = Vitals()
        self.vitals.daemon_runs(JVM)
        self.children = [CHILD, OTHER]
        self.killed: list[int] = []
        self.at = time.time()
        shards = [Shard(f"shard-{pid}", pid, Snapshot()) for pid in self.children]
        self.watch = HangWatch(folder, self.vitals, lambda: shards, lambda _: self.children, self.killed.append)
        self.beat(CHILD, OTHER)

    def beat(self, *pids: int) -> None:
        self.at += EVERY_S
        for pid in pids:
            (self.folder / str(pid)).touch()
            os.utime(self.folder / str(pid), (self.at, self.at))

    def look(self, times: int = 1, meanwhile: Callable[[], None] = lambda: None) -> None:
        for _ in range(times):
            self.watch.look()
            meanwhile()

    @property
    def hangs(self) -> tuple[str, ...]:
        return self.vitals.known().hangs


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_one_that_stands_still_is_said_within_a_minute_and_killed_after_three(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """With its shard, its process and what to do, once a minute; its daemon is killed, and a new one starts clean."""
    world.look(100, lambda: world.beat(CHILD, OTHER))
    assert (world.hangs, world.killed) == ((), [])
    world.look(MINUTE_LOOKS, lambda: world.beat(OTHER))
    assert world.hangs == ("the child of shard-43 has not moved",)
    assert (world.vitals.known().ready, world.vitals.known().healthy) == (False, True)
    assert "the child of shard-43 has not moved for 55 s" in caplog.text
    assert f"kill -KILL {CHILD}" in caplog.text
    world.look(KILLED_AFTER - MINUTE_LOOKS, lambda: world.beat(OTHER))
    assert world.killed == []
    world.look()
    assert world.killed == [JVM]
    assert caplog.text.count("has not moved") == 3
    world.look(SAID_AFTER)
    assert world.killed == [JVM]


def test_one_that_goes_on_again_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """And nobody is killed for what is over."""
    caplog.set_level(logging.INFO)
    world.look(2 * MINUTE_LOOKS, lambda: world.beat(OTHER))
    assert world.hangs
    world.look(KILLED_AFTER, lambda: world.beat(CHILD, OTHER))
    assert (world.hangs, world.killed) == ((), [])
    assert "the child of shard-43 goes on again" in caplog.text


def test_a_folder_that_takes_nothing_kills_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The children's files stand still there whatever they do."""

    def full(self: Path, text: str) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    world.look(2 * KILLED_AFTER)
    assert (world.hangs, world.killed) == ((), [])


def test_only_children_of_the_daemon_that_runs_count(world: World) -> None:
    """A file outlives its process, a child that starts has none, and a consumer that drains is not looked at."""
    world.children = [OTHER, 45]
    world.look(KILLED_AFTER + 1, lambda: world.beat(OTHER))
    assert (world.hangs, world.killed) == ((), [])
    world.children = [CHILD]
    world.look(MINUTE_LOOKS)
    assert world.hangs
    world.vitals.draining()
    world.look(KILLED_AFTER)
    assert world.killed == []

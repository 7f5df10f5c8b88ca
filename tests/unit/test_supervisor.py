"""How a daemon ends and is started again, over stand-ins for the JVM; the rest is in integration/test_supervisor.py."""

import errno
import os
import queue
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from stream_router.consumer.state_dir import DAEMON_PROPERTIES, ENDING, StateDir
from stream_router.consumer.supervisor import java, processes
from stream_router.consumer.supervisor.java import Exited
from stream_router.consumer.supervisor.supervisor import DaemonSupervisor, Happening
from stream_router.consumer.supervisor.vitals import DAEMON_DEAD_S, LOOP_DEAD_S, Vitals
from stream_router.settings.consumer import Consumer

ENDS_WITH_7 = [sys.executable, "-c", "raise SystemExit(7)"]


class Quiet:
    """Vitals and prover of a supervisor of which nothing else is asked."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


class World:
    def __init__(self, folder: Path) -> None:
        self.state = StateDir(folder / "state")
        self.happenings = queue.SimpleQueue[Happening]()

    def supervisor(self, command: list[str] = ENDS_WITH_7, roomier: list[str] | None = None) -> DaemonSupervisor:
        quiet = cast("Any", Quiet())
        return DaemonSupervisor(
            command=command,
            roomier=roomier or [],
            environment={},
            state=self.state,
            prover=quiet,
            happenings=self.happenings,
            grace_s=1.0,
            vitals=quiet,
            prepare=lambda: self.state.write(DAEMON_PROPERTIES, "a = b\n"),
        )

    def of_a_daemon_whose_child_died(self) -> DaemonSupervisor:
        """The daemon begins to end by itself and does not come to it."""
        ends = (
            "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            f"pathlib.Path({str(self.state.path / ENDING)!r}).write_text('x'); time.sleep(60)"
        )
        return self.supervisor([sys.executable, "-c", ends])

    def said_of(self, supervisor: DaemonSupervisor, ended: Exited) -> None:
        """Say how it ended, and wait no longer."""
        self.happenings.put(signal.SIGTERM)
        supervisor._wait_to_restart(ended, 1.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.state.close()


def test_each_daemon_finds_folder_and_properties_though_they_were_removed(world: World) -> None:
    """A host removes from /tmp what was not touched for days: each later start of the daemon would fail."""
    made = world.supervisor()
    for _ in range(2):
        assert made._run_jvm() == Exited(7)
        assert world.state.read(DAEMON_PROPERTIES) == "a = b\n"
        shutil.rmtree(world.state.path)


def test_a_daemon_that_cannot_be_started_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that has died: a host that has no process to spare for a moment has one later."""

    def none_to_spare(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    made = world.supervisor()
    with monkeypatch.context() as then:
        then.setattr(subprocess, "Popen", none_to_spare)
        assert made._run_jvm() == Exited(os.EX_OSERR)
    assert os.strerror(errno.EAGAIN) in caplog.text
    assert made._run_jvm() == Exited(7)


@pytest.mark.parametrize("asked", [True, False])
def test_a_signal_that_comes_while_the_daemon_is_killed_is_obeyed(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, asked: bool
) -> None:
    """A stop that is swallowed would end in the platform's SIGKILL. A kill of our own is not the kernel's."""
    send = processes.send

    def and_then_asked(pids: list[int], number: signal.Signals) -> None:
        if number == signal.SIGKILL and asked:
            world.happenings.put(signal.SIGTERM)
        send(pids, number)

    monkeypatch.setattr(processes, "send", and_then_asked)
    made = world.of_a_daemon_whose_child_died()
    ended = made._run_jvm()
    assert (ended is None) == asked
    if ended:
        world.said_of(made, ended)
        assert caplog.messages[-1].startswith("the KCL daemon ended: killed by the supervisor, for the reason said")


def test_after_a_full_heap_a_daemon_may_take_half_of_the_memory(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """With the same heap it would meet the same backlog, and end for good; each end is said with its cure."""
    cure = "give it a larger one (STREAM_ROUTER_JVM_OPTIONS=-Xmx1g), or the host fewer shards"
    made = world.supervisor(roomier=[sys.executable, "-c", "raise SystemExit(3)"])
    for ended, then in ((Exited(-9), 7), (Exited(7), 7), (Exited(3), 3), (Exited(3), 3)):
        world.said_of(made, ended)
        assert made._run_jvm() == Exited(then)
    assert [
        line.removeprefix("the KCL daemon ended: ").removesuffix("; it is started again") for line in caplog.messages
    ] == [
        "killed by SIGKILL",
        "exit status 7",
        f"its heap is full (exit status 3): from now on it may take half of the memory; {cure}",
        f"its heap is full (exit status 3): {cure}",
    ]


@pytest.mark.parametrize("chosen", [{"jvm_options": "-Xmx1g"}, {"properties": Path("own.properties")}])
def test_a_heap_that_the_operator_chose_stays(chosen: dict[str, Any]) -> None:
    """Only the shipped heap makes room for more, and no other option of the JVM changes with it."""
    settings = Consumer.model_construct(sqs_dlq_url="", jvm_options="-Da=b", properties=None)
    command = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-Da=b"]
    assert java.roomier(settings, command) == ["java", "-XX:MaxRAMPercentage=50.0", "-XX:+UseSerialGC", "-Da=b"]
    assert java.roomier(settings.model_copy(update=chosen), command) == []


def test_health_is_ill_only_where_a_restart_would_mend_something() -> None:
    """Not while a start waits, a daemon is started again, or drains; where the loop or the daemon stays down."""
    now = [100.0]
    vitals = Vitals(lambda: now[0])

    def after(seconds: float, *, loop_turns: bool = True) -> tuple[str, bool, bool]:
        now[0] += seconds
        if loop_turns:
            vitals.beat()
        known = vitals.known()
        return known.state, known.healthy, known.ready

    assert after(3600) == ("starting", True, False)
    vitals.daemon_runs(42)
    assert after(5) == ("running", True, True)
    assert after(LOOP_DEAD_S + 1, loop_turns=False) == ("running", False, True)
    vitals.daemon_ended()
    assert after(1) == ("restarting", True, True)
    for _ in range(4):  # each try fails, and is no word of a daemon
        vitals.daemon_ended()
        state, healthy, _ready = after(DAEMON_DEAD_S / 4)
    assert (state, healthy) == ("restarting", False)
    vitals.daemon_runs(43)
    assert (after(1), vitals.known().restarts) == (("running", True, True), 1)
    vitals.draining()
    vitals.daemon_ended()
    assert after(DAEMON_DEAD_S + 1) == ("draining", True, False)

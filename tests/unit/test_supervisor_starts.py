"""What the supervisor does before it starts a daemon, and where it cannot."""

import errno
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from stream_router.consumer.state_dir import DAEMON_PROPERTIES, StateDir
from stream_router.consumer.supervisor import assembly, java, processes
from stream_router.consumer.supervisor.java import Exited
from stream_router.consumer.supervisor.supervisor import DaemonSupervisor, Happening
from stream_router.settings.consumer import Consumer
from tests.unit.test_supervisor_kills import Quiet


def supervisor(state: StateDir, **changes: Any) -> DaemonSupervisor:
    quiet = cast("Any", Quiet())
    more = {"vitals": quiet, "prover": quiet, "happenings": queue.SimpleQueue(), "roomier": [], **changes}
    return DaemonSupervisor(
        command=[sys.executable, "-c", "import sys; sys.exit(7)"],
        environment={},
        state=state,
        grace_s=1.0,
        **more,
    )


def test_a_daemon_finds_its_properties_however_old_they_are(tmp_path: Path) -> None:
    """A host removes from /tmp what was not touched for days: each later start of the daemon would fail."""
    with StateDir(tmp_path) as state:
        made = supervisor(state, prepare=lambda: assembly._kept(state, "a = b\n"))
        for _ in range(2):
            assert made._run_jvm() == Exited(7)
            assert state.read(DAEMON_PROPERTIES) == "a = b\n"
            state.discard(DAEMON_PROPERTIES)


def test_a_daemon_finds_its_folder_though_it_was_removed(tmp_path: Path) -> None:
    """A tidy hand, while no child is there that would make it anew: no daemon could be started any more."""
    with StateDir(tmp_path / "state") as state:
        shutil.rmtree(state.path)
        assert supervisor(state, prepare=lambda: assembly._kept(state, "a = b\n"))._run_jvm() == Exited(7)
        assert state.read(DAEMON_PROPERTIES) == "a = b\n"


def test_a_daemon_is_started_though_the_working_folder_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a release that was replaced, say: Java starts in no folder that is gone, and no later daemon did."""
    release = tmp_path / "release"
    release.mkdir()
    monkeypatch.chdir(release)
    with StateDir(tmp_path / "state") as state:
        assembly._kept(state, "a = b\n")
        assert Path.cwd() == release
        release.rmdir()
        assembly._kept(state, "a = b\n")
        assert Path.cwd() == state.path


def test_a_daemon_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that has died: a host that has no process to spare for a moment has one later."""

    def none_to_spare(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with StateDir(tmp_path) as state:
        made = supervisor(state)
        with monkeypatch.context() as then:
            then.setattr(subprocess, "Popen", none_to_spare)
            assert made._run_jvm() == Exited(os.EX_OSERR)
        assert os.strerror(errno.EAGAIN) in caplog.text
        assert made._run_jvm() == Exited(7)


@pytest.mark.parametrize("spare", [0, 1])
def test_a_daemon_that_nobody_can_watch_is_ended_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, spare: int
) -> None:
    """A host that has no thread to spare for a moment has one later; until then no daemon runs that is not heard."""
    start, left = threading.Thread.start, [True] * spare

    def none_to_spare(thread: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(thread)

    with StateDir(tmp_path) as state:
        made = supervisor(state)
        made._command = [sys.executable, "-c", "import time; time.sleep(60)"]
        with monkeypatch.context() as then:
            then.setattr(threading.Thread, "start", none_to_spare)
            assert made._run_jvm() == Exited(os.EX_OSERR)
        assert "the KCL daemon cannot be started: no thread is left; it is tried again" in caplog.text
        assert processes.children(os.getpid()) == []
        made._command = [sys.executable, "-c", "import sys; sys.exit(7)"]
        assert made._run_jvm() == Exited(7)


FULL_HEAPS_CURE = "give it a larger one (STREAM_ROUTER_JVM_OPTIONS=-Xmx1g), or the host fewer shards"


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (-9, "the KCL daemon ended: killed by SIGKILL; it is started again"),
        (7, "the KCL daemon ended: exit status 7; it is started again"),
        (3, f"the KCL daemon ended: its heap is full (exit status 3): {FULL_HEAPS_CURE}; it is started again"),
    ],
)
def test_how_a_daemon_ended_is_said_with_the_cure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, says: str
) -> None:
    """A heap that is too small for the host's shards would end each daemon, for good, and say so nowhere else."""
    happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
    happenings.put(signal.SIGTERM)
    with StateDir(tmp_path) as state:
        assert not supervisor(state, happenings=happenings)._wait_to_restart(Exited(status), 1.0)
    assert caplog.messages == [says]


def test_after_a_full_heap_a_daemon_may_take_half_of_the_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the same heap it would meet the same backlog, and end for good before it delivers anything of it."""
    happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
    with StateDir(tmp_path) as state:
        made = supervisor(state, happenings=happenings, roomier=[sys.executable, "-c", "raise SystemExit(3)"])
        assert made._run_jvm() == Exited(7)
        for ended, then in ((Exited(7), 7), (Exited(3), 3), (Exited(3), 3)):
            happenings.put(signal.SIGTERM)
            made._wait_to_restart(ended, 1.0)
            assert made._run_jvm() == Exited(then)
    _, first, second = caplog.messages
    assert first.endswith(f": from now on it may take half of the memory; {FULL_HEAPS_CURE}; it is started again")
    assert second.endswith(f"its heap is full (exit status 3): {FULL_HEAPS_CURE}; it is started again")


@pytest.mark.parametrize("chosen", [{"jvm_options": "-Xmx1g"}, {"properties": Path("own.properties")}])
def test_a_heap_that_the_operator_chose_stays(chosen: dict[str, Any]) -> None:
    """Only the shipped heap makes room for more, and no other option of the JVM changes with it."""
    settings = Consumer.model_construct(sqs_dlq_url="", jvm_options="-Da=b", properties=None)
    command = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-Da=b"]
    assert java.roomier(settings, command) == ["java", "-XX:MaxRAMPercentage=50.0", "-XX:+UseSerialGC", "-Da=b"]
    assert java.roomier(settings.model_copy(update=chosen), command) == []


class Sick(StateDir):
    """A state folder on a disk that is in trouble for a while, as one behind a network is."""

    troubles = 0

    def _suffers(self) -> None:
        if self.troubles:
            self.troubles -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def read(self, name: str) -> str:
        self._suffers()
        return super().read(name)

    def discard(self, name: str) -> None:
        self._suffers()
        super().discard(name)


def test_a_disk_in_trouble_ends_no_daemon_and_no_supervisor(tmp_path: Path) -> None:
    """A marker that cannot be read says nothing, and one that has to go is tried again until it has."""
    with Sick(tmp_path) as state:
        made = supervisor(state)
        made._command = [sys.executable, "-c", "import time; time.sleep(1); raise SystemExit(7)"]
        started = made._started

        def and_then_trouble() -> subprocess.Popen[bytes]:
            jvm = started()
            state.troubles = 1
            return jvm

        made._started = and_then_trouble  # type: ignore[method-assign]
        assert made._run_jvm() == Exited(7)
        assert not state.troubles

"""What the supervisor does before it starts a daemon, and where it cannot."""

import errno
import os
import queue
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from stream_router.consumer.state_dir import DAEMON_PROPERTIES, StateDir
from stream_router.consumer.supervisor import assembly
from stream_router.consumer.supervisor.supervisor import DaemonSupervisor, Exited
from tests.unit.test_supervisor_kills import Quiet


def supervisor(state: StateDir, **more: Any) -> DaemonSupervisor:
    quiet = cast("Any", Quiet())
    return DaemonSupervisor(
        command=[sys.executable, "-c", "import sys; sys.exit(7)"],
        environment={},
        state=state,
        prover=quiet,
        happenings=queue.SimpleQueue(),
        grace_s=1.0,
        vitals=quiet,
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

"""What the supervisor hears while it kills its daemon."""

import queue
import signal
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from stream_router.consumer.state_dir import ENDING, StateDir
from stream_router.consumer.supervisor import processes
from stream_router.consumer.supervisor.supervisor import DaemonSupervisor, Happening


class Quiet:
    """Vitals and prover of a supervisor of which nothing else is asked."""

    gone = False

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


@pytest.mark.parametrize("asked", [True, False])
def test_a_signal_that_comes_while_the_daemon_is_killed_is_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, asked: bool
) -> None:
    """The daemon is not started again: a stop that is swallowed would end in the platform's SIGKILL."""
    happenings = queue.SimpleQueue[Happening]()
    send = processes.send

    def and_then_asked(pids: list[int], number: signal.Signals) -> None:
        if number == signal.SIGKILL and asked:
            happenings.put(signal.SIGTERM)
        send(pids, number)

    monkeypatch.setattr(processes, "send", and_then_asked)
    with StateDir(tmp_path) as state:
        ended = of_a_daemon_whose_child_died(state, happenings)._run_jvm()
    assert (ended is None) == asked


def test_a_kill_of_its_own_is_not_said_to_be_the_kernels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A SIGKILL that nobody here sent mostly means that memory ran out: an operator would look for that in vain."""
    happenings = queue.SimpleQueue[Happening]()
    with StateDir(tmp_path) as state:
        supervisor = of_a_daemon_whose_child_died(state, happenings)
        ended = supervisor._run_jvm()
        assert ended is not None
        happenings.put(signal.SIGTERM)
        supervisor._wait_to_restart(ended, 1.0)
    said = "the KCL daemon ended: killed by the supervisor, for the reason said before; it is started again"
    assert caplog.messages == ["a child ended, so does the daemon", said]


def of_a_daemon_whose_child_died(state: StateDir, happenings: "queue.SimpleQueue[Happening]") -> DaemonSupervisor:
    """The daemon begins to end by itself and does not come to it."""
    ends_by_itself = f"""
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(state.path / ENDING)!r}).write_text("a child died")
time.sleep(60)
"""
    return DaemonSupervisor(
        command=[sys.executable, "-c", ends_by_itself],
        roomier=[],
        environment={},
        state=state,
        prover=cast("Any", Quiet()),
        happenings=happenings,
        grace_s=1.0,
        vitals=cast("Any", Quiet()),
    )

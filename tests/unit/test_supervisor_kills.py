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
    ends_by_itself = f"""
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(tmp_path / ENDING)!r}).write_text("a child died")
time.sleep(60)
"""
    with StateDir(tmp_path) as state:
        supervisor = DaemonSupervisor(
            command=[sys.executable, "-c", ends_by_itself],
            roomier=[],
            environment={},
            state=state,
            prover=cast("Any", Quiet()),
            happenings=happenings,
            grace_s=1.0,
            vitals=cast("Any", Quiet()),
        )
        ended = supervisor._run_jvm()
    assert (ended is None) == asked

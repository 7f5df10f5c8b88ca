"""The supervisor over a make-believe JVM: what it does when the JVM dies, hangs, or says that nothing can work."""

import logging
import math
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from stream_router.consumer.state_dir import StateDir
from stream_router.consumer.supervisor import processes
from stream_router.consumer.supervisor.java import JvmExit
from stream_router.consumer.supervisor.supervisor import STABLE_S, DaemonSupervisor, PlannedRestart, SupervisorEvent
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.errors import SettingsError
from tests.supervised import Running, alive, supervisors
from tests.system.world import until

Run = Callable[..., Running]

DEAF = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(state / "deaf").touch()
while True: time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with supervisors(tmp_path) as start:
        yield start


def test_a_jvm_that_dies_is_started_again_later_each_time(run: Run) -> None:
    """Never for the last time: with a folder that was removed, on a host that has no process to spare, with more memory
    after a full heap. Each is one line with the reason."""
    running = run(
        "lives = (state.parent / 'starts').read_text().count('\\n')\n"
        "assert (state / 'daemon.properties').read_text() == 'a = b\\n'\n"
        "if lives == 1: shutil.rmtree(state); sys.exit(7)\n"  # as hosts remove from /tmp what is old
        "if lives == 2: (state.parent / 'python').unlink(); sys.exit(3)\n"
        "if lives == 3: sys.exit(3 if 'larger-heap' in sys.argv else 99)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    running.until(lambda: "daemon-not-started" in running.lines())
    running.python.symlink_to(sys.executable)
    running.until(lambda: "SIGKILL" in running.lines())
    running.stop()
    ends = [line for line in running.log_lines() if line.get("event") == "daemon-ended"]
    assert [line["waitS"] for line in ends] == [0.25, 0.5, 1.0, 2.0, 4.0]
    for line, word in zip(ends, ("status 7", "heap is full", "status 71", "heap is full", "by SIGKILL"), strict=True):
        assert word in line["message"]
    assert ["half of the memory" in line["message"] for line in ends] == [False, True, False, False, False]
    assert len(running.starts()) == 4


def test_no_jvm_is_started_before_the_lease_table_is_there(tmp_path: Path, run: Run) -> None:
    """It is asked for again until it is; a signal ends the wait with 0, and a missing right with 78."""
    table, asked = tmp_path / "table", tmp_path / "table-asked"
    table.write_text("")
    waiting = run(DEAF)
    waiting.until(asked.exists)
    waiting.stop()
    assert waiting.starts() == []
    asked.unlink()
    running = run("time.sleep(60)")
    running.until(asked.exists)
    assert running.starts() == []
    table.unlink()
    running.until(running.starts)
    running.stop()
    table.write_text("refused dynamodb:CreateTable is refused")
    refused = run(DEAF)
    assert refused.process.wait(10) == 78
    assert refused.lines().splitlines()[-1].endswith("is refused; grant it")
    assert len(refused.starts()) == 1


def test_a_verdict_of_a_child_ends_it_with_78(run: Run) -> None:
    """Settings that a child cannot work with: its line on stderr, status 78, no restart."""
    verdict = SettingsError("SOME_SETTING", "is wrong", "mend it").to_json()
    running = run(f'(state / "fatal").write_text({verdict!r}); sys.exit(1)')
    assert running.process.wait(10) == 78
    assert running.lines().splitlines()[-1] == "SOME_SETTING: is wrong; mend it"
    assert len(running.starts()) == 1


def test_a_jvm_that_does_not_drain_is_killed_after_its_grace(run: Run) -> None:
    """SIGTERM, the grace and a little more, SIGKILL; then 0, and nothing runs any more."""
    running = run(DEAF)
    running.until((running.state / "deaf").exists)
    assert 5.0 < running.stop() < 9.0
    assert not alive(running.starts()[0])


def test_a_second_signal_does_not_wait(run: Run) -> None:
    """Ctrl-C twice: the JVM is killed at once."""
    running = run(DEAF)
    running.until((running.state / "deaf").exists)
    running.process.send_signal(signal.SIGINT)
    running.until(lambda: "draining" in running.lines())
    assert running.stop(signal.SIGINT) < 4.0
    assert not alive(running.starts()[0])


def test_children_hear_of_the_end_from_the_supervisor_itself(run: Run) -> None:
    """A child that holds cannot be reached by its JVM: the supervisor's SIGTERM reaches it directly."""
    running = run(
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, pathlib, sys; "
        "signal.sigwait([signal.SIGTERM]); pathlib.Path(sys.argv[1]).touch()', str(state / 'apply')], "
        "preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]))\n"
        "(state / 'ready').touch(); child.wait()"
    )
    running.until((running.state / "ready").exists)
    running.stop()
    assert (running.state / "apply").exists()


def test_children_that_outlive_their_jvm_are_killed_before_the_next_one(run: Run) -> None:
    """No old child may go on sending beside the new one, whatever it ignores."""
    running = run(
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'])\n"
        "with (state / 'children').open('a') as file: file.write(f'{child.pid}\\n')\n"
        "os._exit(1)"
    )
    running.until(lambda: len(running.starts()) >= 2)
    first = int((running.state / "children").read_text().split()[0])
    assert not alive(first)
    running.stop()
    assert not any(alive(int(pid)) for pid in (running.state / "children").read_text().split())


def test_a_jvm_that_begins_to_end_by_itself_is_not_waited_for(run: Run) -> None:
    """A child died: the JVM would wait out its grace for the dead one, so it is ended as soon as no child is left."""
    running = run("(state / 'daemon-ending').write_text('x')\nwhile True: time.sleep(60)")
    running.until(lambda: len(running.starts()) >= 1)
    assert running.until(lambda: len(running.starts()) >= 2) < 12.0
    assert not alive(running.starts()[0])
    assert "child-died" in running.lines()
    assert "killed by the supervisor" in running.lines(), "a kill of our own is not the kernel's"


NOT_INITIALIZED = (
    """print('{"level":"ERROR","event":"kcl","logger":"Scheduler","message":"Caught exception when initializing """
    """LeaseCoordinator"}', flush=True)\n"""
)


def test_a_daemon_that_did_not_initialize_is_restarted_at_once_and_that_is_no_crash(run: Run) -> None:
    """One that fails again and again waits longer each time, as in an outage. One that does not end is killed.

    The log has the reason as a warning and no error.
    """
    running = run(
        "lives = (state.parent / 'starts').read_text().count('\\n')\n"
        f"if lives < 4: {NOT_INITIALIZED}"
        "if lives == 3: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "while True: time.sleep(60)"
    )
    assert running.until(lambda: len(running.starts()) >= 2) < 15.0
    running.until(lambda: len(running.starts()) >= 4)
    first, second, third, fourth = running.starts()
    assert not any(map(alive, (first, second, third)))
    running.stop()
    assert not alive(fourth)
    planned = [line for line in running.log_lines() if line.get("event") == "daemon-restart-planned"]
    assert [(line["level"], line["cause"]) for line in planned] == [("WARNING", "not_initialized")] * 3
    assert not [line for line in running.log_lines() if line["level"] == "ERROR" and line["event"] != "kcl"]


def test_a_stop_that_comes_during_a_planned_restart_is_obeyed(run: Run) -> None:
    """The daemon is not started again, however slowly it ends."""
    running = run(f"{NOT_INITIALIZED}{DEAF}")
    running.until(lambda: "daemon-restart-planned" in running.lines())
    running.stop()
    assert not any(map(alive, running.starts()))
    assert len(running.starts()) == 1


def test_a_planned_restart_of_a_daemon_with_children_lets_them_finish(tmp_path: Path) -> None:
    """They get SIGTERM and the daemon's grace, as at a stop. A request for another daemon does nothing."""
    program = (
        "import pathlib, signal, subprocess, sys\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import pathlib, signal, sys; "
        "signal.sigwait([signal.SIGTERM]); pathlib.Path(sys.argv[1]).touch()', str(folder / 'apply')],"
        " preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]))\n"
        "signal.signal(signal.SIGTERM, lambda *_: (child.wait(), sys.exit(0)))\n"
        "(folder / 'ready').touch()\n"
        "while True: signal.pause()"
    )
    vitals, quiet = Vitals(), cast("Any", Quiet())
    with StateDir(tmp_path) as state:
        daemon_supervisor = DaemonSupervisor(
            command=[sys.executable, "-c", program],
            command_with_larger_heap=[],
            environment={},
            state=state,
            target_checker=quiet,
            events=queue.SimpleQueue(),
            grace_s=5.0,
            vitals=vitals,
        )

        def ask() -> None:
            until((tmp_path / "ready").exists, 10, "the child runs")
            daemon = vitals.read().daemon or 0
            daemon_supervisor.request_restart(PlannedRestart(daemon + 1, "shards_stuck", "Another."))
            time.sleep(1.5)
            assert not (tmp_path / "apply").exists()
            daemon_supervisor.request_restart(PlannedRestart(daemon, "shards_stuck", "Nobody reads."))

        asking = threading.Thread(target=ask)
        asking.start()
        ended = daemon_supervisor._run_jvm()
        asking.join()
        assert ended == JvmExit(0, planned=True)
        assert (tmp_path / "apply").exists()
        assert daemon_supervisor._wait_to_restart(ended, STABLE_S)
        assert daemon_supervisor._short_run_count == 0
    assert vitals.read().planned_restarts == {"shards_stuck": 1, "not_initialized": 0, "target_restored": 0}


def test_a_target_that_is_in_order_again_restarts_the_daemon_on_purpose(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The children have to read again what they sent meanwhile. That is not a crash: no ERROR line, no counted restart.

    The daemon gets SIGTERM and its grace: killed, it would keep the leader lock for two minutes.
    """
    caplog.set_level(logging.INFO)
    program = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit(0)))\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)"
    )
    vitals, quiet = Vitals(), Quiet()
    with StateDir(tmp_path / "state") as state:
        daemon_supervisor = DaemonSupervisor(
            command=[sys.executable, "-c", program],
            command_with_larger_heap=[],
            environment={},
            state=state,
            target_checker=cast("Any", quiet),
            events=queue.SimpleQueue(),
            grace_s=5.0,
            vitals=vitals,
        )

        def restore() -> None:
            until((tmp_path / "ready").exists, 10, "the daemon runs")
            quiet.ok_since_s = time.monotonic()

        restoring = threading.Thread(target=restore)
        restoring.start()
        ended = daemon_supervisor._run_jvm()
        restoring.join()
    assert ended == JvmExit(0, planned=True)
    known = vitals.read()
    assert (known.restarts, known.planned_restarts["target_restored"]) == (0, 1)
    (line,) = [record for record in caplog.records if getattr(record, "event", "") == "daemon-restart-planned"]
    assert "Bus and rule take our events again" in line.getMessage()
    warnings = [record for record in caplog.records if record.levelno > logging.INFO]
    assert {record.name for record in warnings} <= {"stream_router.settings.files"}, "only that the folder was made"


def test_the_jvm_does_not_outlive_a_supervisor_that_is_killed(run: Run) -> None:
    """kill -9 of the supervisor: the kernel ends the JVM."""
    running = run(DEAF)
    running.until((running.state / "deaf").exists)
    running.process.kill()
    running.until(lambda: not alive(running.starts()[0]), 5.0)


class Quiet:
    """Vitals and target check of a supervisor of which nothing else is asked."""

    def __init__(self) -> None:
        self.ok_since_s = -math.inf

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


def test_a_signal_that_comes_while_the_daemon_is_killed_is_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that is swallowed would end in the platform's SIGKILL."""
    events = queue.SimpleQueue[SupervisorEvent]()
    send = processes.send

    def and_then_asked(pids: list[int], number: signal.Signals) -> None:
        if number == signal.SIGKILL:
            events.put(signal.SIGTERM)
        send(pids, number)

    monkeypatch.setattr(processes, "send", and_then_asked)
    ending = f"import pathlib, time; pathlib.Path({str(tmp_path / 'daemon-ending')!r}).write_text('x'); time.sleep(60)"
    quiet = cast("Any", Quiet())
    with StateDir(tmp_path) as state:
        daemon_supervisor = DaemonSupervisor(
            command=[str(shutil.which("sh")), "-c", 'trap \'\' TERM; exec "$0" -c "$1"', sys.executable, ending],
            command_with_larger_heap=[],
            environment={},
            state=state,
            target_checker=quiet,
            events=events,
            grace_s=1.0,
            vitals=quiet,
        )
        assert daemon_supervisor._run_jvm() is None

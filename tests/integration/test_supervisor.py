"""The supervisor over a make-believe JVM: what it does when the JVM dies, hangs, or says that nothing can work."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import supervised

JVM = """
import os, pathlib, signal, subprocess, sys, time
state = pathlib.Path(os.environ["STATE"])
with (state / "starts").open("a") as starts:
    starts.write(f"{os.getpid()}\\n")
"""
"""Every make-believe JVM notes that it was started."""

DEAF = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(state / "deaf").touch()
while True: time.sleep(60)
"""


class Running:
    """One supervisor, its state folder and what it wrote to stderr."""

    def __init__(self, folder: Path, jvm: str) -> None:
        self.state = folder / "state"
        (folder / "jvm.py").write_text(JVM + jvm)
        self.stderr = (folder / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, supervised.__file__, "supervise", str(self.state), str(folder / "jvm.py")],
            stderr=self.stderr,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def starts(self) -> list[int]:
        file = self.state / "starts"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def lines(self) -> str:
        self.stderr.seek(0)
        return self.stderr.read()

    def until(self, is_so: Callable[[], bool], timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.02)

    def end(self, timeout_s: float = 10.0) -> int:
        return self.process.wait(timeout_s)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], Running]]:
    started: list[Running] = []

    def start(jvm: str) -> Running:
        started.append(Running(tmp_path, jvm))
        return started[0]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        one.stderr.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_jvm_that_dies_is_started_again_later_each_time(run: Callable[[str], Running]) -> None:
    """Restarts never end; the waits between them grow; each is one line with the reason."""
    running = run("sys.exit(1)")
    running.until(lambda: len(running.starts()) >= 4)
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 0
    said = [json.loads(line) for line in running.lines().splitlines()]
    waits = [line["waitS"] for line in said if "started again" in line["message"]]
    assert all("exit status 1" in line["message"] for line in said if "started again" in line["message"])
    for number, wait in enumerate(waits[:4]):
        assert 0.25 * 2**number <= wait <= 0.5 * 2**number


def test_a_verdict_of_a_child_ends_it_with_78(run: Callable[[str], Running]) -> None:
    """Settings that a child cannot work with: its line on stderr, status 78, no restart."""
    running = run('(state / "fatal").write_text("SOME_SETTING: is wrong; mend it\\n"); sys.exit(1)')
    assert running.end() == 78
    assert running.lines().splitlines()[-1] == "SOME_SETTING: is wrong; mend it"
    assert len(running.starts()) == 1


def test_a_jvm_that_does_not_drain_is_killed_after_its_grace(run: Callable[[str], Running]) -> None:
    """SIGTERM, the grace and a little more, SIGKILL; then 0, and nothing runs any more."""
    running = run(DEAF)
    running.until((running.state / "deaf").exists)
    asked = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 0
    assert 5.0 < time.monotonic() - asked < 9.0
    assert not alive(running.starts()[0])


def test_a_second_signal_does_not_wait(run: Callable[[str], Running]) -> None:
    """Ctrl-C twice: the JVM is killed at once."""
    running = run(DEAF)
    running.until((running.state / "deaf").exists)
    running.process.send_signal(signal.SIGINT)
    running.until(lambda: "draining" in running.lines())
    asked = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0
    assert time.monotonic() - asked < 4.0
    assert not alive(running.starts()[0])


def test_children_hear_of_the_end_from_the_supervisor_itself(run: Callable[[str], Running]) -> None:
    """A child that holds cannot be reached by its JVM: the supervisor's SIGTERM reaches it directly."""
    running = run(
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, pathlib, sys; "
        "signal.sigwait([signal.SIGTERM]); pathlib.Path(sys.argv[1]).touch()', str(state / 'heard')], "
        "preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]))\n"
        "(state / 'ready').touch(); child.wait()"
    )
    running.until((running.state / "ready").exists)
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 0
    assert (running.state / "heard").exists()


def test_children_that_outlive_their_jvm_are_killed_before_the_next_one(run: Callable[[str], Running]) -> None:
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
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 0
    assert not any(alive(int(pid)) for pid in (running.state / "children").read_text().split())


def test_a_jvm_that_begins_to_end_by_itself_is_not_waited_for(run: Callable[[str], Running]) -> None:
    """A child died: the JVM would wait out its grace for the dead one, so it is ended as soon as no child is left."""
    running = run("(state / 'daemon-ending').write_text('x')\nwhile True: time.sleep(60)")
    running.until(lambda: len(running.starts()) >= 1)
    begun = time.monotonic()
    running.until(lambda: len(running.starts()) >= 2)
    assert time.monotonic() - begun < 12.0
    assert not alive(running.starts()[0])
    assert "a child ended" in running.lines()


def test_the_jvm_does_not_outlive_a_supervisor_that_is_killed(run: Callable[[str], Running]) -> None:
    """kill -9 of the supervisor: the kernel ends the JVM."""
    running = run("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(60)")
    running.until(lambda: bool(running.starts()))
    running.process.kill()
    running.end()
    running.until(lambda: not alive(running.starts()[0]), 5.0)

"""The supervisor at each of its failpoints: killed there it leaves no daemon behind, stalled there it still ends."""

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
import os, pathlib, signal, sys, time
state = pathlib.Path(os.environ["STATE"])
with (state / "starts").open("a") as starts:
    starts.write(f"{os.getpid()}\\n")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    time.sleep(0.05)
"""
PLACES = {
    "daemon_started_before_first_look": 1,
    "target_proven_before_written": 3,
    "state_file_written_before_rename": 3,
}
"""Which time counts."""


class Running:
    """One supervisor over a make-believe daemon."""

    def __init__(self, folder: Path, failpoints: str = "") -> None:
        self.state = folder / "state"
        (folder / "jvm.py").write_text(JVM)
        self.log = folder / "stderr"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, supervised.__file__, "supervise", str(self.state), str(folder / "jvm.py")],
                stderr=log,
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(__file__).parents[2]),
                    "STREAM_ROUTER_FAILPOINTS": failpoints,
                },
            )

    def starts(self) -> list[int]:
        file = self.state / "starts"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(failpoints: str = "") -> Running:
        started.append(Running(tmp_path, failpoints))
        return started[-1]

    yield start
    for one in started:
        one.end()


def until(is_so: Callable[[], object], within_s: float = 20.0) -> float:
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < within_s
        time.sleep(0.02)
    return time.monotonic() - begun


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_a_place_it_leaves_nothing_behind_and_starts_again(run: Callable[..., Running], place: str) -> None:
    """The daemon goes with it, the folder is free, and the next supervisor reads a whole proof of the bus."""
    first = run(f"{place}=kill@{PLACES[place]}")
    assert first.process.wait(20) == -signal.SIGKILL
    until(lambda: not any(map(alive, first.starts())), 5.0)
    before = len(first.starts())
    second = run()
    until(lambda: len(second.starts()) > before)
    proven = json.loads((second.state / "target-proof").read_text())["proven_s"]
    assert time.monotonic() - proven < 10
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(10) == 0


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES)
def test_stalled_at_a_place_the_daemon_runs_on_and_a_stop_is_heard(run: Callable[..., Running], place: str) -> None:
    """The daemon is not touched; a stop ends it at the latest when the stall is over."""
    one = run(f"{place}=stall:3s@{PLACES[place]}")
    until(lambda: f"failpoint {place}" in one.log.read_text())
    until(one.starts)
    (jvm,) = one.starts()
    assert alive(jvm)
    one.process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    assert one.process.wait(10) == 0
    assert time.monotonic() - begun < (4.5 if place.startswith("daemon") else 2.5)
    assert not alive(jvm)
    said = [json.loads(line) for line in one.log.read_text().splitlines() if line.startswith("{")]
    assert any(line["message"] == "drained" for line in said)

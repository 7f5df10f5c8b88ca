"""The supervisor at each of its failpoints: killed there it leaves no daemon behind, stalled there it still ends."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.supervised import Running, alive, supervisors

JVM = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
wanted = state / "target-wanted"
while True:
    wanted.touch()
    os.utime(wanted, (time.monotonic(),) * 2)
    time.sleep(0.05)
"""
"""Wants a target check all the time, as a child does while events flow."""

PLACES = {
    "daemon_started_before_first_look": 1,
    "target_proven_before_written": 3,
    "state_file_written_before_rename": 3,
}
"""Which time counts."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    with supervisors(tmp_path) as start:
        yield start


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_a_place_it_leaves_nothing_behind_and_starts_again(run: Callable[..., Running], place: str) -> None:
    """The daemon goes with it, the folder is free, and the next supervisor reads a whole proof of the bus."""
    first = run(JVM, f"{place}=kill@{PLACES[place]}")
    assert first.process.wait(20) == -signal.SIGKILL
    first.until(lambda: not any(map(alive, first.starts())), 5.0)
    before = len(first.starts())
    second = run(JVM)
    second.until(lambda: len(second.starts()) > before)
    proven = json.loads((second.state / "target-proof").read_text())["proven_s"]
    assert time.monotonic() - proven < 10
    second.stop()


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES)
def test_stalled_at_a_place_the_daemon_runs_on_and_a_stop_is_heard(run: Callable[..., Running], place: str) -> None:
    """The daemon is not touched; a stop ends it at the latest when the stall is over."""
    completed = run(JVM, f"{place}=stall:3s@{PLACES[place]}")
    completed.until(lambda: f"failpoint {place}" in completed.lines())
    completed.until(completed.starts)
    (jvm,) = completed.starts()
    assert alive(jvm)
    assert completed.stop() < (4.5 if place.startswith("daemon") else 2.5)
    assert not alive(jvm)
    assert any(line["message"] == "drained" for line in completed.log_lines())

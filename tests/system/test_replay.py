"""`replay` of 5,000 events that is broken off three times: each event is back once, under one run."""

import re
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.system.world import PROGRAM, World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(400)]

EVENTS, RATE = 5_000, 250
BETWEEN_BREAKS = 900


class Replayed:
    """The replayed events that arrived at the target so far."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.counts: Counter[str] = Counter()
        self.runs: set[str] = set()

    def receive(self) -> int:
        """Take out what arrived since the last call; the number of replayed events in all."""
        for message in self._world.drain(self._world.target):
            detail: dict[str, Any] = message["detail"]
            if run := detail["metadata"].get("replayed"):
                self.counts[detail["eventId"]] += 1
                self.runs.add(str(run))
        return self.counts.total()


def test_a_replay_of_5000_events_broken_off_three_times_puts_each_back_once(make_world: Callable[..., World]) -> None:
    """By Ctrl-C, kill -9 and SIGTERM; each time the command that was printed continues the run."""
    world = make_world()
    world.start_all()
    sent = world.post_many(EVENTS, 200)
    world.all_arrived(sent, 120)
    replayed = Replayed(world)
    words = ["replay", "--since", "1h", "--rate", str(RATE), "--yes"]
    for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        process = subprocess.Popen(
            [PROGRAM, *words], env=world.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        announced = next(
            filter(None, map(re.compile(r"run (\S+); .*go on with: stream-router (.+)\n").match, process.stdout))
        )
        enough = replayed.receive() + BETWEEN_BREAKS
        until(lambda: replayed.receive() >= enough, 60, "the replay is at work")  # noqa: B023
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 1)
        words = shlex.split(announced[2])
    done = subprocess.run([PROGRAM, *words], env=world.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: replayed.receive() >= EVENTS, 60, "every event is back")
    time.sleep(5)  # a copy would come now
    replayed.receive()
    assert replayed.counts == Counter(dict.fromkeys(sent, 1))
    assert len(replayed.runs) == 1

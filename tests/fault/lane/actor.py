"""Starts, kills and ends a world's programs, lets time pass, and writes down what was done and when.

Everything happens on the caller's thread: programs are started there (they die with the thread that started them), and
what ends later (a stop, a wire's trouble) is due on a list that every wait works off.
"""

import contextlib
import heapq
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

from tests.fault.lane.chaos import Schedule, rules_at_rest
from tests.fault.lane.copies import CHILD_ENDED
from tests.fault.lane.evidence import Act
from tests.fault.lane.proxy import Trouble
from tests.fault.lane.world import LaneWorld

LOOK_EVERY_S = 0.5
OUR_DOING_S = 45.0
"""A daemon that ends so long after a kill may have ended by it: it drains first."""

EXITS_WITHIN_S = 25.0
Say = Callable[[str], None]


class Actor:
    """`acts` is what was done, `bites` how often by family, `ended` which programs ended by themselves."""

    def __init__(self, world: LaneWorld, schedule: Schedule, seed: int, say: Say) -> None:
        self.world, self.schedule, self.say = world, schedule, say
        self.acts: list[Act] = []
        self.bites: Counter[str] = Counter()
        self.ended: list[str] = []
        self.workers: list[str] = []
        self._dice = random.Random(f"{seed}/hands")
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._down: set[str] = set()
        self.beat: Callable[[], None] = lambda: None
        """Called now and then while time passes."""
        self.settled: Callable[[], int] = lambda: 0
        """How many events are settled by now."""
        self._settled_before = 0
        self._seen: dict[int, str] = {}
        self._daemons: dict[int, str] = {}
        self._looked = time.time()

    # --- time ---------------------------------------------------------------------------------------------------

    def later(self, after_s: float, do: Callable[[], None]) -> None:
        """Have this done so much later."""
        heapq.heappush(self._due, (time.monotonic() + after_s, next(self._number), do))

    def wait(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        """Let time pass until it is so; False where it is not in time."""
        until = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() >= until:
                return False
            self.tick()
            time.sleep(0.05)
        return True

    def tick(self) -> None:
        """Do what is due, and look whether something ended that nobody ended."""
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        for name, process in self.world.processes.items():
            if name not in self._down and (status := process.poll()) is not None:
                self.ended.append(f"{name} ended with status {status}")
                self._down.add(name)
                self.start(name)
        self._look_for_children()
        self.beat()

    def _look_for_children(self) -> None:
        """Write down which children are gone since the last look. Where one dies its worker's others end later."""
        now = time.time()
        if now - self._looked < LOOK_EVERY_S:
            return
        there = {pid: name for name in self.workers for pid in self.world.pids(name, "child")}
        for pid in self._seen.keys() - there.keys():
            self.acts.append(Act(CHILD_ENDED, self._looked, now, str(pid), (self._seen[pid],)))
        self._seen, self._looked = there, now
        daemons = {pid: name for name in self.workers for pid in self.world.pids(name, "jvm")}
        for name in {self._daemons[pid] for pid in self._daemons.keys() - daemons.keys()}:
            ours = [act for act in self.acts if name in act.workers and act.family != CHILD_ENDED]
            if name not in self._down and not any(act.ended >= now - OUR_DOING_S for act in ours):
                self.ended.append(f"the daemon of {name} ended at {now:.3f} though nobody had touched it")
        self._daemons = daemons

    def note(self, family: str, begun: float, what: str = "", workers: tuple[str, ...] = ()) -> None:
        """Write an act down that ends now, and count it."""
        self.acts.append(Act(family, begun, time.time(), what, workers))
        self.bites[family] += 1

    # --- programs -----------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """The receiver, or a worker by its name, where it does not run."""
        if name in self.world.processes and name not in self._down:
            return
        if name == "receiver":
            self.world.start_receiver()
        else:
            self.world.start_worker(name)
            if name not in self.workers:
                self.workers.append(name)
        self._down.discard(name)

    def signal(self, name: str, part: str, number: signal.Signals) -> list[int]:
        """Send a signal to a part of a program; the processes that got it."""
        hit = []
        for pid in self.world.pids(name, part):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                hit.append(pid)
        return hit

    def end(self, name: str) -> None:
        """Kill all of a program and leave it dead."""
        self._down.add(name)
        self.signal(name, "everything", signal.SIGKILL)
        self.world.processes[name].wait(10)

    def terminate(self, name: str) -> None:
        """SIGTERM, and the program must end in time with status 0."""
        self._down.add(name)
        process, begun = self.world.processes[name], time.monotonic()
        process.terminate()
        self.wait(lambda: process.poll() is not None, EXITS_WITHIN_S)
        took_s = time.monotonic() - begun
        if process.poll() != 0:
            self.ended.append(f"SIGTERM to {name}: status {process.poll()} after {took_s:.1f} s")
            self.end(name)

    # --- healing ------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Nothing is wrong any more, and everything runs."""
        while self._due:
            self.wait(lambda: not self._due, 30)
        for name, proxy in self.world.proxies.items():
            proxy.trouble = Trouble()
            self.bites[f"wire {name}"] = proxy.bites.total()
        self.world.fake_aws.plan({"rules": rules_at_rest()})
        if self.world.clock:
            self.world.clock.set(0)
        self.wait(self.world.is_ready, 30)
        for worker in self.workers:
            self.wait(lambda worker=worker: bool(self.world.pids(worker, "child")), 60)  # type: ignore[misc]

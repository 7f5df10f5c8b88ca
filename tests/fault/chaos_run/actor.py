"""Does to a world what the schedule says, starts and ends its programs, lets time pass, and writes down what was done.

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

from tests.fault.chaos_run.chaos import LEAST_BITES, Schedule, Step, rules_at_rest
from tests.fault.chaos_run.copies import CHILD_ENDED
from tests.fault.chaos_run.evidence import Act
from tests.fault.chaos_run.proxy import Trouble
from tests.fault.chaos_run.world import STREAM, ChaosWorld

LOOK_EVERY_S = 0.5
OUR_DOING_S = 45.0
"""A daemon that ends so long after a kill may have ended by it: it drains first."""

EXITS_WITHIN_S = 25.0

TROUBLE = {
    "latency": Trouble(latency_s=0.15),
    "blackhole": Trouble(blackhole=True),
    "bandwidth": Trouble(bytes_s=20_000.0),
    "refuse": Trouble(refuse=True),
}
BACK_AFTER_S = 0.7
"""How soon a program that was killed is started again, as systemd would."""

TARGET_WITHIN_S = 90.0
FLOWING = {"kill": 300, "stop": 20}
"""So many events come out before a worker is struck again."""

BITES_WITHIN_S = 30.0
"""A fault that has hit nothing yet lasts longer, at most so long."""

QUEUE_BITES_WITHIN_S = 90.0
"""The same of an outage of SQS: a queue that fails is asked less and less often, and not at all while no child runs."""

WORKERS_WIRES = ("kinesis out", "dynamodb", "sink")

TAKEN_OVER_WITHIN_S = 180.0
OWNS_WITHIN_S = 240.0
"""The two minutes of the KCL's leader lock, and some looks of the leader."""

Say = Callable[[str], None]


class Actor:
    """`acts` is what was done, `bites` how often by family, `ended` which programs ended by themselves."""

    def __init__(self, world: ChaosWorld, schedule: Schedule, seed: int, say: Say) -> None:
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

    def note(self, family: str, begun: float, kind: str = "", workers: tuple[str, ...] = ()) -> None:
        """Write an act down that ends now, and count it."""
        self.acts.append(Act(family, begun, time.time(), kind, workers))
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

    # --- damage -----------------------------------------------------------------------------------------------

    def do(self, step: Step) -> None:
        """One step of the schedule."""
        self.say(f"{step.do} {step.target}".strip())
        if step.do.startswith("wire "):
            self._wire(step)
        else:
            getattr(self, f"_{step.do.replace(' ', '_')}")(step)

    def _kill(self, step: Step) -> None:
        name = self._whom(step)
        if name == "":
            return
        begun = time.time()
        if step.target == "everything":
            for worker in [*self.workers, "receiver"]:
                self.end(worker)
                self.later(BACK_AFTER_S + self._dice.random(), lambda item=worker: self.start(item))  # type: ignore[misc]
            self.note("kill everything", begun, workers=(*self.workers,))
        elif step.target in ("supervisor", "receiver"):
            self._down.add(name)
            self.signal(name, step.target, signal.SIGKILL)
            self.world.processes[name].wait(10)
            self.later(BACK_AFTER_S, lambda: self.start(name))
            self.note(f"kill {step.target}", begun, name, () if name == "receiver" else (name,))
        else:
            pid = self._dice.choice(self.world.pids(name, step.target) or [0])
            with contextlib.suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    self.note(f"kill {step.target}", begun, name, (name,))
        self.bites["kill"] = sum(self.bites[key] for key in self.bites if key.startswith("kill "))

    def _stop(self, step: Step) -> None:
        name = self._whom(step)
        names = [*self.workers, "receiver"] if step.target == "everything" else [name] if name else []
        begun = time.time()
        hit = [pid for name in names for pid in self.signal(name, step.target, signal.SIGSTOP)]

        def go_on() -> None:
            for pid in hit:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self.note(f"stop {step.target}", begun, name)
            self.bites["stop"] += 1

        if hit:
            self.later(step.for_s, go_on)

    def _whom(self, step: Step) -> str:
        """A program that has this part and works: waited for where none does. "" where none comes in time.

        A worker is struck again only once events have come out since it was struck last: a process that only ever
        starts proves nothing.
        """
        if step.target == "receiver":
            self.wait(lambda: bool(self.world.pids("receiver", "receiver")), TARGET_WITHIN_S)
            return "receiver"
        texts: list[str] = []

        def is_whole() -> bool:
            if self.settled() < self._settled_before + FLOWING[step.do]:
                return False
            texts[:] = [
                worker for worker in self.workers if worker not in self._down and self.world.pids(worker, "child")
            ]
            return bool(texts)

        if not self.wait(is_whole, TARGET_WITHIN_S):
            return ""
        self._settled_before = self.settled()
        return self._dice.choice(texts)

    def _wire(self, step: Step) -> None:
        wire = step.do.removeprefix("wire ")
        if wire in WORKERS_WIRES:
            self._mostly_while_they_work(always=step.target == "reset")
        proxy, begun = self.world.proxies[wire], time.time()
        if step.target in ("reset", "refuse"):
            self.world.wires.cut(proxy)
        if step.target == "reset":
            self.acts.append(Act(step.do, begun, time.time(), "reset"))
            return
        proxy.trouble = TROUBLE[step.target]
        before, latest = proxy.bites[step.target], time.monotonic() + BITES_WITHIN_S

        def mend() -> None:
            if proxy.bites[step.target] == before and time.monotonic() < latest:
                self.later(0.5, mend)
                return
            proxy.trouble = Trouble()
            self.world.wires.cut(proxy, all_of_them=False)
            self.acts.append(Act(step.do, begun, time.time(), step.target))

        self.later(step.for_s, mend)

    def _mostly_while_they_work(self, *, always: bool = False) -> None:
        """Wait for a worker that runs, two times of three: a line that nobody uses cannot be cut. Else now."""
        if always or self._dice.random() < 2 / 3:
            self.wait(lambda: any(self.world.pids(worker, "child") for worker in self.workers), TARGET_WITHIN_S)

    def _sqs_down(self, step: Step) -> None:
        self._mostly_while_they_work()
        begun, latest = time.time(), time.monotonic() + QUEUE_BITES_WITHIN_S
        outage = {"operation": "SendMessageBatch", "fault": "outage"}
        before = self._outages()
        self.world.fake_aws.plan({"rules": [outage, *self.schedule.rules]})

        def mend() -> None:
            if self._outages() < before + LEAST_BITES and time.monotonic() < latest:
                self.later(0.5, mend)
                return
            self.world.fake_aws.plan({"rules": self.schedule.rules})
            self.acts.append(Act("sqs down", begun, time.time()))

        self.later(step.for_s, mend)

    def _outages(self) -> int:
        return int(self.world.fake_aws.stats()["faults"].get("outage", 0))

    def _clock(self, step: Step) -> None:
        assert self.world.clock
        self.world.clock.set(int(step.target))
        self.note("clock", time.time(), step.target)

    # --- the fleet: a worker joins, is killed for good, leaves; a shard is split, two are merged; an upgrade --------

    def _join(self, _: Step) -> None:
        begun = time.time()
        self.start("two")
        if self._share():
            self.note("join", begun, "two")

    def _takeover(self, _: Step) -> None:
        """The worker that does not lead is killed and stays dead until the other has all its shards."""
        victim, survivor = self._follower()
        begun = time.time()
        shards = {shard for shard, owner in self.world.leases().items() if owner == victim}
        self.end(victim)
        self.acts.append(_act("kill worker", begun, victim))

        def all_taken() -> bool:
            leases = self.world.leases()
            return {leases.get(shard, survivor) for shard in shards} == {survivor}

        if shards and self.wait(all_taken, TAKEN_OVER_WITHIN_S):
            self.note("takeover", begun, f"{len(shards)} shards of {victim} after {time.time() - begun:.1f} s")
        self.start(victim)

    def _leave(self, _: Step) -> None:
        """A worker leaves by SIGTERM, the other has all; it comes back."""
        victim, survivor = self._follower()
        begun = time.time()
        self.terminate(victim)
        self.acts.append(_act("restart worker", begun, victim))
        if self.wait(lambda: set(self.world.leases().values()) == {survivor}, TAKEN_OVER_WITHIN_S):
            self.note("leave", begun, victim)
        self.start(victim)

    def _rolling_restart(self, _: Step) -> None:
        """Everything is restarted, one after the other, as an upgrade does."""
        begun = time.time()
        for name in ["receiver", *self.workers]:
            requested_at = time.time()
            self.terminate(name)
            if name == "receiver":
                self.acts.append(_act("restart receiver", requested_at))
                self.start(name)
                self.wait(self.world.is_ready, 30)
            else:
                self.acts.append(_act("restart worker", requested_at, name))
                self.start(name)
                self.wait(lambda name=name: bool(self.world.pids(name, "child")), OWNS_WITHIN_S)  # type: ignore[misc]
        self.note("rolling restart", begun)

    def _split(self, _: Step) -> None:
        begun = time.time()
        open_now = self.world.open_shards()
        first = next(shard for shard in self.world.shards() if shard["ShardId"] == open_now[0])
        low, high = (int(first["HashKeyRange"][key]) for key in ("StartingHashKey", "EndingHashKey"))
        middle = str((low + high) // 2)
        self.world.kinesis.split_shard(StreamName=STREAM, ShardToSplit=open_now[0], NewStartingHashKey=middle)
        self._split_shard = open_now[0]
        self.note("split", begun, open_now[0])

    def _merge(self, _: Step) -> None:
        begun = time.time()
        halves = [shard["ShardId"] for shard in self.world.shards() if shard.get("ParentShardId") == self._split_shard]
        self.world.kinesis.merge_shards(StreamName=STREAM, ShardToMerge=halves[0], AdjacentShardToMerge=halves[1])
        self.note("merge", begun, " ".join(halves))

    def _share(self) -> bool:
        """Both workers have leases.

        The KCL's leader gives the one of what the other has; after a kill of the leader there is none for two minutes.
        """

        def both_own() -> bool:
            return set(self.workers) <= set(self.world.leases().values())

        return self.wait(both_own, OWNS_WITHIN_S)

    def _follower(self) -> tuple[str, str]:
        """The worker that does not lead, and the other; both have leases where that comes in time."""
        self._share()
        self.wait(lambda: self.world.leader() in self.workers, 30)
        leader = self.world.leader() or self.workers[0]
        return next(worker for worker in self.workers if worker != leader), leader


def _act(family: str, begun: float, *workers: str) -> Act:
    return Act(family, begun, time.time(), "", workers)

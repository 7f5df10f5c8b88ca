"""Does to a world what the schedule says: kills, stops, trouble on the wires, an outage of SQS, wrong clocks."""

import contextlib
import os
import signal
import time

from tests.fault.lane.actor import Actor
from tests.fault.lane.chaos import LEAST_BITES, Step
from tests.fault.lane.evidence import Act
from tests.fault.lane.proxy import Trouble

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


class FaultActor(Actor):
    """Actor that do damage."""

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
            for one in [*self.workers, "receiver"]:
                self.end(one)
                self.later(BACK_AFTER_S + self._dice.random(), lambda one=one: self.start(one))  # type: ignore[misc]
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
        hit = [pid for one in names for pid in self.signal(one, step.target, signal.SIGSTOP)]

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
        found: list[str] = []

        def is_whole() -> bool:
            if self.settled() < self._settled_before + FLOWING[step.do]:
                return False
            found[:] = [one for one in self.workers if one not in self._down and self.world.pids(one, "child")]
            return bool(found)

        if not self.wait(is_whole, TARGET_WITHIN_S):
            return ""
        self._settled_before = self.settled()
        return self._dice.choice(found)

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
            self.wait(lambda: any(self.world.pids(one, "child") for one in self.workers), TARGET_WITHIN_S)

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

"""How long after a bus that was gone for ten minutes is a worker caught up, at what rate, and what binds it?

Daemon and children run as they ship, as in `worker`; events come at a steady rate before, through and after the outage.
The stream keeps what comes meanwhile. Caught up is a worker that is at most a second behind what was put.
"""

import contextlib
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import events, processes
from benchmarks.driven_child import accepted
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Row, Taken
from benchmarks.worker import PUT_EVERY_S, SETTLE_WITHIN_S, STREAM, Worker
from tests.system.world import until

RATE = 500
EVENTS_A_RECORD = 2
OUTAGE_S, QUICK_OUTAGE_S = 600, 20
LOOK_EVERY_S = 0.5
ROLES = ("jvm", "child", "emulator", "bus", "load")


class Load(threading.Thread):
    """Puts events at the rate until it is told to end. `put` is how many there are by now."""

    def __init__(self, worker: Worker, first: int) -> None:
        super().__init__(daemon=True)
        self._worker, self._first, self._done = worker, first, threading.Event()
        self.put = 0

    def run(self) -> None:
        started, each = time.monotonic(), int(RATE * PUT_EVERY_S)
        while not self._done.wait(max(0.0, started + self.put / RATE - time.monotonic())):
            lines = [events.envelope(self._first + self.put + at) for at in range(each)]
            packed = [b"\n".join(lines[at : at + EVENTS_A_RECORD]) for at in range(0, each, EVENTS_A_RECORD)]
            entries = [{"Data": data, "PartitionKey": f"b{at % 64}"} for at, data in enumerate(packed)]
            answer = self._worker.world.kinesis.put_records(StreamName=STREAM, Records=entries)
            assert not answer["FailedRecordCount"]
            self.put += each

    def end(self) -> None:
        self._done.set()
        self.join()


def after(worker: Worker, mode: str, outage_s: int, first: int) -> Taken:
    """An outage of so long under load; the series is events accepted a second from its end on."""
    before = accepted(worker.fake_aws)
    worker.fake_aws.plan({"rules": [{"fault": "outage", "how": mode, "from_s": 0, "to_s": outage_s}]})
    load, begun = Load(worker, first), time.monotonic()
    load.start()
    time.sleep(outage_s - (time.monotonic() - begun))
    waited, used_before, healed = load.put, processes.cpu_by_role(os.getpid()), time.monotonic()
    course = [(0.0, accepted(worker.fake_aws) - before)]
    while course[-1][1] < load.put - RATE:
        assert time.monotonic() < healed + outage_s + SETTLE_WITHIN_S, f"{course[-1]} of {load.put}"
        time.sleep(LOOK_EVERY_S)
        course.append((time.monotonic() - healed, accepted(worker.fake_aws) - before))
    used = processes.cpu_by_role(os.getpid())
    used.subtract(used_before)
    memory = processes.memory_by_role(os.getpid())
    load.end()
    until(lambda: accepted(worker.fake_aws) >= before + load.put, SETTLE_WITHIN_S, "all is accepted")
    took_s, done = course[-1][0], course[-1][1] - course[0][1]
    figures = {"caughtUpS": took_s, "perSecond": done / took_s, "waited": float(waited - course[0][1])}
    figures |= {f"{name}Us": used[name] / done * 1e6 for name in ROLES}
    figures |= {"jvmMb": max(memory["jvm"]), "childMb": max(memory["child"])}
    figures["twice"] = float(accepted(worker.fake_aws) - before - load.put)
    rates = [
        (round(second, 1), (now - earlier) / (second - sooner))
        for (sooner, earlier), (second, now) in itertools.pairwise(course)
    ]
    return Taken(figures, rates)


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """A bus that refuses connections: what a network's or a region's trouble looks like."""
    outage_s = options.count(OUTAGE_S, QUICK_OUTAGE_S)
    with tempfile.TemporaryDirectory(prefix="catch-up-") as folder:
        worker = Worker(Path(folder))
        try:
            worker.start(options.count(60, 10))
            yield [Case(f"{outage_s} s without a bus", partial(after, worker, "refuse", outage_s, 10_000_000))]
        finally:
            worker.close()


def facts(rows: Sequence[Row]) -> dict[str, Any]:
    """How many of the machine's cores each program took while it was caught up: the most is what binds."""
    last = rows[0].rounds[-1].figures
    cores = {name: round(last[f"{name}Us"] * last["perSecond"] / 1e6, 2) for name in ROLES}
    return {"eventsASecond": RATE, "shards": 4, "coresWhileCaughtUp": cores}


QUESTION = Question("catch_up", str(__doc__).partition("\n")[0], cases, rounds=1, bound_s=900, facts=facts)

if __name__ == "__main__":
    ask(QUESTION)

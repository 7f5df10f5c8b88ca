"""How late is an event from webhook to EventBridge's yes on this machine, and what does it cost in each process?

Receiver, daemon and children run as they ship (`properties/consumer.properties`) on ministack's Kinesis, which answers
PutRecords after 15 ms, and DynamoDB; the bus is the fake AWS, which answers after 30 ms. CPU is counted once the JVM
has compiled what it runs, as it has on a host after its first minutes; memory is the largest process's of each kind.
ministack is one Python process that takes most of a core: its share stands apart, its delays are in the latencies.
"""

import contextlib
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks import processes
from benchmarks.driven_child import accepted
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken
from tests import receiver_load
from tests.fakeaws.process import FakeAwsProcess
from tests.fault.soak import TOOK, ledger, start_as_shipped
from tests.receiver_load import Outcome
from tests.system.world import World, webhook

RATES = (100, 500, 1_500)
STREAM_MS, BUS_MS = "15", "30"
CONNECTIONS = 128
SETTLE_WITHIN_S = 30.0
OTHERS = ("emulator", "bus", "load")


class Pipeline:
    """The programs that ship, on one stack, for all rates."""

    def __init__(self, folder: Path) -> None:
        self.fake_aws = FakeAwsProcess(folder / "ledger", None, 0, "--delay-ms", BUS_MS)
        self.world = World(folder)
        self._number = 0

    def start(self, warm_up_s: int) -> None:
        """Until each shard has its child and the JVM has compiled what it runs: so long at the highest rate."""
        self.world.environment["STREAM_ANSWERS_AFTER_MS"] = STREAM_MS
        start_as_shipped(self.world, self.fake_aws)
        self.run(RATES[-1], warm_up_s)

    def close(self) -> None:
        self.world.close()
        self.fake_aws.stop()

    def run(self, rate: int, seconds: int) -> Taken:
        """So many events a second for so long, from the first webhook's time to the last acceptance."""
        host, _, port = self.world.environment["STREAM_ROUTER_LISTEN"].rpartition(":")
        requests = [self._request() for _ in range(rate * seconds)]
        taken_before = accepted(self.fake_aws)
        before, clock_s = processes.cpu_by_role(os.getpid()), time.time() - time.perf_counter()
        outcomes = receiver_load.send((host, int(port)), requests, rate, CONNECTIONS)
        sent = {
            outcome.identity: (clock_s + outcome.answered_s - outcome.latency_s) * 1000
            for outcome in outcomes
            if outcome.identity
        }
        took = self._settled(sent, taken_before + len(sent))
        used = processes.cpu_by_role(os.getpid())
        used.subtract(before)
        figures = _latencies(sent, took, outcomes)
        figures["cpuUs"] = sum(used[name] for name in processes.PRODUCT) / len(requests) * 1e6
        figures |= {f"{name}Us": used[name] / len(requests) * 1e6 for name in (*processes.PRODUCT, *OTHERS)}
        memory = processes.memory_by_role(os.getpid())
        figures |= {f"{name}Mb": max(memory[name]) for name in ("receiver", "jvm", "child")}
        twice = sum(len(times) - 1 for times in took.values())
        return Taken({**figures, "lost": float(len(sent) - len(took)), "twice": float(twice)})

    def _request(self) -> bytes:
        self._number += 1
        body = webhook(self._number)
        return receiver_load.post(body, self.world.signed(f"d-{self._number}", body))

    def _settled(self, sent: dict[str, float], wanted: int) -> dict[str, list[float]]:
        """When each was accepted, in epoch milliseconds; those that were not within the time are missing.

        `wanted` acceptances are waited for first: the ledger is long, and reading it costs the others CPU.
        """
        until_s = time.monotonic() + SETTLE_WITHIN_S
        while accepted(self.fake_aws) < wanted and time.monotonic() < until_s:
            time.sleep(0.05)
        while True:
            took: dict[str, list[float]] = {}
            for line in ledger(self.fake_aws):
                if line["verdict"] in TOOK and line["eventId"] in sent:
                    took.setdefault(line["eventId"], []).append(line["time"])
            if len(took) == len(sent) or time.monotonic() > until_s:
                return took
            time.sleep(0.2)


def _latencies(sent: dict[str, float], took: dict[str, list[float]], outcomes: Sequence[Outcome]) -> dict[str, float]:
    statuses = Counter(outcome.status for outcome in outcomes)
    cuts = statistics.quantiles([times[0] - sent[name] for name, times in took.items()], n=1000, method="inclusive")
    result = {"p50Ms": cuts[499], "p99Ms": cuts[989], "p999Ms": cuts[998]}
    return {**result, "refused": float(len(outcomes) - statuses[202])}


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """One rate after the other on the same programs."""
    seconds = options.count(20, 6)
    with tempfile.TemporaryDirectory(prefix="whole-") as folder:
        pipeline = Pipeline(Path(folder))
        try:
            pipeline.start(options.count(180, 10))
            yield [Case(f"whole pipeline, {rate}/s", partial(pipeline.run, rate, seconds), at=rate) for rate in RATES]
        finally:
            pipeline.close()


QUESTION = Question("whole", str(__doc__).partition("\n")[0], cases, rounds=3, bound_s=330)

if __name__ == "__main__":
    ask(QUESTION)

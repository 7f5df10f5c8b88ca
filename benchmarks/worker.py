"""What does an event cost in a worker, its JVM and its children, by rate, in records as the receiver packs them?

Daemon and children run as they ship (`properties/consumer.properties`), four shards, on ministack's Kinesis and
DynamoDB; the bus is the fake AWS, which answers after 30 ms. Records are put without a receiver, packed as
`receiver_beside_go` saw it pack: 1 event a record at 1,000 webhooks a second, 4 at 5,000. CPU is counted once the JVM
has compiled what it runs, as it has on a host after its first minutes.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import events, processes
from benchmarks.driven_child import accepted
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken
from tests.fakeaws.process import FakeAwsProcess
from tests.fault.soak import start_worker_as_shipped
from tests.system.world import World, until

SHARDS = 4
EVENTS_A_RECORD = {1_000: 1, 2_500: 2, 5_000: 4}
"""By events a second."""

BUS_MS = "30"
PUT_EVERY_S = 0.1
SETTLE_WITHIN_S = 60.0
STREAM = "cxone-events"


class Worker:
    """The programs that ship but the receiver, on one stack, for all rates."""

    def __init__(self, folder: Path) -> None:
        self.fake_aws = FakeAwsProcess(folder / "ledger", None, 0, "--delay-ms", BUS_MS)
        self.world = World(folder, STREAM_ROUTER_SHARDS=str(SHARDS))
        self._number = 0

    def start(self, warm_up_s: int) -> None:
        """Until each shard has its child and the JVM has compiled what it runs: so long at the highest rate."""
        start_worker_as_shipped(self.world, self.fake_aws)
        until(lambda: len(self.world.children()) >= SHARDS, 120, "a child for each shard runs")
        self.run(max(EVENTS_A_RECORD), warm_up_s)

    def close(self) -> None:
        self.world.close()
        self.fake_aws.stop()

    def run(self, rate: int, seconds: int) -> Taken:
        """So many events a second for so long, from the first put to the last acceptance."""
        puts = self._puts(rate, seconds)
        taken_before, before = accepted(self.fake_aws), processes.cpu_by_role(os.getpid())
        started, count = time.monotonic(), rate * seconds
        for at, entries in enumerate(puts):
            time.sleep(max(0.0, started + at * PUT_EVERY_S - time.monotonic()))
            answer = self.world.kinesis.put_records(StreamName=STREAM, Records=entries)
            assert not answer["FailedRecordCount"]
        late_s = time.monotonic() - started - seconds
        until(lambda: accepted(self.fake_aws) >= taken_before + count, SETTLE_WITHIN_S, "all is accepted")
        took_s, used = time.monotonic() - started, processes.cpu_by_role(os.getpid())
        used.subtract(before)
        figures = {f"{name}Us": used[name] / count * 1e6 for name in ("jvm", "child", "emulator", "bus")}
        memory = processes.memory_by_role(os.getpid())
        return Taken(
            {
                "cpuUs": figures["jvmUs"] + figures["childUs"],
                **figures,
                "perSecond": count / took_s,
                "lateS": late_s,
                "jvmMb": max(memory["jvm"]),
                "childMb": max(memory["child"]),
                "twice": float(accepted(self.fake_aws) - taken_before - count),
            }
        )

    def _puts(self, rate: int, seconds: int) -> list[list[dict[str, Any]]]:
        """The entries of each PutRecords call, one call every `PUT_EVERY_S`."""
        each, puts = EVENTS_A_RECORD[rate], []
        for _ in range(int(seconds / PUT_EVERY_S)):
            lines = [events.envelope(self._number + at) for at in range(int(rate * PUT_EVERY_S))]
            self._number += len(lines)
            packed = [b"\n".join(lines[at : at + each]) for at in range(0, len(lines), each)]
            puts.append([{"Data": data, "PartitionKey": f"b{at % 64}"} for at, data in enumerate(packed)])
        return puts


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """One rate after the other on the same programs."""
    seconds = options.count(20, 6)
    with tempfile.TemporaryDirectory(prefix="worker-") as folder:
        worker = Worker(Path(folder))
        try:
            worker.start(options.count(120, 10))
            yield [
                Case(f"worker, {rate}/s, {each} events a record", partial(worker.run, rate, seconds), at=rate)
                for rate, each in EVENTS_A_RECORD.items()
            ]
        finally:
            worker.close()


QUESTION = Question("worker", str(__doc__).partition("\n")[0], cases, rounds=3, bound_s=330)

if __name__ == "__main__":
    ask(QUESTION)

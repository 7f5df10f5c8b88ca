"""What does an event cost, and how much memory does a shard take, where one host serves 1, 2, 4, 8 shards?

On a machine with two cores this shows the overhead of more children, not how the product scales.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks import driven_child, events
from benchmarks.driven_child import cpu_s, memory_mb
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken
from tests.daemon import Child
from tests.fakeaws.process import FakeAwsProcess

SHARDS = (1, 2, 4, 8)
EVENTS_A_BATCH = 2_000


def served(fake_aws: FakeAwsProcess, shards: int, count: int) -> Taken:
    """`count` events over all children, dealt out in turns; CPU and wall of all of them."""
    fake_aws.reset()
    (batch,) = driven_child.daemon_batches(events.envelopes(EVENTS_A_BATCH))
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(Child(fake_aws.url, None, **driven_child.QUIET)) for _ in range(shards)]
        for number, child in enumerate(children):
            child.initialize(shard=f"shardId-{number:012d}")
            child.process_batch(batch)
        warm = shards * EVENTS_A_BATCH
        driven_child.until_accepted(fake_aws, warm)
        before, start = sum(cpu_s(child.process.pid) for child in children), time.perf_counter()
        turns = count // EVENTS_A_BATCH
        for turn in range(0, turns, shards):
            at_once = children[: min(shards, turns - turn)]
            for child in at_once:
                child.begin(child.records(batch))
            for child in at_once:
                child.done("processRecords")
        driven_child.until_accepted(fake_aws, warm + turns * EVENTS_A_BATCH)
        wall, used = time.perf_counter() - start, sum(cpu_s(child.process.pid) for child in children) - before
        memory = sum(memory_mb(child.process.pid) for child in children) / shards
    done = turns * EVENTS_A_BATCH
    return Taken({"cpuUs": used / done * 1e6, "perSecond": done / wall, "rssMb": memory})


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """One shard is the baseline."""
    count = options.count(64_000, 32_000)
    with FakeAwsProcess() as fake_aws:
        yield [
            Case(
                f"shards, {shards}",
                partial(served, fake_aws, shards, count),
                "ours" if shards > 1 else "baseline",
                at=shards,
            )
            for shards in SHARDS
        ]


QUESTION = Question("shards", str(__doc__).partition("\n")[0], cases, rounds=3, bound_s=240)

if __name__ == "__main__":
    ask(QUESTION)

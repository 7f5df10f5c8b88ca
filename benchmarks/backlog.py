"""Does an event cost more, or the child hold more, where a hundred times as much waits behind it?"""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks import driven_child, events
from benchmarks.driven_child import accepted, cpu_s, memory_mb
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken
from tests.daemon import Child
from tests.fakeaws.process import FakeAwsProcess

ONCE = 5_000
"""Events of a backlog of 1x: one batch."""


def worked_off(fake_aws: FakeAwsProcess, times: int) -> Taken:
    """The batch again and again, each time under new sequence numbers: CPU an event, memory at the end."""
    fake_aws.reset()
    (batch,) = driven_child.daemon_batches(events.envelopes(ONCE))
    with Child(fake_aws.url, None, **driven_child.QUIET) as running:
        running.initialize()
        for _ in range(2):
            running.process_batch(batch)
        driven_child.until_accepted(fake_aws, 2 * ONCE)
        before = cpu_s(running.process.pid)
        for _ in range(times):
            running.process_batch(batch)
        driven_child.until_accepted(fake_aws, (2 + times) * ONCE)
        used, pid = cpu_s(running.process.pid) - before, running.process.pid
        assert accepted(fake_aws) == (2 + times) * ONCE
        return Taken({"cpuUs": used / times / ONCE * 1e6, "rssMb": memory_mb(pid), "mostMb": memory_mb(pid, "VmHWM")})


def repeated(fake_aws: FakeAwsProcess, times: int, runs: int) -> Taken:
    """A short backlog several times, so that its CPU can be read: the clock ticks every 10 ms."""
    taken = [worked_off(fake_aws, times) for _ in range(runs)]
    return Taken({name: sum(item.figures[name] for item in taken) / runs for name in taken[0].figures})


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """1x, 10x and 100x."""
    del options
    with FakeAwsProcess() as fake_aws:
        yield [
            Case("backlog, 1x", partial(repeated, fake_aws, 1, 5), "baseline", at=1),
            Case("backlog, 10x", partial(repeated, fake_aws, 10, 1), at=10),
            Case("backlog, 100x", partial(repeated, fake_aws, 100, 1), at=100),
        ]


QUESTION = Question("backlog", str(__doc__), cases, rounds=3, bound_s=240)

if __name__ == "__main__":
    ask(QUESTION)

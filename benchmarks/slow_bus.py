"""How many events a second does one child deliver where the bus takes its time to answer?"""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.driven_child import Load, flooded
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case
from tests.fakeaws.process import FakeAwsProcess

DELAYS_MS = (0, 5, 30, 100)


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """One child at a time; at once is the baseline."""
    count = options.count(50_000, 20_000)
    with contextlib.ExitStack() as stack:
        made = []
        for delay_ms in DELAYS_MS:
            fake_aws = stack.enter_context(FakeAwsProcess(None, None, 0, "--delay-ms", str(delay_ms)))
            run = partial(flooded, fake_aws, Load(count, share=0.999))
            role = "ours" if delay_ms else "baseline"
            made.append(Case(f"child, {delay_ms} ms", run, role, at=delay_ms))  # type: ignore[arg-type]
        yield made


QUESTION = Question("slow_bus", str(__doc__), cases, rounds=3, bound_s=240)

if __name__ == "__main__":
    ask(QUESTION)

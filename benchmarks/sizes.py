"""What does an event of the child cost in CPU by its size, how much memory does it take, and is a line true to it?"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.driven_child import Load, flooded
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Row, spread
from tests.fakeaws.process import FakeAwsProcess

SIZES = {300: 40_000, 600: 30_000, 1_024: 25_000, 4_096: 12_000, 16_384: 5_000, 65_536: 1_500, 250_000: 400}
"""Bytes of the sender's body, and how many events of it go in a round."""

FITTED = (600, 65_536)
"""docs/scale.md reckons with the line through these two."""


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """A child for each size."""
    with FakeAwsProcess() as fake_aws:
        result = []
        for size, count in SIZES.items():
            load = Load(count if not options.quick else max(200, count // 4), size)
            result.append(Case(f"child, {size} bytes", partial(flooded, fake_aws, load), at=size))
        yield result


def line(cpu: Mapping[int, float]) -> dict[str, float]:
    """The line through the two sizes of FITTED, and how far it is off at those between (as a share)."""
    small, large = FITTED
    per_byte_ns = (cpu[large] - cpu[small]) / (large - small) * 1000
    base_us = cpu[small] - small * per_byte_ns / 1000
    between = {size: us for size, us in cpu.items() if small <= size <= large}
    off = max(abs((base_us + size * per_byte_ns / 1000) / us - 1) for size, us in between.items())
    return {"baseUs": round(base_us, 2), "perByteNs": round(per_byte_ns, 3), "offAtMost": round(off, 3)}


def facts(rows: Sequence[Row]) -> dict[str, Any]:
    """The line, where all sizes were taken."""
    cpu = {int(row.case.at or 0): spread(row.values("cpuUs"))["median"] for row in rows if row.case.role == "ours"}
    return {"line": line(cpu)} if set(FITTED) <= set(cpu) else {}


QUESTION = Question("sizes", str(__doc__), cases, rounds=3, bound_s=300, facts=facts)

if __name__ == "__main__":
    ask(QUESTION)

"""The figures that are asked for, each beside what the kept results say. `make docs` writes them down.

A figure is one row's, or a ratio of two rows' of the same run, taken round by round.
"""

import operator
import statistics
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.harness import results
from benchmarks.harness.results import Result

COMPACT, SPACED = "child, 10 a call, compact JSON", "child, 10 a call, spaced JSON"
RUST, GO = "Rust, aws-sdk-eventbridge, 16 calls at once", "Go, aws-sdk-go-v2, 16 calls at once"
BENTO, LOOP = "Bento, configuration only", "boto3 loop"
FAST, SLOW = "whole pipeline, 1500/s", "whole pipeline, 500/s"
STARLETTE = "Starlette + boto3, closed loop"


class Goal(NamedTuple):
    """One figure: what it is of, the bound, the result, the row, the figure's name, and the row that it is over."""

    what: str
    asked: str
    result: str
    row: str
    figure: str
    over: str = ""

    @property
    def measured(self) -> float | None:
        """The median; None where no kept result has it."""
        try:
            return measure(results.latest(self.result), self.row, self.figure, self.over)
        except (FileNotFoundError, KeyError):
            return None


def measure(result: Result, row: str, figure: str, over: str = "") -> float:
    """The median of a row's figure, or of its ratios to another row's. Raises KeyError where there is none."""
    values = results.row(result, row)["figures"][figure]["values"]
    if over:
        others = results.row(result, over)["figures"][figure]["values"]
        values = list(map(operator.truediv, values, others))
    return float(statistics.median(values))


def verdict(asked: str, measured: float | None) -> str:
    """`held`, `missed` or `not measured` of a bound such as `at most 1.05` or `at least 0.6`."""
    if measured is None:
        return "not measured"
    bound = float(asked.rpartition(" ")[2])
    return "held" if (measured <= bound if asked.startswith("at most") else measured >= bound) else "**missed**"


def _faults() -> Iterator[Goal]:
    for fault in ("5 % of entries fail", "5 % of calls fail"):
        ours, paced = f"child: {fault}", f"child, 2000/s: {fault}"
        yield Goal(f"{ours}, rate over the fault-free", "at least 0.6", "faults", ours, "perSecond", "child: no fault")
        yield Goal(f"{ours}, healthy p99 over it", "at most 1.5", "faults", paced, "p99Ms", "child, 2000/s: no fault")
        for name, peer in (("Go", GO), ("Bento", BENTO), ("Rust", RUST)):
            yield Goal(f"{ours}, rate over {name}'s", "at least 1", "faults", ours, "perSecond", f"{peer}: {fault}")


def _receiver() -> Iterator[Goal]:
    for rate in (1_000, 5_000):
        for figure, word, most in (("cpuUs", "CPU", 1.1), ("p50Ms", "p50", 1.05), ("p99Ms", "p99", 1.05)):
            ours, go = (f"{who}, {rate}/s, stream 15 ms" for who in ("receiver", "Go"))
            yield Goal(
                f"receiver, {rate}/s: {word} over Go's", f"at most {most}", "receiver_beside_go", ours, figure, go
            )
    at_5000 = "receiver, 5000/s, stream 15 ms"
    yield Goal("receiver, 5000/s: memory, MB", "at most 110", "receiver_beside_go", at_5000, "rssMb")
    ours = "receiver, closed loop"
    yield Goal("receiver at saturation: CPU, µs", "at most 50", "receiver_beside_go", ours, "cpuUs")
    yield Goal("Starlette + boto3's CPU over it", "at least 20", "receiver_beside_go", STARLETTE, "cpuUs", ours)


GOALS = (
    Goal("child, compact JSON: CPU over Rust's", "at most 1.3", "child", COMPACT, "cpuUs", RUST),
    Goal("child, spaced JSON: CPU over Rust's", "at most 1.3", "child", SPACED, "cpuUs", RUST),
    Goal("child, compact JSON: CPU, µs", "at most 16.5", "child", COMPACT, "cpuUs"),
    Goal("child, compact JSON: CPU over Go's", "at most 0.6", "child", COMPACT, "cpuUs", GO),
    Goal("the boto3 loop's CPU over the child's", "at least 5", "child", LOOP, "cpuUs", COMPACT),
    Goal("Bento's CPU over the child's", "at least 3", "child", BENTO, "cpuUs", COMPACT),
    Goal("child, batches of 8 MB: most memory ever, MB", "at most 250", "child", COMPACT, "mostMb"),
    *_faults(),
    *_receiver(),
    Goal("whole pipeline at 1,500/s, our processes: CPU, µs", "at most 160", "whole", FAST, "cpuUs"),
    Goal("received to accepted at 500/s: p50, ms", "at most 250", "whole", SLOW, "p50Ms"),
    Goal("received to accepted at 500/s: p99, ms", "at most 500", "whole", SLOW, "p99Ms"),
    Goal("child at work, 1,500/s over two: memory, MB", "at most 110", "whole", FAST, "childMb"),
    Goal("CPU an event at 100x the backlog over 1x", "at most 1.1", "backlog", "backlog, 100x", "cpuUs", "backlog, 1x"),
)

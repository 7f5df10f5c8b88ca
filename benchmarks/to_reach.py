"""The figures that are asked for, each beside what the kept results say. Written down by `make docs`."""

import json
import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from benchmarks.harness import results
from benchmarks.harness.results import Result

COMPACT, SPACED = "child, 10 a call, compact JSON", "child, 10 a call, spaced JSON"
RUST, GO = "Rust, aws-sdk-eventbridge, 16 calls at once", "Go, aws-sdk-go-v2, 16 calls at once"
BENTO, LOOP = "Bento, configuration only", "boto3 loop"
WHOLE_FAST, WHOLE_SLOW = "whole pipeline, 1500/s", "whole pipeline, 500/s"


SINCE = "2026-11-30"
"""Receiver, child and supervisor were written anew until then: what was measured before is of code that is gone."""


class Goal(NamedTuple):
    """One figure: what it is of, what is asked, which result says it, how to read it there, the bound (at most, at
    least)."""

    what: str
    asked: str
    of: str
    read: Callable[[Any], float]
    most: float | None = None
    least: float | None = None


class Reached(NamedTuple):
    """A goal beside its measured figure; None where no kept result has it."""

    goal: Goal
    measured: float | None

    @property
    def verdict(self) -> str:
        """`held`, `missed`, or `not measured`."""
        if self.measured is None:
            return "not measured"
        low, high = self.goal.least, self.goal.most
        held = (high is None or self.measured <= high) and (low is None or self.measured >= low)
        return "held" if held else "**missed**"


def paired(result: Result, one: str, other: str, figure: str) -> float:
    """The median of one row's figure over another's, round by round."""
    first, second = (results.row(result, name)["figures"][figure]["values"] for name in (one, other))
    return float(statistics.median(a / b for a, b in zip(first, second, strict=False)))


def _over(one: str, other: str, figure: str = "cpuUs") -> Callable[[Result], float]:
    return lambda result: paired(result, one, other, figure)


def _of(row: str, *figures: str) -> Callable[[Result], float]:
    return lambda result: sum(results.median(result, row, figure) for figure in figures)


def _rate(who: str, fault: str) -> Callable[[Result], float]:
    return _over(f"{who}: {fault}", f"{who}: no fault", "perSecond")


def _faults() -> Iterator[Goal]:
    for fault in ("5 % of entries fail", "5 % of calls fail"):
        share = f"child, {fault}: rate over its fault-free rate"
        yield Goal(share, "at least 0.6", "faults", _rate("child", fault), least=0.6)
        p99 = _over(f"child, 2000/s: {fault}", "child, 2000/s: no fault", "p99Ms")
        yield Goal(f"child, {fault}: healthy p99 over the fault-free", "at most 1.5", "faults", p99, most=1.5)
        for name, peer in (("Go", GO), ("Bento", BENTO), ("Rust", RUST)):
            ahead = _over(f"child: {fault}", f"{peer}: {fault}", "perSecond")
            yield Goal(f"child, {fault}: rate over {name}'s", "above 1", "faults", ahead, least=1.0)


def _beside_go(rate: int, figure: str) -> Callable[[Any], float]:
    row = f"{rate}/s, stream 15 ms"
    return lambda kept: float(kept["rows"][row]["ours"][figure] / kept["rows"][row]["go"][figure])


def _receiver() -> Iterator[Goal]:
    for rate in (1_000, 5_000):
        for figure, word in (("cpu_us", "CPU"), ("p50_ms", "p50"), ("p99_ms", "p99")):
            name = f"receiver, {rate}/s: {word} over Go's"
            yield Goal(name, "at most 1.05", "receiver-beside-go", _beside_go(rate, figure), most=1.05)
    of = "receiver-2-cpus"
    yield Goal(
        "receiver at saturation: CPU, µs", "at most 50", of, lambda kept: float(kept["closed"]["cpuUs"]), most=50
    )
    yield Goal(
        "receiver: Starlette + boto3's CPU over ours",
        "at least 20",
        of,
        lambda kept: float(kept["starletteBoto3"]["cpuUs"] / kept["closed"]["cpuUs"]),
        least=20,
    )
    yield Goal("receiver: memory, MB", "at most 110", of, lambda kept: float(kept["rssMb"]), most=110)


GOALS = (
    Goal("child, compact JSON: CPU over Rust's", "at most 1.3", "child", _over(COMPACT, RUST), most=1.3),
    Goal("child, spaced JSON: CPU over Rust's", "at most 1.3", "child", _over(SPACED, RUST), most=1.3),
    Goal("child, compact JSON: CPU, µs", "some 16", "child", _of(COMPACT, "cpuUs"), most=16.5),
    Goal(
        "child, compact JSON: CPU over the bare libraries'",
        "below 1",
        "child",
        _over(COMPACT, "bare libraries"),
        most=1,
    ),
    Goal("the boto3 loop's CPU over the child's", "at least 5", "child", _over(LOOP, COMPACT), least=5),
    Goal("child: CPU over Go's", "at most 0.6", "child", _over(COMPACT, GO), most=0.6),
    Goal("Bento's CPU over the child's", "at least 3", "child", _over(BENTO, COMPACT), least=3),
    *_faults(),
    Goal(
        "worker (JVM and children) at 1,500/s: CPU, µs",
        "at most 30",
        "whole",
        _of(WHOLE_FAST, "jvmUs", "childUs"),
        most=30,
    ),
    *_receiver(),
    Goal(
        "whole pipeline at 1,500/s, our processes: CPU, µs", "at most 160", "whole", _of(WHOLE_FAST, "cpuUs"), most=160
    ),
    Goal("received to accepted at 500/s: p50, ms", "at most 250", "whole", _of(WHOLE_SLOW, "p50Ms"), most=250),
    Goal("received to accepted at 500/s: p99, ms", "at most 500", "whole", _of(WHOLE_SLOW, "p99Ms"), most=500),
    Goal("child at work, 1,500/s over two: memory, MB", "at most 100", "whole", _of(WHOLE_FAST, "childMb"), most=100),
    Goal("child at work, at full speed: memory, MB", "at most 100", "shards", _of("shards, 1", "rssMb"), most=100),
    Goal("child, batches of 8 MB: most memory ever, MB", "at most 250", "child", _of(COMPACT, "mostMb"), most=250),
    Goal(
        "CPU an event at 100x the backlog over 1x",
        "at most 1.1",
        "backlog",
        _over("backlog, 100x", "backlog, 1x"),
        most=1.1,
    ),
)


def kept(name: str) -> Any:
    """A kept result of the present code, whatever its form. Raises KeyError where there is none."""
    path = results.FOLDER / f"{name}.json"
    if not path.exists():
        raise KeyError(name)
    result = json.loads(path.read_text("utf-8"))
    if str(result.get("at", "")) < SINCE:
        raise KeyError(f"{name} is of code that is gone")
    return result


def reached() -> list[Reached]:
    """Every goal with its figure."""
    found = []
    for goal in GOALS:
        try:
            found.append(Reached(goal, goal.read(kept(goal.of))))
        except KeyError:
            found.append(Reached(goal, None))
    return found

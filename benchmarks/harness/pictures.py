"""Which plots show which benchmark's result."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import plots
from benchmarks.harness.results import Result

CPU = "CPU an event"

PICTURES: dict[str, Sequence[plots.Plot]] = {
    "child": [lambda result: plots.bars(result, "cpuUs", CPU)],
    "child_features": [lambda result: plots.bars(result, "cpuUs", CPU)],
    "stages": [lambda result: plots.bars(result, "cpuUs", "CPU an event by stage")],
    "sizes": [lambda result: plots.by(result, ["cpuUs"], "bytes of the sender's body", log_y=True)],
    "slow_bus": [lambda result: plots.by(result, ["perSecond"], "the bus answers after, ms", log_x=False)],
    "faults": [lambda result: plots.bars(result, "perSecond", "events accepted"), plots.percentiles],
    "outage": [lambda result: plots.over_time(result, "events accepted, /s")],
    "receiver_load": [
        lambda result: plots.by(result, ["cpuUs"], "webhooks a second offered"),
        lambda result: plots.by(result, ["p50Ms", "p99Ms"], "webhooks a second offered", log_y=True),
    ],
    "whole": [plots.percentiles, lambda result: plots.bars(result, "cpuUs", f"{CPU}, our processes")],
    "shards": [lambda result: plots.by(result, ["cpuUs"], "shards")],
    "backlog": [lambda result: plots.by(result, ["cpuUs"], "times the backlog")],
    "polling": [plots.percentiles],
}


def draw(result: Result, target: Path) -> list[Path]:
    """The benchmark's plots; bars of its first figure where it has none of its own."""
    first = next(iter(result["rows"][0]["figures"]))
    made = []
    for number, plot in enumerate(PICTURES.get(result["name"], [lambda found: plots.bars(found, first)])):
        path = target / f"{result['name']}{f'-{number + 1}' if number else ''}.png"
        plots.save(plot, result, path)
        made.append(path)
    return made

"""What telemetry costs: a child's CPU an event with it on and off, in pairs of batches of one process.

`python -m benchmarks.telemetry [--rounds N] [--json FILE]`. A child gets batches of 10,000 events, each when the one
before is accepted whole; its telemetry is on for one and off for the next (`benchmarks.peers.toggled_child`), in the
order on, off, off, on. The median of the pairs' ratios is the figure: a machine whose speed drifts drifts for both.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import events
from benchmarks.driven_child import LINES_PER_RECORD, RECORDS_PER_BATCH, accepted
from tests.daemon import Child, prove
from tests.fakeaws.process import FakeAwsProcess

CEILING = 0.03
WARM_UP = 4
BATCH_EVENTS = RECORDS_PER_BATCH * LINES_PER_RECORD


def batches(rounds: int) -> list[tuple[bool, float]]:
    """Whether telemetry was on, and the CPU seconds, of each batch once the child is warm."""
    datas = [
        b"\n".join(events.envelope(number) for number in range(at, at + LINES_PER_RECORD))
        for at in range(0, BATCH_EVENTS, LINES_PER_RECORD)
    ]
    with FakeAwsProcess() as fake_aws, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prove(folder)
        told = {"TOGGLED_CHILD": str(folder / "toggled.json"), "STREAM_ROUTER_CHECKPOINT_S": "5"}
        with Child(fake_aws.url, folder, module="benchmarks.peers.toggled_child", **told) as running:
            running.initialize()
            for number in range(WARM_UP + 2 * rounds + 1):
                running.process_batch(datas, 120.0)
                until = time.monotonic() + 120
                while accepted(fake_aws) < BATCH_EVENTS * (number + 1):
                    assert time.monotonic() < until
                    time.sleep(0.01)
        took: list[tuple[bool, float]] = json.loads((folder / "toggled.json").read_text())
    return took[1 + WARM_UP :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    took = batches(chosen.rounds)
    pairs = [dict(took[at : at + 2]) for at in range(0, len(took) - 1, 2)]
    costs = [pair[True] / pair[False] - 1 for pair in pairs]
    result = {
        "rounds": len(pairs),
        "eventsOfARound": 2 * BATCH_EVENTS,
        "cpuUsOn": round(statistics.median(pair[True] for pair in pairs) / BATCH_EVENTS * 1e6, 3),
        "cpuUsOff": round(statistics.median(pair[False] for pair in pairs) / BATCH_EVENTS * 1e6, 3),
        "cost": round(statistics.median(costs), 4),
        "quartiles": [round(one, 4) for one in statistics.quantiles(costs, n=4)],
        "ceiling": CEILING,
    }
    print(json.dumps(result, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

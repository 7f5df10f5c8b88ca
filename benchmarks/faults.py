"""What do faults cost: the child's rate and its healthy events' latency, beside concurrent clients with own retries?"""

import contextlib
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.driven_child import Load, flood, paced
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Row, Taken
from benchmarks.peers import consumers
from tests.fakeaws.process import FakeAwsProcess

FAULTS: dict[str, list[dict[str, Any]]] = {
    "no fault": [],
    "5 % of entries fail": [{"fault": "entry_error", "rate": 0.05, "operation": "PutEvents"}],
    "5 % of calls fail": [{"fault": "call_error", "code": "InternalException", "rate": 0.05, "operation": "PutEvents"}],
    "2 % of calls are reset": [{"fault": "reset", "rate": 0.02, "accept": False, "operation": "PutEvents"}],
    "1 of 997 conversations is sick": [{"fault": "entry_error", "where": "conv-000007", "operation": "PutEvents"}],
}
BURIED = "lost to the bus are the sick conversation's, which became dead letters"
BUS_MS = "2"
RATE = 2_000
SHARE = 0.999
"""The child's rate ends here: one of 100,000 has bad luck four times, and waits 30 s while nothing waits for it."""

PEERS = (consumers.CONCURRENT, *(peer for peer in consumers.PEERS if peer.program))


def _flooded(fake_aws: FakeAwsProcess, rules: list[dict[str, Any]], load: Load) -> Taken:
    fake_aws.reset()
    fake_aws.plan({"rules": rules})
    whole = load if not any("where" in rule for rule in rules) else replace(load, share=0.998)
    taken = flood(fake_aws, whole)
    kept = ("cpuUs", "perSecond")
    return Taken({name: taken.figures[name] for name in kept})


def _peer(fake_aws: FakeAwsProcess, rules: list[dict[str, Any]], peer: consumers.Peer, count: int) -> Taken:
    fake_aws.reset()
    fake_aws.plan({"rules": rules})
    return peer.run(fake_aws, count)


def _paced(rules: list[dict[str, Any]], seconds: float) -> Taken:
    with (
        tempfile.TemporaryDirectory() as folder,
        FakeAwsProcess(Path(folder) / "ledger", {"rules": rules}, 0, "--delay-ms", BUS_MS) as fake_aws,
    ):
        return paced(fake_aws, RATE, seconds, Load(0))


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """Each fault by itself: the child at full speed and at 2,000 events a second; the peers at full speed."""
    count = options.count(100_000, 20_000)  # in half a second the second tries of the last entries are half of the time
    with FakeAwsProcess(None, None, 0, "--delay-ms", BUS_MS) as fake_aws:
        result = []
        peers = {case.name for case in consumers.cases(fake_aws, count, PEERS)}
        for fault, rules in FAULTS.items():
            role = "ours" if rules else "baseline"
            result.append(Case(f"child: {fault}", partial(_flooded, fake_aws, rules, Load(count, share=SHARE)), role))  # type: ignore[arg-type]
            note = BURIED if "sick" in fault else ""
            result.append(Case(f"child, {RATE}/s: {fault}", partial(_paced, rules, options.count(8, 4)), note=note))
            if "sick" in fault or "reset" in fault:
                continue
            for peer in PEERS:
                if peer.name in peers:
                    run = partial(_peer, fake_aws, rules, peer, count)
                    result.append(Case(f"{peer.name}: {fault}", run, "peer", peer.note))
        yield result


def over_no_fault(rows: Sequence[Row]) -> dict[str, Any]:
    """Each one's rate, and the healthy p99, as a multiple of its own without a fault, medians."""
    result: dict[str, Any] = {"rate": {}, "healthyP99": {}}
    base = {row.case.name.partition(": ")[0]: row for row in rows if row.case.name.endswith(": no fault")}
    for row in rows:
        who, _, fault = row.case.name.partition(": ")
        for kind, figure in (("rate", "perSecond"), ("healthyP99", "p99Ms")):
            if figure in row.rounds[0].figures and row is not base[who]:
                pairs = zip(row.values(figure), base[who].values(figure), strict=False)
                result[kind].setdefault(who, {})[fault] = round(statistics.median(item / two for item, two in pairs), 3)
    return result


QUESTION = Question("faults", str(__doc__), cases, rounds=3, bound_s=600, facts=over_no_fault)

if __name__ == "__main__":
    ask(QUESTION)

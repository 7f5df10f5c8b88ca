"""What does an event cost in the child, beside what else could be written, in one run?"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.driven_child import V2_BUS, Load, flooded
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Row
from benchmarks.peers import consumers
from tests.fakeaws.process import FakeAwsProcess

V2 = {"STREAM_ROUTER_EVENT_BUS": V2_BUS}
MASKED = {"STREAM_ROUTER_MASKING": "default"}
CHILDREN: dict[str, Load] = {
    "child, 10 a call, compact JSON": Load(0),
    "child, 10 a call, spaced JSON": Load(0, spaced=True),
    "child, v2 bus, 25 a call": Load(0, environment=V2),
    "child, 10 a call, default masking policy": Load(0, environment=MASKED),
    "child, v2 bus, default masking policy": Load(0, environment={**V2, **MASKED}),
}


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """Ours and the peers, at the same sink."""
    count = options.count(80_000, 20_000)
    with FakeAwsProcess() as fake_aws:
        result = consumers.cases(fake_aws, count)
        for name, load in CHILDREN.items():
            whole = replace(load, count=count)
            result.append(Case(name, partial(flooded, fake_aws, whole)))
        yield result


def beside(rows: Sequence[Row]) -> dict[str, Any]:
    """The child's CPU as a multiple of each peer's, round by round, medians."""
    ours = next((row for row in rows if row.case.name == "child, 10 a call, compact JSON"), None)
    result = {}
    for row in rows:
        if ours and row.case.role != "ours":
            pairs = zip(ours.values("cpuUs"), row.values("cpuUs"), strict=False)
            ratios = sorted(item / other for item, other in pairs)
            result[row.case.name] = round(ratios[len(ratios) // 2], 3)
    return {"childsCpuOver": result}


QUESTION = Question("child", str(__doc__), cases, rounds=5, bound_s=330, facts=beside)

if __name__ == "__main__":
    ask(QUESTION)

"""What becomes of the rate where the bus is gone for a while: how soon is it caught up, what is lost or doubled?"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.driven_child import Load, paced
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Row, Taken
from tests.fakeaws.process import FakeAwsProcess

RATE = 1_000
OUTAGE_S = (8.0, 18.0)
"""Seconds after the load begins."""

SECONDS = 30.0
STEP_S = 0.5


def through(how: str) -> Taken:
    """A steady load through the outage; the series is events accepted a second."""
    rule = {"fault": "outage", "how": how, "from_s": OUTAGE_S[0], "to_s": OUTAGE_S[1]}
    rules = [rule] if how else []
    with tempfile.TemporaryDirectory() as folder, FakeAwsProcess(Path(folder) / "ledger") as fake_aws:
        return paced(fake_aws, RATE, SECONDS, Load(0), STEP_S, lambda: fake_aws.plan({"rules": rules}))


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """Without an outage, with calls answered 503, with connections refused."""
    del options
    yield [
        Case("no outage", partial(through, ""), "baseline"),
        Case("10 s of 503", partial(through, "status")),
        Case("10 s of refused connections", partial(through, "refuse")),
    ]


def facts(rows: Sequence[Row]) -> dict[str, Any]:
    """When the outage was, and how long after it the backlog was worked off, seconds."""
    caught_up = {}
    for row in rows:
        late = [second for second, rate in row.rounds[-1].series if second > OUTAGE_S[1] and rate > RATE * 1.3]
        caught_up[row.case.name] = round(max(late, default=OUTAGE_S[1]) + STEP_S - OUTAGE_S[1], 1) if late else 0.0
    return {"faultFromToS": [list(OUTAGE_S)], "caughtUpAfterS": caught_up}


QUESTION = Question("outage", str(__doc__), cases, rounds=1, bound_s=200, facts=facts)

if __name__ == "__main__":
    ask(QUESTION)

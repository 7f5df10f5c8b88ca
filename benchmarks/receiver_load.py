"""What do a webhook's CPU and the answers' latency come to as the offered rate rises, beside a plain Go receiver?

Open loop: requests come at their own pace, latency counts from when each was meant to be sent. The stream answers after
15 ms, 512 connections, Standard Webhooks checked. The load takes a core of its own, so a rate that neither receiver
keeps is the load's limit.
"""

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import receiver, receiver_beside_go
from benchmarks.driven_child import memory_mb
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Row, Taken, spread
from benchmarks.peers import programs
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import KEY
from tests.receiver_kit import receiver as our_receiver

RATES = (500, 1_000, 2_000, 5_000, 8_000)
STREAM_MS = 15
KNEE_P99_MS = 100.0
"""The knee is the last rate that is kept with a p99 below this."""


def offered(address: tuple[str, int], pid: int, rate: int, seconds: float) -> Taken:
    """One rate, at one receiver."""
    cell = receiver_beside_go.measure(address, pid, rate, seconds)
    figures = {"cpuUs": cell.cpu_us, "p50Ms": cell.p50_ms, "p99Ms": cell.p99_ms, "errors": float(cell.errors)}
    return Taken({**figures, "rssMb": memory_mb(pid)})


def ours(fake_aws: FakeAwsProcess, folder: Path, rate: int, seconds: float) -> Taken:
    """Our receiver, one worker, every setting at its default."""
    settings = {"WEBHOOK_SCHEME": "standard-webhooks", "WEBHOOK_SECRETS": receiver_beside_go.WHSEC}
    with our_receiver(fake_aws.url, folder, **settings) as running:
        return offered(running.address, running.process.pid, rate, seconds)


def go(fake_aws: FakeAwsProcess, program: Path, rate: int, seconds: float) -> Taken:
    """The Go receiver."""
    with receiver_beside_go.go_receiver(program, fake_aws.url) as (address, pid):
        return offered(address, pid, rate, seconds)


def saturated(fake_aws: FakeAwsProcess, folder: Path, seconds: float) -> Taken:
    """Closed loop, 512 connections: what one worker takes at the most."""
    with our_receiver(fake_aws.url, folder, WEBHOOK_SCHEME="hmac", WEBHOOK_SECRETS=KEY) as running:
        receiver.closed_loop(running.address, running.process.pid, 1, 512)
        found = receiver.closed_loop(running.address, running.process.pid, seconds, 512)
    return Taken(found)


def starlette(fake_aws: FakeAwsProcess, seconds: float) -> Taken:
    """The same closed loop at Starlette + boto3, with as many connections as its threads can serve."""
    with receiver.peer(fake_aws.url) as (address, pid):
        found = receiver.closed_loop(address, pid, seconds, 64)
    return Taken(found)


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """Rate by rate, ours and Go's in turn; then both closed loops."""
    seconds = options.count(5, 2)
    with FakeAwsProcess() as fake_aws, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rules = [{"fault": "delay", "ms": STREAM_MS, "operation": "PutRecords"}]
        fake_aws.plan({"shard_limits": False, "rules": rules})
        program = _go_program()
        made = []
        for rate in RATES:
            made.append(Case(f"receiver, {rate}/s", partial(ours, fake_aws, folder, rate, seconds), at=rate))
            if program:
                made.append(Case(f"Go, {rate}/s", partial(go, fake_aws, program, rate, seconds), "peer", at=rate))
        made.append(Case("receiver, closed loop", partial(saturated, fake_aws, folder, seconds)))
        if importlib.util.find_spec("starlette") and importlib.util.find_spec("uvicorn"):
            note = "64 connections; one PutRecords call a request"
            made.append(Case("Starlette + boto3, closed loop", partial(starlette, fake_aws, seconds), "peer", note))
        yield made


def _go_program() -> Path | None:
    try:
        return programs.built("receiver_go")
    except programs.SkippedError as error:
        print(f"  skipped: Go: {error}")
        return None


def facts(rows: Sequence[Row]) -> dict[str, Any]:
    """The knee of each: the highest rate without an error whose p99 stays below KNEE_P99_MS; 0 where there is none."""
    knees: dict[str, float] = {}
    for row in rows:
        if row.case.at is None:  # a closed loop has no rate, and without wrk no p99
            continue
        who = row.case.name.partition(",")[0]
        kept = sum(row.values("errors")) == 0 and spread(row.values("p99Ms"))["median"] < KNEE_P99_MS
        knees[who] = max(knees.get(who, 0.0), row.case.at if kept else 0.0)
    return {"kneePerSecond": knees}


QUESTION = Question("receiver_load", str(__doc__).partition("\n")[0], cases, rounds=3, bound_s=280, facts=facts)

if __name__ == "__main__":
    ask(QUESTION)

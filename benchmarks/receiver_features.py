"""What does a webhook cost under each scheme, and with a spill folder, at 1,000 a second?

Open loop, the stream answers after 15 ms. TLS is not in it: the load speaks plain HTTP.
"""

import base64
import contextlib
import hmac
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks import processes
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken
from benchmarks.receiver import bodies
from benchmarks.receiver_beside_go import WHSEC
from benchmarks.receiver_beside_go import requests as standard
from stream_router.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import KEY
from tests.receiver_kit import receiver as our_receiver
from tests.receiver_load import percentile_s, post, send

RATE, CONNECTIONS = 1_000, 256
STREAM_MS = 15
Requests = Callable[[int], list[bytes]]


def signed(count: int) -> list[bytes]:
    """By an HMAC over the body."""
    made = [post(body, {"x-signature": hmac.digest(KEY.encode(), body, "sha256").hex()}) for body in bodies()]
    return [made[number % len(made)] for number in range(count)]


def told(authorization: str) -> Requests:
    """By a header that is always the same."""

    def requests(count: int) -> list[bytes]:
        made = [post(body, {"authorization": authorization}) for body in bodies()]
        return [made[number % len(made)] for number in range(count)]

    return requests


BASIC = f"user:{KEY}"
HMAC = {"WEBHOOK_SCHEME": "hmac", "WEBHOOK_SECRETS": KEY}
WAYS: dict[str, tuple[Mapping[str, str], Requests]] = {
    "hmac": (HMAC, signed),
    "standard-webhooks": ({"WEBHOOK_SCHEME": "standard-webhooks", "WEBHOOK_SECRETS": WHSEC}, standard),
    "bearer": ({"WEBHOOK_SCHEME": "bearer", "WEBHOOK_SECRETS": KEY}, told(f"Bearer {KEY}")),
    "basic": (
        {"WEBHOOK_SCHEME": "basic", "WEBHOOK_SECRETS": BASIC},
        told(f"Basic {base64.b64encode(BASIC.encode()).decode()}"),
    ),
    "hmac, with a spill folder": ({**HMAC, "SPILL_DIR": "spill"}, signed),
}


def offered(fake_aws: FakeAwsProcess, settings: Mapping[str, str], requests: Requests, seconds: float) -> Taken:
    """One way, CPU of all its processes."""
    with tempfile.TemporaryDirectory() as name:
        own = {key: str(Path(name) / value) if key == "SPILL_DIR" else value for key, value in settings.items()}
        for key in own.keys() & {"SPILL_DIR"}:
            Path(own[key]).mkdir()
        with our_receiver(fake_aws.url, Path(name), **own) as running:
            send(running.address, requests(RATE), RATE, CONNECTIONS)
            before_s = sum(processes.cpu_by_role(running.process.pid).values())
            start_s = time.perf_counter()
            outcomes = send(running.address, requests(int(RATE * seconds)), RATE, CONNECTIONS)
            took_s = time.perf_counter() - start_s
            used_s = sum(processes.cpu_by_role(running.process.pid).values()) - before_s
            memory = sum(processes.memory_by_role(running.process.pid).values())
    errors = sum(outcome.status != 202 for outcome in outcomes)
    late = {"p50Ms": percentile_s(outcomes, 0.5) * 1e3, "p99Ms": percentile_s(outcomes, 0.99) * 1e3}
    figures = {"cpuUs": used_s / len(outcomes) * 1e6, **late, "perSecond": len(outcomes) / took_s}
    return Taken({**figures, "errors": errors, "rssMb": memory})


@contextlib.contextmanager
def cases(options: Options) -> Iterator[Sequence[Case]]:
    """HMAC is the baseline."""
    seconds = options.count(5, 2)
    with FakeAwsProcess() as fake_aws:
        rules = [{"fault": "delay", "ms": STREAM_MS, "operation": "PutRecords"}]
        fake_aws.plan({"shard_limits": False, "rules": rules})
        yield [
            Case(
                name, partial(offered, fake_aws, settings, requests, seconds), "baseline" if name == "hmac" else "ours"
            )
            for name, (settings, requests) in WAYS.items()
        ]


QUESTION = Question("receiver_features", str(__doc__).partition("\n")[0], cases, rounds=3, bound_s=200)

if __name__ == "__main__":
    ask(QUESTION)

"""What does a webhook cost under each scheme, with a spill folder, over TLS, at 1,000 a second?

Open loop, the stream answers after 15 ms. Each run opens its 256 connections: over TLS as many handshakes are in it.
"""

import base64
import contextlib
import hmac
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import trustme

from benchmarks import processes
from benchmarks.harness.question import Options, Question, ask
from benchmarks.harness.rounds import Case, Taken
from benchmarks.receiver import bodies
from benchmarks.receiver_beside_go import WHSEC
from benchmarks.receiver_beside_go import requests as standard
from tests.fakeaws.process import FakeAwsProcess
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
    "hmac, over TLS": ({**HMAC, "TLS_CERT": "server.pem", "TLS_KEY": "server.pem"}, signed),
}
IN_THE_FOLDER = ("SPILL_DIR", "TLS_CERT", "TLS_KEY")


def offered(fake_aws: FakeAwsProcess, settings: Mapping[str, str], requests: Requests, seconds: float) -> Taken:
    """One way, CPU of all its processes."""
    with tempfile.TemporaryDirectory() as name:
        own = {key: str(Path(name) / value) if key in IN_THE_FOLDER else value for key, value in settings.items()}
        tls = None
        if "SPILL_DIR" in own:
            Path(own["SPILL_DIR"]).mkdir()
        if "TLS_CERT" in own:
            tls = _certificate(Path(own["TLS_CERT"]))
        send_at = partial(send, rate=RATE, connections=CONNECTIONS, tls=tls)
        with our_receiver(fake_aws.url, Path(name), **own) as running:
            send_at(running.address, requests(RATE))
            before_s = sum(processes.cpu_by_role(running.process.pid).values())
            start_s = time.perf_counter()
            outcomes = send_at(running.address, requests(int(RATE * seconds)))
            took_s = time.perf_counter() - start_s
            used_s = sum(processes.cpu_by_role(running.process.pid).values()) - before_s
            memory = sum(sum(each) for each in processes.memory_by_role(running.process.pid).values())
    errors = sum(outcome.status != 202 for outcome in outcomes)
    late = {"p50Ms": percentile_s(outcomes, 0.5) * 1e3, "p99Ms": percentile_s(outcomes, 0.99) * 1e3}
    figures = {"cpuUs": used_s / len(outcomes) * 1e6, **late, "perSecond": len(outcomes) / took_s}
    return Taken({**figures, "errors": errors, "rssMb": memory})


def _certificate(file: Path) -> ssl.SSLContext:
    """Write a server's certificate with its key; what a client trusts it by."""
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(file)
    authority.configure_trust(context)
    return context


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


QUESTION = Question("receiver_features", str(__doc__).partition("\n")[0], cases, rounds=3, bound_s=260)

if __name__ == "__main__":
    ask(QUESTION)

"""A world with emulators that others wrote, and the steps of a run: what was expected, and what came out."""

import contextlib
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

from tests.ports import free_port
from tests.system.world import PROGRAM, REGION, World, event_id, until, webhook
from tests.worlds.environments import HERE, Environments

STREAM = "cxone-events"
POSTERS = 16
"""Webhooks in flight at once."""

STORED_WITHIN_S = 300.0
"""Seconds for which a webhook is sent again. On a busy machine LocalStack's stream may answer too late for minutes."""

START_WITHIN_S = 300.0
"""Time limit for each program's start. It is not a promise of the product: this machine may be busy."""


@dataclass
class Step:
    """One expectation of a world, and the figure that came out."""

    name: str
    held: bool
    figure: str
    took_s: float


@dataclass
class Steps:
    """All steps of one world's run, in their order."""

    rows: list[Step] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)

    def record(self, name: str, held: bool, figure: str) -> None:
        """Add a step; its time counts from the end of the one before."""
        now = time.monotonic()
        step = Step(name, held, figure, round(now - self._begun, 1))
        self._begun = now
        self.rows.append(step)
        sys.stdout.write(f"  {'ok  ' if held else 'FAIL'} {step.took_s:6.1f} s  {name}: {figure}\n")
        sys.stdout.flush()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Record what the block raises as a step that failed, and end there."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the step's figure
            self.record(name, held=False, figure=f"{type(error).__name__}: {str(error)[:300]}")
            traceback.print_exc()


class ForeignWorld(World):
    """The product's programs over emulators that others wrote. A world may run ministack beside them."""

    def __init__(self, folder: Path, environments: Environments, **settings: str) -> None:
        super().__init__(folder, **settings)
        self.environments = environments
        self.http.close()
        self.http = httpx.Client(base_url=self.url, timeout=15.0, limits=httpx.Limits(max_connections=POSTERS))

    # --- emulators

    def start_foreign(self, name: str, *command: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start an emulator, without the product's settings in its environment."""
        unset = [word for key in self.environment if key.startswith(("AWS_", "STREAM_ROUTER_")) for word in ("-u", key)]
        return self.start(name, "env", *unset, *command, **{"XDG_CACHE_HOME": str(self.folder / "cache"), **settings})

    def start_localstack(self) -> None:
        """Start LocalStack on the world's port and moto for DynamoDB; make the queue that will be the target."""
        self.environments.install_localstack()
        settings = {
            "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "GATEWAY_SERVER": "hypercorn",
            "LOCALSTACK_HOST": f"127.0.0.1:{self.port}",
            "SQS_ENDPOINT_STRATEGY": "off",
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DNS_ADDRESS": "0",
            "FILESYSTEM_ROOT": str(self.environments.localstack_root),
            "TMPDIR": str(self.folder),  # a LocalStack that ends removes its state below it, and another one's
            "NODE_OPTIONS": f"-r {HERE / 'loopback.cjs'}",
        }
        self.start_foreign("localstack", str(self.environments.localstack), "-m", "localstack.runtime.main", **settings)
        until(lambda: answers(f"http://127.0.0.1:{self.port}/_localstack/health"), START_WITHIN_S, "LocalStack answers")
        self.target = self.sqs.create_queue(QueueName="out")["QueueUrl"]
        self._start_moto_for_dynamodb()

    def _start_moto_for_dynamodb(self) -> None:
        """Start moto and send the programs' DynamoDB calls there: LocalStack's own is not free software."""
        self.environments.install_moto()
        port = free_port()
        self.start_foreign("moto", str(self.environments.moto), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
        until(lambda: answers(f"http://127.0.0.1:{port}/moto-api/data.json"), START_WITHIN_S, "moto answers")
        self.environment["AWS_ENDPOINT_URL_DYNAMODB"] = f"http://127.0.0.1:{port}"

    def start_kinesis_local(self) -> None:
        """Start kinesis-local on a free port, and send the programs' Kinesis calls there."""
        self.environments.install_kinesis_local()
        port = free_port()
        settings = {
            "KINESIS_MOCK_PLAIN_PORT": str(port),
            "KINESIS_MOCK_TLS_PORT": str(free_port()),
            "KINESIS_MOCK_CERT_PATH": str(self.environments.kinesis_local / "server.json"),
            "AWS_ACCOUNT_ID": "000000000000",
            "LOG_LEVEL": "ERROR",
            "NODE_OPTIONS": f"-r {HERE / 'loopback.cjs'}",
        }
        command = ("env", "-C", str(self.environments.kinesis_local), "node", "main.js")
        self.start_foreign("kinesis-local", *command, **settings)
        until(lambda: answers(f"http://127.0.0.1:{port}/healthcheck"), START_WITHIN_S, "kinesis-local answers")
        self.environment["AWS_ENDPOINT_URL_KINESIS"] = f"http://127.0.0.1:{port}"
        self.kinesis = self.client("kinesis")

    def client(self, service: Any, key: str = "test", secret: str = "test") -> Any:
        """Return a client for the endpoint that the programs use."""
        own = self.environment.get(f"AWS_ENDPOINT_URL_{service.upper()}")
        session = boto3.Session(key, secret, region_name=REGION)
        endpoint = own or self.environment["AWS_ENDPOINT_URL"]
        return session.client(service, endpoint_url=endpoint, config=Config(retries={"max_attempts": 1}))

    # --- the product's programs

    def set_up(self) -> "subprocess.CompletedProcess[str]":
        """Run `stream-router setup`, and give the consumer the SQS_DLQ_URL that it prints."""
        done = self.command("setup")
        lines = [line for line in done.stdout.splitlines() if line.startswith("export SQS_DLQ_URL=")]
        assert done.returncode == 0, f"setup ended with {done.returncode}: {done.stdout}{done.stderr}"
        self.dead_letters = self.environment["SQS_DLQ_URL"] = lines[0].partition("=")[2]
        return done

    def start_consumer(self, name: str = "consume", **more: str) -> subprocess.Popen[bytes]:
        """Start a consumer, and do not wait for it."""
        return self.start(name, PROGRAM, "consume", **more)

    def start_receiver(self, **more: str) -> subprocess.Popen[bytes]:
        """Start a receiver, and wait until it is ready."""
        receiver = self.start("receive", PROGRAM, "receive", **more)
        until(self.is_ready, START_WITHIN_S, "the receiver is ready")
        return receiver

    # --- traffic

    def post_bodies(self, bodies: dict[str, bytes], rate: float) -> dict[str, bytes]:
        """Post each body under its delivery id until it is stored. Return the bodies by event id."""
        begun = time.monotonic()

        def post(number: int, delivery_id: str, body: bytes) -> tuple[str, bytes]:
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            wanted = event_id("hmac", delivery_id, 0, body)
            stored = self.post_patiently(delivery_id, body, STORED_WITHIN_S)
            assert stored == wanted, f"{delivery_id} was stored as {stored}, not as {wanted}"
            return wanted, body

        with ThreadPoolExecutor(POSTERS) as pool:
            futures = [pool.submit(post, number, *item) for number, item in enumerate(bodies.items())]
            return dict(future.result() for future in futures)

    def collect(self, wanted: set[str], timeout_s: float) -> list[str]:
        """Return the event ids at the target, copies included, once all that are wanted arrived or the time is over."""
        arrived: list[str] = []
        deadline = time.monotonic() + timeout_s
        while True:
            arrived += [event["detail"]["eventId"] for event in self.drain(self.target)]
            if set(arrived) >= wanted or time.monotonic() > deadline:
                return arrived
            time.sleep(0.3)

    def count_unanswered_calls(self) -> int:
        """Count log lines about calls without an answer in time, the one cause of copies without a restart."""
        texts = [(self.folder / f"{name}.log").read_text("utf-8", "replace") for name in ("receive", "consume")]
        lines = [line for text in texts for line in text.splitlines()]
        return sum("TimedOut" in line or '"event":"stream-silent' in line for line in lines)


def good_and_poison(count: int, each: int, prefix: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return bodies by delivery id. One of every `each` events has a type that the rule does not route."""
    good = {f"{prefix}-{n}": webhook(n) for n in range(count) if n % each}
    poison = {f"{prefix}-{n}": webhook(n, eventType="of.my.own") for n in range(0, count, each)}
    return good, poison


def answers(url: str) -> bool:
    """Return whether a server answers with a status below 500."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=2.0).status_code < 500
    return False

"""Programs that start with their host wait for the service that gives them credentials, and start then."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest

from tests.fakeaws.process import FakeAwsProcess
from tests.ports import free_port

SAYS_SO = "no credentials yet"


KEPT = {"AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:PORT", "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac"}
"""A parameter store at the same port as the credentials, PORT filled in."""


class Given(BaseHTTPRequestHandler):
    """Credentials as a container's service gives them; and a parameter store, in which every parameter is a secret."""

    def do_GET(self) -> None:
        """One role's, good for an hour."""
        until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.answer({"AccessKeyId": "AK", "SecretAccessKey": "SK", "Token": "T", "Expiration": until})

    def do_POST(self) -> None:
        """GetParameter."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"Parameter": {"Value": "0123456789abcdef-of-ssm"}})

    def answer(self, document: object) -> None:
        """200, with this as JSON."""
        body = orjson.dumps(document)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Nobody reads it."""


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", None, 0) as running:
        yield running


class Starting:
    """A program, started where its credentials come from a port at which nothing listens yet."""

    def __init__(self, aws_url: str, folder: Path, program: str = "receive", **more: str) -> None:
        self.service_port, self.log = free_port(), folder / "log"
        others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "STREAM_ROUTER_"))}
        environment = {
            **others,
            "HOME": str(folder),
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{self.service_port}/role",
            "AWS_ENDPOINT_URL": aws_url,
            "STREAM_ROUTER_WEBHOOK_SCHEME": "none",
            "STREAM_ROUTER_LISTEN": f"127.0.0.1:{free_port()}",
            "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            **{name: value.replace("PORT", str(self.service_port)) for name, value in more.items()},
        }
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "stream_router", program]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def until(self, fits: Callable[[str], bool]) -> None:
        """Wait until its log is so; it may not end before."""
        deadline_s = time.monotonic() + 20
        while not fits(self.log.read_text()):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline_s, self.log.read_text()
            time.sleep(0.05)


@pytest.fixture
def starting(fake_aws: FakeAwsProcess, tmp_path: Path) -> Iterator[Starting]:
    made = Starting(fake_aws.url, tmp_path)
    yield made
    made.process.kill()
    made.process.wait(10)


@contextlib.contextmanager
def service_at(port: int) -> Iterator[None]:
    """What gives the credentials, from here on."""
    service = ThreadingHTTPServer(("127.0.0.1", port), Given)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        service.shutdown()
        service.server_close()


def test_a_receiver_whose_credentials_come_late_starts_all_the_same(starting: Starting) -> None:
    """It says that it waits, once, and serves when the service is there: with 78 its unit would stay down for good."""
    starting.until(lambda said: SAYS_SO in said)
    with service_at(starting.service_port):
        starting.until(lambda said: "the receiver starts" in said)
    assert starting.log.read_text().count(SAYS_SO) == 1


def test_so_does_one_whose_secrets_are_in_aws(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """They are asked for with the same credentials, and before anything else."""
    starting = Starting(fake_aws.url, tmp_path, STREAM_ROUTER_WEBHOOK_SECRETS="ssm:/secret", **KEPT)
    try:
        starting.until(lambda said: SAYS_SO in said)
        with service_at(starting.service_port):
            starting.until(lambda said: "the receiver starts" in said)
    finally:
        starting.process.kill()
        starting.process.wait(10)


def test_so_does_a_consumer_whose_key_is_in_aws(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """It waits as well, instead of ending with 78."""
    keys = {"STREAM_ROUTER_MASKING": "default", "STREAM_ROUTER_MASKING_KEY": "ssm:/key", **KEPT}
    keys |= {"SQS_DLQ_URL": f"{fake_aws.url}/000000000000/dead", "STREAM_ROUTER_ADMIN_LISTEN": "127.0.0.1:0"}
    starting = Starting(fake_aws.url, tmp_path, "consume", **keys)
    try:
        starting.until(lambda said: SAYS_SO in said)
    finally:
        starting.process.kill()
        starting.process.wait(10)


def test_a_stop_while_it_waits_for_credentials_ends_it_at_once(starting: Starting) -> None:
    """Nothing is begun, so there is nothing to drain."""
    starting.until(lambda said: SAYS_SO in said)
    starting.process.send_signal(signal.SIGTERM)
    assert starting.process.wait(15) == 0

"""Programs that start with their host wait for the service that gives them credentials, and start then."""

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

from stream_router.fakeaws.process import FakeAwsProcess
from tests.ports import free_port

SAYS_SO = "no credentials yet"


class Given(BaseHTTPRequestHandler):
    """Credentials as a container's service gives them."""

    def do_GET(self) -> None:
        """One role's, good for an hour."""
        until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = orjson.dumps({"AccessKeyId": "AK", "SecretAccessKey": "SK", "Token": "T", "Expiration": until})
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
    """`receive`, started where its credentials come from a port at which nothing listens yet."""

    def __init__(self, aws_url: str, folder: Path) -> None:
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
        }
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "stream_router.receiver"]
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


def test_a_receiver_whose_credentials_come_late_starts_all_the_same(starting: Starting) -> None:
    """It says that it waits, once, and serves when the service is there: with 78 its unit would stay down for good."""
    starting.until(lambda said: SAYS_SO in said)
    service = ThreadingHTTPServer(("127.0.0.1", starting.service_port), Given)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    try:
        starting.until(lambda said: "the receiver starts" in said)
    finally:
        service.shutdown()
        service.server_close()
    assert starting.log.read_text().count(SAYS_SO) == 1


def test_a_stop_while_it_waits_for_credentials_ends_it_at_once(starting: Starting) -> None:
    """Nothing is begun, so there is nothing to drain."""
    starting.until(lambda said: SAYS_SO in said)
    starting.process.send_signal(signal.SIGTERM)
    assert starting.process.wait(5) == 0

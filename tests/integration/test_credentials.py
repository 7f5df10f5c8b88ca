"""Credentials that come late, with a host that starts, and those that AWS ends: programs wait for them, and go on."""

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
from botocore.config import Config
from botocore.exceptions import ClientError

from stream_router.aws import credentials, endpoints
from stream_router.aws.credentials import CredentialSource
from stream_router.aws_error_codes import code_of
from tests.environment import set_environment
from tests.ports import free_port
from tests.raw_server import RawServer, Seen, answer

SAYS_SO = "No credentials yet"


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


class Starting:
    """A program whose credentials, and a secret of whose, come from a port at which nothing listens yet."""

    def __init__(self, folder: Path, program: str, **more: str) -> None:
        self.service_port, self.log = free_port(), folder / "log"
        others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "STREAM_ROUTER_"))}
        environment = {
            **others,
            "HOME": str(folder),
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{self.service_port}/role",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
            "AWS_ENDPOINT_URL_SSM": f"http://127.0.0.1:{self.service_port}",
            "SQS_DLQ_URL": "http://127.0.0.1:1/000000000000/dead",
            "STREAM_ROUTER_ADMIN_LISTEN": "127.0.0.1:0",
            "STREAM_ROUTER_LISTEN": f"127.0.0.1:{free_port()}",
            "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            **{f"STREAM_ROUTER_{name}": value for name, value in more.items()},
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


@contextlib.contextmanager
def starting(folder: Path, program: str, **more: str) -> Iterator[Starting]:
    result = Starting(folder, program, **more)
    try:
        result.until(lambda output: SAYS_SO in output)
        yield result
    finally:
        result.process.kill()
        result.process.wait(10)


def test_a_receiver_whose_credentials_come_late_starts_all_the_same(tmp_path: Path) -> None:
    """It says that it waits, once, also for a secret in AWS; with 78 its unit would stay down for good."""
    with starting(tmp_path, "receive", WEBHOOK_SCHEME="hmac", WEBHOOK_SECRETS="ssm:/secret") as receiver:
        service = ThreadingHTTPServer(("127.0.0.1", receiver.service_port), Given)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        try:
            receiver.until(lambda output: "The receiver starts" in output)
        finally:
            service.shutdown()
            service.server_close()
        assert receiver.log.read_text().count(SAYS_SO) == 1


def test_a_consumer_waits_for_them_too_and_a_stop_meanwhile_ends_it_at_once(tmp_path: Path) -> None:
    """Nothing is begun, so there is nothing to drain."""
    with starting(tmp_path, "consume", MASKING="default", MASKING_KEY="ssm:/key") as consumer:
        consumer.process.send_signal(signal.SIGTERM)
        assert consumer.process.wait(15) == 0


# --- ended by AWS

CONFIG = Config(retries={"total_max_attempts": 1})
EXPIRED = b'{"__type": "ExpiredTokenException", "message": "The security token included in the request is expired"}'


def judge(seen: Seen) -> bytes:
    """AWS, which has ended the old credentials."""
    if "Credential=NEW/" in seen.headers["authorization"]:
        return answer(200, b'{"Name": "b"}', Content_Type="application/x-amz-json-1.1")
    return answer(400, EXPIRED, Content_Type="application/x-amz-json-1.1")


class Host:
    """Where a program runs: its file of credentials, and the client that it has made."""

    def __init__(self, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = folder / "credentials"
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(self._file))
        set_environment(monkeypatch, {"AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true"})
        self.write("OLD")
        monkeypatch.setattr(credentials, "RELOAD_INTERVAL_S", 0.0)
        self.session = endpoints.create_session("us-east-1")
        self._client = endpoints.create_client(self.session, "events", CONFIG)

    def write(self, key: str) -> None:
        self._file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n" if key else "")

    def answers(self) -> bool:
        try:
            return bool(self._client.describe_event_bus(Name="b"))
        except ClientError as error:
            return code_of(error) != "ExpiredTokenException"


@pytest.mark.usefixtures("empty_environment")
def test_credentials_that_were_renewed_in_their_file_are_taken_once_the_old_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the file was empty meanwhile, or has the old ones still. Of another kind of source none are taken:
    they may be of another account, which has a bus and a stream of the same names."""
    with RawServer(judge) as server:
        host = Host(server.url, tmp_path, monkeypatch)
        for key in ("OLD", "OLD", ""):
            host.write(key)
            assert not host.answers()
        set_environment(monkeypatch, {"AWS_ACCESS_KEY_ID": "NEW", "AWS_SECRET_ACCESS_KEY": "s"})
        assert not host.answers()
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        for key in ("NEW", "OTHER"):  # who changes a profile meanwhile moves nothing to another account
            host.write(key)
            assert host.answers()


@pytest.mark.usefixtures("empty_environment")
def test_the_data_plane_takes_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread looks once AWS has refused those that it has, and not before."""
    monkeypatch.setattr(credentials, "REFRESH_INTERVAL_S", 0.001)
    host = Host("http://127.0.0.1:1", tmp_path, monkeypatch)
    source = CredentialSource(host.session)
    host.write("NEW")
    time.sleep(0.1)
    assert source().access_key == "OLD"
    source.mark_refused()
    deadline_s = time.monotonic() + 10
    while source().access_key != "NEW":
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    source.close()

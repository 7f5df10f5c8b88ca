"""`receive` and `consume` as programs, where what they need in AWS is not there: 78 and one line, before they serve."""

import signal
import subprocess
import sys
from pathlib import Path

import boto3
import httpx
import pytest

from stream_router.local.programs import clean_environment
from tests.ports import free_port


@pytest.fixture(scope="module")
def world(endpoint: str) -> str:
    """A stack with a stream and a queue."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    session.client("kinesis", endpoint_url=endpoint).create_stream(StreamName="there", ShardCount=1)
    session.client("sqs", endpoint_url=endpoint).create_queue(QueueName="there")
    return endpoint


def program(endpoint: str, folder: Path, name: str, **settings: str) -> subprocess.Popen[str]:
    environment = clean_environment(endpoint) | {
        key if key.startswith("SQS_") else f"STREAM_ROUTER_{key}": value for key, value in settings.items()
    }
    command = [sys.executable, "-m", "stream_router", name]
    return subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True)


def receive(endpoint: str, folder: Path, stream: str, port: int) -> subprocess.Popen[str]:
    own = {"LISTEN": f"127.0.0.1:{port}", "RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}"}
    signed = {"WEBHOOK_SCHEME": "hmac", "WEBHOOK_SECRETS": "a webhook secret of some length"}
    return program(endpoint, folder, "receive", STREAM=stream, **own, **signed)


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.splitlines()


def test_a_receiver_without_its_stream_does_not_start(world: str, tmp_path: Path) -> None:
    """It would answer 503 to every sender, for ever."""
    status, (line,) = ended(receive(world, tmp_path, "nosuch", free_port()))
    assert status == 78
    problem = "stream-router: STREAM_ROUTER_STREAM: there is no such stream in this region; check that AWS_REGION ("
    assert line.startswith(problem)
    assert line.endswith("(SR101)")


def test_a_receiver_starts_in_an_outage(tmp_path: Path) -> None:
    """No answer is not a definite no: with a spill above all it has to serve."""
    port = free_port()
    process = receive(f"http://127.0.0.1:{free_port()}", tmp_path, "there", port)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=8), timeout=20) as client:
            assert client.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
    status, lines = ended(process)
    assert status == 0, lines


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"STREAM": "nosuch"}, "STREAM_ROUTER_STREAM: there is no such stream"),
        ({"SQS_DLQ_URL": "/000000000000/nosuch"}, "SQS_DLQ_URL: there is no such queue"),
        ({"OFFLOAD_BUCKET": "no-such-bucket"}, "STREAM_ROUTER_OFFLOAD_BUCKET: there is no such bucket"),
        ({"JVM_OPTIONS": "-Xmx1banana"}, "STREAM_ROUTER_JVM_OPTIONS: the JVM does not load the KCL daemon"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_consumer_without_what_it_needs_does_not_start(
    world: str, tmp_path: Path, changes: dict[str, str], line: str
) -> None:
    """Else it shows at the first dead letter, or never; a JVM that cannot start would be restarted for ever."""
    queue = world + changes.get("SQS_DLQ_URL", "/000000000000/there")
    own = {"STATE_DIR": str(tmp_path / "state"), "ADMIN_LISTEN": "127.0.0.1:0"}
    settings = {"STREAM": "there", **own, **changes, "SQS_DLQ_URL": queue}
    status, lines = ended(program(world, tmp_path, "consume", **settings))
    assert status == 78, lines
    assert lines[-1].startswith(f"stream-router: {line}")
    assert [output for output in lines if output.startswith("stream-router: ")] == lines[-1:]
    assert [path.name for path in tmp_path.iterdir()] == ["state"], "no report of a JVM's crash is left"

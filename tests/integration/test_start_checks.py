"""`receive` and `consume` as programs, where what they need in AWS is not there: 78 and one line, before they serve."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest

from stream_router.local import stack
from stream_router.local.programs import Programs, clean
from tests.ports import free_port

SECRET = "a webhook secret of some length"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with Programs() as programs:
        endpoint = stack.start(programs)[1]
        session = boto3.Session("test", "test", region_name="us-east-1")
        session.client("kinesis", endpoint_url=endpoint).create_stream(StreamName="there", ShardCount=1)
        session.client("sqs", endpoint_url=endpoint).create_queue(QueueName="there")
        yield endpoint


def program(endpoint: str, folder: Path, name: str, **settings: str) -> subprocess.Popen[str]:
    environment = clean(endpoint)
    environment |= {f"STREAM_ROUTER_{key}": value for key, value in settings.items() if key != "SQS_DLQ_URL"}
    environment |= {key: value for key, value in settings.items() if key == "SQS_DLQ_URL"}
    return subprocess.Popen(
        [sys.executable, "-m", "stream_router", name],
        env=environment,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.splitlines()


def receive(endpoint: str, folder: Path, stream: str, port: int) -> subprocess.Popen[str]:
    return program(
        endpoint,
        folder,
        "receive",
        STREAM=stream,
        WEBHOOK_SCHEME="hmac",
        WEBHOOK_SECRETS=SECRET,
        LISTEN=f"127.0.0.1:{port}",
        RECEIVER_ADMIN_LISTEN=f"127.0.0.1:{free_port()}",
    )


def test_a_receiver_without_its_stream_does_not_start(endpoint: str, tmp_path: Path) -> None:
    """It would answer 503 to every sender, for ever."""
    status, lines = ended(receive(endpoint, tmp_path, "nosuch", free_port()))
    assert status == 78
    (line,) = lines
    assert line.startswith(
        "stream-router: STREAM_ROUTER_STREAM: there is no such stream in this region; name another, "
    )
    assert line.endswith("(SR101)")


def test_a_receiver_starts_in_an_outage(tmp_path: Path) -> None:
    """No answer is no definite no: with a spill above all it has to serve."""
    port = free_port()
    process = receive(f"http://127.0.0.1:{free_port()}", tmp_path, "there", port)
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport, timeout=20) as client:
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
        (
            {"JVM_OPTIONS": "-Xmx1banana"},
            "STREAM_ROUTER_JVM_OPTIONS: the JVM does not load the KCL daemon",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_consumer_without_what_it_needs_does_not_start(
    endpoint: str, tmp_path: Path, changes: dict[str, str], line: str
) -> None:
    """Else it shows at the first dead letter, or never; a JVM that cannot start would be restarted for ever."""
    queue = endpoint + changes.get("SQS_DLQ_URL", "/000000000000/there")
    own = {"STATE_DIR": str(tmp_path / "state"), "ADMIN_LISTEN": "127.0.0.1:0"}
    settings = {"STREAM": "there", **own, **changes, "SQS_DLQ_URL": queue}
    status, lines = ended(program(endpoint, tmp_path, "consume", **settings))
    assert status == 78, lines
    assert lines[-1].startswith(f"stream-router: {line}")
    assert [said for said in lines if said.startswith("stream-router: ")] == lines[-1:]
    assert [path.name for path in tmp_path.iterdir()] == ["state"], "no report of a JVM's crash is left"

"""What only the world tells of a setting: streams, queues, buckets, addresses, Java, in the real commands.

Each is refused by one line on stderr that names it and its cure, and no traceback. What a setting's value alone tells:
tests/unit/test_wrong_settings.py.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest

from stream_router.local import stack
from stream_router.local.programs import Programs, clean
from tests.ports import free_port
from tests.system.world import PROGRAM

pytestmark = pytest.mark.long

SECRET = "a webhook secret of some length"
HERE = "us-east-1"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
RECEIVE = {"WEBHOOK_SCHEME": "hmac", "WEBHOOK_SECRETS": SECRET, "STREAM": "there"}
CONSUME = {"STREAM": "there", "SQS_DLQ_URL": "QUEUE"}
SETUP: dict[str, str] = {"STREAM": "untouched"}


class Wrong(NamedTuple):
    """A command, what is set wrong in it ("" unsets; QUEUE and CLOSED are filled in), and how the line begins."""

    command: str
    settings: dict[str, str]
    line: str
    status: int = 78


ROWS = {
    "receive: stream absent": Wrong("receive", {**RECEIVE, "STREAM": "nosuch"}, "STREAM_ROUTER_STREAM: "),
    "demo --events -1": Wrong("demo --events -1", {}, "", 2),
    "demo --poison 200": Wrong("demo --poison 200", {}, "", 2),
    "consume: DLQ absent": Wrong("consume", {**CONSUME, "SQS_DLQ_URL": "QUEUE-nosuch"}, "SQS_DLQ_URL: "),
    "consume: DLQ of another region": Wrong(
        "consume", {**CONSUME, "SQS_DLQ_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/q"}, "SQS_DLQ_URL: "
    ),
    "consume: stream absent": Wrong("consume", {**CONSUME, "STREAM": "nosuch"}, "STREAM_ROUTER_STREAM: "),
    "consume: bucket absent": Wrong(
        "consume", {**CONSUME, "OFFLOAD_BUCKET": "no-such-bucket"}, "STREAM_ROUTER_OFFLOAD_BUCKET: "
    ),
    "consume: JVM options bad": Wrong(
        "consume", {**CONSUME, "JVM_OPTIONS": "-Xmx1banana"}, "STREAM_ROUTER_JVM_OPTIONS: "
    ),
    "consume: heap too big": Wrong("consume", {**CONSUME, "JVM_OPTIONS": "-Xms900000g"}, "STREAM_ROUTER_JVM_OPTIONS: "),
    "consume: bus absent": Wrong("consume", {**CONSUME, "EVENT_BUS": "nosuch"}, "STREAM_ROUTER_EVENT_BUS: "),
    "setup: target of another region": Wrong(
        "setup",
        {**SETUP, "EVENTBRIDGE_TARGET_ARN": FUNCTION.replace("us-east-1", "eu-central-1")},
        "EVENTBRIDGE_TARGET_ARN: ",
    ),
    "setup: FIFO": Wrong(
        "setup",
        {**SETUP, "EVENTBRIDGE_TARGET_ARN": "arn:aws:sqs:us-east-1:000000000000:q.fifo"},
        "EVENTBRIDGE_TARGET_ARN: ",
    ),
    "setup: endpoint closed": Wrong("setup", {**SETUP, "AWS_ENDPOINT_URL": "CLOSED"}, "", 1),
    "local: port in use": Wrong("local --port TAKEN", {}, "--port: "),
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with Programs() as programs:
        endpoint = stack.start(programs)[1]
        session = boto3.Session("test", "test", region_name=HERE)
        session.client("kinesis", endpoint_url=endpoint).create_stream(StreamName="there", ShardCount=1)
        session.client("sqs", endpoint_url=endpoint).create_queue(QueueName="there")
        yield endpoint


def ended(command: str, settings: dict[str, str], endpoint: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command to its end, in an environment where only this is wrong."""
    environment = clean(endpoint)
    environment |= {
        "STREAM_ROUTER_LISTEN": f"127.0.0.1:{free_port()}",
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "STREAM_ROUTER_ADMIN_LISTEN": "127.0.0.1:0",
        "STREAM_ROUTER_STATE_DIR": str(folder / "state"),
    }
    filled = {"QUEUE": f"{endpoint}/000000000000/there", "CLOSED": f"http://127.0.0.1:{free_port()}"}
    for name, value in settings.items():
        whole = name if name.startswith(("AWS_", "SQS_", "EVENTBRIDGE_")) else f"STREAM_ROUTER_{name}"
        for word, text in filled.items():
            value = value.replace(word, text)  # noqa: PLW2901
        environment[whole] = value
    words = command.replace("TAKEN", endpoint.rsplit(":", 1)[1]).split()
    return subprocess.run(
        [PROGRAM, *words], env=environment, cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.mark.parametrize("row", ROWS)
def test_a_wrong_setting_is_refused_by_name(endpoint: str, tmp_path: Path, row: str) -> None:
    """78 and one line; of a word on the command line 2; of a closed endpoint 1, since that is no setting's fault."""
    wrong = ROWS[row]
    done = ended(wrong.command, wrong.settings, endpoint, tmp_path)
    assert done.returncode == wrong.status, done.stderr
    assert "Traceback" not in done.stderr
    own = [line for line in done.stderr.splitlines() if line.startswith("stream-router")]
    if wrong.status == 2:
        assert "Error" in done.stderr
        return
    (line,) = own
    assert line.startswith(f"stream-router: {wrong.line}" if wrong.line else "stream-router"), line
    assert "; " in line
    assert not [other for other in done.stderr.splitlines() if other.startswith("{") and '"ERROR"' in other]
    assert [path.name for path in tmp_path.iterdir()] in ([], ["state"]), "nothing else is left behind"


def test_nothing_was_made_before_a_setting_was_refused(endpoint: str) -> None:
    """`setup` looks at all its settings first."""
    session = boto3.Session("test", "test", region_name=HERE)
    assert session.client("kinesis", endpoint_url=endpoint).list_streams()["StreamNames"] == ["there"]

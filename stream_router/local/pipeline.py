"""The whole pipeline on this machine: ministack, what `setup` makes in it, and the two programs as they really run."""

import secrets
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from stream_router.aws.clients import Clients
from stream_router.local import leases, stack
from stream_router.local.environment import ACCOUNT, REGION, free_port
from stream_router.local.programs import Program, Programs, module
from stream_router.operate import setup
from stream_router.send.signing import Sign, signer
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load
from stream_router.settings.receiver import Receiver
from stream_router.telemetry.shards.shard_metrics import read_snapshots

TARGET_QUEUE = "demo-target"
SHARDS = 2
RECEIVER_SETTINGS = {
    "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
    "STREAM_ROUTER_HMAC_TEMPLATE": "{timestamp}.{body}",
    "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER": "x-timestamp",
    "STREAM_ROUTER_HMAC_ID_HEADER": "x-delivery-id",
}
"""But for the secret."""

RECEIVER_START_S = 30.0
CONSUMER_START_S = 90.0
CONSUMER_STOP_S = 40.0


class Pipeline(NamedTuple):
    """A running pipeline and where its ends are."""

    endpoint: str
    clients: Clients
    receiver: Program
    consumer: Program
    events_url: str
    sign: Sign
    target_queue_url: str
    dead_letters_url: str
    stream: str
    state_dir: Path


def start(programs: Programs, say: Callable[[str], None]) -> Pipeline:
    """Start everything and return when events can flow. Raises ProgramError or SettingsError with one line."""
    _, endpoint = stack.start(programs)
    say(f"the embedded stack serves at {endpoint}")
    clients = Clients(REGION, endpoint)
    target = clients.sqs.create_queue(QueueName=TARGET_QUEUE)["QueueUrl"]
    wanted = load(Setup, target_arn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{TARGET_QUEUE}", shards=SHARDS)
    dead_letters_url = setup.ensure(wanted, clients, lambda line: say(f"  {line}"))
    leases.seed(clients.kinesis, clients.dynamodb, wanted.stream, wanted.application)
    state_dir = programs.folder / "state"
    consumer = _start_consumer(programs, endpoint, dead_letters_url, state_dir)
    receiver, url, sign = _start_receiver(programs, endpoint)
    say(f"the receiver serves at {url}")
    # A child writes its first snapshot of metrics when the daemon calls it for the first time, records or none.
    consumer.wait_ready(lambda: len(read_snapshots(state_dir)) >= SHARDS, CONSUMER_START_S)
    say(f"the KCL daemon runs {SHARDS} children, one a shard")
    return Pipeline(
        endpoint, clients, receiver, consumer, url, sign, target, dead_letters_url, wanted.stream, state_dir
    )


def _start_consumer(programs: Programs, endpoint: str, dead_letters_url: str, state_dir: Path) -> Program:
    variables = {
        "SQS_DLQ_URL": dead_letters_url,
        "STREAM_ROUTER_STATE_DIR": str(state_dir),
        "STREAM_ROUTER_AUDIT_DIR": str(programs.folder / "audit"),
        "STREAM_ROUTER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
    }
    return programs.start("consume", module("stream_router", "consume"), endpoint, variables, CONSUMER_STOP_S)


def _start_receiver(programs: Programs, endpoint: str) -> tuple[Program, str, Sign]:
    address, secret = f"127.0.0.1:{free_port()}", secrets.token_hex(32)
    variables = {
        **RECEIVER_SETTINGS,
        "STREAM_ROUTER_WEBHOOK_SECRETS": secret,
        "STREAM_ROUTER_LISTEN": address,
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
    }
    receiver = programs.start("receive", module("stream_router", "receive"), endpoint, variables)
    receiver.wait_ready(lambda: _ready(f"http://{address}/readyz"), RECEIVER_START_S)
    fields = {name.removeprefix("STREAM_ROUTER_").lower(): value for name, value in variables.items()}
    return receiver, f"http://{address}/v1/events", signer(load(Receiver, **fields))


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310  # our own loopback URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False

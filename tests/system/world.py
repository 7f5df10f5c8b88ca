"""The real programs as processes on this machine, driven and judged from outside: nothing of the package is imported.

What is sent, what must come out, and who an event is, are worked out here anew from the contract's text.
"""

import base64
import contextlib
import ctypes
import hashlib
import hmac
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

from tests import queues
from tests.ports import ONLY_LOOPBACK, free_port

REGION = "us-east-1"
TARGET_ARN = f"arn:aws:sqs:{REGION}:000000000000:out"
MARK = "SYSTEM_TEST_WORLD"
RULE = "cxone-webhook-router"
_LIBC = ctypes.CDLL(None)
SHIPPED = Path(__file__).parents[2] / "properties" / "consumer.properties"
PROGRAM = str(Path(sys.executable).parent / "stream-router")


def daemons(running: Iterable[tuple[int, list[str]]], parent_of: Callable[[int], int] | None = None) -> list[int]:
    """The JVMs among programs. What one has just forked has its words until it becomes a child, and is none."""
    result = {pid for pid, words in running if words[0].endswith("java")}
    return [pid for pid in result if (parent_of or _parent_of)(pid) not in result]


def _parent_of(pid: int) -> int:
    """0 where it is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    return 0


class World:
    """ministack, what `setup` made in it, a receiver and a consumer; everything ends with `close`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.mark = secrets.token_hex(8)
        self.secret = secrets.token_hex(16)
        self.port, receiver = free_port(), free_port()
        self.url = f"http://127.0.0.1:{receiver}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "STREAM_ROUTER_", "SQS_"))},
            MARK: self.mark,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "EVENTBRIDGE_TARGET_ARN": TARGET_ARN,
            "STREAM_ROUTER_STATE_DIR": str(folder / "state"),
            "STREAM_ROUTER_LISTEN": f"127.0.0.1:{receiver}",
            "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "STREAM_ROUTER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
            "STREAM_ROUTER_WEBHOOK_SECRETS": self.secret,
            "STREAM_ROUTER_HMAC_TEMPLATE": "{id}.{timestamp}.{body}",
            "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER": "x-timestamp",
            "STREAM_ROUTER_HMAC_ID_HEADER": "x-delivery-id",
            **settings,
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.http = httpx.Client(base_url=self.url, timeout=5.0)
        self.sqs = self._client("sqs")
        self.kinesis = self._client("kinesis")

    def _client(self, service: Any) -> Any:
        session = boto3.Session("test", "test", region_name=REGION)
        return session.client(
            service, endpoint_url=f"http://127.0.0.1:{self.port}", config=Config(retries={"max_attempts": 1})
        )

    # --- processes ----------------------------------------------------------------------------------------------

    def start_all(self) -> None:
        """From nothing to a receiver and a consumer that are ready."""
        self.start_stack()
        self.run_setup()
        self.consumer = self.start("consume", PROGRAM, "consume")
        self.receiver = self.start("receive", PROGRAM, "receive")
        until(self.is_ready, 30, "the receiver is ready")
        until(lambda: len(self.children()) >= 2, 90, "two children run")

    def start_stack(self, *program: str) -> None:
        """ministack (or a program of ours with it inside), with the queue that will be the rule's target."""
        stack = {"GATEWAY_PORT": str(self.port), **ONLY_LOOPBACK, "LOG_LEVEL": "WARNING"}
        stack["TMPDIR"] = str(self.folder)
        self.start("ministack", sys.executable, "-m", *(program or ("stream_router.local.steady_ministack",)), **stack)
        until(self._answers, 30, "ministack answers")
        self.target = self.sqs.create_queue(QueueName="out")["QueueUrl"]

    def run_setup(self) -> str:
        """`stream-router setup`: its output. The consumer's SQS_DLQ_URL is taken from the line that it prints."""
        done = subprocess.run([PROGRAM, "setup"], env=self.environment, capture_output=True, text=True, check=True)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("export SQS_DLQ_URL=")]
        self.dead_letters = line.partition("=")[2]
        self.environment["SQS_DLQ_URL"] = self.dead_letters
        return done.stdout

    def command(self, *words: str, timeout_s: float = 120, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run `stream-router WORDS` to its end. Its output is kept in commands.log."""
        environment = {**self.environment, **more}
        done = subprocess.run(
            [PROGRAM, *words], env=environment, capture_output=True, text=True, check=False, timeout=timeout_s
        )
        with (self.folder / "commands.log").open("a", encoding="utf-8") as log:
            log.write(f"\n$ stream-router {' '.join(words)}  # {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def read_log(self, name: str, event: str) -> list[dict[str, Any]]:
        """Return a program's log lines with this event, oldest first."""
        lines = (self.folder / f"{name}.log").read_text("utf-8", "replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and f'"event":"{event}"' in line]

    def delete_rule(self) -> None:
        """Delete the rule that `setup` made, with its targets."""
        events = self._client("events")
        targets = events.list_targets_by_rule(Rule=RULE)["Targets"]
        events.remove_targets(Rule=RULE, Ids=[target["Id"] for target in targets])
        events.delete_rule(Name=RULE)

    def close_target(self) -> None:
        """Let the policy of the target's queue refuse every message."""
        everyone = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [everyone]}
        self.sqs.set_queue_attributes(QueueUrl=self.target, Attributes={"Policy": json.dumps(policy)})

    def seed_leases(self) -> None:
        """What `demo` does against an emulator: no random wait on an empty lease table."""
        clients = ("kinesis", "dynamodb")
        result = ", ".join(f"session.client({name!r}, endpoint_url='http://127.0.0.1:{self.port}')" for name in clients)
        program = (
            "import boto3; from stream_router.local.stack import seed_leases;"
            f"session = boto3.Session('test', 'test', region_name={REGION!r});"
            f"seed_leases({result}, 'cxone-events', 'cxone-event-router')"
        )
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    def use_shipped_properties(self) -> None:
        """What production runs with; only that an emulator speaks JSON."""
        own = self.folder / "shipped.properties"
        own.write_text(f"{SHIPPED.read_text()}\njvm.system.aws.cborEnabled = false\n")
        self.environment["STREAM_ROUTER_PROPERTIES"] = str(own)

    def start(self, name: str, *command: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a program; its output goes to a file in the folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**self.environment, **more},
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread runs yet
            )
        self.processes.append(process)
        return process

    def children(self) -> list[int]:
        """The daemon's children, one a shard."""
        return [pid for pid, words in self._running() if words[1:3] == ["-m", "stream_router.consumer.child"]]

    def jvm(self) -> int:
        """The daemon."""
        (pid,) = daemons(self._running())
        return pid

    def _running(self) -> Iterator[tuple[int, list[str]]]:
        marked = f"{MARK}={self.mark}".encode()
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if marked in (place / "environ").read_bytes().split(b"\0"):
                    words = (place / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                    yield int(place.name), words

    def left_behind(self) -> list[int]:
        """Every process of this world that still runs."""
        return [pid for pid, _ in self._running()]

    def close(self) -> None:
        """End everything, whatever state it is in."""
        for process in reversed(self.processes):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1 if process.poll() is None else 0)
        for pid in self.left_behind():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait(10)
        until(lambda: not self.left_behind(), 10, "all that was killed is gone")
        self.http.close()

    # --- traffic ------------------------------------------------------------------------------------------------

    def post(self, delivery_id: str, body: bytes) -> httpx.Response:
        """One signed webhook."""
        headers = {**self.signed(delivery_id, body), "content-type": "application/json"}
        return self.http.post("/v1/events", content=body, headers=headers)

    def signed(self, delivery_id: str, body: bytes) -> dict[str, str]:
        """The headers that prove the sender."""
        stamp = str(int(time.time()))
        message = b".".join((delivery_id.encode(), stamp.encode(), body))
        signature = hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()
        return {"x-delivery-id": delivery_id, "x-timestamp": stamp, "x-signature": signature}

    def post_patiently(self, delivery_id: str, body: bytes, timeout_s: float = 60.0) -> str:
        """Send until it is stored, as a sender does: the event's id."""
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = self.post(delivery_id, body)
                if answer.status_code == 202:
                    (item,) = answer.json()["ids"]
                    return str(item)
                assert answer.status_code >= 500, answer.text
            assert time.monotonic() < deadline, f"not stored within {timeout_s} s"
            time.sleep(0.2)

    def post_many(self, count: int, rate: float) -> dict[str, bytes]:
        """`count` webhooks at `rate` a second: the body by event id, as the contract derives it."""
        begun = time.monotonic()
        sent: dict[str, bytes] = {}

        def send_one(number: int) -> None:
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            body = webhook(number)
            assert self.post_patiently(f"d-{number}", body) == event_id("hmac", f"d-{number}", 0, body)
            sent[event_id("hmac", f"d-{number}", 0, body)] = body

        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(send_one, number) for number in range(count)]:
                future.result()
        return sent

    # --- what came out ------------------------------------------------------------------------------------------

    def drain(self, queue: str) -> list[dict[str, Any]]:
        """Every message that is in the queue now, taken out."""
        return queues.drain(self.sqs, queue)

    def all_arrived(self, sent: dict[str, bytes], timeout_s: float) -> list[str]:
        """Wait for every event at the target: the ids as they arrived, copies included."""
        arrived: list[str] = []

        def are_there() -> bool:
            arrived.extend(event["detail"]["eventId"] for event in self.drain(self.target))
            return set(arrived) >= sent.keys()

        until(are_there, timeout_s, "every event came out")
        return arrived

    def is_ready(self) -> bool:
        """Whether the receiver says so."""
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/readyz").status_code == 200
        return False

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}/_ministack/health", timeout=1.0).status_code == 200
        return False


def _die_with_parent() -> None:
    """A test run that is killed leaves no program behind: PR_SET_PDEATHSIG is 1."""
    _LIBC.prctl(1, signal.SIGKILL)


def webhook(number: int, **changes: Any) -> bytes:
    """A body of the contract's default shape, some non-ASCII in it."""
    event = {
        "interactionId": f"i-{number}",
        "conversationId": f"c-{number // 4}",
        "eventType": ("interaction.created", "conversation.updated", "agent.status.changed")[number % 3],
        "timestamp": "2026-11-24T10:30:00.123+01:00",
        "payload": {"name": "Zoë Núñez", "text": "ありがとう 👍" * 10, "n": number, "id": str(uuid.uuid4())},
        **changes,
    }
    return json.dumps(event, ensure_ascii=False).encode()


def event_id(scheme: str, delivery_id: str, index: int, body: bytes) -> str:
    """As docs/contract.md, "Identity", has it."""
    text = b"\0".join((scheme.encode(), delivery_id.encode(), str(index).encode(), hashlib.sha256(body).digest()))
    return hashlib.sha256(text).hexdigest()[:32]


def original(letter: dict[str, Any]) -> bytes:
    """A dead letter's original bytes."""
    assert letter["record"]["encoding"] == "base64"
    return base64.b64decode(letter["record"]["data"])


def until(is_so: Callable[[], bool], timeout_s: float, kind: str) -> None:
    """Wait for it; fail with its name where it does not come."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {kind}"
        time.sleep(0.1)

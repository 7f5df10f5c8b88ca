"""Plays the KCL daemon to one child process over the MultiLang protocol: no JVM, imports nothing from the package."""

import base64
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import boto3

_KEYS = ("aws_access_key_id", "aws_secret_access_key")

FIRST_SEQUENCE = 49_590_338_271_490_256_608_559_692_538_361_571_095


def envelope(number: int, **fields: Any) -> bytes:
    """One event as the receiver seals it; `fields` override the sender's own."""
    body = {
        "interactionId": f"int-{number}",
        "conversationId": f"conv-{number % 7}",
        "eventType": "interaction.created",
        "timestamp": "2026-11-24T09:30:00.123Z",
        "payload": {"number": number, "queue": "Süd"},
    } | fields
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    received = int(time.time() * 1000)
    return f'{{"v":1,"id":"{number:032x}","idFrom":"delivery","receivedAt":{received},"body":{text}}}'.encode()


def prove(folder: Path, *, ahead_s: float = 36_000.0, **line: Any) -> None:
    """A supervisor's proof of bus and rule, by default for whatever the test's time: no checkpoint waits for one."""
    target_state = {"proven_s": time.monotonic() + ahead_s, "since_s": 0.0, "problem": "", "unanswered": False, **line}
    neighbour = folder / ".proof"
    neighbour.write_text(json.dumps(target_state) + "\n")
    neighbour.replace(folder / "target-proof")


def close_shard(url: str) -> None:
    """Split the first shard of the fake AWS's stream, and lease its halves, as where the daemon ends it."""
    at: Any = {"region_name": "us-east-1", "endpoint_url": url, **dict.fromkeys(_KEYS, "test")}
    kinesis, dynamodb = boto3.client("kinesis", **at), boto3.client("dynamodb", **at)
    first = len(kinesis.list_shards(StreamName="s")["Shards"])
    for number in (first, first + 1):
        key = {"leaseKey": {"S": f"shardId-{number:012d}"}}
        dynamodb.put_item(TableName="cxone-event-router", Item=key)
    with contextlib.suppress(kinesis.exceptions.InvalidArgumentException):  # it is closed
        kinesis.split_shard(StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey="2")


class Child:
    """One `stream-router-shard` process. Answers its checkpoints by `checkpoint_error(number)` (None is success)."""

    def __init__(
        self,
        endpoint: str,
        state_dir: Path | None = None,
        module: str = "stream_router.consumer.child",
        command: Sequence[str] = (),
        **environment: str,
    ) -> None:
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "STREAM_ROUTER_"))},
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint,
            "SQS_DLQ_URL": f"{endpoint}/000000000000/dead-letters",
            "STREAM_ROUTER_CHECKPOINT_S": "0.2",
        }
        if state_dir:
            environ["STREAM_ROUTER_STATE_DIR"] = str(state_dir)
        self.checkpoints: list[tuple[str | None, int | None]] = []
        self.checkpoint_error: Callable[[int], str | None] = lambda _: None
        self.sequence = FIRST_SEQUENCE
        self._errors = (state_dir / "stderr").open("ab") if state_dir else None
        self.process = subprocess.Popen(
            command or [sys.executable, "-m", module],
            env=environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _read(self) -> None:
        assert self.process.stdout
        with contextlib.suppress(ValueError):
            for line in self.process.stdout:
                if line.strip():
                    self._lines.put(line)
        self._lines.put(None)

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise EOFError(f"the child ended with {self.process.wait()}") from None

    def initialize(self, sequence_number: str = "TRIM_HORIZON", shard: str = "shardId-000000000000") -> None:
        self.send({"action": "initialize", "shardId": shard, "sequenceNumber": sequence_number, "subSequenceNumber": 0})
        self.done("initialize")

    def records(self, datas: Iterable[bytes]) -> list[dict[str, Any]]:
        """Records as the daemon hands them over."""
        result = []
        for data in datas:
            self.sequence += 1
            result.append(
                {
                    "action": "record",
                    "data": base64.b64encode(data).decode(),
                    "partitionKey": "bucket-1",
                    "sequenceNumber": str(self.sequence),
                    "subSequenceNumber": 0,
                    "approximateArrivalTimestamp": int(time.time() * 1000),
                }
            )
        return result

    def begin(self, records: Sequence[dict[str, Any]]) -> None:
        """Hand a batch over without waiting for its end."""
        self.send({"action": "processRecords", "millisBehindLatest": 0, "records": list(records)})

    def process_batch(self, datas: Iterable[bytes], timeout_s: float = 60.0) -> list[dict[str, Any]]:
        records = self.records(datas)
        self.begin(records)
        self.done("processRecords", timeout_s)
        return records

    def settle(self, timeout_s: float = 60.0) -> None:
        """Empty batches, as a quiet shard gets them, until the checkpoint is at the last record: all is settled."""
        until = time.monotonic() + timeout_s
        while not self.checkpoints or self.checkpoints[-1][0] != str(self.sequence):
            assert time.monotonic() < until, f"not settled: {self.checkpoints[-1:]} of {self.sequence}"
            self.begin([])
            self.done("processRecords", timeout_s)
            time.sleep(0.05)

    def done(self, action: str, timeout_s: float = 60.0) -> None:
        """Wait for the child's status, answering its checkpoints meanwhile. Raises EOFError where it ends instead."""
        until = time.monotonic() + timeout_s
        while True:
            line = self._lines.get(timeout=max(0.01, until - time.monotonic()))
            if line is None:
                raise EOFError(f"the child ended with {self.process.wait()}")
            message = json.loads(line)
            if message["action"] == "checkpoint":
                self._answer(message)
            else:
                assert message == {"action": "status", "responseFor": action}, message
                return

    def _answer(self, message: dict[str, Any]) -> None:
        error = self.checkpoint_error(len(self.checkpoints))
        position = (message["sequenceNumber"], message["subSequenceNumber"])
        if error is None:
            self.checkpoints.append(position)
        self.send(
            {"action": "checkpoint", "sequenceNumber": position[0], "subSequenceNumber": position[1], "error": error}
        )

    def say(self, action: str, timeout_s: float = 60.0) -> None:
        """Send a message without arguments (`shardEnded`, `leaseLost`, `shutdownRequested`) and wait for its end."""
        self.send({"action": action})
        self.done(action, timeout_s)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def hang_up(self, timeout_s: float = 20.0) -> int:
        """Close the channel, as the daemon does in the end; the child's exit status."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(timeout_s)

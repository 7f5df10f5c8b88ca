"""A world for the real KCL daemon: ministack, two shards with seeded leases, `consume`, scripted children."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import boto3

from stream_router.local.stack import SERVER, seed_leases
from tests import supervised
from tests.ports import ONLY_LOOPBACK, free_port

SECRET = "customer-secret-4711-é"


class World:
    """ministack, a stream of two shards with seeded leases, and `consume`."""

    def __init__(self, folder: Path, server: str = SERVER) -> None:
        self.folder = folder
        self.answers = folder / "answers"
        self.port = free_port()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "STREAM_ROUTER_"))},
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "SQS_DLQ_URL": f"http://127.0.0.1:{self.port}/000000000000/dlq",
            "STREAM_ROUTER_ADMIN_LISTEN": "127.0.0.1:0",
            "STREAM_ROUTER_RULE": "none",
            "STREAM_ROUTER_STATE_DIR": str(folder / "state dir é"),
            "CHILD_LOG": str(folder / "heard"),
            "ANSWERS": str(self.answers),
            "LC_ALL": "C",
        }
        (folder / "heard").mkdir()
        self.answers.mkdir()
        self.stderr = (folder / "stderr").open("w+")
        self.processes: list[subprocess.Popen[bytes]] = []
        stack = {"GATEWAY_PORT": str(self.port), **ONLY_LOOPBACK, "LOG_LEVEL": "WARNING"}
        stack["TMPDIR"] = str(folder)
        quiet = (folder / "ministack").open("w")
        self.start([sys.executable, "-m", server], {**self.environment, **stack}, quiet)
        quiet.close()
        self.kinesis = self.client("kinesis")
        self.until(self._made_stream, 30, "ministack")
        self.client("sqs").create_queue(QueueName="dlq")
        assert seed_leases(self.kinesis, self.client("dynamodb"), "cxone-events", "cxone-event-router") == 2

    def client(self, service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name="us-east-1",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def _made_stream(self) -> bool:
        try:
            self.kinesis.create_stream(StreamName="cxone-events", ShardCount=2)
        except Exception as error:  # noqa: BLE001 - not up yet, or made by an attempt that got no answer
            return "ResourceInUse" in repr(error)
        return True

    def start(self, command: list[str], environment: dict[str, str], output: IO[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def consume(self) -> subprocess.Popen[bytes]:
        return self.start([sys.executable, supervised.__file__, "consume"], self.environment, self.stderr)

    def put(self, count: int) -> set[str]:
        records = [{"Data": f"{SECRET} {n}".encode(), "PartitionKey": f"ключ-{n}"} for n in range(count)]
        answer = self.kinesis.put_records(StreamName="cxone-events", Records=records)
        return {record["SequenceNumber"] for record in answer["Records"]}

    def heard(self) -> dict[int, list[dict[str, Any]]]:
        """What each child heard, by process id, without the calls that had no records."""
        found = {}
        for file in (self.folder / "heard").iterdir():
            lines = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
            found[int(file.name)] = [line for line in lines if line.get("records") != []]
        return found

    def records(self) -> list[dict[str, Any]]:
        return [record for lines in self.heard().values() for line in lines for record in line.get("records", [])]

    def numbers(self) -> set[str]:
        """The sequence numbers of what the children were given."""
        return {record["sequenceNumber"] for record in self.records()}

    def lines(self) -> str:
        self.stderr.seek(0)
        return self.stderr.read()

    def until(self, is_so: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < deadline, f"{what} did not come; {self.lines()[-3000:]}"
            time.sleep(0.1)

    def jvm(self) -> int:
        """The process id of the daemon."""
        for stat in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = stat.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"software.amazon.kinesis.multilang.MultiLangDaemon" in words and str(self.folder).encode() in words[-2]:
                return int(stat.parent.name)
        raise AssertionError("no daemon runs")

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.stderr.close()

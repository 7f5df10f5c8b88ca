"""`consume` with the real KCL daemon against ministack, its children scripted: the protocol as Java speaks it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import boto3
import pytest

from stream_router.local import leases
from stream_router.local.stack import SERVER
from tests import supervised
from tests.ports import free_port

SECRET = "customer-secret-4711-é"


class World:
    """ministack, a stream of two shards with seeded leases, and `consume`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "STREAM_ROUTER_"))},
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "SQS_DLQ_URL": f"http://127.0.0.1:{self.port}/000000000000/dlq",
            "STREAM_ROUTER_ADMIN_LISTEN": "127.0.0.1:0",
            "STREAM_ROUTER_STATE_DIR": str(folder / "state dir"),
            "CHILD_LOG": str(folder / "heard"),
            "LANG": "C",
        }
        (folder / "heard").mkdir()
        self.stderr = (folder / "stderr").open("w+")
        self.processes: list[subprocess.Popen[bytes]] = []
        stack = {"GATEWAY_PORT": str(self.port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}
        quiet = (folder / "ministack").open("w")
        self.start([sys.executable, "-m", SERVER], {**self.environment, **stack}, quiet)
        quiet.close()
        self.kinesis = self.client("kinesis")
        self.until(self._made_stream, 30, "ministack")
        self.client("sqs").create_queue(QueueName="dlq")
        assert leases.seed(self.kinesis, self.client("dynamodb"), "cxone-events", "cxone-event-router") == 2

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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("daemon"))
    yield made
    made.close()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_records_come_and_go_through_kills_and_a_drain(world: World) -> None:
    """One life of a consumer: from the first record on, a child killed, the JVM killed, a clean end, nothing missed."""
    world.put(20)
    process = world.consume()
    world.until(lambda: len(world.records()) == 20, 60, "the first records (TRIM_HORIZON)")
    first = set(world.heard())
    assert len(first) == 2
    assert {line["encoding"] for lines in world.heard().values() for line in lines} == {1}
    assert {record["partitionKey"] for record in world.records()} == {f"ключ-{n}" for n in range(20)}

    os.kill(min(first), signal.SIGKILL)
    sent = world.put(20)
    world.until(lambda: sent <= _numbers(world), 60, "the records after a child's death")
    assert not any(alive(pid) for pid in first)

    jvm = world.jvm()
    os.kill(jvm, signal.SIGKILL)
    sent = world.put(20)
    world.until(lambda: sent <= _numbers(world), 60, "the records after the JVM's death")

    last = [pid for pid in world.heard() if alive(pid)]
    jvm = world.jvm()
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 0
    assert not alive(jvm)
    assert not any(alive(pid) for pid in last)
    for pid in last:
        actions = [line["action"] for line in world.heard()[pid]]
        assert "SIGTERM" in actions
        assert "shutdownRequested" in actions
        assert actions[-1] == "EOF"
    assert len(_numbers(world)) == 60


def _numbers(world: World) -> set[str]:
    return {record["sequenceNumber"] for record in world.records()}


def test_a_restart_begins_at_the_checkpoint(world: World) -> None:
    """What was checkpointed does not come again in a new life of the consumer."""
    before = len(world.records())
    sent = world.put(5)
    process = world.consume()
    world.until(lambda: sent <= _numbers(world), 60, "the records of the new life")
    assert len(world.records()) == before + 5
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0


def test_the_logs_are_json_lines_without_a_payload_and_what_a_child_says_comes_once(world: World) -> None:
    """The JVM's lines are JSON objects, no record is in any of them, each child's line is there once, unchanged."""
    lines = world.lines().splitlines()
    spoken = [line for line in lines if "speaks once" in line]
    assert sorted(spoken) == sorted(f"child {pid} speaks once: é" for pid in world.heard())
    of_jvm = [json.loads(line) for line in lines if line.startswith("{")]
    assert any(line["logger"].startswith("software.amazon.kinesis") for line in of_jvm)
    assert {line["level"] for line in of_jvm} <= {"DEBUG", "INFO", "WARNING", "ERROR"}
    assert all(line["id"] for line in of_jvm)
    (first, *_) = [line for line in of_jvm if line["id"] == "consumer-starts"]
    assert (first["kcl"], first["stream"], first["busKind"]) == ("3.5.1, 3.1.3", "cxone-events", "classic")
    assert "customer-secret" not in world.lines()
    assert "Writing ProcessRecordsMessage" not in world.lines()
    others = [line for line in lines if not line.startswith("{") and line not in spoken]
    assert others == []


def test_a_bus_that_does_not_exist_is_said_before_the_daemon_starts(world: World) -> None:
    """Status 78, one line with the cure, no JVM."""
    environment = {**world.environment, "STREAM_ROUTER_EVENT_BUS": "none-such"}
    done = subprocess.run(
        [sys.executable, supervised.__file__, "consume"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr.splitlines()[-1].startswith("stream-router: STREAM_ROUTER_EVENT_BUS: no such event bus; run")
    assert "Traceback" not in done.stderr
    assert "software.amazon" not in done.stderr

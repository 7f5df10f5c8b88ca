"""`consume` with the real KCL daemon against ministack, its children scripted: the protocol as Java speaks it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests import supervised
from tests.daemon_world import World
from tests.supervised import alive


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    result = World(tmp_path_factory.mktemp("daemon"))
    yield result
    result.close()


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
    world.until(lambda: sent <= world.numbers(), 60, "the records after a child's death")
    assert not any(map(alive, first))
    os.kill(world.jvm(), signal.SIGKILL)
    sent = world.put(20)
    world.until(lambda: sent <= world.numbers(), 60, "the records after the JVM's death")
    last = [pid for pid in world.heard() if alive(pid)]
    jvm = world.jvm()
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 0
    assert not any(map(alive, (jvm, *last)))
    for pid in last:
        actions = [line["action"] for line in world.heard()[pid]]
        assert {"SIGTERM", "shutdownRequested"} <= set(actions)
        assert actions[-1] == "EOF"
    assert len(world.numbers()) == 60


def test_a_restart_begins_at_the_checkpoint(world: World) -> None:
    """What was checkpointed does not come again in a new life of the consumer."""
    before = len(world.records())
    sent = world.put(5)
    process = world.consume()
    world.until(lambda: sent <= world.numbers(), 60, "the records of the new life")
    assert len(world.records()) == before + 5
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0


def test_the_logs_are_json_lines_without_a_payload_and_what_a_child_says_comes_once(world: World) -> None:
    """The JVM's lines are JSON objects, no record is in any of them, each child's line is there once, unchanged."""
    lines = world.lines().splitlines()
    spoken = [line for line in lines if "speaks once" in line]
    assert sorted(spoken) == sorted(f"child {pid} speaks once: é" for pid in world.heard())
    documents = [json.loads(line) for line in lines if line not in spoken]
    assert any(line["logger"].startswith("software.amazon.kinesis") for line in documents)
    assert {line["level"] for line in documents} <= {"DEBUG", "INFO", "WARNING", "ERROR"}
    assert all(line.get("event") for line in documents)
    (first, *_) = [line for line in documents if line.get("event") == "consumer-starts"]
    assert first["settings"]["STREAM_ROUTER_STREAM"] == "cxone-events"
    assert "customer-secret" not in world.lines()
    assert "Writing ProcessRecordsMessage" not in world.lines()


def test_a_bus_that_does_not_exist_is_said_before_the_daemon_starts(world: World) -> None:
    """Status 78, one line with the cure, no JVM."""
    done = subprocess.run(
        [sys.executable, supervised.__file__, "consume"],
        env={**world.environment, "STREAM_ROUTER_EVENT_BUS": "none-such"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr.splitlines()[-1].startswith("stream-router: STREAM_ROUTER_EVENT_BUS: no such event bus; run")
    assert "Traceback" not in done.stderr
    assert "software.amazon" not in done.stderr

"""Where the KCL would go on behind records that no child was given: no answer to ListShards, a damaged record."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import kpl, supervised
from tests.daemon_world import SECRET, World
from tests.scripted_ministack import script_answer, spoil_record

DENIED = {"__type": "AccessDeniedException", "message": "told"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    result = World(tmp_path, "tests.scripted_ministack")
    yield result
    result.close()


def _new_life(world: World) -> set[str]:
    """Kill a daemon that reads, let its successor be denied ListShards, and put records for it to begin with.

    A daemon that follows another on the same lease table does not ask at its start, so that it knows no shards.
    """
    sent = world.put(20)
    world.until(lambda: sent <= world.numbers(), 60, "the first records")
    script_answer(world.answers, "ListShards", 400, DENIED, times=1_000)
    os.kill(world.jvm(), signal.SIGKILL)
    return sent | world.put(20)


def test_a_daemon_reads_on_where_list_shards_is_not_answered(world: World) -> None:
    """A new life of the daemon gets every record while ListShards fails: it does not ask at a batch, and skips none."""
    process = world.consume()
    sent = _new_life(world)
    world.until(lambda: sent <= world.numbers(), 60, "the records of the new life")
    assert "daemon-skips" not in world.lines()
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0


def test_a_daemon_that_skips_is_killed_before_its_next_checkpoint(world: World) -> None:
    """Where the KCL does skip a batch, records after it are not given to a child before the skipped ones."""
    world.environment[supervised.ASKS_AT_BATCHES] = "yes"
    process = world.consume()
    sent = _new_life(world)
    world.until(lambda: "daemon-skips" in world.lines(), 60, "a skipped batch")
    (world.answers / "ListShards").unlink()
    sent |= world.put(20)
    world.until(lambda: sent <= world.numbers(), 90, "what was skipped")
    for lines in world.heard().values():
        value = [int(record["sequenceNumber"]) for line in lines for record in line.get("records", [])]
        assert value == sorted(value)
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0


@pytest.mark.parametrize(
    "wrong",
    [{"SequenceNumber": SECRET}, pytest.param({"Data": None}, marks=pytest.mark.long)],
    ids=["no number", "no data"],
)
def test_an_answer_that_fails_in_the_kcl_comes_again(world: World, wrong: dict[str, Any]) -> None:
    """The KCL steps over what it cannot take, record or batch: its daemon is killed. Nobody quotes a record."""
    process = world.consume()
    sent = world.put(20)
    world.until(lambda: sent <= world.numbers(), 60, "the first records")
    spoil_record(world.answers, wrong)
    sent |= world.put(20)
    world.until(lambda: "daemon-skips" in world.lines(), 20, "a skipped batch")
    sent |= world.put(20)
    world.until(lambda: sent <= world.numbers(), 60, "what was skipped")
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    assert "customer-secret" not in world.lines()


@pytest.mark.long
def test_a_damaged_aggregated_record_stops_nobody(world: World) -> None:
    """The KCL passes over what stands behind the fault; all other records come, and no payload is in the log."""
    before = world.put(20)
    data = kpl.aggregated([("k", SECRET.encode()), ("k", SECRET.encode())], hash_keys=["5", "no number"])
    damaged = world.kinesis.put_record(StreamName="cxone-events", Data=data, PartitionKey="k")["SequenceNumber"]
    sent = before | world.put(20)
    process = world.consume()
    world.until(lambda: sent <= world.numbers(), 60, "the records around it")
    assert [record["subSequenceNumber"] for record in world.records() if record["sequenceNumber"] == damaged] == [0]
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    lines = [json.loads(line) for line in world.lines().splitlines() if line.startswith("{")]
    assert [line["sequenceNumber"] for line in lines if line.get("event") == "kpl-damaged"] == [damaged]
    assert "daemon-skips" not in world.lines()
    assert "customer-secret" not in world.lines()
    assert "no number" not in world.lines()

"""The shipped daemon through a split and a merge, and by enhanced fan-out: every event comes out, once."""

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from tests.ports import free_port
from tests.scripted_ministack import script_answer
from tests.system.world import PROGRAM, REGION, World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(420)]

HERE = Path(__file__).resolve().parents[2]
STREAM = "cxone-events"


def _start(world: World) -> None:
    world.start("consume", PROGRAM, "consume")
    world.start("receive", PROGRAM, "receive")
    until(world.is_ready, 60, "the receiver is ready")
    until(lambda: len(world.children()) >= 2, 120, "two children run")


def test_enhanced_fan_out_delivers_every_event_once(make_world: Callable[..., World], tmp_path: Path) -> None:
    """With `retrievalMode = FANOUT` the daemon registers a consumer, and 1,000 events come out once each."""
    properties = tmp_path / "fan-out.properties"
    shipped = [(HERE / "properties" / name).read_text() for name in ("consumer.properties", "local.properties")]
    properties.write_text("\n".join(shipped).replace("retrievalMode = POLLING", "retrievalMode = FANOUT"))
    world = make_world(STREAM_ROUTER_PROPERTIES=str(properties))
    world.start_stack()
    world.run_setup()
    _start(world)
    sent = world.post_many(1_000, 200.0)
    arrived = world.all_arrived(sent, 120)
    assert len(arrived) == len(sent)
    assert not world.drain(world.dead_letters)
    stream = world.kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    assert world.kinesis.list_stream_consumers(StreamARN=stream)["Consumers"]


def test_a_split_and_a_merge_under_load_lose_and_repeat_nothing(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    """A shard is split and two are merged while events come: parents end, children go on, each event comes out once."""
    port = free_port()
    world = make_world(AWS_ENDPOINT_URL_KINESIS=f"http://127.0.0.1:{port}")
    world.start("kinesis", *_kinesis_local(tmp_path), KINESIS_MOCK_PLAIN_PORT=str(port), **_other_settings())
    kinesis = boto3.client(
        "kinesis",
        REGION,
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    until(lambda: _answers(port), 60, "kinesis-local answers")
    world.start_stack()
    world.run_setup()
    _start(world)
    resharded = threading.Thread(target=_split_then_merge, args=(kinesis,))
    resharded.start()
    sent = world.post_many(6_000, 100.0)
    resharded.join()
    arrived = world.all_arrived(sent, 120)
    assert len(arrived) == len(sent)
    assert not world.drain(world.dead_letters)
    open_now = [shard for shard in _shards(kinesis) if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
    assert len(open_now) == 2
    until(lambda: len(world.children()) == 2, 60, "the parents' children ended, the new shards' run")


def test_a_shard_that_is_split_and_not_known_once_leaves_no_child_unread(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    """The KCL knows none of its children then, and would never lease them: the process leaves, the next one ends it."""
    port, front = free_port(), free_port()
    (answers := tmp_path / "answers").mkdir()
    world = make_world(
        AWS_ENDPOINT_URL_KINESIS=f"http://127.0.0.1:{front}", ANSWERS=str(answers), STREAM_ROUTER_SHARDS="1"
    )
    world.start("kinesis", *_kinesis_local(tmp_path), KINESIS_MOCK_PLAIN_PORT=str(port), **_other_settings())
    until(lambda: _answers(port), 60, "kinesis-local answers")
    world.start("front", sys.executable, "-m", "tests.scripted_ministack", str(front), str(port))
    until(lambda: _answers(front), 60, "what stands before it answers")
    world.start_stack()
    world.run_setup()
    world.start("consume", PROGRAM, "consume")
    world.start("receive", PROGRAM, "receive")
    until(world.is_ready, 60, "the receiver is ready")
    until(lambda: len(world.children()) == 1, 120, "a child runs")
    sent = world.post_many(20, 20.0)
    world.all_arrived(sent, 60)
    kinesis = boto3.client(
        "kinesis", REGION, endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id="t", aws_secret_access_key="t"
    )
    kinesis.split_shard(StreamName=STREAM, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**127))
    script_answer(answers, "GetRecords", 400, {"__type": "ResourceNotFoundException"})
    until(lambda: len(_shards(kinesis)) == 3, 30, "the shard is split")
    until(lambda: "without leases for its children" in (tmp_path / "consume.log").read_text(), 60, "an untrue end")
    more = world.post_many(20, 20.0)
    world.all_arrived(more, 200)
    assert not world.drain(world.dead_letters)


def _kinesis_local(folder: Path) -> tuple[str, ...]:
    """Install what `tests/node/package.json` names, and say how it is started: in its own folder."""
    assert shutil.which("npm"), "this test needs Node.js and npm (a Kinesis that ends shards is an npm package)"
    shutil.copy(HERE / "tests" / "node" / "package.json", folder)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
    return "env", "-C", str(folder / "node_modules" / "kinesis-local"), "node", "main.js"


def _other_settings() -> dict[str, str]:
    return {"KINESIS_MOCK_TLS_PORT": str(free_port()), "LOG_LEVEL": "ERROR"}


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/healthcheck", timeout=1.0).status_code < 500
    return False


def _shards(kinesis: Any) -> list[dict[str, Any]]:
    return list(kinesis.list_shards(StreamName=STREAM)["Shards"])


def _split_then_merge(kinesis: Any) -> None:
    """After ten seconds the first shard is split, twenty seconds later its two halves are merged again."""
    time.sleep(10)
    first = _shards(kinesis)[0]
    low, high = (int(first["HashKeyRange"][key]) for key in ("StartingHashKey", "EndingHashKey"))
    kinesis.split_shard(StreamName=STREAM, ShardToSplit=first["ShardId"], NewStartingHashKey=str((low + high) // 2))
    time.sleep(20)
    halves = [shard["ShardId"] for shard in _shards(kinesis) if shard.get("ParentShardId") == first["ShardId"]]
    kinesis.merge_shards(StreamName=STREAM, ShardToMerge=halves[0], AdjacentShardToMerge=halves[1])

"""`stream-router shards` on the wire: a load of known size, and a reshard of the emulator's stream."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakeaws.process import FakeAwsProcess

Client = Callable[[str], Any]
PROGRAM = str(Path(sys.executable).parent / "stream-router")


def run(url: str, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "STREAM_ROUTER_"))}
    access = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    environment = {**kept, **access, "AWS_ENDPOINT_URL": url, **settings}
    return subprocess.run([PROGRAM, "shards", *words], env=environment, capture_output=True, text=True, check=False)


def test_the_load_of_each_shard_is_what_was_put(fake_aws: FakeAwsProcess, client: Client) -> None:
    """600 records of 1,000 bytes into one shard of two, within the last minute: 10 a second, 10 kB a second."""
    fake_aws.plan({"keep_records": True, "shards": 2, "shard_limits": False})
    kinesis = client("kinesis")
    kinesis.put_records(StreamName="cxone-events", Records=[{"Data": bytes(1000), "PartitionKey": "c"}] * 300)
    kinesis.put_records(StreamName="cxone-events", Records=[{"Data": bytes(1000), "PartitionKey": "c"}] * 300)
    time.sleep(0.1)
    answer = run(fake_aws.url)
    assert answer.returncode == 0, answer.stderr
    rows = [line.split() for line in answer.stdout.splitlines() if line.startswith("shardId-")]
    assert sorted(row[2:] for row in rows) == [["0.0", "0%", "0.0", "0%"], ["10.0", "1%", "10.0", "1%"]]


def test_a_reshard_is_done_and_followed(ministack_url: str, ministack_client: Client) -> None:
    """From two to four, with the default of 16 partition groups; eight want 32, which is said first."""
    kinesis = ministack_client("kinesis")
    kinesis.create_stream(StreamName="reshard-me", ShardCount=2)
    named = {"STREAM_ROUTER_STREAM": "reshard-me"}
    ordered = {**named, "STREAM_ROUTER_ORDERING": "conversation"}
    for words, settings, why in (
        (("--to", "4"), {**named, "STREAM_ROUTER_BUCKETS": "8"}, "4 shards want STREAM_ROUTER_BUCKETS of at least 16"),
        (("--to", "3"), ordered, "STREAM_ROUTER_BUCKETS is 16, no multiple of 3"),
    ):
        refused = run(ministack_url, *words, **settings)
        assert refused.returncode == 1
        assert why in refused.stderr
    done = run(ministack_url, "--to", "4", **ordered)
    assert done.returncode == 0, done.stderr
    assert "1, 2 or 4 shards keep order with 16 partition groups" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["ACTIVE, 4 shards open", "done"]
    assert len(kinesis.list_shards(StreamName="reshard-me")["Shards"]) == 4
    assert "has 4 shards already" in run(ministack_url, "--to", "4", **named).stdout
    assert "at most double at once: first --to 8" in run(ministack_url, "--to", "9", **named).stderr

"""The heartbeat line: which shards are read, and what was done since the last."""

import json
from pathlib import Path

from stream_router.consumer.supervisor.heartbeat import Heartbeat


def snapshot(folder: Path, shard: str, pid: int, at: float, **counters: int) -> None:
    (folder / "metrics").mkdir(exist_ok=True)
    every = {"delivered": 0, "dead_lettered": 0, "dropped": 0, "retried": 0, **counters}
    said = {"shardId": shard, "pid": pid, "at": at, "counters": every}
    (folder / "metrics" / f"{shard}.{pid}.json").write_text(json.dumps(said))


def test_it_says_what_was_done_since_the_last(tmp_path: Path) -> None:
    """Over all shards, and over all lives of their children."""
    now = [1000.0]
    heartbeat = Heartbeat(tmp_path, 60.0, lambda: now[0])
    now[0] = 1300.0
    snapshot(tmp_path, "a", 1, 1290.0, delivered=300, retried=2)
    snapshot(tmp_path, "b", 2, 1290.0, delivered=300, dead_lettered=1)
    first = heartbeat.said()
    assert (first["shards"], first["delivered"], first["deliveredPerSecond"]) == (["a", "b"], 600, 2.0)
    assert (first["deadLetters"], first["retried"], first["overS"]) == (1, 2, 300)
    now[0] = 1600.0
    snapshot(tmp_path, "a", 3, 1590.0, delivered=60)
    second = heartbeat.said()
    assert (second["shards"], second["delivered"], second["deadLetters"]) == (["a"], 60, 0)


def test_an_idle_consumer_says_so(tmp_path: Path) -> None:
    """No shard, nothing done: another host has them, or the KCL has not begun."""
    said = Heartbeat(tmp_path, 60.0, lambda: 0.0).said()
    assert (said["shards"], said["delivered"]) == ([], 0)

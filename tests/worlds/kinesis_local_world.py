"""A split, a merge and a killed consumer over kinesis-local, a Kinesis that ends shards; all else is ministack."""

import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.system.world import event_id, until, webhook
from tests.worlds.environments import Environments
from tests.worlds.foreign import START_WITHIN_S, STREAM, ForeignWorld, Steps

CONVERSATIONS, RATE, FOR_S = 25, 100.0, 90.0
SPLIT_AT_S, MERGE_AT_S, KILL_AT_S = 15.0, 40.0, 60.0
UNSETTLED_S = 30.0
"""Seconds before the kill within which the first arrival of a copied event must lie. Older events are behind a
checkpoint: one is taken every few seconds, with slack for this machine's load."""

ARRIVE_WITHIN_S = 300.0
"""A killed consumer may have been the KCL's leader. Its lock expires after two minutes; then leases are assigned."""

LARGE, LARGE_BYTES = 4, 1_000_000
SETTINGS = {"STREAM_ROUTER_ORDERING": "conversation", "STREAM_ROUTER_MAX_BODY_BYTES": "1040000"}


class Arrivals(threading.Thread):
    """The events that reach the target, each with the time of its arrival."""

    def __init__(self, world: ForeignWorld) -> None:
        super().__init__(daemon=True)
        self._world, self._over = world, threading.Event()
        self.seen: list[tuple[float, str]] = []

    def run(self) -> None:
        """Take events out of the target's queue until `end` is called."""
        while not self._over.is_set():
            bodies = self._world.drain(self._world.target)
            now = time.monotonic()
            self.seen += [(now, body["detail"]["eventId"]) for body in bodies]
            self._over.wait(0.3)

    def end(self) -> None:
        self._over.set()
        self.join(30)


def run(folder: Path, environments: Environments, steps: Steps) -> None:
    """Carry 9,000 events through a split, a merge and a kill, then the largest records."""
    world = ForeignWorld(folder, environments, **SETTINGS)
    try:
        world.start_stack()
        world.start_kinesis_local()
        world.set_up()
        plan = world.command("setup", "--plan", "--exit-code")
        steps.record("setup, then --plan: no drift", held=plan.returncode == 0, figure=f"exit {plan.returncode}")
        world.start_consumer("first")
        second = world.start_consumer(
            "second",
            STREAM_ROUTER_STATE_DIR=str(folder / "second-state"),
            STREAM_ROUTER_ADMIN_LISTEN=f"127.0.0.1:{free_port()}",
        )
        world.start_receiver()
        until(lambda: len(world.children()) >= 2, START_WITHIN_S, "two children run")
        steps.record("start", held=True, figure="two consumers, two shards read")
        _reshard_and_kill(world, steps, second.pid)
        _post_largest(world, steps)
    finally:
        world.close()


def _reshard_and_kill(world: ForeignWorld, steps: Steps, second_pid: int) -> None:
    arrivals, begun = Arrivals(world), time.monotonic()
    arrivals.start()
    with ThreadPoolExecutor(CONVERSATIONS + 1) as pool:
        kill = pool.submit(_split_merge_and_kill, world, second_pid, begun)
        conversations = [pool.submit(_converse, world, number, begun) for number in range(CONVERSATIONS)]
        sent = [future.result() for future in conversations]
        killed_at = kill.result()
    wanted = {id_ for conversation in sent for id_ in conversation}
    shards = world.kinesis.list_shards(StreamName=STREAM)["Shards"]
    ended = sum("EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in shards)
    steps.record("split and merge under load", held=(len(shards), ended) == (5, 3), figure=f"{ended} shards ended")
    deadline = time.monotonic() + ARRIVE_WITHIN_S
    while not {id_ for _, id_ in arrivals.seen} >= wanted and time.monotonic() < deadline:
        time.sleep(1)
    time.sleep(5)  # a copy that is still on its way has this long
    arrivals.end()
    _judge(steps, sent, arrivals.seen, killed_at)
    letters = world.drain(world.dead_letters)
    steps.record("dead letters", held=not letters, figure=str(len(letters)))


def _judge(steps: Steps, sent: list[list[str]], seen: list[tuple[float, str]], killed_at: float) -> None:
    wanted = {id_ for conversation in sent for id_ in conversation}
    first: dict[str, int] = {}
    for place, (_, id_) in enumerate(seen):
        first.setdefault(id_, place)
    lost = wanted - first.keys()
    steps.record("events lost", held=not lost, figure=f"{len(lost)} of {len(wanted)}")
    inversions = sum(
        first[before] > first[after]
        for conversation in sent
        for before, after in pairwise(id_ for id_ in conversation if id_ in first)
    )
    steps.record("order per conversation", held=not inversions, figure=f"{inversions} inversions")
    copied = [id_ for id_, count in Counter(id_ for _, id_ in seen).items() if count > 1]
    early = [id_ for id_ in copied if seen[first[id_]][0] < killed_at - UNSETTLED_S]
    figure = f"{len(copied)} copies, {len(early)} of events from more than {UNSETTLED_S:.0f} s before the kill"
    steps.record("copies", held=not early, figure=figure)


def _converse(world: ForeignWorld, number: int, begun: float) -> list[str]:
    """Send a conversation's events, each after the answer to its predecessor. Return their ids in that order."""
    ids, each_s = [], CONVERSATIONS / RATE
    for turn in range(int(FOR_S / each_s)):
        time.sleep(max(0.0, begun + turn * each_s + number / RATE - time.monotonic()))
        delivery, body = f"c-{number}-{turn}", webhook(turn, conversationId=f"talk-{number}")
        world.post_patiently(delivery, body)
        ids.append(event_id("hmac", delivery, 0, body))
    return ids


def _split_merge_and_kill(world: ForeignWorld, second_pid: int, begun: float) -> float:
    """Split the first shard, merge its halves, kill the second consumer. Return the time of the kill."""
    kinesis: Any = world.client("kinesis")
    _wait_until(begun + SPLIT_AT_S)
    shard = kinesis.list_shards(StreamName=STREAM)["Shards"][0]
    low, high = (int(shard["HashKeyRange"][key]) for key in ("StartingHashKey", "EndingHashKey"))
    middle = str((low + high) // 2)
    kinesis.split_shard(StreamName=STREAM, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
    _wait_until(begun + MERGE_AT_S)
    shards = kinesis.list_shards(StreamName=STREAM)["Shards"]
    halves = [half["ShardId"] for half in shards if half.get("ParentShardId") == shard["ShardId"]]
    kinesis.merge_shards(StreamName=STREAM, ShardToMerge=halves[0], AdjacentShardToMerge=halves[1])
    _wait_until(begun + KILL_AT_S)
    os.killpg(second_pid, signal.SIGKILL)
    return time.monotonic()


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _post_largest(world: ForeignWorld, steps: Steps) -> None:
    """Post webhooks of a megabyte one after the other: the receiver's largest records."""
    stored: dict[str, bytes] = {}
    for number in range(LARGE):
        body = webhook(number, payload={"text": "x" * LARGE_BYTES})
        stored |= world.post_bodies({f"large-{number}": body}, 1.0)
    figure = f"{len(stored)} of {LARGE} of {LARGE_BYTES:,} bytes answered 202"
    steps.record("the receiver's largest records", held=len(stored) == LARGE, figure=figure)

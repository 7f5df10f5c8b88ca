"""Rules that are others' (`STREAM_ROUTER_RULE=none`), gone for two minutes: an account of the replay, from outside."""

import json
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.system.world import PROGRAM, World, until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(420)]

RULE, GONE_S, RATE = "cxone-webhook-router", 120, 20


def test_every_event_of_the_span_comes_out_marked_and_no_other(make_world: Callable[..., World]) -> None:
    """What reached nobody is in the stream: who owns the rule mends it, and a replay of that time brings it back."""
    world = make_world()
    world.start_stack()
    world.run_setup()
    world.environment["STREAM_ROUTER_RULE"] = "none"
    world.start("consume", PROGRAM, "consume")
    world.start("receive", PROGRAM, "receive")
    until(world.is_ready, 30, "the receiver is ready")
    until(lambda: len(world.children()) >= 2, 90, "two children run")
    sent: dict[str, bytes] = {}
    sender = threading.Thread(target=lambda: sent.update(world.post_many(RATE * (GONE_S + 40), RATE)))
    sender.start()
    time.sleep(20)

    events = world._client("events")
    rule, (target,) = events.describe_rule(Name=RULE), events.list_targets_by_rule(Rule=RULE)["Targets"]
    gone_s = time.time()
    events.remove_targets(Rule=RULE, Ids=[target["Id"]])
    events.delete_rule(Name=RULE)
    time.sleep(GONE_S)
    events.put_rule(Name=RULE, EventPattern=rule["EventPattern"])
    events.put_targets(Rule=RULE, Targets=[target])
    back_s = time.time()
    sender.join()
    came = arrived(world, lambda ids: len(ids) >= len(sent) - 1.1 * RATE * GONE_S, 30)
    lost = sent.keys() - {event["detail"]["eventId"] for event in came}
    assert 0.9 * RATE * GONE_S < len(lost) <= 1.1 * RATE * GONE_S

    since_ms, until_ms = int((gone_s - 10) * 1000), int((back_s + 10) * 1000)
    words = ("replay", "--since", iso(since_ms), "--until", iso(until_ms), "--rate", "500")
    refused = subprocess.run([PROGRAM, *words], env=world.environment, capture_output=True, text=True, check=False)
    assert (refused.returncode, "add --yes to go on" in refused.stderr) == (1, True)
    wanted = {one for one, at_ms in stored(world).items() if since_ms <= at_ms < until_ms}
    assert lost <= wanted < sent.keys()
    done = subprocess.run(
        [PROGRAM, *words, "--yes"], env=world.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = re.search(rf"^put back on the stream {len(wanted):,}; run (\S+)$", done.stdout, re.MULTILINE)
    assert run, done.stdout
    again = arrived(world, lambda ids: set(ids) >= wanted, 60)
    assert Counter(event["detail"]["eventId"] for event in again) == Counter(wanted)
    assert {event["detail"]["metadata"]["replayed"] for event in again} == {run[1]}
    assert not any("replayed" in event["detail"]["metadata"] for event in came)
    assert not world.drain(world.dead_letters)


def arrived(world: World, enough: Callable[[list[str]], bool], timeout_s: float) -> list[dict[str, Any]]:
    """What came to the target, once it is enough and five seconds more have passed."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found.extend(world.drain(world.target))
        return enough([event["detail"]["eventId"] for event in found])

    until(look, timeout_s, "enough came out")
    time.sleep(5)
    look()
    return found


def stored(world: World) -> dict[str, int]:
    """When each event of a sender arrived in the stream, by Kinesis's own clock (epoch ms)."""
    found: dict[str, int] = {}
    for shard in world.kinesis.list_shards(StreamName="cxone-events")["Shards"]:
        asked = {"StreamName": "cxone-events", "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        token = world.kinesis.get_shard_iterator(**asked)["ShardIterator"]
        while True:
            answer = world.kinesis.get_records(ShardIterator=token)
            for record in answer["Records"]:
                at_ms = int(record["ApproximateArrivalTimestamp"].timestamp() * 1000)
                lines = map(json.loads, record["Data"].split(b"\n"))
                found |= {one["id"]: at_ms for one in lines if "resubmitted" not in one}
            if not answer["Records"] and not answer["MillisBehindLatest"]:
                break
            token = answer["NextShardIterator"]
    return found


def iso(epoch_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_ms // 1000)) + f".{epoch_ms % 1000:03d}Z"

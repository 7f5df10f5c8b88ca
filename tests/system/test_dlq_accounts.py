"""What becomes of dead letters that are put back, accounted for from outside: queue, stream and target, kills between.

Letters are written by the contract's text, or by the consumer itself; nothing of the package is imported.
"""

import base64
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests import fakeaws_world
from tests.constants import HIDE_S, KEEP_EVERY_S, with_constants
from tests.system.world import PROGRAM, World, event_id, until, webhook

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(600)]

STREAM = "cxone-events"
HIDDEN_S = 6
OLD_MS = int(time.time() * 1000) - 3 * 24 * 3600 * 1000
"""When what is put back was received: an age of three days would raise every alarm."""


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def identity(number: int) -> str:
    return event_id("hmac", f"d-{number}", 0, b"")


def sealed(number: int, version: int = 1, **changes: Any) -> bytes:
    """An envelope by the contract's text."""
    head = f'{{"v":{version},"id":"{identity(number)}","idFrom":"delivery","receivedAt":{OLD_MS + number},"body":'
    return head.encode() + webhook(number, **changes) + b"}"


def letter(number: int, reason: str, line: bytes) -> dict[str, Any]:
    """A dead letter by the contract's text."""
    return {
        "schema": "stream-router.dead-letter/1",
        "reason": reason,
        "error": {"code": "AnyCode", "message": "why"},
        "attempts": 1,
        "failedAt": iso(OLD_MS),
        "origin": {
            "stream": STREAM,
            "shardId": "shardId-000000000000",
            "sequenceNumber": str(10**20 + number),
            "subSequenceNumber": 0,
            "line": 0,
            "receivedAt": iso(OLD_MS + number),
            "eventId": identity(number),
            "idFrom": "delivery",
        },
        "entry": None,
        "record": {"encoding": "base64", "data": base64.b64encode(line).decode()},
        "part": None,
        "resubmitted": None,
    }


def send(world: World, queue: str, bodies: Iterable[tuple[dict[str, Any], dict[str, str]]]) -> None:
    """Messages with their attributes, ten a call."""
    url = world.sqs.get_queue_url(QueueName=f"{STREAM}-{queue}")["QueueUrl"]
    entries: list[dict[str, Any]] = []
    for body, attributes in bodies:
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        entries.append({"Id": str(len(entries) % 10), "MessageBody": json.dumps(body), "MessageAttributes": typed})
    for at in range(0, len(entries), 10):
        assert not world.sqs.send_message_batch(QueueUrl=url, Entries=entries[at : at + 10]).get("Failed")


def send_letters(world: World, letters: Iterable[dict[str, Any]]) -> None:
    send(world, "dead-letters", ((item, {"reason": item["reason"]}) for item in letters))


def start(world: World, *words: str) -> "subprocess.Popen[str]":
    """A command whose messages are hidden for some seconds, not five minutes: after its kill they show again soon."""
    environment = {**world.environment, **with_constants({HIDE_S: HIDDEN_S, KEEP_EVERY_S: 1})}
    command = (PROGRAM, "dlq", *words)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(world: World, *words: str) -> str:
    process = start(world, *words)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def on_stream(world: World) -> list[tuple[str, str, str, int]]:
    """Each line that an operator put there: event id, `resubmitted`, shard and sequence number."""
    result = []
    for shard in world.kinesis.list_shards(StreamName=STREAM)["Shards"]:
        name = shard["ShardId"]
        where = {"StreamName": STREAM, "ShardId": name, "ShardIteratorType": "TRIM_HORIZON"}
        token = world.kinesis.get_shard_iterator(**where)["ShardIterator"]
        while True:
            answer = world.kinesis.get_records(ShardIterator=token)
            for record in answer["Records"]:
                for line in record["Data"].split(b"\n"):
                    if b'"resubmitted"' in line:
                        value = json.loads(line)
                        result.append((value["id"], value["resubmitted"], name, int(record["SequenceNumber"])))
            if not answer["Records"]:
                break
            token = answer["NextShardIterator"]
    return result


def checkpoints(world: World) -> dict[str, int]:
    """How far the consumer is, by its lease table."""
    rows = fakeaws_world.table(world).scan(TableName="cxone-event-router")["Items"]
    known = {row["leaseKey"]["S"]: row.get("checkpoint", {}).get("S", "") for row in rows}
    return {shard: int(at) if at.isdigit() else 0 for shard, at in known.items()}


def redriven_with_kills(world: World, *words: str) -> tuple[set[str], dict[str, int]]:
    """Redrive at 100/s: the command killed twice, the consumer once; the killed runs, and the checkpoints then."""
    killed: set[str] = set()
    at_death: dict[str, int] = {}
    for number in (1, 2):
        before = len(on_stream(world))
        process = start(world, "redrive", "--rate", "100", *words)
        until(lambda: len(on_stream(world)) >= before + 50, 60, "some were put")  # noqa: B023
        if number == 2:
            os.kill(world.consumer.pid, signal.SIGKILL)
            at_death = checkpoints(world)
            world.consumer = world.start("consume-again", PROGRAM, "consume")
        process.kill()
        process.communicate()
        killed |= {run_of(resubmitted) for _, resubmitted, _, _ in on_stream(world)}
        time.sleep(HIDDEN_S + 1)
    run(world, "redrive", "--rate", "100", *words)
    return killed, at_death


Came = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def settled(world: World, wanted: set[str], timeout_s: float = 240) -> Came:
    """Wait until each of these is at the target or in the queue again: the Details, and the letters."""
    details: list[dict[str, Any]] = []
    letters: list[dict[str, Any]] = []

    def are_there() -> bool:
        details.extend(event["detail"] for event in world.drain(world.target))
        letters.extend(world.drain(world.dead_letters))
        here = {detail["eventId"] for detail in details} | {item["origin"]["eventId"] for item in letters}
        return here >= wanted

    until(are_there, timeout_s, "every event is at the target, or a dead letter again")
    time.sleep(3)  # what comes twice
    are_there()
    return details, letters


def assert_copies_are_explained(
    world: World, details: list[dict[str, Any]], killed: set[str], at_death: dict[str, int]
) -> None:
    """Twice on the stream: put by a killed run. Twice at the target: that, or past the consumer's checkpoint."""
    lines = on_stream(world)
    puts = Counter(item for item, _, _, _ in lines)
    by_killed = {item for item, resubmitted, _, _ in lines if run_of(resubmitted) in killed}
    assert {item for item, count in puts.items() if count > 1} <= by_killed
    behind = {item for item, _, shard, at in lines if at > at_death[shard]}
    for candidate, count in Counter(detail["eventId"] for detail in details).items():
        assert count <= puts[candidate] or candidate in behind, (
            f"{candidate} came {count} times, and was put {puts[candidate]} times"
        )


def run_of(resubmitted: str) -> str:
    return resubmitted.split("/")[2]


def test_five_hundred_letters_of_six_reasons_through_three_kills(make_world: Callable[..., World]) -> None:
    """Each is at the target, or in the queue again; 20 were edited. None is lost, and a kill explains each copy."""
    world = make_world()
    world.start_all()
    result: dict[str, set[str]] = {}
    result["schema_mismatch"] = {world.post_patiently(f"s-{n}", webhook(n, timestamp="no time")) for n in range(100)}
    result["unroutable"] = {world.post_patiently(f"u-{n}", webhook(n, eventType="order.created")) for n in range(100)}
    strange = [(f"garbage {n}".encode(), sealed(n, version=9)) for n in range(80)]
    records = [{"PartitionKey": str(n), "Data": data} for n, pair in enumerate(strange) for data in pair]
    assert not world.kinesis.put_records(StreamName=STREAM, Records=records)["FailedRecordCount"]
    good = [letter(n, reason, sealed(n)) for n, reason in enumerate(["refused", "outage"] * 70, 1000)]
    send_letters(world, good)
    until(lambda: depth(world, "dead-letters") == 500, 60, "the consumer buried the others")

    file = world.folder / "letters.jsonl"
    run(world, "export", str(file))
    lines = file.read_text("utf-8").splitlines()
    known = [json.loads(line) for line in lines]
    for event in known:
        result.setdefault(event["reason"], set()).add(event["eventId"])
    assert {reason: len(ids) for reason, ids in result.items()} == {
        **dict.fromkeys(("schema_mismatch", "unroutable"), 100),
        **dict.fromkeys(("malformed_json", "unsupported_version"), 80),
        **dict.fromkeys(("refused", "outage"), 70),
    }
    mended = set(sorted(result["schema_mismatch"])[:20])
    for at, candidate in enumerate(known):
        if candidate["eventId"] in mended:
            lines[at] = lines[at].replace("no time", "2026-11-24T10:30:00.123+01:00")
    file.write_text("\n".join(lines) + "\n", "utf-8")

    killed, at_death = redriven_with_kills(world, "--file", str(file))
    delivered = result["refused"] | result["outage"] | mended
    everything = set().union(*result.values())
    details, letters = settled(world, everything)
    assert {detail["eventId"] for detail in details} == delivered
    assert {item["origin"]["eventId"] for item in letters} == everything - delivered
    for event in details:
        assert event["correlationId"].replace("-", "") == event["eventId"]
        assert ("replayed" in event["metadata"]) is (event["eventId"] in mended)
    for candidate in letters:
        assert candidate["resubmitted"].startswith("redrive/cxone-event-router/")
        assert candidate["reason"] in result
        assert candidate["origin"]["eventId"] in result[candidate["reason"]]
    assert len([run for run in killed if "-" in run]) == 2, "an edit has a run of its own"
    assert_copies_are_explained(world, details, killed, at_death)


def undelivered(number: int) -> dict[str, Any]:
    """An event as EventBridge had accepted it."""
    item = identity(number)
    detail = {
        "correlationId": f"{item[:8]}-{item[8:12]}-{item[12:16]}-{item[16:20]}-{item[20:]}",
        "eventId": item,
        "eventSource": "cxone.webhook",
        "eventType": "interaction.created",
        "originalEventId": f"i-{number}",
        "conversationId": f"c-{number % 9}",
        "eventTimestamp": iso(OLD_MS),
        "receivedAt": iso(OLD_MS + number),
        "processedAt": iso(OLD_MS + number + 20),
        "sourceSystem": "nice.cxone",
        "routingVersion": "1.0",
        "payload": {"amount": 1.10, "name": "Zoë", "n": number},
        "metadata": {
            "enrichmentPipeline": "cxone-event-router-v1",
            "complianceTag": "unmasked",
            "region": "us-east-1",
            "of": "before",
        },
    }
    of_aws = {"version": "0", "id": f"eb-{number}", "account": "000000000000", "region": "us-east-1", "resources": []}
    about = {"detail-type": "interaction.created", "source": "nice.cxone.webhook", "time": iso(OLD_MS)[:19] + "Z"}
    return {**of_aws, **about, "detail": detail}


def test_two_hundred_undelivered_through_three_kills(make_world: Callable[..., World]) -> None:
    """Each comes out at the target as EventBridge had accepted it, but for its tag; a kill explains each copy."""
    world = make_world()
    world.start_all()
    events = {event["detail"]["eventId"]: event for event in map(undelivered, range(200))}
    output = {"ERROR_CODE": "NO_PERMISSIONS", "RULE_ARN": "arn:aws:events:us-east-1:0:rule/r", "TARGET_ARN": "arn:x"}
    send(world, "undelivered", ((event, output) for event in events.values()))
    killed, at_death = redriven_with_kills(world, "--undelivered")
    details, letters = settled(world, set(events))
    assert letters == []
    assert depth(world, "undelivered") == 0
    for came in details:
        accepted = events[came["eventId"]]["detail"]
        assert came == {**accepted, "metadata": {**accepted["metadata"], "complianceTag": "resubmitted"}}
    assert_copies_are_explained(world, details, killed, at_death)


def depth(world: World, queue: str) -> int:
    url = world.sqs.get_queue_url(QueueName=f"{STREAM}-{queue}")["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return sum(map(int, world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()))


def test_a_thousand_letters_without_their_cure_are_letters_again(make_world: Callable[..., World]) -> None:
    """No shard holds, none looks old for their age, and what comes beside them gets through."""
    world = make_world()
    world.start_all()
    send_letters(world, (letter(n, "schema_mismatch", sealed(n, timestamp="no time")) for n in range(1_000)))
    run(world, "redrive", "--rate", "0")
    beside = world.post_patiently("beside", webhook(7))
    ages: list[float] = []
    back: list[dict[str, Any]] = []

    def are_back() -> bool:
        metrics = httpx.get(f"http://{world.environment['STREAM_ROUTER_ADMIN_LISTEN']}/metrics").text
        numbers = [line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#")]
        assert not any(float(value) for name, value in numbers if name.startswith("stream_router_holding{"))
        ages.extend(float(value) for name, value in numbers if "_oldest_unsettled_age_seconds{" in name)
        back.extend(world.drain(world.dead_letters))
        return len(back) >= 1_000

    until(are_back, 90, "all are letters again")
    assert {item["origin"]["eventId"] for item in back} == {identity(n) for n in range(1_000)}
    assert {item["resubmitted"].rpartition("/")[2] for item in back} == {"1"}
    assert ages
    assert max(ages) < 60
    world.all_arrived({beside: b""}, 30)

"""The product against LocalStack: its EventBridge, SQS, S3, CloudWatch and STS, and its Kinesis (kinesis-local)."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.system.world import until, webhook
from tests.worlds.environments import Environments
from tests.worlds.foreign import START_WITHIN_S, ForeignWorld, Steps, good_and_poison

Process = subprocess.Popen[bytes]
EVENTS, POISON_EVERY, RATE = 2_000, 50, 20.0
BROKEN_FOR_S, RATE_WHILE_BROKEN = 60.0, 5.0
REPORTED_WITHIN_S = 10.0
"""Source: docs/guarantees.md, the row of "a bus that was gone"."""

UNDER_WAY_S = 2.0
"""Seconds from an event's webhook to its publication, with slack."""

LARGE, LARGE_BYTES = 3, 1_000_000
CONVERSATIONS, TURNS = 20, 20
BUCKET, RULE = "claims", "cxone-webhook-router"
SETTINGS = {"STREAM_ROUTER_OFFLOAD_BUCKET": BUCKET, "STREAM_ROUTER_MAX_BODY_BYTES": "1040000"}


def run(folder: Path, environments: Environments, steps: Steps) -> None:
    """Set up, carry events, use every command, break the rule, restart; record every step."""
    world = ForeignWorld(folder, environments, **SETTINGS)
    try:
        world.start_localstack()
        world.client("s3").create_bucket(Bucket=BUCKET)
        _set_up(world, steps)
        consumer = world.start_consumer()
        receiver = world.start_receiver()
        until(lambda: len(world.children()) >= 2, START_WITHIN_S, "two children run")
        steps.record("start", held=True, figure="receiver ready, two shards read")
        sent, poison = _carry(world, steps)
        _run_doctor(world, steps)
        _use_dead_letters(world, steps, poison)
        _find_and_replay(world, steps, sent)
        _check_claims(world, steps)
        _break_rule(world, steps)
        _restart(world, steps, consumer, receiver)
    finally:
        world.close()


def _set_up(world: ForeignWorld, steps: Steps) -> None:
    world.set_up()
    again = world.command("setup")
    plan = world.command("setup", "--plan", "--exit-code")
    held = (again.returncode, plan.returncode) == (0, 0)
    figure = f"exit 0, {again.returncode} and {plan.returncode}"
    steps.record("setup twice, then --plan: no drift", held=held, figure=figure)


def _carry(world: ForeignWorld, steps: Steps) -> tuple[set[str], set[str]]:
    """Send the events. Return the ids of those that the rule routes, and of those that it does not."""
    good, poison = good_and_poison(EVENTS, POISON_EVERY, "first")
    stored = world.post_bodies({**good, **poison}, RATE)
    steps.record("webhooks stored", held=len(stored) == EVENTS, figure=f"{len(stored)} of {EVENTS} answered 202")
    wanted = {id_ for id_, body in stored.items() if b"of.my.own" not in body}
    arrived = Counter(world.collect(wanted, 120))
    copies, unanswered = arrived.total() - len(arrived), world.count_unanswered_calls()
    held = set(arrived) == wanted and (copies == 0 or unanswered > 0)
    figure = f"{len(arrived)} of {len(wanted)}, {copies} copies; {unanswered} log lines of calls without an answer"
    steps.record("events at the target", held=held, figure=figure)
    return wanted, stored.keys() - wanted


def _run_doctor(world: ForeignWorld, steps: Steps) -> None:
    """Run the doctor up to three times: LocalStack answers some calls too late on a busy machine (exit 2)."""
    for _ in range(3):
        doctor = world.command("doctor", "--end-to-end", "--json", timeout_s=200)
        if doctor.returncode != 2:
            break
    verdicts = Counter(check["verdict"] for check in json.loads(doctor.stdout)["checks"])
    figure = f"exit {doctor.returncode}: {', '.join(f'{count} {name}' for name, count in sorted(verdicts.items()))}"
    steps.record("doctor --end-to-end", held=doctor.returncode == 0, figure=figure)
    world.drain(world.target)  # the doctor's own events


def _use_dead_letters(world: ForeignWorld, steps: Steps, ids: set[str]) -> None:
    """Use every `dlq` command. Letters that are resubmitted without a cure become dead letters again."""
    poison = len(ids)
    until(lambda: _count_messages(world, world.dead_letters) == poison, 180, "all poison is dead letters")
    shown = world.command("dlq", "show", min(ids))
    held = shown.returncode == 0 and "unroutable" in shown.stdout
    steps.record("dlq show", held=held, figure=f"exit {shown.returncode}")
    undelivered = world.command("dlq", "list", "--undelivered")
    steps.record("dlq list --undelivered", held=undelivered.returncode == 0, figure=f"exit {undelivered.returncode}")
    listed = world.command("dlq", "list")
    line = next((" ".join(line.split()) for line in listed.stdout.splitlines() if "unroutable" in line), "")
    steps.record("dlq list", held=str(poison) in line, figure=line or "unroutable is not listed")
    file = world.folder / "letters.jsonl"
    exported = world.command("dlq", "export", str(file))
    letters = len(file.read_text("utf-8").splitlines()) if file.exists() else 0
    steps.record("dlq export", held=(exported.returncode, letters) == (0, poison), figure=f"{letters} letters")
    redrive = world.command("dlq", "redrive")
    until(lambda: _count_messages(world, world.dead_letters) == poison, 180, "the letters are letters again")
    steps.record("dlq redrive", held=redrive.returncode == 0, figure=f"{poison} resubmitted, {poison} letters again")


def _find_and_replay(world: ForeignWorld, steps: Steps, sent: set[str]) -> None:
    """Find an event in the stream and replay five. LocalStack takes up to a second for each read of a stream."""
    known = world.command("find", min(sent), timeout_s=400)
    unknown = world.command("find", "0" * 32, "--since", "1m", timeout_s=400)
    codes = known.returncode, unknown.returncode
    steps.record("find, one known and one unknown", held=codes == (0, 1), figure=f"exit {codes[0]} and {codes[1]}")
    ids = set(sorted(sent)[:5])
    words = [word for id_ in ids for word in ("--id", id_)]
    replay = world.command("replay", "--since", "1h", *words, timeout_s=400)
    arrived = set(world.collect(ids, 60))
    figure = f"{len(arrived)} events once more, exit {replay.returncode}"
    steps.record("replay of five", held=(replay.returncode, arrived) == (0, ids), figure=figure)


def _check_claims(world: ForeignWorld, steps: Steps) -> None:
    """Send events beyond PutEvents' size: the payload goes to S3, and the event names its object."""
    stored: dict[str, bytes] = {}
    for number in range(LARGE):
        body = webhook(number, payload={"text": "x" * LARGE_BYTES})
        stored |= world.post_bodies({f"large-{number}": body}, 1.0)
    arrived = set(world.collect(set(stored), 90))
    objects = world.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    sizes = [entry["Size"] for entry in objects]
    held = arrived >= set(stored) and len(sizes) == LARGE and min(sizes) > LARGE_BYTES
    figure = f"{len(arrived & set(stored))} of {LARGE}, {len(sizes)} objects, {sum(sizes):,} bytes"
    steps.record("claim check of 1 MB events", held=held, figure=figure)


def _break_rule(world: ForeignWorld, steps: Steps) -> None:
    """Delete the rule, disable it, take its target away, each for BROKEN_FOR_S under load; `setup` mends it."""
    events: Any = world.client("events")

    def detach_targets() -> None:
        ids = [target["Id"] for target in events.list_targets_by_rule(Rule=RULE)["Targets"]]
        events.remove_targets(Rule=RULE, Ids=ids)

    def delete() -> None:
        detach_targets()
        events.delete_rule(Name=RULE)

    faults: dict[str, Callable[[], object]] = {
        "deleted": delete,
        "disabled": lambda: events.disable_rule(Name=RULE),
        "without a target": detach_targets,
    }
    for name, fault in faults.items():
        _break_once(world, steps, name, fault)


def _break_once(world: ForeignWorld, steps: Steps, name: str, fault: Callable[[], object]) -> None:
    """Send events while the rule is broken, then run `setup`: each event must arrive.

    Nothing may be published after the consumer's report. What is published before it reaches LocalStack's target if the
    rule is disabled: LocalStack goes on delivering by a disabled rule.
    """
    before = len(world.read_log("consume", "rule-unmatched"))
    fault()
    broken_at = time.time()
    count = int(BROKEN_FOR_S * RATE_WHILE_BROKEN)
    prefix = name.replace(" ", "-")
    stored = world.post_bodies({f"{prefix}-{n}": webhook(n) for n in range(count)}, RATE_WHILE_BROKEN)
    early = world.collect(set(), 0)
    lines = world.read_log("consume", "rule-unmatched")[before:]
    setup = world.command("setup", "--yes")  # a disabled rule may be meant: without --yes it stays disabled
    mended_at = time.time()
    arrived = early + world.collect(set(stored), 180)
    lost = stored.keys() - set(arrived)
    reported_s = _seconds_since(broken_at, lines[0]) if lines else float("inf")
    late = set(list(stored)[int((reported_s + UNDER_WAY_S) * RATE_WHILE_BROKEN) :]) if lines else set(stored)
    after_report = len(late & set(early))
    held = not lost and not after_report and reported_s <= REPORTED_WITHIN_S and setup.returncode == 0
    copies, mended_s = len(arrived) - len(set(arrived)), time.time() - mended_at
    figure = (
        f"reported after {reported_s:.0f} s; {len(early)} arrived before the cure, {after_report} of them sent after "
        f"the report; setup exit {setup.returncode}; {len(lost)} of {count} lost, {copies} copies; "
        f"all there {mended_s:.0f} s after the cure"
    )
    steps.record(f"rule {name} for {BROKEN_FOR_S:.0f} s", held=held, figure=figure)


def _seconds_since(moment: float, line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["time"]).timestamp() - moment


def _restart(world: ForeignWorld, steps: Steps, consumer: Process, receiver: Process) -> None:
    """End both programs, send the turns of conversations to a new receiver, and start a consumer that keeps order."""
    codes = []
    for program in (consumer, receiver):
        program.terminate()
        codes.append(program.wait(60))
    steps.record("SIGTERM to consume and receive", held=codes == [0, 0], figure=f"exit {codes[0]} and {codes[1]}")
    world.environment["STREAM_ROUTER_ORDERING"] = "conversation"
    world.start_receiver()
    turns: list[list[str]] = []
    for turn in range(TURNS):
        bodies = {f"o-{turn}-{n}": webhook(turn, conversationId=f"o-{n}") for n in range(CONVERSATIONS)}
        turns.append(list(world.post_bodies(bodies, 1_000.0)))  # a turn is stored before the next one is sent
    world.start_consumer()
    wanted = {id_ for turn in turns for id_ in turn}
    arrived = world.collect(wanted, 180)
    places = {id_: place for place, id_ in reversed(list(enumerate(arrived)))}
    pairs = [pair for turn, following in pairwise(turns) for pair in zip(turn, following, strict=True)]
    inversions = sum(before in places and after in places and places[before] > places[after] for before, after in pairs)
    missing = len(wanted - places.keys())
    figure = f"{missing} of {len(wanted)} lost, {inversions} inversions, {len(arrived) - len(places)} copies"
    steps.record("restart with ordering = conversation", held=not missing and not inversions, figure=figure)


def _count_messages(world: ForeignWorld, queue: str) -> int:
    """Return the number of messages in a queue, hidden ones included."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(counts[name]) for name in names)

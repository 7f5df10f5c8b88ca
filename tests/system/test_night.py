"""A night by script: an operator's twelve steps, and a ledger of its own that says after each what is true.

The real programs as processes, ministack as AWS, a sender at a steady rate from the first step to the last. Each step
prints what was asked, what came out and how long it took. NIGHT_RESULTS=FILE keeps the table as JSON.
"""

import hashlib
import json
import os
import platform
import re
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import fakeaws_world, queues
from tests.dead_letters import TYPES
from tests.event_world import parse_fates
from tests.fault.chaos_run.__main__ import commit
from tests.fault.chaos_run.proxy import Trouble as WireTrouble
from tests.fault.chaos_run.proxy import Wires
from tests.ports import free_port
from tests.scripted_ministack import script_answer
from tests.system.night_ledger import NOWHERE, POISON, TARGET, Collector, Event, Ledger, Post, Sender, Trouble
from tests.system.test_dlq_accounts import depth, identity, on_stream, run_of, sealed
from tests.system.world import PROGRAM, World, event_id, until
from tests.worlds.foreign import Steps

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(3000)]

RATE = 20.0
BUCKET = "claims"
POLICY = """
base = "default"
allow = ["payload.n", "payload.filler"]
search = ["payload.note"]
"""
SETTINGS = {
    "STREAM_ROUTER_LOG_FORMAT": "json",
    "STREAM_ROUTER_OFFLOAD_BUCKET": BUCKET,
    "STREAM_ROUTER_MAX_BODY_BYTES": "1040000",
}
STEADY_S, SLOW_S, AWAY_S, RULE_AWAY_S = 60.0, 40.0, 30.0, 60.0
TRUE_FROM_S = 15.0
"""Source: docs/guarantees.md, the row of the state that every view names."""

REPORTED_WITHIN_S = 10.0
"""Source: docs/guarantees.md, the row of a bus that was gone."""

KILL_REACH_S = 10.0
"""A crash brings back six seconds of work (docs/guarantees.md); the collector is up to a few seconds late."""

RULE_REACH_S = 15.0
"""Ten seconds until a missing rule is reported, and the collector's delay."""

SHARED_WITHIN_S = 180.0
"""Source: docs/guarantees.md, the row of consumers that join."""

SPILL_EMPTY_WITHIN_S = 60.0
CAUGHT_UP_WITHIN_S = 400.0
MENDED_TYPES = ",".join((*TYPES, "order.created"))
FOREIGN = 3
"""Records that another producer writes: so many that are no JSON, and so many of a later version."""

MAY_BE = {202, 400, 401, 503, 0}
"""Answers that are allowed. On a busy machine a webhook may be 503, or given up by its sender; it is sent again."""

ACCEPTED = "past the checkpoint and in no queue"
DEAD = "in the dead-letter queue"
NOT_RECEIVED = "not in the stream since"


class Night:
    """The world, the sender, the collector, the ledger, and the rows that are printed."""

    def __init__(self, world: World, secret: str) -> None:
        self.world, self.secret = world, secret
        self.folder = world.folder
        self.steps, self.wires = Steps(), Wires()
        self.ledger = Ledger(world.folder, secret)
        self.answers = world.folder / "answers"
        self.answers.mkdir()
        self.title = ""
        self.window = (0.0, 0.0)
        """A quiet minute, in epoch seconds, which the last step replays."""
        self.replayed: dict[str, set[str]] = {}
        """What each run of `replay` had to bring to the target."""
        self.admin = {"receive": world.environment["STREAM_ROUTER_RECEIVER_ADMIN_LISTEN"]}
        self.admin |= {"consume": world.environment["STREAM_ROUTER_ADMIN_LISTEN"]}

    def check(self, name: str, figure: str, *, held: bool) -> None:
        """Record an expectation and the figure that came out."""
        self.steps.record(f"{self.title}: {name}", held=held, figure=figure)

    # --- programs

    def start(self) -> None:
        """Start everything, and wait until two shards are read and the receiver is ready."""
        world = self.world
        world.start_stack("tests.fault.long_ministack")
        world._client("s3").create_bucket(Bucket=BUCKET)
        world.run_setup()
        port = free_port()
        own = {"ANSWERS": str(self.answers)}
        world.start("kinesis", sys.executable, "-m", "tests.scripted_ministack", str(port), str(world.port), **own)
        until(lambda: answers(port), 30, "the front of Kinesis answers")
        self.wire = self.wires.proxy("kinesis in", port)
        self.start_consumer()
        self.start_receiver()
        until(world.is_ready, 60, "the receiver is ready")
        until(lambda: len(world.children()) == 2, 120, "two children run")
        self.collector = Collector(world, self.ledger)
        self.sender = Sender(world, self.ledger, RATE)

    def start_receiver(self, name: str = "receive", **more: str) -> "subprocess.Popen[bytes]":
        spill = self.folder / f"spill-{name}"
        spill.mkdir(exist_ok=True)
        kinesis = f"http://127.0.0.1:{self.wire.port}"
        own = {"AWS_ENDPOINT_URL_KINESIS": kinesis, "STREAM_ROUTER_SPILL_DIR": str(spill), **more}
        receiver = self.world.start(name, PROGRAM, "receive", **own)
        if name == "receive":
            self.world.receiver = receiver
        return receiver

    def start_consumer(self, name: str = "consume", **more: str) -> "subprocess.Popen[bytes]":
        audit, state = self.folder / f"audit-{name}", self.folder / f"state-{name}"
        audit.mkdir(exist_ok=True)
        own = {"STREAM_ROUTER_AUDIT_DIR": str(audit), "STREAM_ROUTER_STATE_DIR": str(state), **more}
        consumer = self.world.start(name, PROGRAM, "consume", **own)
        if name == "consume":
            self.world.consumer = consumer
        return consumer

    def close(self) -> None:
        """End the threads of the night; the world is closed by its fixture."""
        self.wires.close()
        self.ledger.close()

    # --- what is asked

    def status(self, program: str) -> dict[str, Any]:
        """Return `/status` of a program."""
        result: dict[str, Any] = httpx.get(f"http://{self.admin[program]}/status", timeout=10.0).json()
        return result

    def wait_until_caught_up(self) -> float:
        """Wait until every event that is accepted by now is at the target. Return the seconds that this took."""
        begun, now = time.monotonic(), time.time()
        until(lambda: not self.ledger.missing(now), CAUGHT_UP_WITHIN_S, "every accepted event is at the target")
        return time.monotonic() - begun

    def wait_until_spill_is_empty(self) -> float:
        begun = time.monotonic()
        until(lambda: not self.status("receive")["spill"]["events"], CAUGHT_UP_WITHIN_S, "the spill is empty")
        return time.monotonic() - begun

    def letters(self) -> list[dict[str, Any]]:
        """Return what boto3 alone reads of the dead-letter queue."""
        return queues.peek(self.world.sqs, self.world.dead_letters)

    def find(self, *ids: str) -> tuple[int, dict[str, str], str]:
        """Run `find`. Return its exit status, its verdicts by event id, and all that it printed."""
        done = self.world.command("find", *ids, timeout_s=200)
        return done.returncode, parse_fates(done.stdout), done.stdout

    def newest(self, matches: Callable[[Event], bool]) -> str:
        """Return the id of the event that was sent last among those that match."""
        return [*self.ledger.select(matches)][-1]

    def oldest(self, kind: str) -> str:
        """Return the id of the first accepted event of this kind."""
        return next(iter(self.ledger.select(lambda event: event.post.kind == kind and event.accepted_at is not None)))


def answers(port: int) -> bool:
    """Return whether a server on this port answers at all."""
    try:
        return bool(httpx.get(f"http://127.0.0.1:{port}/_ministack/health", timeout=2.0))
    except httpx.TransportError:
        return False


def iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def in_words(counts: Counter[Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


# --- the steps


def run_steadily(night: Night) -> None:
    """A minute in which nothing is wrong."""
    begun = time.time()
    time.sleep(STEADY_S)
    night.window = (begun + 10.0, begun + 40.0)
    caught_up_s = night.wait_until_caught_up()
    answered = night.ledger.answers(begun, begun + STEADY_S - 5)
    held = answered.keys() <= MAY_BE
    night.check("answers", f"{in_words(answered)}; caught up after {caught_up_s:.1f} s", held=held)
    events = night.ledger.select(lambda event: event.sent_at < begun + STEADY_S)
    copies = sum(len(event.arrivals) > 1 for event in events.values())
    night.check("copies", f"{copies} of {len(events)} events", held=copies == 0)
    codes = {program: night.status(program)["code"] for program in night.admin}
    night.check("/status", str(codes), held=set(codes.values()) == {"well"})


def kill_the_receiver(night: Night) -> None:
    """`kill -9` of the receiver, which is started again."""
    with night.ledger.trouble("receiver killed", KILL_REACH_S):
        killed = time.time()
        night.world.receiver.kill()
        night.world.receiver.wait(10)
        time.sleep(1.0)
        night.start_receiver()
        until(night.world.is_ready, 60, "the receiver is ready")
        ready_s = time.time() - killed
        time.sleep(10.0)
        caught_up_s = night.wait_until_caught_up()
    answered = night.ledger.answers(killed - 2, killed + ready_s + 5)
    figure = f"ready after {ready_s:.1f} s, {in_words(answered)}, caught up {caught_up_s:.1f} s later"
    night.check("every webhook stored in the end", figure, held=answered[202] > 0 and not night.sender.unsent)


def kill_parts_of_the_consumer(night: Night) -> None:
    """`kill -9` of a child, of the daemon, and of the supervisor, which is started again."""
    world = night.world
    for part, victim in (("child", world.children), ("daemon", lambda: [world.jvm()])):
        with night.ledger.trouble(f"{part} killed", KILL_REACH_S):
            begun = time.monotonic()
            before = set(world.children())
            os.kill(victim()[0], signal.SIGKILL)
            until(lambda: len(set(world.children()) - before) == 2, 120, "two new children run")  # noqa: B023
            read_s = time.monotonic() - begun
            time.sleep(5.0)
            caught_up_s = night.wait_until_caught_up()
        night.check(
            f"{part} killed", f"two children after {read_s:.1f} s, caught up {caught_up_s:.1f} s later", held=True
        )
    with night.ledger.trouble("supervisor killed", KILL_REACH_S):
        killed = time.time()
        world.consumer.kill()
        world.consumer.wait(10)
        until(lambda: not world.children(), 30, "its children end")
        ended_s = time.time() - killed
        time.sleep(2.0)
        lately = night.newest(lambda event: event.accepted_at is not None and event.post.kind == "plain")
        status, verdicts, _ = night.find(lately)
        held = status == 0 and verdicts.get(lately, "").startswith("not settled yet")
        night.check("find while nobody reads", f"exit {status}: {verdicts.get(lately)}", held=held)
        night.start_consumer()
        until(lambda: len(world.children()) == 2, 120, "two children run")
        read_s = time.time() - killed
        caught_up_s = night.wait_until_caught_up()
    figure = f"its processes ended after {ended_s:.1f} s; two children after {read_s:.1f} s"
    figure = f"{figure}, caught up {caught_up_s:.1f} s later"
    night.check("supervisor killed", figure, held=True)


def slow_the_stream(night: Night) -> None:
    """The receiver's way to the stream takes 0.8 s for 40 s."""
    with night.ledger.trouble("slow stream", KILL_REACH_S):
        begun = time.time()
        night.wire.trouble = WireTrouble(latency_s=0.4)
        time.sleep(SLOW_S)
        code = night.status("receive")["code"]
        night.wire.trouble = WireTrouble()
        answered = night.ledger.answers(begun, begun + SLOW_S - 2)
        spilt = night.status("receive")["totals"]["counters"]["spilled"]
        empty_s = night.wait_until_spill_is_empty()
        caught_up_s = night.wait_until_caught_up()
    night.check("/status", code, held=code == "stream-slow")
    figure = f"{in_words(answered)}; {spilt:,} spilled so far"
    night.check("answers", figure, held=answered.keys() <= MAY_BE)
    figure = f"spill empty after {empty_s:.1f} s, caught up {caught_up_s:.1f} s later"
    night.check("over", figure, held=empty_s <= SPILL_EMPTY_WITHIN_S)


def take_the_stream_away(night: Night) -> None:
    """The stream is unreachable, then back; then it is missing, and back."""

    def refuse() -> None:
        night.wire.trouble = WireTrouble(refuse=True)
        night.wires.cut(night.wire)

    def heal() -> None:
        night.wire.trouble = WireTrouble()

    def lose() -> None:
        missing = {"__type": "ResourceNotFoundException", "message": "Stream cxone-events not found."}
        script_answer(night.answers, "PutRecords", 400, missing, times=1_000_000)

    ways: dict[str, tuple[Callable[[], None], Callable[[], None], set[str]]] = {
        "unreachable": (refuse, heal, {"aws-silent", "stream-down"}),
        "missing": (lose, (night.answers / "PutRecords").unlink, {"stream-down"}),
    }
    for name, (breaks, mends, codes) in ways.items():
        with night.ledger.trouble(f"stream {name}", KILL_REACH_S):
            breaks()
            begun = time.time()
            time.sleep(AWAY_S)
            verdict = night.status("receive")
            spilt = verdict["spill"]["events"]
            inside = night.newest(
                lambda event: event.accepted_at is not None and event.sent_at < begun + AWAY_S - 10  # noqa: B023
            )
            status, verdicts, _ = night.find(inside)
            away_s = time.time() - begun
            mends()
            empty_s = night.wait_until_spill_is_empty()
            caught_up_s = night.wait_until_caught_up()
        answered = night.ledger.answers(begun, begun + away_s - 2)
        night.check(f"{name}: /status", f"{verdict['code']}: {verdict['reason']}", held=verdict["code"] in codes)
        figure = f"{in_words(answered)} in {away_s:.0f} s, {spilt:,} events in the spill"
        night.check(f"{name}: answers", figure, held=answered.keys() <= MAY_BE and spilt > 0)
        output = verdicts.get(inside, "")
        held = status == 1 and output.startswith(NOT_RECEIVED) and "spill still has it" in output
        night.check(f"{name}: find of a spilled event", f"exit {status}: {output}", held=held)
        figure = f"spill empty after {empty_s:.1f} s, caught up {caught_up_s:.1f} s later"
        night.check(f"{name}: over", figure, held=empty_s <= SPILL_EMPTY_WITHIN_S)


def take_the_rule_away(night: Night) -> None:
    """The rule is deleted for a minute under load; `setup` puts it back."""
    with night.ledger.trouble("rule deleted", RULE_REACH_S):
        before = len(night.world.read_log("consume", "rule-unmatched"))
        begun = time.time()
        night.world.delete_rule()
        until(lambda: len(night.world.read_log("consume", "rule-unmatched")) > before, 30, "it is reported")
        reported_s = time.time() - begun
        night.check("reported", f"after {reported_s:.1f} s", held=reported_s <= REPORTED_WITHIN_S)
        time.sleep(max(0.0, begun + TRUE_FROM_S - time.time()))
        code = night.status("consume")["code"]
        night.check("/status", code, held=code == "target-broken")
        time.sleep(max(0.0, begun + RULE_AWAY_S - time.time()))
        done = night.world.command("setup")
        back = time.time()
        night.check("setup", f"exit {done.returncode}", held=done.returncode == 0)
        caught_up_s = night.wait_until_caught_up()
    sent = night.ledger.select(lambda event: begun <= event.sent_at < back and event.post.expected == TARGET)
    arrived = sum(bool(event.arrivals) for event in sent.values())
    figure = f"{arrived} of {len(sent)} events sent meanwhile, {caught_up_s:.0f} s after setup"
    night.check("all at the target", figure, held=arrived == len(sent))


def redrive_twice_at_once(night: Night) -> None:
    """`dlq list` against boto3 and the ledger; the type is mended; two `dlq redrive` at the same time."""
    world, ledger = night.world, night.ledger
    night.sender.poisons = []
    write_foreign_records(night)
    time.sleep(5.0)
    wanted = ledger.accepted(*REASONS)
    until(lambda: {event_id_of(letter) for letter in night.letters()} >= wanted, 90, "all poison is dead letters")
    letters = night.letters()
    listed = world.command("dlq", "list")
    lines = re.findall(r"^\s+([\d,]+)  (\w+)", listed.stdout, re.MULTILINE)
    says: Counter[str] = Counter()
    for count, reason in lines:
        says[reason] += int(count.replace(",", ""))
    truth = Counter(reason_of(letter) for letter in letters)
    held = listed.returncode == 0 and says == truth
    night.check("dlq list against boto3", f"exit {listed.returncode}: {in_words(says)}", held=held)
    by_id = {event_id_of(letter): reason_of(letter) for letter in letters}
    expected = {item: ledger.events[item].post.expected for item in wanted}
    night.check("letters against the ledger", f"{len(by_id)} ids of {len(expected)}", held=by_id == expected)
    for reason in sorted(truth):
        filtered = world.command("dlq", "list", "--reason", reason)
        matching = re.search(r"; ([\d,]+) of them match", filtered.stdout)
        held = matching is not None and int(matching[1].replace(",", "")) == truth[reason]
        night.check(f"dlq list --reason {reason}", matching[0] if matching else filtered.stdout, held=held)

    mended = mend_the_type(night)
    places = {place_of(letter) for letter in night.letters()}
    dry = world.command("dlq", "redrive", "--dry-run")
    would = re.search(r"would resubmit ([\d,]+)", dry.stdout)
    held = dry.returncode == 0 and would is not None and int(would[1].replace(",", "")) == len(places)
    night.check("dlq redrive --dry-run", would[0] if would else dry.stdout, held=held)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command = [PROGRAM, "dlq", "redrive", "--rate", "20"]
    redrives = [subprocess.Popen(command, env=world.environment, **pipes) for _ in range(2)]
    outputs = [redrive.communicate(timeout=200)[0] for redrive in redrives]
    with (night.folder / "commands.log").open("a", encoding="utf-8") as log:
        log.writelines(outputs)
    took = [re.findall(r"resubmitted ([\d,]+);", output)[-1:] for output in outputs]
    statuses = [redrive.returncode for redrive in redrives]
    held = 0 in statuses and set(statuses) <= {0, 1}  # 1: all letters were the other one's (docs/dead-letters.md)
    night.check("two redrives at once", f"exit {statuses}, resubmitted {took}", held=held)
    put = [(item, mark) for item, mark, _, _ in on_stream(world) if mark.startswith("redrive/")]
    again = Counter(item for item, _ in put)
    runs = len({run_of(mark) for _, mark in put})
    figure = f"{again.total()} lines of {len(places)} letters in {len(letters)} messages, by {runs} runs"
    night.check("each letter resubmitted once", figure, held=again == Counter(item for item, *_ in places))
    caught_up_s = night.wait_until_caught_up()
    arrived = sum(bool(ledger.events[item].arrivals) for item in mended & wanted)
    night.check(
        "mended letters at the target",
        f"{arrived} of {len(mended & wanted)} after {caught_up_s:.1f} s",
        held=arrived == len(mended & wanted) > 0,
    )
    remain = wanted - mended
    until(lambda: {event_id_of(letter) for letter in night.letters()} == remain, 90, "the others are letters again")
    letters = night.letters()
    times = {json.loads(letter["Body"])["resubmitted"].rpartition("/")[2] for letter in letters}
    night.check("the others are letters again", f"{len(letters)} letters, resubmitted {times}", held=times == {"1"})
    night.sender.poisons = [kind for kind in POISON if kind != "mendable"]


RESULTS = {True: "ok", False: "**failed**"}
REASONS = ("schema_mismatch", "unroutable", "malformed_json", "unsupported_version")


def event_id_of(letter: dict[str, Any]) -> str:
    return str(letter["MessageAttributes"]["eventId"]["StringValue"])


def place_of(letter: dict[str, Any]) -> tuple[Any, ...]:
    """Return whose letter it is, and the place in the stream. A consumer that was killed may write a letter twice."""
    origin = json.loads(letter["Body"])["origin"]
    return (event_id_of(letter), origin["shardId"], origin["sequenceNumber"], origin["line"])


def reason_of(letter: dict[str, Any]) -> str:
    return str(letter["MessageAttributes"]["reason"]["StringValue"])


def write_foreign_records(night: Night) -> None:
    """Put what another producer may write on the stream: no JSON, and envelopes of a later version."""
    for number in range(FOREIGN):
        garbage = f"no JSON {number}".encode()
        result = {
            event_id("stream", "", 0, garbage): (garbage, "malformed_json"),
            identity(number): (sealed(number, version=9), "unsupported_version"),
        }
        for item, (data, reason) in result.items():
            post = Post(item, "", data, "foreign", reason)
            night.ledger.attempt(post)
            night.world.kinesis.put_record(StreamName="cxone-events", PartitionKey=str(number), Data=data)
            night.ledger.answer(post, 202)


def mend_the_type(night: Night) -> set[str]:
    """Add the type to the rule and to the consumer, as docs/dead-letters.md says. Return the ids that this concerns."""
    world = night.world
    world.environment["STREAM_ROUTER_EVENT_TYPES"] = MENDED_TYPES
    done = world.command("setup")
    with night.ledger.trouble("consumer restarted", KILL_REACH_S):
        world.consumer.terminate()
        ended = world.consumer.wait(60)
        night.start_consumer()
        until(lambda: len(world.children()) == 2, 120, "two children run")
        caught_up_s = night.wait_until_caught_up()
    figure = f"setup exit {done.returncode}, consumer exit {ended}, caught up after {caught_up_s:.1f} s"
    night.check("the type is mended", figure, held=(done.returncode, ended) == (0, 0))
    return night.ledger.mend()


def find_ten_fates(night: Night) -> None:
    """`find` for events of each fate, and what the ledger knows of them."""
    world, ledger = night.world, night.ledger
    again = night.oldest("plain")
    done = world.command("replay", "--since", "2h", "--id", again, "--rate", "0", timeout_s=200)
    (run,) = re.findall(r"run (\S+);", done.stdout)[:1] or [""]
    until(lambda: bool(ledger.events[again].replays), 90, "the replayed event is at the target")
    night.replayed[run] = {again}
    figure = f"exit {done.returncode}, {dict(ledger.events[again].replays)}"
    night.check("replay --id", figure, held=done.returncode == 0 and ledger.events[again].replays == {run: 1})

    fates = {
        "published": (night.newest(is_settled("plain")), ACCEPTED, ""),
        "schema_mismatch": (night.oldest("schema_mismatch"), DEAD, "schema_mismatch"),
        "unroutable": (night.oldest("unroutable"), DEAD, "unroutable (UnroutableEventType)"),
        "malformed_json": (event_id("stream", "", 0, b"no JSON 0"), DEAD, "malformed_json"),
        "unsupported_version": (identity(0), DEAD, "unsupported_version"),
        "redriven": (night.oldest("mendable"), ACCEPTED, "resubmitted by redrive"),
        "posted twice": (night.oldest("twice"), ACCEPTED, ""),
        "replayed": (again, ACCEPTED, f"resubmitted by replay (run {run}"),
        "claim check": (night.oldest("large"), ACCEPTED, ""),
        "private": (night.oldest("private"), ACCEPTED, ""),
        "forged (401)": (next(iter(ledger.select(lambda event: event.post.kind == "forged"))), NOT_RECEIVED, ""),
        "malformed (400)": (next(iter(ledger.select(lambda event: event.post.kind == "malformed"))), NOT_RECEIVED, ""),
        "unknown": ("0" * 32, NOT_RECEIVED, ""),
    }
    absent = [item for item, verdict, _ in fates.values() if verdict == NOT_RECEIVED]
    status, verdicts, output = night.find(*(item for item, _, _ in fates.values() if item not in absent))
    night.check("find of what is there", f"exit {status}, {len(verdicts)} verdicts", held=status == 0)
    status, not_there, _ = night.find(*absent)
    night.check("find of what is nowhere", f"exit {status}, {len(not_there)} verdicts", held=status == 1)
    verdicts |= not_there
    blocks = {block[:32]: block for block in re.split(r"^(?=[0-9a-f]{32})", output, flags=re.MULTILINE)}
    for fate, (candidate, verdict, evidence) in fates.items():
        text = verdicts.get(candidate, "")
        night.check(fate, text, held=text.startswith(verdict) and evidence in blocks.get(candidate, ""))
    places = blocks.get(fates["posted twice"][0], "").count("  stored ")
    night.check("what was posted twice is stored once", f"{places} place in the stream", held=places == 1)
    check_claims(night)


def is_settled(kind: str) -> Callable[[Event], bool]:
    """Match the events of a kind that arrived a quarter of a minute ago or earlier."""
    latest = time.time() - 15.0
    return lambda event: event.post.kind == kind and bool(event.arrivals) and event.arrivals[0] < latest


def check_claims(night: Night) -> None:
    """Each claim check names an object that is there, whole, and has what was sent."""
    s3 = night.world._client("s3")
    large = night.ledger.select(lambda event: event.post.kind == "large" and bool(event.arrivals))
    whole = 0
    for item, event in large.items():
        ref = night.ledger.details[item]["payloadRef"]
        data: bytes = s3.get_object(Bucket=ref["bucket"], Key=ref["key"])["Body"].read()
        digest = hashlib.sha256(data).hexdigest()
        filler = json.loads(data)["filler"] == json.loads(event.post.body)["payload"]["filler"]
        whole += (digest, len(data)) == (ref["sha256"], ref["size"]) and filler
    night.check("claim checks", f"{whole} of {len(large)} objects whole", held=whole == len(large) > 0)


def ask_the_doctor(night: Night) -> None:
    """`doctor` while all is well, and in six worlds that are broken: it names each, and ends with 1."""
    world = night.world

    def ask(**more: str) -> tuple[int, dict[str, str]]:
        done = world.command("doctor", "--json", timeout_s=200, **more)
        checks = json.loads(done.stdout)["checks"]
        return done.returncode, {check["code"]: check["says"] for check in checks if check["verdict"] == "wrong"}

    def judge(name: str, code: str, names: str, **more: str) -> None:
        status, wrong = ask(**more)
        figure = f"exit {status}, wrong: {', '.join(sorted(wrong))}; {code}: {wrong.get(code)}"
        night.check(name, figure, held=status == 1 and code in wrong and names in wrong[code])

    status, wrong = ask()
    night.check("nothing wrong", f"exit {status}, wrong: {wrong}", held=(status, wrong) == (0, {}))
    missing_queue = f"{world.dead_letters.rpartition('/')[0]}/no-such-queue"
    judge("queue missing", "SR103", "no such queue", SQS_DLQ_URL=missing_queue)
    judge("bucket missing", "SR104", "no such bucket", STREAM_ROUTER_OFFLOAD_BUCKET="no-such-bucket")
    judge("stream missing", "SR101", "no such stream", STREAM_ROUTER_STREAM="no-such-stream")
    judge("wrong region", "SR101", "no such stream", AWS_REGION="eu-west-1")
    with night.ledger.trouble("rule deleted, target closed", RULE_REACH_S):
        world.close_target()
        judge("target closed", "SR144", "out")
        world.sqs.set_queue_attributes(QueueUrl=world.target, Attributes={"Policy": ""})
        world.delete_rule()
        judge("rule missing", "SR130", "cxone-webhook-router")
        done = world.command("setup")
        caught_up_s = night.wait_until_caught_up()
    night.check(
        "mended by setup", f"exit {done.returncode}, caught up after {caught_up_s:.0f} s", held=not done.returncode
    )
    undelivered = depth(world, "undelivered")
    night.check("undelivered", f"{undelivered} events", held=undelivered == 0)
    status, wrong = ask()
    night.check("nothing wrong again", f"exit {status}, wrong: {wrong}", held=(status, wrong) == (0, {}))


def look_for_secrets(night: Night) -> None:
    """No secret of the ledger stands where masking or secrecy covers it."""
    world = night.world
    texts: dict[str, str] = {path.name: path.read_text("utf-8", "replace") for path in night.folder.glob("*.log")}
    for name in ("ministack.log", "kinesis.log"):
        texts.pop(name, None)
    for folder in ("state-consume", "audit-consume"):
        files = [path for path in (night.folder / folder).rglob("*") if path.is_file()]
        texts |= {f"{folder}/{path.name}": path.read_text("utf-8", "replace") for path in files}
    for program, address in night.admin.items():
        for path in ("status", "metrics", *(("history", "") if program == "consume" else ())):
            texts[f"{program} /{path}"] = httpx.get(f"http://{address}/{path}", timeout=10.0).text
    urls = [word for address in night.admin.values() for word in ("--url", f"http://{address}")]
    texts["top"] = world.command("top", "--json", *urls).stdout
    texts["config"] = world.command("config").stdout
    for letter in night.letters():
        body = json.loads(letter["Body"])
        del body["record"]["data"]
        texts[f"letter {letter['MessageId']}"] = json.dumps([body, letter["MessageAttributes"]], ensure_ascii=False)
    s3 = world._client("s3")
    for result in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        texts[result["Key"]] = s3.get_object(Bucket=BUCKET, Key=result["Key"])["Body"].read().decode()
    keys = (night.secret, world.secret, world.environment["STREAM_ROUTER_MASKING_KEY"], "4111 1111")
    leaks = [name for name, text in texts.items() if any(secret in text for secret in keys)]
    night.check(
        "texts without a secret", f"{len(texts) - len(leaks)} of {len(texts)}; with one: {leaks}", held=not leaks
    )
    private = night.ledger.select(lambda event: event.post.kind == "private" and bool(event.arrivals))
    wrong = night.ledger.wrong_details
    figure = f"{len(private)} private ones among them; differences: {wrong[:5]}"
    night.check("events at the target are as sent, and masked", figure, held=not wrong and len(private) > 0)
    readable = sum(night.secret.encode() in event.post.body for event in private.values())
    night.check("the secret was sent", f"in {readable} of {len(private)}", held=readable == len(private))


def roll(night: Night) -> None:
    """A second receiver and a second consumer join; then each of the four is restarted under load."""
    world, ledger = night.world, night.ledger
    listen, admin = free_port(), free_port()
    second = {
        "STREAM_ROUTER_LISTEN": f"127.0.0.1:{listen}",
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{admin}",
    }
    joined = {"STREAM_ROUTER_ADMIN_LISTEN": f"127.0.0.1:{free_port()}"}
    url = f"http://127.0.0.1:{listen}"
    with ledger.trouble("rolling restart", KILL_REACH_S):
        begun = time.time()
        receivers = {"receive": world.receiver, "receive-2": night.start_receiver("receive-2", **second)}
        until(lambda: is_ready(url), 60, "the second receiver is ready")
        night.sender.urls.append(url)
        consumers = {"consume": world.consumer, "consume-2": night.start_consumer("consume-2", **joined)}
        until(lambda: owners(night) == [1, 1], SHARED_WITHIN_S, "both consumers have a shard")
        shared_s = time.time() - begun
        night.check("a second consumer has a shard", f"after {shared_s:.1f} s", held=True)
        ends: dict[str, int] = {}
        for name, receiver in receivers.items():
            night.sender.urls.sort(key=lambda item: (item == world.url) == (name == "receive"))
            receiver.terminate()
            ends[name] = receiver.wait(60)
            receivers[name] = night.start_receiver(name, **(second if name == "receive-2" else {}))
            until(world.is_ready if name == "receive" else lambda: is_ready(url), 60, f"{name} is ready")
        for name, consumer in consumers.items():
            consumer.terminate()
            ends[name] = consumer.wait(60)
            night.start_consumer(name, **(joined if name == "consume-2" else {}))
            until(lambda: owners(night) == [1, 1], SHARED_WITHIN_S, "both consumers have a shard again")
            until(lambda: len(world.children()) == 2, 60, "two children run")
        caught_up_s = night.wait_until_caught_up()
    answered = ledger.answers(begun, time.time() - 3)
    night.check("exit statuses", str(ends), held=set(ends.values()) == {0})
    figure = f"{in_words(answered)}; caught up after {caught_up_s:.1f} s"
    night.check("answers", figure, held=not night.sender.unsent and answered[202] > 0)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2.0).status_code == 200
    except httpx.TransportError:
        return False


def owners(night: Night) -> list[int]:
    """Return how many shards each owner has, by the lease table."""
    rows = fakeaws_world.table(night.world).scan(TableName="cxone-event-router", ConsistentRead=True)["Items"]
    shards = [row for row in rows if row["leaseKey"]["S"].startswith("shardId-")]
    return sorted(Counter(row.get("leaseOwner", {}).get("S", "") for row in shards).values())


def settle_accounts(night: Night) -> None:
    """The sender ends, everything drains, a quiet half minute is replayed, and every event is accounted for."""
    ledger, world = night.ledger, night.world
    night.sender.close()
    caught_up_s = night.wait_until_caught_up()
    wanted = ledger.accepted(*REASONS)
    until(lambda: {event_id_of(letter) for letter in night.letters()} >= wanted, 90, "all poison is dead letters")
    night.check(
        "drained", f"after {caught_up_s:.1f} s, {len(night.sender.unsent)} never stored", held=not night.sender.unsent
    )

    account = account_of(night)
    figure = f"{account.accepted:,} answered 202: {account.at_target:,} at the target, {account.dead_letters:,} letters"
    night.check("accounts", figure, held=account.at_target + account.dead_letters == account.accepted)
    night.check("lost", str(len(account.lost)), held=not account.lost)
    night.check("another fate than expected", str(len(account.wrong)), held=not account.wrong)
    refused = ledger.select(lambda event: event.post.expected == NOWHERE)
    statuses = Counter(status for event in refused.values() for status in event.statuses)
    figure = f"{len(account.unasked)}; {in_words(statuses)} answered to {len(refused)} bad ones"
    night.check("there without a 202", figure, held=not account.unasked and statuses.keys() <= MAY_BE - {202})
    figure = f"{account.copies}, of which {len(account.unexplained)} events without a cause"
    night.check("copies", figure, held=not account.unexplained)

    since, end = night.window
    window = ("--since", iso(since), "--until", iso(end))
    done = world.command("replay", *window, "--rate", "0", timeout_s=300)
    (run,) = re.findall(r"run (\S+);", done.stdout)[:1] or [""]
    inside = ledger.select(lambda event: event.post.expected == TARGET and event.accepted_at is not None)
    sure = {item for item, event in inside.items() if since + 3 < event.sent_at and (event.accepted_at or 0) < end - 3}
    may = {item for item, event in inside.items() if since - 3 < event.sent_at < end + 3}
    until(lambda: all(ledger.events[item].replays[run] for item in sure), 120, "the replayed events are at the target")
    time.sleep(5.0)  # a copy would come now
    replays = Counter({item: event.replays[run] for item, event in ledger.events.items() if event.replays[run]})
    figure = f"exit {done.returncode}, {replays.total()} arrivals of {len(replays)} events, {len(sure)} surely inside"
    held = done.returncode == 0 and sure <= replays.keys() <= may and set(replays.values()) == {1}
    night.check("replay of half a minute", figure, held=held)
    night.collector.close()


def account_of(night: Night) -> Any:
    """Add up the ledger. A call without an answer explains copies as well: the log names its time."""
    for name in ("receive", "receive-2", "consume", "consume-2"):
        path = night.folder / f"{name}.log"
        for line in path.read_text("utf-8", "replace").splitlines() if path.exists() else ():
            if line.startswith("{") and ("TimedOut" in line or '"event":"stream-silent' in line):
                at = datetime.fromisoformat(json.loads(line)["time"]).timestamp()
                night.ledger.add_trouble(Trouble("a call without an answer", at, at, 10.0))
    return night.ledger.account((event_id_of(letter), reason_of(letter)) for letter in night.letters())


STEPS: tuple[tuple[str, Callable[[Night], None]], ...] = (
    ("1 steady", run_steadily),
    ("2 receiver killed", kill_the_receiver),
    ("3 consumer killed", kill_parts_of_the_consumer),
    ("4 slow stream", slow_the_stream),
    ("5 stream away", take_the_stream_away),
    ("6 rule away", take_the_rule_away),
    ("7 two redrives", redrive_twice_at_once),
    ("8 find", find_ten_fates),
    ("9 doctor", ask_the_doctor),
    ("10 masking", look_for_secrets),
    ("11 rolling restart", roll),
    ("12 accounts", settle_accounts),
)


@pytest.fixture
def night(make_world: Callable[..., World], tmp_path: Path) -> Iterator[Night]:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    own = {"STREAM_ROUTER_MASKING": str(policy), "STREAM_ROUTER_MASKING_KEY": secrets.token_hex(16)}
    night = Night(make_world(**SETTINGS, **own), f"canary{secrets.token_hex(6)}")
    yield night
    night.close()


def test_a_night_by_script(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve steps in one world: each tool says what the ledger knows, and every event is accounted for."""
    begun = time.time()
    with capsys.disabled():
        sys.stdout.write("\n")
        night.start()
        for title, step in STEPS:
            night.title = title
            with night.steps.step(f"{title}: came to its end"):
                step(night)
        sys.stdout.write(table(night.steps))
    if path := os.environ.get("NIGHT_RESULTS"):
        result = {
            "commit": commit(),
            "begun": iso(begun),
            "took_s": round(time.time() - begun),
            "python": platform.python_version(),
            "rate": RATE,
            "steps": [asdict(row) for row in night.steps.rows],
        }
        Path(path).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert not [row.name for row in night.steps.rows if not row.held]


def table(steps: Steps) -> str:
    rows = [f"| {row.name} | {RESULTS[row.held]} | {row.figure} | {row.took_s} s |" for row in steps.rows]
    return "\n".join(["", "| step | result | figure | took |", "|---|---|---|---|", *rows, ""])

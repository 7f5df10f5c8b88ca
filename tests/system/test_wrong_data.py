"""Wrong data through the real programs: it holds nobody up, it is reported, and it comes back once it is mended."""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dead_letters import RULE
from tests.fakeaws.process import FakeAwsProcess
from tests.fakeaws_world import started
from tests.system.test_dlq_accounts import depth
from tests.system.world import PROGRAM, World, event_id, until, webhook

pytestmark = [pytest.mark.system]

LENGTH_S = 300
RATE = 20.0
BURST_EVENTS = 5_000
BURST_EVERY_S = 10
WITHIN_S = 60.0
SECRET = "of the one whose script is wrong"


def asked(world: World) -> dict[str, Any]:
    page: dict[str, Any] = httpx.get(f"http://{world.environment['STREAM_ROUTER_ADMIN_LISTEN']}/status").json()
    return page


def alarms(world: World) -> list[dict[str, Any]]:
    """What `/status` says of dead letters that prevail, by shard."""
    return [shard["manyDeadLetters"] for shard in asked(world)["shards"] if shard["manyDeadLetters"]]


def logged(world: World, event: str) -> list[dict[str, Any]]:
    lines = (world.folder / "consume.log").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if f'"{event}"' in line]


SHAPE = """
[[shapes]]
name = "acd"
when = ["acd.id"]

[shapes.fields]
interactionId = "acd.id"
eventType = {{ value = "interaction.created" }}
timestamp = "acd.{timestamp}"
payload = "acd"
"""


@pytest.mark.timeout(400)
def test_a_wrong_shapes_file_is_reported_and_replay_brings_every_event(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    """Log and `/status` name reason and cures within a minute; mended and replayed, each event is at the target."""
    config = tmp_path / "config.toml"
    config.write_text(SHAPE.format(timestamp="began"))
    world = make_world(STREAM_ROUTER_CONFIG=str(config))
    world.start_all()
    began = time.monotonic()
    bodies = [json.dumps({"acd": {"id": f"i-{n}", "at": "2026-11-24T09:30:00Z", "n": n}}).encode() for n in range(120)]
    sent = {world.post_patiently(f"d-{n}", body): body for n, body in enumerate(bodies)}
    until(lambda: bool(alarms(world)), WITHIN_S, "the alarm is raised")
    assert time.monotonic() - began < WITHIN_S + 10
    (first, *_) = logged(world, "many-dead-letters")
    assert (first["level"], first["reason"], first["source"]) == ("WARNING", "schema_mismatch", "")
    assert "replay --since" in first["message"]
    assert "dlq redrive" in first["message"]
    until(lambda: depth(world, "dead-letters") == len(sent), 30, "each is a dead letter")
    assert world.drain(world.target) == []

    config.write_text(SHAPE.format(timestamp="at"))
    world.consumer.terminate()
    assert world.consumer.wait(30) == 0
    world.consumer = world.start("consume-again", PROGRAM, "consume")
    replay = world.start("replay", PROGRAM, "replay", "--since", "10m", "--rate", "0")
    assert replay.wait(60) == 0
    arrived = world.all_arrived(sent, 120)
    assert set(arrived) == sent.keys()
    assert depth(world, "dead-letters") == len(sent), "the letters wait for a decision; no event is one once more"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", {"bus_rules": [RULE]}) as fake:
        yield fake


def honest(world: World, first: int, length_s: float = LENGTH_S) -> dict[str, float]:
    """Post at an even rate for `length_s`: by event id the wall clock (epoch ms) at which each was due."""
    begun, begun_ms = time.monotonic(), time.time() * 1000
    due_ms: dict[str, float] = {}

    def post(number: int) -> None:
        due_s = number / RATE
        time.sleep(max(0.0, begun + due_s - time.monotonic()))
        body = webhook(first + number)
        world.post_patiently(f"h-{first + number}", body)
        due_ms[event_id("hmac", f"h-{first + number}", 0, body)] = begun_ms + 1000 * due_s

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(post, number) for number in range(int(length_s * RATE))]:
            future.result()
    return due_ms


def post_bad(world: World, stopped: threading.Event, stored: list[int]) -> None:
    """One array of `{}` every BURST_EVERY_S until `stopped`, as a script does that is wrong."""
    headers = {"authorization": f"Bearer {SECRET}", "content-type": "application/json"}
    due = time.monotonic()
    number = 0
    while not stopped.wait(max(0.0, due - time.monotonic())):
        body = b"[" + b",".join([b'{"burst":%d}' % number, *[b"{}"] * (BURST_EVENTS - 1)]) + b"]"
        answer = world.http.post("/v1/events/crm", content=body, headers=headers)
        if answer.status_code == 202:
            stored.append(BURST_EVENTS)
            number += 1
            due += BURST_EVERY_S
        else:
            assert answer.status_code == 503, answer.text
            due += 1.0


def percentile_ms(fake: FakeAwsProcess, due_ms: dict[str, float], share: float) -> float:
    """Of the time from when an event was due until the bus accepted it first."""
    accepted: dict[str, float] = {}
    for line in fake.lines("PutEvents", "accepted"):
        accepted.setdefault(line["eventId"], line["time"])
    taken = sorted(accepted[item] - due for item, due in due_ms.items())
    return taken[math.ceil(share * len(taken)) - 1]


def all_are_accepted(fake: FakeAwsProcess, due_ms: dict[str, float]) -> bool:
    return {line["eventId"] for line in fake.lines("PutEvents", "accepted")} >= due_ms.keys()


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_one_sender_s_bad_events_hold_nobody_up(
    make_world: Callable[..., World], bus: FakeAwsProcess, tmp_path: Path
) -> None:
    """5,000 `{}` every ten seconds beside 20 good events a second: these all arrive, at most twice as late."""
    secret, config = tmp_path / "secret", tmp_path / "config.toml"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    config.write_text(
        '[[cxone.sources]]\nname = "crm"\ntype = "webhook"\nurl = "http://127.0.0.1/v1/events/crm"\n'
        f'scheme = "bearer"\nsecrets = "file:{secret}"\n'
    )
    world = started(make_world, bus, STREAM_ROUTER_CONFIG=str(config))
    daemon, children = world.jvm(), sorted(world.children())
    for number in range(50):  # what comes first waits for connections, and for the daemon's first reads
        world.post_patiently(f"first-{number}", webhook(number))
    until(lambda: len(bus.lines("PutEvents", "accepted")) >= 50, 30, "events flow")

    alone_ms = honest(world, 0)
    until(lambda: all_are_accepted(bus, alone_ms), 30, "what was sent alone is accepted")
    alone_p99_ms = percentile_ms(bus, alone_ms, 0.99)
    assert alarms(world) == []

    stopped, stored = threading.Event(), list[int]()
    bad = threading.Thread(target=post_bad, args=(world, stopped, stored))
    alarm_after_s: list[float] = []
    began = time.monotonic()

    def watch() -> None:
        while not stopped.wait(0.5):
            if not alarm_after_s and (raised := alarms(world)):
                alarm_after_s.append(time.monotonic() - began)
                assert {item["source"] for item in raised} == {"crm"}

    watcher = threading.Thread(target=watch)
    bad.start()
    watcher.start()
    try:
        beside_ms = honest(world, 1_000_000)
    finally:
        stopped.set()
        bad.join()
        watcher.join()
    until(lambda: all_are_accepted(bus, beside_ms), 60, "every honest event is accepted")
    until(lambda: bus.stats()["items"]["SendMessageBatch"].get("accepted", 0) >= sum(stored), 120, "every bad one too")
    beside_p99_ms = percentile_ms(bus, beside_ms, 0.99)
    print(  # noqa: T201 - the figures of the report
        f"p99 alone {alone_p99_ms:.0f} ms, beside {beside_p99_ms:.0f} ms; p50 {percentile_ms(bus, alone_ms, 0.5):.0f}"
        f" and {percentile_ms(bus, beside_ms, 0.5):.0f} ms; {sum(stored)} bad events; alarm after {alarm_after_s}"
    )
    assert sum(stored) >= BURST_EVENTS * (LENGTH_S // BURST_EVERY_S - 1)
    assert beside_p99_ms <= 2 * alone_p99_ms
    assert bus.stats()["items"]["SendMessageBatch"]["accepted"] == sum(stored)
    assert alarm_after_s
    assert alarm_after_s[0] < WITHIN_S
    assert {line["source"] for line in logged(world, "many-dead-letters")} == {"crm"}
    assert logged(world, "shard-holds") == []
    assert (world.jvm(), sorted(world.children())) == (daemon, children), "something was started again"
    until(lambda: not alarms(world), 180, "the alarm ends by itself")
    until(lambda: bool(logged(world, "many-dead-letters-ended")), 10, "its end is logged")


ATTACK_LENGTH_S = 60.0
ATTACK_EVERY_S = 1.0


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_text_that_was_expensive_to_search_holds_nobody_up(
    make_world: Callable[..., World], bus: FakeAwsProcess, tmp_path: Path
) -> None:
    """Three searched notes of 99,000 times "4 " a second, beside 20 good events a second: at most twice as late."""
    policy = tmp_path / "policy.toml"
    policy.write_text('base = "default"\nsearch = ["payload.notes[]"]\nregions = ["DE"]\n')
    world = started(make_world, bus, STREAM_ROUTER_MASKING=str(policy))
    for number in range(50):
        world.post_patiently(f"first-{number}", webhook(number))
    until(lambda: len(bus.lines("PutEvents", "accepted")) >= 50, 30, "events flow")
    alone_ms = honest(world, 0, ATTACK_LENGTH_S)
    until(lambda: all_are_accepted(bus, alone_ms), 30, "what was sent alone is accepted")

    stopped, attacks = threading.Event(), list[str]()

    def attack() -> None:
        while not stopped.wait(ATTACK_EVERY_S):
            number = len(attacks)
            body = webhook(2_000_000 + number, payload={"notes": ["4 " * 99_000] * 3})
            attacks.append(world.post_patiently(f"a-{number}", body))

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        beside_ms = honest(world, 1_000_000, ATTACK_LENGTH_S)
    finally:
        stopped.set()
        attacker.join()
    assert len(attacks) >= 0.8 * ATTACK_LENGTH_S / ATTACK_EVERY_S
    until(lambda: all_are_accepted(bus, beside_ms | dict.fromkeys(attacks, 0.0)), 60, "every event is accepted")
    alone_p99_ms, beside_p99_ms = percentile_ms(bus, alone_ms, 0.99), percentile_ms(bus, beside_ms, 0.99)
    print(f"p99 alone {alone_p99_ms:.0f} ms, beside {beside_p99_ms:.0f} ms; {len(attacks)} attacks")  # noqa: T201
    assert beside_p99_ms <= 2 * alone_p99_ms

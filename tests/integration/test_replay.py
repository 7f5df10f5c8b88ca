"""`replay` against the fake AWS, and two children that read what it puts back: what is published, as what."""

import json
import re
import shlex
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dead_letters import TYPES
from tests.event_world import APPLICATION, EventWorld
from tests.fakeaws.process import FakeAwsProcess

HOUR = ("--since", "150m", "--until", "60m")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventWorld]:
    """Three hours of a stream: the middle one went out by a wrong mapping. All of it is settled."""
    folder = tmp_path_factory.mktemp("replay")
    with FakeAwsProcess(folder / "ledger", None, 3, "--payloads") as fake_aws:
        world = EventWorld(fake_aws, folder, 100)
        for hours_ago, fates in ((4, ("before",)), (2, ("hour", "malformed", "dropped")), (0, ("after",))):
            world.plan(arrival_offset_s=-hours_ago * 3600)
            world.put(*fates)
        world.start()
        world.feed()
        world.write_leases()
        yield world
        world.close()


@pytest.fixture
def since(world: EventWorld) -> float:
    """Milliseconds of now: what the ledger has later is this test's."""
    world.plan()
    world.feed()
    return time.time() * 1000


def published(world: EventWorld, since_ms: float) -> list[dict[str, Any]]:
    """The Details that the children made, since then, of what was put back."""
    world.feed()
    lines = [line for line in world.fake_aws.lines("PutEvents", "accepted") if line["time"] >= since_ms]
    return [json.loads(line["payload"]) for line in lines]


def test_every_event_of_the_hour_and_none_of_another(world: EventWorld, since: float) -> None:
    """Through the consumer's mapping, under the old ids, marked with the run; leases and letters stay as they were."""
    leases, letters = world.leases(), world.fake_aws.queues()["dead-letters"]
    answer = world.run("replay", *HOUR, "--rate", "0")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    details = published(world, since)
    assert Counter(detail["eventId"] for detail in details) == Counter(world.ids["hour"])
    (run,) = {detail["metadata"]["replayed"] for detail in details}
    assert f"resubmitted 300; run {run}" in answer.stdout
    assert world.leases() == leases
    again = [letter for letter in world.fake_aws.queues()["dead-letters"] if letter not in letters]
    bodies = [json.loads(letter["body"]) for letter in again]
    assert {body["origin"]["eventId"] for body in bodies} == {*world.ids["malformed"]}
    assert {body["resubmitted"] for body in bodies} == {f"replay/{APPLICATION}/{run}/1"}


def test_what_a_replay_put_there_is_passed_over_by_the_next(world: EventWorld, since: float) -> None:
    """And each event of the hour comes once a replay."""
    answer = world.run("replay", "--since", "150m", "--event-type", TYPES[0], "--rate", "0")
    assert "resubmitted by a replay" in answer.stdout
    wanted = {
        item for name in ("hour", "after") for item in world.ids[name] if TYPES[int(item, 16) // 3 % 3] == TYPES[0]
    }
    assert Counter(event["eventId"] for event in published(world, since)) == Counter(wanted)


def test_a_dry_run_shows_and_puts_nothing(world: EventWorld, since: float) -> None:
    """By type and reason, with the settings of this shell."""
    answer = world.run("replay", *HOUR, "--dry-run")
    assert answer.returncode == 0
    assert published(world, since) == []
    assert "would resubmit 300; masking here is off" in answer.stdout
    assert len(re.findall(r"^ +3[34]  published  [a-z.]+$", answer.stdout, re.MULTILINE)) == 3
    assert re.search(r"^ +100  a dead letter: schema_mismatch \(BadTimestamp\)$", answer.stdout, re.MULTILINE)
    assert re.search(r"^ +100  dropped  typing.started$", answer.stdout, re.MULTILINE)


def test_a_rate_is_kept(world: EventWorld, since: float) -> None:
    """So many events a second at most."""
    begun_s = time.monotonic()
    assert world.run("replay", *HOUR, "--event-type", "interaction.created", "--rate", "10").returncode == 0
    assert time.monotonic() - begun_s > 2.5
    assert len(published(world, since)) == 34


@pytest.mark.parametrize(
    ("words", "settings", "says"),
    [
        (HOUR, {"STREAM_ROUTER_RULE": "none"}, "--yes"),
        (("--since", "8d"), {}, "--since is older than what stream cxone-events keeps"),
        (HOUR, {"STREAM_ROUTER_STREAM": "nowhere"}, "there is no stream nowhere"),
    ],
)
def test_where_nothing_can_come_of_it_nothing_is_put(
    world: EventWorld, since: float, words: tuple[str, ...], settings: dict[str, str], says: str
) -> None:
    """1, before the first event; the rest (bus and rule) the consumer proves, and holds."""
    world.plan(missing=["nowhere"])
    answer = world.run("replay", *words, **settings)
    assert answer.returncode == 1
    assert says in answer.stdout + answer.stderr
    world.plan()
    assert published(world, since) == []


def test_faults_of_the_stream_lose_nothing(world: EventWorld, since: float) -> None:
    """Throttled and lost calls, and single records that are refused, are tried again."""
    world.plan(
        rules=[
            {"fault": "entry_error", "code": "InternalFailure", "operation": "PutRecords", "rate": 0.2},
            {"fault": "call_error", "code": "ThrottlingException", "operation": "PutRecords", "rate": 0.2},
            {"fault": "reset", "operation": "PutRecords", "rate": 0.1},
        ]
    )
    answer = world.run("replay", *HOUR, "--rate", "0", "--yes", STREAM_ROUTER_RULE="none")
    world.plan()
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert {event["eventId"] for event in published(world, since)} == {*world.ids["hour"]}


def test_a_replay_broken_off_three_times_puts_each_event_back_once(world: EventWorld, since: float) -> None:
    """By Ctrl-C, kill -9 and SIGTERM; each time the printed command goes on under the same run."""
    types = ("--event-type", TYPES[0], "--event-type", TYPES[1])
    words = ["replay", *HOUR, "--rate", "8", *types]  # slow enough that each signal finds it at work
    for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        process = world.begin(*words)
        # From this line on it hears a signal. What the run before put on the stream may be published only now.
        assert process.stdout is not None
        announced = next(
            filter(None, map(re.compile(r"run (\S+); .*go on with: stream-router (.+)\n").match, process.stdout))
        )
        before = len(published(world, since))
        world.until(lambda: len(published(world, since)) > before + 3)  # noqa: B023
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 1)
        words = shlex.split(announced[2])
        if number != signal.SIGKILL:
            assert f"go on with: {shlex.join(['stream-router', *words])}" in out.splitlines()
    done = world.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    details = published(world, since)
    wanted = [item for item in world.ids["hour"] if TYPES[int(item, 16) // 3 % 3] in TYPES[:2]]
    assert Counter(detail["eventId"] for detail in details) == Counter(wanted)
    assert len({detail["metadata"]["replayed"] for detail in details}) == 1

"""`replay` against the fake AWS: what is published again, as what, and what is left alone."""

import json
import re
import shlex
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dead_letters import RULE, TYPES
from tests.fakeaws.process import FakeAwsProcess
from tests.fates import Fates

HOUR = ("--since", "150m", "--until", "60m")


def lived(folder: Path, count: int) -> Iterator[Fates]:
    """Three hours of a stream: the middle one went out by a wrong mapping. All of it is settled."""
    with FakeAwsProcess(folder / "ledger", None, 3, "--payloads") as fake_aws:
        world = Fates(fake_aws, folder, count)
        for offset_s, fates in (
            (-4 * 3600, ("before",)),
            (-2 * 3600, ("hour", "malformed", "dropped")),
            (0, ("after",)),
        ):
            world.plan(arrival_offset_s=offset_s)
            world.put(*fates)
        world.start()
        world.feed()
        world.write_leases()
        mended = folder / "mended.toml"
        mended.write_text('[metadata]\nmended = "yes"\n')
        world.settings["STREAM_ROUTER_CONFIG"] = str(mended)
        yield world
        world.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fates]:
    yield from lived(tmp_path_factory.mktemp("replay"), 100)


@pytest.fixture
def since(world: Fates) -> float:
    """Milliseconds of now: what the ledger has later is this test's."""
    world.plan()
    return time.time() * 1000


def published(world: Fates, since_ms: float) -> list[dict[str, Any]]:
    """The Details that were accepted since."""
    lines = [line for line in world.fake_aws.lines("PutEvents", "accepted") if line["time"] >= since_ms]
    return [json.loads(line["payload"]) for line in lines]


def test_every_event_of_the_hour_and_none_of_another(world: Fates, since: float) -> None:
    """Through the mapping of today, under the old ids, marked; checkpoints and dead letters stay as they were."""
    leases, letters = world.leases(), world.fake_aws.queues()["dead-letters"]
    answer = world.run("replay", *HOUR)
    details = published(world, since)
    assert Counter(one["eventId"] for one in details) == Counter(world.ids["hour"])
    assert {one["metadata"]["mended"] for one in details} == {"yes"}
    (replay_id,) = {one["metadata"]["replayed"] for one in details}
    assert re.fullmatch(r"replay/20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", replay_id)
    assert f"published 100 events as {replay_id}" in answer.stdout
    assert "left out 100: a setting drops events of type typing.started" in answer.stdout
    assert world.leases() == leases
    assert len(world.fake_aws.queues()["dead-letters"]) == len(letters)


def test_what_cannot_be_published_is_listed_and_ends_with_1(world: Fates, since: float) -> None:
    """No new dead letter: the old one is still there."""
    answer = world.run("replay", *HOUR)
    assert answer.returncode == 1
    assert "failed 100: schema_mismatch (BadTimestamp); no dead letter was written" in answer.stdout
    listed = re.findall(r"^  ([0-9a-f]{32})  shardId-", answer.stdout, re.MULTILINE)
    assert len(listed) == 50
    assert set(listed) <= set(world.ids["malformed"])
    assert "  and 50 more" in answer.stdout


def test_a_choice_by_type_and_by_id(world: Fates, since: float) -> None:
    """Only these; what else is in the hour is not mentioned as a failure."""
    two = world.ids["hour"][:2]
    answer = world.run("replay", *HOUR, "--id", two[0], "--id", two[1])
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert sorted(one["eventId"] for one in published(world, since)) == sorted(two)
    later = time.time() * 1000
    assert world.run("replay", *HOUR, "--event-type", "conversation.updated").returncode == 0
    assert {one["eventType"] for one in published(world, later)} == {"conversation.updated"}


def test_a_dry_run_shows_and_sends_nothing(world: Fates, since: float) -> None:
    """Count, types, first and last, one event before and after in masked form."""
    answer = world.run("replay", *HOUR, "--dry-run")
    assert published(world, since) == []
    text = answer.stdout
    assert "would publish 100 events of " in text
    assert len(re.findall(r"^ +3[34]  [a-z.]+$", text, re.MULTILINE)) == 3
    assert "would fail 100: schema_mismatch (BadTimestamp)" in text
    assert f"first  {time.strftime('%Y', time.gmtime())}" in text
    before, after = text.split("before (the first event, as it is in the stream, masked here only):")[1].split(
        "after (its Detail, masked here only):"
    )
    line, detail = json.loads(before), json.loads(after)
    assert line["id"] == detail["eventId"]
    assert detail["metadata"]["mended"] == "yes"
    assert detail["metadata"]["replayed"].startswith("replay/")


def test_up_to_the_checkpoint_as_it_stood(world: Fates, since: float) -> None:
    """What the consumer has not settled comes anyway, and is not published twice."""
    world.put("unsettled")
    assert world.run("replay", "--since", "30m").returncode == 0
    assert sorted(one["eventId"] for one in published(world, since)) == sorted(world.ids["after"])


def test_a_rate_is_kept(world: Fates, since: float) -> None:
    """So many events a second at most."""
    begun = time.monotonic()
    answer = world.run("replay", *HOUR, "--event-type", "interaction.created", "--rate", "10")
    assert answer.returncode == 0
    assert time.monotonic() - begun > 2.5
    assert len(published(world, since)) == 34


@pytest.mark.parametrize(
    ("plan", "words", "settings", "says"),
    [
        ({"missing": ["default"]}, HOUR, {}, "the event bus default does not exist"),
        ({"bus_rules": [RULE | {"EventPattern": {"source": ["other"]}}]}, HOUR, {}, "match"),
        ({"bus_rules": []}, HOUR, {}, "cxone-webhook-router"),
        ({}, HOUR, {"STREAM_ROUTER_RULE": "none"}, "--yes"),
        ({}, ("--since", "8d"), {}, "--since is older than what stream cxone-events keeps"),
        ({}, HOUR, {"STREAM_ROUTER_APPLICATION": "never-ran"}, "there is no lease table never-ran"),
    ],
)
def test_nothing_is_published_where_it_would_go_nowhere(
    world: Fates, since: float, plan: dict[str, Any], words: tuple[str, ...], settings: dict[str, str], says: str
) -> None:
    """A bus that is gone, a rule that matches nothing, a stream that does not reach back: 1, before the first event."""
    world.plan(**plan)
    answer = world.run("replay", *words, **settings)
    assert answer.returncode == 1
    assert says in answer.stdout + answer.stderr
    assert published(world, since) == []
    world.plan()


def test_a_rule_of_others_takes_a_word(world: Fates, since: float) -> None:
    """With --yes it is published all the same."""
    answer = world.run("replay", *HOUR, "--id", world.ids["hour"][0], "--yes", STREAM_ROUTER_RULE="none")
    assert answer.returncode == 0, answer.stderr
    assert len(published(world, since)) == 1


def test_faults_lose_nothing_and_failures_are_told(world: Fates, since: float) -> None:
    """Throttling, resets and failures of entries are tried again; what EventBridge refuses is listed."""
    world.plan(
        rules=[
            {"fault": "entry_error", "code": "InternalFailure", "operation": "PutEvents", "rate": 0.1},
            {"fault": "call_error", "code": "ThrottlingException", "operation": "PutEvents", "rate": 0.1},
            {"fault": "reset", "operation": "PutEvents", "rate": 0.05},
            {
                "fault": "entry_error",
                "code": "MalformedDetail",
                "operation": "PutEvents",
                "where": f'int-{int(world.ids["hour"][7], 16)}"',
            },
        ]
    )
    answer = world.run("replay", *HOUR)
    world.plan()
    assert answer.returncode == 1
    got = {one["eventId"] for one in published(world, since)} | {
        line["eventId"] for line in world.fake_aws.lines("PutEvents", "accepted_then_dropped") if line["time"] >= since
    }
    assert got == {*world.ids["hour"]} - {world.ids["hour"][7]}
    assert "failed 1: refused (MalformedDetail)" in answer.stdout
    assert f"  {world.ids['hour'][7]}  shardId-" in answer.stdout


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_type_that_the_settings_do_not_name_is_refused(world: Fates, since: float, more: tuple[str, ...]) -> None:
    """A typing error would end as a replay of nothing; the line names what is wrong."""
    answer = world.run("replay", *HOUR, "--event-type", "no.such", *more)
    assert answer.returncode == 1
    assert "no.such: not in STREAM_ROUTER_EVENT_TYPES" in answer.stderr
    assert published(world, since) == []


def test_ctrl_c_finishes_what_is_in_flight_and_says_where_to_go_on(world: Fates, since: float) -> None:
    """The rest is published by the command that is printed, as a replay of its own: together what was asked for."""
    process = world.begin("replay", *HOUR, "--rate", "20", "--event-type", TYPES[0], "--event-type", TYPES[1])
    world.until(lambda: len(published(world, since)) > 10)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    found = re.search(r"^go on with: stream-router (replay --since .+)$", out, re.MULTILINE)
    assert found, out
    wanted = {one for one in world.ids["hour"] if TYPES[int(one, 16) // 3 % 3] in TYPES[:2]}
    some = {one["eventId"] for one in published(world, since)}
    assert 10 < len(some) < len(wanted)
    assert world.run(*shlex.split(found[1])).returncode == 0
    details = published(world, since)
    assert {one["eventId"] for one in details} == wanted
    assert len({one["metadata"]["replayed"] for one in details}) == 2


@pytest.mark.long
def test_an_outage_ends_the_replay_where_it_can_go_on(world: Fates, since: float) -> None:
    """What was not accepted is no failure of its own: it is left, and the line to go on with is printed."""
    world.plan(rules=[{"fault": "outage", "operation": "PutEvents"}])
    answer = world.run("replay", *HOUR, STREAM_ROUTER_MAX_RETRIES="1")
    world.plan()
    assert answer.returncode == 1
    assert "go on with: stream-router replay --since" in answer.stdout
    assert published(world, since) == []
    assert len(world.fake_aws.queues()["dead-letters"]) == 100

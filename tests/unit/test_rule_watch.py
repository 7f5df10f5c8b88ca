"""The rule is watched: what is wrong with it, since when, the cure; never an exit."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router.consumer.state_dir import RULE_STATE, StateDir
from stream_router.consumer.supervisor.watches import rule_watch
from stream_router.consumer.supervisor.watches.rule_check import RuleCheck
from stream_router.consumer.supervisor.watches.rule_watch import RuleWatch
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from tests.scripted import ACCOUNT, REGION, Script

TYPES = ("interaction.created", "agent.status.changed")
PATTERN = '{"source":["nice.cxone.webhook"]}'


class Events:
    """A rule that is as the test says; counts what is asked."""

    def __init__(self) -> None:
        self.rule: dict[str, Any] = {"State": "ENABLED", "EventPattern": PATTERN, "Arn": f"arn:aws:events:{REGION}:1:r"}
        self.targets: list[dict[str, str]] = [{"Id": "t", "Arn": "a"}]
        self.refusals: dict[str, str] = {}
        self.matches: Callable[[dict[str, Any]], bool] = lambda _: True
        self.lacks_test = False
        self.tested: list[str] = []

    def _refuse(self, operation: str) -> None:
        if code := self.refusals.get(operation):
            raise ClientError({"Error": {"Code": code}}, operation)

    def describe_rule(self, **_: str) -> Any:
        self._refuse("DescribeRule")
        return self.rule

    def list_targets_by_rule(self, **_: Any) -> Any:
        self._refuse("ListTargetsByRule")
        return {"Targets": self.targets}

    def test_event_pattern(self, *, EventPattern: str, Event: str) -> Any:  # noqa: N803 - AWS's names
        self._refuse("TestEventPattern")
        self.tested.append(EventPattern)
        return {} if self.lacks_test else {"Result": self.matches(json.loads(Event))}


class World:
    """A watch over one rule, on a clock that each look moves on by half a minute."""

    def __init__(self, folder: Path) -> None:
        self.events = Events()
        self.now = 1_764_000_000.0
        self.lag_s: float | None = 0.0
        """Of the oldest event that is not settled, by its arrival; None while no child has told."""
        self.held = StateDir(folder)
        self.watch = self.again()

    def again(self) -> RuleWatch:
        """A watch of a later process over the same state folder."""
        events: Any = self.events
        check = RuleCheck(events, "r", "default", REGION, TYPES, lambda _: None)
        self.watch = RuleWatch(self.held, check, lambda: self.lag_s, *(lambda: self.now,) * 2)
        return self.watch

    def look(self, times: int = 1) -> dict[str, Any]:
        for _ in range(times):
            self.watch.look()
            self.now += rule_watch.EVERY_S
        found: dict[str, Any] = json.loads(self.held.read(RULE_STATE))
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.held.close()


def said(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == level]


def test_a_rule_that_is_right_is_silent(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Enabled, with a target, matching each of our types: nothing is said, and the pattern is tested once."""
    found = world.look(4)
    assert (found["state"], found["matchedAt"], found["since"]) == ("matched", "2025-11-24T16:01:30.000Z", None)
    assert world.events.tested == [PATTERN] * 2
    assert caplog.records == []


def gone(events: Events) -> None:
    events.refusals["DescribeRule"] = "ResourceNotFoundException"


def disabled(events: Events) -> None:
    events.rule["State"] = "DISABLED"


def untargeted(events: Events) -> None:
    events.targets = []


def changed(events: Events) -> None:
    events.rule["EventPattern"] = '{"source":["other"]}'
    events.matches = lambda event: event["detail-type"] == TYPES[0]


@pytest.mark.parametrize(
    ("wrong", "problem", "cure"),
    [
        (gone, "rule r does not exist on bus default", "run `stream-router setup`"),
        (disabled, "rule r is disabled", "run `aws events enable-rule --name r --event-bus-name default`"),
        (untargeted, "rule r has no target", "set EVENTBRIDGE_TARGET_ARN and run `stream-router setup`"),
        (changed, f"rule r does not match our events of type {TYPES[1]}", "see `stream-router setup --plan`"),
    ],
)
def test_a_fault_is_said_at_the_next_look_and_once_a_minute(
    world: World, caplog: pytest.LogCaptureFixture, wrong: Callable[[Events], None], problem: str, cure: str
) -> None:
    """What is wrong, since when, the cure; then one line a minute, and one when it ends."""
    world.look(2)
    wrong(world.events)
    found = world.look()
    since = "2025-11-24T16:00:30.000Z"
    assert (found["state"], found["since"], found["problem"], found["cure"]) == ("unmatched", since, problem, cure)
    lines = said(caplog, "ERROR")
    assert len(lines) == 1
    assert lines[0].startswith(f"rule unmatched: {problem}; ")
    assert lines[0].endswith(f"{cure}, then publish them again: stream-router replay --since {since}")
    world.look(9)
    assert len(said(caplog, "ERROR")) == 5
    caplog.clear()
    fresh = Events()
    vars(world.events).update(vars(fresh))
    assert world.look()["state"] == "matched"
    assert world.look()["since"] is None
    (line,) = said(caplog, "WARNING")
    assert line.startswith("the rule lets our events through again; ")
    assert line.endswith(f"stream-router replay --since {since} --until 2025-11-24T16:06:02.000Z")


def test_another_fault_is_said_at_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A rule that is enabled but has lost its target too is another line, not in a minute."""
    disabled(world.events)
    world.look()
    untargeted(world.events)
    world.look()
    assert len(said(caplog, "ERROR")) == 2
    assert "is disabled; rule r has no target" in said(caplog, "ERROR")[1]


def test_a_gap_outlives_a_restart(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Since when replay would be needed is read back, whether the earlier process saw the fault or only the good."""
    world.look(2)
    disabled(world.events)
    world.look()
    world.again()
    assert world.look()["since"] == "2025-11-24T16:00:30.000Z"
    world.events.rule["State"] = "ENABLED"
    world.look()
    assert "--since 2025-11-24T16:00:30.000Z --until 2025-11-24T16:02:02.000Z" in said(caplog, "WARNING")[0]


def test_the_gap_begins_with_the_oldest_event_that_was_not_settled_before_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """`replay` takes events by their arrival, and what a consumer that lags publishes arrived an hour ago."""
    world.lag_s = 3_600.0
    world.look(2)
    since = "2025-11-24T15:00:30.000Z"
    disabled(world.events)
    world.lag_s = 10.0
    assert world.look()["since"] == since
    world.again()
    assert world.look()["since"] == since
    world.events.rule["State"] = "ENABLED"
    world.look()
    assert f"stream-router replay --since {since} --until " in said(caplog, "WARNING")[0]


def test_a_lag_that_is_known_only_later_lengthens_the_gap(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A consumer that starts after hours, on a wrong rule: how far back it is its children tell a moment later."""
    disabled(world.events)
    world.lag_s = None
    assert world.look()["since"] == "2025-11-24T16:00:00.000Z"
    world.lag_s = 7_200.0
    world.watch.note()
    world.lag_s = 60.0
    assert world.look(2)["since"] == "2025-11-24T14:00:30.000Z"
    assert said(caplog, "ERROR")[-1].endswith("stream-router replay --since 2025-11-24T14:00:30.000Z")


def test_a_lag_that_no_child_had_told_at_a_good_look_counts_all_the_same(world: World) -> None:
    """A restart in the middle of catching up: no child runs at the first look, and a moment later the rule breaks."""
    world.lag_s = None
    world.look()
    world.lag_s = 3_600.0
    world.watch.note()
    disabled(world.events)
    world.lag_s = 60.0
    assert world.look()["since"] == "2025-11-24T15:00:30.000Z"


def test_a_rule_that_is_right_forgets_an_older_lag(world: World) -> None:
    """What was settled meanwhile reached its target."""
    world.lag_s = 3_600.0
    world.look()
    world.lag_s = 0.0
    world.look()
    world.watch.note()
    disabled(world.events)
    assert world.look()["since"] == "2025-11-24T16:00:30.000Z"


@pytest.mark.parametrize("text", ["{", "[]", '{"rule":"other","bus":"default","since":"x"}'])
def test_a_state_of_another_rule_or_torn_is_not_taken_over(world: World, text: str) -> None:
    """Another rule's gap is not ours, and a file that cannot be read stops nothing."""
    world.held.write(RULE_STATE, text)
    world.again()
    assert world.look()["since"] is None


def test_what_may_not_be_looked_at_is_said_once_and_is_no_fault(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A role without the permission: one warning that names it, however long."""
    for operation in ("TestEventPattern", "ListTargetsByRule", "DescribeRule"):
        world.events.refusals[operation] = "AccessDeniedException"
        assert world.look(3)["state"] == "unknown"
        assert f"allow events:{operation} to this role" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 3
    assert said(caplog, "ERROR") == []


def test_a_right_that_is_granted_later_is_used_from_then_on(world: World) -> None:
    """As the warning asks: without a restart a pattern that lets nothing through is noticed, and so is its mending."""
    world.events.refusals["TestEventPattern"] = "AccessDeniedException"
    world.events.matches = lambda _: False
    assert world.look(3)["state"] == "unknown"
    assert world.watch._check.unjudged
    world.events.refusals.clear()
    found = world.look()
    assert (found["state"], found["since"]) == ("unmatched", "2025-11-24T16:00:00.000Z"), "nobody saw it right before"
    assert not world.watch._check.unjudged
    asked = len(world.events.tested)
    world.look(3)
    assert len(world.events.tested) == asked, "the same text is asked for once"


def test_what_may_not_be_looked_at_any_more_ends_no_fault(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Whether the rule has a target again is not known: no word that it lets events through, and the gap goes on."""
    untargeted(world.events)
    world.look()
    world.events.refusals["ListTargetsByRule"] = "AccessDeniedException"
    found = world.look(3)
    assert (found["state"], found["since"], found["matchedAt"]) == ("unknown", "2025-11-24T16:00:00.000Z", None)
    assert not any("lets our events through again" in record.getMessage() for record in caplog.records)
    world.events.refusals.clear()
    assert world.look()["state"] == "unmatched"
    world.events.targets = [{"Id": "t", "Arn": "a"}]
    assert world.look()["state"] == "matched"
    assert "replay --since 2025-11-24T16:00:00.000Z" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("how", ["empty answer", "UnknownOperationException"])
def test_an_emulator_without_the_test_judges_no_pattern(
    world: World, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """An empty 200, or an operation that is not known: a warning once, no fault."""
    world.events.lacks_test = how == "empty answer"
    if not world.events.lacks_test:
        world.events.refusals["TestEventPattern"] = how
    assert world.look(3)["state"] == "unknown"
    assert [text.partition(":")[0] for text in said(caplog, "WARNING")] == ["this endpoint has no TestEventPattern"]


def test_trouble_of_the_control_plane_changes_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Throttled or away: what was known stands, a warning a minute, and the pattern is tested when it can be."""
    disabled(world.events)
    world.events.refusals["TestEventPattern"] = "ThrottlingException"
    assert world.look()["state"] == "unknown"
    world.events.refusals.clear()
    assert world.look()["state"] == "unmatched"
    world.events.refusals["DescribeRule"] = "InternalException"
    found = world.look(4)
    assert (found["state"], found["since"]) == ("unmatched", "2025-11-24T16:00:00.000Z")
    assert world.events.tested == [PATTERN] * 2
    assert len(said(caplog, "WARNING")) == 3


def test_a_full_state_folder_does_not_silence_the_watch(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is said all the same."""

    def full(*_: object) -> Path:
        raise OSError

    monkeypatch.setattr(world.held, "write", full)
    disabled(world.events)
    world.watch.look()
    assert "rule unmatched" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("STREAM_ROUTER_RULE", "none", "STREAM_ROUTER_RULE is none"),
        ("STREAM_ROUTER_EVENT_BUS", "arn:aws:events:eu-west-1:1:event-busv2/b/a", "a v2 bus has no rules"),
    ],
)
def test_where_there_is_no_rule_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str, why: str
) -> None:
    """Nothing is asked; the start says that nothing is judged."""
    for given, to in {"AWS_REGION": REGION, "SQS_DLQ_URL": "http://127.0.0.1/q", name: value}.items():
        monkeypatch.setenv(given, to)
    caplog.set_level("INFO")
    with StateDir(tmp_path) as state:
        watch = rule_watch.of(load(Consumer), state, lambda: None)
        watch.start()
        watch.close()
        assert json.loads(state.read(RULE_STATE)) == {"state": "unwatched", "reason": why}
    assert said(caplog, "INFO") == [f"no rule is watched: {why}; whether events reach a target is not known here"]


def test_the_questions_are_as_awss_model_has_them() -> None:
    """A real client, whose calls botocore checks: names, types, and an event with all that the test asks for."""
    script = Script()
    of_rule = {"EventBusName": "default"}
    rule = {"State": "ENABLED", "EventPattern": PATTERN, "Arn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r"}
    script.expect("events", "describe_rule", {"Name": "r", **of_rule}, rule)
    script.expect(
        "events",
        "list_targets_by_rule",
        {"Rule": "r", "Limit": 1, **of_rule},
        {"Targets": [{"Id": "t", "Arn": "arn:aws:sqs:eu-west-1:1:q"}]},
    )
    seen: list[dict[str, Any]] = []
    script.clients.events.meta.events.register(
        "provide-client-params.events.TestEventPattern", lambda params, **_: seen.append(params)
    )
    asked: Any = script._stubber("events")
    asked.add_response("test_event_pattern", {"Result": True})
    assert RuleCheck(script.clients.events, "r", "default", REGION, TYPES[:1], lambda _: None)() == []
    script.done()
    event = json.loads(seen[0]["Event"])
    assert {"id", "account", "source", "time", "region", "resources", "detail-type"} <= event.keys()
    assert (event["account"], event["detail-type"]) == (ACCOUNT, TYPES[0])

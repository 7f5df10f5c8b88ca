"""The proof that bus and rule take our events: what AWS is asked, what of its answers counts, what a child does."""

import json
import math
import queue
import re
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from stream_router.aws import credentials
from stream_router.consumer import target_check
from stream_router.consumer.target_check import (
    HASTEN_FOR_S,
    IDLE_INTERVAL_S,
    RECHECK_AFTER_S,
    REFRESH_INTERVAL_S,
    STARTUP_INTERVAL_S,
    AwsTargetCheck,
    CheckResult,
    FirstCheck,
    TargetBroken,
    TargetChecker,
    TargetOk,
    TargetReport,
    TargetState,
    TargetStateMachine,
    TargetUnknown,
    TargetView,
    accepts_all_of,
    active_interval_s,
    relevant_pattern,
)
from stream_router.errors import SettingProblem
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from tests.environment import CONSUMER, set_environment

# --- what AWS is asked

TYPES = "interaction.created,conversation.updated"
OURS = {"source": ["nice.cxone.webhook"], "detail-type": TYPES.split(",")}
V2 = "arn:aws:events:us-east-1:123456789012:event-busv2/b/aaaaaaaaaaaaaaaaaaaaaaaaa"
ROW = {"SubscriberArn": "arn:aws:events:us-east-1:123456789012:subscriber/r/1", "Name": "r", "EventBusArn": V2}
LISTED = {"Subscribers": [{**ROW, "Type": "FIFO", "State": "RUNNING", "CreationTime": 1}]}
ON_V2 = {"EVENT_BUS": V2}

Call = tuple[str, dict[str, Any] | str]
BUS: Call = ("describe_event_bus", {})
TARGET: Call = ("list_targets_by_rule", {"Targets": [{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:1:q"}]})
TAKES: Call = ("test_event_pattern", {"Result": True})
TAKES_NOT: Call = ("test_event_pattern", {"Result": False})


def rule(pattern: dict[str, Any], **more: Any) -> Call:
    return "describe_rule", {"State": "ENABLED", "EventPattern": json.dumps(pattern), **more}


class Asked:
    """A question whose AWS is scripted: each call, in order, with its answer or its code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
        set_environment(
            monkeypatch, {**CONSUMER, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
        )
        for name, value in {"EVENT_TYPES": TYPES, "RULE": "r", **settings}.items():
            monkeypatch.setenv(f"STREAM_ROUTER_{name}", value)
        self.question = AwsTargetCheck(load(Consumer))
        self.stub = Stubber(self.question._events)
        self.stub.activate()

    def now(self, *calls: Call) -> CheckResult:
        for operation, answer in calls:
            if isinstance(answer, str):
                self.stub.add_client_error(operation, answer)
            else:
                self.stub.add_response(operation, answer)
        result = self.question()
        self.stub.assert_no_pending_responses()
        return result


def test_a_pattern_is_tested_once_with_each_type_and_again_where_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bus, rule and target are asked for each time: a target that is taken away changes nothing else."""
    asked = Asked(monkeypatch)
    first = asked.now(BUS, rule(OURS), TARGET, TAKES, TAKES)
    assert isinstance(first, TargetOk)
    assert asked.now(BUS, rule(OURS), TARGET) == first
    narrower = rule({**OURS, "detail-type": ["interaction.created"]})
    output = asked.now(BUS, narrower, TARGET, TAKES, TAKES_NOT)
    assert isinstance(output, TargetBroken)
    assert "does not take our events of type conversation.updated" in output.problem
    assert asked.now(BUS, narrower, TARGET) == output


@pytest.mark.parametrize(
    ("pattern", "judged"),
    [
        ({"account": ["1"], "detail": {"payload": {"queue": ["q"]}}}, {}),
        (
            {"source": ["a"], "detail": {"eventSource": ["b"], "x": [1]}},
            {"source": ["a"], "detail": {"eventSource": ["b"]}},
        ),
        (
            {"$or": [{"source": ["a"]}, {"detail-type": ["t"], "x": [1]}]},
            {"$or": [{"source": ["a"]}, {"detail-type": ["t"]}]},
        ),
        ({"source": ["a"], "$or": [{"account": ["1"]}, {"detail-type": ["t"]}]}, {"source": ["a"]}),
        ({"detail": {"$or": [{"eventSource": ["b"]}, {"x": [1]}]}}, {}),
    ],
)
def test_what_is_judged_of_a_pattern(pattern: dict[str, Any], judged: dict[str, Any]) -> None:
    """Alternatives are judged by what each asks for of ours; one that asks for nothing of it lets ours through."""
    assert relevant_pattern(pattern) == judged


@pytest.mark.parametrize(
    ("settings", "calls", "of", "problem"),
    [
        ({}, [("describe_event_bus", "ResourceNotFoundException")], "bus", "does not exist"),
        ({}, [BUS, ("describe_rule", "ResourceNotFoundException")], "rule", "does not exist"),
        ({}, [BUS, rule(OURS, State="DISABLED")], "rule", "is disabled"),
        ({}, [BUS, rule(OURS), ("list_targets_by_rule", {})], "rule", "has no target"),
        ({}, [BUS, ("describe_rule", {"ScheduleExpression": "rate(1 day)"}), TARGET], "rule", "has no event pattern"),
        ({"RULE": "none"}, [BUS], "", ""),
        # of a v2 bus the subscriber is rule and target in one
        (ON_V2, [BUS, ("list_subscribers", LISTED), ("describe_subscriber", {"State": "RUNNING"})], "", ""),
        (ON_V2, [BUS, ("list_subscribers", LISTED), ("describe_subscriber", {"State": "STOPPED"})], "rule", "stopped"),
        (ON_V2, [BUS, ("list_subscribers", {"Subscribers": []})], "rule", "does not exist"),
    ],
)
def test_what_is_a_no(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], calls: list[Call], of: str, problem: str
) -> None:
    """Each with what is wrong and a cure."""
    output = Asked(monkeypatch, **settings).now(*calls)
    if not problem:
        assert isinstance(output, TargetOk)
        return
    assert isinstance(output, TargetBroken)
    assert (output.part, problem in output.problem, bool(output.cure)) == (of, True, True)


@pytest.mark.parametrize(
    "calls",
    [
        [("describe_event_bus", "ResourceNotFoundException")],
        [BUS, ("describe_rule", "ResourceNotFoundException")],  # the bus `default` is in every region
    ],
)
def test_what_is_absent_may_be_in_another_region(monkeypatch: pytest.MonkeyPatch, calls: list[Call]) -> None:
    """`setup` in a wrong region would make everything a second time, so the region comes before it."""
    answer = Asked(monkeypatch).now(*calls)
    assert isinstance(answer, TargetBroken)
    assert re.match(r"check that AWS_REGION \([a-z0-9-]+\) is right, .*`stream-router setup`", answer.cure), answer.cure


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "InternalException"])
def test_what_cannot_be_asked_is_no_no(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """The operation is named, for it may be a right that is missing."""
    assert Asked(monkeypatch).now(BUS, ("describe_rule", code)) == TargetUnknown(code, "DescribeRule")


# --- what of the answers counts

GONE, DISABLED = TargetBroken("bus", "is gone"), TargetBroken("rule", "is disabled")
ANSWERS: dict[str, CheckResult] = {
    "Y": TargetOk(),
    "D": DISABLED,
    "G": GONE,
    "U": TargetUnknown("AccessDeniedException", "DescribeRule"),
    "a": TargetOk(pattern='{"detail-type": ["a"]}'),
    "b": TargetOk(pattern='{"detail-type": ["b"]}'),
    "c": TargetOk(pattern='{"detail-type": ["a", "b"]}'),
    "1": TargetOk(1000.0),
    "+": TargetOk(1000.4),
    "2": TargetOk(2000.0),
}
MINUTE, HALF_AN_HOUR = 13, 361
"""So many answers in a row stand so long."""

NEVER = -math.inf


@pytest.mark.parametrize(
    ("answers", "proven", "since", "problem"),
    [
        ("Y", 1, NEVER, ""),
        # once may be an older copy's answer
        ("YD", 1, NEVER, ""),
        ("YDY", 3, NEVER, ""),
        ("YDD", 1, NEVER, "is disabled"),
        # no answer mends no rule
        ("YDDU", 1, NEVER, "is disabled"),
        # a yes counts once it has stood; that is a break, so who lived before has to leave
        ("YDD" + "Y" * (MINUTE - 1), 1, NEVER, "is disabled; "),
        ("YGG" + "Y" * (MINUTE - 1), 1, NEVER, "is gone; "),
        ("YDD" + "Y" * MINUTE, 16, 16, ""),
        # somebody is still at work on the rule; one no is enough there
        ("YDD" + "Y" * (MINUTE - 2) + "D" + "Y" * (MINUTE - 1), 1, NEVER, "is disabled; "),
        ("YDD" + "Y" * (MINUTE - 2) + "D" + "Y" * MINUTE, 28, 28, ""),
        # a changed pattern holds nothing, and what was sent meanwhile is sent again
        ("a" + "b" * (MINUTE - 1), 1, NEVER, ""),
        ("a" + "b" * MINUTE, 14, 14, ""),
        # a pattern that takes more than before counts at once; the one that takes less again is another
        ("ac", 2, NEVER, ""),
        ("aca", 2, NEVER, ""),
        # a bus that nobody saw gone: its time of creation tells, which may be told in fractions
        ("1+2", 2, NEVER, ""),
        ("1+22", 2, NEVER, "made again"),
        ("1+22" + "2" * MINUTE, 17, 17, ""),
        # what cannot be asked holds after half an hour, and no longer than it lasts
        ("Y" + "U" * (HALF_AN_HOUR - 1), 1, NEVER, ""),
        ("Y" + "U" * HALF_AN_HOUR, 1, NEVER, "could not be asked"),
        ("Y" + "U" * HALF_AN_HOUR + "Y", 363, NEVER, ""),
    ],
)
def test_what_counts_of_answers_five_seconds_apart(answers: str, proven: int, since: float, problem: str) -> None:
    """What was proven with which answer, since when a yes counts again, and why nothing may be published."""
    target_state = TargetStateMachine()
    for number, answer in enumerate(answers, 1):
        target_state.apply(ANSWERS[answer], 5.0 * number)
    line = target_state.report
    assert line._replace(problem="") == TargetReport(5.0 * proven, 5.0 * since, unanswered=answers[-1] == "U")
    assert problem in line.problem if problem else not line.problem


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"detail-type": ["a"]}, {"detail-type": ["b", "a"]}, True),
        ({"detail-type": ["a", "b"]}, {"detail-type": ["a"]}, False),
        ({"detail-type": ["a"], "source": ["s"]}, {"detail-type": ["a"]}, True),
        ({"detail-type": ["a"]}, {"detail-type": ["a"], "source": ["s"]}, False),
        ({"detail": {"eventSource": ["x"]}}, {"detail": {"eventSource": [{"prefix": "x"}]}}, False),
        ({"detail": {"eventSource": [{"prefix": "x"}]}}, {"detail": {"eventSource": [{"prefix": "x"}, "y"]}}, True),
        ({"detail-type": [{"anything-but": ["a"]}]}, {"detail-type": [{"anything-but": ["a", "b"]}]}, False),
        ({"$or": [{"source": ["a"]}]}, {"$or": [{"source": ["a"]}, {"source": ["b"]}]}, False),
        ({"$or": [{"source": ["a"]}]}, {"source": ["a"]}, False),
    ],
)
def test_a_pattern_that_only_grew_is_known(before: dict[str, Any], after: dict[str, Any], expected: bool) -> None:
    """Whatever is not certain counts as another pattern, which waits a minute."""
    assert accepts_all_of(json.dumps(before), json.dumps(after)) is expected


@pytest.mark.parametrize(
    ("state", "results", "after_ok", "after_broken"),
    [
        ("unchecked", "", "ok", "doubted"),
        ("unchecked", "U", "ok", "doubted"),
        ("ok", "a", "ok", "doubted"),
        ("doubted", "D", "ok", "broken"),
        ("doubted", "aD", "ok", "broken"),
        ("broken", "aDD", "settling", "broken"),
        ("settling", "aDDa", "settling", "broken"),
        ("settling", "aDD" + "a" * (MINUTE - 1), "ok", "broken"),
        ("settling", "ba", "settling", "doubted"),
        ("settling", "b" + "a" * (MINUTE - 1), "ok", "doubted"),
        ("doubted", "baD", "settling", "broken"),
    ],
)
def test_the_states_of_a_target(state: str, results: str, after_ok: str, after_broken: str) -> None:
    """By the table at the top of the module; an unknown result leaves each state as it is."""
    for result, after in (("a", after_ok), ("D", after_broken), ("U", state)):
        target_state = TargetStateMachine()
        for number, letter in enumerate(results, 1):
            target_state.apply(ANSWERS[letter], 5.0 * number)
        before = target_state.state
        target_state.apply(ANSWERS[result], 5.0 * (len(results) + 1))
        assert (before, target_state.state) == (state, after)


# --- who asks


class World:
    """A prover over answers that the test gives, on a clock that each question moves on by two seconds."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.answer: CheckResult = TargetOk()
        self.reports: list[FirstCheck] = []
        self.prover = TargetChecker(folder, self.ask, lambda: 5.0, self.reports.append, lambda: self.now)
        self.folder = folder

    def ask(self) -> CheckResult:
        self.now += 2.0
        return self.answer

    def prove(self, *answers: CheckResult) -> None:
        for self.answer in answers:
            self.prover.check_once()

    @property
    def proven_s(self) -> float:
        return self.prover.target_state.report.proven_s


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_proof_is_the_moment_before_the_question(world: World) -> None:
    """A rule deleted while the answer travels must not cover what was accepted meanwhile."""
    world.prove(TargetOk(), TargetOk())
    assert json.loads((world.folder / "target-proof").read_text())["proven_s"] == 102.0
    assert world.reports == [FirstCheck()]


@pytest.mark.parametrize(
    "trouble", [DISABLED, TargetBroken("rule", "does not exist"), TargetUnknown("EndpointConnectionError")]
)
def test_a_start_waits_for_what_can_be_mended(world: World, trouble: CheckResult) -> None:
    """A rule that takes nothing, a network that is not there yet: held, and no start is refused for it."""
    world.prove(*[trouble] * 30)
    assert not world.reports
    world.prove(*[TargetOk()] * 40)
    assert world.reports == [FirstCheck()]


def test_how_often_the_target_is_checked(world: World) -> None:
    """Once a minute if nothing waits for it; as a checkpoint wants it if a child waits, or it is not in order."""
    assert [active_interval_s(5.0, workers) for workers in (1, 25, 100, 500)] == [5.0, 5.0, 20.0, 100.0]
    assert active_interval_s(0.2, 1) == RECHECK_AFTER_S
    for answer, interval_s in (
        (TargetOk(), IDLE_INTERVAL_S),
        (TargetUnknown("ThrottlingException"), RECHECK_AFTER_S),
        (TargetUnknown("ThrottlingException"), 5.0),
        (TargetOk(), IDLE_INTERVAL_S),
        (DISABLED, RECHECK_AFTER_S),
        (DISABLED, 5.0),
        (TargetOk(), 5.0),
    ):
        world.prove(answer)
        assert world.prover.interval_s() == interval_s
    world.prover.hasten()
    assert world.prover.interval_s() == RECHECK_AFTER_S
    world.now += HASTEN_FOR_S
    assert world.prover.interval_s() == 5.0


def test_a_child_that_waits_has_the_target_checked_until_a_check_covers_what_it_sent(world: World) -> None:
    """A check that was asked before the bus accepted the event does not end its waiting; one that fails does not."""
    child = TargetView(world.folder, lambda: world.now)
    world.prove(TargetOk())
    accepted_s = world.now
    assert world.prover.interval_s() == IDLE_INTERVAL_S
    world.now += 0.1
    child.refresh()
    child.request_check(accepted_s)
    assert world.prover.interval_s() == 5.0
    world.prove(TargetUnknown("ThrottlingException"), TargetOk())
    world.now += REFRESH_INTERVAL_S
    child.refresh()
    assert child.proven_s > accepted_s
    child.request_check(accepted_s)
    assert world.prover.interval_s() == IDLE_INTERVAL_S
    # What is accepted while a check is in progress is not covered by it.
    child.request_check(child.proven_s)
    assert world.prover.interval_s() == 5.0


def test_a_supervisor_that_starts_checks_at_once_and_soon_again_until_the_target_is_in_order(tmp_path: Path) -> None:
    """A CHECKPOINT_S of ten minutes delays no start."""
    prover = TargetChecker(tmp_path, TargetOk, lambda: 600.0)
    assert prover.interval_s() == STARTUP_INTERVAL_S
    for result in (DISABLED, DISABLED):
        prover.target_state.apply(result, 1.0)
    assert prover.target_state.state is TargetState.BROKEN
    assert prover.interval_s() == STARTUP_INTERVAL_S


def test_a_waiting_thread_notices_a_child_within_a_second(tmp_path: Path) -> None:
    """An idle prover sleeps a minute, and checks at once when a child waits or is about to be stopped."""
    asked = queue.SimpleQueue[float]()

    def ask() -> CheckResult:
        asked.put(time.monotonic())
        return TargetOk()

    prover = TargetChecker(tmp_path, ask, lambda: 0.5)
    child = TargetView(tmp_path)
    prover.start()
    try:
        first_s = asked.get(timeout=5.0)
        with pytest.raises(queue.Empty):
            asked.get(timeout=1.5)
        child.request_check(accepted_s := time.monotonic())
        assert first_s < accepted_s < asked.get(timeout=1.5)
        with pytest.raises(queue.Empty):
            asked.get(timeout=1.5)
        prover.hasten()
        asked.get(timeout=1.0)
    finally:
        prover.close()


def refused_with(world: World) -> tuple[SettingProblem, ...]:
    """Return the problems of the refusal that the world's first report holds."""
    refusal = world.reports[0].refusal
    assert refusal is not None
    return refusal.problems


def test_a_start_is_refused_where_waiting_cannot_help(tmp_path: Path) -> None:
    """A bus that does not exist (said twice), a name that is none, a right that is missing for half a minute."""
    denied = World(tmp_path)
    refusal = "events:TestEventPattern on arn:aws:events:us-east-1:1:rule/* is refused"
    answer = TargetUnknown("AccessDeniedException", "TestEventPattern", refusal)
    denied.prove(answer)
    denied.now += credentials.STARTUP_TIMEOUT_S
    assert denied.reports == []
    denied.prove(answer)
    (problem,) = refused_with(denied)
    assert problem.setting == "STREAM_ROUTER_RULE"
    assert refusal in problem.problem
    assert "allow events:TestEventPattern" in problem.cure
    unnamed = World(tmp_path)
    unnamed.prove(TargetUnknown("ValidationException", "DescribeEventBus"))
    gone = World(tmp_path)
    gone.prove(GONE)
    assert gone.reports == []
    gone.prove(GONE)
    for item in (unnamed, gone):
        assert [problem.setting for problem in refused_with(item)] == ["STREAM_ROUTER_EVENT_BUS"]


def test_what_is_wrong_is_said_with_its_cure_and_when_it_is_right(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A no, its end, and when events go on; each once, and once a minute while it lasts."""
    world.prove(TargetOk(), *[DISABLED] * 10, *[TargetOk()] * 40)
    events = [record.event for record in caplog.records]  # type: ignore[attr-defined]
    assert events == ["rule-unmatched", "rule-matches-again", "rule-proven-again"]
    assert "run `stream-router setup`" in caplog.text


def test_a_restart_does_not_make_a_rule_work_sooner(world: World) -> None:
    """Somebody mends the rule and restarts the consumer: the yes has to stand all the same; then it is forgotten."""
    world.prove(TargetOk(), DISABLED, DISABLED)
    again = World(world.folder)
    again.prove(TargetOk())
    assert (again.reports, again.proven_s) == ([], NEVER)
    again.prove(*[TargetOk()] * 31)
    assert again.reports == [FirstCheck()]
    once_more = World(world.folder)
    once_more.prove(TargetOk())
    assert once_more.reports == [FirstCheck()]


# --- what a child knows


def test_a_child_takes_what_the_line_says(tmp_path: Path) -> None:
    """The proof, why nothing may be published, that nobody answers; nothing new where the line is torn."""
    now = [1000.0]
    proof, file = TargetView(tmp_path, lambda: now[0]), tmp_path / "target-proof"
    assert (proof.proven_s, proof.problem, proof.is_broken, proof.unanswered) == (NEVER, "", False, False)
    file.write_text(TargetReport(1001.0, problem="rule r is disabled", unanswered=True).text())
    proof.refresh()
    assert proof.proven_s == NEVER, "not each turn: it is a file"
    for text in (file.read_text(), "{"):
        file.write_text(text)
        now[0] += target_check.REFRESH_INTERVAL_S
        proof.refresh()
        assert (proof.proven_s, proof.problem, proof.unanswered) == (1001.0, "rule r is disabled", True)


def test_a_child_that_lived_through_a_break_has_to_leave_and_a_later_one_has_not(tmp_path: Path) -> None:
    """No later proof covers what the first has sent, though it slept all through the break."""
    now = [1000.0]
    before = TargetView(tmp_path, lambda: now[0])
    now[0] = 1100.0
    (tmp_path / "target-proof").write_text(TargetReport(1090.0, 1090.0).text())
    before.refresh()
    assert (before.is_broken, before.proven_s) == (True, NEVER)
    after = TargetView(tmp_path, lambda: now[0])
    assert (after.is_broken, after.proven_s) == (False, 1090.0)


def test_a_refused_check_names_action_and_resource(
    monkeypatch: pytest.MonkeyPatch, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """As AWS's own sentence does, beside the code and the cure."""
    words = "events:DescribeRule on arn:aws:events:us-east-1:1:rule/r"
    sentence = f"User: u is not authorized to perform: {words.replace(' on ', ' on resource: ')} because no policy"
    asked = Asked(monkeypatch)
    denial = ClientError({"Error": {"Code": "AccessDeniedException", "Message": sentence}}, "DescribeRule")
    monkeypatch.setattr(AwsTargetCheck, "_check_rule", lambda _: (_ for _ in ()).throw(denial))
    answer = asked.now(BUS)
    assert answer == TargetUnknown("AccessDeniedException", "DescribeRule", f"{words} is refused")
    world.prove(answer)
    assert f"{words} is refused" in caplog.text
    assert "stream-router setup --policy" in caplog.text

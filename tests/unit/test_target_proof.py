"""The proof that bus and rule take our events: what AWS is asked, what of its answers counts, what a child does."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from stream_router.aws import credentials
from stream_router.consumer import target_proof
from stream_router.consumer.target_proof import (
    AGAIN_S,
    HURRY_FOR_S,
    UNASKED_S,
    Answer,
    No,
    Proven,
    Prover,
    Question,
    Standing,
    TargetProof,
    Unasked,
    Yes,
    ask_every_s,
    judged_part,
)
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load

TYPES = "interaction.created,conversation.updated"
OURS = {"source": ["nice.cxone.webhook"], "detail-type": TYPES.split(",")}
V2 = "arn:aws:events:us-east-1:123456789012:event-busv2/b/aaaaaaaaaaaaaaaaaaaaaaaaa"
BUS = ("describe_event_bus", dict[str, Any]())
TARGET = ("list_targets_by_rule", {"Targets": [{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:1:q"}]})
GONE, DISABLED = No("bus", "is gone"), No("rule", "is disabled")


class Asked:
    """A question whose AWS is scripted: each call, in order, with its answer or its code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
        for name, value in {"EVENT_TYPES": TYPES, "RULE": "r", **settings}.items():
            monkeypatch.setenv(f"STREAM_ROUTER_{name}", value)
        self.question = Question(load(Consumer))
        self.stub = Stubber(self.question._events)
        self.stub.activate()

    def expect(self, operation: str, answer: dict[str, Any] | str) -> "Asked":
        if isinstance(answer, str):
            self.stub.add_client_error(operation, answer)
        else:
            self.stub.add_response(operation, answer)
        return self

    def right(self, pattern: dict[str, Any] = OURS, **rule: Any) -> "Asked":
        """A bus, an enabled rule, a target."""
        self.expect("describe_event_bus", {"Name": "default"})
        self.expect("describe_rule", {"State": "ENABLED", "EventPattern": json.dumps(pattern), **rule})
        return self.expect(*TARGET)

    def now(self) -> Answer:
        found = self.question()
        self.stub.assert_no_pending_responses()
        return found


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("SQS_DLQ_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters")


def test_a_pattern_is_tested_once_with_each_type_and_again_where_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bus, rule and target are asked for each time: a target that is taken away changes nothing else."""
    asked = Asked(monkeypatch)
    asked.right().expect("test_event_pattern", {"Result": True}).expect("test_event_pattern", {"Result": True})
    first = asked.now()
    assert isinstance(first, Yes)
    assert asked.right().now() == first
    narrower = {**OURS, "detail-type": ["interaction.created"]}
    asked.right(narrower).expect("test_event_pattern", {"Result": True}).expect("test_event_pattern", {"Result": False})
    said = asked.now()
    assert isinstance(said, No)
    assert "does not take our events of type conversation.updated" in said.problem
    assert asked.right(narrower).now() == said


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
    assert judged_part(pattern) == judged


@pytest.mark.parametrize(
    ("calls", "of", "problem"),
    [
        ([("describe_event_bus", "ResourceNotFoundException")], "bus", "does not exist"),
        ([BUS, ("describe_rule", "ResourceNotFoundException")], "rule", "does not exist"),
        ([BUS, ("describe_rule", {"State": "DISABLED", "EventPattern": "{}"})], "rule", "is disabled"),
        ([BUS, ("describe_rule", {"EventPattern": "{}"}), ("list_targets_by_rule", {})], "rule", "has no target"),
        ([BUS, ("describe_rule", {"ScheduleExpression": "rate(1 day)"}), TARGET], "rule", "has no event pattern"),
    ],
)
def test_what_is_a_no(monkeypatch: pytest.MonkeyPatch, calls: list[tuple[str, Any]], of: str, problem: str) -> None:
    """Each with what is wrong and a cure."""
    asked = Asked(monkeypatch)
    for operation, answer in calls:
        asked.expect(operation, answer)
    said = asked.now()
    assert isinstance(said, No)
    assert (said.of, problem in said.problem, bool(said.cure)) == (of, True, True)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "InternalException"])
def test_what_cannot_be_asked_is_no_no(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """The operation is named, for it may be a right that is missing."""
    asked = Asked(monkeypatch).expect("describe_event_bus", {}).expect("describe_rule", code)
    assert asked.now() == Unasked(code, "DescribeRule")


@pytest.mark.parametrize(
    ("has", "problem"), [({"State": "RUNNING"}, ""), ({"State": "STOPPED"}, "is stopped"), (None, "does not exist")]
)
def test_of_a_v2_bus_the_subscriber_has_to_run(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, str] | None, problem: str
) -> None:
    """It is rule and target in one there."""
    asked = Asked(monkeypatch, EVENT_BUS=V2).expect("describe_event_bus", {})
    arn = "arn:aws:events:us-east-1:123456789012:subscriber/r/1"
    row = {"SubscriberArn": arn, "Name": "r", "EventBusArn": V2, "Type": "FIFO", "State": "RUNNING", "CreationTime": 1}
    asked.expect("list_subscribers", {"Subscribers": [row] if has else []})
    if has:
        asked.expect("describe_subscriber", has)
    said = asked.now()
    assert problem in said.problem if isinstance(said, No) else not problem


def test_without_a_rule_of_ours_the_bus_alone_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """STREAM_ROUTER_RULE=none."""
    assert Asked(monkeypatch, RULE="none").expect("describe_event_bus", {}).now() == Yes()


def heard(standing: Standing, *answers: Answer, at: float = 0.0, every_s: float = 5.0) -> float:
    """These answers, one after the other; when the last was asked."""
    for answer in answers:
        at += every_s
        standing.heard(answer, at)
    return at


def test_a_no_counts_when_it_was_said_twice() -> None:
    """Once may be an older copy's answer; a yes after it is as if nothing was."""
    standing = Standing()
    at = heard(standing, Yes(), DISABLED)
    assert (standing.in_doubt, standing.line.problem, standing.line.proven_s) == (True, "", 5.0)
    at = heard(standing, Yes(), at=at)
    assert (standing.in_doubt, standing.line.proven_s, standing.line.since_s) == (False, at, -math.inf)
    heard(standing, DISABLED, DISABLED, at=at)
    assert standing.line == target_proof.Line(at, -math.inf, "is disabled")


@pytest.mark.parametrize("no", [GONE, DISABLED])
def test_after_a_no_a_yes_counts_once_it_has_stood(no: No) -> None:
    """A minute, from the first one on; it is a break, so who lived before has to leave."""
    standing = Standing()
    at = heard(standing, Yes(), no, no, Yes(), *[Yes()] * 11)
    assert standing.line.problem.startswith(no.problem)
    assert standing.line.proven_s == 5.0
    at = heard(standing, Yes(), at=at)
    assert standing.line == target_proof.Line(at, at)


def test_a_no_in_between_lets_it_stand_anew() -> None:
    """Somebody is still at work on the rule; one no is enough there."""
    standing = Standing()
    at = heard(standing, Yes(), DISABLED, DISABLED, *[Yes()] * 11, DISABLED, *[Yes()] * 12)
    assert standing.line.problem
    heard(standing, Yes(), at=at)
    assert not standing.line.problem


def test_a_changed_pattern_holds_nothing_and_counts_once_it_has_stood() -> None:
    """What was sent while the rule changed may have gone by it: it is sent again, and nobody waits meanwhile."""
    standing = Standing()
    at = heard(standing, Yes(pattern="a"), Yes(pattern="b"), *[Yes(pattern="b")] * 11)
    assert standing.line == target_proof.Line(5.0, -math.inf)
    at = heard(standing, Yes(pattern="b"), at=at)
    assert standing.line == target_proof.Line(at, at)


def test_a_bus_that_was_made_again_is_a_break() -> None:
    """Nobody saw it gone: its time of creation tells, and what was sent in between went nowhere. Then it is known."""
    standing = Standing()
    at = heard(standing, Yes(1000.0), Yes(1000.4), Yes(2000.0), Yes(2000.0))
    assert "made again" in standing.line.problem
    assert standing.line.proven_s == 10.0
    at = heard(standing, *[Yes(2000.0)] * 13, at=at)
    assert standing.line == target_proof.Line(at, at)


def test_what_cannot_be_asked_holds_after_half_an_hour_and_no_longer_than_it_lasts() -> None:
    """Until then events go on above a checkpoint that stands; the first answer proves what was sent meanwhile."""
    standing = Standing()
    unasked = Unasked("AccessDeniedException", "DescribeRule")
    at = heard(standing, Yes(), unasked)
    standing.heard(unasked, at + UNASKED_S - 1)
    assert standing.line == target_proof.Line(5.0, unasked=True)
    standing.heard(unasked, at + UNASKED_S)
    assert "could not be asked" in standing.line.problem
    standing.heard(Yes(), at + UNASKED_S + 5)
    assert standing.line == target_proof.Line(at + UNASKED_S + 5)


def test_a_fault_that_was_seen_stands_while_nobody_answers() -> None:
    """No answer mends no rule."""
    standing = Standing()
    heard(standing, Yes(), DISABLED, DISABLED, Unasked("Throttling"))
    assert standing.line.problem == "is disabled"


class World:
    """A prover over answers that the test gives, on a clock that each question moves on by two seconds."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.answer: Answer = Yes()
        self.reports: list[Proven] = []
        self.prover = Prover(folder, self.ask, lambda: 5.0, self.reports.append, lambda: self.now)
        self.folder = folder

    def ask(self) -> Answer:
        self.now += 2.0
        return self.answer

    def prove(self, *answers: Answer) -> None:
        for self.answer in answers:
            self.prover.prove_once()

    def line(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / "target-proof").read_text())
        return told


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_proof_is_the_moment_before_the_question(world: World) -> None:
    """A rule deleted while the answer travels must not cover what was accepted meanwhile."""
    world.prove(Yes(), Yes())
    assert world.line()["proven_s"] == 102.0
    assert world.reports == [Proven()]


@pytest.mark.parametrize("trouble", [DISABLED, No("rule", "does not exist"), Unasked("EndpointConnectionError")])
def test_a_start_waits_for_what_can_be_mended(world: World, trouble: Answer) -> None:
    """A rule that takes nothing, a network that is not there yet: held, and no start is refused for it."""
    world.prove(*[trouble] * 30)
    assert not world.reports
    world.prove(*[Yes()] * 40)
    assert world.reports == [Proven()]


def test_how_often_it_is_asked(world: World) -> None:
    """As a checkpoint wants it, a hundred workers within five a second; a first no at once again; a stop in a hurry."""
    assert [ask_every_s(5.0, workers) for workers in (1, 25, 100, 500)] == [5.0, 5.0, 20.0, 100.0]
    assert ask_every_s(0.2, 1) == AGAIN_S
    world.prove(Yes())
    assert world.prover.rest_s() == 5.0
    world.prove(DISABLED)
    assert world.prover.rest_s() == AGAIN_S
    world.prove(DISABLED)
    assert world.prover.rest_s() == 5.0
    world.prover.hasten()
    assert world.prover.rest_s() == AGAIN_S
    world.now += HURRY_FOR_S
    assert world.prover.rest_s() == 5.0


def test_a_start_is_refused_where_waiting_cannot_help(world: World) -> None:
    """A bus that does not exist (said twice), a name that is none, a right that is missing for half a minute."""
    denied = Unasked("AccessDeniedException", "TestEventPattern")
    world.prove(denied)
    world.now += credentials.PATIENCE_S
    assert world.reports == []
    world.prove(denied)
    (said,) = world.reports
    assert "STREAM_ROUTER_RULE" in said.refusal
    assert "allow events:TestEventPattern" in said.refusal
    other = World(world.folder)
    other.prove(Unasked("ValidationException", "DescribeEventBus"))
    assert other.reports == [Proven("STREAM_ROUTER_EVENT_BUS: is no bus name or ARN; name one that exists")]
    another = World(world.folder)
    another.prove(GONE)
    assert another.reports == []
    another.prove(GONE)
    assert another.reports[0].refusal.startswith("STREAM_ROUTER_EVENT_BUS: no such event bus")


def test_what_is_wrong_is_said_with_its_cure_and_when_it_is_right(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A no, its end, and when events go on; each once, and once a minute while it lasts."""
    world.prove(Yes(), *[DISABLED] * 10, *[Yes()] * 40)
    said = [(record.event, record.levelname) for record in caplog.records]  # type: ignore[attr-defined]
    assert said == [("rule-unmatched", "ERROR"), ("rule-matches-again", "WARNING"), ("rule-proven-again", "WARNING")]
    assert "is disabled" in caplog.text
    assert "run `stream-router setup`" in caplog.text


def test_a_restart_does_not_make_a_rule_work_sooner(world: World) -> None:
    """Somebody mends the rule and restarts the consumer: the yes has to stand all the same; then it is forgotten."""
    world.prove(Yes(), DISABLED, DISABLED)
    again = World(world.folder)
    again.prove(Yes())
    assert (again.reports, again.prover.standing.line.proven_s) == ([], -math.inf)
    again.prove(*[Yes()] * 31)
    assert again.reports == [Proven()]
    once_more = World(world.folder)
    once_more.prove(Yes())
    assert once_more.reports == [Proven()]


def told(folder: Path, **line: Any) -> None:
    """The supervisor's line."""
    (folder / "target-proof").write_text(target_proof.Line(**line).text())


def test_a_child_takes_what_the_line_says(tmp_path: Path) -> None:
    """The proof, why nothing may be published, that nobody answers; nothing where there is no line, or half of one."""
    now = [1000.0]
    proof = TargetProof(tmp_path, lambda: now[0])
    assert (proof.proven_s, proof.problem, proof.is_broken, proof.unasked) == (-math.inf, "", False, False)
    told(tmp_path, proven_s=1001.0)
    proof.look()
    assert proof.proven_s == -math.inf, "not each turn: it is a file"
    now[0] += 1.0
    proof.look()
    assert proof.proven_s == 1001.0
    told(tmp_path, proven_s=1001.0, problem="rule r is disabled", unasked=True)
    now[0] += 1.0
    proof.look()
    assert (proof.proven_s, proof.problem, proof.unasked) == (1001.0, "rule r is disabled", True)
    (tmp_path / "target-proof").write_text("{")
    now[0] += 1.0
    proof.look()
    assert proof.problem == "rule r is disabled"


def test_a_child_that_lived_through_a_break_has_to_leave_and_a_later_one_has_not(tmp_path: Path) -> None:
    """No later proof covers what the first has sent, though it slept all through the break."""
    now = [1000.0]
    before = TargetProof(tmp_path, lambda: now[0])
    now[0] = 1100.0
    told(tmp_path, proven_s=1090.0, since_s=1090.0)
    before.look()
    assert (before.is_broken, before.proven_s) == (True, -math.inf)
    after = TargetProof(tmp_path, lambda: now[0])
    assert (after.is_broken, after.proven_s) == (False, 1090.0)

"""Before anything is published again: the bus is there, and the rule matches each event type."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stream_router.consumer.supervisor.watches import bus_prober, rule_check
from stream_router.control.republish import preconditions
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load

pytestmark = pytest.mark.usefixtures("empty_environment")

V2 = "arn:aws:events:us-east-1:123456789012:event-busv2/bus/abcdefghijklmnopqrstuvwxy"


def error(code: str, operation: str = "DescribeEventBus") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "x"}}, operation)


class Control:
    """EventBridge's control plane as told."""

    def __init__(self) -> None:
        self.bus: Exception | None = None
        self.rule: Any = {"State": "ENABLED", "EventPattern": "{}", "Arn": "arn:aws:events:us-east-1:1:rule/r"}
        self.test: Any = {"Result": True}
        self.tested = 0

    def describe(self) -> float:
        if self.bus:
            raise self.bus
        return 0.0

    def describe_rule(self, **_: str) -> Any:
        if isinstance(self.rule, Exception):
            raise self.rule
        return self.rule

    def list_targets_by_rule(self, **_: object) -> Any:
        return {"Targets": [{"Id": "1"}]}

    def test_event_pattern(self, **_: str) -> Any:
        self.tested += 1
        if isinstance(self.test, Exception):
            raise self.test
        return self.test


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch, empty_environment: None) -> Control:
    made = Control()
    monkeypatch.setattr(bus_prober, "describer", lambda _: made.describe)
    monkeypatch.setattr(rule_check, "client", lambda _: made)
    return made


def settings(**given: Any) -> Consumer:
    return load(Consumer, **{"aws_region": "us-east-1", "sqs_dlq_url": "https://sqs/1/q", **given})


TYPES = ["interaction.created", "conversation.updated", "interaction.created"]


def test_all_is_right(control: Control) -> None:
    """Each type once."""
    assert preconditions.look(settings(), TYPES) == ([], [])
    assert control.tested == 2


def test_a_bus_that_is_gone_refuses(control: Control) -> None:
    """It would answer success to everything; the rule is not even asked."""
    control.bus = error("ResourceNotFoundException")
    ((refusal,), unjudged) = preconditions.look(settings(), TYPES)
    assert "does not exist, and would answer success" in refusal
    assert not unjudged
    assert not control.tested


@pytest.mark.parametrize("trouble", [error("AccessDeniedException"), EndpointConnectionError(endpoint_url="http://x")])
def test_a_bus_that_cannot_be_asked_refuses(control: Control, trouble: Exception) -> None:
    """Nothing is published on a hope."""
    control.bus = trouble
    ((refusal,), _) = preconditions.look(settings(), TYPES)
    assert "cannot be asked whether it exists" in refusal


def test_a_rule_that_matches_nothing_of_ours_refuses(control: Control) -> None:
    """By the name of the types."""
    control.test = {"Result": False}
    ((refusal,), _) = preconditions.look(settings(), TYPES)
    assert "does not match our events of type conversation.updated, interaction.created" in refusal


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (error("ResourceNotFoundException"), "does not exist"),
        ({"State": "DISABLED", "EventPattern": "{}"}, "is disabled"),
        (error("InternalException"), "cannot be looked at"),
    ],
)
def test_a_rule_that_is_not_there_or_off_refuses(control: Control, rule: Any, says: str) -> None:
    """Events would reach no target."""
    control.rule = rule
    refusals, _ = preconditions.look(settings(), TYPES)
    assert any(says in refusal for refusal in refusals)


@pytest.mark.parametrize(
    ("given", "rule", "test", "says"),
    [
        ({"event_bus": V2}, None, None, "v2 bus has no rules"),
        ({"rule": "none"}, None, None, "STREAM_ROUTER_RULE is none"),
        ({"bus_proof": "trust"}, None, None, "not asked whether it exists"),
        ({}, error("AccessDeniedException"), None, "cannot be asked here"),
        ({}, None, error("UnknownOperationException"), "cannot be asked here"),
        ({"unroutable": "publish", "event_types": "interaction.created"}, None, None, "is not for the event types"),
    ],
)
def test_what_nobody_can_judge_takes_a_yes(
    control: Control, given: dict[str, Any], rule: Any, test: Any, says: str
) -> None:
    """It is no refusal, and it is said."""
    control.rule, control.test = rule or control.rule, test or control.test
    refusals, unjudged = preconditions.look(settings(**given), TYPES)
    assert not refusals
    assert any(says in one for one in unjudged)

"""What `setup` asks of EventBridge, call by call, and what it refuses before it asks."""

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router.control.arns import Home, parse
from stream_router.control.setup import beside, rule_match, rules, setup, targets
from stream_router.control.setup.marks import Marks
from stream_router.control.setup.steps import Steps
from stream_router.control.setup.targets import Kind, kind_of
from stream_router.control.setup_error import SetupError
from tests.scripted import ACCOUNT, REGION, Script

HOME = Home("aws", REGION, ACCOUNT)
TYPES = ("interaction.created", "conversation.updated", "agent.status.changed")
PATTERN = rules.pattern_text(TYPES)
TARGET = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
DLQ = f"arn:aws:sqs:{REGION}:{ACCOUNT}:events-undelivered"
WANTED = {"Arn": TARGET, "RetryPolicy": rules.RETRY_POLICY, "DeadLetterConfig": {"Arn": DLQ}}
LAMBDA = kind_of(TARGET, None, REGION)
MARKS = Marks("events", {"team": "cx"})
TAGS = [{"Key": "stream-router-setup", "Value": "events"}, {"Key": "team", "Value": "cx"}]
OF_RULE = {"Rule": "r", "EventBusName": "default"}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def steps() -> Steps:
    return Steps(lambda _: None, apply=True)


def test_the_pattern_is_the_contracts() -> None:
    """Source, the types, and a prefix on the detail's own source."""
    assert json.loads(PATTERN) == {
        "source": ["nice.cxone.webhook"],
        "detail-type": list(TYPES),
        "detail": {"eventSource": [{"prefix": "cxone"}]},
    }


def test_a_pattern_that_eventbridge_cannot_take_is_refused_here() -> None:
    """4,096 characters is the model's maximum."""
    with pytest.raises(SetupError, match="STREAM_ROUTER_EVENT_TYPES"):
        rules.pattern_text([f"type.number.{n}" for n in range(400)])


def test_a_new_rule_is_enabled_with_our_pattern(script: Script, steps: Steps) -> None:
    """Made on the bus that was asked for."""
    at = {"Name": "r", "EventBusName": "cx"}
    script.refuse("events", "describe_rule", at, "ResourceNotFoundException")
    description = "CXone events, routed by stream_router"
    wanted = {**at, "EventPattern": PATTERN, "State": "ENABLED", "Description": description, "Tags": TAGS}
    script.expect("events", "put_rule", wanted, {"RuleArn": HOME.rule("cx", "r")})
    rules.ensure_rule(script.clients.events, "cx", "r", PATTERN, steps, MARKS)
    script.done()


def test_changing_a_rules_pattern_keeps_what_else_it_has(script: Script) -> None:
    """PutRule replaces everything: what is not sent again would be gone."""
    has = {
        "Name": "r",
        "EventPattern": '{"source":["x"]}',
        "State": "DISABLED",
        "Description": "mine",
        "RoleArn": "arn:r",
    }
    at = {"Name": "r", "EventBusName": "cx"}
    said: list[str] = []
    steps = Steps(said.append, apply=True)
    script.expect("events", "describe_rule", at, has)
    wanted = {**at, "EventPattern": PATTERN, "State": "DISABLED", "Description": "mine", "RoleArn": "arn:r"}
    script.expect("events", "put_rule", wanted, {"RuleArn": HOME.rule("cx", "r")})
    rules.ensure_rule(script.clients.events, "cx", "r", PATTERN, steps, MARKS)
    script.done()
    assert steps.problems == 1, "a disabled rule delivers nothing, and the operator must hear it"
    assert said[-1].endswith("aws events enable-rule --name r --event-bus-name cx")


def test_a_rule_of_another_name_that_gets_our_events_is_told(script: Script) -> None:
    """A setup that renames its rule leaves the old one there, and a target behind both gets each event twice."""
    every = [
        {"Name": "r", "EventPattern": PATTERN, "State": "ENABLED"},
        {"Name": "old", "EventPattern": PATTERN, "State": "ENABLED"},
        {"Name": "off", "EventPattern": PATTERN, "State": "DISABLED"},
        {"Name": "others", "EventPattern": '{"source":["aws.ec2"]}', "State": "ENABLED"},
        {"Name": "scheduled", "ScheduleExpression": "rate(1 day)", "State": "ENABLED"},
    ]
    script.expect("events", "list_rules", {"EventBusName": "cx"}, {"Rules": every})
    (line,) = beside.notes(script.clients.events, "cx", "r")
    assert line.startswith("rule old gets our events too;")
    assert line.endswith("aws events disable-rule --name old --event-bus-name cx")
    script.done()


def test_the_same_pattern_in_another_order_is_right(script: Script, steps: Steps) -> None:
    """Compared as data, not as text."""
    same = json.dumps(dict(reversed(json.loads(PATTERN).items())), indent=2)
    script.expect(
        "events", "describe_rule", {"Name": "r", "EventBusName": "default"}, {"EventPattern": same, "State": "ENABLED"}
    )
    rules.ensure_rule(script.clients.events, "default", "r", PATTERN, steps, MARKS)
    assert steps.changes == 0


def test_a_target_has_its_retry_policy_and_its_own_dead_letter_queue(script: Script, steps: Steps) -> None:
    """As the contract says: 3 attempts within an hour."""
    script.expect("events", "list_targets_by_rule", OF_RULE, {})
    target = {
        "Id": rules.target_id(TARGET),
        "Arn": TARGET,
        "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
        "DeadLetterConfig": {"Arn": DLQ},
    }
    script.expect(
        "events", "put_targets", {**OF_RULE, "Targets": [target]}, {"FailedEntryCount": 0, "FailedEntries": []}
    )
    rules.ensure_target(script.clients.events, "default", "r", WANTED, LAMBDA, steps)
    script.done()


def test_a_target_that_is_there_under_another_id_is_not_attached_twice(script: Script, steps: Steps) -> None:
    """Two targets with one ARN would deliver every event twice; its other fields stay."""
    there = {"Id": "theirs", "Arn": TARGET, "Input": "{}"}
    script.expect("events", "list_targets_by_rule", OF_RULE, {"Targets": [there]})
    script.expect(
        "events",
        "put_targets",
        {**OF_RULE, "Targets": [{**there, **WANTED}]},
        {"FailedEntryCount": 0, "FailedEntries": []},
    )
    rules.ensure_target(script.clients.events, "default", "r", WANTED, LAMBDA, steps)
    script.done()


@pytest.mark.parametrize("taken", ["stream-router", rules.target_id("arn:aws:sqs:eu-west-1:123456789012:first")])
def test_another_target_arn_is_attached_beside_the_first(script: Script, taken: str) -> None:
    """PutTargets replaces the target of the same id: what an earlier setup attached stays, and is told of."""
    said: list[str] = []
    first = {"Id": taken, "Arn": "arn:aws:sqs:eu-west-1:123456789012:first"}
    script.expect("events", "list_targets_by_rule", OF_RULE, {"Targets": [first, {"Id": "x", "Arn": "arn:theirs"}]})
    put = {**OF_RULE, "Targets": [{"Id": rules.target_id(TARGET), **WANTED}]}
    script.expect("events", "put_targets", put, {"FailedEntryCount": 0, "FailedEntries": []})
    rules.ensure_target(script.clients.events, "default", "r", WANTED, LAMBDA, Steps(said.append, apply=True))
    script.done()
    assert rules.target_id(TARGET) != taken
    notes = [line for line in said if line.startswith("  note: ")]
    assert len(notes) == 1
    assert first["Arn"] in notes[0]
    assert f"remove-targets --rule r --event-bus-name default --ids {taken}" in notes[0]


def test_a_target_id_is_one_that_eventbridge_takes() -> None:
    """At most 64 of its characters, however long the ARN; the same for the same ARN, another for another."""
    long = "arn:aws:lambda:eu-west-1:123456789012:function:" + "f" * 1500
    assert re.fullmatch(r"[.\-_A-Za-z0-9]{1,64}", rules.target_id(long))
    assert rules.target_id(long) == rules.target_id(long)
    assert rules.target_id(long) != rules.target_id(long + "g")


def test_a_target_that_is_right_is_left_alone(script: Script, steps: Steps) -> None:
    """No PutTargets at all."""
    script.expect("events", "list_targets_by_rule", OF_RULE, {"Targets": [{"Id": "x", **WANTED}]})
    rules.ensure_target(script.clients.events, "default", "r", WANTED, LAMBDA, steps)
    script.done()
    assert steps.changes == 0


def test_a_target_that_eventbridge_did_not_attach_is_an_error(script: Script, steps: Steps) -> None:
    """PutTargets answers 200 with the failures inside; the step is not shown as done."""
    script.expect("events", "list_targets_by_rule", OF_RULE, {})
    failed = {
        "TargetId": rules.target_id(TARGET),
        "ErrorCode": "ConcurrentModificationException",
        "ErrorMessage": "again",
    }
    script.expect(
        "events",
        "put_targets",
        {**OF_RULE, "Targets": [{"Id": rules.target_id(TARGET), **WANTED}]},
        {"FailedEntryCount": 1, "FailedEntries": [failed]},
    )
    with pytest.raises(SetupError, match="ConcurrentModificationException"):
        rules.ensure_target(script.clients.events, "default", "r", WANTED, LAMBDA, steps)
    assert steps.changes == 0


def test_http_parameters_on_a_lambda_are_refused(script: Script, steps: Steps) -> None:
    """They are for API Gateway and API destinations; AWS takes and ignores them elsewhere."""
    there = {"Id": "theirs", "Arn": TARGET, "HttpParameters": {"HeaderParameters": {"a": "b"}}}
    script.expect("events", "list_targets_by_rule", OF_RULE, {"Targets": [there]})
    with pytest.raises(SetupError, match="HttpParameters"):
        rules.ensure_target(script.clients.events, "default", "r", WANTED, LAMBDA, steps)


def test_a_bus_that_is_missing_is_made(script: Script, steps: Steps) -> None:
    """A custom bus by its name."""
    script.refuse("events", "describe_event_bus", {"Name": "cx"}, "ResourceNotFoundException")
    script.expect("events", "create_event_bus", {"Name": "cx", "Tags": TAGS}, {"EventBusArn": "arn"})
    rules.ensure_bus(script.clients.events, "cx", steps, MARKS)
    script.done()


def test_a_bus_that_gets_our_key_keeps_what_else_it_has(script: Script, steps: Steps) -> None:
    """UpdateEventBus says what the bus is to have: what is not sent again may be gone, its dead-letter queue first."""
    arn, key = HOME.bus("cx"), f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd"
    keeps = {"Description": "ours", "DeadLetterConfig": {"Arn": DLQ}, "LogConfig": {"Level": "ERROR"}}
    script.expect("events", "describe_event_bus", {"Name": "cx"}, {"Name": "cx", "Arn": arn, **keeps})
    script.expect("events", "list_tags_for_resource", {"ResourceARN": arn}, {"Tags": TAGS})
    script.expect("events", "update_event_bus", {"Name": "cx", "KmsKeyIdentifier": key, **keeps})
    rules.ensure_bus(script.clients.events, "cx", steps, MARKS._replace(key=key))
    script.done()


@pytest.mark.parametrize(
    ("arn", "problem"),
    [
        ("not-an-arn", "no ARN"),
        ("arn:aws:dynamodb:eu-west-1:123456789012:table/t", "no target"),
        ("arn:aws:sqs:eu-west-1:123456789012:q.fifo", "FIFO"),
        ("arn:aws:sqs:us-east-1:123456789012:q", "may be elsewhere"),
        ("arn:aws:states:eu-west-1:123456789012:stateMachine:s", "STREAM_ROUTER_TARGET_ROLE_ARN"),
        ("arn:aws:events:eu-west-1:123456789012:api-destination/a/1", "STREAM_ROUTER_TARGET_ROLE_ARN"),
    ],
)
def test_what_cannot_be_a_target_is_refused_with_the_cure(arn: str, problem: str) -> None:
    """Before AWS is asked for anything."""
    with pytest.raises(SetupError, match=problem):
        kind_of(arn, None, REGION)


@pytest.mark.parametrize(
    ("target", "account", "used"),
    [
        ("sqs:{}:q", ACCOUNT, False),
        ("lambda:{}:function:f", ACCOUNT, False),
        ("sns:{}:t", ACCOUNT, False),
        ("logs:{}:log-group:/g", ACCOUNT, False),
        ("sqs:{}:q", "999999999999", True),
        ("states:{}:stateMachine:s", ACCOUNT, True),
        ("events:{}:event-bus/b", ACCOUNT, True),
    ],
)
def test_a_role_is_given_only_to_a_target_that_is_reached_by_one(target: str, account: str, used: bool) -> None:
    """Beside a policy of the target's own AWS advises against it: a delivery to a queue under a key may fail for it."""
    arn = "arn:aws:" + target.format(f"{REGION}:{account}")
    assert targets.role_of(arn, "arn:role", REGION, HOME.rule("default", "r")) == ("arn:role" if used else None)


@pytest.mark.parametrize("target", ["states:{}:stateMachine:s", "sns:{}:topic"])
def test_a_target_that_takes_less_than_the_bus_is_told_with_the_cure(target: str) -> None:
    """Else events between the two limits end one by one in the target's dead-letter queue, and nobody knows why."""
    arn = f"arn:aws:{target.format(f'{REGION}:{ACCOUNT}')}"
    (line,) = targets.permission(kind_of(arn, "arn:role", REGION), arn, HOME.rule("default", "r"))
    assert "262,144 bytes" in line
    assert "these end in the target's dead-letter queue" in line


def test_a_function_is_told_to_keep_what_its_code_fails() -> None:
    """EventBridge has delivered once Lambda has the event, so the target's dead-letter queue never sees it."""
    lines = targets.permission(LAMBDA, TARGET, HOME.rule("default", "r"))
    assert any("on-failure destination" in line for line in lines)


def test_only_apis_take_http_parameters() -> None:
    """API Gateway and API destinations."""
    api = kind_of("arn:aws:execute-api:eu-west-1:123456789012:abc/prod/POST/x", "arn:role", REGION)
    assert api.http
    assert isinstance(LAMBDA, Kind)
    assert not LAMBDA.http


def test_the_arn_of_a_rule_on_the_default_bus_has_no_bus_in_it() -> None:
    """So the queue policy's condition names exactly the rule that EventBridge will name."""
    assert HOME.rule("default", "r").endswith(":rule/r")
    assert HOME.rule("cx", "r").endswith(":rule/cx/r")
    assert HOME.rule("arn:aws:events:eu-west-1:999999999999:event-bus/default", "r").endswith(":999999999999:rule/r")
    assert HOME.owns(parse(DLQ, "STREAM_ROUTER_TARGET_DLQ_ARN"))


def _matching(event: dict[str, Any]) -> bool:
    """An independent reading of the contract's rule."""
    return (
        event["source"] == "nice.cxone.webhook"
        and event["detail-type"] in TYPES
        and event["detail"]["eventSource"].startswith("cxone")
    )


def test_the_proof_asks_about_a_real_event_of_each_type(script: Script) -> None:
    """With every field that TestEventPattern wants, made by the pipeline's own transform."""
    asked: list[dict[str, Any]] = []

    def test_event_pattern(**call: Any) -> dict[str, bool]:
        asked.append(json.loads(call["Event"]))
        return {"Result": call["EventPattern"] == PATTERN and _matching(asked[-1])}

    script.clients.events.test_event_pattern = test_event_pattern  # type: ignore[method-assign,assignment]
    assert rule_match.prove(script.clients, HOME, "default", PATTERN, TYPES, may_send=False) == "TestEventPattern"
    assert [event["detail-type"] for event in asked] == list(TYPES)
    needed = {"id", "account", "source", "time", "region", "resources", "detail-type", "detail"}
    assert all(needed <= event.keys() for event in asked)


def test_a_rule_that_would_not_match_our_events_is_never_written(script: Script, steps: Steps) -> None:
    """What the script that this replaces did: it wrote a rule that none of its own events could match."""
    script.expect("events", "describe_event_bus", {"Name": "default"}, {"Name": "default"})
    written: list[dict[str, Any]] = []
    events: Any = script.clients.events
    events.test_event_pattern = lambda **call: {"Result": json.loads(call["Event"])["detail-type"] != TYPES[1]}
    events.put_rule = lambda **call: written.append(call)
    settings: Any = SimpleNamespace(
        event_bus="default", rule="r", event_type_list=TYPES, target_arn=None, target_role_arn=None, target_dlq_arn=None
    )
    with pytest.raises(SetupError, match=f"would not match our own event of type {TYPES[1]}"):
        setup._ensure_routing(settings, script.clients, HOME, steps, MARKS)
    assert not written
    script.done()


def test_an_emulator_that_says_nothing_proves_nothing(script: Script) -> None:
    """moto answers TestEventPattern with an empty 200: that is no yes, and no crash."""
    script.clients.events.test_event_pattern = lambda **_: {}  # type: ignore[method-assign,assignment]
    with pytest.raises(rule_match.NothingProvedError):
        rule_match.prove(script.clients, HOME, "default", PATTERN, TYPES, may_send=False)


def test_a_proof_that_is_refused_takes_its_queue_away_and_says_why(script: Script) -> None:
    """Without a rule there is none to delete: a second refusal would hide the first, and leave the queue."""
    script.clients.events.test_event_pattern = lambda **_: {}  # type: ignore[method-assign,assignment]
    refuse = ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutRule")
    deleted: list[str] = []

    def put_rule(**_: Any) -> None:
        raise refuse

    def remove_targets(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "RemoveTargets")

    events, sqs = script.clients.events, script.clients.sqs
    events.put_rule = put_rule  # type: ignore[method-assign,assignment]
    events.remove_targets = remove_targets  # type: ignore[method-assign,assignment]
    sqs.create_queue = lambda **_: {"QueueUrl": "url"}  # type: ignore[method-assign,assignment]
    sqs.delete_queue = lambda **asked: deleted.append(asked["QueueUrl"])  # type: ignore[method-assign,assignment]
    with pytest.raises(ClientError, match="PutRule"):
        rule_match.prove(script.clients, HOME, "default", PATTERN, TYPES, may_send=True)
    assert deleted == ["url"]

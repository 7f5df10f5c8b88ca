"""`setup --policy`: what each policy grants, and that an independent linter finds nothing in it.

That it is what the programs do, and no more, is shown by tests/system/test_policy.py; what each grants by default, and
with a key, a bucket and secrets, by docs/policies and the template's roles (tests/unit/test_docs.py).
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stream_router.operate import policy as command
from stream_router.operate.arns import Home
from tests.environment import set_environment

pytestmark = pytest.mark.usefixtures("empty_environment")

ROOT = Path(__file__).parents[2]
EVENTS, SSM = "arn:aws:events:eu-central-1", "arn:aws:ssm:eu-central-1"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
BASE = {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
FULL = {
    **BASE,
    "STREAM_ROUTER_EVENT_BUS": "cx",
    "STREAM_ROUTER_KMS_KEY": KEY,
    "STREAM_ROUTER_TAGS": "team=cx",
    "STREAM_ROUTER_OFFLOAD_BUCKET": "claims",
    "EVENTBRIDGE_TARGET_ARN": "arn:aws:states:eu-central-1:123456789012:stateMachine:s",
    "EVENTBRIDGE_TARGET_FILE": str(ROOT / "tests" / "data" / "target.json"),
    "STREAM_ROUTER_TARGET_DLQ_ARN": "arn:aws:sqs:eu-central-1:123456789012:theirs",
    "STREAM_ROUTER_WEBHOOK_SCHEME": "bearer",
    "STREAM_ROUTER_WEBHOOK_SECRETS": f"secretsmanager:{SECRET}:cx-AbCdEf",
}
V2 = {**BASE, "STREAM_ROUTER_EVENT_BUS": f"{EVENTS}:123456789012:event-busv2/b"}
THEIR_BUS = f"{EVENTS}:999999999999:event-bus/cx"
NO_RESOURCE = {
    *("kinesis:UpdateShardCount", "events:ListRules", "events:TestEventPattern", "servicequotas:GetServiceQuota"),
    *("cloudwatch:PutMetricData", "events:ListSubscribers", "cloudwatch:GetMetricStatistics"),
}
"""Actions of which the service authorisation reference names no resource type."""


def statements(monkeypatch: pytest.MonkeyPatch, name: str, settings: dict[str, str]) -> list[dict[str, Any]]:
    set_environment(monkeypatch, settings)
    statement: list[dict[str, Any]] = command.build_policy(name, Home("aws", "eu-central-1", "123456789012"))[
        "Statement"
    ]
    return statement


def granted(created: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Every action with each of its resources."""
    result = set()
    for statement in created:
        resources = statement["Resource"]
        for resource in resources if isinstance(resources, list) else [resources]:
            result |= {(action, resource) for action in statement["Action"]}
    return result


@pytest.mark.parametrize("settings", [FULL, V2], ids=["everything", "v2"])
def test_the_linter_finds_nothing(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    """Every action exists and takes the resource that it stands with; a star stands only where AWS knows none."""
    every = [statement for name in command.NAMES for statement in statements(monkeypatch, name, settings)]
    assert {action for action, resource in granted(every) if resource == "*"} <= NO_RESOURCE
    known = [statement for statement in every if not statement["Action"][0].endswith(("Subscriber", "Subscribers"))]
    body = json.dumps(
        {"Version": "2012-10-17", "Statement": [{**item, "Sid": f"s{n}"} for n, item in enumerate(known)]}
    )
    linter = [sys.executable, "-m", "tests.policy_linter"]  # its list is too old to know a v2 bus
    body = body.replace("event-busv2/", "event-bus/")
    assert not subprocess.run(linter, input=body, capture_output=True, text=True, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize(
    ("reference", "action", "resource"),
    [
        ("ssm:/cx/secret", "ssm:GetParameter", f"{SSM}:123456789012:parameter/cx/secret"),
        ("ssm:/cx/secret:3", "ssm:GetParameter", f"{SSM}:123456789012:parameter/cx/secret"),
        ("ssm:secret:live", "ssm:GetParameter", f"{SSM}:123456789012:parameter/secret"),
        (f"ssm:{SSM}:210987654321:parameter/shared:3", "ssm:GetParameter", f"{SSM}:210987654321:parameter/shared"),
        ("secretsmanager:cx", "secretsmanager:GetSecretValue", f"{SECRET}:cx-??????"),
    ],
)
def test_a_secret_in_aws_is_named(monkeypatch: pytest.MonkeyPatch, reference: str, action: str, resource: str) -> None:
    """By the setting's own form, whichever it is; a parameter's version or label is not part of its ARN."""
    settings = {**BASE, "STREAM_ROUTER_WEBHOOK_SECRETS": reference}
    assert (action, resource) in granted(statements(monkeypatch, "receive", settings))


def test_a_consumer_is_granted_what_its_settings_ask_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No rule of ours, no look at it; a trusted bus is not described; fan-out has its own calls."""
    properties = tmp_path / "kcl.properties"
    properties.write_text("retrievalMode = FANOUT\nmetricsLevel = NONE\n")
    narrow = {"RULE": "none", "BUS_PROOF": "trust", "PROPERTIES": str(properties)}
    settings = {f"STREAM_ROUTER_{name}": item for name, item in narrow.items()}
    result = statements(monkeypatch, "consume", {**BASE, **settings})
    actions = {action for action, _ in granted(result)}
    assert {action for action in actions if action.startswith("events:")} == {"events:PutEvents"}
    assert {"kinesis:SubscribeToShard", "kinesis:RegisterStreamConsumer"} <= actions
    (condition,) = [statement["Condition"] for statement in result if "Condition" in statement]
    assert condition == {"StringEquals": {"cloudwatch:namespace": "CXoneEventRouter"}}


def test_setup_may_pass_one_role_and_that_to_eventbridge_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the target."""
    (role,) = [
        statement for statement in statements(monkeypatch, "setup", FULL) if statement["Action"] == ["iam:PassRole"]
    ]
    assert role["Resource"] == "arn:aws:iam::123456789012:role/to-states"
    assert role["Condition"] == {"StringEquals": {"iam:PassedToService": "events.amazonaws.com"}}


@pytest.mark.parametrize("name", command.NAMES)
def test_of_another_account_s_bus_only_bus_and_rules_are_there(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A rule belongs to the account of its bus; stream, table and queues are in ours."""
    result = granted(statements(monkeypatch, name, {**BASE, "STREAM_ROUTER_EVENT_BUS": THEIR_BUS}))
    theirs = {resource for _, resource in result if ":999999999999:" in resource}
    assert theirs == {item for _, item in result if item.startswith("arn:aws:events:")}
    assert name == "receive" or THEIR_BUS in theirs
    assert all(their.startswith(f"{EVENTS}:999999999999:rule/cx/") for their in theirs - {THEIR_BUS})


def test_a_receiver_with_a_spill_queue_may_use_it_and_send_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no other queue; a receiver without it may use none."""
    queue = "https://sqs.us-east-1.amazonaws.com/123456789012"
    settings = {**BASE, "STREAM_ROUTER_SPILL_QUEUE": f"{queue}/spill", "SQS_DLQ_URL": f"{queue}/dead"}
    result = granted(statements(monkeypatch, "receive", settings))
    queues = {(action, resource.rsplit(":", 1)[-1]) for action, resource in result if action.startswith("sqs:")}
    uses = ("ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage", "SendMessage")
    assert queues == {*((f"sqs:{name}", "spill") for name in uses), ("sqs:SendMessage", "dead")}
    monkeypatch.delenv("STREAM_ROUTER_SPILL_QUEUE")
    assert not any(action.startswith("sqs:") for action, _ in granted(statements(monkeypatch, "receive", BASE)))

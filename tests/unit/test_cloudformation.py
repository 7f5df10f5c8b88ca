"""deploy/cloudformation: the rights that the code asks for, settings that there are, what `setup` would make."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from stream_router import limits
from stream_router.operate import resources
from stream_router.operate.arns import Home
from stream_router.operate.policy import document
from stream_router.receiver import auth
from stream_router.receiver.connection import IDLE_S
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load, names
from stream_router.settings.receiver import Receiver, Signature
from stream_router.settings.types import Scheme

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/cloudformation/stream-router.yaml"
TEMPLATE: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
RESOURCES = TEMPLATE["Resources"]
SECRET = "arn:aws:secretsmanager:eu-west-1:210987654321:secret:webhook-AbCdEf"
TARGET = "arn:aws:lambda:eu-west-1:210987654321:function:take"
KEY = "arn:aws:kms:eu-west-1:210987654321:key/1234abcd-12ab-34cd-56ef-1234567890ab"
GIVEN = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "210987654321",
    "AWS::StackName": "ours",
    "Stream": "calls",
    "Application": "router",
    "EventBus": "telephony",
    "Rule": "all",
    "WebhookSecretArn": SECRET,
    "TargetArn": TARGET,
    "KmsKeyArn": KEY,
    "OffloadBucket": "large-events",
}
OPTIONAL = {"HasKey": ("STREAM_ROUTER_KMS_KEY", KEY), "HasBucket": ("STREAM_ROUTER_OFFLOAD_BUCKET", "large-events")}
"""A condition of the template, and the setting that says the same."""
NOTHING = object()
SAME_AS_SETTINGS = {
    "AWS_REGION": GIVEN["AWS::Region"],
    "STREAM_ROUTER_STREAM": GIVEN["Stream"],
    "STREAM_ROUTER_APPLICATION": GIVEN["Application"],
    "STREAM_ROUTER_EVENT_BUS": GIVEN["EventBus"],
    "STREAM_ROUTER_RULE": GIVEN["Rule"],
    "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
    "STREAM_ROUTER_WEBHOOK_SECRETS": f"secretsmanager:{SECRET}",
    "EVENTBRIDGE_TARGET_ARN": TARGET,
}


def resolved(value: Any, conditions: set[str]) -> Any:
    """The value with the given parameters in it, as CloudFormation would have it where these conditions are true."""
    if value == {"Ref": "AWS::NoValue"}:
        return NOTHING
    if isinstance(value, dict) and list(value) == ["Fn::If"]:
        condition, then, otherwise = value["Fn::If"]
        return resolved(then if condition in conditions else otherwise, conditions)
    if isinstance(value, dict) and list(value) == ["Fn::Sub"]:
        return re.sub(r"\$\{([^}]+)\}", lambda found: GIVEN[found[1]], value["Fn::Sub"])
    if isinstance(value, dict):
        made = {key: resolved(inner, conditions) for key, inner in value.items()}
        return {key: inner for key, inner in made.items() if inner is not NOTHING}
    if isinstance(value, list):
        return [inner for inner in (resolved(one, conditions) for one in value) if inner is not NOTHING]
    return value


def variables(task: str, conditions: set[str] | None = None) -> dict[str, Any]:
    (container,) = RESOURCES[task]["Properties"]["ContainerDefinitions"]
    true = {"SignsByHmac"} if conditions is None else conditions
    return {entry["Name"]: entry["Value"] for entry in resolved(container["Environment"], true)}


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("receive", RESOURCES["ReceiverRole"]["Properties"]["Policies"][0]),
        ("consume", RESOURCES["ConsumerRole"]["Properties"]["Policies"][0]),
        ("operate", RESOURCES["OperatorPolicy"]["Properties"]),
    ],
    ids=["receive", "consume", "operate"],
)
@pytest.mark.parametrize("true", [(), ("HasKey",), ("HasBucket",), ("HasKey", "HasBucket")], ids=" ".join)
def test_a_role_has_exactly_the_statements_of_setup_policy(
    name: str, policy: dict[str, Any], true: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word what the command prints for the same names. Write them anew with `make docs`."""
    for variable in [key for key in os.environ if key.startswith(("AWS_", "STREAM_ROUTER_", "SQS_", "EVENTBRIDGE_"))]:
        monkeypatch.delenv(variable)
    for variable, value in [*SAME_AS_SETTINGS.items(), *(OPTIONAL[condition] for condition in true)]:
        monkeypatch.setenv(variable, value)
    home = Home("aws", GIVEN["AWS::Region"], GIVEN["AWS::AccountId"])
    assert resolved(policy["PolicyDocument"], set(true)) == document(name, home)


def test_roles_have_nothing_besides() -> None:
    """One policy each, and none that AWS manages but for the execution role, which pulls the image and writes logs."""
    for role in ("ReceiverRole", "ConsumerRole"):
        assert len(RESOURCES[role]["Properties"]["Policies"]) == 1
        assert "ManagedPolicyArns" not in RESOURCES[role]["Properties"]
    assert "Policies" not in RESOURCES["ExecutionRole"]["Properties"]


@pytest.mark.parametrize("task", ["ReceiverTask", "ConsumerTask"])
def test_a_task_is_run_as_the_image_wants_it(task: str) -> None:
    """Read-only but for the state, no capability, an init that reaps, its own check, time to drain, known settings."""
    (container,) = RESOURCES[task]["Properties"]["ContainerDefinitions"]
    assert container["ReadonlyRootFilesystem"] is True
    assert container["LinuxParameters"] == {"InitProcessEnabled": True, "Capabilities": {"Drop": ["ALL"]}}
    program = {"ReceiverTask": "receive", "ConsumerTask": "consume"}[task]
    assert container["HealthCheck"]["Command"] == ["CMD", "stream-router", "health", program]
    assert [point["ContainerPath"] for point in container["MountPoints"]] == ["/var/lib/stream-router"]
    delay_s = float(variables(task).get("STREAM_ROUTER_DRAIN_DELAY_S", "0"))
    assert 120 >= container["StopTimeout"] >= delay_s + 20 + 10, "Fargate waits 120 s at most; a drain takes 20 s"
    given = {name for name in variables(task) if not name.startswith("AWS_")}
    assert given <= names() | {"SQS_DLQ_URL"}


def test_the_balancer_gives_up_an_idle_connection_before_the_receiver_does() -> None:
    """Else a request could meet a connection that is just being closed, and would be answered 502."""
    attributes = {a["Key"]: a["Value"] for a in RESOURCES["Balancer"]["Properties"]["LoadBalancerAttributes"]}
    assert float(attributes["idle_timeout.timeout_seconds"]) < IDLE_S


def test_an_outage_of_the_stream_replaces_no_receiver() -> None:
    """ECS stops a task that its balancer calls unhealthy, and `/readyz` is 503 while the stream takes nothing."""
    assert RESOURCES["Receivers"]["Properties"]["HealthCheckPath"] == "/healthz"


def test_what_holds_events_is_as_setup_makes_it_and_stays() -> None:
    """The same retention, size, pattern and retries; deleted with the stack is none of it."""
    parameters = TEMPLATE["Parameters"]
    assert parameters["RetentionHours"]["Default"] == resources.RETENTION_HOURS
    for name in ("DeadLetterQueue", "UndeliveredQueue"):
        made = RESOURCES[name]["Properties"]
        assert made["MessageRetentionPeriod"] == resources.QUEUE_RETENTION_S
        assert made["MaximumMessageSize"] == limits.SQS_MESSAGE_BYTES
        assert resolved(made, set())["SqsManagedSseEnabled"] is True
    types = parameters["EventTypes"]["Default"].split(",")
    pattern = RESOURCES["EventRule"]["Properties"]["EventPattern"]
    assert pattern == {**resources.pattern(types), "detail-type": {"Ref": "EventTypes"}}
    (target,) = RESOURCES["EventRule"]["Properties"]["Targets"]
    assert "RetryPolicy" not in target, "AWS's own tries 185 times in 24 hours"
    for name in ("EventStream", "DeadLetterQueue", "UndeliveredQueue", "Bucket"):
        # A first deployment that fails is rolled back: what it leaves would stand in the second one's way, empty.
        assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


def test_a_consumer_is_started_once_its_bucket_is_there() -> None:
    """One that finds no bucket ends with 78, and three of those roll the deployment back."""
    assert variables("ConsumerTask", {"MakesBucket"})["STREAM_ROUTER_OFFLOAD_BUCKET"] == {"Ref": "Bucket"}
    assert variables("ConsumerTask", set())["STREAM_ROUTER_OFFLOAD_BUCKET"] == {"Ref": "OffloadBucket"}


@pytest.mark.parametrize(
    ("name", "bad"), [("Stream", "calls.eu"), ("Stream", "s" * 68), ("Application", "ab"), ("Rule", "r" * 65)]
)
def test_a_name_that_would_fail_minutes_later_is_refused_at_once(name: str, bad: str) -> None:
    """The queues are called after the stream, and a queue's name takes no dot; the rest is what the settings take."""
    parameter = TEMPLATE["Parameters"][name]
    assert re.fullmatch(parameter["AllowedPattern"], parameter["Default"])
    assert not re.fullmatch(parameter["AllowedPattern"], bad)


def test_a_key_of_yours_encrypts_all_that_setup_would_encrypt_with_it() -> None:
    """Stream, both queues, bus, and the bucket; without one AWS's own keys do, and no queue has both kinds."""
    own, none = (
        {name: resolved(made.get("Properties"), true) for name, made in RESOURCES.items()}
        for true in ({"HasKey"}, set[str]())
    )
    key = {"Ref": "KmsKeyArn"}
    assert own["EventStream"]["StreamEncryption"] == {"EncryptionType": "KMS", "KeyId": key}
    assert none["EventStream"]["StreamEncryption"]["KeyId"] == resources.AWS_KINESIS_KEY
    assert own["Bus"]["KmsKeyIdentifier"] == key
    assert "KmsKeyIdentifier" not in none["Bus"]
    for name in ("DeadLetterQueue", "UndeliveredQueue"):
        assert own[name]["KmsMasterKeyId"] == key
        assert "SqsManagedSseEnabled" not in own[name]
        assert "KmsMasterKeyId" not in none[name]
    (of_bucket,) = own["Bucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert of_bucket["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    assert RESOURCES["Bucket"]["Condition"] == "MakesBucket"


def test_the_schemes_on_offer_are_the_receivers() -> None:
    """All but `none`, which is for loopback only."""
    assert {*TEMPLATE["Parameters"]["WebhookScheme"]["AllowedValues"], "none"} == set(get_args(Scheme))


@pytest.mark.parametrize("scheme", TEMPLATE["Parameters"]["WebhookScheme"]["AllowedValues"])
def test_a_receiver_starts_with_each_scheme_on_offer(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the parameters that have defaults left alone, the receiver takes what its task sets for this scheme."""
    for variable in [key for key in os.environ if key.startswith(("AWS_", "STREAM_ROUTER_", "SQS_", "EVENTBRIDGE_"))]:
        monkeypatch.delenv(variable)
    defaults = {name: made["Default"] for name, made in TEMPLATE["Parameters"].items() if "Default" in made}
    given = {**defaults, "WebhookScheme": scheme, "AWS::Region": GIVEN["AWS::Region"], "EventStream": "calls"}
    for name, value in variables("ReceiverTask", {"SignsByHmac"} if scheme == "hmac" else set()).items():
        monkeypatch.setenv(name, str(given[value["Ref"]] if isinstance(value, dict) else value))
    secret = {"standard-webhooks": f"whsec_{'A' * 32}", "basic": "user:a password of some length"}
    monkeypatch.setenv("STREAM_ROUTER_WEBHOOK_SECRETS", secret.get(scheme, "a secret of some length"))
    assert TEMPLATE["Conditions"]["SignsByHmac"] == {"Fn::Equals": [{"Ref": "WebhookScheme"}, "hmac"]}
    assert auth.make(load(Receiver))


@pytest.mark.parametrize(
    ("parameter", "field"), [("Masking", "masking"), ("Ordering", "ordering"), ("Unroutable", "unroutable")]
)
def test_what_becomes_of_an_event_can_be_chosen(parameter: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masking, order and types of no rule: the product's defaults, and each choice that the consumer has."""
    for variable in [key for key in os.environ if key.startswith(("AWS_", "STREAM_ROUTER_", "SQS_", "EVENTBRIDGE_"))]:
        monkeypatch.delenv(variable)
    made = TEMPLATE["Parameters"][parameter]
    defaults = {name: one["Default"] for name, one in TEMPLATE["Parameters"].items() if "Default" in one}
    of_the_stack = {"AWS::Region": GIVEN["AWS::Region"], "EventStream": "calls", "Bus": "telephony"}
    of_the_stack["DeadLetterQueue"] = "https://sqs.eu-west-1.amazonaws.com/210987654321/calls-dead-letters"
    product = Consumer.model_fields[field].default
    assert made["Default"] == product
    for choice in made.get("AllowedValues", ["off", "default", "strict"]):
        assert re.fullmatch(made.get("AllowedPattern", ".*"), choice)
        given = {**defaults, **of_the_stack, parameter: choice}
        for name, value in variables("ConsumerTask", set()).items():
            monkeypatch.setenv(name, str(given[value["Ref"]] if isinstance(value, dict) and "Ref" in value else value))
        monkeypatch.setenv("STREAM_ROUTER_EVENT_TYPES", defaults["EventTypes"])
        assert getattr(load(Consumer), field) == choice
    if "AllowedValues" in made:
        assert set(made["AllowedValues"]) == set(get_args(Consumer.model_fields[field].annotation))


def test_a_sender_may_sign_in_each_way_that_the_receiver_knows() -> None:
    """Each setting of scheme `hmac` has a parameter; one that is left empty is none to the receiver."""
    names = {f"STREAM_ROUTER_{name.upper()}" for name in Signature.model_fields if name.startswith("hmac_")}
    assert names <= variables("ReceiverTask").keys()
    assert not names & variables("ReceiverTask", set()).keys()


def test_its_parameters_fit_the_nested_template() -> None:
    """Alarms and dashboard come from deploy/observability, with parameters that are there."""
    nested = RESOURCES["Observability"]["Properties"]
    file = (FILE.parent / nested["TemplateURL"]).resolve()
    assert set(nested["Parameters"]) <= set(yaml.safe_load(file.read_text("utf-8"))["Parameters"])


def test_the_alarms_on_headroom_go_with_the_stream_s_retention() -> None:
    """Of a stream that keeps 24 hours those of 168 would never be quiet: another retention needs other thresholds."""
    parameters, rule = TEMPLATE["Parameters"], TEMPLATE["Rules"]["Headroom"]
    given = RESOURCES["Observability"]["Properties"]["Parameters"]
    kept = parameters["RetentionHours"]["Default"]
    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "RetentionHours"}, str(kept)]}]}
    asserted = []
    for name, an_hour in (("HeadroomWarningSeconds", 2700), ("HeadroomCriticalSeconds", 900)):
        assert parameters[name]["Default"] == an_hour * kept
        assert given[name] == {"Ref": name}
        asserted.append({"Fn::Not": [{"Fn::Equals": [{"Ref": name}, str(an_hour * kept)]}]})
    assert [one["Assert"] for one in rule["Assertions"]] == asserted


def test_both_programs_report_under_the_application_that_the_alarms_ask_for() -> None:
    """Else the alarms of a stack with an application of its own would hear nothing of its receivers."""
    nested = RESOURCES["Observability"]["Properties"]["Parameters"]["Application"]
    for task in ("ReceiverTask", "ConsumerTask"):
        assert variables(task).get("STREAM_ROUTER_APPLICATION") == nested


def test_a_stack_without_receivers_has_no_alarm_on_none() -> None:
    """Where others alone write into its stream the alarm would never be quiet."""
    told = RESOURCES["Observability"]["Properties"]["Parameters"]["Receiver"]
    assert told == {"Fn::If": ["HasReceivers", "yes", "no"]}
    assert TEMPLATE["Conditions"]["HasReceivers"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "ReceiverCount"}, "0"]}]}


def test_buckets_are_enough_for_the_shards() -> None:
    """At least 4 for each shard, by the defaults, and for the 4 shards with which an on-demand stream begins."""
    parameters = TEMPLATE["Parameters"]
    assert parameters["Buckets"]["Default"] >= 4 * max(parameters["Shards"]["Default"], 4)


@pytest.mark.skipif(shutil.which("cfn-lint") is None, reason="cfn-lint is not installed")
def test_cfn_lint_finds_nothing() -> None:
    """By the linter's own list of resources and their properties."""
    done = subprocess.run(["cfn-lint", FILE.name], cwd=FILE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_linter_is_asked_by_deploy_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make deploy-check` hands it this file, and the Containerfile to hadolint."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    sys.modules.pop("deploy_check", None)
    import deploy_check

    asked = {(check.command[0], str(check.folder / check.command[-1])) for check in deploy_check.CHECKS}
    assert {("cfn-lint", str(FILE)), ("hadolint", str(ROOT / "deploy" / "Containerfile"))} <= asked

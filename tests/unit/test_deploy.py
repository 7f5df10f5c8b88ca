"""deploy/ held against the code: what template, chart, units and image set, keep, and wait for.

What the linters say of these files: `make deploy-check`. What the roles may do: tests/unit/test_docs.py.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from stream_router.consumer.supervisor import properties
from stream_router.consumer.supervisor.supervisor import KILL_MARGIN_S
from stream_router.operate import arns, resources
from stream_router.receiver import auth
from stream_router.receiver.__main__ import STOPPED_WITHIN_S
from stream_router.receiver.connection import IDLE_S
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load, setting_names
from stream_router.settings.receiver import Receiver, Signature
from stream_router.settings.types import Scheme
from tests.environment import QUEUE, set_environment

pytestmark = pytest.mark.usefixtures("empty_environment")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KILLED_AFTER_S = 30
"""A drain takes 20 s at most; ten seconds more before a platform kills."""
SECRET = "a secret of some length"

# --- the CloudFormation template

TEMPLATE: dict[str, Any] = yaml.safe_load((DEPLOY / "cloudformation/stream-router.yaml").read_text("utf-8"))
PARAMETERS, RESOURCES = TEMPLATE["Parameters"], TEMPLATE["Resources"]
PROPERTIES = {name: item.get("Properties", {}) for name, item in RESOURCES.items()}
NO_VALUE = {"Ref": "AWS::NoValue"}


def resolved(value: Any, conditions: tuple[str, ...], standing: dict[str, str]) -> Any:
    match value:
        case {"Fn::If": [condition, then, otherwise]}:
            return resolved(then if condition in conditions else otherwise, conditions, standing)
        case {"Ref": name} | {"Fn::Join": [_, {"Ref": name}]}:
            return standing.get(name, name)
    return value


def of_task(task: str, *conditions: str, **chosen: str) -> dict[str, str]:
    """The environment of a task where these conditions are true and the other parameters stand at their defaults."""
    standing = {name: str(result.get("Default", "")) for name, result in PARAMETERS.items()} | chosen
    standing |= {"AWS::Region": "us-east-1", "DeadLetterQueue": QUEUE, "AWS::NoValue": ""}
    (container,) = PROPERTIES[task]["ContainerDefinitions"]
    variables = [created for item in container["Environment"] if (created := resolved(item, conditions, standing))]
    return {variable["Name"]: resolved(variable["Value"], conditions, standing) for variable in variables}


@pytest.mark.parametrize("scheme", sorted({*get_args(Scheme)} - {"none"}))
def test_a_receiver_starts_with_each_scheme_and_all_that_hmac_can_be_told(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every scheme but `none`, which is for loopback; a parameter that is left empty is not a setting."""
    environment = of_task("ReceiverTask", "SignsByHmac" if scheme == "hmac" else "", WebhookScheme=scheme)
    secret = {"standard-webhooks": f"whsec_{'A' * 32}", "basic": f"user:{SECRET}"}.get(scheme, SECRET)
    set_environment(monkeypatch, environment | {"STREAM_ROUTER_WEBHOOK_SECRETS": secret})
    assert auth.make_check(load(Receiver))
    of_hmac = {f"STREAM_ROUTER_{name.upper()}" for name in Signature.model_fields if name.startswith("hmac_")}
    assert of_hmac & environment.keys() == (of_hmac if scheme == "hmac" else set())


def test_what_holds_events_is_as_setup_makes_it_encrypted_and_stays() -> None:
    """The same retention; a key of yours on all of it; the stack's end deletes none of it."""
    key = {"Ref": "KmsKeyArn"}
    assert PROPERTIES["EventStream"]["StreamEncryption"]["KeyId"] == {
        "Fn::If": ["HasKey", key, resources.AWS_KINESIS_KEY]
    }
    assert PARAMETERS["RetentionHours"]["Default"] == resources.RETENTION_HOURS
    assert PROPERTIES["Bus"]["KmsKeyIdentifier"] == {"Fn::If": ["HasKey", key, NO_VALUE]}
    for name in ("DeadLetterQueue", "UndeliveredQueue"):
        queue = PROPERTIES[name]
        assert queue["MessageRetentionPeriod"] == resources.QUEUE_RETENTION_S
        assert queue["KmsMasterKeyId"] == {"Fn::If": ["HasKey", key, NO_VALUE]}
        assert queue["SqsManagedSseEnabled"] == {"Fn::If": ["HasKey", NO_VALUE, True]}
    assert "RetryPolicy" not in PROPERTIES["EventRule"]["Targets"][0], "AWS's own tries 185 times in 24 hours"
    (allowed,) = PROPERTIES["UndeliveredQueuePolicy"]["PolicyDocument"]["Statement"]
    assert (allowed["Principal"], allowed["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    for name in ("EventStream", "DeadLetterQueue", "UndeliveredQueue", "BusUndeliveredQueue", "SpillQueue", "Bucket"):
        # A first deployment that fails is rolled back: what it leaves would stand in the second one's way, empty.
        assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


def test_a_bus_under_a_key_of_yours_has_a_dead_letter_queue_that_needs_no_such_key() -> None:
    """As `setup` makes it, open to this bus. Under the bus's key the queue could take nothing that the key failed."""
    has = PROPERTIES["Bus"]["DeadLetterConfig"]
    assert has == {"Fn::If": ["HasKey", {"Arn": {"Fn::GetAtt": ["BusUndeliveredQueue", "Arn"]}}, NO_VALUE]}
    queue = PROPERTIES["BusUndeliveredQueue"]
    assert (queue["SqsManagedSseEnabled"], "KmsMasterKeyId" in queue) == (True, False)
    assert queue["MessageRetentionPeriod"] == resources.QUEUE_RETENTION_S
    assert queue["QueueName"]["Fn::Sub"].replace("${Stream}", "s") == arns.bus_undelivered_name("s")
    (allowed,) = PROPERTIES["BusUndeliveredQueuePolicy"]["PolicyDocument"]["Statement"]
    assert (allowed["Principal"], allowed["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    assert str(allowed["Condition"]["ArnEquals"]["aws:SourceArn"]).endswith(":event-bus/${EventBus}'}")
    for name in ("BusUndeliveredQueue", "BusUndeliveredQueuePolicy"):
        assert RESOURCES[name]["Condition"] == "HasKey"


def test_several_ranges_of_addresses_reach_the_balancer_and_an_empty_one_lets_nobody_in() -> None:
    """By default everybody's; a range or a prefix list that is empty makes no rule."""
    rules = PROPERTIES["BalancerGroup"]["SecurityGroupIngress"]
    names = []
    for rule in rules:
        condition, then, otherwise = rule["Fn::If"]
        ((source, name),) = [(key, then[key]["Ref"]) for key in ("CidrIp", "SourcePrefixListId") if key in then]
        names.append(name)
        assert TEMPLATE["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": name}, ""]}]}
        assert (then["FromPort"], then["ToPort"], then["IpProtocol"], otherwise) == (443, 443, "tcp", NO_VALUE)
        assert (source == "SourcePrefixListId") is (name == "AllowedPrefixList")
    assert names == ["AllowedCidr", "AllowedCidr2", "AllowedCidr3", "AllowedCidr4", "AllowedPrefixList"]
    assert [PARAMETERS[name]["Default"] for name in names] == ["0.0.0.0/0", "", "", "", ""]


def test_audit_lines_on_the_log_are_never_dropped_by_its_driver() -> None:
    """ECS's log driver drops lines by default while the log takes none; a dropped line looks like tampering."""
    (container,) = PROPERTIES["ConsumerTask"]["ContainerDefinitions"]
    assert container["LogConfiguration"]["Options"]["mode"] == {"Fn::If": ["AuditsToLog", "blocking", NO_VALUE]}
    assert TEMPLATE["Conditions"]["AuditsToLog"] == {"Fn::Equals": [{"Ref": "Audit"}, "-"]}


def test_the_template_s_drain_and_stop_times_fit_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """No task is killed while it drains, and the balancer lets go of a receiver after that has answered what it had."""
    stop_s = {
        task: PROPERTIES[task]["ContainerDefinitions"][0]["StopTimeout"] for task in ("ReceiverTask", "ConsumerTask")
    }
    environment = of_task("ReceiverTask")
    drain_delay_s = float(environment["STREAM_ROUTER_DRAIN_DELAY_S"])
    group = PROPERTIES["Receivers"]
    (attribute,) = group["TargetGroupAttributes"]
    assert attribute["Key"] == "deregistration_delay.timeout_seconds"
    unhealthy_s = group["HealthCheckIntervalSeconds"] * group["UnhealthyThresholdCount"]
    assert unhealthy_s < drain_delay_s < float(attribute["Value"])
    assert drain_delay_s + STOPPED_WITHIN_S < stop_s["ReceiverTask"] <= 120, "the most that Fargate gives"
    set_environment(monkeypatch, of_task("ConsumerTask"))
    grace_s = properties.render(load(Consumer), properties.Endpoints("", ""), "any").grace_s
    assert grace_s + KILL_MARGIN_S < stop_s["ConsumerTask"] <= 120


def test_consumers_are_scaled_and_an_update_does_not_set_their_number_back() -> None:
    """From ConsumerCount up, on the metrics of this application; without room by default, since it has two shards."""
    scale = PROPERTIES["ConsumerScale"]
    assert (scale["MinCapacity"], scale["MaxCapacity"]) == ({"Ref": "ConsumerCount"}, {"Ref": "ConsumerMaxCount"})
    assert PROPERTIES["ConsumerService"]["DesiredCount"] == {"Fn::If": ["HasConsumers", NO_VALUE, 0]}
    assert PARAMETERS["ConsumerMaxCount"]["Default"] == PARAMETERS["Shards"]["Default"]
    steps = {
        name: PROPERTIES[name]["StepScalingPolicyConfiguration"] for name in ("ConsumerScaleOut", "ConsumerScaleIn")
    }
    assert [step["StepAdjustments"][0]["ScalingAdjustment"] for step in steps.values()] == [1, -1]
    assert steps["ConsumerScaleIn"]["Cooldown"] > steps["ConsumerScaleOut"]["Cooldown"], "back slowly"
    for alarm, policy in (("ConsumersBehind", "ConsumerScaleOut"), ("ConsumersIdle", "ConsumerScaleIn")):
        assert PROPERTIES[alarm]["AlarmActions"] == [{"Ref": policy}]
        assert "{'Name': 'Application', 'Value': {'Ref': 'Application'}}" in str(PROPERTIES[alarm])


def test_the_stack_s_parts_fit_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Balancer and receiver, alarms and retention; an update sets no scaled number back; masking is on as it comes."""
    attributes = {a["Key"]: a["Value"] for a in PROPERTIES["Balancer"]["LoadBalancerAttributes"] if "Key" in a}
    assert float(attributes["idle_timeout.timeout_seconds"]) < IDLE_S, "a request would meet a closing connection: 502"
    assert PROPERTIES["Receivers"]["HealthCheckPath"] == "/healthz", "`/readyz` is 503 in an outage"
    assert PROPERTIES["ReceiverService"]["DesiredCount"] == {"Fn::If": ["HasReceivers", NO_VALUE, 0]}
    application = PROPERTIES["Observability"]["Parameters"]["Application"]
    assert application == {"Ref": "Application"}, "the alarms ask for these metrics alone"
    environments = [of_task(task, Application="abc") for task in ("ReceiverTask", "ConsumerTask")]
    assert [environment["STREAM_ROUTER_APPLICATION"] for environment in environments] == ["abc", "abc"]
    set_environment(monkeypatch, environments[1])
    assert load(Consumer).masking == "default"
    assert PARAMETERS["HeadroomSeconds"]["Default"] == 1800 * PARAMETERS["RetentionHours"]["Default"]


# --- the chart

CHART = DEPLOY / "helm"
RENDER = ("helm", "template", "cx", str(CHART), "--kube-version", "1.31.0", "-f", str(CHART / "everything.yaml"))
needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")


def parsed(text: str) -> dict[tuple[str, str], Any]:
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(text)}


def rendered(*values: str) -> "subprocess.CompletedProcess[str]":
    words = [word for value in values for word in ("--set", value)]
    return subprocess.run([*RENDER, *words], capture_output=True, text=True, check=False)


RENDERED = parsed((ROOT / "tests/data/helm_everything.yaml").read_text("utf-8"))
PODS = {
    "receive": RENDERED["Deployment", "cx-receive"]["spec"]["template"]["spec"],
    "consume": RENDERED["StatefulSet", "cx-consume"]["spec"]["template"]["spec"],
}


def of_pod(pod: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}


@needs_helm
def test_the_chart_renders_to_what_is_committed() -> None:
    """Where the chart changes: write tests/data/helm_everything.yaml anew with RENDER, and read the difference."""
    assert parsed(rendered().stdout) == RENDERED


@pytest.mark.parametrize(("program", "kind"), [("receive", Receiver), ("consume", Consumer)])
def test_a_pod_s_settings_are_ones_that_its_program_takes(
    program: str, kind: type[Receiver | Consumer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers too, which Helm reads as 1.34217728e+08; its ports are those at which it listens; it masks."""
    environment = {**RENDERED["ConfigMap", "cx-settings"]["data"], **of_pod(PODS[program])}
    secrets = dict.fromkeys(["STREAM_ROUTER_WEBHOOK_SECRETS", "STREAM_ROUTER_ADMIN_TOKEN"], SECRET)
    set_environment(monkeypatch, {name: value or "from-the-pod" for name, value in environment.items()} | secrets)
    assert load(kind)
    assert environment["STREAM_ROUTER_MASKING"] == "default"
    at = {"receive": ["LISTEN", "RECEIVER_ADMIN_LISTEN"], "consume": ["ADMIN_LISTEN"]}[program]
    ports = [port["containerPort"] for port in PODS[program]["containers"][0]["ports"]]
    assert ports == [int(environment[f"STREAM_ROUTER_{name}"].rpartition(":")[2]) for name in at]


@needs_helm
def test_a_spill_has_a_volume_that_lasts_and_a_platform_gives_user_and_role() -> None:
    """What waits on the volume of a pod that is gone waits until it is back: a StatefulSet that nothing scales."""
    result = parsed(rendered("receiver.spill.enabled=true", "user=none", "roles.consume=none").stdout)
    spec = result["StatefulSet", "cx-receive"]["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    pod = spec["template"]["spec"]
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert (claim["metadata"]["name"], "volumes" in pod) == (mount["name"], False)
    assert of_pod(pod)["STREAM_ROUTER_SPILL_DIR"] == mount["mountPath"]
    assert ("HorizontalPodAutoscaler", "cx-receive") in {*RENDERED} - {*result}
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert not result["ServiceAccount", "cx-consume"]["metadata"].get("annotations")


@needs_helm
@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("settings.AWS_REGION=", "settings.AWS_REGION: is not set"),
        ("roles.consume=", "roles.consume: name the IAM role"),
        ("secretNames.receive=", "secretName: name a Secret"),
        ("settings.STREAM_ROUTER_SPILL_DIR=/var/lib/stream-router/spill", "settings.STREAM_ROUTER_SPILL_DIR: "),
        ("metrics.enabled=false", ": needs metrics.enabled"),
    ],
)
def test_a_value_that_cannot_work_is_named_and_renders_nothing(value: str, output: str) -> None:
    """A spill that goes with its pod would lose what was answered 202."""
    done = rendered(value)
    assert (done.returncode == 0, output in done.stderr) == (False, True)


# --- what every way to run the programs has in common


@pytest.mark.parametrize(("program", "task"), [("receive", "ReceiverTask"), ("consume", "ConsumerTask")])
def test_a_container_is_read_only_probed_and_drained_before_it_is_killed(program: str, task: str) -> None:
    """It writes to its state alone; its liveness is `health` of its own program; it is told nothing but settings."""
    (ecs,) = PROPERTIES[task]["ContainerDefinitions"]
    pod = PODS[program]
    (result,) = pod["containers"]
    assert ecs["HealthCheck"]["Command"] == ["CMD", "stream-router", "health", program]
    assert result["livenessProbe"]["exec"]["command"] == ["stream-router", "health", program]
    assert ecs["Command"] == result["args"] == [program]
    assert ecs["ReadonlyRootFilesystem"] is result["securityContext"]["readOnlyRootFilesystem"] is True
    assert [mount["ContainerPath"] for mount in ecs["MountPoints"]] == ["/var/lib/stream-router"]
    assert [mount["mountPath"] for mount in result["volumeMounts"]] == ["/var/lib/stream-router"]
    by_ecs, by_kubernetes = of_task(task, "SignsByHmac", "HasMaskingKey"), of_pod(pod)
    for environment, stop_s in ((by_ecs, ecs["StopTimeout"]), (by_kubernetes, pod["terminationGracePeriodSeconds"])):
        assert 120 >= stop_s >= float(environment.get("STREAM_ROUTER_DRAIN_DELAY_S") or 0) + KILLED_AFTER_S
        assert {name for name in environment if not name.startswith("AWS_")} <= setting_names() | {"SQS_DLQ_URL"}


@pytest.mark.parametrize("unit", sorted((DEPLOY / "systemd").glob("*.service")), ids=lambda unit: unit.stem)
def test_a_unit_sets_settings_drains_and_does_not_restart_what_is_set_wrong(unit: Path) -> None:
    """A crash is started again, exit 78 is not."""
    entries = re.findall(r"^(\w+)=(.*)$", unit.read_text("utf-8"), re.MULTILINE)
    assert {value.partition("=")[0] for key, value in entries if key == "Environment"} <= setting_names()
    assert {("Restart", "on-failure"), ("RestartPreventExitStatus", "78")} <= {*entries}
    assert int(dict(entries)["TimeoutStopSec"]) >= KILLED_AFTER_S

"""deploy/: image, CloudFormation template, chart and systemd units, held against settings, rights, drains and linters.

A linter that is not installed is passed over here; `make deploy-check` says which of them are.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

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
DEPLOY = ROOT / "deploy"
DRAIN_S = 20
"""A drain takes so long at most; ten seconds more before a platform kills."""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [key for key in os.environ if key.startswith(("AWS_", "STREAM_ROUTER_", "SQS_", "EVENTBRIDGE_"))]:
        monkeypatch.delenv(variable)


# --- the CloudFormation template

FILE = DEPLOY / "cloudformation/stream-router.yaml"
TEMPLATE: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
PARAMETERS, RESOURCES = TEMPLATE["Parameters"], TEMPLATE["Resources"]
SECRET, MASKING_KEY = (
    f"arn:aws:secretsmanager:eu-west-1:210987654321:secret:{name}-AbCdEf" for name in ("hook", "mask")
)
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
    "MaskingKeySecretArn": MASKING_KEY,
    "TargetArn": TARGET,
    "KmsKeyArn": KEY,
    "OffloadBucket": "large-events",
}
OF_A_CONDITION = {
    "HasKey": {"STREAM_ROUTER_KMS_KEY": KEY},
    "HasBucket": {"STREAM_ROUTER_OFFLOAD_BUCKET": "large-events"},
    "HasMaskingKey": {
        "STREAM_ROUTER_MASKING": "default",
        "STREAM_ROUTER_MASKING_KEY": f"secretsmanager:{MASKING_KEY}",
    },
}
"""A condition of the template, and the settings that say the same."""
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
NOTHING = object()


def resolved(value: Any, conditions: set[str]) -> Any:
    """The value with the given parameters in it, as CloudFormation would have it where these conditions are true."""
    if value == {"Ref": "AWS::NoValue"}:
        return NOTHING
    if isinstance(value, dict) and list(value) == ["Fn::If"]:
        condition, then, otherwise = value["Fn::If"]
        return resolved(then if condition in conditions else otherwise, conditions)
    if isinstance(value, dict) and list(value) == ["Fn::Sub"]:
        return re.sub(r"\$\{([^}]+)\}", lambda found: GIVEN.get(found[1], found[0]), value["Fn::Sub"])
    if isinstance(value, dict):
        made = {key: resolved(inner, conditions) for key, inner in value.items()}
        return {key: inner for key, inner in made.items() if inner is not NOTHING}
    if isinstance(value, list):
        return [inner for inner in (resolved(one, conditions) for one in value) if inner is not NOTHING]
    return value


def of_task(task: str, conditions: set[str]) -> dict[str, Any]:
    (container,) = RESOURCES[task]["Properties"]["ContainerDefinitions"]
    return {entry["Name"]: entry["Value"] for entry in resolved(container["Environment"], conditions)}


def set_as_a_task(monkeypatch: pytest.MonkeyPatch, task: str, conditions: set[str], **chosen: str) -> None:
    """The environment of a task whose stack leaves alone the parameters that have defaults."""
    given = {name: made["Default"] for name, made in PARAMETERS.items() if "Default" in made}
    given |= {"AWS::Region": "eu-west-1", "EventStream": "calls", "Bus": "telephony", **chosen}
    given["DeadLetterQueue"] = "https://sqs.eu-west-1.amazonaws.com/210987654321/calls-dead-letters"
    for name, value in of_task(task, conditions).items():
        told = given[value["Ref"]] if isinstance(value, dict) and "Ref" in value else value
        monkeypatch.setenv(name, given["EventTypes"] if isinstance(value, dict) and "Fn::Join" in value else str(told))


@pytest.mark.parametrize("true", [(), ("HasKey",), ("HasBucket",), ("HasMaskingKey",), tuple(OF_A_CONDITION)], ids=str)
@pytest.mark.parametrize("name", ["receive", "consume", "operate"])
def test_a_role_has_exactly_the_rights_of_setup_policy(
    name: str, true: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statement by statement what the command prints for the same names. Write them anew with `make docs`."""
    role = {"receive": "ReceiverRole", "consume": "ConsumerRole"}.get(name)
    policies = RESOURCES[role]["Properties"]["Policies"] if role else [RESOURCES["OperatorPolicy"]["Properties"]]
    for variable, value in {
        **SAME_AS_SETTINGS,
        **{k: v for one in true for k, v in OF_A_CONDITION[one].items()},
    }.items():
        monkeypatch.setenv(variable, value)
    (policy,) = policies
    made = resolved(policy["PolicyDocument"], set(true))
    for statement in made["Statement"]:
        if isinstance(statement["Resource"], list) and len(statement["Resource"]) == 1:
            (statement["Resource"],) = statement["Resource"]
    assert made == document(name, Home("aws", GIVEN["AWS::Region"], GIVEN["AWS::AccountId"]))
    assert role is None or "ManagedPolicyArns" not in RESOURCES[role]["Properties"]


@pytest.mark.parametrize(("task", "program"), [("ReceiverTask", "receive"), ("ConsumerTask", "consume")])
def test_a_task_is_read_only_has_no_capability_its_own_check_and_time_to_drain(task: str, program: str) -> None:
    """And sets nothing but settings; it is scaled or counted by one of both, never by two."""
    (container,) = RESOURCES[task]["Properties"]["ContainerDefinitions"]
    assert container["ReadonlyRootFilesystem"] is True
    assert container["LinuxParameters"] == {"InitProcessEnabled": True, "Capabilities": {"Drop": ["ALL"]}}
    assert container["HealthCheck"]["Command"] == ["CMD", "stream-router", "health", program]
    assert [point["ContainerPath"] for point in container["MountPoints"]] == ["/var/lib/stream-router"]
    variables = of_task(task, {"SignsByHmac", "HasMaskingKey"})
    assert 120 >= container["StopTimeout"] >= float(variables.get("STREAM_ROUTER_DRAIN_DELAY_S", "0")) + DRAIN_S + 10
    assert {name for name in variables if not name.startswith("AWS_")} <= names() | {"SQS_DLQ_URL"}


def test_receivers_are_scaled_on_cpu_and_an_update_does_not_set_them_back() -> None:
    """Between two numbers; a stack without receivers has none, and nothing that scales them."""
    count = RESOURCES["ReceiverService"]["Properties"]["DesiredCount"]
    assert count == {"Fn::If": ["HasReceivers", {"Ref": "AWS::NoValue"}, 0]}
    scaled = RESOURCES["ReceiverScale"]
    assert (scaled["Condition"], scaled["Properties"]["MinCapacity"]) == ("HasReceivers", {"Ref": "ReceiverCount"})
    policy = RESOURCES["ReceiverScaleOnCpu"]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    assert policy["PredefinedMetricSpecification"] == {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}


def test_the_balancer_ends_an_idle_connection_first_and_an_outage_replaces_no_receiver() -> None:
    """Else a request could meet a closing connection (502); and `/readyz` is 503 while the stream takes nothing."""
    attributes = {a["Key"]: a["Value"] for a in RESOURCES["Balancer"]["Properties"]["LoadBalancerAttributes"]}
    assert float(attributes["idle_timeout.timeout_seconds"]) < IDLE_S
    assert RESOURCES["Receivers"]["Properties"]["HealthCheckPath"] == "/healthz"


@pytest.mark.parametrize("key", [True, False])
def test_what_holds_events_is_as_setup_makes_it_encrypted_and_stays(key: bool) -> None:
    """The same retention, pattern and retries; a key of yours on all of it; the stack's end deletes none of it."""
    made = {name: resolved(one.get("Properties"), {"HasKey"} if key else set()) for name, one in RESOURCES.items()}
    own = {"Ref": "KmsKeyArn"}
    assert made["EventStream"]["StreamEncryption"]["KeyId"] == (own if key else resources.AWS_KINESIS_KEY)
    assert (made["Bus"].get("KmsKeyIdentifier") == own) is key
    for name in ("DeadLetterQueue", "UndeliveredQueue"):
        assert made[name]["MessageRetentionPeriod"] == resources.QUEUE_RETENTION_S
        assert (made[name].get("KmsMasterKeyId"), made[name].get("SqsManagedSseEnabled")) == (
            (own, None) if key else (None, True)
        )
    assert PARAMETERS["RetentionHours"]["Default"] == resources.RETENTION_HOURS
    pattern = made["EventRule"]["EventPattern"]
    types = PARAMETERS["EventTypes"]["Default"].split(",")
    assert pattern == {**resources.pattern(types), "detail-type": {"Ref": "EventTypes"}}
    assert "RetryPolicy" not in made["EventRule"]["Targets"][0], "AWS's own tries 185 times in 24 hours"
    for name in ("EventStream", "DeadLetterQueue", "UndeliveredQueue", "Bucket"):
        # A first deployment that fails is rolled back: what it leaves would stand in the second one's way, empty.
        assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("scheme", sorted({*get_args(Scheme)} - {"none"}))
def test_a_receiver_starts_with_each_scheme_and_all_that_hmac_can_be_told(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every scheme but `none`, which is for loopback; a parameter that is left empty is no setting."""
    assert scheme in PARAMETERS["WebhookScheme"]["AllowedValues"]
    is_hmac = {"SignsByHmac"} if scheme == "hmac" else set[str]()
    set_as_a_task(monkeypatch, "ReceiverTask", is_hmac, WebhookScheme=scheme)
    secret = {"standard-webhooks": f"whsec_{'A' * 32}", "basic": "user:a password of some length"}
    monkeypatch.setenv("STREAM_ROUTER_WEBHOOK_SECRETS", secret.get(scheme, "a secret of some length"))
    assert auth.make(load(Receiver))
    of_hmac = {f"STREAM_ROUTER_{name.upper()}" for name in Signature.model_fields if name.startswith("hmac_")}
    assert of_hmac & of_task("ReceiverTask", is_hmac).keys() == (of_hmac if is_hmac else set())


@pytest.mark.parametrize(
    ("parameter", "choices"),
    [
        ("Masking", ["default", "off", "/etc/policy.toml"]),
        ("Audit", ["", "-"]),
        ("Ordering", ["none", "conversation"]),
        ("Unroutable", ["dead-letter", "publish", "drop"]),
    ],
)
def test_a_consumer_starts_with_each_choice_and_masks_by_default(
    parameter: str, choices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first choice is the parameter's default: a careful team's where the program's own is another."""
    made = PARAMETERS[parameter]
    assert made["Default"] == choices[0]
    field = {"Audit": "audit_dir"}.get(parameter, parameter.lower())
    for choice in choices:
        assert re.fullmatch(made.get("AllowedPattern", ".*"), choice)
        assert choice in made.get("AllowedValues", choices)
        set_as_a_task(monkeypatch, "ConsumerTask", set(), **{parameter: choice})
        assert str(getattr(load(Consumer), field) or "") == choice


@pytest.mark.parametrize(
    ("name", "bad"), [("Stream", "calls.eu"), ("Stream", "s" * 68), ("Application", "ab"), ("Rule", "r" * 65)]
)
def test_a_name_that_would_fail_minutes_later_is_refused_at_once(name: str, bad: str) -> None:
    """The queues are called after the stream, and a queue's name takes no dot; the rest is what the settings take."""
    assert re.fullmatch(PARAMETERS[name]["AllowedPattern"], PARAMETERS[name]["Default"])
    assert not re.fullmatch(PARAMETERS[name]["AllowedPattern"], bad)


def test_alarms_ask_for_this_stack_s_application_and_its_retention() -> None:
    """Of a stream that keeps 24 hours the alarms of 168 would never be quiet: other thresholds must be given."""
    nested = RESOURCES["Observability"]["Properties"]
    file = (FILE.parent / nested["TemplateURL"]).resolve()
    assert set(nested["Parameters"]) <= set(yaml.safe_load(file.read_text("utf-8"))["Parameters"])
    for task in ("ReceiverTask", "ConsumerTask"):
        assert of_task(task, set())["STREAM_ROUTER_APPLICATION"] == nested["Parameters"]["Application"]
    kept = PARAMETERS["RetentionHours"]["Default"]
    (asserted,) = TEMPLATE["Rules"]["Headroom"]["Assertions"]
    assert asserted["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "HeadroomSeconds"}, str(1800 * kept)]}]}
    assert PARAMETERS["HeadroomSeconds"]["Default"] == 1800 * kept


@needs("cfn-lint")
def test_cfn_lint_finds_nothing() -> None:
    """By the linter's own list of resources and their properties."""
    done = subprocess.run(["cfn-lint", FILE.name], cwd=FILE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# --- the chart

CHART = DEPLOY / "helm"
COMMITTED = ROOT / "tests" / "data" / "helm_everything.yaml"
RENDER = ("helm", "template", "cx", str(CHART), "--kube-version", "1.31.0", "-f", str(CHART / "everything.yaml"))


def parsed(text: str) -> dict[tuple[str, str], Any]:
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


def rendered(*values: str) -> "subprocess.CompletedProcess[str]":
    words = [word for value in values for word in ("--set", value)]
    return subprocess.run([*RENDER, *words], capture_output=True, text=True, check=False)


RENDERED = parsed(COMMITTED.read_text("utf-8"))
PODS = {
    "receive": RENDERED["Deployment", "cx-receive"]["spec"]["template"]["spec"],
    "consume": RENDERED["StatefulSet", "cx-consume"]["spec"]["template"]["spec"],
}


def of_pod(pod: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}


@needs("helm")
def test_the_chart_renders_to_what_is_committed_and_helm_lint_finds_nothing() -> None:
    """Where the chart changes: write tests/data/helm_everything.yaml anew with RENDER, and read the difference."""
    assert parsed(rendered().stdout) == RENDERED
    lint = ["helm", "lint", "--strict", str(CHART), "-f", str(CHART / "everything.yaml")]
    assert subprocess.run(lint, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("program", PODS)
def test_a_pod_is_hardened_and_drained_before_it_is_killed(program: str) -> None:
    """Not root, read-only but for its state, no service links; its liveness is `health` of its own program."""
    pod = PODS[program]
    (container,) = pod["containers"]
    assert container["args"] == [program]
    assert container["livenessProbe"]["exec"]["command"] == ["stream-router", "health", program]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert (pod["securityContext"]["runAsUser"], pod["enableServiceLinks"]) == (10001, False)
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/var/lib/stream-router"]
    delay_s = float(of_pod(pod).get("STREAM_ROUTER_DRAIN_DELAY_S") or 0)
    assert pod["terminationGracePeriodSeconds"] >= delay_s + DRAIN_S + 10


@pytest.mark.parametrize(("program", "kind"), [("receive", Receiver), ("consume", Consumer)])
def test_a_pod_s_settings_are_ones_that_its_program_takes(
    program: str, kind: type[Receiver | Consumer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers too, which Helm reads as 1.34217728e+08; private data is masked, as values.yaml has it."""
    told = {**RENDERED["ConfigMap", "cx-settings"]["data"], **of_pod(PODS[program])}
    for name, value in told.items():
        monkeypatch.setenv(name, value or "from-the-pod")
    for name in ("WEBHOOK_SECRETS", "ADMIN_TOKEN"):
        monkeypatch.setenv(f"STREAM_ROUTER_{name}", "a secret of some length")
    assert load(kind)
    assert told["STREAM_ROUTER_MASKING"] == "default"


def test_a_consumer_keeps_its_name_and_scales_on_this_release_s_lag() -> None:
    """Its worker is the pod's name; a lag that nobody knows takes no pod away, as KEDA would at once."""
    worker = {"name": "STREAM_ROUTER_WORKER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert worker in PODS["consume"]["containers"][0]["env"]
    scaled = RENDERED["ScaledObject", "cx-consume"]["spec"]
    (trigger,) = scaled["triggers"]
    series = 'stream_router_oldest_unsettled_age_seconds{namespace="default",job="cx-consume"}'
    assert trigger["metadata"]["query"] == f"max({series})"
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert "replicas" not in RENDERED["StatefulSet", "cx-consume"]["spec"], "two would set the number"


@needs("helm")
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("settings.AWS_REGION=", "settings.AWS_REGION: is not set"),
        ("roles.consume=", "roles.consume: name the IAM role"),
        ("secretNames.receive=", "secretName: name a Secret"),
        ("settings.STREAM_ROUTER_SPILL_DIR=/var/lib/stream-router/spill", "settings.STREAM_ROUTER_SPILL_DIR: "),
        ("metrics.enabled=false", ": needs metrics.enabled"),
    ],
)
def test_a_value_that_cannot_work_is_named_and_renders_nothing(value: str, said: str) -> None:
    """A spill that goes with its pod would lose what was answered 202."""
    done = rendered(value)
    assert done.returncode != 0
    assert said in done.stderr


@needs("helm")
def test_with_a_spill_each_receiver_has_a_volume_that_lasts() -> None:
    """A StatefulSet that nothing scales: what waits on the volume of a pod that is gone waits until it is back."""
    made = parsed(rendered("receiver.spill.enabled=true").stdout)
    spec = made["StatefulSet", "cx-receive"]["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    pod = spec["template"]["spec"]
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert (claim["metadata"]["name"], "volumes" in pod) == (mount["name"], False)
    assert of_pod(pod)["STREAM_ROUTER_SPILL_DIR"] == mount["mountPath"]
    assert ("HorizontalPodAutoscaler", "cx-receive") not in made
    assert ("HorizontalPodAutoscaler", "cx-receive") in RENDERED


@needs("helm")
def test_a_platform_may_give_user_role_addresses_and_no_operator() -> None:
    """OpenShift's users, EKS Pod Identity, a cluster of IPv6, one without the Prometheus Operator."""
    values = (
        "user=none",
        "roles.consume=none",
        "listenHost=[::]",
        "metrics.serviceMonitors=false",
        "metrics.alerts=false",
    )
    made = parsed(rendered(*values).stdout)
    assert {kind for kind, _ in {*RENDERED} - {*made}} == {"ServiceMonitor", "PrometheusRule"}
    pod = made["Deployment", "cx-receive"]["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert not made["ServiceAccount", "cx-consume"]["metadata"].get("annotations")
    assert of_pod(pod)["STREAM_ROUTER_LISTEN"] == "[::]:8080"


# --- units and image

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def of_unit(unit: Path, key: str) -> Iterator[str]:
    return iter(re.findall(rf"^{key}=(.*)$", unit.read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_sets_settings_drains_and_does_not_restart_what_is_set_wrong(unit: Path) -> None:
    """A crash is started again, exit 78 is not."""
    assert {value.partition("=")[0] for value in of_unit(unit, "Environment")} <= names()
    assert [*of_unit(unit, "Restart"), *of_unit(unit, "RestartPreventExitStatus")] == ["on-failure", "78"]
    assert int(next(of_unit(unit, "TimeoutStopSec"))) >= DRAIN_S + 10


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_hardened(unit: Path) -> None:
    """`systemd-analyze security` finds an exposure of 2.0 at most."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if "Unknown" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot look at a file that is not installed")
    assert done.returncode == 0, done.stdout[-500:]


def test_the_environment_file_has_every_setting_and_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the code has it: write it anew with `make docs`. What is set in it the programs take."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import environment_file

    written = environment_file.FILE.read_text("utf-8")
    assert written == environment_file.text()
    assert re.findall(r"^[A-Z].*$", written, re.MULTILINE) == ["STREAM_ROUTER_MASKING=default"]


def test_the_image_runs_as_nobody_and_keeps_no_spill_in_its_own_layer() -> None:
    """By number, so that Kubernetes sees that it is not root; the program itself is PID 1; only `dist/` is copied."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Containerfile").read_text("utf-8"))
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)
    for line in ("USER 10001:10001", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["stream-router"]'):
        assert f"\n{line}\n" in stages[-1]
    assert "STREAM_ROUTER_SPILL_DIR=" not in text.replace("#", "")
    assert re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE) == ["dist/", "dist/sbom.cdx.json"]
    assert (ROOT / ".dockerignore").read_text("utf-8").split("\n")[-3:] == ["*", "!dist/", ""]


@needs("hadolint")
def test_hadolint_finds_nothing() -> None:
    """With its own rules, none switched off."""
    done = subprocess.run(["hadolint", DEPLOY / "Containerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

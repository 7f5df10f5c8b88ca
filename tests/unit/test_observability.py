"""deploy/observability: every metric and label that it names exists, every alert is tested, every runbook is there.

Where `promtool` is installed (Debian's package `prometheus`) the rules' own tests run too.
"""

import copy
import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_router.telemetry.cloudwatch import NAMESPACE
from stream_router.telemetry.metrics_catalogue import (
    BUS_UNASKED,
    CONSUMER,
    COUNTERS,
    DAEMON_RESTARTS,
    DAEMON_UP,
    ENTRIES_PER_CALL,
    HANGING,
    HEADROOM,
    HOLDING,
    OF_A_CHILD,
    OLDEST_AGE,
    RECEIVER,
    RECEIVER_IN_CLOUDWATCH,
    RULE_MATCHED,
    STAGES,
    UNREAD,
    Metric,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/observability"
RULES_FILE = FOLDER / "prometheus/rules.yaml"
TESTS_FILE = FOLDER / "prometheus/rules_test.yaml"
DASHBOARD = json.loads((FOLDER / "grafana/stream-router.json").read_text("utf-8"))
TEMPLATE = yaml.safe_load((FOLDER / "cloudwatch/observability.yaml").read_text("utf-8"))

GROUPS = yaml.safe_load(RULES_FILE.read_text("utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]

OF_THE_SCRAPE = {"job", "instance", "namespace"}
"""Labels that Prometheus itself gives every series; the last one its Operator, on Kubernetes."""

OF_AWS = {
    ("AWS/SQS", "QueueName"): {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
    ("AWS/Events", "RuleName"): {
        "FailedInvocations",
        "IngestionToInvocationSuccessLatency",
        "InvocationsFailedToBeSentToDlq",
        "InvocationsSentToDlq",
    },
    ("AWS/Kinesis", "StreamName"): {
        *("IncomingBytes", "GetRecords.Bytes"),
        *("WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded"),
    },
}
"""AWS's own metrics that we use, by namespace and the dimension that they have. Sources (2026-11): the EventBridge user
guide, "Monitoring Amazon EventBridge" (a rule of another bus than default has EventBusName besides); the SQS developer
guide, "Available CloudWatch metrics for Amazon SQS"; the Kinesis developer guide, "Monitoring ... with CloudWatch"."""


def series() -> dict[str, set[str]]:
    """Every series that Prometheus can have of us, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in (*CONSUMER, *RECEIVER):
        labels = {*metric.labels, *OF_THE_SCRAPE}
        if metric.kind == "histogram":
            found |= {f"{metric.full_name}{part}": labels for part in ("_sum", "_count")}
            found[f"{metric.full_name}_bucket"] = {*labels, "le"}
        else:
            found[metric.full_name] = labels
    return found


SERIES = series()
SELECTOR = re.compile(r"(stream_router_\w+)(?:\{([^}]*)\})?")


def wrong(expression: str) -> list[str]:
    """What an expression names that does not exist: a series, a label of it, a label to group by."""
    found, known = [], set(OF_THE_SCRAPE)
    for name, matchers in SELECTOR.findall(expression):
        if name not in SERIES:
            found.append(name)
            continue
        known |= SERIES[name]
        labels = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r"%q|'[^']*'|\"[^\"]*\"", "", matchers))
        found += [f"{name}{{{label}}}" for label in labels if label not in SERIES[name]]
    for group in re.findall(r"\b(?:by|ignoring|on|without)\s*\(([^)]*)\)", expression):
        found += [label for label in re.split(r"[\s,]+", group) if label and label not in known]
    return found


PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


EXPRESSIONS = [
    *(rule["expr"] for rule in RULES),
    *(text for rule in RULES for text in rule["annotations"].values() if "stream_router_" in text),
    *(target["expr"] for panel in PANELS for target in panel["targets"]),
]


def test_what_does_not_exist_is_seen() -> None:
    """A series, a label, a label to group by."""
    assert wrong("sum by (shard) (stream_router_holding{reason='x'})") == []
    assert wrong("stream_router_hold") == ["stream_router_hold"]
    assert wrong('stream_router_daemon_up{shard="1"}') == ["stream_router_daemon_up{shard}"]
    assert wrong("sum by (code) (stream_router_holding)") == ["code"]
    assert wrong("rate(stream_router_stage_latency_seconds[5m])") == ["stream_router_stage_latency_seconds"]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_only_what_exists(expression: str) -> None:
    """In alerts, in their texts, in the dashboard."""
    assert "stream_router_" in expression
    assert wrong(expression) == []


def test_a_stage_that_is_named_exists() -> None:
    """A filter on a stage that nobody measures would be silent for ever."""
    named = {stage for expression in EXPRESSIONS for stage in re.findall(r'stage="(\w+)"', expression)}
    assert named
    assert named <= set(STAGES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['alert']}-{rule['labels'].get('used', '')}")
def test_an_alert_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    """How bad, in words, and a page that is there and names the alert."""
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert (ROOT / rule["annotations"]["runbook"]).exists()
    row = next(line for line in INDEX if f"`{rule['alert']}`" in line)
    assert f"({Path(rule['annotations']['runbook']).name})" in row


INDEX = (ROOT / "docs/runbooks/README.md").read_text("utf-8").splitlines()


def test_every_alert_is_tested_to_fire_and_to_be_silent() -> None:
    """promtool runs these tests; here only that none is forgotten."""
    tests = yaml.safe_load(TESTS_FILE.read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == silent == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_two_releases_of_one_name_in_two_namespaces_alert_each_for_itself(rule: dict[str, Any]) -> None:
    """The chart's releases `cx` are both scraped as the job `cx-consume`; where no namespace is, nothing changes."""
    groups = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
    assert all(group.startswith("namespace, job") for group in groups)


promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here; install Debian's package `prometheus`"
)


@promtool
def test_the_rules_pass_their_own_tests() -> None:
    """Each alert fires when it should, and not before."""
    done = subprocess.run(
        ["promtool", "test", "rules", TESTS_FILE.name],
        cwd=TESTS_FILE.parent,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    """As a rule of a file that promtool reads, with Grafana's variables filled in."""
    rules = []
    for number, panel in enumerate(PANELS):
        for target in panel["targets"]:
            query = re.sub(r"\$(namespace|job|instance)", ".*", target["expr"].replace("$__rate_interval", "1m"))
            rules.append({"record": f"panel:{number}:{target['refId']}", "expr": query})
    file = tmp_path / "dashboard.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_shows_whatever_an_alert_asks_for() -> None:
    """Whoever was woken sees it there; a receiver's heartbeat is in what of its workers is ready."""
    asked = {name for rule in RULES for name, _ in SELECTOR.findall(rule["expr"])}
    shown = {name for panel in PANELS for target in panel["targets"] for name, _ in SELECTOR.findall(target["expr"])}
    assert asked - shown == {"stream_router_receiver_heartbeat_timestamp_seconds"}


def test_the_dashboard_is_what_grafana_s_own_models_hold() -> None:
    """Read into Grafana's models and written again, panels' options too, it is the same: nothing is misspelt."""
    sdk = "grafana_foundation_sdk"
    models = pytest.importorskip(f"{sdk}.models.dashboard", reason="`pip install grafana-foundation-sdk`, from PyPI")
    importlib.import_module(f"{sdk}.cog.plugins").register_default_plugins()
    encoder = importlib.import_module(f"{sdk}.cog.encoder").JSONEncoder
    written = json.loads(json.dumps(models.Dashboard.from_json(copy.deepcopy(DASHBOARD)), cls=encoder))
    known = copy.deepcopy(DASHBOARD)
    for variable in known["templating"]["list"]:
        variable.pop("definition", None)  # Grafana writes and reads it; its models of 10.1 have it not
    assert kept(known, written) == known


def kept(wanted: Any, found: Any) -> Any:
    """Of `found` what `wanted` has: the models add their defaults."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {key: kept(value, found[key]) for key, value in wanted.items() if key in found}
    if isinstance(wanted, list) and isinstance(found, list):
        return [kept(one, other) for one, other in zip(wanted, found, strict=False)]
    return found


# --- CloudWatch -------------------------------------------------------------------------------------------------------


def own_metrics() -> set[str]:
    """What we send to CloudWatch."""
    kinds: tuple[Metric, ...] = (
        *COUNTERS.values(),
        *STAGES.values(),
        ENTRIES_PER_CALL,
        OLDEST_AGE,
        HEADROOM,
        *OF_A_CHILD,
    )
    told = (
        *kinds,
        HOLDING,
        HANGING,
        UNREAD,
        RULE_MATCHED,
        DAEMON_UP,
        DAEMON_RESTARTS,
        BUS_UNASKED,
        *RECEIVER_IN_CLOUDWATCH,
    )
    return {metric.cloudwatch.name for metric in told if metric.cloudwatch}


RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
ALARMS = {
    name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == "AWS::CloudWatch::Alarm"
}
OWN_DIMENSIONS = ["SourceSystem", "Region", "Application"]


def exists(namespace: str, metric: str, dimensions: list[str]) -> bool:
    """Whether there is such a metric with these dimensions."""
    if namespace == NAMESPACE:
        return metric in own_metrics() and dimensions == OWN_DIMENSIONS
    if dimensions[0] == "EventBusName":
        dimensions = dimensions[1:]
    return metric in OF_AWS.get((namespace, dimensions[0]), set()) and len(dimensions) == 1


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_of_cloudwatch_is_on_a_metric_that_exists(name: str) -> None:
    """With the dimensions that it is sent with, of the default bus and of another."""
    alarm = ALARMS[name]
    dimensions = alarm["Dimensions"]
    for choice in dimensions["Fn::If"][1:] if isinstance(dimensions, dict) else [dimensions]:
        assert exists(alarm["Namespace"], alarm["MetricName"], [one["Name"] for one in choice])
    (runbook,) = re.findall(r"docs/runbooks/[\w-]+\.md", alarm["AlarmDescription"])
    assert (ROOT / runbook).exists()
    told = alarm["AlarmName"]["Fn::Sub"].removeprefix("${Application}-")
    row = next(line for line in INDEX if re.search(rf"[| ]{told}[, ]", line))
    assert f"({Path(runbook).name})" in row
    assert alarm["AlarmActions"] == alarm["OKActions"]
    assert ("Statistic" in alarm) != ("ExtendedStatistic" in alarm)


@pytest.mark.parametrize("name", ["RetentionWarning", "RetentionCritical", "Behind"])
def test_a_daemon_that_ends_again_and_again_hides_no_lag(name: str) -> None:
    """Between two daemons there is no datum, and what is missing is good here: a third of the minutes is enough."""
    alarm = ALARMS[name]
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["DatapointsToAlarm"] * 3 <= alarm["EvaluationPeriods"]


def body(default_bus: bool) -> dict[str, Any]:
    """The dashboard's body with the parameters' defaults filled in."""
    text, own = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    values = {name: str(parameter["Default"]) for name, parameter in TEMPLATE["Parameters"].items()}
    values |= {"AWS::Region": "eu-central-1"} | {f"{name}.Arn": f"arn:{name}" for name in RESOURCES}

    def filled(template: str) -> str:
        return re.sub(r"\$\{([\w:.]+)\}", lambda found: values[found[1]], template)

    def chosen(value: Any) -> str:
        if "Fn::If" in value:
            condition, yes, no = value["Fn::If"]
            value = yes if condition != "IsDefaultBus" or default_bus else no
        return filled(value["Fn::Sub"])

    values |= {name: chosen(value) for name, value in own.items()}
    told: dict[str, Any] = json.loads(filled(text))
    return told


@pytest.mark.parametrize("default_bus", [True, False])
def test_the_dashboard_of_cloudwatch_shows_metrics_that_exist(default_bus: bool) -> None:
    """Its body is JSON with any choice of parameters, and every alarm is on it."""
    widgets = body(default_bus)["widgets"]
    shown = 0
    for widget in widgets:
        for namespace, metric, *rest in widget["properties"].get("metrics", []):
            dimensions = [one for one in rest if isinstance(one, str)][::2]
            assert exists(namespace, metric, dimensions), (namespace, metric, dimensions)
            shown += 1
    assert shown > 20
    assert set(widgets[0]["properties"]["alarms"]) == {f"arn:{name}" for name in ALARMS}
    places = [
        (x, y) for w in widgets for x in range(w["x"], w["x"] + w["width"]) for y in range(w["y"], w["y"] + w["height"])
    ]
    assert len(places) == len(set(places))


def test_an_application_s_name_with_a_dot_makes_a_dashboard_too() -> None:
    """CloudWatch takes only letters, digits, - and _ there, and a lease table's name may have dots."""
    told, own = RESOURCES["Dashboard"]["Properties"]["DashboardName"]["Fn::Sub"]
    assert (told, list(own)) == ("${Name}-${AWS::Region}", ["Name"])
    assert own["Name"] == {"Fn::Join": ["-", {"Fn::Split": [".", {"Ref": "Application"}]}]}


def test_the_template_has_nothing_that_cloudformation_does_not_take() -> None:
    """YAML's anchors and aliases are not taken; any reader of YAML reads it."""
    text = (FOLDER / "cloudwatch/observability.yaml").read_text("utf-8")
    assert not [token for token in yaml.scan(text) if isinstance(token, yaml.AnchorToken | yaml.AliasToken)]

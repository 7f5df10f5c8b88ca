"""deploy/observability: the same alerts everywhere, each with its runbook; every metric and label named exists.

Where `promtool` is installed (Debian's package `prometheus`) each alert fires in its world, and else is silent.
"""

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
    CONSUMER,
    CONSUMER_IN_CLOUDWATCH,
    RECEIVER,
    RECEIVER_IN_CLOUDWATCH,
    STAGES,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/observability"
TESTS_FILE = FOLDER / "prometheus/rules_test.yaml"
DASHBOARD = json.loads((FOLDER / "grafana/stream-router.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TEMPLATE = yaml.safe_load((FOLDER / "cloudwatch/observability.yaml").read_text("utf-8"))
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
ALARMS = {
    name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == "AWS::CloudWatch::Alarm"
}
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "prometheus/rules.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]

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
    """Every series that Prometheus can have of us, or of AWS's by its cloudwatch_exporter, with its labels."""
    found = {
        "aws_sqs_approximate_number_of_messages_visible_maximum": {"queue_name"} | OF_THE_SCRAPE,
        "aws_events_invocations_failed_to_be_sent_to_dlq_sum": {"rule_name"} | OF_THE_SCRAPE,
    }
    for metric in (*CONSUMER, *RECEIVER):
        labels = {*metric.labels, *OF_THE_SCRAPE}
        if metric.kind == "histogram":
            found |= {f"{metric.full_name}_bucket": {*labels, "le"}}
        else:
            found[metric.full_name] = labels
    return found


SERIES = series()
SELECTOR = re.compile(r"((?:stream_router|aws)_\w+)(?:\{([^}]*)\})?")
EXPRESSIONS = [
    *(rule["expr"] for rule in RULES),
    *(text for rule in RULES for text in rule["annotations"].values() if "stream_router_" in text),
    *(target["expr"] for panel in PANELS for target in panel["targets"]),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_only_what_exists(expression: str) -> None:
    """Series, their labels, stages, labels to group by: what does not exist would be silent for ever."""
    known = set(OF_THE_SCRAPE)
    for name, matchers in SELECTOR.findall(expression):
        labels = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r"%q|'[^']*'|\"[^\"]*\"", "", matchers))
        assert {*labels} <= SERIES[name]
        known |= SERIES[name]
    for group in re.findall(r"\b(?:by|ignoring|on|without)\s*\(([^)]*)\)", expression):
        assert {label for label in re.split(r"[\s,]+", group) if label} <= known
    assert {*re.findall(r'stage="(\w+)"', expression)} <= {*STAGES}


INDEX = (ROOT / "docs/runbooks/README.md").read_text("utf-8").splitlines()


def test_the_three_files_hold_the_same_alerts_each_with_its_runbook() -> None:
    """`StreamRouterNoData` is `…-no-data`. Grafana shows whichever of Prometheus's fires."""
    of_prometheus = {
        re.sub(r"(?<!^)([A-Z])", r"-\1", rule["alert"].removeprefix("StreamRouter")).lower(): rule["annotations"][
            "runbook"
        ]
        for rule in RULES
    }
    of_cloudwatch = {
        alarm["AlarmName"]["Fn::Sub"].removeprefix("${Application}-"): re.findall(
            r"docs/runbooks/[\w-]+\.md", alarm["AlarmDescription"]
        )[0]
        for alarm in ALARMS.values()
    }
    assert of_prometheus == of_cloudwatch
    assert len(RULES) == len(of_prometheus) <= 20
    assert any('ALERTS{alertname=~"StreamRouter.+"' in expression for expression in EXPRESSIONS)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert (ROOT / rule["annotations"]["runbook"]).exists()
        row = next(line for line in INDEX if f"`{rule['alert']}`" in line)
        assert f"({Path(rule['annotations']['runbook']).name})" in row


def test_every_alert_is_tested_to_fire_and_to_be_silent() -> None:
    """promtool runs these tests; here only that none is forgotten."""
    tests = yaml.safe_load(TESTS_FILE.read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in tests[0]["alert_rule_test"] if not case["exp_alerts"]}
    assert fires == silent == {rule["alert"] for rule in RULES}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: install Debian's package `prometheus`")
def test_promtool_runs_the_alerts_worlds_and_reads_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Each alert fires when it should, and not before; Grafana's variables are filled in."""
    rules = [
        {"record": f"panel:{number}:{target['refId']}", "expr": target["expr"].replace("$__rate_interval", "1m")}
        for number, panel in enumerate(PANELS)
        for target in panel["targets"]
    ]
    file = tmp_path / "dashboard.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    for command in (("test", "rules", TESTS_FILE), ("check", "rules", file)):
        done = subprocess.run(["promtool", *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


# --- CloudWatch -------------------------------------------------------------------------------------------------------

OWN = {metric.cloudwatch.name for metric in (*CONSUMER_IN_CLOUDWATCH, *RECEIVER_IN_CLOUDWATCH) if metric.cloudwatch}


def exists(namespace: str, metric: str, dimensions: list[str]) -> bool:
    """Whether there is such a metric with these dimensions."""
    if namespace == NAMESPACE:
        return metric in OWN and dimensions == ["SourceSystem", "Region", "Application"]
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
    if name in ("Retention", "Behind"):  # between two daemons there is no datum, and what is missing is good here
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
    for widget in widgets:
        for namespace, metric, *rest in widget["properties"].get("metrics", []):
            assert exists(namespace, metric, [one for one in rest if isinstance(one, str)][::2]), metric
    assert set(widgets[0]["properties"]["alarms"]) == {f"arn:{name}" for name in ALARMS}

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
QUERIES: list[str] = [target["expr"] for panel in PANELS for target in panel["targets"]]
TEMPLATE = yaml.safe_load((FOLDER / "cloudwatch/observability.yaml").read_text("utf-8"))
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
ALARMS = {name: item["Properties"] for name, item in RESOURCES.items() if item["Type"] == "AWS::CloudWatch::Alarm"}
GROUPS = yaml.safe_load((FOLDER / "prometheus/rules.yaml").read_text("utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
INDEX = (ROOT / "docs/runbooks/README.md").read_text("utf-8").splitlines()

OF_THE_SCRAPE = {"job", "instance", "namespace"}
"""Labels that Prometheus itself gives every series; the last one its Operator, on Kubernetes."""

OF_AWS = {
    ("AWS/SQS", "QueueName"): {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
    ("AWS/Events", "RuleName"): {
        "FailedInvocations",
        "IngestionToInvocationSuccessLatency",
        "InvocationsFailedToBeSentToDlq",
        "InvocationsSentToDlq",
        "RetryInvocationAttempts",
    },
    ("AWS/Kinesis", "StreamName"): {
        *("IncomingBytes", "GetRecords.Bytes"),
        *("WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded"),
    },
}
"""AWS's own metrics that we use, by namespace and the dimension that they have. Sources (2026-11): the EventBridge user
guide, "Monitoring Amazon EventBridge" (a rule of another bus than default has EventBusName besides); the SQS developer
guide, "Available CloudWatch metrics for Amazon SQS"; the Kinesis developer guide, "Monitoring ... with CloudWatch"."""

SELECTOR = re.compile(r"((?:stream_router|aws)_\w+)(?:\{([^}]*)\})?")


def series() -> dict[str, set[str]]:
    """Every series that Prometheus can have of us, or of AWS's by its cloudwatch_exporter, with its labels."""
    result = {
        "aws_sqs_approximate_number_of_messages_visible_maximum": {"queue_name"} | OF_THE_SCRAPE,
        "aws_sqs_approximate_age_of_oldest_message_maximum": {"queue_name"} | OF_THE_SCRAPE,
        "aws_events_invocations_failed_to_be_sent_to_dlq_sum": {"rule_name"} | OF_THE_SCRAPE,
        "aws_events_retry_invocation_attempts_sum": {"rule_name"} | OF_THE_SCRAPE,
    }
    for metric in (*CONSUMER, *RECEIVER):
        labels = {*metric.labels, *OF_THE_SCRAPE}
        if metric.kind == "histogram":
            result |= {f"{metric.full_name}_bucket": {*labels, "le"}}
        else:
            result[metric.full_name] = labels
    return result


def test_an_expression_names_only_what_exists() -> None:
    """Series, their labels, stages, labels to group by: what does not exist would be silent for ever."""
    exist = series()
    of_rules = [text for rule in RULES for text in (rule["expr"], *rule["annotations"].values())]
    for expression in (*of_rules, *QUERIES):
        known = set(OF_THE_SCRAPE)
        for name, matchers in SELECTOR.findall(expression):
            labels = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r"%q|'[^']*'|\"[^\"]*\"", "", matchers))
            assert {*labels} <= exist[name], expression
            known |= exist[name]
        for group in re.findall(r"\b(?:by|ignoring|on|without)\s*\(([^)]*)\)", expression):
            assert {label for label in re.split(r"[\s,]+", group) if label} <= known, expression
        assert {*re.findall(r'stage="(\w+)"', expression)} <= {*STAGES}, expression


def test_the_files_hold_the_same_alerts_each_with_its_runbook_and_its_tests() -> None:
    """`StreamRouterNoData` is `…-no-data`. Grafana shows whichever of Prometheus's fires."""
    of_prometheus = {}
    for rule in RULES:
        runbook = rule["annotations"]["runbook"]
        of_prometheus[re.sub(r"(?<!^)([A-Z])", r"-\1", rule["alert"].removeprefix("StreamRouter")).lower()] = runbook
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert (ROOT / runbook).exists()
        assert f"({Path(runbook).name})" in next(line for line in INDEX if f"`{rule['alert']}`" in line)
    of_cloudwatch = {
        alarm["AlarmName"]["Fn::Sub"].removeprefix("${Application}-"): re.findall(
            r"docs/runbooks/[\w-]+\.md", alarm["AlarmDescription"]
        )[0]
        for alarm in ALARMS.values()
    }
    assert of_prometheus == of_cloudwatch
    assert any('ALERTS{alertname=~"StreamRouter.+"' in expression for expression in QUERIES)
    tests = yaml.safe_load(TESTS_FILE.read_text("utf-8"))["tests"]
    fires = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    silent = {case["alertname"] for case in tests[0]["alert_rule_test"] if not case["exp_alerts"]}
    assert fires == silent == {rule["alert"] for rule in RULES}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: install Debian's package `prometheus`")
def test_promtool_runs_the_alerts_worlds_and_reads_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Each alert fires when it should, and not before; Grafana's variables are filled in."""
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "dashboard.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    for command in (("test", "rules", TESTS_FILE), ("check", "rules", file)):
        done = subprocess.run(["promtool", *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


# --- CloudWatch

OWN = {metric.cloudwatch.name for metric in (*CONSUMER_IN_CLOUDWATCH, *RECEIVER_IN_CLOUDWATCH) if metric.cloudwatch}


def exists(namespace: str, metric: str, dimensions: list[str]) -> bool:
    """Whether there is such a metric with these dimensions."""
    if namespace == NAMESPACE:
        return metric in OWN and dimensions == ["SourceSystem", "Region", "Application"]
    if dimensions[0] == "EventBusName":
        dimensions = dimensions[1:]
    return metric in OF_AWS.get((namespace, dimensions[0]), set()) and len(dimensions) == 1


def body(default_bus: bool) -> dict[str, Any]:
    """The dashboard's body with the parameters' defaults filled in."""
    text, own = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    values = {name: str(parameter["Default"]) for name, parameter in TEMPLATE["Parameters"].items()}
    values |= {"AWS::Region": "eu-central-1"} | {f"{name}.Arn": f"arn:{name}" for name in RESOURCES}

    def filled(template: str) -> str:
        return re.sub(r"\$\{([\w:.]+)\}", lambda result: values[result[1]], template)

    for name, value in own.items():
        condition, yes, no = value.get("Fn::If", ("", value, value))
        values[name] = filled((yes if condition != "IsDefaultBus" or default_bus else no)["Fn::Sub"])
    document: dict[str, Any] = json.loads(filled(text))
    return document


@pytest.mark.parametrize("default_bus", [True, False])
def test_alarms_and_dashboard_of_cloudwatch_are_on_metrics_that_exist(default_bus: bool) -> None:
    """With the dimensions that they are sent with, of the default bus and of another; every alarm is shown."""
    for name, alarm in ALARMS.items():
        dimensions = alarm["Dimensions"]
        if isinstance(dimensions, dict):
            dimensions = dimensions["Fn::If"][1 if default_bus else 2]
        assert exists(alarm["Namespace"], alarm["MetricName"], [dimension["Name"] for dimension in dimensions]), name
        if name in ("Retention", "Behind"):  # between two daemons there is no datum, and what is missing is good here
            assert alarm["DatapointsToAlarm"] * 3 <= alarm["EvaluationPeriods"]
    widgets = body(default_bus)["widgets"]
    for widget in widgets:
        for namespace, metric, *rest in widget["properties"].get("metrics", []):
            assert exists(namespace, metric, [item for item in rest if isinstance(item, str)][::2]), metric
    assert set(widgets[0]["properties"]["alarms"]) == {f"arn:{name}" for name in ALARMS}

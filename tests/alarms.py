"""Evaluation of the CloudWatch alarms in deploy/, minute by minute.

How CloudWatch evaluates: its user guide, "Evaluating an alarm" (M of the latest N periods) and "Configuring how
CloudWatch alarms treat missing data", read 2026-12-02. Before the first minute no period counts as bad.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"
FILES = ("observability/cloudwatch/observability.yaml", "cloudformation/stream-router.yaml")
TEMPLATES: list[dict[str, Any]] = [yaml.safe_load((DEPLOY / file).read_text("utf-8")) for file in FILES]
DEFAULTS = {
    name: parameter.get("Default") for template in TEMPLATES for name, parameter in template["Parameters"].items()
}
ALARMS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]
    for template in TEMPLATES
    for name, resource in template["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}


def _p99(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
    "p99": _p99,
}

Minutes = Sequence[Sequence[float]]
"""Every value of a metric, minute by minute; empty if a minute has no datum."""


def fires(name: str, metrics: Mapping[str, Minutes], **parameters: float) -> list[int]:
    """Return the minutes at whose end the alarm is in alarm. A metric that is not in `metrics` has no data.

    `parameters` are those of the template that differ from their defaults.
    """
    alarm = ALARMS[name]
    threshold = alarm["Threshold"]
    threshold = float({**DEFAULTS, **parameters}[threshold["Ref"]] if isinstance(threshold, dict) else threshold)
    minutes = max(len(values) for values in metrics.values())
    length = alarm.get("Period", 60) // 60
    if "Metrics" in alarm:
        points = _of_expression(alarm["Metrics"], metrics, minutes)
    else:
        statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        points = _by_period(metrics.get(alarm["MetricName"], ()), length, minutes, statistic)
    is_above = alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert is_above or alarm["ComparisonOperator"] == "LessThanThreshold"
    is_missing_bad = {"breaching": True, "notBreaching": False}[alarm["TreatMissingData"]]
    bad = [
        is_missing_bad if point is None else point != threshold and (point > threshold) is is_above for point in points
    ]
    latest = alarm["EvaluationPeriods"]
    least = alarm.get("DatapointsToAlarm", latest)
    return [at * length for at in range(1, len(bad) + 1) if sum(bad[max(0, at - latest) : at]) >= least]


def _by_period(values: Minutes, length: int, minutes: int, statistic: str) -> list[float | None]:
    """Return the statistic of each period of `length` minutes; None if a period has no datum."""
    padded = [*values, *[()] * (minutes - len(values))]
    periods = [[value for minute in padded[at : at + length] for value in minute] for at in range(0, minutes, length)]
    return [float(STATISTICS[statistic](period)) if period else None for period in periods]


def _of_expression(queries: list[dict[str, Any]], metrics: Mapping[str, Minutes], minutes: int) -> list[float | None]:
    """Evaluate the one expression of an alarm on several metrics: IF and FILL read the same in Python."""
    named = {}
    for query in queries:
        if stat := query.get("MetricStat"):
            assert stat["Period"] == 60
            values = metrics.get(stat["Metric"]["MetricName"], ())
            named[query["Id"]] = _by_period(values, 1, minutes, stat["Stat"])
    (expression,) = (query["Expression"] for query in queries if "Expression" in query)
    functions: dict[str, Any] = {
        "IF": lambda condition, then, otherwise: then if condition else otherwise,
        "FILL": lambda value, default: default if value is None else value,
    }
    code = compile(expression, "the template", "eval")
    rows = ({name: series[at] for name, series in named.items()} for at in range(minutes))
    return [eval(code, functions | row) for row in rows]

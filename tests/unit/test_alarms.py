"""CloudWatch's alarms, evaluated minute by minute: each fires in its world, and is silent in twelve healthy minutes.

How CloudWatch evaluates: its user guide, "Evaluating an alarm" (M of the latest N periods) and "Configuring how
CloudWatch alarms treat missing data", read 2026-12-02. Before a world begins all is taken to be well.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import cost

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = ("observability/cloudwatch/observability.yaml", "cloudformation/stream-router.yaml")
TEMPLATES: list[dict[str, Any]] = [yaml.safe_load((DEPLOY / file).read_text("utf-8")) for file in FILES]
DEFAULTS = {name: made.get("Default") for one in TEMPLATES for name, made in one["Parameters"].items()}
ALARMS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]
    for template in TEMPLATES
    for name, resource in template["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}
STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
    "p99": max,
}

Minutes = Sequence[float | None]
"""A metric's datum of each minute; None if there is none."""


def fires(name: str, world: Mapping[str, Minutes]) -> list[int]:
    """Return the minutes at whose end the alarm is in alarm. A metric that `world` does not have has no data."""
    alarm = ALARMS[name]
    threshold = alarm["Threshold"]
    threshold = float(DEFAULTS[threshold["Ref"]] if isinstance(threshold, dict) else threshold)
    minutes = max(len(values) for values in world.values())
    length = alarm.get("Period", 60) // 60
    if "Metrics" in alarm:
        values = of_expression(alarm["Metrics"], world, minutes)
    else:
        statistic = STATISTICS[alarm.get("Statistic") or alarm["ExtendedStatistic"]]
        values = by_period(world.get(alarm["MetricName"], ()), length, minutes, statistic)
    is_above = alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert is_above or alarm["ComparisonOperator"] == "LessThanThreshold"
    is_missing_bad = {"breaching": True, "notBreaching": False}[alarm["TreatMissingData"]]
    bad = [is_missing_bad if one is None else one != threshold and (one > threshold) is is_above for one in values]
    latest = alarm["EvaluationPeriods"]
    least = alarm.get("DatapointsToAlarm", latest)
    return [at * length for at in range(1, len(bad) + 1) if sum(bad[max(0, at - latest) : at]) >= least]


def by_period(
    values: Minutes, length: int, minutes: int, statistic: Callable[[list[float]], float]
) -> list[float | None]:
    padded = [*values, *[None] * (minutes - len(values))]
    groups = [[one for one in padded[at : at + length] if one is not None] for at in range(0, minutes, length)]
    return [float(statistic(group)) if group else None for group in groups]


def of_expression(metrics: list[dict[str, Any]], world: Mapping[str, Minutes], minutes: int) -> list[float | None]:
    """Evaluate the one expression of an alarm on several metrics: IF and FILL read the same in Python."""
    named = {
        one["Id"]: by_period(world.get(one["MetricStat"]["Metric"]["MetricName"], ()), 1, minutes, max)
        for one in metrics
        if "MetricStat" in one
    }
    (expression,) = (one["Expression"] for one in metrics if "Expression" in one)
    functions: dict[str, Any] = {
        "IF": lambda condition, then, otherwise: then if condition else otherwise,
        "FILL": lambda value, default: default if value is None else value,
    }
    code = compile(expression, "the template", "eval")
    values = ({name: series[at] for name, series in named.items()} for at in range(minutes))
    return [eval(code, functions | one) for one in values]


HEALTHY: dict[str, Minutes] = {
    "RetentionHeadroomSeconds": [604_800.0] * 12,
    "OldestUnsettledAgeSeconds": [1.0, 3.0] * 6,
    "RoutingLatencyMilliseconds": [320.0] * 12,
    "ReceiverReady": [1.0] * 12,
    "CertificateRemainingSeconds": [5_000_000.0] * 12,
    "ApproximateNumberOfMessagesVisible": [0.0] * 12,
    "ApproximateAgeOfOldestMessage": [0.0] * 12,
    # One minute in which the target throttled.
    "RetryInvocationAttempts": [None] * 5 + [3.0] + [None] * 6,
    **{
        name: [0.0] * 12
        for name in ("HoldingShards", "UnreadShards", "RuleUnmatched", "DeadLetterCount", "ManyDeadLettersShards")
    },
    **{name: [0.0] * 12 for name in ("SpillOldestAgeSeconds", "SpillFailing", "SpillDamagedCount")},
    "Answered5xxCount": [0.0] * 12,
}


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_is_silent_in_twelve_healthy_minutes(name: str) -> None:
    """Metrics that are sent only if they are not zero have no data."""
    assert fires(name, HEALTHY) == []


def test_the_cost_counts_every_alarm_of_the_template_s_defaults() -> None:
    """An alarm costs by its metrics. Without a key of yours the bus has no queue to watch."""
    metrics = {
        name: sum("MetricStat" in one for one in alarm.get("Metrics", ())) or 1 for name, alarm in ALARMS.items()
    }
    assert sum(metrics.values()) - metrics["BusUndelivered"] == cost.ALARMS


@pytest.mark.parametrize(
    ("name", "world", "by_minute"),
    [
        ("TargetRefuses", {"RetryInvocationAttempts": [4.0] * 15}, 5),
        # One event alone, whose retries grow rarer.
        ("TargetRefuses", {"RetryInvocationAttempts": [5.0, 2, 1, None, 1, None, None, None, 1, None, None]}, 9),
        ("Undelivered", {"ApproximateNumberOfMessagesVisible": [1.0] * 5}, 5),
        ("BusUndelivered", {"ApproximateNumberOfMessagesVisible": [0.0, 0, 0, 2, 2]}, 5),
        ("SpillQueueAge", {"ApproximateAgeOfOldestMessage": [100.0, 160, 220, 280, 340]}, 5),
        ("SpillQueueDepth", {"ApproximateNumberOfMessagesVisible": [0.0, 400, 800, 1_200, 1_600]}, 5),
        ("ShardsUnread", {"UnreadShards": [0.0, 1, 1]}, 3),
        ("ManyDeadLetters", {"ManyDeadLettersShards": [0.0, 1]}, 2),
        ("ConsumersBehind", {"OldestUnsettledAgeSeconds": [70.0, 130, 190], "HoldingShards": [0.0, 0, 0]}, 3),
        ("ConsumersIdle", {"OldestUnsettledAgeSeconds": [2.0] * 30}, 30),
    ],
)
def test_an_alarm_fires_in_its_world(name: str, world: dict[str, Minutes], by_minute: int) -> None:
    """At the end of that minute, and not before; a target that keeps refusing within fifteen."""
    assert fires(name, world)[0] == by_minute


@pytest.mark.parametrize(
    ("name", "world"),
    [
        # More consumers would wait for the same bus.
        ("ConsumersBehind", {"OldestUnsettledAgeSeconds": [900.0] * 10, "HoldingShards": [1.0] * 10}),
        ("ConsumersBehind", {"OldestUnsettledAgeSeconds": [None] * 10}),
        # No consumer sends anything, or only now and then.
        ("ConsumersIdle", {"OldestUnsettledAgeSeconds": [None] * 60}),
        ("ConsumersIdle", {"OldestUnsettledAgeSeconds": ([2.0] * 20 + [None]) * 3}),
        ("ConsumersIdle", {"OldestUnsettledAgeSeconds": ([2.0] * 29 + [20.0]) * 2}),
    ],
)
def test_without_need_or_without_data_no_consumer_is_added_or_taken_away(name: str, world: dict[str, Minutes]) -> None:
    """A hold adds none; a gap in the metrics takes none away."""
    assert fires(name, world) == []

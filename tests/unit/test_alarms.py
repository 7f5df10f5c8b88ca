"""CloudWatch's alarms on values made by hand: each fires in its world, and is silent in twelve healthy minutes.

AWS's own metrics (of EventBridge and SQS) can be tested in this way alone. The alarms on the values of a real run:
tests/system/test_alarms_of_a_run.py.
"""

from collections.abc import Mapping, Sequence

import pytest

from benchmarks import cost
from tests import alarms
from tests.alarms import ALARMS

Minutes = Sequence[float | None]
"""A metric's one value of each minute; None if there is none."""


def fires(name: str, world: Mapping[str, Minutes]) -> list[int]:
    """Return the minutes at whose end the alarm is in alarm. A metric that `world` does not have has no data."""
    metrics = {metric: [() if value is None else (value,) for value in values] for metric, values in world.items()}
    return alarms.fires(name, metrics)


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
        name: sum("MetricStat" in item for item in alarm.get("Metrics", ())) or 1 for name, alarm in ALARMS.items()
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

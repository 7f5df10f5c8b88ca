"""The alarms of deploy/ on what the real programs sent to CloudWatch: twelve healthy minutes, then two troubles.

The values are those that the fake AWS took in PutMetricData, in the minutes of their own time stamps. EventBridge and
SQS send their own metrics, and no emulator does: the alarms on these have no data here (tests/unit/test_alarms.py).
"""

import contextlib
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import alarms
from tests.alarms import ALARMS
from tests.dead_letters import RULE
from tests.fakeaws.process import FakeAwsProcess
from tests.fakeaws_world import started, table
from tests.system.world import World, until, webhook

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(1800)]

HEALTHY_MINUTES = 12
RATE = 2.0
"""Events a second. The machine may be busy, and an emulator that answers late makes the receiver answer 503."""

HALF_OF_THE_RETENTION_S = 12 * 3_600
"""The alarm's own parameter: this world's stream keeps a day, and the template's default is for a week."""

WRONG_EVENTS = 300
STUCK_SHARD = "shardId-000000000000"
OURS = "CXoneEventRouter"
SPILL_OR_TLS_ONLY = {"CertificateRemainingSeconds", "SpillDamagedCount", "SpillFailing", "SpillOldestAgeSeconds"}
"""Metrics that a receiver without a spill and without TLS of its own does not send."""

ONLY_IF_NOT_ZERO = {"DaemonRestartCount", "AuditFailureCount", "Answered401Count"}


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", {"bus_rules": [RULE]}, 0, "--payloads") as fake:
        yield fake


def minute_now() -> int:
    return int(time.time() // 60)


def recorded(fake: FakeAwsProcess, first: int, minutes: int) -> dict[str, list[list[float]]]:
    """Return every value of this application by metric and minute, from the minute `first` on."""
    metrics: dict[str, list[list[float]]] = defaultdict(lambda: [[] for _ in range(minutes)])
    for line in fake.lines("PutMetricData", "accepted"):
        datum = json.loads(line["payload"])
        at = int(datum["Timestamp"] // 60) - first
        if len(datum["Dimensions"]) == 3 and 0 <= at < minutes:
            values = zip(datum["Values"], datum["Counts"], strict=True)
            metrics[datum["MetricName"]][at] += [value for value, count in values for _ in range(int(count))]
    return metrics


def until_minute(minute: int) -> None:
    """Wait for the minute, and for the metrics of the one before it, which may still be on their way."""
    time.sleep(max(0.0, minute * 60 + 5 - time.time()))


def fired_after(fake: FakeAwsProcess, name: str, first: int, within_minutes: int) -> int:
    """Return the number of minutes after which the alarm fires, counted from the start of the minute `first`."""
    until_minute(first + within_minutes)
    fired = alarms.fires(name, recorded(fake, first, within_minutes))
    assert fired, f"{name} did not fire within {within_minutes} minutes: {recorded(fake, first, within_minutes)}"
    return fired[0]


@contextlib.contextmanager
def shard_not_handed_over(world: World) -> Iterator[None]:
    """Hold a lease as a worker does that is to hand its shard over, renews the lease, and does not read."""
    leases, over = table(world), threading.Event()

    def renew() -> None:
        counter = 1_000_000
        while not over.wait(0.5):
            counter += 1
            leases.update_item(
                TableName="cxone-event-router",
                Key={"leaseKey": {"S": STUCK_SHARD}},
                UpdateExpression="SET leaseOwner = :owner, checkpointOwner = :before, leaseCounter = :counter",
                ExpressionAttributeValues={
                    ":owner": {"S": "other"},
                    ":before": {"S": "foreign"},
                    ":counter": {"N": str(counter)},
                },
            )

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()


def test_the_alarms_are_silent_in_twelve_healthy_minutes_and_fire_in_trouble(
    make_world: Callable[..., World], bus: FakeAwsProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """In real time; the troubles are wrong events (D24's alarm), and a shard that nobody reads."""
    world = started(make_world, bus)
    for number in range(50):  # the first events wait for connections, and for the daemon's first reads
        world.post_patiently(f"first-{number}", webhook(number))
    until(lambda: len(bus.lines("PutEvents", "accepted")) >= 50, 60, "events flow")
    first = minute_now() + 2
    world.post_many(int((60 * (first + HEALTHY_MINUTES) - time.time()) * RATE), RATE)
    until_minute(first + HEALTHY_MINUTES)
    healthy = recorded(bus, first, HEALTHY_MINUTES)
    ours = {alarm["MetricName"] for alarm in ALARMS.values() if alarm.get("Namespace") == OURS}
    assert ours - healthy.keys() <= SPILL_OR_TLS_ONLY | ONLY_IF_NOT_ZERO, "an alarm watches what nobody sends"
    fired = {name: alarms.fires(name, healthy, HeadroomSeconds=HALF_OF_THE_RETENTION_S) for name in ALARMS}
    assert {name: minutes for name, minutes in fired.items() if minutes} == {}

    wrong = minute_now() + 1
    until_minute(wrong)
    for number in range(WRONG_EVENTS):
        world.post_patiently(f"wrong-{number}", webhook(number, eventType="of.my.own"))
    wrong_minutes = fired_after(bus, "ManyDeadLetters", wrong, 3)

    unread = minute_now() + 1
    until_minute(unread)
    with shard_not_handed_over(world):
        unread_minutes = fired_after(bus, "ShardsUnread", unread, 6)

    with capsys.disabled():
        sys.stdout.write(
            f"\n  {sum(map(len, healthy['RoutingLatencyMilliseconds']))} events in {HEALTHY_MINUTES} minutes, no alarm;"
            f" ManyDeadLetters fired within {wrong_minutes} minutes, ShardsUnread within {unread_minutes}\n"
        )

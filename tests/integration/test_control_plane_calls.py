"""What a consumer asks AWS's control plane, counted by the fake AWS: an idle hour, and an hour with events.

The clock is virtual, the calls are real: botocore's clients, one HTTP request each.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router.aws import endpoints
from stream_router.consumer.supervisor import stream_watch
from stream_router.consumer.supervisor.stream_watch import StreamWatch
from stream_router.consumer.target_check import AwsTargetCheck, TargetChecker, TargetView, active_interval_s
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from tests.dead_letters import RULE
from tests.environment import CONSUMER, empty, set_environment
from tests.fakeaws.process import FakeAwsProcess

HOUR_S = 3600.0
TICK_S = 0.25
MAX_A_MINUTE = 6
"""Issue 54: idle, at most six control-plane calls a consumer and minute."""

DATA_PLANE = {"Scan", "PutItem"}
"""The lease table is read every 8 s as before; CloudTrail records neither unless data events are switched on."""

SHARDS = ("shardId-000000000000", "shardId-000000000001")


class Hour:
    """The supervisor's two watches and one child's view of the check, on a virtual clock over the fake AWS."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, fake_aws: FakeAwsProcess) -> None:
        empty(monkeypatch)
        set_environment(
            monkeypatch, {**CONSUMER, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
        )
        monkeypatch.setenv("AWS_ENDPOINT_URL", fake_aws.url)
        monkeypatch.setenv("STREAM_ROUTER_EVENT_TYPES", "interaction.created")
        settings = load(Consumer)
        session = endpoints.create_session(settings.aws_region)
        kinesis, self._dynamodb = (endpoints.create_client(session, name, None) for name in ("kinesis", "dynamodb"))
        self.now_s = 1000.0
        self._table = settings.application
        self._renewals = 0
        self._watch = StreamWatch(kinesis, self._dynamodb, settings.stream, self._table, now_s=lambda: self.now_s)
        interval_s = active_interval_s(settings.checkpoint_s, 1)
        target_check = AwsTargetCheck(settings)
        self._prover = TargetChecker(folder, target_check, lambda: interval_s, clock=lambda: self.now_s)
        self._child = TargetView(folder, lambda: self.now_s)
        self._fake_aws = fake_aws

    def run(self, accepts_every_s: float | None = None) -> dict[str, int]:
        """Let an hour pass; the bus accepts an event that often. Return the control-plane calls by operation."""
        checked_s = accepted_s = looked_s = float("-inf")
        self.longest_unproven_s = 0.0
        for _ in range(round(HOUR_S / TICK_S)):
            self.now_s += TICK_S
            if accepts_every_s and self.now_s - accepted_s >= accepts_every_s:
                accepted_s = self.now_s
            self._child.refresh()
            if accepts_every_s:
                self._child.request_check(accepted_s)
                if self._child.proven_s <= accepted_s:
                    self.longest_unproven_s = max(self.longest_unproven_s, self.now_s - accepted_s)
            if self.now_s - checked_s >= self._prover.interval_s():
                checked_s = self.now_s
                self._prover.check_once()
            if self.now_s - looked_s >= stream_watch.CHECK_INTERVAL_S:
                looked_s = self.now_s
                self._renew_leases()
                self._watch.check()
        assert self._watch.known.unread == []
        calls: dict[str, int] = self._fake_aws.stats()["calls"]
        return {operation: count for operation, count in calls.items() if operation not in DATA_PLANE}

    def _renew_leases(self) -> None:
        self._renewals += 1
        for shard in SHARDS:
            lease = {"leaseOwner": {"S": "worker-1"}, "leaseCounter": {"N": str(self._renewals)}}
            item = {"leaseKey": {"S": shard}, "checkpoint": {"S": "1"}, **lease}
            self._dynamodb.put_item(TableName=self._table, Item=item)


@pytest.fixture
def hour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hour]:
    with FakeAwsProcess(plan={"bus_rules": [RULE], "shards": len(SHARDS)}) as fake_aws:
        yield Hour(monkeypatch, tmp_path, fake_aws)


def test_an_idle_hour_takes_at_most_six_control_plane_calls_a_minute(hour: Hour) -> None:
    """While nothing is accepted, bus, rule, shards and retention are asked about once a minute each."""
    calls = hour.run()
    assert sum(calls.values()) / 60 <= MAX_A_MINUTE, calls
    asked = ("DescribeEventBus", "DescribeRule", "ListTargetsByRule", "ListShards", "DescribeStreamSummary")
    assert all(calls[operation] >= 50 for operation in asked), calls


def test_while_events_flow_bus_and_rule_are_asked_every_five_seconds(hour: Hour) -> None:
    """As often as a checkpoint wants it: 12 checks a minute, each of bus, rule and target."""
    calls = hour.run(accepts_every_s=1.0)
    for operation in ("DescribeEventBus", "DescribeRule", "ListTargetsByRule"):
        assert 700 <= calls[operation] <= 721, calls
    assert calls["ListShards"] + calls["DescribeStreamSummary"] <= 120, calls


def test_an_event_after_ten_idle_minutes_is_proven_as_soon_as_any(hour: Hour) -> None:
    """A check follows at once, or 5 s after an idle one that came just before; then the consumer is idle again."""
    calls = hour.run(accepts_every_s=600.0)
    assert hour.longest_unproven_s <= 5.5
    assert sum(calls.values()) / 60 <= MAX_A_MINUTE, calls

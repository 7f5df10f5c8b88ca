"""CloudWatch's own percentiles of what is sent are the exact ones, to within 1 %; read back from ministack."""

import math
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from stream_router.telemetry.cloudwatch import NAMESPACE, Sender, Whose
from stream_router.telemetry.metrics_catalogue import STAGES
from stream_router.telemetry.snapshot import Snapshot
from tests.system.world import REGION, World
from tests.told import snapshot

PERCENTS = (50.0, 90.0, 99.0, 99.9)
EVENTS = 20_000


def test_percentiles_are_within_one_percent_of_exact(tmp_path: Path) -> None:
    """20,000 latencies from 1 ms to minutes, in four minutes' requests: per application and in all."""
    dice, whose = random.Random(7), Whose(REGION, "router")
    values_ms = [math.exp(dice.gauss(5.0, 1.4)) for _ in range(EVENTS)]
    stack, now = World(tmp_path), [Snapshot()]
    try:
        stack.start_stack()
        cloud: Any = boto3.Session("test", "test", region_name=REGION).client(
            "cloudwatch", endpoint_url=stack.environment["AWS_ENDPOINT_URL"]
        )
        send = Sender(cloud, whose, lambda: now[0], [STAGES["received_to_accepted"]])
        for part in range(1, 5):
            now[0] = snapshot("a", 1, 1, at=time.time(), latencies_ms=values_ms[: part * EVENTS // 4])
            send()
        until = datetime.now(UTC) + timedelta(minutes=1)
        for dimensions in whose.dimensions:
            answer = cloud.get_metric_statistics(
                Namespace=NAMESPACE,
                MetricName="RoutingLatencyMilliseconds",
                Dimensions=dimensions,
                StartTime=until - timedelta(hours=2),
                EndTime=until,
                Period=4 * 3600,
                ExtendedStatistics=[f"p{percent:g}" for percent in PERCENTS],
            )
            (point,) = answer["Datapoints"]
            for percent in PERCENTS:
                # Linear between ranks, as ministack has it (and numpy).
                found = point["ExtendedStatistics"][f"p{percent:g}"]
                assert found == pytest.approx(np.percentile(values_ms, percent), rel=0.0101)
    finally:
        stack.close()

"""CloudWatch's own percentiles of what is sent are the exact ones, to within 1 %; read back from ministack."""

import math
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import orjson
import pytest

from stream_router.telemetry.cloudwatch import NAMESPACE, Series, Whose, bodies
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import STAGES
from tests.system.world import REGION, World

PERCENTS = (50.0, 90.0, 99.0, 99.9)
EVENTS = 20_000


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    try:
        made.start_stack()
        yield made
    finally:
        made.close()


def test_percentiles_are_within_one_percent_of_exact(stack: World) -> None:
    """20,000 latencies from 1 ms to minutes, in four minutes' requests: per application and in all."""
    dice = random.Random(7)
    values_ms = [math.exp(dice.gauss(5.0, 1.4)) for _ in range(EVENTS)]
    cloud = boto3.Session("test", "test", region_name=REGION).client(
        "cloudwatch", endpoint_url=stack.environment["AWS_ENDPOINT_URL"]
    )
    whose = Whose(REGION, "router")
    for part in np.array_split(values_ms, 4):
        histogram = Histogram()
        histogram.record(part)
        series = Series(STAGES["received_to_accepted"], *histogram.values_counts())
        for body in bodies([series], whose, time.time()):
            cloud.put_metric_data(**orjson.loads(body))
    for dimensions in whose.dimensions:
        found = read(cloud, dimensions)
        for percent in PERCENTS:
            # Linear between ranks, as ministack has it (and numpy).
            assert found[f"p{percent:g}"] == pytest.approx(np.percentile(values_ms, percent), rel=0.0101)


def read(cloud: Any, dimensions: list[dict[str, str]]) -> dict[str, float]:
    now = datetime.now(UTC)
    answer = cloud.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName="RoutingLatencyMilliseconds",
        Dimensions=dimensions,
        StartTime=now - timedelta(hours=2),
        EndTime=now + timedelta(minutes=1),
        Period=4 * 3600,
        ExtendedStatistics=[f"p{percent:g}" for percent in PERCENTS],
    )
    (point,) = answer["Datapoints"]
    found: dict[str, float] = point["ExtendedStatistics"]
    return found

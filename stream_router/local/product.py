"""What the product's own metrics say about a run: its snapshots, and what CloudWatch made of what it was sent."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_router.local.environment import REGION
from stream_router.local.report import Product

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

NAMESPACE = "CXoneEventRouter"
LATENCY = "RoutingLatencyMilliseconds"
DIMENSIONS: Any = [{"Name": "SourceSystem", "Value": "NICE_CXone"}, {"Name": "Region", "Value": REGION}]


def read(cloudwatch: "CloudWatchClient", state_dir: Path) -> Product:
    """The product's view: `entriesPerCall`, `latencyMs` by stage, `cloudWatch` by metric; left out where unknown."""
    return {"cloudWatch": _cloudwatch(cloudwatch)}


def _cloudwatch(cloudwatch: "CloudWatchClient") -> dict[str, dict[str, float]]:
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=LATENCY,
        Dimensions=DIMENSIONS,
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=7200,
        ExtendedStatistics=["p50", "p90", "p95", "p99", "p99.9"],
    )
    points = [point["ExtendedStatistics"] for point in answer["Datapoints"]]
    return {LATENCY: {name.replace(".", ""): value for name, value in points[0].items()}} if points else {}

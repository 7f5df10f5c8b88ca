"""The product's own metrics of a run: its snapshots, and CloudWatch's percentiles of the same events."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_router.local.environment import REGION
from stream_router.local.report import QUANTILES, Product
from stream_router.telemetry.cloudwatch import NAMESPACE, SOURCE_SYSTEM
from stream_router.telemetry.histogram import Histogram
from stream_router.telemetry.metrics_catalogue import STAGES
from stream_router.telemetry.shards.shard_metrics import read_snapshots

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

DIMENSIONS: Any = [{"Name": "SourceSystem", "Value": SOURCE_SYSTEM}, {"Name": "Region", "Value": REGION}]
_STATISTICS = {name: f"p{percent:g}" for name, percent in QUANTILES.items() if name != "max"}


def read(cloudwatch: "CloudWatchClient", state_dir: Path) -> Product:
    """The product's view: `entriesPerCall`, `latencyMs` by stage, `cloudWatch` by metric; left out where unknown."""
    snapshots = read_snapshots(state_dir)
    calls: Counter[int] = Counter()
    for snapshot in snapshots:
        calls.update({int(entries): count for entries, count in snapshot["entriesPerCall"].items()})
    seen: Product = {
        "latencyMs": {stage.replace("_", " "): _quantiles(snapshots, stage) for stage in STAGES},
        "cloudWatch": _cloudwatch(cloudwatch, "RoutingLatencyMilliseconds"),
    }
    if calls:
        entries = sum(size * count for size, count in calls.items())
        seen["entriesPerCall"] = round(entries / calls.total(), 3)
        seen["calls"] = calls.total()
    return seen


def _quantiles(snapshots: list[dict[str, Any]], stage: str) -> dict[str, float | None]:
    """One stage over all shards, and over all lives of their children: percentiles of the merged histograms.

    None where no event went through it.
    """
    merged = Histogram()
    for snapshot in snapshots:
        merged.merge(Histogram.from_dict(snapshot["latenciesMs"][stage]))
    if not merged.count:
        return dict.fromkeys(QUANTILES)
    return {
        name: round(merged.largest_ms if name == "max" else merged.percentile(percent), 1)
        for name, percent in QUANTILES.items()
    }


def _cloudwatch(cloudwatch: "CloudWatchClient", metric: str) -> dict[str, dict[str, float]]:
    """The percentiles that CloudWatch works out of the Values and Counts that the children sent."""
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=metric,
        Dimensions=DIMENSIONS,
        StartTime=now - timedelta(hours=2),
        EndTime=now + timedelta(minutes=1),
        Period=4 * 3600,
        ExtendedStatistics=list(_STATISTICS.values()),
    )
    if not answer["Datapoints"]:
        return {}
    found = answer["Datapoints"][0]["ExtendedStatistics"]
    return {metric: {name: round(found[statistic], 1) for name, statistic in _STATISTICS.items()}}

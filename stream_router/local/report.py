"""Report of the demo at its end: tables for people, one JSON object for programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from stream_router.local.accounts import Accounts
from stream_router.local.programs import REGION
from stream_router.telemetry.cloudwatch import NAMESPACE, SOURCE_SYSTEM
from stream_router.telemetry.metrics_catalogue import STAGES

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

QUANTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9, "max": 100.0}

WIDE = 80
"""Number of terminal columns that all quantiles need. A narrower terminal gets NARROW_QUANTILES."""

NARROW_QUANTILES = ("p50", "p99", "max")

ROWS = {
    "sent": ("sent", "posted to the receiver, or written directly to the stream"),
    "rejected": ("rejected", "broken JSON that the receiver answered with 4xx"),
    "accepted": ("accepted", "answered 202: stored in the stream"),
    "injected": ("injected", "garbage written directly to the stream"),
    "delivered": ("delivered", "arrived at the rule's target"),
    "deadLettered": ("dead letters", "arrived in the dead-letter queue"),
}

READ_AGAIN = (
    "from the last checkpoint: events that a killed child had already sent. A checkpoint is at most six seconds of "
    "work behind, which is many events during a catch-up. None is taken while the bus is unreachable"
)
SENT_AGAIN = "events of a call that was cut before its answer: nobody knows whether the bus accepted them"
TIME_NOTE = (
    "The embedded EventBridge (ministack) drops `Time` of PutEvents: `time` at the target is its own clock. "
    "On AWS it is the event's time."
)

ProductFigures = dict[str, Any]
"""Figures of the product's own metrics: `entriesPerCall`, `latencyMs` by stage, `cloudWatch`."""


def figures_of_status(totals: dict[str, Any]) -> ProductFigures:
    """Return the entries per call and the latency by stage, from the `totals` of the consumer's `/status`.

    Quantiles are None for a stage that no event passed.
    """
    latencies = totals.get("latenciesMs", {})
    summaries = {stage.replace("_", " "): latencies.get(stage, {}) for stage in STAGES}
    by_stage = {stage: {name: summary.get(name) for name in QUANTILES} for stage, summary in summaries.items()}
    return {"entriesPerCall": totals.get("entriesPerCall"), "latencyMs": by_stage}


def percentiles_of_cloudwatch(cloudwatch: "CloudWatchClient") -> dict[str, dict[str, float]]:
    """Return the percentiles that CloudWatch has of our routing latency, by metric name; {} if it has no datapoint.

    CloudWatch computes them from the Values and Counts that the consumer sent.
    """
    metric, now = "RoutingLatencyMilliseconds", datetime.now(UTC)
    statistics = {name: f"p{percent:g}" for name, percent in QUANTILES.items() if name != "max"}
    answer = cloudwatch.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=metric,
        Dimensions=[{"Name": "SourceSystem", "Value": SOURCE_SYSTEM}, {"Name": "Region", "Value": REGION}],
        StartTime=now - timedelta(hours=2),
        EndTime=now + timedelta(minutes=1),
        Period=4 * 3600,  # longer than the span, so that one datapoint has the whole run
        ExtendedStatistics=list(statistics.values()),
    )
    datapoints = [point["ExtendedStatistics"] for point in answer["Datapoints"]]
    return (
        {metric: {name: round(datapoints[0][statistic], 1) for name, statistic in statistics.items()}}
        if datapoints
        else {}
    )


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return each of QUANTILES of `values` in milliseconds, to a tenth; each is None if there are no values."""
    if not values:
        return dict.fromkeys(QUANTILES)
    quantiles = np.percentile(values, list(QUANTILES.values()))
    return {name: round(float(value), 1) for name, value in zip(QUANTILES, quantiles, strict=True)}


def stages(accounts: Accounts) -> dict[str, dict[str, float | None]]:
    """Return the quantiles of the latency by stage, in milliseconds.

    The first stage is measured by the sender, the others by the time stamps of the events at the target.
    """
    arrived = list(accounts.delivered.values())
    return {
        "posted to answered": percentiles(accounts.answered_ms),
        "received to processed": percentiles([arrival.processed_ms - arrival.received_ms for arrival in arrived]),
        "processed to target": percentiles([arrival.at_target_ms - arrival.processed_ms for arrival in arrived]),
        "received to target": percentiles([arrival.at_target_ms - arrival.received_ms for arrival in arrived]),
    }


def as_json(
    accounts: Accounts, seconds: float, product: ProductFigures, faults: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Return the object that `demo --json` prints (docs/contract.md), and further fields.

    `seconds` is the time from the first post to the last arrival.
    """
    by_stage = stages(accounts)
    return {
        "sent": accounts.answers.total() + len(accounts.injected),
        "rejected": accounts.rejected,
        "accepted": len(accounts.accepted),
        "injected": len(accounts.injected),
        "delivered": len(accounts.delivered),
        "deadLettered": len(accounts.dead),
        "duplicates": accounts.copies,
        "readAgain": accounts.copies_read_again,
        "sentAgain": accounts.copies - accounts.copies_read_again,
        "lost": accounts.lost(),
        "seconds": round(seconds, 2),
        "eventsPerSecond": round(accounts.expected() / seconds, 1) if seconds else 0.0,
        "entriesPerCall": product.get("entriesPerCall"),
        "latencyMs": by_stage["received to target"],
        "stagesMs": by_stage,
        "deadLettersByReason": dict(sorted(Counter(letter.reason for letter in accounts.dead.values()).items())),
        "wrongReasons": len(accounts.wrong_reasons()),
        "unanswered": accounts.unanswered,
        "changedIdentity": accounts.changed_identity,
        "product": product,
        "faults": list(faults),
    }


def complaints(accounts: Accounts) -> list[str]:
    """Return one line for each kind of error in the result; [] if every event is accounted for correctly."""
    counts = {
        "events were LOST": accounts.lost(),
        "posts got no answer": accounts.unanswered,
        "broken posts were accepted": accounts.broken_accepted,
        "good posts were refused": accounts.good_refused,
        "copies had another identity": accounts.changed_identity,
    }
    wrong = accounts.wrong_reasons()
    lines = [f"{count} {complaint}" for complaint, count in counts.items() if count]
    return lines + ([f"{len(wrong)} dead letters have a wrong reason, for example {wrong[0]}"] if wrong else [])


def show(result: dict[str, Any], console: Console) -> None:
    """Print the tables of the events' results and latencies."""
    console.print(_counts(result))
    console.print(_latencies(result, tuple(QUANTILES) if console.width >= WIDE else NARROW_QUANTILES))
    console.print(TIME_NOTE, style="dim", highlight=False)


def _counts(result: dict[str, Any]) -> Table:
    table = Table(title="Result of each event", title_justify="left", show_header=False)
    table.add_column("what", no_wrap=True)
    table.add_column("how many", justify="right", no_wrap=True)
    table.add_column("meaning", style="dim")
    for key, (title, meaning) in ROWS.items():
        table.add_row(title, f"{result[key]:,}", meaning)
    for reason, count in result["deadLettersByReason"].items():
        table.add_row(f"  {reason}", f"{count:,}", "")
    table.add_row("duplicates", f"{result['duplicates']:,}", "additional copies, all with the same ids")
    if result["duplicates"]:
        table.add_row("  read again", f"{result['readAgain']:,}", READ_AGAIN)
        table.add_row("  sent again", f"{result['sentAgain']:,}", SENT_AGAIN)
    style = "bold red" if result["lost"] else "bold green"
    table.add_row("lost", f"{result['lost']:,}", "accepted or injected, but arrived nowhere", style=style)
    table.add_section()
    rate, per_call = f"{result['eventsPerSecond']:,.0f}/s", result["entriesPerCall"]
    table.add_row("rate", rate, f"in {result['seconds']:.1f} s, first post to last arrival")
    entries = "-" if per_call is None else f"{per_call:.2f}"
    table.add_row("entries per call", entries, "of PutEvents; a classic bus accepts 10")
    return table


def _latencies(result: dict[str, Any], names: Sequence[str]) -> Table:
    table = Table(title="Latency in milliseconds", title_justify="left")
    table.add_column("stage", no_wrap=True)
    for name in names:
        table.add_column("p99.9" if name == "p999" else name, justify="right", no_wrap=True)

    def add_rows(quantiles_by_stage: Mapping[str, Mapping[str, float | None]], indent: str = "") -> None:
        for stage, quantiles in quantiles_by_stage.items():
            table.add_row(indent + stage, *(_ms(quantiles.get(name)) for name in names))

    add_rows(result["stagesMs"])
    for source, title in (("latencyMs", "by the product's metrics"), ("cloudWatch", "by CloudWatch")):
        if reported_stages := result["product"].get(source):
            table.add_section()
            table.add_row(title, style="dim")
            add_rows(reported_stages, "  ")
    return table


def _ms(value: float | None) -> str:
    """Return milliseconds as text that fits a column. From ten seconds on the unit is seconds."""
    if value is None:
        return "-"
    if value < 100:
        return f"{value:,.1f}"
    if value < 10_000:
        return f"{value:,.0f}"
    return f"{value / 1000:,.0f} s"

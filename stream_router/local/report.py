"""What the demo says at its end: a table for people, one JSON object for programs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table

from stream_router.local.accounts import Accounts
from stream_router.local.programs import REGION
from stream_router.telemetry.cloudwatch import NAMESPACE, SOURCE_SYSTEM
from stream_router.telemetry.metrics_catalogue import STAGES

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

QUANTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9, "max": 100.0}

Product = dict[str, Any]
"""What the product's own metrics say: `entriesPerCall`, `latencyMs` by stage, `cloudWatch`."""


def events_of(totals: Product) -> int:
    """How many events the consumer's totals (`/status`) say are settled."""
    dead_letters: dict[str, int] = totals.get("deadLetters", {})
    return int(totals.get("counters", {}).get("delivered", 0)) + sum(dead_letters.values())


def of_totals(totals: Product) -> Product:
    """What the consumer's totals say of calls, and of latency by stage: None where no event went through one."""
    latencies = totals.get("latenciesMs", {})
    found = {stage.replace("_", " "): latencies.get(stage, {}) for stage in STAGES}
    by_stage = {stage: {name: told.get(name) for name in QUANTILES} for stage, told in found.items()}
    return {"entriesPerCall": totals.get("entriesPerCall"), "latencyMs": by_stage}


_STATISTICS = {name: f"p{percent:g}" for name, percent in QUANTILES.items() if name != "max"}


def percentiles_of_cloudwatch(cloudwatch: "CloudWatchClient") -> dict[str, dict[str, float]]:
    """The percentiles that CloudWatch works out of the Values and Counts that it was sent, by metric."""
    metric, now = "RoutingLatencyMilliseconds", datetime.now(UTC)
    dimensions: Any = [{"Name": "SourceSystem", "Value": SOURCE_SYSTEM}, {"Name": "Region", "Value": REGION}]
    answer = cloudwatch.get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=metric,
        Dimensions=dimensions,
        StartTime=now - timedelta(hours=2),
        EndTime=now + timedelta(minutes=1),
        Period=4 * 3600,
        ExtendedStatistics=list(_STATISTICS.values()),
    )
    if not answer["Datapoints"]:
        return {}
    found = answer["Datapoints"][0]["ExtendedStatistics"]
    return {metric: {name: round(found[statistic], 1) for name, statistic in _STATISTICS.items()}}


def percentiles(values: list[float]) -> dict[str, float | None]:
    """The quantiles of milliseconds, to a tenth; None where there are no values."""
    if not values:
        return dict.fromkeys(QUANTILES)
    found = np.percentile(values, list(QUANTILES.values()))
    return {name: round(float(value), 1) for name, value in zip(QUANTILES, found, strict=True)}


def stages(accounts: Accounts) -> dict[str, dict[str, float | None]]:
    """Latency by stage, from the stamps of what arrived at the target (and of the sender for the first)."""
    arrived = list(accounts.delivered.values())
    return {
        "posted to answered": percentiles(accounts.answered_ms),
        "received to processed": percentiles([one.processed_ms - one.received_ms for one in arrived]),
        "processed to target": percentiles([one.at_target_ms - one.processed_ms for one in arrived]),
        "received to target": percentiles([one.at_target_ms - one.received_ms for one in arrived]),
    }


def as_json(
    accounts: Accounts, seconds: float, product: Product, faults: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """The contract's object, and more: dead letters by reason, stages, the product's own view, what broke when."""
    by_stage = stages(accounts)
    accepted, injected = len(accounts.accepted), len(accounts.injected)
    return {
        "sent": accounts.answers.total() + injected,
        "rejected": accounts.rejected,
        "accepted": accepted,
        "injected": injected,
        "delivered": len(accounts.delivered),
        "deadLettered": len(accounts.dead) + len(accounts.dead_injected),
        "duplicates": accounts.copies,
        "lost": accounts.lost(),
        "seconds": round(seconds, 2),
        "eventsPerSecond": round((accepted + injected) / seconds, 1) if seconds else 0.0,
        "entriesPerCall": product.get("entriesPerCall"),
        "latencyMs": by_stage["received to target"],
        "stagesMs": by_stage,
        "deadLettersByReason": dict(sorted(accounts.reasons().items())),
        "wrongReasons": len(accounts.wrong_reasons()),
        "unanswered": accounts.unanswered,
        "changedIdentity": accounts.changed_identity,
        "product": product,
        "faults": list(faults),
    }


def complaints(accounts: Accounts) -> list[str]:
    """What is not as it should be, one line each."""
    found = {
        "events were LOST": accounts.lost(),
        "posts got no answer": accounts.unanswered,
        "broken posts were accepted": accounts.broken_accepted,
        "good posts were refused": accounts.good_refused,
        "copies carried another identity": accounts.changed_identity,
    }
    wrong = accounts.wrong_reasons()
    lines = [f"{count} {what}" for what, count in found.items() if count]
    return lines + ([f"{len(wrong)} dead letters have a wrong reason, for example {wrong[0]}"] if wrong else [])


WIDE = 80
"""Columns that all quantiles need where none takes 10 s; a terminal too narrow for them gets NARROW_QUANTILES."""

NARROW_QUANTILES = ("p50", "p99", "max")


def as_table(result: dict[str, Any], width: int = WIDE) -> RenderableType:
    """The same for people, in so many columns; no figure is cut."""
    whole = _latencies(result, tuple(QUANTILES))
    fits = Console(width=10_000).measure(whole).maximum <= width
    return Group(_counts(result), whole if fits else _latencies(result, NARROW_QUANTILES))


def _counts(result: dict[str, Any]) -> Table:
    table = Table(title="What became of each event", title_justify="left", show_header=False)
    table.add_column("what", no_wrap=True)
    table.add_column("how many", justify="right")
    table.add_column("meaning", style="dim")
    rows = (
        ("sent", "posted to the receiver, or put straight on the stream"),
        ("rejected", "broken JSON that the receiver answered with 4xx"),
        ("accepted", "answered 202: stored in the stream"),
        ("injected", "garbage put straight on the stream"),
        ("delivered", "came out at the rule's target"),
        ("deadLettered", "came out in the dead-letter queue"),
    )
    for key, meaning in rows:
        table.add_row(_words(key), f"{result[key]:,}", meaning)
    for reason, count in result["deadLettersByReason"].items():
        table.add_row(f"  {reason}", f"{count:,}", "")
    table.add_row("duplicates", f"{result['duplicates']:,}", "further copies, all with the same ids")
    style = "bold red" if result["lost"] else "bold green"
    table.add_row("lost", f"{result['lost']:,}", "accepted or injected, and came out nowhere", style=style)
    table.add_section()
    table.add_row(
        "rate", f"{result['eventsPerSecond']:,.0f}/s", f"in {result['seconds']:.1f} s, first post to last arrival"
    )
    per_call = result["entriesPerCall"]
    table.add_row(
        "entries a call", "-" if per_call is None else f"{per_call:.2f}", "of PutEvents; a classic bus takes 10"
    )
    return table


def _latencies(result: dict[str, Any], names: Sequence[str]) -> Table:
    table = Table(title="Latency in milliseconds", title_justify="left")
    table.add_column("stage", no_wrap=True)
    for name in names:
        table.add_column("p99.9" if name == "p999" else name, justify="right")
    for stage, found in result["stagesMs"].items():
        table.add_row(stage, *(_ms(found[name]) for name in names))
    product = result["product"]
    for source, title in (("latencyMs", "the product's metrics say"), ("cloudWatch", "CloudWatch says")):
        if found_by_stage := product.get(source):
            table.add_section()
            table.add_row(title, style="dim")
            for stage, found in found_by_stage.items():
                table.add_row(f"  {stage}", *(_ms(found.get(name)) for name in names))
    return table


def _words(key: str) -> str:
    return "dead letters" if key == "deadLettered" else key


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def show(result: dict[str, Any], console: Console) -> None:
    """Print the table."""
    console.print(as_table(result, console.width))

"""What is shown of one consumer: headroom, rates, percentiles by stage, shards, retries and dead letters."""

from collections.abc import Iterable
from typing import Any

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from stream_router.top import verdict
from stream_router.top.flow import Fact, flow
from stream_router.top.words import UNKNOWN, get, millis, number, rate, seconds, since, size

WIDE = 100
STAGES = {
    "received_to_stored": "received → stored",
    "stored_to_read": "stored → read",
    "read_to_sent": "read → sent",
    "sent_to_accepted": "sent → accepted",
    "received_to_accepted": "whole way",
    "received_to_dead_lettered": "to dead letter",
}
PERCENTILES = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p999": "p99.9", "max": "max"}
SORTS = ("state", "lag", "shard")
"""What the shards are sorted by; the worst is on top."""


def figures(status: dict[str, Any], width: int) -> RenderableType:
    """How long data is safe, how far behind, how fast; what the consumer stands on."""
    lag, rates, unread = status.get("lag") or {}, status.get("rates") or {}, status.get("unreadShards")
    behind: list[Fact] = [
        ("data safe for", seconds(lag.get("retentionHeadroomS"))),
        ("oldest unsettled", seconds(lag.get("oldestUnsettledAgeS"))),
        ("caught up in", seconds(lag.get("catchUpS"))),
    ]
    speed: list[Fact] = [
        ("delivered", rate(rates.get("deliveredPerS"))),
        ("read", rate(rates.get("recordsPerS"))),
        ("retries", rate(rates.get("retriesPerS"))),
        ("dead letters", rate(rates.get("deadLettersPerS"))),
    ]
    around: list[Fact] = [
        ("bus", get(status, "bus", "state") or UNKNOWN, ""),
        ("rule", get(status, "rule", "state") or UNKNOWN, ""),
        ("unread shards", UNKNOWN if unread is None else str(len(unread)), "bold red" if unread else ""),
        ("daemon restarts", number(get(status, "daemon", "restarts")), ""),
        ("JVM", size(get(status, "daemon", "rssBytes")), ""),
    ]
    return Group(*(flow(width, facts) for facts in (behind, speed, around)))


def latencies(status: dict[str, Any]) -> RenderableType:
    """Percentiles by stage, of the last minutes."""
    minutes = (get(status, "recent", "seconds") or 0) / 60
    table = _table(f"latency, {minutes:.0f} min" if minutes else "latency", *PERCENTILES.values())
    of_stage = get(status, "recent", "latenciesMs") or {}
    for stage, title in STAGES.items():
        if told := of_stage.get(stage):
            shown = (millis(told.get(name)) if told.get("count", 1) else UNKNOWN for name in PERCENTILES)
            table.add_row(title, *shown, style="bold" if stage == "received_to_accepted" else "")
    return table


def shards(status: dict[str, Any], sort: str, width: int, most: int) -> RenderableType:
    """A line for each shard, the worst first, at most so many; where it is wide also who has it and why it waits."""
    wide = width >= WIDE
    more = ("calls", "delivered", "owner") if wide else ()
    table = _table("shard", "state", "lag", "safe for", "window", "checkpt", *more)
    found = sorted(filter(None, status.get("shards") or []), key=lambda shard: _key(shard, sort))
    for shard in found[:most]:
        gauges = shard.get("gauges") or {}
        state = Text(str(shard.get("state", UNKNOWN)), verdict.STYLES[verdict.looks(shard.get("state"))])
        cells = [
            seconds(gauges.get("oldest_unsettled_age_seconds")),
            seconds(gauges.get("retention_headroom_seconds")),
            size(gauges.get("window_bytes")),
            seconds(gauges.get("checkpoint_age_seconds")),
        ]
        if wide:
            calls = f"{number(gauges.get('calls_in_flight'))} of {number(gauges.get('calls_ceiling'))}"
            cells += [calls, number(get(shard, "counters", "delivered")), str(shard.get("owner") or UNKNOWN)]
        table.add_row(_name(shard.get("shard"), wide=wide), state, *cells)
    notes = [*_reasons(found, status.get("at")), *_unread(status)]
    if len(found) > most:
        notes.insert(0, Text(f"{len(found) - most} more shards", "dim"))
    if not found:
        notes.insert(0, Text("this worker has no shard now", "dim"))
    return Group(*([table] if found else []), *notes)


def counts(status: dict[str, Any]) -> RenderableType:
    """Dead letters by reason and retries by code, since the start."""
    lines = []
    for title, key in (("dead letters", "deadLetters"), ("retries", "retries")):
        found = [one for one in (get(status, "totals", key) or {}).items() if one[1]]
        ordered = sorted(found, key=lambda one: (-one[1], one[0]))
        said = ", ".join(f"{name or '(no code)'} {number(count)}" for name, count in ordered)
        lines.append(Text(f"{title}: ").append(said or "none", "bold" if said else "dim"))
    return Group(*lines)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for n, column in enumerate(columns):
        is_text = n == 0 or column in ("state", "owner")
        # rich takes room from columns that may wrap; a name without spaces does not, it is cut off.
        gives_way = column == "owner"
        justify: JustifyMethod = "left" if is_text else "right"
        table.add_column(column, justify=justify, no_wrap=not gives_way, overflow="ellipsis")
    return table


def _key(shard: dict[str, Any], sort: str) -> tuple[float, float, str]:
    lag = get(shard, "gauges", "oldest_unsettled_age_seconds")
    age = -lag if isinstance(lag, int | float) else 0.0
    bad = -float(verdict.looks(shard.get("state")))
    first = {"state": (bad, age), "lag": (age, bad)}.get(sort, (0.0, 0.0))
    return (*first, str(shard.get("shard")))


def _name(shard: object, *, wide: bool) -> str:
    """`shardId-000000000001` is `1` where there is no room."""
    short = str(shard).removeprefix("shardId-").lstrip("0") or "0"
    return str(shard) if wide or not short.isdigit() else short


def _reasons(found: Iterable[dict[str, Any]], at: object) -> Iterable[Text]:
    for shard in found:
        if shard.get("reason") and verdict.looks(shard.get("state")) != verdict.GOOD:
            begun = since(shard.get("since"), at)
            name = _name(shard.get("shard"), wide=False)
            yield Text(f"  {name} since {begun}: {shard['reason']}" if begun else f"  {name}: {shard['reason']}", "dim")


def _unread(status: dict[str, Any]) -> Iterable[Text]:
    for one in filter(None, status.get("unreadShards") or []):
        begun = since(one.get("since"), status.get("at"))
        said = f"  nobody reads {one.get('shard')}: {one.get('why')}"
        yield Text(said + (f", since {begun}" if begun else ""), verdict.STYLES[verdict.BAD])

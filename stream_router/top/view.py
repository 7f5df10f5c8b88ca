"""The whole view of one moment: the verdict first, then what explains it. Fits 60 columns; more room, more columns."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from stream_router.top.words import UNKNOWN, get, millis, number, rate, seconds, since, size

WIDE = 100
"""Columns from which on a shard's line also says who has it, and its calls."""

KEYS = "q quit"
PERCENTILES = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p999": "p99.9", "max": "max"}
STAGES = {
    "received_to_stored": "received → stored",
    "stored_to_read": "stored → read",
    "read_to_sent": "read → sent",
    "sent_to_accepted": "sent → accepted",
    "received_to_accepted": "whole way",
    "received_to_dead_lettered": "to dead letter",
}

GOOD, WARN, BAD = 0, 1, 2
STYLES = ("green", "yellow", "bold red")
SIGNS = ("✓", "◐", "✗")
LOOKS = {
    **dict.fromkeys(("caught up", "running", "ready"), GOOD),
    **dict.fromkeys(("catching up", "back-pressure", "careful", "starting", "restarting", "draining"), WARN),
    **dict.fromkeys(("hanging", "holding", "rule unmatched", "shards unread", "cut off", "not ready"), BAD),
    **dict.fromkeys(("stream down", "stream partly down", "spill failing"), BAD),
}
"""How bad a state is. Of one that a later version knows nothing is said but the state itself, as a warning."""


class Host(NamedTuple):
    """What one admin port said."""

    url: str
    program: Literal["consume", "receive"] | None
    """None where it did not answer as one of ours."""
    status: dict[str, Any]
    error: str
    """Why there is no status, in words; "" where there is one."""

    @property
    def bad(self) -> int:
        """GOOD, WARN or BAD; a host that does not answer is as bad as one that holds."""
        return BAD if self.error else LOOKS.get(str(self.status.get("state")), WARN)


def screen(hosts: Sequence[Host], console: Console, *, live: bool = False) -> RenderableType:
    """All hosts that were asked; of several consumers the worst is shown whole, the others are a line each.

    On a `live` screen the shards are cut to what fits above the line of keys.
    """
    consumers = [host for host in hosts if host.program == "consume"]
    chosen = max(consumers, key=lambda host: host.bad, default=None)
    several = len(hosts) > 2 or len(consumers) > 1
    others = [host for host in hosts if host.program != "consume" and (host.program or not several)]
    parts: list[RenderableType] = []
    if several:
        parts += [_verdict_of_all(hosts), *_lines(hosts, console.height // 3 if live else len(hosts))]
    if chosen:
        name = [Text(chosen.url, "underline")] if several else []
        parts += [*name, _verdict(chosen), _figures(chosen.status, console.width), _latencies(chosen.status)]
    below = [_counts(chosen.status)] if chosen else []
    below += [_receiver(host, console.width) for host in others]
    most = max(1, console.height - _height(console, [*parts, *below]) - 4) if live else 10_000
    shards = [_shards(chosen.status, console.width, most)] if chosen else []
    whole = Group(*parts, *shards, *below)
    if not live:
        return whole
    lines = console.render_lines(whole, console.options.update(height=None), pad=False)[: max(1, console.height - 1)]
    drawn = [Text.assemble(*((part.text, part.style or "") for part in line if not part.control)) for line in lines]
    return Group(*drawn, Text(KEYS, "dim"))


def _height(console: Console, parts: Sequence[RenderableType]) -> int:
    return len(console.render_lines(Group(*parts), pad=False))


# --- verdicts


def _verdict(host: Host) -> Text:
    """State, since when, why."""
    style, sign = STYLES[host.bad], SIGNS[host.bad]
    if host.error:
        return Text(f"{sign} {host.url} {host.error}", style)
    status = host.status
    begun = since(status.get("since"), status.get("at"))
    said = f"{sign} {str(status.get('state', 'unknown')).upper()}" + (f" since {begun} UTC" if begun else "")
    return Text(said, style).append(f": {status['reason']}" if status.get("reason") else "", style)


def _verdict_of_all(hosts: Sequence[Host]) -> Text:
    """How many are well, and the worst of the others."""
    worst = max(hosts, key=lambda host: host.bad)
    well = sum(host.bad == GOOD for host in hosts)
    text = Text(f"{SIGNS[worst.bad]} {well} of {len(hosts)} well", STYLES[worst.bad])
    if worst.bad == GOOD:
        return text
    what = worst.error or f"{worst.status.get('state', 'unknown')}, {worst.status.get('reason') or 'no reason told'}"
    return text.append(f"; {_place(worst)}: {what}")


def _lines(hosts: Sequence[Host], most: int) -> list[RenderableType]:
    """One line a host; where there are more than `most` of them, for the worst."""
    more: list[RenderableType] = []
    if len(hosts) > most:
        more = [Text(f"{len(hosts) - most + 1} more hosts", "dim")]
        hosts = sorted(hosts, key=lambda host: -host.bad)[: most - 1]
    table = _table("host", "state", "lag", "safe for", "rate", "p99")
    for host in hosts:
        status, consumes = host.status, host.program == "consume"
        lag = [get(status, "lag", key) for key in ("oldestUnsettledAgeS", "retentionHeadroomS")]
        whole = get(status, "recent", "latenciesMs", "received_to_accepted") if consumes else _answers(status)
        p99 = whole.get("p99") if whole and whole.get("count") else None
        table.add_row(
            _place(host),
            Text("no answer" if host.error else str(status.get("state", "unknown")), STYLES[host.bad]),
            *(seconds(one) for one in lag),
            rate(get(status, "rates", "deliveredPerS" if consumes else "storedPerS")),
            millis(p99),
        )
    return [table, *more]


def _place(host: Host) -> str:
    return host.url.partition("//")[2]


# --- a consumer


def _figures(status: dict[str, Any], width: int) -> RenderableType:
    """How long data is safe, how far behind, how fast; what the consumer stands on."""
    lag, rates, unread = status.get("lag") or {}, status.get("rates") or {}, status.get("unreadShards")
    behind: list[Fact] = [
        ("data safe for", seconds(lag.get("retentionHeadroomS"))),
        ("oldest unsettled", seconds(lag.get("oldestUnsettledAgeS"))),
        ("caught up in", seconds(lag.get("catchUpS"))),
    ]
    speed: list[Fact] = [
        ("last minute: delivered", rate(rates.get("deliveredPerS"))),
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
    return Group(*(_flow(width, facts) for facts in (behind, speed, around)))


def _latencies(status: dict[str, Any]) -> RenderableType:
    """Percentiles by stage, of the last minutes."""
    minutes = (get(status, "recent", "seconds") or 0) / 60
    table = _table(f"latency, {minutes:.0f} min" if minutes else "latency", *PERCENTILES.values())
    of_stage = get(status, "recent", "latenciesMs") or {}
    for stage, title in STAGES.items():
        if told := of_stage.get(stage):
            shown = (millis(told.get(name)) if told.get("count", 1) else UNKNOWN for name in PERCENTILES)
            table.add_row(title, *shown, style="bold" if stage == "received_to_accepted" else "")
    return table


def _shards(status: dict[str, Any], width: int, most: int) -> RenderableType:
    """A line for each shard, the worst first, at most so many; where it is wide also who has it and why it waits."""
    wide = width >= WIDE
    table = _table(
        *("shard", "state", "lag", "safe for", "window", "checkpt"), *(("calls", "delivered") if wide else ())
    )
    found = sorted(filter(None, status.get("shards") or []), key=_worst_first)
    for shard in found[:most]:
        gauges = shard.get("gauges") or {}
        cells = [
            seconds(gauges.get("oldest_unsettled_age_seconds")),
            seconds(gauges.get("retention_headroom_seconds")),
            size(gauges.get("window_bytes")),
            seconds(gauges.get("checkpoint_age_seconds")),
        ]
        if wide:
            calls = f"{number(gauges.get('calls_in_flight'))} of {number(gauges.get('calls_ceiling'))}"
            cells += [calls, number(get(shard, "counters", "delivered"))]
        state = Text(str(shard.get("state", UNKNOWN)), STYLES[_looks(shard)])
        table.add_row(_name(shard.get("shard"), wide=wide), state, *cells)
    notes = [Text(f"{len(found) - most} more shards", "dim")] if len(found) > most else []
    notes += [Text("this worker has no shard now", "dim")] if not found else []
    for shard in found:
        if shard.get("reason") and _looks(shard) != GOOD:
            begun, name = since(shard.get("since"), status.get("at")), _name(shard.get("shard"), wide=False)
            notes.append(Text(f"  {name}{f' since {begun}' if begun else ''}: {shard['reason']}", "dim"))
    for one in filter(None, status.get("unreadShards") or []):
        begun = since(one.get("since"), status.get("at"))
        said = f"  nobody reads {one.get('shard')}: {one.get('why')}{f', since {begun}' if begun else ''}"
        notes.append(Text(said, STYLES[BAD]))
    return Group(*([table] if found else []), *notes)


def _looks(shard: dict[str, Any]) -> int:
    return LOOKS.get(str(shard.get("state")), WARN)


def _worst_first(shard: dict[str, Any]) -> tuple[float, float, str]:
    lag = get(shard, "gauges", "oldest_unsettled_age_seconds")
    return -_looks(shard), -lag if isinstance(lag, int | float) else 0.0, str(shard.get("shard"))


def _name(shard: object, *, wide: bool) -> str:
    """`shardId-000000000001` is `1` where there is no room."""
    short = str(shard).removeprefix("shardId-").lstrip("0") or "0"
    return str(shard) if wide or not short.isdigit() else short


def _counts(status: dict[str, Any]) -> RenderableType:
    """Dead letters by reason and retries by code, since the start."""
    lines = []
    for title, key in (("dead letters", "deadLetters"), ("retries", "retries")):
        found = [one for one in (get(status, "totals", key) or {}).items() if one[1]]
        ordered = sorted(found, key=lambda one: (-one[1], one[0]))
        said = ", ".join(f"{name or '(no code)'} {number(count)}" for name, count in ordered)
        lines.append(Text(f"{title}: ").append(said or "none", "bold" if said else "dim"))
    return Group(*lines)


# --- a receiver


def _receiver(host: Host, width: int) -> RenderableType:
    """Verdict, rates and latency of the answers, the stream, the spill, refusals by reason."""
    if host.error:
        return _verdict(host)
    status = host.status
    rates, latency = status.get("rates") or {}, _answers(status)
    speed: list[Fact] = [
        ("last minute: stored", rate(rates.get("storedPerS"))),
        ("spilled", rate(rates.get("spilledPerS")), ""),
        ("refused", rate(rates.get("refusedPerS"))),
        ("answer p50", millis(latency.get("p50"))),
        ("p99", millis(latency.get("p99"))),
        ("connections", number(status.get("connections")), ""),
    ]
    refused = []
    for title, key in (("refused: ", "answers"), ("stream refused: ", "failures")):  # by us, and by AWS's codes
        told = (get(status, "totals", key) or {}).items()
        found = [f"{name} {number(count)}" for name, count in told if count and not name.startswith("2")]
        refused += [Text(title).append(", ".join(found), "bold")] if found else []
    head = Text("receiver ").append_text(_verdict(host))
    return Group(head, _flow(width, speed), _flow(width, _stream_and_spill(status)), *refused)


def _answers(status: dict[str, Any]) -> dict[str, Any]:
    """Percentiles of the answers of the last minutes."""
    told = get(status, "recent", "latenciesMs", "answered") or {}
    return told if told.get("count") else {}


def _stream_and_spill(status: dict[str, Any]) -> "list[Fact]":
    up, code = get(status, "kinesis", "up"), get(status, "kinesis", "code")
    stream = {True: "takes events", False: f"takes nothing ({code})" if code else "takes nothing"}.get(up, UNKNOWN)
    refusing = get(status, "kinesis", "bucketsRefusing") or 0
    if up and refusing:
        stream = f"refuses {number(refusing)} of its buckets"
    facts: list[Fact] = [("stream", stream, "bold red" if up is False or refusing else "")]
    if up is False and (tried := since(get(status, "kinesis", "lastTriedAt"), status.get("at"))):
        facts.append(("last tried", f"{tried} UTC", ""))
    events = get(status, "spill", "events")
    facts.append(("spill", f"{number(events)} events"))
    if events:
        facts.append(("oldest", seconds(get(status, "spill", "oldestAgeS")), "yellow"))
        facts.append(("size", size(get(status, "spill", "bytes")), "yellow"))
    if get(status, "spill", "failing"):
        facts.append(("its disk", "refuses", "bold red"))
    return facts


# --- tables and lines

Fact = tuple[str, str] | tuple[str, str, str]
"""What it is, the value, and the value's style (bold where none is given)."""


def _flow(width: int, facts: Iterable[Fact]) -> Text:
    """The facts in order, as many on a line as fit: a line is broken between two facts and never inside one."""
    whole = Text()
    used = 0
    for what, value, *style in facts:
        needs = len(what) + 1 + len(value)
        if used:
            fits = used + 2 + needs <= width
            whole.append("  " if fits else "\n")
            used = used + 2 if fits else 0
        whole.append(f"{what} ", "dim").append(value, style[0] if style else "bold")
        used += needs
    return whole


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for n, column in enumerate(columns):
        is_text = n == 0 or column == "state"
        justify: JustifyMethod = "left" if is_text else "right"
        table.add_column(column, justify=justify, no_wrap=True, overflow="ellipsis")
    return table

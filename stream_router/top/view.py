"""View of the hosts' status at one moment: the worst verdict first, then the figures that explain it.

The view fits a terminal of 60 columns, and uses more columns if there are more.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream_router.telemetry.metrics_catalogue import STAGE_LABELS
from stream_router.telemetry.verdict import Level, level_of, no_answer, rank_of, sentence
from stream_router.top.words import (
    UNKNOWN,
    events_a_second,
    get,
    millis,
    number,
    records_a_second,
    seconds,
    since,
    size,
)

WIDE = 100
"""Number of columns from which on a shard's line also shows its calls and its delivered events."""

TERMINAL = 80
"""Number of columns of a usual terminal. A narrower terminal gets shorter headers."""

LINES_MAX = 10
"""Maximum number of hosts with a line on a live screen, so that there is room for the host that is shown whole."""

KEYS = "q quit"
PERCENTILES = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p999": "p99.9", "max": "max"}

STYLES = {Level.GOOD: "green", Level.WARN: "yellow", Level.BAD: "bold red"}
SIGNS = {Level.GOOD: "✓", Level.WARN: "◐", Level.BAD: "✗"}

Facts = tuple[tuple[str, str, Callable[[Any], str]], ...]
"""Figures of one subject: for each its label, its path in `/status`, and the function that makes it a text."""


def _how_many(unread: Any) -> str:
    """Return the number of unread shards as text. A host that does not report them gives UNKNOWN, not 0."""
    return UNKNOWN if unread is None else str(len(unread))


CONSUMER: tuple[Facts, ...] = (
    (
        ("data safe for", "lag.retentionHeadroomS", seconds),
        ("oldest unsettled event", "lag.oldestUnsettledAgeS", seconds),
        ("caught up in", "lag.catchUpS", seconds),
    ),
    (
        ("last minute: delivered", "rates.deliveredPerS", events_a_second),
        ("read", "rates.recordsPerS", records_a_second),
        ("sent again", "rates.retriesPerS", events_a_second),
        ("dead letters", "rates.deadLettersPerS", events_a_second),
    ),
    (
        ("bus", "bus.state", lambda state: state or UNKNOWN),
        ("rule", "rule.state", lambda state: state or UNKNOWN),
        ("unread shards", "unreadShards", _how_many),
        ("daemon restarts", "daemon.restarts", number),
        ("JVM", "daemon.rssBytes", size),
    ),
)
RECEIVER: tuple[Facts, ...] = (
    (
        ("last minute: stored", "rates.storedPerS", events_a_second),
        ("spilled", "rates.spilledPerS", events_a_second),
        ("refused", "rates.refusedPerS", events_a_second),
        ("answer p50", "recent.latenciesMs.answered.p50", millis),
        ("p99", "recent.latenciesMs.answered.p99", millis),
        ("connections", "connections", number),
    ),
    (
        ("stream", "kinesis.up", lambda up: {True: "takes events", False: "takes nothing"}.get(up, UNKNOWN)),
        ("partition groups refused", "kinesis.bucketsRefusing", number),
        ("spilled events", "spill.events", number),
        ("oldest", "spill.oldestAgeS", seconds),
        ("size", "spill.bytes", size),
    ),
)
SHARD: Facts = (
    ("lag", "gauges.oldest_unsettled_age_seconds", seconds),
    ("safe for", "gauges.retention_headroom_seconds", seconds),
    ("window", "gauges.window_bytes", size),
    ("checkpt", "gauges.checkpoint_age_seconds", seconds),
)
SHARD_WIDE: Facts = (
    *SHARD,
    ("in flight", "gauges.calls_in_flight", number),
    ("of", "gauges.calls_ceiling", number),
    ("delivered", "counters.delivered", number),
)
LEGEND = (
    "lag: age of the oldest event that is not settled. safe for: until the stream deletes it. "
    "window: bytes read and not settled. checkpt: age of the checkpoint, from which a crash reads again."
)
LEGEND_WIDE = f"{LEGEND} in flight: PutEvents calls without an answer yet, of how many may be. delivered: events."


class Host(NamedTuple):
    """Answer of one admin port."""

    url: str
    program: Literal["consume", "receive"] | None
    """Program behind the port; None if the answer is not that of one of our programs."""
    status: dict[str, Any]
    error: str
    """Reason why there is no status, in words; "" if there is a status."""

    @property
    def verdict(self) -> Mapping[str, Any]:
        """Fields of `/status`: the program's own verdict, or the verdict that the program does not answer."""
        return no_answer(self.place, self.error) if self.error else self.status

    @property
    def level(self) -> Level:
        """Severity of the verdict."""
        return level_of(self.verdict)

    @property
    def place(self) -> str:
        """Address of the port as HOST:PORT."""
        return self.url.partition("//")[2]


def verdict_of(hosts: Sequence[Host]) -> Host:
    """Return the host whose verdict is the worst by the table of states. Raises ValueError if there is no host."""
    return min(hosts, key=lambda host: rank_of(host.verdict))


def screen(hosts: Sequence[Host], console: Console, *, live: bool = False) -> RenderableType:
    """Return the view of all hosts, the worst verdict first.

    Of several consumers only the one with the worst verdict is shown with its figures and shards; each of the others
    has one line. The shards come last, the worst first, so that a full `live` screen cuts off the least important
    lines.
    """
    consumers = [host for host in hosts if host.program == "consume"]
    chosen = verdict_of(consumers) if consumers else None
    several = len(hosts) > 2 or len(consumers) > 1
    parts: list[RenderableType] = [Text(KEYS, "dim", justify="right")] if live else []
    parts += [_first_line(hosts), *_advice(verdict_of(hosts))]
    if several:
        parts += _lines(hosts, LINES_MAX if live else len(hosts), console.width)
    if chosen:
        parts += [Text(chosen.url, "underline")] if several else []
        parts += [Text("consumer ").append_text(_verdict(chosen))] if len(hosts) > 1 else []
        parts += [_figures(chosen.status, CONSUMER, console.width), _latencies(chosen.status)]
        parts += _tables(chosen.status, {"dead letters": "deadLetters", "retries": "retries"})
    for host in hosts:
        if host.program == "receive":
            parts += [Text("receiver ").append_text(_verdict(host))] if len(hosts) > 1 else []
            parts += [_figures(host.status, RECEIVER, console.width)]
            parts += _tables(host.status, {"answers": "answers", "stream refused": "failures"})
        elif host.error and not several and len(hosts) > 1:
            parts.append(_verdict(host))
    parts += [_shards(chosen.status, console.width)] if chosen else []
    return Group(*parts)


def _verdict(host: Host) -> Text:
    """Return state, code, beginning and reason of a host's verdict."""
    verdict, level = host.verdict, host.level
    begun = since(verdict.get("since"), host.status.get("at"))
    return Text(f"{SIGNS[level]} {sentence(verdict, f'{begun} UTC' if begun else '')}", STYLES[level])


def _first_line(hosts: Sequence[Host]) -> Text:
    """Return the worst verdict of all programs, and the number of programs that are well."""
    line = _verdict(verdict_of(hosts))
    if len(hosts) > 1:
        well = sum(host.level is Level.GOOD for host in hosts)
        line.append(f" [{well} of {len(hosts)} well]")
    return line


def _advice(host: Host) -> list[RenderableType]:
    """Return what the host's verdict means for its events, and the cure; an empty list if the host is well."""
    if host.level is Level.GOOD:
        return []
    texts = [host.verdict.get("meaning"), host.verdict.get("cure")]
    return [Text(" ".join(str(text) for text in texts if text), "dim")] if any(texts) else []


def _lines(hosts: Sequence[Host], most: int, width: int) -> list[RenderableType]:
    """Return a table with one line for each host, at most `most` lines.

    If there are more hosts, only the worst ones have a line, the worst first, and a last line counts the others.
    """
    table = _table("host", "state", "lag", "safe for", "events/s" if width >= TERMINAL else "ev/s", "p99")
    shown = sorted(hosts, key=lambda host: rank_of(host.verdict))[:most] if len(hosts) > most else hosts
    for host in shown:
        status, consumes = host.status, host.program == "consume"
        table.add_row(
            host.place,
            Text(str(host.verdict.get("state") or "unknown"), STYLES[host.level]),
            seconds(get(status, "lag.oldestUnsettledAgeS")),
            seconds(get(status, "lag.retentionHeadroomS")),
            number(get(status, "rates.deliveredPerS" if consumes else "rates.storedPerS")),
            millis(get(status, f"recent.latenciesMs.{'received_to_accepted' if consumes else 'answered'}.p99")),
        )
    if len(hosts) > most:
        return [table, Text(f"{len(hosts) - most} more hosts", "dim")]
    return [table]


def _figures(status: dict[str, Any], lines: Sequence[Facts], width: int) -> RenderableType:
    """Return the figures in their order, as many on a line of `width` columns as fit.

    Each of `lines` begins a line of its own. A line breaks between two figures, never inside one.
    """
    whole = Text()
    for line in lines:
        used = 0
        for label, path, in_words in line:
            value = in_words(get(status, path))
            needs = len(label) + 1 + len(value)  # two blanks separate it from the figure before
            fits = bool(used) and used + 2 + needs <= width
            if fits:
                whole.append("  ")
            elif whole:
                whole.append("\n")
            whole.append(f"{label} ", "dim").append(value, "bold")
            used = used + 2 + needs if fits else needs
    return whole


def _latencies(status: dict[str, Any]) -> RenderableType:
    """Return a table of the latency of each stage, in percentiles over the last minutes.

    A stage that no event has passed is left out.
    """
    minutes = (get(status, "recent.seconds") or 0) / 60
    table = _table(f"latency, {minutes:.0f} min" if minutes else "latency", *PERCENTILES.values())
    for stage, title in STAGE_LABELS.items():
        if quantiles := get(status, f"recent.latenciesMs.{stage}"):
            style = "bold" if stage == "received_to_accepted" else ""
            table.add_row(title, *(millis(quantiles.get(name)) for name in PERCENTILES), style=style)
    return table


def _tables(status: dict[str, Any], tables: dict[str, str]) -> list[Text]:
    """Return one line for each of `tables`: the counts since the program's start by reason or code, the largest first.

    `tables` has the key below `totals` in `/status` by the line's title.
    """
    lines = []
    for title, key in tables.items():
        counts = [pair for pair in (get(status, f"totals.{key}") or {}).items() if pair[1]]
        ordered = sorted(counts, key=lambda pair: (-pair[1], pair[0]))
        listing = ", ".join(f"{name or '(no code)'} {number(count)}" for name, count in ordered)
        lines.append(Text(f"{title}: ").append(listing or "none", "bold" if listing else "dim"))
    return lines


def _shards(status: dict[str, Any], width: int) -> RenderableType:
    """Return the shards that nobody reads, the reasons of shards that are not well, and a table of all shards.

    The table has the worst shard first.
    """
    facts = SHARD_WIDE if width >= WIDE else SHARD
    table = _table("shard", "state", *(title for title, _, _ in facts))
    shards = sorted(filter(None, status.get("shards") or []), key=_worst_first)
    notes = [] if shards else [Text("this worker has no shard now", "dim")]
    for unread in filter(None, status.get("unreadShards") or []):
        begun = since(unread.get("since"), status.get("at"))
        line = f"nobody reads {unread.get('shard')}: {unread.get('why')}{f', since {begun}' if begun else ''}"
        notes.append(Text(line, STYLES[Level.BAD]))
    for shard in shards:
        name = str(shard.get("shard"))
        short = name.removeprefix("shardId-").lstrip("0") or "0"
        if width < WIDE and short.isdigit():
            name = short
        table.add_row(
            name,
            Text(str(shard.get("state", UNKNOWN)), STYLES[level_of(shard)]),
            *(in_words(get(shard, path)) for _, path, in_words in facts),
        )
        if shard.get("reason") and level_of(shard) is not Level.GOOD:
            begun = since(shard.get("since"), status.get("at"))
            notes.append(Text(f"shard {short}{f' since {begun}' if begun else ''}: {shard['reason']}", "dim"))
    legend = Text(LEGEND_WIDE if width >= WIDE else LEGEND, "dim")
    return Group(*notes, table, legend) if shards else Group(*notes)


def _worst_first(shard: dict[str, Any]) -> tuple[float, float, str]:
    """Return the key by which shards are sorted: the worst verdict first, of equal verdicts the largest lag."""
    lag = get(shard, "gauges.oldest_unsettled_age_seconds")
    return rank_of(shard), -lag if isinstance(lag, int | float) else 0.0, str(shard.get("shard"))


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for n, column in enumerate(columns):
        is_text = n == 0 or column == "state"
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True, overflow="ellipsis")
    return table

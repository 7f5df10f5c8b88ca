"""The whole view of one moment: verdict first, then what explains it. Fits 60 columns; more room, more columns."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from stream_router.top import consumer_view, verdict
from stream_router.top.hosts import Host
from stream_router.top.receiver_view import answers, receiver
from stream_router.top.words import get, millis, rate, seconds

KEYS = "q quit   s sort: {sort}   h next host"
ALL_SHARDS = 10_000


class Looks(NamedTuple):
    """What the operator chose."""

    sort: str = consumer_view.SORTS[0]
    host: int = 0
    """Which of several consumers is shown whole."""
    keys: bool = False
    """Whether the line of keys is shown, and the shards are cut to what fits."""

    def pressed(self, key: str) -> "Looks":
        """The choice after a key."""
        if key == "s":
            sorts = consumer_view.SORTS
            return self._replace(sort=sorts[(sorts.index(self.sort) + 1) % len(sorts)])
        return self._replace(host=self.host + 1) if key in ("h", "\t") else self


def screen(hosts: Sequence[Host], looks: Looks, console: Console) -> RenderableType:
    """All hosts that were asked; of several consumers one is shown whole, the others are a line each."""
    consumers = [host for host in hosts if host.program == "consume"]
    others = [host for host in hosts if host.program != "consume"]
    chosen = consumers[looks.host % len(consumers)] if consumers else None
    parts: list[RenderableType] = []
    if len(hosts) > 2 or len(consumers) > 1:
        parts += [verdict.of_all(hosts), *_lines(hosts, chosen, console.height // 3 if looks.keys else len(hosts))]
        others = [host for host in others if host.program]
    if chosen:
        name = [] if len(consumers) == 1 and len(hosts) <= 2 else [Text(chosen.url, "underline")]
        status = chosen.status
        parts += [*name, verdict.line(chosen), consumer_view.figures(status, console.width)]
        parts.append(consumer_view.latencies(status))
    below = [consumer_view.counts(chosen.status)] if chosen else []
    below += [receiver(host, console.width) for host in others]
    if chosen:
        most = max(1, console.height - _height(console, [*parts, *below]) - 4) if looks.keys else ALL_SHARDS
        parts.append(consumer_view.shards(chosen.status, looks.sort, console.width, most))
    whole = Group(*parts, *below)
    return _Cut(whole, Text(KEYS.format(sort=looks.sort), "dim")) if looks.keys else whole


class _Cut:
    """The view, cut to the screen's height, with the line of keys below."""

    def __init__(self, whole: RenderableType, keys: Text) -> None:
        self._whole = whole
        self._keys = keys

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._whole, options.update(height=None), pad=False)
        for line in lines[: max(1, console.height - 1)]:
            yield from line
            yield Segment.line()
        yield self._keys


def _lines(hosts: Sequence[Host], chosen: Host | None, most: int) -> list[RenderableType]:
    """One line a host; where there are more than `most` of them, for the chosen one and the worst."""
    more: list[RenderableType] = []
    if len(hosts) > most:
        more = [Text(f"{len(hosts) - most + 1} more hosts", "dim")]
        hosts = sorted(hosts, key=lambda host: (host is not chosen, -verdict.of_host(host)))[: most - 1]
        hosts = sorted(hosts, key=lambda host: -verdict.of_host(host))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for n, column in enumerate(("host", "state", "lag", "safe for", "deliv'd", "p99")):
        table.add_column(column, justify="left" if n < 2 else "right", no_wrap=True, overflow="ellipsis")
    for host in hosts:
        bad = verdict.of_host(host)
        name = Text("▸" if host is chosen else " ").append(host.url.partition("//")[2])
        state = Text("no answer" if host.error else str(host.status.get("state", "unknown")), verdict.STYLES[bad])
        lag = [get(host.status, "lag", key) for key in ("oldestUnsettledAgeS", "retentionHeadroomS")]
        stored = get(host.status, "rates", "storedPerS")
        whole = get(host.status, "recent", "latenciesMs", "received_to_accepted") or {}
        p99 = whole.get("p99") if whole.get("count") else None
        speed = rate(get(host.status, "rates", "deliveredPerS") if host.program == "consume" else stored)
        slow = millis(p99 if host.program == "consume" else answers(host.status).get("p99"))
        table.add_row(name, state, *(seconds(one) for one in lag), speed, slow)
    return [table, *more]


def _height(console: Console, parts: Sequence[RenderableType]) -> int:
    return len(console.render_lines(Group(*parts), pad=False))

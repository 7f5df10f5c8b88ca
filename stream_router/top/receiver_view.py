"""What is shown of one receiver: whether the stream takes events, how fast, what waits in the spill."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from stream_router.top import verdict
from stream_router.top.flow import Fact, flow
from stream_router.top.hosts import Host
from stream_router.top.words import UNKNOWN, get, millis, number, rate, seconds, since, size


def receiver(host: Host, width: int) -> RenderableType:
    """Verdict, rates and latency of the answers, the spill, refusals by reason."""
    if host.error:
        return verdict.line(host)
    status = host.status
    rates, latency = status.get("rates") or {}, answers(status)
    speed: list[Fact] = [
        ("stored", rate(rates.get("storedPerS"))),
        ("spilled", rate(rates.get("spilledPerS")), ""),
        ("refused", rate(rates.get("refusedPerS"))),
        ("answer p50", millis(latency.get("p50"))),
        ("p99", millis(latency.get("p99"))),
        ("connections", number(status.get("connections")), ""),
    ]
    head = Text("receiver ").append_text(verdict.line(host))
    return Group(head, flow(width, speed), flow(width, _spill(status)), *_refusals(status))


def answers(status: dict[str, Any]) -> dict[str, Any]:
    """Percentiles of the answers of the last minute; of a version that does not tell them those since its start."""
    told = get(status, "recent", "latencyMs") or status.get("latencyMs") or {}
    return told if told.get("count") else {}


def _spill(status: dict[str, Any]) -> list[Fact]:
    up, code = get(status, "stream", "up"), get(status, "stream", "code")
    stream = {True: "takes events", False: f"takes nothing ({code})" if code else "takes nothing"}.get(up, UNKNOWN)
    refusing = get(status, "stream", "bucketsRefusing") or 0
    if up and refusing:
        stream = f"refuses {number(refusing)} of its buckets"
    facts: list[Fact] = [("stream", stream, "bold red" if up is False or refusing else "")]
    if up is False and (tried := since(get(status, "stream", "lastTriedAt"), status.get("at"))):
        facts.append(("last tried", f"{tried} UTC", ""))
    events = get(status, "spill", "events")
    facts.append(("spill", f"{number(events)} events"))
    if events:
        facts.append(("oldest", seconds(get(status, "spill", "oldestAgeS")), "yellow"))
        facts.append(("size", size(get(status, "spill", "bytes")), "yellow"))
    if get(status, "spill", "failing"):
        facts.append(("its disk", "refuses", "bold red"))
    return facts


def _refusals(status: dict[str, Any]) -> list[Text]:
    """By us, with status and reason; by the stream, with AWS's code. Since the start."""
    lines = []
    for title, key in (("refused: ", "answers"), ("stream refused: ", "failures")):
        told = (status.get(key) or {}).items()
        found = [f"{name} {number(count)}" for name, count in told if count and not name.startswith("2")]
        lines += [Text(title).append(", ".join(found), "bold")] if found else []
    return lines

"""Writes the tables of docs/metrics.md from the catalogue: `python tools/metrics.py`."""

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "metrics.md"
END = "<!-- end -->"

HELD_TO = {
    "RoutingLatencyMilliseconds": "p50 to p99.9",
    "OldestUnsettledAgeSeconds": "Maximum",
    "RetentionHeadroomSeconds": "Minimum",
    "HoldingShards": "Maximum",
    "UnreadShards": "Maximum",
    "RuleUnmatched": "Maximum",
}
"""The statistic that says something, where it is not the sum."""


def tables() -> dict[str, str]:
    """Each table's text, by what its first line says of it."""
    sys.path.insert(0, str(ROOT))
    from stream_router.telemetry import catalogue
    from stream_router.telemetry.receiver_catalogue import RECEIVER

    stages = [f"| `{name}` | {metric.text} |" for name, metric in catalogue.STAGES.items()]
    return {
        "CloudWatch": "\n".join(["| metric | unit | statistic | meaning |", "|---|---|---|---|", *_cloudwatch()]),
        "the consumer's /metrics": _prometheus(catalogue.CONSUMER),
        "the stages": "\n".join(["| stage | meaning |", "|---|---|", *stages]),
        "the receiver's /metrics": _prometheus(RECEIVER),
    }


def _cloudwatch() -> Iterable[str]:
    from stream_router.telemetry import catalogue

    for metric in (*catalogue.CONSUMER, *catalogue.STAGES.values()):
        if told := metric.cloudwatch:
            statistic = HELD_TO.get(told.name) or ("p50 to p99.9" if metric.kind == "histogram" else "Sum")
            text = "Shards that hold" if told.name == "HoldingShards" else metric.text
            if told.name == "RuleUnmatched":
                text = "1 where the rule lets our events through to no target, 0 where it does; absent if unknown"
            yield f"| `{told.name}` | {told.unit} | {statistic} | {text} |"


def _prometheus(metrics: Iterable[object]) -> str:
    from stream_router.telemetry.catalogue import Metric

    rows = ["| metric | kind | meaning |", "|---|---|---|"]
    for metric in metrics:
        assert isinstance(metric, Metric)
        labels = "{" + ",".join(metric.labels) + "}" if metric.labels else ""
        rows.append(f"| `{metric.full_name}{labels}` | {metric.kind} | {metric.text} |")
    return "\n".join(rows)


def page() -> str:
    """The page as it should be: its prose as it is, its tables as the catalogue has them."""
    text = PAGE.read_text("utf-8")
    for name, table in tables().items():
        begin = f"<!-- {name}: written by `make docs` from stream_router/telemetry/catalogue.py -->"
        before, found, rest = text.partition(begin)
        if not found:
            raise SystemExit(f"tools/metrics.py: docs/metrics.md has no place for {name}")
        text = f"{before}{begin}\n{table}\n{END}{rest.partition(END)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE} written\n")

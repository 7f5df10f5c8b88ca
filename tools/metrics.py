"""Writes the tables of docs/metrics.md from the catalogue: `python tools/metrics.py`."""

import sys
from collections.abc import Iterable
from pathlib import Path

from marked import filled

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "metrics.md"

HELD_TO = {
    "RoutingLatencyMilliseconds": "p50 to p99.9",
    "OldestUnsettledAgeSeconds": "Maximum",
    "RetentionHeadroomSeconds": "Minimum",
    "HoldingShards": "Maximum",
    "UnreadShards": "Maximum",
    "RuleUnmatched": "Maximum",
    "SpilledEvents": "Maximum",
    "SpillBytes": "Maximum",
    "SpillOldestAgeSeconds": "Maximum",
    "SpillFailing": "Maximum",
    "CertificateRemainingSeconds": "Minimum",
    "StreamDown": "Maximum",
    "ReceiverReady": "Maximum, Minimum",
}
"""The statistic that says something, where it is not the sum."""

SAYS = {
    "HoldingShards": "Shards that hold",
    "AuditFailureCount": "Tries to write audit records that failed; absent while none waits",
    "DaemonRestartCount": "Times that the KCL daemon was started again; absent before the first",
    "RuleUnmatched": "1 where the rule lets our events through to no target, 0 where it does; absent if unknown",
    "RecordsFailedCount": "Kinesis records refused, for whatever reason; `/metrics` has AWS's code",
    "CertificateRemainingSeconds": "Time until the certificate in force ends; absent where there is none",
    "StreamDown": "1 while the stream takes no events, 0 while it does; absent before the receiver serves",
}
"""The meaning, where CloudWatch's metric is not the same as Prometheus's."""


def tables() -> dict[str, str]:
    """Each table's text, by what its first line says of it."""
    sys.path.insert(0, str(ROOT))
    from stream_router.telemetry import metrics_catalogue

    stages = [f"| `{name}` | {metric.text} |" for name, metric in metrics_catalogue.STAGES.items()]
    return {
        "CloudWatch": "\n".join(["| metric | unit | statistic | meaning |", "|---|---|---|---|", *_cloudwatch()]),
        "the consumer's /metrics": _prometheus(metrics_catalogue.CONSUMER),
        "the stages": "\n".join(["| stage | meaning |", "|---|---|", *stages]),
        "the receiver's /metrics": _prometheus(metrics_catalogue.RECEIVER),
    }


def _cloudwatch() -> Iterable[str]:
    from stream_router.telemetry import metrics_catalogue

    for metric in (*metrics_catalogue.CONSUMER_IN_CLOUDWATCH, *metrics_catalogue.RECEIVER_IN_CLOUDWATCH):
        if told := metric.cloudwatch:
            statistic = HELD_TO.get(told.name) or ("p50 to p99.9" if metric.kind == "histogram" else "Sum")
            yield f"| `{told.name}` | {told.unit} | {statistic} | {SAYS.get(told.name, metric.text)} |"


def _prometheus(metrics: Iterable[object]) -> str:
    from stream_router.telemetry.metrics_catalogue import Metric

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
        begin = f"<!-- {name}: written by `make docs` from stream_router/telemetry/metrics_catalogue.py -->"
        text = filled(text, begin, table)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE} written\n")

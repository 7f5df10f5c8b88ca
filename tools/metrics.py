"""Writes the tables of docs/metrics.md from the catalogue, and that of states: `python tools/metrics.py`."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import asked
from marked import filled

if TYPE_CHECKING:
    from stream_router.telemetry.metrics_catalogue import Metric

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "metrics.md"
OPERATIONS = ROOT / "docs" / "operations.md"


def rows(shown: Iterable["Metric"], sent: Iterable["Metric"]) -> Iterator[str]:
    """A line for each metric of `/metrics`, with its name in CloudWatch; then those that only CloudWatch has."""
    yield "| `/metrics`, without `stream_router_` | CloudWatch | meaning |"
    yield "|---|---|---|"
    reported = set()
    for metric in shown:
        labels = "{" + ",".join(metric.labels) + "}" if metric.labels else ""
        name = f"{metric.full_name.removeprefix('stream_router_')}{labels}"
        sent_as = f"`{metric.cloudwatch.name}`" if metric.cloudwatch else ""
        reported.add(sent_as)
        yield f"| `{name}` | {sent_as} | {metric.text} |"
    for metric in sent:
        if metric.cloudwatch and f"`{metric.cloudwatch.name}`" not in reported:
            yield f"| | `{metric.cloudwatch.name}` | {metric.text} |"


def tables() -> dict[str, str]:
    """Each table's text, by what its first line says of it."""
    sys.path.insert(0, str(ROOT))
    from stream_router.telemetry import metrics_catalogue as catalogue

    stages = [
        f"| `{name}` | `{item.cloudwatch.name if item.cloudwatch else ''}` | {item.text} |"
        for name, item in catalogue.STAGES.items()
    ]
    consumer_sent = [item for item in catalogue.CONSUMER_IN_CLOUDWATCH if item not in catalogue.STAGES.values()]
    return {
        "the consumer": "\n".join(rows(catalogue.CONSUMER, consumer_sent)),
        "the stages": "\n".join(["| stage | CloudWatch | meaning |", "|---|---|---|", *stages]),
        "the receiver": "\n".join(rows(catalogue.RECEIVER, catalogue.RECEIVER_IN_CLOUDWATCH)),
    }


def states() -> str:
    """Return the table of states of docs/operations.md."""
    sys.path.insert(0, str(ROOT))
    from stream_router.telemetry.verdict import TABLE

    rows = ["| code | words | level | for events | do |", "|---|---|---|---|---|"]
    for code, row in TABLE.items():
        page = f" [Runbook](runbooks/{row.runbook}.md)" if row.runbook else ""
        rows.append(f"| `{code}` | {row.words} | {row.level} | {row.meaning} | {row.cure}{page} |")
    return "\n".join(rows)


def operations() -> str:
    """Return docs/operations.md with the table of states as the program has it."""
    return filled(OPERATIONS.read_text("utf-8"), "<!-- states: written by `make docs` -->", states())


def page() -> str:
    """The page as it should be: its prose as it is, its tables as the catalogue has them."""
    text = PAGE.read_text("utf-8")
    for name, table in tables().items():
        text = filled(text, f"<!-- {name}: written by `make docs` -->", table)
    return text


if __name__ == "__main__":
    asked.for_help(__doc__)
    for path, text in ((PAGE, page()), (OPERATIONS, operations())):
        path.write_text(text, "utf-8")
        sys.stdout.write(f"{path} written\n")

"""Writes the table of docs/architecture.md from the import table of the tests: `python tools/architecture.py`."""

import sys
from pathlib import Path

from marked import filled

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- written by `make docs` from tests/unit/test_imports.py -->"

DOES = {
    "__main__": "`python -m stream_router`",
    "cli": "the `stream-router` command; no logic",
    "cli_checks": "its commands that try something out: a masking policy, audit files, credentials",
    "cli_dlq": "its commands on dead letters",
    "cli_stream": "its commands on the stream: find, reconcile, replay, shards, plan",
    "cli_local": "its commands that need no AWS: top, send, local, demo",
    "settings": "the only reader of the environment, one module a program",
    "core": "what every part shares: the data, the envelope, what an AWS error means, limits, logs",
    "aws": "signed calls over libcurl, endpoints, credentials; boto3 clients for the control plane",
    "telemetry": "the catalogue of metrics, histograms, CloudWatch, Prometheus, the admin ports' server, the audit log",
    "pipeline": "an event's way through the child: open, map, mask, pack, deliver, bury (`route.py` first)",
    "pipeline/mapping": "shapes of events, field mapping, timestamps, proof that parsing changed nothing",
    "pipeline/masking": "masking policies, path patterns, detectors",
    "pipeline/delivery": "retries and their budget, circuit breaker, delay queue, bisection: for any sink",
    "pipeline/sinks": "where events go: EventBridge, dead letters, claim checks",
    "receiver": "the HTTP server: verifies, groups, stores, spills",
    "consumer": "the KCL daemon's side: what supervisor and child share",
    "consumer/supervisor": "starts the JVM, keeps it running, ends it; proves that the bus exists",
    "consumer/child": "one process a shard: protocol, checkpoints, crash isolation",
    "cxone": "CXone's OAuth2 client, event sources",
    "control": "`setup`, `doctor`, `mask`, `audit verify`: the operator's commands",
    "checks": "what `receive` and `consume` look at before they start, each with a stable code",
    "send": "signed example events of three presets, or of a file, posted at a rate",
    "top": "the live view in a terminal, over the admin ports alone",
    "fakeaws": "an AWS that enforces its limits, injects faults and keeps a ledger",
    "local": "the embedded stack and the demo",
}


def table() -> str:
    """One row for each part and room: what it does, what of the package it may import."""
    sys.path.insert(0, str(ROOT))
    from tests.unit.test_imports import MAY_IMPORT, ROOMS

    allowed = {**MAY_IMPORT, **ROOMS}
    rows = ["| folder | what it is for | may import |", "|---|---|---|"]
    for name, purpose in DOES.items():
        own = ", ".join(f"`{part}`" for part in sorted(allowed[name])) or "nothing"
        rows.append(f"| `{name}` | {purpose} | {own} |")
    missing = allowed.keys() - DOES.keys()
    if missing:
        raise SystemExit(f"tools/architecture.py: say in DOES what {sorted(missing)} is for")
    return "\n".join(rows)


def page() -> str:
    """The page as it should be: its prose as it is, its table as the tests have it."""
    return filled(PAGE.read_text("utf-8"), BEGIN, table())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE} written\n")

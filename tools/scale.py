"""Writes the tables of docs/scale.md: loads and what binds, and the costs beside others. Run by `make docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from marked import columns, filled  # noqa: E402

from benchmarks import cost  # noqa: E402  # a script's path has only its own folder
from stream_router.control.plan import command  # noqa: E402
from stream_router.control.plan.capacity import Load  # noqa: E402

PAGE = ROOT / "docs" / "scale.md"
RATES = (1_000, 10_000, 100_000, 1_000_000)


def loads() -> str:
    """What `plan` says of 1, 10, 100 and 1,000 times a small deployment."""
    plans = [command.plan(Load(rate, cost.EVENT_BYTES, cost.PEAK, cost.REGION)) for rate in RATES]
    rows = {
        "shards": [f"{one.found.shards:,}" for one in plans],
        "receivers": [f"{one.found.receivers.tasks:,}" for one in plans],
        "consumers": [f"{one.found.consumers.tasks:,}" for one in plans],
        "cores at work at the peak": [f"{one.found.receivers.cores + one.found.consumers.cores:,.1f}" for one in plans],
        "PutEvents calls a second at the peak": [f"{one.found.calls_peak:,.0f}" for one in plans],
        "lease table, writes a second": [f"{one.found.lease_writes:,.1f}" for one in plans],
        "events a Kinesis record": [f"{one.load.events_per_s / one.found.record_rate:.1f}" for one in plans],
    }
    bounds = {bound.name for one in plans for bound in one.bounds}
    for name in sorted(bounds):
        shares = [next(bound.share for bound in one.bounds if bound.name == name) for one in plans]
        rows[f"of the limit: {name}"] = [f"{share:,.0%}" if share >= 0.01 else "< 1%" for share in shares]
    return columns("events a second, mean", [f"{rate:,}" for rate in RATES], rows)


def by_hand() -> str:
    """The sum behind one figure of the table of costs."""
    dollars = cost.services(1_000)[cost.OURS]
    total = sum(dollars.values())
    parts = " + ".join(f"{name} {usd:,.2f}" for name, usd in dollars.items())
    return f"{parts} = {total:,.2f}; divided by 2,628: {total / 2_628:.2f} a million."


def page() -> str:
    """The page with its tables as they should be."""
    text = PAGE.read_text("utf-8")
    for name, part in (("loads", loads()), ("cost", "\n".join(cost.table())), ("by hand", by_hand())):
        text = filled(text, f"<!-- {name}: written by `make docs` -->", part)
    return text


def main() -> None:
    """Write them."""
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()

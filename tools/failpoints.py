"""Writes the table of docs/proof.md, "Failpoints", from stream_router/process.py. Run by `make docs`."""

import sys
from pathlib import Path

from marked import filled

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PAGE = ROOT / "docs" / "proof.md"
BEGIN = "<!-- failpoints: written by `make docs` from stream_router/process.py -->"


def main() -> None:
    """Replace what stands between the two marks."""
    from stream_router.process import FAILPOINTS

    rows = [f"| `{name}` | {says} |" for name, says in FAILPOINTS.items()]
    table = "\n".join(["| place | what has happened there, and what has not |", "|---|---|", *rows])
    PAGE.write_text(filled(PAGE.read_text("utf-8"), BEGIN, table), "utf-8")


if __name__ == "__main__":
    main()

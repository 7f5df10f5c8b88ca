"""Writes the table of docs/failpoints.md from stream_router/core/failpoints.py. Run by `make docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PAGE = ROOT / "docs" / "failpoints.md"
BEGIN, END = "<!-- written by `make docs` from stream_router/core/failpoints.py -->", "<!-- end -->"


def main() -> None:
    """Replace what stands between the two marks."""
    from stream_router.core.failpoints import PLACES

    rows = "\n".join(f"| `{name}` | {says} |" for name, says in PLACES.items())
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(
        f"{before}{BEGIN}\n| place | what has happened there, and what has not |\n|---|---|\n{rows}\n{END}{after}"
    )


if __name__ == "__main__":
    main()

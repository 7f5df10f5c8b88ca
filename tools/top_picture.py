"""Draws `stream-router top` as docs/images/top.svg, with made-up figures: `python tools/top_picture.py`."""

import io
import re
import sys
from pathlib import Path

import asked
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "top.svg"
COLUMNS = 100
_FONTS_OF_OTHERS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""rich names a font on another host; the reader's own monospace font does."""


def picture() -> str:
    """The picture of a consumer with one shard that holds, and of a receiver."""
    from stream_router.top.view import Host, screen
    from tests import statuses

    hosts = [
        Host("http://127.0.0.1:9464", "consume", statuses.holding(), ""),
        Host("http://127.0.0.1:9465", "receive", statuses.receiver(), ""),
    ]
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, height=60, force_terminal=True)
    console.print(screen(hosts, console))
    drawn = _FONTS_OF_OTHERS.sub("", console.export_svg(title="stream-router top", unique_id="top"))
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


if __name__ == "__main__":
    asked.for_help(__doc__)
    sys.path.insert(0, str(ROOT))
    PICTURE.write_text(picture(), "utf-8")
    sys.stdout.write(f"{PICTURE} written\n")

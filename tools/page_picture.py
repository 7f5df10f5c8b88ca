"""Draws the consumer's web page with made-up figures into docs/images: `python tools/page_picture.py`.

Needs Debian's package `chromium`. `make docs` leaves it out: each machine's fonts draw other bytes.
"""

import base64
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import asked

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "images"


class Picture(NamedTuple):
    """A state of the consumer in a window of a width, light or dark."""

    state: str
    width: int = 1200
    dark: bool = False


PICTURES = {
    "page": Picture("consumer"),
    "page-dark": Picture("consumer", dark=True),
    "page-narrow": Picture("holding", width=390),
    "page-empty": Picture("empty"),
    "page-starting": Picture("starting"),
    "page-hold": Picture("holding"),
}


def draw_all() -> None:
    """Write each picture. Raises AssertionError if there is no Chromium."""
    from tests import statuses
    from tests.chromium import Chromium
    from tests.integration.test_page import SHOWN, StatusServer

    quiet = statuses.history_without_events()
    hours = {"consumer": statuses.history(), "holding": statuses.history(trouble=True)}
    with tempfile.TemporaryDirectory() as profile, Chromium(Path(profile)) as browser:
        for name, picture in PICTURES.items():
            served = StatusServer(getattr(statuses, picture.state)(), hours.get(picture.state, quiet))
            browser.open(served.url, width=picture.width, dark=picture.dark)
            browser.until(SHOWN)
            drawn = browser.call("Page.captureScreenshot", captureBeyondViewport=True)
            served.port.close()
            (FOLDER / f"{name}.png").write_bytes(base64.b64decode(drawn["data"]))
            sys.stdout.write(f"{FOLDER / name}.png written\n")


if __name__ == "__main__":
    asked.for_help(__doc__)
    sys.path.insert(0, str(ROOT))
    draw_all()

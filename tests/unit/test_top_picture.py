"""The README's picture of `top` is what `top` draws today."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def test_the_picture_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn by `make docs`, and names no other host from which a browser would fetch anything."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import top_picture

    drawn = top_picture.PICTURE.read_text("utf-8")
    assert drawn == top_picture.picture(), "run `make docs`"
    assert "url(http" not in drawn

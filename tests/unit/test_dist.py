"""`make dist`'s script: which folders it touches. What it builds is installed by tests/system/test_install.py."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "tools" / "dist.py"


def test_a_named_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    """The checkout's own `dist` alone is made anew without a question."""
    (tmp_path / "letters.jsonl").write_text("kept")
    ended = subprocess.run([sys.executable, SCRIPT, tmp_path], check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert f"{tmp_path} is not empty; name a new folder" in ended.stderr
    assert (tmp_path / "letters.jsonl").read_text() == "kept"


def test_help_is_no_folder(tmp_path: Path) -> None:
    """Asked for help it says what it takes, and builds nothing."""
    ended = subprocess.run([sys.executable, SCRIPT, "--help"], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert "folder" in ended.stdout
    assert not list(tmp_path.iterdir())

"""A line that the stream refuses for good is set aside whole or not at all, on a disk with room for a part of it."""

import contextlib
import os
import sys
from pathlib import Path

from stream_router.receiver.spill import SpillFiles
from tests import small_disk

LINE = b"x" * 10_000
FREE_BYTES = 4_096
"""One page of a tmpfs, so that the kernel takes a part of the line in one call."""


def test_a_refused_line_is_set_aside_whole_or_not_at_all(tmp_path: Path) -> None:
    """Before the fix the part was synced, and counted as the whole line."""
    disk = tmp_path / "disk"
    disk.mkdir()
    output, _ = small_disk.run_on(disk, "tests.integration.test_refused_line_on_a_full_disk")
    assert output.splitlines() == ["stored: False, bytes: 0", "stored: True, bytes: 10001"]


def set_aside(files: SpillFiles, disk: Path) -> None:
    """Set the line aside, and print whether that succeeded and how large the file is."""
    stored = False
    with contextlib.suppress(OSError):
        stored = files.set_aside(LINE)
    size = (disk / "spill-0.refused.damaged").stat().st_size
    sys.stdout.write(f"stored: {stored}, bytes: {size}\n")


def main(disk: Path) -> None:
    """On `disk`, a small one: with room for a part of the line, then with room for all of it."""
    files = SpillFiles(disk)
    hog = small_disk.fill(disk)
    os.truncate(hog, hog.stat().st_size - FREE_BYTES)
    set_aside(files, disk)
    hog.unlink()
    set_aside(files, disk)
    files.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

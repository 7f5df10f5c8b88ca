"""Check of the free space of the folders that a program writes to. Run it on its own thread: a disk may hang."""

import os
from collections.abc import Mapping
from pathlib import Path

CHECK_INTERVAL_S = 5.0

FULL_BYTES = 2 * 2**20
"""Free bytes below which a disk counts as full. A segment of the spill needs 1 MiB."""

FULL_INODES = 100
"""Free inodes below which a disk counts as full: each segment, snapshot and audit file needs one."""


def nearest(folder: Path) -> Path:
    """Return the folder, or the nearest parent that exists, since the folder may be created later."""
    whole = folder.absolute()
    return next(path for path in (whole, *whole.parents) if path.exists())


def full(folder: Path) -> str:
    """Return a description of the free space if a folder's disk is full; "" if it has room or cannot be checked."""
    try:
        has = os.statvfs(nearest(folder))
    except OSError:
        return ""
    if not has.f_blocks:  # a file system without a disk, such as /proc
        return ""
    free_bytes = has.f_bavail * has.f_frsize
    if free_bytes < FULL_BYTES:
        return f"the disk of {folder} is full ({free_bytes / 2**20:.1f} MiB free)"
    if has.f_files and has.f_favail < FULL_INODES:  # some file systems count no inodes
        return f"the disk of {folder} has {has.f_favail} free inodes left"
    return ""


class Disks:
    """Folders to check, by the setting that names each."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)
        self.condition = ""
        """Description of the full disks; "" if there are none."""

    def check(self) -> None:
        """Check each folder once."""
        conditions = [f"{text} ({setting})" for setting, folder in self._folders.items() if (text := full(folder))]
        self.condition = "; ".join(conditions)

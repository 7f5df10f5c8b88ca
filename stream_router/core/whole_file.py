"""Writes a file so that a reader sees the old content or the new, never half of it; also when the process is killed."""

import os
import re
import threading
from pathlib import Path

from stream_router.core import failpoints

_NEIGHBOUR = re.compile(r"\..+\.\d+\.\d+")
"""The name of a file that is being written, or was when its writer was killed: file, process, thread."""


def write(path: Path, content: str | bytes) -> Path:
    """Write by way of a neighbour and a rename, and return `path`. Raises OSError; the old content stays then."""
    # Two processes or two threads that write one file each have a neighbour of their own.
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    neighbour.write_bytes(content.encode() if isinstance(content, str) else content)
    failpoints.reach("state_file_written_before_rename")
    return neighbour.replace(path)


def forget_halves(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder into which nobody writes now. Raises OSError."""
    for path in folder.glob(".*.*.*"):
        if _NEIGHBOUR.fullmatch(path.name):
            path.unlink(missing_ok=True)

"""Writes a file so that a reader sees the old content or the new, never half of it; also when the process is killed."""

import os
import threading
from pathlib import Path

from stream_router.core import failpoints


def write(path: Path, content: str | bytes) -> Path:
    """Write by way of a neighbour and a rename, and return `path`. Raises OSError; the old content stays then."""
    # Two processes or two threads that write one file each have a neighbour of their own.
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    neighbour.write_bytes(content.encode() if isinstance(content, str) else content)
    failpoints.reach("state_file_written_before_rename")
    return neighbour.replace(path)

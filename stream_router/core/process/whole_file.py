"""Writes a file so that a reader sees the old content or the new, never half of it; also when the process is killed."""

import errno
import os
import re
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from stream_router.core.process import failpoints

_NEIGHBOUR = re.compile(r"\..+\.\d+\.\d+")
"""The name of a file that is being written, or was when its writer was killed: file, process, thread."""


def write(path: Path, content: str | bytes) -> Path:
    """Write by way of a neighbour and a rename, and return `path`. Raises OSError; the old content stays then."""
    # Two processes or two threads that write one file each have a neighbour of their own.
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    neighbour.write_bytes(content.encode() if isinstance(content, str) else content)
    failpoints.reach("state_file_written_before_rename")
    return neighbour.replace(path)


PAGE_BYTES = 4096
"""The kernel takes so much at the start of a file in one piece: a signal comes before it or after it."""


class Rewritten:
    """One small file that this process writes over and over: in place, at a seventh of the cost of a rename.

    A kill never leaves half of a write. A power cut may: whoever reads must take what cannot be read for nothing.
    Contents end with blanks. What another process has open under this name stays its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._longest = 0
        self._descriptor = -1
        self._close: Callable[[], object] = lambda: None
        self._one_at_a_time = threading.Lock()

    def write(self, content: str) -> None:
        """Write it, whole, from any thread. Raises OSError; the old content stays then."""
        with self._one_at_a_time:
            data = content.encode().ljust(self._longest)
            if self._descriptor < 0 or len(data) > PAGE_BYTES:
                self._anew(data)
            elif os.pwrite(self._descriptor, data, 0) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            else:
                self._longest = len(data)

    def remove(self) -> None:
        """Remove the file; the next write makes it anew. Raises OSError."""
        with self._one_at_a_time:
            self._forget()
            self._path.unlink(missing_ok=True)

    def _anew(self, data: bytes) -> None:
        self._forget()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write(self._path, data)
        if len(data) <= PAGE_BYTES:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            self._close = weakref.finalize(self, os.close, self._descriptor)
            self._longest = len(data)

    def _forget(self) -> None:
        self._close()
        self._descriptor, self._longest = -1, 0


def forget_halves(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder into which nobody writes now. Raises OSError."""
    for path in folder.glob(".*.*.*"):
        if _NEIGHBOUR.fullmatch(path.name):
            path.unlink(missing_ok=True)

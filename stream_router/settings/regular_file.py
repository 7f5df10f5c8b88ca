"""A file that a setting names, read only where it is one: a pipe is waited for without end, a device never ends."""

import stat
from pathlib import Path


class NoRegularFileError(OSError):
    """It is a pipe, a device, a socket or a folder."""


def check(path: Path) -> None:
    """Raises NoRegularFileError where something else than a file stands there (OSError where nothing can be seen)."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise NoRegularFileError(0, "is no regular file")


def read(path: Path, max_bytes: int = -1) -> bytes:
    """Its content, at most so much of it. Raises as `check` does, and OSError where it cannot be read."""
    check(path)
    with path.open("rb") as file:
        return file.read(max_bytes)


def text(path: Path) -> str:
    """The same as text, without the byte order mark that some editors put first. Raises UnicodeDecodeError too."""
    return read(path).decode("utf-8-sig")


def why_no_text(error: OSError | UnicodeDecodeError) -> str:
    """What an operator is told of a file that `text` could not give."""
    return str(error.strerror) if isinstance(error, OSError) else "is not UTF-8"

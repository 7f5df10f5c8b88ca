"""The state folder on a disk that has become read-only, as a file system with errors does."""

import errno
from pathlib import Path

import pytest

from stream_router.consumer.state_dir import BUS_GONE, ENDING, StateDir


def test_what_is_not_there_needs_no_writing_to_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only file system refuses to remove even that; the supervisor asks before each daemon that it starts."""

    def refused(self: Path, *, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    with StateDir(tmp_path) as state:
        state.write(ENDING, "ends\n")
        monkeypatch.setattr(Path, "unlink", refused)
        state.discard(BUS_GONE)
        with pytest.raises(OSError, match="Read-only"):
            state.discard(ENDING)

"""Who may write a worker's files of the spill: one process at a time, and nobody before it holds their lock."""

import errno
import fcntl
import os
from collections.abc import Collection
from pathlib import Path

from stream_router.errors import SettingsError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_IN_USE = "another receiver uses it"


def lock(folder: Path, worker: int) -> int:
    """Hold a worker's files for this process alone; freed by the kernel however it ends. Raises SettingsError.

    -1 where the disk has no room even for an empty file: what is there can be drained, and `lock_late` comes before
    anything is written.
    """
    try:
        return _locked(folder, worker)
    except BlockingIOError:
        raise SettingsError(f"STREAM_ROUTER_SPILL_DIR: {_IN_USE}; give each receiver a folder of its own") from None
    except OSError as error:
        if error.errno in NO_ROOM:
            return -1
        raise SettingsError(
            f"STREAM_ROUTER_SPILL_DIR: it cannot be used ({errno.errorcode.get(error.errno or 0, 'error')}); "
            "give a folder of its own that this user can write"
        ) from None


def lock_late(folder: Path, worker: int, ours: Collection[Path]) -> int:
    """The lock that is not held while it runs. Raises OSError where it cannot be had, or comes too late.

    Too late is after another receiver left files that are not `ours`: this one's rows would have their numbers.
    """
    try:
        fd = _locked(folder, worker)
    except BlockingIOError:
        raise OSError(errno.EBUSY, _IN_USE) from None
    if any(path not in ours for path in folder.glob(f"spill-{worker}-*.seg")):
        os.close(fd)
        raise OSError(errno.EBUSY, "another receiver left files there")
    return fd


def is_held(fd: int, folder: Path, worker: int) -> bool:
    """Whether this is the lock of what has the folder's name now: another folder may have come in its place."""
    try:
        return fd >= 0 and os.path.samestat(_path(folder, worker).stat(), os.fstat(fd))
    except OSError:
        return False


def _path(folder: Path, worker: int) -> Path:
    return folder / f"spill-{worker}.lock"


def _locked(folder: Path, worker: int) -> int:
    fd = os.open(_path(folder, worker), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd

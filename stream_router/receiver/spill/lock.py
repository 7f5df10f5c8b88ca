"""Who may write a worker's files of the spill: one process at a time, and nobody before it holds their lock."""

import errno
import fcntl
import os
from pathlib import Path

from stream_router.core.process.settings_error import SettingsError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def lock(folder: Path, worker: int) -> int:
    """Hold a worker's files for this process alone; freed by the kernel however it ends. Raises SettingsError.

    -1 where the disk has no room even for an empty file: what is there can be drained, and `lock_late` comes before
    anything is written.
    """
    fd = -1
    try:
        fd = os.open(folder / f"spill-{worker}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise SettingsError(
            "STREAM_ROUTER_SPILL_DIR: another receiver uses it; give each receiver a folder of its own"
        ) from None
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise SettingsError(
                f"STREAM_ROUTER_SPILL_DIR: it cannot be used ({errno.errorcode.get(error.errno or 0, 'error')}); "
                "give a folder of its own that this user can write"
            ) from None
    return fd


def lock_late(folder: Path, worker: int) -> int:
    """The lock for which there was no room at the start. Raises OSError where it cannot be had, or comes too late.

    Too late is after another receiver left files that this one has not read: its rows would have their numbers.
    """
    try:
        fd = lock(folder, worker)
    except SettingsError as error:
        raise OSError(errno.EBUSY, str(error)) from None
    if fd < 0:
        raise OSError(errno.ENOSPC, "there is no room for a lock")
    if any(folder.glob(f"spill-{worker}-*.seg")):
        os.close(fd)
        raise OSError(errno.EBUSY, "another receiver left files there")
    return fd

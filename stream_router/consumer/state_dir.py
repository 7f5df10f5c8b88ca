"""The folder that a supervisor and its children share: target check, markers, properties. It has one supervisor."""

import contextlib
import fcntl
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Self

from stream_router.errors import SettingsError, unwritable
from stream_router.process import forget_halves, write_whole
from stream_router.settings import files
from stream_router.telemetry.merged import SNAPSHOTS

VARIABLE = "STREAM_ROUTER_STATE_DIR"

TARGET_REPORT = "target-proof"
"""File with one line of JSON: the supervisor's result of the target check (`target_check.Line`)."""

TARGET_BROKEN = "target-broken"
"""File that exists from a broken target check until an ok counts again, also over restarts of the supervisor."""

TARGET_CHECK_REQUESTED = "target-wanted"
"""Empty file. Its time of change, in monotonic seconds, is the last time at which a child waited for a target check."""

RETENTION = "retention"
"""File with one line: the retention of stream and dead-letter queue, as read at the supervisor's start."""

FATAL = "fatal"
"""File with a child's error about settings that cannot work. The supervisor logs it and ends without another daemon."""

LIVES = "shards"
"""Folder of the shards' crash markers, one file each. It alone outlives the supervisor and a reboot of the host."""

HEARTBEATS = "heartbeats"
"""Folder in which each child touches a file, named by its process id, while it makes progress."""

KEPT_DAYS = 30
"""Days after which a crash marker is deleted.

Its shard has moved to another host, or was read to its end: resharding always creates new shard names.
"""

ENDING = "daemon-ending"
"""File that the daemon's logging writes when the daemon begins to shut down, for any reason."""

WORKER_ID = "worker-id"
LOCK = "lock"
DAEMON_PROPERTIES = "daemon.properties"


def retention(folder: Path | None) -> str:
    """Return the retention for the audit's `dataRetentionPolicy`; "unknown" if the supervisor could not read it."""
    with contextlib.suppress(OSError, ValueError):
        return (folder / RETENTION).read_text("utf-8") if folder else "unknown"
    return "unknown"


class StateDir:
    """The state folder, locked for this process alone.

    It is `STREAM_ROUTER_STATE_DIR`, otherwise a private temporary folder that `close` removes. Raises SettingsError if
    it cannot be written, or another supervisor holds it.
    """

    def __init__(self, wanted: Path | None) -> None:
        self._temporary = wanted is None
        try:
            if wanted is None:
                self.path = Path(tempfile.mkdtemp(prefix="stream-router-"))
            else:
                files.make_folder(wanted, VARIABLE, 0o700)
                self.path = wanted.resolve()
            self._lock = (self.path / LOCK).open("w")
        except OSError as error:
            raise unwritable("STREAM_ROUTER_STATE_DIR", error) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            if isinstance(error, BlockingIOError):
                raise SettingsError(VARIABLE, "another `consume` is using it", "give each its own folder") from None
            raise SettingsError(
                VARIABLE,
                f"cannot be locked ({error.strerror})",
                "name a folder whose disk supports locks (flock)",
            ) from None
        # Times in files of an earlier supervisor are worthless: after a reboot the monotonic clock begins at zero.
        self.discard(TARGET_REPORT)
        self.discard(TARGET_CHECK_REQUESTED)
        self.discard(FATAL)
        for folder in (SNAPSHOTS, HEARTBEATS):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        for folder in (".", LIVES):
            forget_halves(self.path / folder)
        with contextlib.suppress(OSError):  # old markers that cannot be deleted do no harm
            for path in (self.path / LIVES).glob("*.json"):
                if path.stat().st_mtime < time.time() - KEPT_DAYS * 86_400:
                    path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder, and remove it if it is temporary."""
        self._lock.close()
        if self._temporary:
            shutil.rmtree(self.path, ignore_errors=True)

    def write(self, name: str, text: str) -> Path:
        """Replace a file as a whole, so that a reader sees the old text or the new one, and return its path."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return write_whole(self.path / name, text)

    def read(self, name: str) -> str:
        """Return a file's text; "" if it does not exist or cannot be read."""
        with contextlib.suppress(OSError):
            return (self.path / name).read_text("utf-8")
        return ""

    def discard(self, name: str) -> None:
        """Remove a file if it exists. If it does not, the disk need not be writable."""
        if (self.path / name).exists():
            (self.path / name).unlink(missing_ok=True)

    def worker_id(self, configured: str | None = None) -> str:
        """Return the name of this host's worker in the lease table, the same for each JVM that uses this folder.

        `configured` is a stable name that the platform assigns, if any (`STREAM_ROUTER_WORKER`). A restarted worker
        with the same name resumes its leases at once. A worker with a new name would wait until they expire and, in KCL
        3, until the dead leader's lock expires, which takes minutes.
        """
        if configured:
            return configured
        host = socket.gethostname()
        known = ""
        with contextlib.suppress(OSError, ValueError):  # a power failure may have cut the file off
            known = (self.path / WORKER_ID).read_text("utf-8").strip()
        # A folder copied to another host must not lead to two workers with one name: both would read the same shard.
        if known.rpartition("-")[0] != host:
            known = f"{host}-{secrets.token_hex(8)}"
            self.write(WORKER_ID, known)
        return known

"""The state folder: files that one supervisor, its daemon and its children share.

They hold the result of the target check, the crash markers, the snapshots, the heartbeats and the daemon's properties.
"""

import contextlib
import fcntl
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Self

from stream_router.errors import SettingsError, unwritable_folder_error
from stream_router.process import remove_temporary_files, write_atomically
from stream_router.settings import files
from stream_router.telemetry.merged import SNAPSHOTS

SETTING = "STREAM_ROUTER_STATE_DIR"

TARGET_REPORT = "target-proof"
"""File with one line of JSON: the result of the target check, written by the supervisor and read by its children."""

TARGET_BROKEN = "target-broken"
"""File that exists from the moment the target is broken, or its pattern changes, until an ok counts again.

It survives a restart of the supervisor: the next one waits SETTLE_S of `target_check.py` as well before an ok counts.
"""

TARGET_CHECK_REQUESTED = "target-wanted"
"""Empty file by which children request a target check. Its modification time is that of the latest request.

Unlike that of other files, this time is in seconds of the monotonic clock, so that no change of the wall clock affects
it.
"""

RETENTION = "retention"
"""File with one line: the retention of stream and dead-letter queue, as the supervisor read it at its start."""

FATAL = "fatal"
"""File with a child's SettingsError. The supervisor ends with this error, since another daemon would not help."""

CRASH_MARKERS = "shards"
"""Folder of the crash markers, one file for each shard. They survive restarts of the supervisor and of the host."""

HEARTBEATS = "heartbeats"
"""Folder in which each child touches a file, named by its process id, while a callback of the daemon makes progress."""

MARKER_RETENTION_DAYS = 30
"""Days without a change after which a crash marker is deleted.

By then its shard has moved to another host, or has ended: resharding always creates shards with new names.
"""

DAEMON_ENDING = "daemon-ending"
"""File that the daemon's logging writes when the daemon begins to shut down, for any reason."""

WORKER_ID = "worker-id"
LOCK = "lock"
DAEMON_PROPERTIES = "daemon.properties"


def read_retention(folder: Path | None) -> str:
    """Return the text for `dataRetentionPolicy` in audit records; "unknown" if the supervisor has not written it.

    `folder` is the state folder; None if there is none.
    """
    with contextlib.suppress(OSError, ValueError):
        return (folder / RETENTION).read_text("utf-8") if folder else "unknown"
    return "unknown"


class StateDir:
    """The state folder, locked for this supervisor alone.

    The folder is `configured` (STREAM_ROUTER_STATE_DIR). If that is None, it is a private temporary folder, which
    `close` removes. Raises SettingsError if the folder cannot be written, or another supervisor has locked it.
    """

    def __init__(self, configured: Path | None) -> None:
        self._is_temporary = configured is None
        try:
            if configured is None:
                self.path = Path(tempfile.mkdtemp(prefix="stream-router-"))
            else:
                files.make_folder(configured, SETTING, 0o700)
                self.path = configured.resolve()
            self._lock_file = (self.path / LOCK).open("w")
        except OSError as error:
            raise unwritable_folder_error(SETTING, error) from None
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            if isinstance(error, BlockingIOError):
                raise SettingsError(SETTING, "another `consume` is using it", "give each its own folder") from None
            raise SettingsError(
                SETTING,
                f"cannot be locked ({error.strerror})",
                "name a folder whose disk supports locks (flock)",
            ) from None
        # Remove the files with times of an earlier supervisor: after a reboot the monotonic clock begins at zero, so
        # those times would be in the future.
        self.discard(TARGET_REPORT)
        self.discard(TARGET_CHECK_REQUESTED)
        self.discard(FATAL)
        for folder in (SNAPSHOTS, HEARTBEATS):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        for folder in (".", CRASH_MARKERS):
            remove_temporary_files(self.path / folder)
        with contextlib.suppress(OSError):  # old markers that cannot be deleted do no harm
            for path in (self.path / CRASH_MARKERS).glob("*.json"):
                if path.stat().st_mtime < time.time() - MARKER_RETENTION_DAYS * 86_400:
                    path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder, and remove it if it is temporary."""
        self._lock_file.close()
        if self._is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)

    def write(self, name: str, text: str) -> Path:
        """Replace a file's text and return its path. A reader sees either the whole old text or the whole new text."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return write_atomically(self.path / name, text)

    def read(self, name: str) -> str:
        """Return a file's text; "" if it does not exist or cannot be read."""
        with contextlib.suppress(OSError):
            return (self.path / name).read_text("utf-8")
        return ""

    def discard(self, name: str) -> None:
        """Remove a file if it exists."""
        if (self.path / name).exists():  # checked first: `unlink` fails on a read-only disk even if no file exists
            (self.path / name).unlink(missing_ok=True)

    def worker_id(self, configured: str | None = None) -> str:
        """Return the name of this host's worker in the lease table, the same for every JVM that uses this folder.

        `configured` is a stable name that the platform assigns, if any (`STREAM_ROUTER_WORKER`). A restarted worker
        with the same name resumes its leases at once. A worker with a new name would have to wait for minutes, until
        the old worker's leases expire and, in KCL 3, the leader lock as well if the old worker was the leader.
        """
        if configured:
            return configured
        host = socket.gethostname()
        worker_id = ""
        with contextlib.suppress(OSError, ValueError):  # a power failure may have cut the file off
            worker_id = (self.path / WORKER_ID).read_text("utf-8").strip()
        # A folder copied to another host must not lead to two workers with one name: both would read the same shard.
        if worker_id.rpartition("-")[0] != host:
            worker_id = f"{host}-{secrets.token_hex(8)}"
            self.write(WORKER_ID, worker_id)
        return worker_id

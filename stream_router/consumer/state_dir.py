"""The folder that the supervisor and its children share: proofs, markers, rendered properties. One supervisor each."""

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

TARGET_PROOF = "target-proof"
"""One line of JSON: what the supervisor knows of bus and rule (`target_check.Line`)."""

TARGET_BROKEN = "target-broken"
"""There from a no of bus or rule until a yes counts again, over restarts: rules take a moment to work."""

TARGET_WANTED = "target-wanted"
"""An empty file. Its time of change, in monotonic seconds, is when a child last waited for a target check."""

RETENTION = "retention"
"""A line: for how long stream and dead-letter queue keep what they have, as the supervisor found at its start."""

FATAL = "fatal"
"""A child's line on settings that cannot work: the supervisor says it and ends, and starts no other daemon."""

LIVES = "shards"
"""The folder of the shards' crash markers, one file each; the one thing that outlives the supervisor and the host."""

HEARTBEATS = "heartbeats"
"""The folder in which each child touches a file, named by its process id, while it goes on."""

KEPT_DAYS = 30
"""A marker that was not written for so long is of a shard that is other hosts', or was read to its end: shards of a
stream that is resharded have ever new names."""

ENDING = "daemon-ending"
"""Written by the daemon's log when it begins to shut down, whatever the reason."""

WORKER_ID = "worker-id"
LOCK = "lock"
DAEMON_PROPERTIES = "daemon.properties"


def retention(folder: Path | None) -> str:
    """Return what the supervisor found, for the audit's `dataRetentionPolicy`; "unknown" if it found nothing."""
    with contextlib.suppress(OSError, ValueError):
        return (folder / RETENTION).read_text("utf-8") if folder else "unknown"
    return "unknown"


class StateDir:
    """The state folder, held for this process alone.

    Given by `STREAM_ROUTER_STATE_DIR`, else a private temporary one that `close` removes. Raises SettingsError where
    it cannot be written or another supervisor holds it.
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
            says = "another `consume` is using it; give each its own folder"
            if not isinstance(error, BlockingIOError):
                says = f"cannot be locked ({error.strerror}); name a folder whose disk knows locks (flock)"
            raise SettingsError(f"STREAM_ROUTER_STATE_DIR: {says}") from None
        # What an earlier supervisor left says nothing: after a reboot the monotonic clock begins at zero again.
        self.discard(TARGET_PROOF)
        self.discard(TARGET_WANTED)
        self.discard(FATAL)
        for folder in (SNAPSHOTS, HEARTBEATS):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        for folder in (".", LIVES):
            forget_halves(self.path / folder)
        with contextlib.suppress(OSError):  # a disk that keeps old markers is no trouble
            for path in (self.path / LIVES).glob("*.json"):
                if path.stat().st_mtime < time.time() - KEPT_DAYS * 86_400:
                    path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder; a temporary one is removed."""
        self._lock.close()
        if self._temporary:
            shutil.rmtree(self.path, ignore_errors=True)

    def write(self, name: str, text: str) -> Path:
        """Replace a file as a whole, so that a reader sees the old text or the new one, and return its path."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return write_whole(self.path / name, text)

    def read(self, name: str) -> str:
        """Return a file's text; "" if it does not exist, or a failing disk does not give it."""
        with contextlib.suppress(OSError):
            return (self.path / name).read_text("utf-8")
        return ""

    def discard(self, name: str) -> None:
        """Remove a file if it is there. What is not needs no disk that can be written."""
        if (self.path / name).exists():
            (self.path / name).unlink(missing_ok=True)

    def worker_id(self, configured: str | None = None) -> str:
        """Return the name of this host's worker in the lease table, the same for every JVM that works from this folder.

        `configured` is the platform's own name for it, if it has a stable one (`STREAM_ROUTER_WORKER`). A restarted
        worker with the same name takes its leases up again at once. One with a new name would wait until they expire
        and, in KCL 3, until the dead leader's lock does, which takes minutes.
        """
        if configured:
            return configured
        host = socket.gethostname()
        known = ""
        with contextlib.suppress(OSError, ValueError):  # a power cut may have torn it
            known = (self.path / WORKER_ID).read_text("utf-8").strip()
        # A folder that was copied to another host must not make two workers of one name: both would read one shard.
        if known.rpartition("-")[0] != host:
            known = f"{host}-{secrets.token_hex(8)}"
            self.write(WORKER_ID, known)
        return known

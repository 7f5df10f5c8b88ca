"""The audit log of a shard: one JSON line a batch, each holding a digest of itself and of the line before.

A line that is changed, added, taken out or moved shows. With a key the digests are HMACs, so that only who has the key
can write lines that hold. No chain shows that the newest lines were cut off: ship the file elsewhere.
"""

import contextlib
import fcntl
import hashlib
import hmac
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stream_router.errors import unwritable
from stream_router.log import Seldom
from stream_router.process import failpoint

log = logging.getLogger(__name__)

FIRST = "0" * 64
"""What the first line of a file has for the digest of the line before."""

WAITING_MAX = 1_000
"""Records that wait while the file cannot be written; further ones are lost, and the line after them says how many."""

_SEAL = b',"digest":"'


class Result(NamedTuple):
    """The result of `verify`: how many lines hold, and the trouble with the first bad one ("" if all hold)."""

    lines: int
    problem: str


def prepare(folder: Path) -> None:
    """Make the folder of the audit files if need be. Raises SettingsError where nobody could write into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise unwritable("STREAM_ROUTER_AUDIT_DIR", error) from None


def digest(data: bytes, key: bytes | None) -> str:
    """SHA-256 of `data` in hex, or its HMAC where there is a key."""
    return hmac.new(key, data, hashlib.sha256).hexdigest() if key else hashlib.sha256(data).hexdigest()


class AuditLog:
    """Appends to one shard's file, which is created where it is not (any more), and locked against any other writer.

    Never raises: what cannot be written waits for the next time, and is logged. The chain goes on over restarts; a line
    that a crash left torn is cut off, and the next line says so.
    """

    def __init__(self, path: Path, key: bytes | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._key = key
        self._fd = -1
        self._previous = FIRST
        self._torn_bytes = 0
        self._waiting: list[dict[str, Any]] = []
        self._lost = 0
        self._to_be_logged = Seldom(clock)

    def append(self, record: dict[str, Any]) -> bool:
        """Write the record of a batch (`batch_audit_record.of_batch`); False where it has to wait, or is lost."""
        if len(self._waiting) >= WAITING_MAX and not self.flush():
            self._lost += 1
            return False
        self._waiting.append({**record, "lostBefore": self._lost} if self._lost else record)
        self._lost = 0
        return self._flush()

    def close(self) -> tuple[int, int]:
        """Write what waits, and let go of the file; how many records were not written, and how many given up before."""
        self._flush()
        self._let_go()
        return len(self._waiting), self._lost

    def flush(self) -> bool:
        """Write what waits; False where something still does."""
        return not self._waiting or self._flush()

    def _flush(self) -> bool:
        try:
            if self._fd >= 0 and not self._is_there():
                self._let_go()
            if self._fd < 0:
                self._open()
            while self._waiting:
                self._write(self._waiting[0])
                failpoint("audit_record_written")
                self._waiting.pop(0)
        except OSError as error:
            self._let_go()  # what is at the file's end now, and whether this handle is any good, nobody knows
            if self._to_be_logged():
                log.error(  # noqa: TRY400 - the cause is in the text, and a traceback says no more
                    "the audit log cannot be written: %s; its records wait",
                    error.strerror,
                    extra={"event": "audit-not-written", "file": self._path},
                )
            return False
        return True

    def _is_there(self) -> bool:
        """Whether the file still has its name and its lines: one that was moved is nowhere that anybody looks."""
        try:
            named, held = self._path.stat(), os.fstat(self._fd)
        except FileNotFoundError:
            return False
        return held.st_size > 0 and (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def _let_go(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):  # it is closed all the same
                os.close(fd)

    def _write(self, record: dict[str, Any]) -> None:
        torn = {"tornBytesBefore": self._torn_bytes} if self._torn_bytes else {}
        body = orjson.dumps({**record, **torn, "previous": self._previous})
        line = body[:-1] + _SEAL + digest(body, self._key).encode() + b'"}'
        at = os.lseek(self._fd, 0, os.SEEK_END)
        written = os.write(self._fd, line + b"\n")
        if written != len(line) + 1:
            os.ftruncate(self._fd, at)
            raise OSError(None, "the disk is full")
        self._previous = digest(line, self._key)
        self._torn_bytes = 0

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            last, torn = _last_line(fd)
            if torn:
                os.ftruncate(fd, os.lseek(fd, 0, os.SEEK_END) - torn)
        except OSError:
            os.close(fd)
            raise
        self._previous = digest(last, self._key) if last else FIRST
        self._torn_bytes = torn
        self._fd = fd


def _last_line(fd: int) -> tuple[bytes, int]:
    """The last whole line without its end (b"" where there is none), and the bytes of a torn one after it."""
    size = os.lseek(fd, 0, os.SEEK_END)
    tail = b""
    step = 65_536
    while len(tail) < size:
        start = max(0, size - len(tail) - step)
        tail = os.pread(fd, size - len(tail) - start, start) + tail
        if tail.count(b"\n") >= 2:
            break
    whole, _, torn = tail.rpartition(b"\n")
    return whole.rpartition(b"\n")[2], len(torn)


def verify(path: Path, key: bytes | None) -> Result:
    """Check every line of a file, from the first on. Raises OSError where it cannot be read."""
    previous = FIRST
    number = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return Result(number - 1, f"line {number} is torn: a crash while it was written, or something cut off")
            problem = _check(line[:-1], previous, key)
            if problem:
                return Result(number - 1, f"line {number} {problem}")
            previous = digest(line[:-1], key)
    return Result(number, "")


def _check(line: bytes, previous: str, key: bytes | None) -> str:
    body, seal, rest = line.rpartition(_SEAL)
    if not seal or not hmac.compare_digest(rest, digest(body + b"}", key).encode() + b'"}'):
        return "was changed, or was written with another key"
    try:
        said = orjson.loads(line)["previous"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "is no audit record"
    if said != previous:
        return "does not follow the line before: something was taken out, added or moved"
    return ""

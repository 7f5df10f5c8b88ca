"""The audit log of a shard: one JSON line a batch, each holding a digest of itself and of the line before.

A line that is changed, added, taken out or moved shows. With a key the digests are HMACs, so that only who has the key
can write lines that hold. No chain shows that the newest lines were cut off: ship them elsewhere.
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
from stream_router.log import Seldom, to_stderr
from stream_router.model import PIPELINE_ID, Batch
from stream_router.process import failpoint, iso

log = logging.getLogger(__name__)

FIRST = "0" * 64
"""What the first line of a chain has for the digest of the line before."""

TO_STDERR = Path("-")
"""As a folder: lines on standard error, for the platform to ship."""

WAITING_MAX = 1_000
"""Records that wait while the file cannot be written; further ones are lost, and the line after them says how many."""

_SEAL = b',"digest":"'


def of_batch(batch: Batch, shard_id: str, masking: str, retention: str, now_s: float) -> dict[str, Any]:
    """The record of a batch whose every event is settled, from its own events alone (docs/contract.md, "Audit record").

    `masking` names the policy, or is `off`; `retention` says how long stream and dead-letter queue keep what they have;
    `now_s` is epoch seconds.
    """
    dead = batch.dead_letters.total()
    metrics: dict[str, Any] = {
        "batch": batch.number,
        "deadLetters": dict(batch.dead_letters),
        "masking": masking,
        "delivered": batch.delivered,
        "dead_lettered": dead,
        "dropped": batch.dropped,
        "retried": batch.retried,
        "records": batch.records,
    }
    if masking != "off":
        metrics["masked"] = dict(batch.masked)
    if batch.probes:
        metrics["probes"] = batch.probes
    doubts = {
        "events_unaccounted": batch.delivered + dead + batch.dropped + batch.probes != batch.events,
        "masking_off": masking == "off" and batch.delivered > 0,
        "masking_failed": batch.dead_letters["masking_failed"] > 0,
    }
    reasons = [doubt for doubt, is_so in doubts.items() if is_so]
    return {
        "auditTimestamp": iso(now_s * 1000),
        "pipelineId": PIPELINE_ID,
        "shardId": shard_id,
        "eventsProcessed": batch.events,
        "metrics": metrics,
        "complianceStatus": "unverified" if reasons else "verified",
        **({"complianceReasons": reasons} if reasons else {}),
        "dataRetentionPolicy": retention,
    }


def prepare(folder: Path) -> None:
    """Make the folder of the audit files if need be. Raises SettingsError where nobody could write into it."""
    if folder == TO_STDERR:
        return
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
    that a crash left torn is cut off, and the next line says so. Without a path the lines go to standard error, and
    each process begins a chain.
    """

    def __init__(self, path: Path | None, key: bytes | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._key = key
        self._fd = -1
        self._previous = FIRST
        self._torn_bytes = 0
        self._waiting: list[dict[str, Any]] = []
        self._lost = 0
        self._to_be_logged = Seldom(clock)

    def append(self, record: dict[str, Any]) -> bool:
        """Write the record of a batch (`of_batch`); False where it has to wait, or is lost."""
        if len(self._waiting) >= WAITING_MAX and not self.flush():
            self._lost += 1
            return False
        self._waiting.append({**record, "lostBefore": self._lost} if self._lost else record)
        self._lost = 0
        return self.flush()

    def close(self) -> int:
        """Write what waits, and let go of the file; how many records were not written, those given up among them."""
        self.flush()
        self._let_go()
        return len(self._waiting) + self._lost

    def flush(self) -> bool:
        """Write what waits; False where something still does."""
        try:
            while self._waiting:
                if self._path:
                    self._to_file(self._path, self._waiting[0])
                elif not self._to_stderr(self._waiting[0]):
                    return False  # nobody reads the log, which says so itself
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

    def _to_stderr(self, record: dict[str, Any]) -> bool:
        line = self._sealed({**record, "to": "stderr"})
        if written := to_stderr(line.decode()):
            self._previous = digest(line, self._key)
        return written

    def _to_file(self, path: Path, record: dict[str, Any]) -> None:
        if self._fd >= 0 and not self._is_there(path):
            self._let_go()
        if self._fd < 0:
            self._open(path)
        line = self._sealed({**record, "tornBytesBefore": self._torn_bytes} if self._torn_bytes else record)
        at = os.lseek(self._fd, 0, os.SEEK_END)
        written = os.write(self._fd, line + b"\n")
        if written != len(line) + 1:
            os.ftruncate(self._fd, at)
            raise OSError(None, "the disk is full")
        self._previous = digest(line, self._key)
        self._torn_bytes = 0

    def _sealed(self, record: dict[str, Any]) -> bytes:
        body = orjson.dumps({**record, "previous": self._previous})
        return body[:-1] + _SEAL + digest(body, self._key).encode() + b'"}'

    def _is_there(self, path: Path) -> bool:
        """Whether the file still has its name and its lines: one that was moved is nowhere that anybody looks."""
        try:
            named, held = path.stat(), os.fstat(self._fd)
        except FileNotFoundError:
            return False
        return held.st_size > 0 and (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def _let_go(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):  # it is closed all the same
                os.close(fd)

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
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


class Result(NamedTuple):
    """The result of `verify`: how many lines hold, and the trouble with the first bad one ("" if all hold)."""

    lines: int
    problem: str


def verify(path: Path, key: bytes | None) -> Result:
    """Check every line of a file, from the first on. Raises OSError where it cannot be read.

    The records of a shard follow each other. Of those that went to standard error each process began a chain.
    """
    previous: dict[str, str] = {}
    number = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return Result(number - 1, f"line {number} is torn: a crash while it was written, or something cut off")
            problem = _check(line[:-1], previous, key)
            if problem:
                return Result(number - 1, f"line {number} {problem}")
    return Result(number, "")


def _check(line: bytes, previous: dict[str, str], key: bytes | None) -> str:
    body, seal, rest = line.rpartition(_SEAL)
    if not seal or not hmac.compare_digest(rest, digest(body + b"}", key).encode() + b'"}'):
        return "was changed, or was written with another key"
    try:
        said = orjson.loads(line)
        shard_id, before, begins = said["shardId"], said["previous"], said.get("to") == "stderr"
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return "is no audit record"
    if before != previous.get(shard_id, FIRST) and not (begins and before == FIRST):
        return "does not follow the line before: something was taken out, added or moved"
    previous[shard_id] = digest(line, key)
    return ""

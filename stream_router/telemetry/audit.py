"""Audit log of a shard: one JSON line per batch, each with a digest of itself and of the line before.

`verify` finds a line that was changed, added, removed or moved. With a key the digests are HMACs, so that only an owner
of the key can write valid lines. A chain cannot show that its newest lines were cut off, so ship them to another place.
"""

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

from stream_router.errors import unwritable_folder_error
from stream_router.log import LogLimiter, write_to_stderr
from stream_router.model import PIPELINE_ID, Batch
from stream_router.process import failpoint, iso
from stream_router.settings import files

log = logging.getLogger(__name__)

VARIABLE = "STREAM_ROUTER_AUDIT_DIR"

CHAIN_START = "0" * 64
"""Digest of the previous line in the first line of a chain."""

TO_STDERR = Path("-")
"""Value of the folder for which lines go to standard error, so that the platform ships them."""

MAX_WAITING_RECORDS = 1_000
"""Maximum number of records that wait while the file cannot be written.

Further records are lost, and the next line has their number.
"""

_SEAL = b',"digest":"'
"""Beginning of the last field of a line: the digest of all that stands before it."""


def build_record(batch: Batch, shard_id: str, masking: str, retention: str, now_s: float) -> dict[str, Any]:
    """Return the audit record of a batch whose events are all settled.

    Its form is in docs/contract.md, "Audit record". `masking` is the policy's name, or `off`. `retention` is the
    retention of stream and dead-letter queue, in words. `now_s` is epoch seconds.
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
    unverified_if = {
        "events_unaccounted": batch.delivered + dead + batch.dropped + batch.probes != batch.events,
        "masking_off": masking == "off" and batch.delivered > 0,
        "masking_failed": batch.dead_letters["masking_failed"] > 0,
    }
    reasons = [reason for reason, applies in unverified_if.items() if applies]
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
    """Create the folder of the audit files if it is missing. Raises SettingsError if it cannot be written."""
    if folder == TO_STDERR:
        return
    try:
        files.make_folder(folder, VARIABLE)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise unwritable_folder_error(VARIABLE, error) from None


def digest(data: bytes, key: bytes | None) -> str:
    """Return the SHA-256 of `data` in hex, or its HMAC if there is a key."""
    return hmac.new(key, data, hashlib.sha256).hexdigest() if key else hashlib.sha256(data).hexdigest()


class AuditLog:
    """Audit log of one shard. Its file is created if missing, and locked while it is written.

    Methods raise nothing: records that cannot be written wait for the next try, and the failure is logged. The chain
    continues from the file's last line, even if another process wrote that line. A line that a crash left incomplete is
    cut off, and the next line has the number of bytes cut off. Without a path the lines go to standard error, and each
    process begins a new chain.
    """

    def __init__(self, path: Path | None, key: bytes | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._key = key
        self._previous = CHAIN_START
        """Digest of the last line that went to standard error."""
        self._waiting: list[dict[str, Any]] = []
        self._lost = 0
        self._to_be_logged = LogLimiter(clock)

    def append(self, record: dict[str, Any]) -> bool:
        """Write a record that `build_record` made. Return False if the record has to wait, or is lost."""
        if len(self._waiting) >= MAX_WAITING_RECORDS and not self.flush():
            self._lost += 1
            return False
        self._waiting.append({**record, "lostBefore": self._lost} if self._lost else record)
        self._lost = 0
        return self.flush()

    def close(self) -> int:
        """Write the waiting records. Return the number of records that were not written, including lost ones."""
        self.flush()
        return len(self._waiting) + self._lost

    def flush(self) -> bool:
        """Write the waiting records. Return False if any still wait."""
        if not self._waiting:
            return True
        if self._path is None:
            return self._to_stderr()
        try:
            self._to_file(self._path)
        except OSError as error:
            if self._to_be_logged():
                log.error(  # noqa: TRY400 - the cause is in the text, and a traceback adds nothing
                    "The audit log cannot be written: %s. Events go on, and up to 1,000 records wait. Check the disk "
                    "of STREAM_ROUTER_AUDIT_DIR.",
                    error.strerror,
                    extra={"event": "audit-not-written", "file": self._path},
                )
            return False
        return True

    def _to_stderr(self) -> bool:
        """Write the waiting records to standard error. Return False if it takes no line."""
        while self._waiting:
            line = self._sealed({**self._waiting[0], "to": "stderr"}, self._previous)
            if not write_to_stderr(line.decode()):
                return False  # standard error is blocked; `log-left-out` reports that
            failpoint("audit_record_written")
            self._previous = digest(line, self._key)
            self._waiting.pop(0)
        return True

    def _to_file(self, path: Path) -> None:
        """Append the waiting records to the file, which is opened anew, since it may have been moved or deleted."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # Raises BlockingIOError, an OSError, if another process writes the file. The records then wait.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            last, torn_bytes = _last_line(fd)
            size = os.lseek(fd, 0, os.SEEK_END) - torn_bytes
            if torn_bytes:
                os.ftruncate(fd, size)
            previous = digest(last, self._key) if last else CHAIN_START
            while self._waiting:
                record = self._waiting[0]
                if torn_bytes:
                    record = {**record, "tornBytesBefore": torn_bytes}
                line = self._sealed(record, previous)
                if os.write(fd, line + b"\n") != len(line) + 1:  # a part of a line would break the chain
                    os.ftruncate(fd, size)
                    raise OSError(None, "the disk is full")
                failpoint("audit_record_written")
                previous, torn_bytes, size = digest(line, self._key), 0, size + len(line) + 1
                self._waiting.pop(0)
        finally:
            os.close(fd)

    def _sealed(self, record: dict[str, Any], previous: str) -> bytes:
        """Return a record's line: JSON with the digest of the line before, and then the line's own digest."""
        body = orjson.dumps({**record, "previous": previous})
        return body[:-1] + _SEAL + digest(body, self._key).encode() + b'"}'


def _last_line(fd: int) -> tuple[bytes, int]:
    """Return the last complete line (b"" if there is none), and the size of an incomplete line after it."""
    size = os.lseek(fd, 0, os.SEEK_END)
    tail = b""
    step = 4_096
    while len(tail) < size:
        start = max(0, size - len(tail) - step)
        tail = os.pread(fd, size - len(tail) - start, start) + tail
        if tail.count(b"\n") >= 2:  # the last complete line stands between the last two line feeds
            break
    whole, _, torn = tail.rpartition(b"\n")
    return whole.rpartition(b"\n")[2], len(torn)


class Result(NamedTuple):
    """Result of `verify`: the number of valid lines, and the problem of the first bad line; "" if all are valid."""

    lines: int
    problem: str


def verify(path: Path, key: bytes | None) -> Result:
    """Check every line of an audit file. Raises OSError if the file cannot be read.

    The records of a shard form one chain. With records that went to standard error, each process began a new chain.
    """
    previous: dict[str, str] = {}
    number = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return Result(
                    number - 1, f"line {number} is incomplete: a crash interrupted its writing, or its end was cut off"
                )
            problem = _check(line[:-1], previous, key)
            if problem:
                return Result(number - 1, f"line {number} {problem}")
    return Result(number, "")


def _check(line: bytes, previous: dict[str, str], key: bytes | None) -> str:
    """Return the problem of a line, or ""; add its digest to `previous`, the digests of the last lines by shard."""
    # The digest was computed over the line without its last field, and is followed by `"}`.
    body, seal, line_digest = line.rpartition(_SEAL)
    if not seal or not hmac.compare_digest(line_digest, digest(body + b"}", key).encode() + b'"}'):
        return "was changed, or was written with another key"
    try:
        record = orjson.loads(line)
        shard_id, before, begins = record["shardId"], record["previous"], record.get("to") == "stderr"
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return "is not an audit record"
    # A line on standard error may begin a new chain, in each new process.
    if before != previous.get(shard_id, CHAIN_START) and not (begins and before == CHAIN_START):
        return "does not follow the line before: a line was removed, added or moved"
    previous[shard_id] = digest(line, key)
    return ""

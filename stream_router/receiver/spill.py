"""Where events wait on disk while the stream is down: one SQLite file a worker, written by one thread.

A row is one event's line with its bucket and a CRC-32. Everything that is asked for while the disk is busy is one
transaction (group commit); an append is answered only after it was synced, so it survives a kill -9 and a power cut.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from stream_router.settings import SettingsError

log = logging.getLogger(__name__)

ROW_BYTES = 64
"""What a row is counted for beside its line."""
MAX_ROWS_READ = 2_000
FREE_PAGES_KEPT = 1_000

Line = tuple[int, bytes]
"""A bucket's number and an event's line; or, when read, a row's number and the line."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (row INTEGER PRIMARY KEY AUTOINCREMENT, bucket INTEGER, crc INTEGER, line BLOB);
CREATE INDEX IF NOT EXISTS event_bucket ON event (bucket, row);
CREATE TABLE IF NOT EXISTS damaged (row INTEGER PRIMARY KEY, bucket INTEGER, crc INTEGER, line BLOB);
"""


class _Append(NamedTuple):
    lines: Sequence[Line]
    done: Callable[[bool], None]


class _Read(NamedTuple):
    bucket: int
    max_bytes: int
    done: Callable[[list[Line]], None]


class _Delete(NamedTuple):
    rows: Sequence[int]
    done: Callable[[bool], None]


_Job = _Append | _Read | _Delete


class Spill:
    """The worker's rows on disk. Its methods return at once; each `done` is called later on the loop.

    Raises SettingsError at construction where the file cannot be used. `bucket_of` finds a line's bucket anew, for a
    file that was written with another number of buckets.
    """

    def __init__(
        self, path: Path, buckets: int, bucket_of: Callable[[bytes], int], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        try:
            self._lock = _lock(path)
            self._db = open_file(path)
            _rebucket(self._db, buckets, bucket_of)
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"STREAM_ROUTER_SPILL_DIR: its file cannot be used ({type(error).__name__}: {error}); "
                "give a folder of its own that this user can write"
            ) from None
        self._thread = threading.Thread(target=self._work, name="spill", daemon=True)
        self._thread.start()

    def append(self, lines: Sequence[Line], done: Callable[[bool], None]) -> None:
        """Store lines behind what is there; `done` says whether they are synced."""
        self._jobs.put(_Append(lines, done))

    def read(self, bucket: int, max_bytes: int, done: Callable[[list[Line]], None]) -> None:
        """A bucket's oldest rows (number, line), at least one where there is any; damaged ones are put aside."""
        self._jobs.put(_Read(bucket, max_bytes, done))

    def delete(self, rows: Sequence[int], done: Callable[[bool], None]) -> None:
        """Forget rows that are in the stream; `done` says whether they are gone from the disk."""
        self._jobs.put(_Delete(rows, done))

    def depths(self) -> list[tuple[int, int, int]]:
        """Bucket, events and bytes of all that waits. For the start only: it reads on the caller's thread."""
        query = "SELECT bucket, count(*), sum(length(line)) FROM event GROUP BY bucket"
        return [(bucket, events, size + events * ROW_BYTES) for bucket, events, size in self._db.execute(query)]

    def close(self) -> None:
        """Finish what was asked for and close the file."""
        self._jobs.put(None)
        self._thread.join()
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        os.close(self._lock)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            group = [job]
            with contextlib.suppress(queue.Empty):
                while (job := self._jobs.get_nowait()) is not None:
                    group.append(job)
            answers = self._transact(group)
            # A loop that is closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_deliver, answers)
            if job is None:
                return

    def _transact(self, group: list[_Job]) -> list[Callable[[], None]]:
        """Do a group of jobs in one transaction; what to tell their owners."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            answers = [self._do(job) for job in group]
            db.execute("COMMIT")
        except sqlite3.Error as error:
            log.error("the spill failed: %s", error)  # noqa: TRY400 (the disk's trouble: no trace needed)
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            return [_refusal(job) for job in group]
        return answers

    def _do(self, job: _Job) -> Callable[[], None]:
        if isinstance(job, _Append):
            rows = [(bucket, zlib.crc32(line), line) for bucket, line in job.lines]
            self._db.executemany("INSERT INTO event (bucket, crc, line) VALUES (?, ?, ?)", rows)
            return lambda: job.done(True)
        if isinstance(job, _Delete):
            self._db.executemany("DELETE FROM event WHERE row = ?", [(row,) for row in job.rows])
            return lambda: job.done(True)
        found = self._read(job.bucket, job.max_bytes)
        return lambda: job.done(found)

    def _read(self, bucket: int, max_bytes: int) -> list[Line]:
        query = "SELECT row, crc, line FROM event WHERE bucket = ? ORDER BY row LIMIT ?"
        found: list[Line] = []
        size = 0
        for row, crc, line in self._db.execute(query, (bucket, MAX_ROWS_READ)).fetchall():
            size += len(line) + 1
            if found and size > max_bytes:
                break
            if zlib.crc32(line) == crc:
                found.append((row, line))
                continue
            log.error("a spilled event is damaged and was put aside", extra={"row": row})
            self._db.execute("INSERT OR REPLACE INTO damaged SELECT * FROM event WHERE row = ?", (row,))
            found.append((row, b""))
        return found


def _deliver(answers: Iterable[Callable[[], None]]) -> None:
    for answer in answers:
        answer()


def _refusal(job: _Job) -> Callable[[], None]:
    if isinstance(job, _Read):
        return lambda: job.done([])
    return lambda: job.done(False)


def _lock(path: Path) -> int:
    """Hold the file for this process alone; freed by the kernel however it ends."""
    fd = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise SettingsError(
            "STREAM_ROUTER_SPILL_DIR: another receiver uses it; give each receiver a folder of its own"
        ) from None
    return fd


def open_file(path: Path) -> sqlite3.Connection:
    """The file, readable by this user only, made where it is not there; each commit is synced to the disk."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.executescript(_SCHEMA)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return db


def _rebucket(db: sqlite3.Connection, buckets: int, bucket_of: Callable[[bytes], int]) -> None:
    """Give waiting events the buckets that their conversations have now, so that newer ones stay behind them."""
    (written_with,) = db.execute("PRAGMA user_version").fetchone()
    if written_with == buckets:
        return
    db.execute("BEGIN IMMEDIATE")
    for row, line in db.execute("SELECT row, line FROM event").fetchall():
        db.execute("UPDATE event SET bucket = ? WHERE row = ?", (bucket_of(line), row))
    db.execute(f"PRAGMA user_version = {buckets:d}")
    db.execute("COMMIT")


def file_of(folder: Path, worker: int) -> Path:
    """The file of one worker."""
    return folder / f"spill-{worker}.sqlite"


def adopt(folder: Path, workers: int) -> None:
    """Move what workers beyond the number of today left behind into the files of those that run."""
    for path in sorted(folder.glob("spill-*.sqlite")):
        number = path.stem.removeprefix("spill-")
        if not number.isdigit() or int(number) < workers:
            continue
        target = file_of(folder, int(number) % workers)
        locks = [_lock(path), _lock(target)]
        with contextlib.closing(open_file(target)) as heir:
            heir.execute("ATTACH DATABASE ? AS old", (str(path),))
            heir.execute("INSERT INTO event (bucket, crc, line) SELECT bucket, crc, line FROM old.event ORDER BY row")
            # Another number of buckets may have been in force: find every event's bucket anew.
            heir.execute("PRAGMA user_version = 0")
            heir.execute("DETACH DATABASE old")
        for left in folder.glob(f"{path.stem}.*"):
            left.unlink()
        for lock in locks:
            os.close(lock)

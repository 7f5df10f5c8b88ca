"""Where events wait on disk while the stream is down: one SQLite file a worker, written by one thread.

A row is one event's line with its bucket and a CRC-32. Everything that is asked for while the disk is busy is one
transaction (group commit); an append is answered only after it was synced, so it survives a kill -9 and a power cut.
"""

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from stream_router.receiver.spill.spill_file import intact, lock, open_file, rebucket, shrink, usable

log = logging.getLogger(__name__)

ROW_BYTES = 64
"""What a row is counted for beside its line."""
MAX_ROWS_READ = 2_000

Line = tuple[int, bytes]
"""A bucket's number and an event's line; or, when read, a row's number and the line."""


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
    file that was written with another number of buckets, or with other paths to the conversation (`paths`).
    """

    def __init__(
        self,
        path: Path,
        buckets: int,
        paths: str,
        bucket_of: Callable[[bytes], int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        with usable(path):
            self._lock = lock(path)
            self._db = open_file(path)
            self.damaged = rebucket(self._db, buckets, paths, bucket_of)
            """Rows that were found damaged at the start, and are put aside."""
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
        query = "SELECT bucket, count(*), ifnull(sum(length(line)), 0) FROM event GROUP BY bucket"
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
            shrink(self._db)
            return lambda: job.done(True)
        found = self._read(job.bucket, job.max_bytes)
        return lambda: job.done(found)

    def _read(self, bucket: int, max_bytes: int) -> list[Line]:
        query = "SELECT row, crc, line FROM event WHERE bucket = ? ORDER BY row LIMIT ?"
        found: list[Line] = []
        size = 0
        with contextlib.closing(self._db.execute(query, (bucket, MAX_ROWS_READ))) as rows:
            for row, crc, line in rows:
                good = intact(crc, line)
                size += len(line) + 1 if good else 1
                if found and size > max_bytes:
                    break
                found.append((row, line if good else b""))
        damaged = [(row,) for row, line in found if not line]
        if damaged:
            log.error("spilled events are damaged and were put aside", extra={"events": len(damaged)})
            self._db.executemany("INSERT OR REPLACE INTO damaged SELECT * FROM event WHERE row = ?", damaged)
        return found


def _deliver(answers: Iterable[Callable[[], None]]) -> None:
    for answer in answers:
        answer()


def _refusal(job: _Job) -> Callable[[], None]:
    if isinstance(job, _Read):
        return lambda: job.done([])
    return lambda: job.done(False)

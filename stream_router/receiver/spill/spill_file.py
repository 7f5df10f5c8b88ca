"""The spill's SQLite files: opened, locked, checked, and taken over when buckets or workers were changed."""

import contextlib
import fcntl
import logging
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from stream_router.core.settings_error import SettingsError

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (row INTEGER PRIMARY KEY AUTOINCREMENT, bucket INTEGER, crc INTEGER, line BLOB);
CREATE INDEX IF NOT EXISTS event_bucket ON event (bucket, row);
CREATE TABLE IF NOT EXISTS damaged (row INTEGER PRIMARY KEY, bucket INTEGER, crc INTEGER, line BLOB);
"""
SHRINK_PAGES = 256
"""Pages (1 MiB) that are given back to the disk at once, so that no append waits long for it."""
_STRAY = "SELECT 1 FROM event WHERE NOT (typeof(bucket) = 'integer' AND bucket BETWEEN 0 AND ?) LIMIT 1"


def file_of(folder: Path, worker: int) -> Path:
    """The file of one worker."""
    return folder / f"spill-{worker}.sqlite"


def intact(crc: object, line: object) -> bool:
    """Whether a row is as it was written. A damaged one may hold any type."""
    return isinstance(line, bytes) and zlib.crc32(line) == crc


@contextlib.contextmanager
def usable(path: Path) -> Iterator[None]:
    """What goes wrong with the file inside is a SettingsError that names it."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(
            f"STREAM_ROUTER_SPILL_DIR: its file {path.name} cannot be used ({type(error).__name__}: {error}); "
            "give a folder of its own that this user can write, or move that file away"
        ) from None


def lock(path: Path) -> int:
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
    # A damaged row may say that its line is a text, which need not be one.
    db.text_factory = bytes
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    # What is in the stream is overwritten here: whether SQLite does that unasked is left to who built it.
    db.execute("PRAGMA secure_delete = ON")
    db.executescript(_SCHEMA)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return db


def shrink(db: sqlite3.Connection) -> None:
    """Give room back to the disk where more of the file is free than in use; less would only be asked for again."""
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    if free > SHRINK_PAGES and free * 2 > pages:
        for _ in range(SHRINK_PAGES):
            # One by one: Python's module ends such a statement after its first step, which is one page.
            db.execute("PRAGMA incremental_vacuum(1)")


def rebucket(db: sqlite3.Connection, buckets: int, paths: str, bucket_of: Callable[[bytes], int]) -> int:
    """Give waiting events the buckets that their conversations have now, so that newer ones stay behind them.

    Returns how many damaged rows were put aside: of those nobody can tell the conversation.
    """
    (written_with,) = db.execute("PRAGMA user_version").fetchone()
    # A number of 31 bits that is not 0, which stands for "nobody knows".
    layout = zlib.crc32(f"{buckets} {paths}".encode()) >> 1 | 1
    if written_with == layout and not db.execute(_STRAY, (buckets - 1,)).fetchone():
        return 0
    # SQLite itself goes through the rows: they need not fit into memory.
    db.create_function("intact", 2, intact, deterministic=True)
    db.create_function("bucket_of", 1, bucket_of, deterministic=True)
    db.execute("BEGIN IMMEDIATE")
    damaged = db.execute("INSERT OR REPLACE INTO damaged SELECT * FROM event WHERE NOT intact(crc, line)").rowcount
    db.execute("DELETE FROM event WHERE NOT intact(crc, line)")
    db.execute("UPDATE event SET bucket = bucket_of(line)")
    db.execute(f"PRAGMA user_version = {layout:d}")
    db.execute("COMMIT")
    if damaged:
        log.error("spilled events are damaged and were put aside", extra={"events": damaged})
    return damaged


def adopt(folder: Path, workers: int) -> None:
    """Move what workers beyond the number of today left behind into the files of those that run.

    Raises SettingsError where a file cannot be used.
    """
    for path in sorted(folder.glob("spill-*.sqlite")):
        number = path.stem.removeprefix("spill-")
        if not number.isdigit() or int(number) < workers:
            continue
        heir = file_of(folder, int(number) % workers)
        with usable(path):
            locks = [lock(path), lock(heir)]
            open_file(path).close()
        with usable(heir):
            db = open_file(heir)
        with usable(path), contextlib.closing(db):
            _take_over(db, path)
            for left in folder.glob(f"{path.stem}.*"):
                left.unlink()
        for held in locks:
            os.close(held)


def _take_over(db: sqlite3.Connection, path: Path) -> None:
    db.execute("ATTACH DATABASE ? AS old", (str(path),))
    db.execute("BEGIN IMMEDIATE")
    # As events first, so that damaged rows get numbers that no other row of this file has.
    (last,) = db.execute("SELECT ifnull(max(row), 0) FROM event").fetchone()
    db.execute("INSERT INTO event (bucket, crc, line) SELECT bucket, crc, line FROM old.damaged")
    db.execute("INSERT INTO damaged SELECT * FROM event WHERE row > ?", (last,))
    db.execute("DELETE FROM event WHERE row > ?", (last,))
    db.execute(
        "INSERT INTO event (bucket, crc, line) SELECT bucket, crc, line FROM old.event"
        " WHERE row NOT IN (SELECT row FROM old.damaged) ORDER BY row"
    )
    # Other buckets may have been in force: find every event's bucket anew.
    db.execute("PRAGMA user_version = 0")
    db.execute("COMMIT")
    db.execute("DETACH DATABASE old")

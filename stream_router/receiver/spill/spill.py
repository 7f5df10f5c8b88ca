"""Where events wait on disk while the stream is down: files of one worker, written and read by one thread.

Everything that is asked for while the disk is busy is one group: its appends are synced together, and only then
answered, so what was answered survives a kill -9 and a power cut.
"""

import asyncio
import contextlib
import errno
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from stream_router.process import failpoint
from stream_router.receiver.spill.segment import Row
from stream_router.receiver.spill.segments import Segments

log = logging.getLogger(__name__)

_FILES = 48
"""A row's number says in its higher bits whose files it is in: this worker's own, or adopted ones."""

TOLD_S = 60.0
"""How long a reading or removing that failed counts: it may not be tried again, and events are taken all the same."""

CLOSED_WITHIN_S = 0.8
"""What is not done by then at a stop was not answered, or is sent again: its rows are not settled."""

DEFECT = "defect"
"""In place of the disk's code where a job failed in an unforeseen way."""

T = TypeVar("T")

Line = tuple[int, bytes]
"""A conversation and an event's line."""


class _Append(NamedTuple):
    lines: Sequence[Line]
    done: Callable[[int | None], None]


class _Read(NamedTuple):
    max_bytes: int
    done: Callable[[list[Row]], None]


class _Settle(NamedTuple):
    rows: Sequence[int]


_Job = _Append | _Read | _Settle


class Spill:
    """The worker's rows on disk. Its methods return at once; each `done` is called later on the loop.

    Raises SettingsError at construction where another process has the files. `key_of` finds a line's conversation
    anew, for what was written under another partition path (`paths`). With fewer workers than before (`workers` now),
    each takes over a share of what the others left.
    """

    def __init__(
        self,
        folder: Path,
        worker: int,
        workers: int,
        paths: str,
        key_of: Callable[[bytes], int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        numbers = [worker, *_left_behind(folder, worker, workers)]
        self._files = [Segments(folder, number, paths, key_of) for number in numbers]
        for files in self._files:
            files.open()
        self.lost = sum(files.lost for files in self._files)
        """Rows that an earlier process wrote and that are not there any more."""
        self._errors: dict[str, tuple[str, float]] = {}
        self.size_bytes = sum(files.size_bytes for files in self._files)
        self.oldest_s = 0.0
        self._look()
        self._thread = threading.Thread(target=self._work, name="spill", daemon=True)
        self._thread.start()

    @property
    def error(self) -> str:
        """Why the last append failed, else why another job did within the last minute; empty where none did."""
        errors, since_s = dict(self._errors), time.monotonic() - TOLD_S
        lasting = [code for kind, (code, at_s) in errors.items() if kind == "append" or at_s > since_s]
        return errors["append"][0] if "append" in errors else next(iter(lasting), "")

    def append(self, lines: Sequence[Line], done: Callable[[int | None], None]) -> None:
        """Store lines behind what is there; `done` gets the first one's row once all are synced, else None."""
        self._jobs.put(_Append(lines, done))

    def read(self, max_bytes: int, done: Callable[[list[Row]], None]) -> None:
        """The oldest rows not read yet, at least one where there is any; none where the disk cannot be read now."""
        self._jobs.put(_Read(max_bytes, done))

    def settle(self, rows: Sequence[int]) -> None:
        """Forget rows that are in the stream."""
        self._jobs.put(_Settle(rows))

    def waiting(self) -> Counter[int]:
        """How many rows of each conversation wait. For the start only: it reads on the caller's thread."""
        return Counter(key for files in self._files for key in files.waiting())

    def close(self) -> None:
        """Finish what was asked for and close the files; a disk that hangs is waited for no longer than a moment."""
        self._jobs.put(None)
        self._thread.join(CLOSED_WITHIN_S)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            group = [job]
            with contextlib.suppress(queue.Empty):
                while (job := self._jobs.get_nowait()) is not None:
                    group.append(job)
            answers = [*self._append([one for one in group if isinstance(one, _Append)])]
            answers += [self._do(one) for one in group if not isinstance(one, _Append)]
            self._look()
            # A loop that is closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_deliver, answers)
            if job is None:
                break
        for files in self._files:
            files.close()

    def _append(self, jobs: Sequence[_Append]) -> Iterable[Callable[[], None]]:
        """Append for all of them with one sync."""
        if not jobs:
            return []
        first = self._tried("append", lambda: self._store([line for job in jobs for line in job.lines]), None)
        answers: list[Callable[[], None]] = []
        for job in jobs:
            answers.append(_told(job.done, first))
            first = None if first is None else first + len(job.lines)
        return answers

    def _store(self, lines: Sequence[Line]) -> int | None:
        first = self._files[0].append(lines)
        failpoint("spill_written_before_answer")
        return first

    def _do(self, job: _Job) -> Callable[[], None]:
        if isinstance(job, _Read):
            return _told(job.done, self._tried("read", lambda: self._read(job.max_bytes), list[Row]()))
        assert isinstance(job, _Settle)
        self._tried("settle", lambda: self._settle(job.rows), None)
        return lambda: None

    def _tried(self, kind: str, job: Callable[[], T], refused: T) -> T:
        """What a job gives, else `refused`. The thread goes on in any case: without it nothing would be answered."""
        try:
            found = job()
        except OSError as error:
            self._errors[kind] = errno.errorcode.get(error.errno or 0, "EIO"), time.monotonic()
            return refused
        except Exception:
            log.exception("a job of the spill failed in an unforeseen way", extra={"event": "spill-job-failed"})
            self._errors[kind] = DEFECT, time.monotonic()
            return refused
        self._errors.pop(kind, None)
        return found

    def _settle(self, settled: Sequence[int]) -> None:
        failpoint("spill_drained_before_removed")
        for number, files in enumerate(self._files):
            rows = [row & (1 << _FILES) - 1 for row in settled if row >> _FILES == number]
            if rows:
                files.settle(rows)

    def _read(self, max_bytes: int) -> list[Row]:
        """Adopted files first: nothing is written to them any more. Raises OSError where none could be read for it."""
        trouble: OSError | None = None
        for number in [*range(1, len(self._files)), 0]:
            try:
                if rows := self._files[number].read(max_bytes):
                    return [Row(row.number | number << _FILES, row.key, row.line) for row in rows]
            except OSError as error:
                trouble = error  # the next one's events need not wait for it
        if trouble is not None:
            raise trouble
        return []

    def _look(self) -> None:
        self.size_bytes = sum(files.size_bytes for files in self._files)
        self.oldest_s = min((oldest_s for files in self._files if (oldest_s := files.oldest_s)), default=0.0)


def _left_behind(folder: Path, worker: int, workers: int) -> list[int]:
    """The numbers of workers that do not run any more and whose files are this one's to drain."""
    found = {path.name.split("-")[1] for path in folder.glob("spill-*-*.seg")}
    return sorted(
        number for text in found if text.isdigit() and (number := int(text)) >= workers and number % workers == worker
    )


def _told(done: Callable[..., None], what: object) -> Callable[[], None]:
    return lambda: done(what)


def _deliver(answers: Iterable[Callable[[], None]]) -> None:
    """Each of them; one that raises keeps no other back, and is the loop's to tell."""
    troubles: list[Exception] = []
    for answer in answers:
        try:
            answer()
        except Exception as error:  # noqa: BLE001 - raised below, once all are answered
            troubles.append(error)
    if troubles:
        raise troubles[0]

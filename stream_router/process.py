"""Services of the host for our processes: time and backoff, signals, whole files, memory, parent, failpoints."""

import contextlib
import ctypes
import os
import re
import resource
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import FrameType

from stream_router.errors import SettingsError


def now_ms() -> float:
    """Return the wall clock in milliseconds since 1970, the unit of all times of events and dead letters."""
    return time.time() * 1000


YEAR_10000_S = 253_402_300_800
"""Epoch seconds of the first year that ISO 8601 cannot write in four digits."""


def iso(epoch_ms: float) -> str:
    """Return epoch milliseconds as `2026-11-24T09:30:00.123Z`. Raises ValueError before 1970 and after 9999."""
    second, milli = divmod(int(epoch_ms), 1000)
    if not 0 <= second < YEAR_10000_S:
        raise ValueError("is before 1970 or after 9999")
    return f"{_to_the_second(second)}.{milli:03d}Z"


@lru_cache(maxsize=64)
def _to_the_second(epoch_s: int) -> str:
    """Return the text of a second. It is cached: events that arrive together were created in the same few seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_s))


def backoff_s(failures: int, first_s: float, most_s: float, share: float = 1.0, growth: float = 2.0) -> float:
    """Return the wait after `failures` earlier failures: `first_s`, times `growth` for each, at most `most_s`.

    The result is multiplied by `share`: a random number from 0.0 to 1.0 (full jitter) spreads callers best.
    """
    # 60 doublings exceed any limit, and the product is still a float; an unlimited exponent would overflow.
    return share * min(most_s, first_s * growth ** min(failures, 60))


def end_at_early_stop(*, through_hangups: bool = False) -> None:
    """Make SIGTERM and SIGINT end the process with 0, since a program that has not begun has nothing to drain.

    With `through_hangups` SIGHUP is ignored.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_now)
    if through_hangups:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end_now(_signal: int, _frame: object) -> None:
    """End the process without an exception, which a finalizer could swallow, so that the program would continue.

    Until Python 3.12 `type()` also wraps any exception of `__set_name__` in an error, and imports create classes.
    """
    for stream in (sys.stdout, sys.stderr):
        # An interrupted write cannot be entered again, and a stream or its pipe may be closed.
        with contextlib.suppress(RuntimeError, ValueError, OSError, AttributeError):
            stream.flush()
    os._exit(0)


def of_a_stop() -> tuple[signal.Signals, ...]:
    """Return the signals that end a command: Ctrl-C, SIGTERM and, except under `nohup`, a closed terminal."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *(() if ignored else (signal.SIGHUP,)))


@contextlib.contextmanager
def heard_by(handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    """Handle these signals by `handler` while the block runs, and by their earlier handlers afterwards.

    Only the main thread may call this.
    """
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def leave_no_core_file() -> None:
    """Disable core files of this process and its children, since they contain secrets and customers' data.

    `prlimit --core=unlimited --pid PID` enables them again, to analyse a crash.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


_HALF = ".half"


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file by a temporary neighbour and a rename, and return `path`. After an OSError the old content stays."""
    # The name includes process and thread, so that two writers of the same file do not share a neighbour.
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}{_HALF}")
    neighbour.write_bytes(content.encode() if isinstance(content, str) else content)
    failpoint("state_file_written_before_rename")
    return neighbour.replace(path)


def forget_halves(folder: Path) -> None:
    """Remove temporary files of killed writers from a folder into which no process writes now. Raises OSError."""
    for path in folder.glob(f".*{_HALF}"):
        path.unlink(missing_ok=True)


PAGE_BYTES = 4096
"""Bytes at the start of a file that the kernel writes at once: a signal is handled before or after, not in between."""


class Rewritten:
    """One small file that this process writes repeatedly in place, at a seventh of the cost of a rename.

    A kill never leaves half of a write. A power failure may, so a reader must treat unreadable content as a missing
    file. Contents are padded with blanks. A file that another process has open under this name is not changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._close: Callable[[], object] = lambda: None
        self._one_at_a_time = threading.Lock()

    def write(self, content: str) -> None:
        """Write the whole content, from any thread. After an OSError the old content stays."""
        data = content.encode().ljust(PAGE_BYTES)
        with self._one_at_a_time:
            if self._descriptor >= 0 and len(data) == PAGE_BYTES:
                os.pwrite(self._descriptor, data, 0)
                return
            self._forget()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, data)
            if len(data) == PAGE_BYTES:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
                self._close = weakref.finalize(self, os.close, self._descriptor)

    def remove(self) -> None:
        """Remove the file. The next write creates it again. Raises OSError."""
        with self._one_at_a_time:
            self._forget()
            self._path.unlink(missing_ok=True)

    def _forget(self) -> None:
        self._close()
        self._descriptor = -1


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""glibc's numbers for its options (malloc.h). With another C library these functions do nothing."""

_MB = 1024 * 1024


def share_one_heap() -> None:
    """Make all threads share one heap, for a process with many slow threads. Call it before there are threads.

    glibc gives each thread a heap of its own, up to eight per CPU, and each keeps its holes. The supervisor grew by
    half a megabyte a minute, and does not grow with one heap: 126.2 MB after eight minutes, instead of 131.4 MB.
    """
    _allocator("mallopt", _M_ARENA_MAX, 1)


def give_back_large_blocks() -> None:
    """Return each large buffer to the kernel when it is freed, for a process that creates and drops many of them.

    Call it before there are threads. By default glibc raises the size from which a buffer gets its own pages to the
    largest size ever freed. After one call of ten megabytes, large buffers lie in the heap between pending events, and
    leave holes there. These were 50 MB in a receiver under a flood of events of 60 KB. Small buffers stay in the heap.
    """
    _allocator("mallopt", _M_MMAP_THRESHOLD, _MB)
    _allocator("mallopt", _M_TRIM_THRESHOLD, 16 * _MB)


def keep_large_blocks() -> None:
    """Keep freed large buffers, for a process that needs the same sizes repeatedly: faulting them in costs CPU."""
    _allocator("mallopt", _M_TRIM_THRESHOLD, 32 * _MB)  # the maximum that glibc accepts on 64 bits
    _allocator("mallopt", _M_MMAP_THRESHOLD, 32 * _MB)


def give_back_now() -> None:
    """Return free memory to the kernel. It takes some milliseconds, and memory needed again has to be faulted in."""
    _allocator("malloc_trim", 0)


def _allocator(function: str, *values: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        getattr(ctypes.CDLL(None), function)(*values)


_PR_SET_PDEATHSIG = 1
_TIED = (
    f"import ctypes, os, signal, sys; ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, signal.SIGKILL); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)


def tied_to_us(command: list[str]) -> list[str]:
    """Return a command that runs `command` so that the Linux kernel kills it as soon as this process ends.

    It uses a small program, since the call has to be made between fork and exec, where a threaded Python must not run
    code. A shard's child is not tied like this: it watches its parent itself, to record before it ends that it did not
    crash.
    """
    return [sys.executable, "-S", "-c", _TIED, str(os.getpid()), *command]


FAILPOINTS_VARIABLE = "STREAM_ROUTER_FAILPOINTS"

FAILPOINTS = {
    # the receiver
    "after_put_before_ack": "the stream took a call's records, no request has been told",
    "spill_written_before_answer": "rows are synced to the spill's file, no request has been told",
    "spill_drained_before_removed": "spilled rows are in the stream, the spill's files still have them",
    # the child
    "batch_taken_before_opened": "the daemon handed a batch over, none of it is opened",
    "after_accept_before_settle": "the bus accepted a call's entries, none of them is settled",
    "after_settle_before_checkpoint": "a checkpoint is due and its position known, it is not sent",
    "checkpoint_sent_before_reply": "a checkpoint went to the daemon, its answer is not there",
    "processed_before_answer": "a batch is taken charge of, the daemon has not been told",
    "in_shard_end": "all of the shard is settled, its end is not checkpointed",
    "in_lease_lost": "the daemon said that the lease is gone, nothing is stopped yet",
    "in_shutdown_requested": "the daemon asked for the last checkpoint, nothing is done yet",
    "before_dead_letter_sent": "an event is given up, its letter is not sent",
    "dead_letter_stored_before_settled": "the queue has a letter, its event is not settled",
    "claim_check_stored_before_entry_sent": "a payload is in the bucket, the entry that refers to it is not sent",
    "audit_record_written": "a batch's audit record is in its file, nobody knows of it yet",
    # the supervisor, and each writer of a file of the state folder
    "state_file_written_before_rename": "a file's new content is written beside it, its name still shows the old",
    "daemon_started_before_first_look": "the daemon was started, the supervisor has not looked at it",
    "target_proven_before_written": "bus and rule are said to be right, the children cannot read it yet",
    # the operator's commands
    "redrive_put_before_deleted": "a dead letter's line is on the stream again, its message is still in the queue",
}
"""Places at which a test can kill or stop a program, each with the steps done there and not yet done."""

_DEADLY = "event"
_RULE = re.compile(r"(?P<place>[a-z_]+)=(?:kill|stall:(?P<stall_s>\d+(?:\.\d+)?)s)(?:@(?P<nth>[1-9]\d*))?")

_armed: dict[str, tuple[float | None, int]] = {}
"""Armed failpoints by place: seconds to stall (None: kill), and number of the pass that acts (0: each pass)."""
_reached: dict[str, int] = {}
_deadly: list[bytes] = []


def failpoint(place: str) -> None:
    """Kill or stall the process if a test armed this place. Otherwise do nothing."""
    if place not in _armed:
        return
    stall_s, nth = _armed[place]
    _reached[place] = _reached.get(place, 0) + 1
    if nth not in (0, _reached[place]):
        return
    # Written directly to the descriptor, since the thread that is stopped here may hold a log's lock.
    os.write(2, f"failpoint {place}, time {_reached[place]}\n".encode())
    if stall_s is None:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        time.sleep(stall_s)


def deadly_text() -> bytes:
    """Return the text with which an event kills its process, as a bug in a C library would; "" if there is none."""
    return _deadly[0] if _deadly else b""


def failpoints_in_force() -> str:
    """Return the armed places for a log line; "" if there are none."""
    return ", ".join([*sorted(_armed), *([_DEADLY] if _deadly else [])])


def arm_failpoints(text: str) -> None:
    """Arm failpoints by the variable's text: `PLACE=kill`, `PLACE=kill@3`, `PLACE=stall:2s`, joined by `;`.

    `@N` acts at the Nth pass alone, otherwise at each pass. With `event=segfault:TEXT` an event that contains TEXT
    kills the process. Raises SettingsError.
    """
    for armed in (_armed, _reached, _deadly):
        armed.clear()
    for rule in filter(None, (part.strip() for part in text.split(";"))):
        if rule.startswith(f"{_DEADLY}=segfault:"):
            _deadly.append(rule.partition(":")[2].encode())
            continue
        match = _RULE.fullmatch(rule)
        if match is None or match["place"] not in FAILPOINTS:
            raise SettingsError(
                FAILPOINTS_VARIABLE,
                "has a rule that is none",
                "for tests only: PLACE=kill[@N] or PLACE=stall:SECONDSs[@N], docs/proof.md says how",
            )
        _armed[match["place"]] = (float(match["stall_s"]) if match["stall_s"] else None, int(match["nth"] or 0))

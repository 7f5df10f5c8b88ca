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
    return f"{_format_second(second)}.{milli:03d}Z"


@lru_cache(maxsize=64)
def _format_second(epoch_s: int) -> str:
    """Return `2026-11-24T09:30:00` for a second.

    The texts are cached, because events that arrive together were created in the same few seconds.
    """
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_s))


def backoff_s(failures: int, first_s: float, max_s: float, jitter: float = 1.0, growth: float = 2.0) -> float:
    """Return the wait in seconds after `failures` earlier failures: `first_s`, times `growth` for each, up to `max_s`.

    The result is multiplied by `jitter`. A random number from 0.0 to 1.0 (full jitter) keeps many callers from
    returning at the same moment.
    """
    # 60 doublings exceed any limit, and the product is still a float; an unlimited exponent would overflow.
    return jitter * min(max_s, first_s * growth ** min(failures, 60))


def end_on_early_signal(*, ignore_hangup: bool = False) -> None:
    """Make SIGTERM and SIGINT end the process with status 0, until the program installs its own handlers.

    A program that has not begun its work has nothing to drain. With `ignore_hangup` SIGHUP is ignored.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_now)
    if ignore_hangup:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _end_now(_signal: int, _frame: object) -> None:
    """End the process at once, without raising an exception.

    A finalizer could swallow an exception, and the program would continue. Until Python 3.12 `type()` also replaces any
    exception of `__set_name__` by another one, and imports create classes.
    """
    for stream in (sys.stdout, sys.stderr):
        # An interrupted write cannot be entered again, and a stream or its pipe may be closed.
        with contextlib.suppress(RuntimeError, ValueError, OSError, AttributeError):
            stream.flush()
    os._exit(0)


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a command: SIGINT (Ctrl-C), SIGTERM and, except under `nohup`, SIGHUP."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # `nohup` ignores SIGHUP for the command
        return (signal.SIGINT, signal.SIGTERM)
    return (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def handle_signals(handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    """Call `handler` for these signals while the `with` block runs, and restore the earlier handlers afterwards.

    Only the main thread may call this.
    """
    earlier_handlers = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier_handler in earlier_handlers.items():
            signal.signal(number, earlier_handler)


def leave_no_core_file() -> None:
    """Disable core files of this process and its children, since they contain secrets and customers' data.

    `prlimit --core=unlimited --pid PID` enables them again, to analyse a crash.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


_TEMPORARY_SUFFIX = ".half"


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Write a temporary file beside `path`, rename it to `path`, and return `path`.

    A reader sees the whole old or the whole new content. After an OSError the old content stays.
    """
    # The name includes process and thread, so that two writers of the same file do not share a temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}{_TEMPORARY_SUFFIX}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    failpoint("state_file_written_before_rename")
    return temporary.replace(path)


def remove_temporary_files(folder: Path) -> None:
    """Remove temporary files of killed writers from a folder into which no process writes now. Raises OSError."""
    for path in folder.glob(f".*{_TEMPORARY_SUFFIX}"):
        path.unlink(missing_ok=True)


PAGE_BYTES = 4096
"""Number of bytes at the start of a file that one write changes as a whole, even if the process is killed during it."""


class RewrittenFile:
    """One small file that this process writes repeatedly in place, at a seventh of the cost of a rename.

    A kill never leaves half of a write, but a power failure may, so a reader must treat unreadable content as a missing
    file. The content is padded with blanks to PAGE_BYTES; longer content is written to a new file. The first write also
    makes a new file, so a file that another process has open under this name is not changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        """Descriptor of the file that is written in place; -1 if the next write has to make a new file."""
        self._close: Callable[[], object] = lambda: None
        """Function that closes the descriptor. Only its first call does so, and the end of this object calls it too."""
        self._lock = threading.Lock()

    def write(self, content: str) -> None:
        """Write the whole content, from any thread. After an OSError the old content stays."""
        data = content.encode().ljust(PAGE_BYTES)
        with self._lock:
            if self._descriptor >= 0 and len(data) == PAGE_BYTES:
                os.pwrite(self._descriptor, data, 0)
                return
            self._close_file()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, data)
            if len(data) == PAGE_BYTES:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
                self._close = weakref.finalize(self, os.close, self._descriptor)

    def remove(self) -> None:
        """Remove the file. The next write creates it again. Raises OSError."""
        with self._lock:
            self._close_file()
            self._path.unlink(missing_ok=True)

    def _close_file(self) -> None:
        self._close()
        self._descriptor = -1


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""glibc's numbers for its options (malloc.h). With another C library these functions do nothing."""

_MB = 1024 * 1024


def use_one_heap() -> None:
    """Make all threads share one heap. Call this before there are threads; it suits a process with many slow threads.

    glibc gives each thread a heap of its own, up to eight per CPU, and no heap uses the free memory of another. Without
    this call the supervisor grew by half a megabyte a minute, to 131.4 MB after eight minutes; with it, it stayed at
    126.2 MB.
    """
    _call_allocator("mallopt", _M_ARENA_MAX, 1)


def set_allocator_thresholds() -> None:
    """Set glibc's thresholds so that it returns each buffer of over 1 MB to the kernel when it is freed.

    Call this before there are threads.

    By default glibc raises that limit to the largest size ever freed. After one buffer of ten megabytes, large buffers
    lie in the heap between pending events and leave holes there, 50 MB of them in a receiver under a flood of events of
    60 KB.
    """
    _call_allocator("mallopt", _M_MMAP_THRESHOLD, _MB)
    _call_allocator("mallopt", _M_TRIM_THRESHOLD, 16 * _MB)


def keep_large_blocks() -> None:
    """Make glibc keep freed large buffers, for a process that allocates the same sizes again and again.

    Memory that was returned costs page faults when it is allocated again.
    """
    _call_allocator("mallopt", _M_TRIM_THRESHOLD, 32 * _MB)  # the maximum that glibc accepts on 64 bits
    _call_allocator("mallopt", _M_MMAP_THRESHOLD, 32 * _MB)


def release_free_memory() -> None:
    """Return free memory to the kernel. The call takes some milliseconds, and allocating again costs page faults."""
    _call_allocator("malloc_trim", 0)


def _call_allocator(function: str, *values: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        getattr(ctypes.CDLL(None), function)(*values)


_PR_SET_PDEATHSIG = 1
_KILL_WITH_PARENT_PROGRAM = (
    f"import ctypes, os, signal, sys; ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, signal.SIGKILL); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)
"""Program that executes its second argument.

It ends instead if its parent is no longer the process of the first argument: a parent that ended before the call of
prctl would not be noticed by the kernel.
"""


def kill_with_parent(command: list[str]) -> list[str]:
    """Return a command that runs `command` so that the Linux kernel kills it as soon as this process ends.

    The command starts a small Python program that asks the kernel for this (prctl) and then executes `command`: between
    fork and exec, a Python process with threads must not run code. A shard's child is not started like this. It watches
    its parent itself, so that it can record before its end that it did not crash.
    """
    return [sys.executable, "-S", "-c", _KILL_WITH_PARENT_PROGRAM, str(os.getpid()), *command]


FAILPOINTS_VARIABLE = "STREAM_ROUTER_FAILPOINTS"

FAILPOINTS = {
    # the receiver
    "after_put_before_ack": "the stream accepted a call's records, no webhook is answered",
    "spill_written_before_answer": "rows are synced to the spill's file, no webhook is answered",
    "spill_drained_before_removed": "spilled rows are in the stream, the spill's files still have them",
    # the child
    "batch_taken_before_opened": "the daemon handed a batch over, none of its records is opened",
    "after_accept_before_settle": "the bus accepted a call's entries, none of them is settled",
    "after_settle_before_checkpoint": "a checkpoint is due and its position known, it is not sent",
    "checkpoint_sent_before_reply": "a checkpoint is sent to the daemon, its reply has not arrived",
    "processed_before_answer": "a batch is accepted for processing, the daemon's call is not answered",
    "in_shard_end": "all events of the shard are settled, its end is not checkpointed",
    "in_lease_lost": "the daemon reported that the lease is lost, nothing is stopped yet",
    "in_shutdown_requested": "the daemon asked for the last checkpoint, nothing is done yet",
    "before_dead_letter_sent": "an event is to be dead-lettered, its letter is not sent",
    "dead_letter_stored_before_settled": "the queue has a letter, its event is not settled",
    "claim_check_stored_before_entry_sent": "a payload is in the bucket, the entry that refers to it is not sent",
    "audit_record_written": "a batch's audit record is in its file, and not counted yet",
    # the supervisor, and each writer of a file of the state folder
    "state_file_written_before_rename": "new content is in a temporary file, the file still has the old content",
    "daemon_started_before_first_look": "the daemon is started, the supervisor has not checked it yet",
    "target_proven_before_written": "the target check succeeded, its result is not written for the children",
    # the operator's commands
    "redrive_put_before_deleted": "a dead letter's line is on the stream again, its message is still in the queue",
}
"""Places at which a test can kill or stall a program, each with the step that is done there and the one that is not."""

_KILLING_EVENT = "event"
_RULE = re.compile(r"(?P<place>[a-z_]+)=(?:kill|stall:(?P<stall_s>\d+(?:\.\d+)?)s)(?:@(?P<nth>[1-9]\d*))?")

_armed: dict[str, tuple[float | None, int]] = {}
"""Armed failpoints by place: seconds to stall (None: kill), and the number of the pass that acts (0: each pass)."""
_pass_counts: dict[str, int] = {}
_killing_texts: list[bytes] = []


def failpoint(place: str) -> None:
    """Kill or stall the process if a test armed this place. Otherwise do nothing."""
    if place not in _armed:
        return
    stall_s, nth = _armed[place]
    _pass_counts[place] = _pass_counts.get(place, 0) + 1
    if nth not in (0, _pass_counts[place]):
        return
    # Written directly to the descriptor, since the thread that is stopped here may hold a log's lock.
    os.write(2, f"failpoint {place}, time {_pass_counts[place]}\n".encode())
    if stall_s is None:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        time.sleep(stall_s)


def killing_text() -> bytes:
    """Return the text that a test armed: an event that contains it kills its process, as a bug in a C library would.

    Return b"" if no text is armed.
    """
    return _killing_texts[0] if _killing_texts else b""


def describe_failpoints() -> str:
    """Return the armed places for a log line; "" if there are none."""
    return ", ".join([*sorted(_armed), *([_KILLING_EVENT] if _killing_texts else [])])


def arm_failpoints(text: str) -> None:
    """Arm failpoints by the variable's text: `PLACE=kill`, `PLACE=kill@3`, `PLACE=stall:2s`, joined by `;`.

    A failpoint acts at each pass, or with `@N` at the Nth pass alone. With `event=segfault:TEXT` an event that contains
    TEXT kills the process. The failpoints armed before are disarmed. Raises SettingsError.
    """
    for state in (_armed, _pass_counts, _killing_texts):
        state.clear()
    for rule in filter(None, (part.strip() for part in text.split(";"))):
        if rule.startswith(f"{_KILLING_EVENT}=segfault:"):
            _killing_texts.append(rule.partition(":")[2].encode())
            continue
        match = _RULE.fullmatch(rule)
        if match is None or match["place"] not in FAILPOINTS:
            raise SettingsError(
                FAILPOINTS_VARIABLE,
                "has a rule of unknown form, or with an unknown place",
                "for tests only: PLACE=kill[@N] or PLACE=stall:SECONDSs[@N], docs/proof.md says how",
            )
        _armed[match["place"]] = (float(match["stall_s"]) if match["stall_s"] else None, int(match["nth"] or 0))

"""The C library's allocator, told how a process uses memory. Only glibc knows these options; others do nothing."""

import contextlib
import ctypes
import errno
import os
import re
import resource
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from stream_router.errors import SettingsError

# --- wall clock: the wall clock in milliseconds since 1970, which is how events and letters tell their times.


def now_ms() -> float:
    """The time now."""
    return time.time() * 1000


# --- doubling wait

MOST_DOUBLINGS = 60
"""2 to this power is beyond any bound, and still a float."""


def longest_wait_s(failures: int, first_s: float, most_s: float) -> float:
    """The longest wait after `failures` failures before this one: `first_s`, doubled for each, at most `most_s`."""
    return min(most_s, first_s * 2.0 ** min(failures, MOST_DOUBLINGS))


def full_jitter_s(failures: int, first_s: float, most_s: float, chance: float) -> float:
    """A wait between nothing and the longest; `chance` is a random number of 0.0 to 1.0. It spreads callers best."""
    return longest_wait_s(failures, first_s, most_s) * chance


def half_jitter_s(failures: int, first_s: float, most_s: float, chance: float) -> float:
    """A wait between half the longest and the longest, where starting again at once would cost too much."""
    return longest_wait_s(failures, first_s, most_s) * (0.5 + chance / 2)


# --- steady sleep: sleeps that last as long as they should, whatever becomes of the clock.

LOOK_EVERY_S = 0.25
"""How late a wake-up is heard."""


def stopped_after(seconds: float, stop: threading.Event) -> bool:
    """Sleep so long, to the end, then tell whether `stop` was set: for threads that nobody waits for.

    `stop.wait(seconds)` is no such sleep where Python was built without `sem_clockwait` (glibc before 2.30, as RHEL 8
    has it, musl, portable builds): it reckons by the wall clock there, and lasts an hour longer where that is set back
    by an hour.
    """
    time.sleep(seconds)
    return stop.is_set()


def rest(seconds: float, wake: threading.Event) -> None:
    """Sleep so long, or until `wake` is set."""
    until = time.monotonic() + seconds
    while not wake.is_set() and (left_s := until - time.monotonic()) > 0:
        time.sleep(min(left_s, LOOK_EVERY_S))


# --- standard streams


def open_closed_streams() -> None:
    """Open those that are closed, onto nothing. To be called before this program opens anything for good.

    The kernel gives the lowest free number: a connection would have number 2, into it whatever a library says would be
    written, and uvloop ends the process that closes it. Python has None for such a stream, on which a log breaks.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - a descriptor, kept open


# --- no core file: no core file of a crash: secrets and customers' data would stand in it, in the clear, on a disk.


def leave_no_core_file() -> None:
    """From now on neither this process nor one that it starts leaves one.

    For who looks for a crash, `prlimit --core=unlimited --pid PID` takes it back.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


# --- early stop: a stop that comes before a program works: there is nothing to drain, so it ends at once, with 0.


def end_at_early_stop(*, through_hangups: bool = False) -> None:
    """From here on SIGTERM and SIGINT end the process with 0; SIGHUP never does where it is to go on through it.

    Whoever started it may have ignored SIGCHLD, or blocked signals, and hands both on: then the kernel tells nobody how
    a child ended, and a stop is not heard.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, _end_now)
    if through_hangups:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # last: what was held back comes now


def _end_now(_signal: int, _frame: object) -> None:
    """End without an exception, which could be lost in a finaliser (the program would go on), or become an error.

    `type()` makes one of everything that `__set_name__` raises (until Python 3.12), and classes are made all the time.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # A write that was interrupted cannot be entered again; a stream may be closed, or its reader gone.
        with contextlib.suppress(RuntimeError, ValueError, OSError):
            stream.flush()
    os._exit(0)


# --- heard signals: signals heard by somebody else for a while, and by whoever heard them before after that.


def of_a_stop() -> tuple[signal.Signals, ...]:
    """What asks a command to end: Ctrl-C, SIGTERM and a closed terminal, but the last not under `nohup`."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *(() if ignored else (signal.SIGHUP,)))


@contextlib.contextmanager
def heard_by(handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    """`handler` hears these signals while the block runs. The main thread alone may do that."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


# --- failpoints

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
    # the supervisor, and whoever writes a file of the state folder
    "state_file_written_before_rename": "a file's new content is written beside it, its name still shows the old",
    "daemon_started_before_first_look": "the daemon was started, the supervisor has not looked at it",
    "bus_proven_before_written": "the bus said that it exists, the children cannot read it yet",
    # the operator's commands
    "redrive_settled_before_deleted": "a redriven event is settled, its message is still in the queue",
    "failed_again_stored_before_deleted": "a letter's next generation is in the queue, and so is the old one",
    "exported_before_deleted": "`dlq export --take` synced its file, the messages are still in the queue",
    "imported_before_counted": "`dlq import` sent letters, it does not know yet",
}
"""Every place: what has happened there, and what has not."""

DEADLY_EVENT = "event"
"""`event=segfault:TEXT`: an event whose line holds TEXT kills the process, as a bug in a C library would."""

_RULE = re.compile(r"(?P<place>[a-z_]+)=(?P<what>kill|stall:(?P<stall_s>\d+(?:\.\d+)?)s)(?:@(?P<nth>[1-9]\d*))?")


class _Armed(NamedTuple):
    stall_s: float | None
    """None: kill."""
    nth: int
    """0: each time."""


_armed: dict[str, _Armed] = {}
_reached: dict[str, int] = {}
_deadly: list[bytes] = []


def failpoint(place: str) -> None:
    """The program is at this place."""
    if _armed:
        _act_at(place)


def deadly_text() -> bytes:
    """What an event that kills its process holds; empty where none does."""
    return _deadly[0] if _deadly else b""


def failpoints_in_force() -> str:
    """What is armed, in words for a log; empty where nothing is."""
    return ", ".join([*sorted(_armed), *([DEADLY_EVENT] if _deadly else [])])


def arm_failpoints(text: str) -> None:
    """Arm this process as the variable says: `PLACE=kill`, `PLACE=kill@3`, `PLACE=stall:2s`, joined by `;`.

    `@N` is the Nth time alone; without it each time. Raises SettingsError.
    """
    _armed.clear()
    _reached.clear()
    _deadly.clear()
    for rule in filter(None, (part.strip() for part in text.split(";"))):
        if rule.startswith(f"{DEADLY_EVENT}=segfault:"):
            _deadly.append(rule.partition(":")[2].encode())
            continue
        found = _RULE.fullmatch(rule)
        if found is None or found["place"] not in FAILPOINTS:
            raise SettingsError(
                f"{FAILPOINTS_VARIABLE}: has a rule that is none; for tests only: PLACE=kill[@N] or "
                "PLACE=stall:SECONDSs[@N], the places are in docs/failpoints.md"
            )
        stall_s = float(found["stall_s"]) if found["stall_s"] else None
        _armed[found["place"]] = _Armed(stall_s, int(found["nth"] or 0))


def _act_at(place: str) -> None:
    armed = _armed.get(place)
    if armed is None:
        return
    _reached[place] = _reached.get(place, 0) + 1
    if armed.nth not in (0, _reached[place]):
        return
    # Straight to the descriptor: a log's lock may be held by the thread that is stopped here.
    os.write(2, f"failpoint {place}, time {_reached[place]}\n".encode())
    if armed.stall_s is None:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        time.sleep(armed.stall_s)


# --- whole file

_NEIGHBOUR = re.compile(r"\..+\.\d+\.\d+")
"""The name of a file that is being written, or was when its writer was killed: file, process, thread."""


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write by way of a neighbour and a rename, and return `path`. Raises OSError; the old content stays then."""
    # Two processes or two threads that write one file each have a neighbour of their own.
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    neighbour.write_bytes(content.encode() if isinstance(content, str) else content)
    failpoint("state_file_written_before_rename")
    return neighbour.replace(path)


PAGE_BYTES = 4096
"""The kernel takes so much at the start of a file in one piece: a signal comes before it or after it."""


class Rewritten:
    """One small file that this process writes over and over: in place, at a seventh of the cost of a rename.

    A kill never leaves half of a write. A power cut may: whoever reads must take what cannot be read for nothing.
    Contents end with blanks. What another process has open under this name stays its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._longest = 0
        self._descriptor = -1
        self._close: Callable[[], object] = lambda: None
        self._one_at_a_time = threading.Lock()

    def write(self, content: str) -> None:
        """Write it, whole, from any thread. Raises OSError; the old content stays then."""
        with self._one_at_a_time:
            data = content.encode().ljust(self._longest)
            if self._descriptor < 0 or len(data) > PAGE_BYTES:
                self._anew(data)
            elif os.pwrite(self._descriptor, data, 0) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            else:
                self._longest = len(data)

    def remove(self) -> None:
        """Remove the file; the next write makes it anew. Raises OSError."""
        with self._one_at_a_time:
            self._forget()
            self._path.unlink(missing_ok=True)

    def _anew(self, data: bytes) -> None:
        self._forget()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, data)
        if len(data) <= PAGE_BYTES:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            self._close = weakref.finalize(self, os.close, self._descriptor)
            self._longest = len(data)

    def _forget(self) -> None:
        self._close()
        self._descriptor, self._longest = -1, 0


def forget_halves(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder into which nobody writes now. Raises OSError."""
    for path in folder.glob(".*.*.*"):
        if _NEIGHBOUR.fullmatch(path.name):
            path.unlink(missing_ok=True)


# --- allocator

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""glibc's numbers for its options (malloc.h)."""

LARGE_BYTES = 1024 * 1024
KEPT_FREE_BYTES = 16 * 1024 * 1024
MOST_BYTES = 32 * 1024 * 1024
"""The most that glibc takes as a threshold on 64 bits."""


def share_one_heap() -> None:
    """For a process of many threads that hurries with none. Call it before there are threads.

    glibc gives each thread a heap of its own, up to eight a CPU, and each keeps its holes: the supervisor grew by half
    a megabyte a minute. With one heap it does not (126.2 MB after eight minutes, beside 131.4).
    """
    _set(_M_ARENA_MAX, 1)


def give_back_large_blocks() -> None:
    """For a process that makes and drops many large buffers: each goes back to the kernel as it is freed.

    Call it before there are threads. glibc raises the size from which a buffer has pages of its own to that of the
    largest that was ever freed. After one call of ten megabytes each of its parts lies in the heap, between events that
    wait, and leaves a hole there: of a receiver that was flooded with events of 60 KB it was 50 MB. What is small is
    kept for the next, as before.
    """
    _set(_M_MMAP_THRESHOLD, LARGE_BYTES)
    _set(_M_TRIM_THRESHOLD, KEPT_FREE_BYTES)


def keep_large_blocks() -> None:
    """For a process that needs the same large buffers again and again: to fault them in anew costs CPU."""
    _set(_M_TRIM_THRESHOLD, MOST_BYTES)
    _set(_M_MMAP_THRESHOLD, MOST_BYTES)


def give_back_now() -> None:
    """Give free memory back to the kernel: some milliseconds, and what is needed again is faulted in anew."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _set(option: int, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(option, value)


# --- a process that dies with its parent (Linux)

_PR_SET_PDEATHSIG = 1
_TIED = (
    f"import ctypes, os, signal, sys; ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, signal.SIGKILL); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)


def tied_to_us(command: list[str]) -> list[str]:
    """`command`, so started that the kernel kills it as soon as this process is gone.

    By a small program of its own: the call has to be made between fork and exec, where a threaded Python must not run
    code. A shard's child is not tied like this: it watches its parent itself, to note before it goes that its end is
    no crash.
    """
    return [sys.executable, "-S", "-c", _TIED, str(os.getpid()), *command]


def tie_to(parent: int) -> None:
    """Be killed when `parent`, which forked this process, dies. Raises SystemExit where it is dead already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)

"""More than one worker: a parent that forks them, replaces one that dies or hangs, and tells them all to stop."""

import errno
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from select import PIPE_BUF

from stream_router.errors import EX_CONFIG, NotNowError, SettingsError
from stream_router.log import Seldom
from stream_router.process import tie_to
from stream_router.receiver.pulses import Pulses

log = logging.getLogger(__name__)

STOP_S = 9.5
"""After a stop was asked for, a worker that is still there is killed, so that the whole ends within 10 s."""
SHORT_LIFE_S = 5.0
MAX_SHORT_LIVES = 3
RESPAWN_AFTER_S = 1.0
REFUSED_RESPAWN_AFTER_S = 5.0
"""Then a worker is tried again that could not take a dead one's place: a start costs a good part of a CPU second."""
BEGINS_WITHIN_S = 600.0
"""A start reads through the spill; one that takes longer than that for any size of it stands still."""
LOOK_EVERY_S = 0.25
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


class WorkerSupervisor:
    """Keeps `workers` processes running, each of which runs `work(number)`."""

    def __init__(
        self,
        workers: int,
        work: Callable[[int], None],
        gone: Callable[[int], None] = lambda _: None,
        beats: Callable[[], Sequence[float]] = list,
    ) -> None:
        """`gone(number)` is called when a worker died; `beats` tells how often each one's loop came round."""
        self._beats = beats
        self._pulses = Pulses(beats, time.monotonic)
        self._killed: set[int] = set()
        self._work = work
        self._gone = gone
        self._wanted = workers
        self._numbers: dict[int, int] = {}
        self._started_s: dict[int, float] = {}
        self._again: list[tuple[float, int]] = []
        """When which worker is to be started again."""
        self._replacements: set[int] = set()
        """The workers that took a dead one's place."""
        self._short_lives = 0
        self._complaints = os.pipe()
        """Through it a worker tells what is wrong with the settings."""
        os.set_blocking(self._complaints[0], False)
        self._complaint: SettingsError | None = None
        self._refused = Seldom(time.monotonic)

    def start(self) -> None:
        """Fork the workers. Signals are waited for from here on, so threads that start later never get them."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for number in range(self._wanted):
            self._fork(number)

    def run(self, drain_delay_s: float = 0.0) -> int:
        """Wait until told to stop (0), or until workers die again and again at once (1).

        `drain_delay_s` is how much longer workers may take to end.

        Raises SettingsError where one of the first workers did: others would fail in the same way.
        """
        status = 0
        while True:
            told = signal.sigtimedwait(_SIGNALS, LOOK_EVERY_S)
            if told and told.si_signo == signal.SIGHUP:
                for pid in self._numbers:
                    os.kill(pid, signal.SIGHUP)
            elif told and told.si_signo != signal.SIGCHLD:
                break
            self._kill_hung()
            self._replace_dead()
            self._fork_due()
            if self._complaint:
                break
            if self._short_lives >= MAX_SHORT_LIVES:
                log.error(
                    "workers die as soon as they start; the receiver stops", extra={"event": "receiver-workers-die"}
                )
                status = 1
                break
        self._stop(drain_delay_s)
        if self._complaint:
            raise self._complaint
        return status

    def _fork(self, number: int) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._numbers[pid] = number
            self._started_s[pid] = time.monotonic()
            return pid
        status = 1
        try:
            # A worker without its parent would serve on unseen, and hold its spill.
            tie_to(parent)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._work(number)
            status = 0
        except SettingsError as error:
            self._complain(error)
            status = EX_CONFIG
        except Exception:
            log.exception("a worker failed", extra={"event": "receiver-worker-failed"})
        finally:
            # Never back into the parent's code.
            os._exit(status)

    def _kill_hung(self) -> None:
        """End the workers that stand still: they answer nobody, and would not end when they are told to."""
        hung, silent = self._pulses.look(), [number for number, beats in enumerate(self._beats()) if not beats]
        for pid, number in self._numbers.items():
            late = number in silent and time.monotonic() - self._started_s[pid] > BEGINS_WITHIN_S
            if (late or number in hung) and pid not in self._killed:
                self._killed.add(pid)
                log.error(
                    "a worker stands still and is killed",
                    extra={"event": "receiver-worker-stands-still", "worker": number},
                )
                os.kill(pid, signal.SIGKILL)

    def _replace_dead(self) -> None:
        for pid, status in self._reap():
            lived_s = time.monotonic() - self._started_s.pop(pid)
            number = self._numbers.pop(pid)
            self._gone(number)
            replaces = pid in self._replacements
            self._replacements.discard(pid)
            self._killed.discard(pid)
            if status == EX_CONFIG:
                self._refuses(number, self._told(), replaces=replaces)
                continue
            log.error("a worker died and is replaced", extra={"event": "receiver-worker-died", "worker": number})
            self._short_lives = self._short_lives + 1 if lived_s < SHORT_LIFE_S else 0
            if self._short_lives < MAX_SHORT_LIVES:
                self._again.append((time.monotonic() + RESPAWN_AFTER_S, number))

    def _complain(self, error: SettingsError) -> None:
        """Called in a worker: tell the parent what is wrong, and how a program ends with it."""
        os.write(self._complaints[1], f"{error.status} {error}\n".encode()[:PIPE_BUF])

    def _told(self) -> SettingsError | None:
        """What a worker told of the settings; None where it was read with what another one told."""
        try:
            status, _, line = os.read(self._complaints[0], PIPE_BUF).decode().split("\n")[0].partition(" ")
        except BlockingIOError:
            return None
        return NotNowError(line) if status == str(NotNowError.status) else SettingsError(line)

    def _refuses(self, number: int, told: SettingsError | None, *, replaces: bool) -> None:
        """A worker could not start. Files and secrets that were good once will be again, and the others still serve."""
        if not replaces:
            self._complaint = self._complaint or told
            return
        self._again.append((time.monotonic() + REFUSED_RESPAWN_AFTER_S, number))
        if told and self._refused():
            log.error(
                "a dead worker cannot be replaced now, and is tried again: %s",
                told,
                extra={"event": "receiver-worker-not-replaced", "worker": number},
            )

    def _fork_due(self) -> None:
        """Start anew what died a second ago; meanwhile the deaths of others are seen, and a stop is."""
        due = [again for again in self._again if again[0] <= time.monotonic()]
        self._again = [again for again in self._again if again not in due]
        for _, number in due:
            try:
                self._replacements.add(self._fork(number))
            except OSError as error:
                code = errno.errorcode.get(error.errno or 0, "error")
                self._refuses(number, NotNowError(f"no process can be made ({code})"), replaces=True)

    def _reap(self) -> list[tuple[int, int]]:
        """The workers that ended, and how."""
        ended = [os.waitpid(pid, os.WNOHANG) for pid in self._numbers]
        return [(pid, os.waitstatus_to_exitcode(status)) for pid, status in ended if pid]

    def _stop(self, drain_delay_s: float) -> None:
        """Tell all to drain; kill who is not through in time."""
        for pid in self._numbers:
            os.kill(pid, signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_S + drain_delay_s
        while self._numbers and time.monotonic() < deadline_s:
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
            for pid, _ in self._reap():
                self._gone(self._numbers.pop(pid))
        for pid in self._numbers:
            log.error(
                "a worker did not drain in time and was killed",
                extra={"event": "receiver-worker-killed", "worker": self._numbers[pid]},
            )
            os.kill(pid, signal.SIGKILL)

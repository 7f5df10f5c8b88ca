"""More than one worker: a parent that forks them, replaces one that dies, and tells them all to stop."""

import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

STOP_S = 9.5
"""After a stop was asked for, a worker that is still there is killed, so that the whole ends within 10 s."""
SHORT_LIFE_S = 5.0
MAX_SHORT_LIVES = 3
RESPAWN_AFTER_S = 1.0
_PR_SET_PDEATHSIG = 1
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


class Supervisor:
    """Keeps `workers` processes running, each of which runs `work(number)`."""

    def __init__(self, workers: int, work: Callable[[int], None]) -> None:
        self._work = work
        self._wanted = workers
        self._numbers: dict[int, int] = {}
        self._started_s: dict[int, float] = {}
        self._short_lives = 0

    def start(self) -> None:
        """Fork the workers. Signals are waited for from here on, so threads that start later never get them."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for number in range(self._wanted):
            self._fork(number)

    def run(self) -> int:
        """Wait until told to stop (0), or until workers die again and again at once (1)."""
        status = 0
        while True:
            told = signal.sigtimedwait(_SIGNALS, 1.0)
            if told and told.si_signo != signal.SIGCHLD:
                break
            self._replace_dead()
            if self._short_lives >= MAX_SHORT_LIVES:
                log.error("workers die as soon as they start; the receiver stops")
                status = 1
                break
        self._stop()
        return status

    def _fork(self, number: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._numbers[pid] = number
            self._started_s[pid] = time.monotonic()
            return
        status = 1
        try:
            _die_with(parent)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._work(number)
            status = 0
        except Exception:
            log.exception("a worker failed")
        finally:
            # Never back into the parent's code.
            os._exit(status)

    def _replace_dead(self) -> None:
        for pid in self._reap():
            lived_s = time.monotonic() - self._started_s.pop(pid)
            number = self._numbers.pop(pid)
            log.error("a worker died and is replaced", extra={"worker": number})
            self._short_lives = self._short_lives + 1 if lived_s < SHORT_LIFE_S else 0
            if self._short_lives < MAX_SHORT_LIVES:
                signal.sigtimedwait({signal.SIGUSR2}, RESPAWN_AFTER_S)
                self._fork(number)

    def _reap(self) -> list[int]:
        return [pid for pid in list(self._numbers) if os.waitpid(pid, os.WNOHANG)[0]]

    def _stop(self) -> None:
        """Tell all to drain; kill who is not through in time."""
        for pid in self._numbers:
            os.kill(pid, signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_S
        while self._numbers and time.monotonic() < deadline_s:
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
            for pid in self._reap():
                del self._numbers[pid]
        for pid in self._numbers:
            log.error("a worker did not drain in time and was killed", extra={"worker": self._numbers[pid]})
            os.kill(pid, signal.SIGKILL)


def _die_with(parent: int) -> None:
    """Be killed when the parent dies: a worker without it would serve on unseen, and hold its spill."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)

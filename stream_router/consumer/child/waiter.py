"""How the child waits: for the network, a signal and, between two callbacks, the daemon's line, all at once."""

import os
import signal
from typing import Protocol

from stream_router.aws.signed_calls import Transport


class Waiting(Protocol):
    """Moves the calls on and waits: for the network, a signal, and with `daemon` for the daemon's line too."""

    def __call__(self, seconds: float, *, daemon: bool = False) -> None:
        """Wait at most so long."""


class Waiter:
    """Callable with seconds: moves the calls on and waits at most so long. A signal ends the wait.

    With `daemon` a line of the daemon's ends it too; `daemon_fd` is where that comes from. To be made in the main
    thread, since it hears of signals by their wake-up descriptor.
    """

    def __init__(self, transport: Transport, daemon_fd: int) -> None:
        self._transport = transport
        self._daemon_fd = daemon_fd
        self._woken, write = os.pipe()
        os.set_blocking(write, False)
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def __call__(self, seconds: float, *, daemon: bool = False) -> None:
        others = (self._woken, self._daemon_fd) if daemon else (self._woken,)
        if self._woken in self._transport.pump(seconds, others):
            os.read(self._woken, 4096)

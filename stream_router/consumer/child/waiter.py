"""How the child waits: for the network where calls are in flight, else for a signal, never longer than it is told."""

import os
import select
import signal

from stream_router.aws.pumped_transport import Transport


class Waiter:
    """Callable with seconds: moves the calls on and waits at most so long. A signal ends the wait.

    To be made in the main thread, since it hears of signals by their wake-up descriptor.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._woken, write = os.pipe()
        os.set_blocking(write, False)
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def __call__(self, seconds: float) -> None:
        if self._transport.in_flight:
            self._transport.pump(seconds)
        elif seconds > 0 and select.select([self._woken], [], [], seconds)[0]:
            os.read(self._woken, 4096)

"""Signals heard by somebody else for a while, and by whoever heard them before after that."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


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

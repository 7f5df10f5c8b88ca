"""A test's way to kill the child at a given event, as a bug in a C library would."""

import os
import signal
from collections.abc import Callable

from stream_router.model import DeadLetter, Event, Made
from stream_router.process import deadly_text


def with_deadly_event(transform: Callable[[Event | DeadLetter], Made]) -> Callable[[Event | DeadLetter], Made]:
    """`transform` itself, unless `event=segfault:TEXT` is armed: then an event whose line holds TEXT is deadly."""
    text = deadly_text()
    if not text:
        return transform

    def deadly(found: Event | DeadLetter) -> Made:
        if isinstance(found, Event) and text in found.raw:
            os.kill(os.getpid(), signal.SIGSEGV)
        return transform(found)

    return deadly

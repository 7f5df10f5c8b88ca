"""A test's way to kill the child at a given event, as a bug in a C library would."""

import os
import signal
from collections.abc import Callable

from stream_router.model import Event, Made
from stream_router.process import deadly_text


def with_deadly_event(transform: Callable[[Event], Made]) -> Callable[[Event], Made]:
    """`transform` itself, unless `event=segfault:TEXT` is armed: then an event whose line holds TEXT is deadly."""
    text = deadly_text()
    if not text:
        return transform

    def deadly(event: Event) -> Made:
        if text in event.raw:
            os.kill(os.getpid(), signal.SIGSEGV)
        return transform(event)

    return deadly

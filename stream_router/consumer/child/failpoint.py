"""A test's way to kill the child at a given event, as a bug in a C library would."""

import os
import signal
from collections.abc import Callable

from stream_router.core.model import DeadLetter, Dropped, Entry, Event


def failing_at(
    failpoint: str, transform: Callable[[Event], Entry | DeadLetter | Dropped]
) -> Callable[[Event], Entry | DeadLetter | Dropped]:
    """`transform`, but an event whose line holds the text of `segfault:TEXT` ends the process by SIGSEGV."""
    text = failpoint.partition(":")[2].encode()

    def deadly(event: Event) -> Entry | DeadLetter | Dropped:
        if text in event.raw:
            os.kill(os.getpid(), signal.SIGSEGV)
        return transform(event)

    return deadly

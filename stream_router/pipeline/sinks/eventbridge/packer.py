"""Packs entries into PutEvents calls: in order, as many as a call may carry, by AWS's size formula."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from stream_router.model import Entry


class CallLimits(NamedTuple):
    """What one PutEvents call may carry: entries, and bytes by AWS's formula (`Entry.size_bytes`, summed)."""

    entries: int
    bytes: int


def fits(entries: Sequence[Entry], limits: CallLimits) -> tuple[list[Entry], list[Entry]]:
    """The entries that a call can carry, and those that no call can (each in order)."""
    most = limits.bytes
    fitting = [entry for entry in entries if entry.size_bytes <= most]
    if len(fitting) == len(entries):
        return fitting, []
    return fitting, [entry for entry in entries if entry.size_bytes > most]


def take(ready: deque[Entry], limits: CallLimits) -> list[Entry]:
    """Remove the next call's entries from the front of `ready`: the next one would not have fitted, or none is left.

    The first entry is taken whatever its size: one above a limit that was lowered goes alone, and AWS judges it.
    """
    taken = [ready.popleft() for _ in range(min(limits.entries, len(ready)))]
    size = sum([entry.size_bytes for entry in taken])
    while size > limits.bytes and len(taken) > 1:
        last = taken.pop()
        size -= last.size_bytes
        ready.appendleft(last)
    return taken

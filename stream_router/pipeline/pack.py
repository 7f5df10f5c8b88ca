"""Packs entries into PutEvents calls: in order, as many as a call may carry, by AWS's size formula."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from stream_router.records import Entry


class CallLimits(NamedTuple):
    """What one PutEvents call may carry: entries, and bytes by AWS's formula (`Entry.size_bytes`, summed)."""

    entries: int
    bytes: int


def fits(entries: Iterable[Entry], limits: CallLimits) -> tuple[list[Entry], list[Entry]]:
    """The entries that a call can carry, and those that no call can (each in order)."""
    fitting: list[Entry] = []
    oversize: list[Entry] = []
    for entry in entries:
        (fitting if entry.size_bytes <= limits.bytes else oversize).append(entry)
    return fitting, oversize


def take(ready: deque[Entry], limits: CallLimits) -> list[Entry]:
    """Remove the next call's entries from the front of `ready`: the next one would not have fitted, or none is left.

    The first entry is taken whatever its size, so that one that became too large for a lowered limit still leaves the
    queue (AWS then refuses it alone).
    """
    taken: list[Entry] = []
    room = limits.bytes
    while ready and len(taken) < limits.entries:
        size = ready[0].size_bytes
        if size > room and taken:
            break
        room -= size
        taken.append(ready.popleft())
    return taken

"""Handles a shard's records one event at a time, after its child died again and again at the same place."""

from collections.abc import Callable, Iterable
from itertools import count

from stream_router import envelope
from stream_router.consumer.crash import WHOLE_RECORD, CrashGuard
from stream_router.errors import Reason
from stream_router.pipeline.route import Router
from stream_router.records import DeadLetter, Event, Record


def route_carefully(records: Iterable[Record], router: Router, guard: CrashGuard, drain: Callable[[], None]) -> None:
    """Route each event alone and see it settled before the next; what killed a process before is buried unread."""
    for record in records:
        # Set before the burial too: a death in it must not be charged to the record before.
        guard.begin(record, WHOLE_RECORD)
        if guard.is_culprit(record, WHOLE_RECORD):
            router.dead_letters.submit(_bury_unread(record))
            drain()
            continue
        for found in envelope.open_record(record):
            event = found.event if isinstance(found, DeadLetter) else found
            guard.begin(record, event.line)
            if guard.is_culprit(record, event.line):
                router.dead_letters.submit([_crashed(event)])
            else:
                router.route_found([found])
            drain()


def _bury_unread(record: Record) -> list[DeadLetter]:
    """A record that cannot even be opened: each of its lines is buried without being parsed."""
    lines = [line for line in record.data.split(b"\n") if line and not line.isspace()] or [record.data]
    record.expect(len(lines))
    numbers = count()
    return [_crashed(envelope.unread(record, next(numbers), line)) for line in lines]


def _crashed(event: Event) -> DeadLetter:
    return DeadLetter(event, Reason.CRASHED, "ProcessKilled", "the process died each time it handled this event")

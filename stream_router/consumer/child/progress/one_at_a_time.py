"""Handles a shard's records one event at a time, after its child died again and again at the same place."""

from collections.abc import Callable, Iterator, Sequence

from stream_router import envelope
from stream_router.consumer.child.progress.crash_guard import WHOLE_RECORD, CrashGuard
from stream_router.model import DeadLetter, Event, Reason, Record
from stream_router.pipeline.route import SLICE_EVENTS, Router


def route_carefully(
    records: Sequence[Record], router: Router, guard: CrashGuard, start: Callable[[], None]
) -> Sequence[Record]:
    """Route each event alone, and see it sent before the next; what killed a process before is buried unread.

    `start` returns once all that was routed is on its way. Nobody waits for an answer: a sick event must not stop this.
    Gives back the records that need no such care, the newest.
    """
    careful = [record for record in records if guard.needs_care(record)]
    for record in careful:
        # Set before the burial too: a death in it must not be charged to the record before.
        guard.begin(record, WHOLE_RECORD)
        if guard.is_culprit(record, WHOLE_RECORD):
            for letters in _unread(record):
                router.bury(letters)
                start()
            continue
        for found in envelope.open_record(record):
            event = found.event if isinstance(found, DeadLetter) else found
            guard.begin(record, event.line)
            if guard.is_culprit(record, event.line):
                router.bury([_crashed(event)])
            else:
                router.route_found([found])
            start()
    guard.rests()
    return records[len(careful) :]


def _unread(record: Record) -> Iterator[list[DeadLetter]]:
    """A record that cannot even be opened: a letter for each of its lines, none of them parsed, a slice at a time."""
    lines = [line for line in record.data.split(b"\n") if line and not line.isspace()] or [record.data]
    record.expect(len(lines))
    for at in range(0, len(lines), SLICE_EVENTS):
        numbered = enumerate(lines[at : at + SLICE_EVENTS], at)
        yield [_crashed(envelope.unread(record, number, line)) for number, line in numbered]


def _crashed(event: Event) -> DeadLetter:
    return DeadLetter(event, Reason.CRASHED, "ProcessKilled", "the process died each time it handled this event")

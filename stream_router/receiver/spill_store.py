"""The interface of a spill: a folder on disk (`backlog.py`) or an SQS queue (`spill_queue.py`)."""

from collections.abc import Callable, Sequence
from typing import Protocol

from stream_router.receiver.events import PendingEvent

Stored = Callable[[Sequence[PendingEvent], int | None], None]
"""Callback that gets some of the events that were to be stored, and their first row; None if they are not stored."""


class SpillStore(Protocol):
    """A store that keeps events while the stream takes none. Rows are numbers that the store assigns to events."""

    resource: str
    """The folder, or the queue's URL."""
    unread: int
    """Number of rows that this process stored, or found, and has not drained."""

    @property
    def size(self) -> int:
        """Number of stored events, or events being written, that are not known to be in the stream."""

    @property
    def has_drained(self) -> bool:
        """Whether a drained event is in memory, with which the stream can be tried."""

    @property
    def takes(self) -> bool:
        """Whether events can be stored, as far as is known."""

    @property
    def error(self) -> str:
        """Code of what is wrong; "" if nothing is known to be."""

    @property
    def cure(self) -> str:
        """Advice to an operator about `error`."""

    def snapshot(self) -> dict[str, float]:
        """Return the spill's metrics by name (docs/metrics.md)."""

    def store(self, events: Sequence[PendingEvent], done: Stored) -> None:
        """Store events. `done` gets each of them once, in one call or several."""

    def drain(self) -> None:
        """Bring stored events back, unless enough of them are in memory."""

    def hold(self, row: int) -> None:
        """Keep a row back: a call that began before it was stored carries its event."""

    def release(self, row: int) -> PendingEvent | None:
        """End a hold, since the call did not store the event; return the event if it was drained meanwhile."""

    def settle(self, row: int) -> None:
        """Record that the event of a row is in the stream, or set aside."""

    def settle_files(self) -> None:
        """Remove the files or messages whose events are all settled, and drain on."""

    def set_aside(self, event: PendingEvent, done: Callable[[bool], None]) -> None:
        """Keep apart an event that the stream refuses for good. `done` gets whether it was kept."""

    def begin_close(self) -> None:
        """Prepare the end: drain no more events that another receiver can drain."""

    async def close(self) -> int:
        """Return the number of remaining events that only this process, or its successor, can find."""

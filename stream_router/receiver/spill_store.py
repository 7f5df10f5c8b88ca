"""The interface of a spill: a folder on disk (`backlog.py`) or an SQS queue (`spill_queue.py`)."""

from collections.abc import Callable, Sequence
from typing import Protocol

from stream_router.receiver.events import PendingEvent

Stored = Callable[[Sequence[PendingEvent], int | None], None]
"""Callback for an attempt to store events. It gets some of the events, and their first row (None if not stored)."""


class SpillStore(Protocol):
    """Store for events while the stream takes none. It numbers its events; an event's number is its row."""

    resource: str
    """The folder, or the queue's URL."""
    unread: int
    """Number of rows that this process stored, or found at its start, and has not drained."""

    @property
    def size(self) -> int:
        """Number of events that are stored or being written, and not known to be in the stream."""

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
        """Store events. `done` is called once or several times, and gets each event once."""

    def drain(self) -> None:
        """Bring stored events back, unless enough of them are in memory."""

    def hold(self, row: int) -> None:
        """Do not drain a row, since a call in flight carries its event. The call began before the row was stored."""

    def release(self, row: int) -> PendingEvent | None:
        """End the hold of a row, since the call failed. Return the row's event if it was drained meanwhile."""

    def settle(self, row: int) -> None:
        """Record that the event of a row is in the stream, or set aside."""

    def delete_settled(self) -> None:
        """Remove the files or messages whose events are all settled, then drain more."""

    def set_aside(self, event: PendingEvent, done: Callable[[bool], None]) -> None:
        """Store apart an event that the stream refuses for good. `done` gets whether that succeeded."""

    def begin_close(self) -> None:
        """Prepare the end: drain no more events if another receiver can drain them."""

    async def close(self) -> int:
        """End the use of the store.

        Return the number of remaining events that no other receiver can drain, only a later process with this store.
        """

"""What a shard needs of others, as it sees them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from stream_router.model import Batch, Record


class Telemetry(Protocol):
    """The shard's metrics and audit."""

    def watch(self, vitals: Callable[[], dict[str, Any]]) -> None:
        """What the shard says of itself whenever a snapshot is written."""

    def opened(self, records: Sequence[Record]) -> None:
        """These records reached the child."""

    def routed(self, batch: Batch) -> None:
        """Some records of this batch are transformed."""

    def tick(self) -> None:
        """A moment to publish what is due; never raises, never blocks."""

    def close(self) -> None:
        """The shard ends here: publish the rest."""


class Waiting(Protocol):
    """Moves the calls on and waits: for the network, a signal, and with `daemon` for the daemon's line too."""

    def __call__(self, seconds: float, *, daemon: bool = False) -> None:
        """Wait at most so long."""

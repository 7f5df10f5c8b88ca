"""Whether this worker can take events: what `/readyz` says."""

from stream_router.receiver.batching.batcher import Batcher


class Health:
    """Reads the state of the batcher; `draining` is set when the receiver is told to stop."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self.draining = False

    @property
    def ready(self) -> bool:
        """False while draining, and while neither stream nor spill can take events."""
        return not self.draining and (self.stream_up or self._batcher.spill_takes)

    @property
    def stream_up(self) -> bool:
        """Whether the stream takes events, as far as is known."""
        return not self._batcher.stream.down

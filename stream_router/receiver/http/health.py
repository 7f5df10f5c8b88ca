"""Whether this worker can take events: what `/readyz` says."""

from stream_router.receiver.batching.batcher import Batcher

DOWN_AFTER_S = 1.0
"""The stream counts as down after it refused for so long."""
BELIEVED_FOR_S = 5.0
"""Without a new refusal it is believed for so long; then new traffic is let in to try, or nothing ever would."""


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
        since_s = self._batcher.failing_since_s
        now_s = self._batcher.now_s()
        return (
            since_s is None or now_s - since_s < DOWN_AFTER_S or now_s - self._batcher.last_failure_s > BELIEVED_FOR_S
        )

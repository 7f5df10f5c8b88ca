"""Checkpoints of one shard: at the settled watermark, and never past the last successful target check."""

import logging
import math
from collections.abc import Callable, Sequence

from amazon_kclpy.kcl import Checkpointer, CheckpointError

from stream_router.consumer.child.watermark import RecordPosition, Watermark
from stream_router.consumer.target_check import TargetView
from stream_router.model import Record
from stream_router.process import failpoint

log = logging.getLogger(__name__)

SHARD_END_WITHIN_S = 10.0
"""Seconds for which the checkpoint of a shard's end is retried."""

EARLY_S = 2.5
"""Seconds by which a checkpoint may be early if a new target check has succeeded, so that the two keep step.

Otherwise a checkpoint could rest on a check that is an interval old, and a crash would bring back twice as many events.
"""

LOOK_EVERY_S = 0.25
"""Interval at which a checkpoint that waits for a target check is tried again."""


class LeavingError(SystemExit):
    """The process ends on purpose. Records above the checkpoint are read again."""


class LeaseGoneError(Exception):
    """A checkpoint was refused because another worker holds the lease."""


class Checkpoints:
    """Watermark of one shard, and the checkpoints that follow it every `every_s` seconds.

    `taken` is the latest checkpoint, None until there is one. `accepted_at` returns the time at which the bus last
    accepted an entry: records that were settled by dead letters alone wait for no target check. Times are monotonic
    seconds.
    """

    def __init__(
        self,
        proof: TargetView,
        accepted_at: Callable[[], float],
        every_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._proof = proof
        self._accepted_at = accepted_at
        self._every_s = every_s
        self._clock = clock
        self._watermark = Watermark()
        self.taken: RecordPosition | None = None
        self.taken_at = clock()
        """Time of that checkpoint; until there is one, time at which this child took over the shard."""
        self._due = clock() + every_s
        self._proof_s = -math.inf
        self._digits = 0
        self._given: int | None = None

    def expect(self, records: Sequence[Record], digits: int) -> None:
        """Add the records that come next. The daemon writes sequence numbers with at least `digits` digits.

        Checkpoints use the same form, since an emulator pads the numbers with zeros and compares them as text.
        """
        self._digits = digits
        self._watermark.expect(records)
        self._given = records[-1].sequence_number

    def follow_target_check(self) -> str:
        """Read the latest result of the target check, and return `target_problem`."""
        self._proof.refresh()
        return self.target_problem

    @property
    def target_problem(self) -> str:
        """Reason for which nothing may be published, by the result that was read last; "" if publishing is allowed."""
        return self._proof.problem

    @property
    def is_disproven(self) -> bool:
        """Whether bus or rule were broken, so that events sent since the last successful check must be resent."""
        return self._proof.is_broken

    def want_proof(self) -> None:
        """Ask for a target check that covers the entry accepted last."""
        self._proof.request_check(self._accepted_at())

    @property
    def settled(self) -> bool:
        """Whether every record received so far is settled."""
        self._watermark.advance(self._accepted_at())
        return self._watermark.settled

    def oldest_ms(self) -> tuple[int, int] | None:
        """Return what `Watermark.oldest_ms` returns."""
        self._watermark.advance(self._accepted_at())
        return self._watermark.oldest_ms()

    def proven(self) -> bool:
        """Return whether a target check has succeeded since the last settled event was accepted."""
        self._watermark.advance(self._accepted_at())
        self._watermark.proven(self._proof.proven_s)
        return not self._watermark.unproven

    @property
    def last_given(self) -> str:
        """Sequence number of the last record received, as the daemon writes it; "" if none was received."""
        return "" if self._given is None else self._written(self._given)

    def take_if_due(self, checkpointer: Checkpointer) -> bool:
        """Advance the watermark, and take a checkpoint if one is due. Return False if it must be retried."""
        now = self._clock()
        self._watermark.advance(self._accepted_at())
        if now < self._due and not self._comes_with_a_proof(now):
            return True
        return self.take(checkpointer)

    def _comes_with_a_proof(self, now: float) -> bool:
        """Return whether a checkpoint is nearly due, and a target check succeeded since the last checkpoint."""
        return now >= self._due - min(EARLY_S, self._every_s / 2) and self._proof.proven_s > self._proof_s

    def take(self, checkpointer: Checkpointer) -> bool:
        """Checkpoint the settled and checked prefix if it has moved. Return False if it must be retried.

        Raises LeaseGoneError if the lease is lost, CheckpointError if the KCL refuses the position.
        """
        now = self._clock()
        self._due = now + self._every_s
        self._proof_s = self._proof.proven_s
        position = self._watermark.proven(self._proof_s)
        if position is None or position == self.taken:
            if self._watermark.unproven:
                self._due = now + LOOK_EVERY_S
            return True
        if self.taken and position < self.taken:
            raise AssertionError("the watermark moved backwards")
        failpoint("after_settle_before_checkpoint")
        if _refusal(checkpointer, self._written(position.sequence_number), position.sub_sequence_number):
            return False
        self.taken, self.taken_at = position, self._clock()
        return True

    def _written(self, sequence_number: int) -> str:
        """Return the number in the form that the daemon uses."""
        return str(sequence_number).zfill(self._digits)

    def take_shard_end(self, checkpointer: Checkpointer, wait: Callable[[], None]) -> None:
        """Checkpoint the end of the shard. Retry for SHARD_END_WITHIN_S, since a shard without it is never finished.

        Raises as `take` does.
        """
        until = self._clock() + SHARD_END_WITHIN_S
        while error := _refusal(checkpointer):
            if self._clock() > until:
                raise error
            wait()


def _refusal(checkpointer: Checkpointer, *position: str | int) -> CheckpointError | None:
    """Send a checkpoint. Return the error after which it should be retried, None if it was taken.

    The KCL's names for such errors (docs/facts.md, "KCL") stand for throttling and for failures of DynamoDB. Raises as
    `take` does.
    """
    try:
        checkpointer.checkpoint(*position)
    except CheckpointError as error:
        if error.value == "ShutdownException":
            raise LeaseGoneError from None
        if error.value not in ("ThrottlingException", "KinesisClientLibDependencyException"):
            raise
        log.warning(
            "A checkpoint was not taken. It is retried; until then a crash brings back more events.",
            extra={"event": "checkpoint-not-taken", "error": str(error.value)},
        )
        return error
    return None

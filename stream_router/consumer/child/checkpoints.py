"""Checkpoints of one shard: at the settled watermark, never past what the bus is proven for, by the KCL's rules."""

import logging
import math
from collections.abc import Callable, Sequence

from amazon_kclpy.kcl import Checkpointer, CheckpointError

from stream_router.consumer.child.watermark import RecordPosition, Watermark
from stream_router.consumer.target_check import KnownTarget
from stream_router.model import Record
from stream_router.process import failpoint

log = logging.getLogger(__name__)

SHARD_END_WITHIN_S = 10.0

EARLY_S = 2.5
"""So long before it is due a checkpoint goes with a new proof: the two then keep step. Else a checkpoint could rest on
a proof that is an interval old, and a crash bring back twice as much."""

LOOK_EVERY_S = 0.25
"""How often it is looked whether a proof has come that a checkpoint waits for."""


class LeavingError(SystemExit):
    """The process ends here, and all that is not checkpointed comes again."""


class LeaseGoneError(Exception):
    """A checkpoint said that the lease is another worker's: stop here, the records are theirs."""


class Checkpoints:
    """Says what is settled and proven, and checkpoints it every `every_s` seconds where it moved.

    `taken` is the latest checkpoint that was taken, None until there is one. `accepted_at` tells when the bus last
    accepted anything: what is settled by dead letters alone waits for no proof. Times are monotonic seconds.
    """

    def __init__(
        self,
        proof: KnownTarget,
        accepted_at: Callable[[], float],
        every_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.proof = proof
        self._accepted_at = accepted_at
        self._every_s = every_s
        self._clock = clock
        self._watermark = Watermark()
        self.taken: RecordPosition | None = None
        self.taken_at = clock()
        """When; until there is one, when the shard was taken up."""
        self._due = clock() + every_s
        self._proof_s = -math.inf
        self._digits = 0
        self._given: int | None = None

    def expect(self, records: Sequence[Record], digits: int) -> None:
        """Note the records that come next. The daemon writes sequence numbers in at least `digits` digits.

        It gets them back in the same form: an emulator pads them with zeros and compares them as text.
        """
        self._digits = digits
        self._watermark.expect(records)
        self._given = records[-1].sequence_number

    @property
    def settled(self) -> bool:
        """Whether every record that came is settled."""
        self._watermark.advance(self._accepted_at())
        return self._watermark.settled

    def oldest_ms(self) -> tuple[int, int] | None:
        """`Watermark.oldest_ms`."""
        self._watermark.advance(self._accepted_at())
        return self._watermark.oldest_ms()

    def proven(self) -> bool:
        """Return whether bus and rule are proven for everything settled."""
        self._watermark.advance(self._accepted_at())
        self._watermark.proven(self.proof.proven_s)
        return not self._watermark.unproven

    @property
    def last_given(self) -> str:
        """The number of the last record that came, as the daemon writes it; "" where none came."""
        return "" if self._given is None else self._written(self._given)

    def take_if_due(self, checkpointer: Checkpointer) -> bool:
        """Follow the watermark, and checkpoint where it is time to. False where it is to be tried again."""
        now = self._clock()
        self._watermark.advance(self._accepted_at())
        if now < self._due and not self._comes_with_a_proof(now):
            return True
        return self.take(checkpointer)

    def _comes_with_a_proof(self, now: float) -> bool:
        """Return whether the next checkpoint is nearly due, and a proof is there that the last one did not have."""
        return now >= self._due - min(EARLY_S, self._every_s / 2) and self.proof.proven_s > self._proof_s

    def take(self, checkpointer: Checkpointer) -> bool:
        """Checkpoint the settled, proven prefix, where it moved. False where it is to be tried again: throttled.

        Raises LeaseGoneError where the lease is lost, CheckpointError where the KCL calls it a mistake of ours.
        """
        now = self._clock()
        self._due = now + self._every_s
        self._proof_s = self.proof.proven_s
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
        """Return the number as the daemon writes it."""
        return str(sequence_number).zfill(self._digits)

    def take_shard_end(self, checkpointer: Checkpointer, wait: Callable[[], None]) -> None:
        """Take the checkpoint of a shard's end. Retry for a while: without it the daemon wedges the shard.

        Raises as `take` does.
        """
        until = self._clock() + SHARD_END_WITHIN_S
        while error := _refusal(checkpointer):
            if self._clock() > until:
                raise error
            wait()


def _refusal(checkpointer: Checkpointer, *position: str | int) -> CheckpointError | None:
    """Send a checkpoint; why it is to be tried again later, None where it was taken. Raises as `take` does.

    By the KCL's own names (docs/facts.md, "KCL") that is what is throttled, or fails on the way to DynamoDB.
    """
    try:
        checkpointer.checkpoint(*position)
    except CheckpointError as error:
        if error.value == "ShutdownException":
            raise LeaseGoneError from None
        if error.value not in ("ThrottlingException", "KinesisClientLibDependencyException"):
            raise
        log.warning(
            "checkpoint not taken, again later", extra={"event": "checkpoint-not-taken", "error": str(error.value)}
        )
        return error
    return None

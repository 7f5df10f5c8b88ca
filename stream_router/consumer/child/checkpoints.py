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

SHARD_END_TIMEOUT_S = 10.0
"""Seconds for which the checkpoint of a shard's end is retried."""

MAX_EARLY_S = 2.5
"""Maximum number of seconds by which a checkpoint may be early, so that it follows a new target check at once.

Otherwise a checkpoint could use a check that is an interval old, and a crash would bring back twice as many events.
"""

TARGET_CHECK_POLL_INTERVAL_S = 0.25
"""Seconds until the next attempt if a checkpoint has to wait for a target check."""


class IntendedExitError(SystemExit):
    """The process ends on purpose, without having crashed. The next child reads the records above the checkpoint."""


class LeaseLostError(Exception):
    """A checkpoint was refused because another worker holds the lease."""


class Checkpoints:
    """Watermark of one shard, and the checkpoints that follow it every `interval_s` seconds.

    `accepted_at` returns the time at which the bus last accepted an entry. Records whose events all became dead letters
    need no target check. Times are monotonic seconds.
    """

    def __init__(
        self,
        target: TargetView,
        accepted_at: Callable[[], float],
        interval_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._target = target
        self._accepted_at = accepted_at
        self._interval_s = interval_s
        self._clock = clock
        self._watermark = Watermark()
        self.last_checkpoint: RecordPosition | None = None
        """The latest checkpoint of this child; None until there is one."""
        self.last_checkpoint_at = clock()
        """Time of that checkpoint; until there is one, the time at which this child took over the shard."""
        self._next_at = clock() + interval_s
        self._last_used_check_s = -math.inf
        """Start of the target check that the last checkpoint used."""
        self._digits = 0
        self._last_received: int | None = None

    def add_records(self, records: Sequence[Record], digits: int) -> None:
        """Add the records that come next in the shard. The daemon writes their sequence numbers with `digits` digits.

        Checkpoints are written in the same form, since an emulator pads the numbers with zeros and compares them as
        text.
        """
        self._digits = digits
        self._watermark.add_records(records)
        self._last_received = records[-1].sequence_number

    def refresh_target_check(self) -> str:
        """Read the latest result of the target check, and return `target_problem`."""
        self._target.refresh()
        return self.target_problem

    @property
    def target_problem(self) -> str:
        """Reason for which nothing may be published, by the result that was read last; "" if publishing is allowed."""
        return self._target.problem

    @property
    def must_resend(self) -> bool:
        """Whether bus or rule were broken, so that events sent since the last successful check must be sent again."""
        return self._target.is_broken

    def request_target_check(self) -> None:
        """Request a target check from the supervisor, unless one covers the entry that the bus accepted last."""
        self._target.request_check(self._accepted_at())

    @property
    def is_settled(self) -> bool:
        """Whether every record received so far is settled."""
        self._watermark.advance(self._accepted_at())
        return self._watermark.is_settled

    def oldest_unsettled_ms(self) -> tuple[int, int] | None:
        """Return what `Watermark.oldest_unsettled_ms` returns, after advancing the watermark."""
        self._watermark.advance(self._accepted_at())
        return self._watermark.oldest_unsettled_ms()

    def is_covered_by_target_check(self) -> bool:
        """Return whether the target checks so far cover all events that are settled.

        They do if a successful check began after the bus last accepted one of these events.
        """
        self._watermark.advance(self._accepted_at())
        self._watermark.release_checked(self._target.proven_s)
        return not self._watermark.has_unchecked_positions

    @property
    def last_received(self) -> str:
        """Sequence number of the last record received, as the daemon writes it; "" if none was received."""
        return "" if self._last_received is None else self._format_sequence_number(self._last_received)

    def take_checkpoint_if_due(self, checkpointer: Checkpointer) -> bool:
        """Advance the watermark, and take a checkpoint if one is due. Return False if it must be retried."""
        now = self._clock()
        self._watermark.advance(self._accepted_at())
        if now < self._next_at and not self._may_be_early(now):
            return True
        return self.take_checkpoint(checkpointer)

    def _may_be_early(self, now: float) -> bool:
        """Return whether a checkpoint is nearly due, and a target check has succeeded since the last checkpoint."""
        is_nearly_due = now >= self._next_at - min(MAX_EARLY_S, self._interval_s / 2)
        return is_nearly_due and self._target.proven_s > self._last_used_check_s

    def take_checkpoint(self, checkpointer: Checkpointer) -> bool:
        """Take a checkpoint at the watermark if that has moved. Return False if the checkpoint must be retried.

        Raises LeaseLostError if the lease is lost, CheckpointError if the KCL refuses the position.
        """
        now = self._clock()
        self._next_at = now + self._interval_s
        self._last_used_check_s = self._target.proven_s
        position = self._watermark.release_checked(self._last_used_check_s)
        if position is None or position == self.last_checkpoint:
            if self._watermark.has_unchecked_positions:  # only a target check is missing, so try again soon
                self._next_at = now + TARGET_CHECK_POLL_INTERVAL_S
            return True
        if self.last_checkpoint and position < self.last_checkpoint:
            raise AssertionError("the watermark moved backwards")
        failpoint("after_settle_before_checkpoint")
        sequence_number = self._format_sequence_number(position.sequence_number)
        if _send_checkpoint(checkpointer, sequence_number, position.sub_sequence_number):
            return False
        self.last_checkpoint, self.last_checkpoint_at = position, self._clock()
        return True

    def _format_sequence_number(self, sequence_number: int) -> str:
        """Return the number as the daemon writes it: with leading zeros if it pads its numbers."""
        return str(sequence_number).zfill(self._digits)

    def take_shard_end_checkpoint(self, checkpointer: Checkpointer, wait: Callable[[], None]) -> None:
        """Checkpoint the end of the shard, and call `wait` before each retry.

        After SHARD_END_TIMEOUT_S the last error is raised: the KCL would take a shard without this checkpoint for
        unfinished. Raises the errors of `take_checkpoint` as well.
        """
        deadline = self._clock() + SHARD_END_TIMEOUT_S
        while error := _send_checkpoint(checkpointer):
            if self._clock() > deadline:
                raise error
            wait()


def _send_checkpoint(checkpointer: Checkpointer, *position: str | int) -> CheckpointError | None:
    """Send a checkpoint, at the end of the shard if `position` is empty. Return None if the checkpoint was taken.

    Return the error if the checkpoint may be retried. That is so for the KCL's errors about throttling and failures of
    DynamoDB (docs/facts.md, "KCL"). Raises LeaseLostError if the lease is lost, which the KCL calls ShutdownException,
    and any other error as it is.
    """
    try:
        checkpointer.checkpoint(*position)
    except CheckpointError as error:
        if error.value == "ShutdownException":
            raise LeaseLostError from None
        if error.value not in ("ThrottlingException", "KinesisClientLibDependencyException"):
            raise
        log.warning(
            "A checkpoint was not taken. It is retried; until then a crash brings back more events.",
            extra={"event": "checkpoint-not-taken", "error": str(error.value)},
        )
        return error
    return None

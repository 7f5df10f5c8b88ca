"""The KCL record processor of one shard: feeds the router, follows the watermark, checkpoints, leaves when told."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

from amazon_kclpy import messages
from amazon_kclpy.kcl import Checkpointer
from amazon_kclpy.v3.processor import RecordProcessorBase

from stream_router.consumer.child.checkpoints import Checkpoints, LeaseGoneError
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.micro_batches import micro_batches
from stream_router.consumer.child.one_at_a_time import route_carefully
from stream_router.consumer.child.watermark import Position
from stream_router.core.model import Record
from stream_router.pipeline.route import Router

log = logging.getLogger(__name__)

BACKLOG_MAX = 1_000
"""Events under way beyond which no further record is opened."""

WAIT_S = 0.25
"""Longest wait for the network between two looks at signals, proofs and deadlines."""

LEAVE_WITHIN_S = 4.0
"""After a SIGTERM a child that cannot drain leaves within this; what is unsettled comes again."""


class LeavingError(SystemExit):
    """The child was told to leave while it could not drain, or its bus is gone: the process ends, all comes again."""


class Books(Protocol):
    """The shard's metrics and audit."""

    def opened(self, records: Sequence[Record]) -> None:
        """These records reached the child."""

    def batch_done(self, records: int) -> None:
        """The daemon's batch is through, every event of it settled."""

    def tick(self) -> None:
        """A moment to publish what is due; never raises, never blocks."""

    def close(self) -> None:
        """The shard ends here: publish the rest."""


class Heartbeat(Protocol):
    """Is told that the main loop lives, and when it rests."""

    def __call__(self) -> None:
        """A sign of life."""

    def rest(self) -> None:
        """The main loop waits for the daemon now."""


class ShardProcessor(RecordProcessorBase):  # type: ignore[misc]
    """Owns one shard's lease in this process. An exception that leaves a callback ends the process."""

    def __init__(
        self,
        router: Callable[[str], tuple[Router, Books]],
        wait: Callable[[float], None],
        checkpoints: Callable[[Callable[[Position], None]], Checkpoints],
        guard: Callable[[str, str], CrashGuard],
        heartbeat: Heartbeat,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_router = router
        self._wait = wait
        self._checkpoints = checkpoints(self._moved)
        self._make_guard = guard
        self._beat = heartbeat
        self._clock = clock
        self._lease_gone = False
        self.leave_by = 0.0
        """When to leave at the latest; 0.0 until told to."""
        self._guard: CrashGuard | None = None

    # What the daemon calls.

    def initialize(self, initialize_input: messages.InitializeInput) -> None:
        shard_id = initialize_input.shard_id
        start = f"{initialize_input.sequence_number}:{initialize_input.sub_sequence_number}"
        self._router, self._books = self._make_router(shard_id)
        self._guard = self._make_guard(shard_id, start)
        log.info("shard taken up", extra={"shard": shard_id, "from": start, "careful": self._guard.careful})

    def process_records(self, process_records_input: messages.ProcessRecordsInput) -> None:
        if self._lease_gone:
            return
        try:
            self._process(process_records_input.records, process_records_input.checkpointer)
        except LeaseGoneError:
            # What is in flight ends unheard; the daemon says `leaseLost` next.
            self._lease_gone = True
            log.warning("the lease is another worker's, stopping")
        self._beat.rest()

    def _process(self, records: list[dict[str, Any]], checkpointer: Checkpointer) -> None:
        for batch in micro_batches(records):
            self._checkpoints.expect(batch, len(records[0]["sequenceNumber"]))
            self._books.opened(batch)
            if self._guard and self._guard.careful:
                route_carefully(batch, self._router, self._guard, lambda: self._finish(checkpointer))
            else:
                self._router.route(batch, lambda: self._keep_up(checkpointer))
        self._drain(checkpointer)
        if records:
            self._books.batch_done(len(records))
            if self._guard:
                self._guard.batch_done()
        self._step(checkpointer, 0.0, flush=True)

    def lease_lost(self, lease_lost_input: messages.LeaseLostInput) -> None:
        self._end("lease lost")

    def shard_ended(self, shard_ended_input: messages.ShardEndedInput) -> None:
        """Everything is settled and proven before the bare checkpoint; failing that, the process ends instead."""
        checkpointer = shard_ended_input.checkpointer
        self._drain(checkpointer)
        if not self._await_proof(None):
            self._leave("the shard's end is not proven")
        self._checkpoints.take_shard_end(checkpointer, lambda: self._wait(WAIT_S))
        self._end("shard ended")

    def shutdown_requested(self, shutdown_requested_input: messages.ShutdownRequestedInput) -> None:
        """The last chance to checkpoint: everything is settled already, what is not proven is asked about once."""
        if not self._lease_gone:
            until = self._clock() + LEAVE_WITHIN_S
            self._await_proof(until)
            with contextlib.suppress(LeaseGoneError):
                while not self._checkpoints.take(shutdown_requested_input.checkpointer) and self._clock() < until:
                    self._wait(WAIT_S)
        self._end("shutdown requested")

    def ended_well(self) -> None:
        """The process ends by its own will or its daemon's: no death of the shard's."""
        if self._guard:
            self._guard.ended_well()

    def told_to_leave(self) -> None:
        """The supervisor's SIGTERM: finish what can be finished soon, hold for nothing."""
        self.leave_by = self.leave_by or self._clock() + LEAVE_WITHIN_S

    # How it goes on in between.

    def _keep_up(self, checkpointer: Checkpointer) -> None:
        """Back-pressure: go on only once the backlog is small enough, the calls of earlier records being in flight."""
        self._step(checkpointer, 0.0, flush=False)
        while self._router.backlog > BACKLOG_MAX:
            self._step(checkpointer, WAIT_S, flush=True)

    def _finish(self, checkpointer: Checkpointer) -> None:
        """Until nothing is under way."""
        while self._router.backlog:
            self._step(checkpointer, WAIT_S, flush=True)

    def _drain(self, checkpointer: Checkpointer) -> None:
        """Until nothing is left: every event delivered, buried or dropped."""
        self._finish(checkpointer)
        if not self._checkpoints.settled:
            raise AssertionError("the books do not add up: nothing is under way, yet a record is not settled")

    def _step(self, checkpointer: Checkpointer, longest_s: float, *, flush: bool) -> None:
        self._beat()
        if self._guard:
            self._guard.goes_on()
        self._router.advance(flush=flush)
        if self._guard and self._router.holding:
            self._guard.holds()
        self._wait(self._router.wait_s(longest_s) if longest_s else 0.0)
        self._books.tick()
        self._checkpoints.take_if_due(checkpointer)
        held = self._router.backlog and (self._router.holding or self._clock() >= self.leave_by)
        if self._checkpoints.bus_gone or (self.leave_by and held):
            self._checkpoints.take(checkpointer)
            self._leave("the event bus is gone" if self._checkpoints.bus_gone else "left while holding")

    def _await_proof(self, until: float | None) -> bool:
        """Ask the bus until everything settled is proven.

        False where the bus is gone, or where `until` (or a SIGTERM's deadline) passes.
        """
        while not self._checkpoints.proven():
            limit = until or self.leave_by
            if self._checkpoints.bus_gone or (limit and self._clock() >= limit):
                return False
            self._beat()
            self._wait(WAIT_S)
        return True

    def _moved(self, position: Position) -> None:
        if self._guard:
            self._guard.progressed(*position)

    def _end(self, why: str) -> None:
        log.info("shard given back", extra={"why": why})
        self._books.close()
        self.ended_well()
        self._beat.rest()

    def _leave(self, why: str) -> NoReturn:
        """End the process; whatever is not checkpointed comes again."""
        self._end(why)
        raise LeavingError(os.EX_TEMPFAIL)

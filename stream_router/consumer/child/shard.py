"""Record processor of one shard: accepts batches from the KCL daemon, delivers each event, takes checkpoints.

A batch is answered once the window has room for the next one; unsettled events stay pending (docs/delivery.md).
Every wait (for room, for a checkpoint's answer, for the next batch) also handles calls, answers, retries and signals.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, NoReturn

from amazon_kclpy import messages
from amazon_kclpy.kcl import Checkpointer

from stream_router.consumer.child.checkpoints import Checkpoints, LeaseGoneError, LeavingError
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.ledger import ShardLedger
from stream_router.consumer.child.shard_end import ShardEnd
from stream_router.consumer.child.snapshot import ShardTelemetry
from stream_router.consumer.child.vitals import ShardVitals, Wait
from stream_router.consumer.child.watermark import RecordPosition
from stream_router.consumer.child.window import Window, slices
from stream_router.model import Batch, Record
from stream_router.pipeline.route import Router
from stream_router.process import failpoint

log = logging.getLogger(__name__)

COMPANY_S = 0.01
"""Seconds for which entries that do not fill a call wait for the next batch while other calls are in flight."""

WAIT_S = 0.25
"""Longest wait inside a callback before signals, the target check and deadlines are checked again."""

REST_S = 1.0
"""The longest such wait between two callbacks."""

LEAVE_WITHIN_S = 4.0
"""Time after a SIGTERM within which the child answers the daemon. Events that are unsettled by then are read again."""

STAY_S = 30.0
"""Longer than a stop lasts. A daemon that still sends records by then was not stopped, and needs a new child."""

HAND_OFF_WITHIN_S = 25.0
"""Time for a hand-off. The KCL allows 30 s (gracefulLeaseHandoffTimeoutMillis); the callback before it and the last
checkpoint need five of them."""


class ShardProcessor:
    """The KCL's record processor of one shard. An exception that leaves a callback ends the process.

    State that outlives a batch is an attribute of this class; `window.py` counts what has a limit. `beat` is called at
    each turn inside a callback, and shows the supervisor that the shard makes progress. Times are monotonic seconds.
    """

    def __init__(
        self,
        router: Router,
        ledger: ShardLedger,
        vitals: ShardVitals,
        telemetry: ShardTelemetry,
        window: Window,
        checkpoints: Checkpoints,
        end: ShardEnd,
        guard: CrashGuard,
        wait: Wait,
        beat: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._router, self._ledger, self._vitals, self._telemetry = router, ledger, vitals, telemetry
        self._window, self._checkpoints = window, checkpoints
        self._end, self._guard, self._beat, self._clock = end, guard, beat, clock
        self._wait = vitals.timed(wait)
        self._lease_gone = self._unread = False
        self._batches = 0
        self._last_position = RecordPosition(-1, -1)
        self._routed_at = clock()
        self._hand_off_by = clock() + HAND_OFF_WITHIN_S
        self.leave_by = 0.0
        """Latest time for an answer; 0.0 until a stop is requested. A signal handler sets it once."""

    # --- callbacks of the daemon

    def process_records(self, message: messages.ProcessRecordsInput) -> None:
        """Accept a batch of records. Return once there is room for the next batch."""
        records, checkpointer = message.records, message.checkpointer
        if records:
            self._check_order(records)
        self._hand_off_by = self._clock() + HAND_OFF_WITHIN_S  # a hand-off waits for this callback to end
        self._vitals.called(message.millis_behind_latest)
        if self._lease_gone:
            return
        if self.leave_by and self._clock() >= self.leave_by + STAY_S:
            self._leave("asked to stop, but the daemon goes on")
        self._follow_target_check()
        with self._losing_the_lease():
            if records and not self.leave_by:
                self._take_charge(records, checkpointer)
            elif records:
                self._unread = True
            self._turn(0.0)
            self._await_room(checkpointer)
            self._checkpoint(checkpointer)
        failpoint("processed_before_answer")

    def _check_order(self, records: list[dict[str, Any]]) -> None:
        """End the process if the daemon sends records that were sent before, or older ones.

        If Kinesis does not answer for a minute, the KCL starts to read again while a batch may still be in transit. The
        next process gets all records in their order.
        """
        first, last = (
            RecordPosition(int(record["sequenceNumber"]), int(record["subSequenceNumber"] or 0))
            for record in (records[0], records[-1])
        )
        if first <= self._last_position:
            log.error(
                "The daemon sent records a second time. This process ends, so that the next one reads all in order.",
                extra={"event": "given-twice"},
            )
            self._leave("records were sent a second time")
        self._last_position = last

    def _take_charge(self, records: list[dict[str, Any]], checkpointer: Checkpointer) -> None:
        self._batches += 1
        batch = Batch(self._batches)
        self._guard.took_charge(*self._last_position)
        failpoint("batch_taken_before_opened")
        cut, left = slices(records, batch, lambda: self._window.slice_records), len(records)
        while left:
            self._vitals.unopened(records[-left])
            self._await_room(checkpointer)
            if self.leave_by:
                # The batch stays open: its other records were not read, so the next child reads them.
                self._unread = True
                return
            records_slice = next(cut)  # cut only now, since the window may allow only a small slice
            left -= len(records_slice)
            self._vitals.unopened(records[-left] if left else None)
            self._open(records_slice, len(records[-1]["sequenceNumber"]), checkpointer)
        self._window.all_opened(batch)

    def _open(self, records: list[Record], digits: int, checkpointer: Checkpointer) -> None:
        self._window.take_charge(records)
        self._checkpoints.expect(records, digits)
        self._ledger.opened(records)
        self._guard.route(
            records, self._router, lambda: self._until_started(checkpointer), lambda: self._keep_up(checkpointer)
        )
        self._window.opened(records)
        self._ledger.routed(records[0].batch)
        self._routed_at = self._clock()
        self._turn(0.0)

    def lease_lost(self, _: messages.LeaseLostInput) -> None:
        """Stop. Start no call and take no checkpoint, since another worker holds the lease now."""
        failpoint("in_lease_lost")
        self._lease_gone = True
        self._give_back("lease lost")

    def shard_ended(self, message: messages.ShardEndedInput) -> None:
        """Settle everything, verify that the shard has ended, and checkpoint SHARD_END.

        If that is not possible, end the process. If the lease is lost, stop without an error.
        """
        if not self._lease_gone:
            if self._unread:
                self._leave(
                    "a batch was acknowledged with unopened records, so the shard's end may not be checkpointed"
                )
            self._router.at_the_end(self._guard.alone_s)
            with self._losing_the_lease():
                self._settle_the_end(message.checkpointer)
        self._give_back("lease lost" if self._lease_gone else "shard ended")

    def _settle_the_end(self, checkpointer: Checkpointer) -> None:
        router, end = self._router, self._end
        while router.backlog or not (self._checkpoints.proven() and end.proven):
            end.ask(self._checkpoints.last_given)
            if refuted := end.refuted:
                self.request_leave()  # an entry that needs later events as a comparison would wait for ever
            if self.leave_by and (self._clock() >= self.leave_by or (refuted and not router.backlog)):
                self._leave(refuted or "asked to stop before the shard's end was settled")
            self._turn(WAIT_S)
            if router.only_sick:
                self._guard.alone_at_the_end()
            if not self._checkpoints.settled:  # the KCL would turn the last record's position into SHARD_END
                self._checkpoint(checkpointer)
        if not self._checkpoints.settled:
            raise AssertionError("nothing is pending, yet a record is not settled")
        failpoint("in_shard_end")
        self._checkpoints.take_shard_end(checkpointer, lambda: self._turn(WAIT_S))

    def shutdown_requested(self, message: messages.ShutdownRequestedInput) -> None:
        """Take the last checkpoint before a stop or a hand-off of the lease. Start nothing after it."""
        failpoint("in_shutdown_requested")
        if not self._lease_gone:
            while (self._router.backlog or not self._checkpoints.proven()) and self._has_time:
                self._turn(WAIT_S)
            with self._losing_the_lease():
                while not self._checkpoint(message.checkpointer, now=True) and self._has_time:
                    self._turn(WAIT_S)
        self.request_leave()  # records that came later would be opened and never sent
        self._give_back("shutdown requested")

    @property
    def _has_time(self) -> bool:
        """Whether the supervisor or the next owner of the lease still waits for an answer."""
        return self._clock() < min(self._hand_off_by, self.leave_by or inf)

    def request_leave(self) -> None:
        """Handle the supervisor's SIGTERM: open no more records, settle what can be settled soon, answer callbacks."""
        self.leave_by = self.leave_by or self._clock() + LEAVE_WITHIN_S

    def meanwhile(self) -> None:
        """Continue with pending events between two callbacks, or while a checkpoint's answer is awaited."""
        self._turn(REST_S, daemon=True)

    # --- progress between callbacks

    def _await_room(self, checkpointer: Checkpointer) -> None:
        """Wait until one more record may be opened or the child must stop."""
        while not self.leave_by and self._window.is_full:
            self._turn(WAIT_S)
            self._checkpoint(checkpointer)

    def _keep_up(self, checkpointer: Checkpointer) -> None:
        """Wait, between two slices of a large record, until few enough events wait for a call."""
        self._turn(0.0)
        while not self.leave_by and self._window.is_crowded:
            self._turn(WAIT_S)
            self._checkpoint(checkpointer)

    def _until_started(self, checkpointer: Checkpointer) -> None:
        """Wait until every routed event is in flight or waits for its own retry."""
        self._routed_at = 0.0
        self._turn(0.0)
        self._checkpoint(checkpointer)
        while self._router.ready and not self.leave_by:
            self._turn(WAIT_S)
            self._checkpoint(checkpointer)

    def _turn(self, longest_s: float, *, daemon: bool = False) -> None:
        """Start calls that may start, wait for the first event of any kind, and settle what was answered."""
        if not daemon:
            self._beat()
        self._guard.goes_on()
        self._follow_target_check()
        company_s = self._routed_at + COMPANY_S - self._clock()
        self._router.advance(flush=company_s <= 0)
        if self._router.holding or self._checkpoints.target_problem:
            self._guard.holds()
        if longest_s and company_s > 0:
            longest_s = min(longest_s, company_s)
        self._wait(self._router.wait_s(longest_s) if longest_s else 0.0, daemon)
        self._router.collect()
        self._checkpoints.want_proof()
        self._telemetry.tick()
        if self._checkpoints.is_disproven:
            log.warning(
                "The rule takes our events again. Events sent since the last successful check may have reached nobody. "
                "This process ends, and the next one sends them again.",
                extra={"event": "child-left-for-proof"},
            )
            self._leave("what was sent is not proven to have reached a target")

    def _follow_target_check(self) -> None:
        """Hold publishing while bus or rule do not take our events. Dead letters are still sent."""
        self._router.block_publishing(blocked=bool(self._checkpoints.follow_target_check()))

    @contextlib.contextmanager
    def _losing_the_lease(self) -> Iterator[None]:
        """Stop without an error if a checkpoint shows that another worker holds the lease."""
        try:
            yield
        except LeaseGoneError:
            # Answers of calls in flight are ignored from now on. The daemon calls `leaseLost` next.
            self._lease_gone = True
            self._router.stop()
            log.warning("Another worker holds the lease now. This shard stops here.", extra={"event": "lease-lost"})

    def _checkpoint(self, checkpointer: Checkpointer, *, now: bool = False) -> bool:
        """Take a checkpoint if one is due, or at once if `now`. Return False if it must be retried."""
        before, take = self._checkpoints.taken, self._checkpoints.take if now else self._checkpoints.take_if_due
        through = take(checkpointer)
        if (taken := self._checkpoints.taken) and taken != before:
            self._guard.progressed(*taken)
            self._window.checkpoint_taken(taken)
        return through

    def ended_well(self) -> None:
        """Record that the process ends on purpose, or because its daemon does: the shard did not crash."""
        self._guard.ended_well()

    def _give_back(self, why: str) -> None:
        self._router.stop()
        log.info("The shard was given back.", extra={"event": "shard-given-back", "why": why})
        self._telemetry.close()
        self.ended_well()

    def _leave(self, why: str) -> NoReturn:
        """End the process. Records above the checkpoint are read again."""
        self._give_back(why)
        raise LeavingError(os.EX_TEMPFAIL)

"""One shard's work in this process: takes charge of the daemon's batches, sees each event to its end, checkpoints.

A batch is answered once the window has room for the next; what is not settled stays under way (docs/delivery.md).
Calls, answers, retries and signals go on in every wait: for room, for a checkpoint's answer, for the next batch.
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
"""How long what does not fill a call waits for the daemon's next batch, where calls are in flight anyway."""

WAIT_S = 0.25
"""Longest wait inside a callback between two looks at signals, proofs and deadlines."""

REST_S = 1.0
"""The same between two callbacks."""

LEAVE_WITHIN_S = 4.0
"""After a SIGTERM a child that cannot settle everything answers within this; what is unsettled comes again."""

STAY_S = 30.0
"""Longer than a stop lasts: a daemon that still brings something then was not stopped, and needs a child that reads."""

HAND_OFF_WITHIN_S = 25.0
"""Of the KCL's 30 s (gracefulLeaseHandoffTimeoutMillis); the callback before it, and the last checkpoint, need five."""


class ShardProcessor:
    """The KCL's record processor of one shard. An exception that leaves a callback ends the process.

    What is carried from batch to batch is an attribute here; what has a bound is counted in `window.py`. `beat` is
    called inside callbacks, at each turn: the supervisor sees that the shard goes on. Times are monotonic seconds.
    """

    def __init__(
        self,
        router: Router,
        telemetry: ShardTelemetry,
        window: Window,
        checkpoints: Checkpoints,
        end: ShardEnd,
        guard: CrashGuard,
        wait: Wait,
        beat: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._router, self._telemetry = router, telemetry
        self._window, self._checkpoints = window, checkpoints
        self._end, self._guard, self._beat, self._clock = end, guard, beat, clock
        self._vitals = ShardVitals(router, window, checkpoints, lambda: guard.careful, clock)
        self._wait = self._vitals.timed(wait)
        self._lease_gone = self._unread = False
        self._batches = 0
        self._given = RecordPosition(-1, -1)
        self._routed_at = clock()
        self._hand_off_by = clock() + HAND_OFF_WITHIN_S
        self.leave_by = 0.0
        """When to answer at the latest; 0.0 until a stop is requested. A signal handler sets it, once."""
        telemetry.vitals = self._vitals

    # What the daemon calls.

    def process_records(self, message: messages.ProcessRecordsInput) -> None:
        """Take charge of a batch; return once there is room for the next."""
        records, checkpointer = message.records, message.checkpointer
        if records:
            self._in_order(records)
        self._hand_off_by = self._clock() + HAND_OFF_WITHIN_S  # a hand-off waits for this callback to end
        self._vitals.called(message.millis_behind_latest)
        if self._lease_gone:
            return
        if self.leave_by and self._clock() >= self.leave_by + STAY_S:
            self._leave("told to leave, and the daemon goes on")
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

    def _in_order(self, records: list[dict[str, Any]]) -> None:
        """End the process before records that it has, or older ones: in the next one they come in their order.

        Where Kinesis did not answer for a minute the KCL begins to read anew, while a batch may be on its way.
        """
        first, last = (
            RecordPosition(int(record["sequenceNumber"]), int(record["subSequenceNumber"] or 0))
            for record in (records[0], records[-1])
        )
        if first <= self._given:
            log.error(
                "the daemon gave records a second time: leaving, so that all come in their order",
                extra={"event": "given-twice"},
            )
            self._leave("records were given a second time")
        self._given = last

    def _take_charge(self, records: list[dict[str, Any]], checkpointer: Checkpointer) -> None:
        self._batches += 1
        batch = Batch(self._batches)
        self._guard.took_charge(*self._given)
        failpoint("batch_taken_before_opened")
        cut, left = slices(records, batch, lambda: self._window.slice_records), len(records)
        while left:
            self._vitals.unopened(records[-left])
            self._await_room(checkpointer)
            if self.leave_by:
                # The batch stays open: its other records were not read, and come again.
                self._unread = True
                return
            some = next(cut)  # cut only now: it is a small one where the window lets no more in
            left -= len(some)
            self._vitals.unopened(records[-left] if left else None)
            self._open(some, len(records[-1]["sequenceNumber"]), checkpointer)
        self._window.all_opened(batch)

    def _open(self, records: list[Record], digits: int, checkpointer: Checkpointer) -> None:
        self._window.take_charge(records)
        self._checkpoints.expect(records, digits)
        self._telemetry.opened(records)
        self._guard.route(
            records, self._router, lambda: self._until_started(checkpointer), lambda: self._keep_up(checkpointer)
        )
        self._window.opened(records)
        self._telemetry.routed(records[0].batch)
        self._routed_at = self._clock()
        self._turn(0.0)

    def lease_lost(self, _: messages.LeaseLostInput) -> None:
        """Start nothing more and checkpoint nothing: the shard is another worker's."""
        failpoint("in_lease_lost")
        self._lease_gone = True
        self._give_back("lease lost")

    def shard_ended(self, message: messages.ShardEndedInput) -> None:
        """Settle everything, prove the end, and take the bare checkpoint; otherwise end the process.

        A lost lease ends quietly.
        """
        if not self._lease_gone:
            if self._unread:
                self._leave("a batch was answered unread, so the shard's end may not be checkpointed")
            self._router.at_the_end(self._guard.alone_s)
            with self._losing_the_lease():
                self._settle_the_end(message.checkpointer)
        self._give_back("lease lost" if self._lease_gone else "shard ended")

    def _settle_the_end(self, checkpointer: Checkpointer) -> None:
        router, end = self._router, self._end
        while router.backlog or not (self._checkpoints.proven() and end.proven):
            end.ask(self._checkpoints.last_given)
            if refuted := end.refuted:
                self.request_leave()  # what is to be judged by later events would wait here for good
            if self.leave_by and (self._clock() >= self.leave_by or (refuted and not router.backlog)):
                self._leave(refuted or "told to leave before the shard's end was settled")
            self._turn(WAIT_S)
            if router.only_sick:
                self._guard.alone_at_the_end()
            if not self._checkpoints.settled:  # of the last record's position the KCL makes SHARD_END here
                self._checkpoint(checkpointer)
        if not self._checkpoints.settled:
            raise AssertionError("the accounts do not add up: nothing is under way, yet a record is not settled")
        failpoint("in_shard_end")
        self._checkpoints.take_shard_end(checkpointer, lambda: self._turn(WAIT_S))

    def shutdown_requested(self, message: messages.ShutdownRequestedInput) -> None:
        """Checkpoint for the last time before a stop or the loss of the lease. Start nothing after it."""
        failpoint("in_shutdown_requested")
        if not self._lease_gone:
            while (self._router.backlog or not self._checkpoints.proven()) and self._has_time:
                self._turn(WAIT_S)
            with self._losing_the_lease():
                while not self._checkpoint(message.checkpointer, now=True) and self._has_time:
                    self._turn(WAIT_S)
        self.request_leave()  # what comes after it could be opened and never sent
        self._give_back("shutdown requested")

    @property
    def _has_time(self) -> bool:
        """Whether whoever stops the child, or wants its lease, still waits for its answer."""
        return self._clock() < min(self._hand_off_by, self.leave_by or inf)

    def request_leave(self) -> None:
        """Handle the supervisor's SIGTERM: open nothing more, settle what can be settled soon, answer what comes."""
        self.leave_by = self.leave_by or self._clock() + LEAVE_WITHIN_S

    def meanwhile(self) -> None:
        """Between two callbacks, or while a checkpoint's answer is awaited: what is under way goes on."""
        self._turn(REST_S, daemon=True)

    # How it goes on in between.

    def _await_room(self, checkpointer: Checkpointer) -> None:
        """Wait until one more record may be opened, or the child must leave. Only this waits inside a callback."""
        while not self.leave_by and self._window.is_full:
            self._turn(WAIT_S)
            self._checkpoint(checkpointer)

    def _keep_up(self, checkpointer: Checkpointer) -> None:
        """Between two slices of many events: go on once few enough of them wait for a call."""
        self._turn(0.0)
        while not self.leave_by and self._window.is_crowded:
            self._turn(WAIT_S)
            self._checkpoint(checkpointer)

    def _until_started(self, checkpointer: Checkpointer) -> None:
        """Turn until all that was routed is in flight, or waits for its own retry."""
        self._routed_at = 0.0
        self._turn(0.0)
        self._checkpoint(checkpointer)
        while self._router.ready and not self.leave_by:
            self._turn(WAIT_S)
            self._checkpoint(checkpointer)

    def _turn(self, longest_s: float, *, daemon: bool = False) -> None:
        """Start what may start, wait for what comes first, settle what came back."""
        if not daemon:
            self._beat()
        self._guard.goes_on()
        self._follow_target_check()
        company_s = self._routed_at + COMPANY_S - self._clock()
        self._router.advance(flush=company_s <= 0)
        if self._router.holding or self._checkpoints.proof.problem:
            self._guard.holds()
        if longest_s and company_s > 0:
            longest_s = min(longest_s, company_s)
        self._wait(self._router.wait_s(longest_s) if longest_s else 0.0, daemon)
        self._router.collect()
        self._checkpoints.proof.want(self._router.accepted_at)
        self._telemetry.tick()
        if self._checkpoints.proof.is_broken:
            log.warning(
                "the rule takes our events again: leaving, so that what was sent since it last did so goes again",
                extra={"event": "child-left-for-proof"},
            )
            self._leave("what was sent is not proven to have reached a target")

    def _follow_target_check(self) -> None:
        """Publish nothing while bus or rule do not take our events. Dead letters go on."""
        proof = self._checkpoints.proof
        proof.look()
        self._router.block_publishing(blocked=bool(proof.problem))

    @contextlib.contextmanager
    def _losing_the_lease(self) -> Iterator[None]:
        """End quietly if a checkpoint says that the lease is another worker's."""
        try:
            yield
        except LeaseGoneError:
            # What is in flight ends unheard; the daemon says `leaseLost` next.
            self._lease_gone = True
            self._router.stop()
            log.warning("the lease is another worker's, stopping", extra={"event": "lease-lost"})

    def _checkpoint(self, checkpointer: Checkpointer, *, now: bool = False) -> bool:
        """Checkpoint where it is due, or `now`; False where it is to be tried again."""
        before, take = self._checkpoints.taken, self._checkpoints.take if now else self._checkpoints.take_if_due
        through = take(checkpointer)
        if (taken := self._checkpoints.taken) and taken != before:
            self._guard.progressed(*taken)
            self._window.checkpoint_taken(taken)
        return through

    def ended_well(self) -> None:
        """Note that the process ends by its own will or its daemon's: no death of the shard's."""
        self._guard.ended_well()

    def _give_back(self, why: str) -> None:
        self._router.stop()
        log.info("shard given back", extra={"event": "shard-given-back", "why": why})
        self._telemetry.close()
        self.ended_well()

    def _leave(self, why: str) -> NoReturn:
        """End the process; whatever is not checkpointed comes again."""
        self._give_back(why)
        raise LeavingError(os.EX_TEMPFAIL)

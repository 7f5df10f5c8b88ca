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

from stream_router.consumer.child.checkpoints import Checkpoints, IntendedExitError, LeaseLostError
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.ledger import ShardLedger
from stream_router.consumer.child.shard_end import ShardEndCheck
from stream_router.consumer.child.snapshot import ShardTelemetry
from stream_router.consumer.child.vitals import ShardVitals, Wait
from stream_router.consumer.child.watermark import RecordPosition
from stream_router.consumer.child.window import Window, slice_records
from stream_router.model import Batch, Record
from stream_router.pipeline.route import Router
from stream_router.process import failpoint

log = logging.getLogger(__name__)

BATCHING_DELAY_S = 0.01
"""Seconds for which entries that do not fill a call wait for the next batch while other calls are in flight."""

MAX_CALLBACK_WAIT_S = 0.25
"""Longest single wait inside a callback. Signals, the target check and deadlines are checked after each wait."""

MAX_IDLE_WAIT_S = 1.0
"""Longest single wait between two callbacks."""

STOP_TIMEOUT_S = 4.0
"""Seconds after a SIGTERM within which the child answers the daemon. Events unsettled by then are read again."""

DAEMON_STOP_TIMEOUT_S = 30.0
"""Seconds after `stop_by` from which on a child that still gets records ends.

No stop of the daemon lasts that long. So only the child got the SIGTERM, and the daemon needs a new child.
"""

HAND_OFF_TIMEOUT_S = 25.0
"""Seconds for which a hand-off of the lease waits for pending events.

The KCL allows 30 s (gracefulLeaseHandoffTimeoutMillis), of which a callback that still runs and the last checkpoint
need five.
"""


class ShardProcessor:
    """The KCL's record processor of one shard. An exception that leaves a callback ends the process.

    State that outlives a batch is an attribute of this class; `window.py` counts what has a limit. `touch_heartbeat` is
    called often while a callback runs, and shows the supervisor that the shard makes progress. `wait` handles calls and
    waits. Times are monotonic seconds.
    """

    def __init__(
        self,
        router: Router,
        ledger: ShardLedger,
        vitals: ShardVitals,
        telemetry: ShardTelemetry,
        window: Window,
        checkpoints: Checkpoints,
        end_check: ShardEndCheck,
        guard: CrashGuard,
        wait: Wait,
        touch_heartbeat: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._router, self._ledger, self._vitals, self._telemetry = router, ledger, vitals, telemetry
        self._window, self._checkpoints = window, checkpoints
        self._end_check, self._guard, self._touch_heartbeat, self._clock = end_check, guard, touch_heartbeat, clock
        self._wait = vitals.measure_waits(wait)
        self._is_lease_lost = False
        self._has_unopened_records = False
        """Whether a batch was acknowledged although some of its records were not opened, because of a stop."""
        self._batch_count = 0
        self._last_position = RecordPosition(-1, -1)
        self._routed_at = clock()
        """Time at which the last slice was routed, from which BATCHING_DELAY_S counts; 0.0 for no delay."""
        self._hand_off_by = clock() + HAND_OFF_TIMEOUT_S
        self.stop_by = 0.0
        """Latest time to answer the daemon once a stop is requested; 0.0 before. A signal handler may set it."""

    # --- callbacks of the daemon

    def process_records(self, message: messages.ProcessRecordsInput) -> None:
        """Accept a batch of records. Return once there is room for the next batch."""
        records, checkpointer = message.records, message.checkpointer
        if records:
            self._check_order(records)
        self._hand_off_by = self._clock() + HAND_OFF_TIMEOUT_S  # a hand-off waits for this callback to end
        self._vitals.record_callback(message.millis_behind_latest)
        if self._is_lease_lost:
            return
        if self.stop_by and self._clock() >= self.stop_by + DAEMON_STOP_TIMEOUT_S:
            self._exit_process("a stop was requested, but the daemon still sends records")
        self._apply_target_check()
        with self._stopping_if_lease_is_lost():
            if records and not self.stop_by:
                self._accept_batch(records, checkpointer)
            elif records:
                self._has_unopened_records = True
            self._work_once(0.0)
            self._wait_for_room(checkpointer)
            self._take_checkpoint_if_due(checkpointer)
        failpoint("processed_before_answer")

    def _check_order(self, records: list[dict[str, Any]]) -> None:
        """End the process if the daemon sends records that were sent before, or older ones.

        If Kinesis does not answer for a minute, the KCL begins to read from the checkpoint again while a batch may
        still be on its way to the child. The next child gets all records in their order.
        """
        if _position_of(records[0]) <= self._last_position:
            log.error(
                "The daemon sent records a second time. This process ends, so that the next one reads all in order.",
                extra={"event": "given-twice"},
            )
            self._exit_process("records were sent a second time")
        self._last_position = _position_of(records[-1])

    def _accept_batch(self, records: list[dict[str, Any]], checkpointer: Checkpointer) -> None:
        """Decode and route a batch slice by slice, each as soon as the window has room. A stop ends this early."""
        self._batch_count += 1
        batch = Batch(self._batch_count)
        self._guard.record_accepted_batch(*self._last_position)
        failpoint("batch_taken_before_opened")
        slices, remaining = slice_records(records, batch, lambda: self._window.max_slice_records), len(records)
        while remaining:
            self._vitals.record_next_unopened(records[-remaining])
            self._wait_for_room(checkpointer)
            if self.stop_by:
                # The batch stays open: its other records were not opened, so the next child reads them.
                self._has_unopened_records = True
                return
            records_slice = next(slices)  # cut only now, since the window may allow only a small slice
            remaining -= len(records_slice)
            self._vitals.record_next_unopened(records[-remaining] if remaining else None)
            self._route_slice(records_slice, len(records[-1]["sequenceNumber"]), checkpointer)
        self._window.record_batch_opened(batch)

    def _route_slice(self, records: list[Record], digits: int, checkpointer: Checkpointer) -> None:
        """Route the events of a slice. Window and checkpoints count its records before the first event is sent.

        `digits` is the number of digits with which the daemon writes sequence numbers (`Checkpoints.add_records`).
        """
        self._window.add_records(records)
        self._checkpoints.add_records(records, digits)
        self._ledger.record_opened(records)
        self._guard.route(
            records,
            self._router,
            lambda: self._wait_until_started(checkpointer),
            lambda: self._wait_for_calls(checkpointer),
        )
        self._window.record_opened(records)
        self._ledger.add_masked_counts(records[0].batch)
        self._routed_at = self._clock()
        self._work_once(0.0)

    def lease_lost(self, _: messages.LeaseLostInput) -> None:
        """Stop. Start no call and take no checkpoint, since another worker holds the lease now."""
        failpoint("in_lease_lost")
        self._is_lease_lost = True
        self._release_shard("lease lost")

    def shard_ended(self, message: messages.ShardEndedInput) -> None:
        """Settle every event, verify that the shard has ended, and take the checkpoint of its end (SHARD_END).

        If that is not possible, end the process. If the lease is lost, stop without an error.
        """
        if not self._is_lease_lost:
            if self._has_unopened_records:
                self._exit_process(
                    "a batch was acknowledged with unopened records, so the shard's end may not be checkpointed"
                )
            self._router.mark_input_ended(self._guard.seconds_with_only_sick)
            with self._stopping_if_lease_is_lost():
                self._settle_shard_end(message.checkpointer)
        self._release_shard("lease lost" if self._is_lease_lost else "shard ended")

    def _settle_shard_end(self, checkpointer: Checkpointer) -> None:
        """Do the work of `shard_ended`. Raise IntendedExitError if the end is refuted, or a stop leaves no time."""
        router, end_check = self._router, self._end_check
        while router.backlog or not (self._checkpoints.is_covered_by_target_check() and end_check.is_confirmed):
            end_check.send_next_call(self._checkpoints.last_received)
            if refutation := end_check.refutation:
                # A stop limits the wait for pending entries. One that needs later events as a comparison, which do not
                # come here, would wait for ever.
                self.request_stop()
            if self.stop_by:
                is_late = self._clock() >= self.stop_by
                if is_late or (refutation and not router.backlog):
                    self._exit_process(refutation or "a stop was requested before the shard's end was settled")
            self._work_once(MAX_CALLBACK_WAIT_S)
            if router.has_only_failing_items:
                self._guard.record_only_sick_left()
            # Once all is settled, take no ordinary checkpoint: the KCL turns one at the shard's last record into
            # SHARD_END, and the end is not confirmed yet.
            if not self._checkpoints.is_settled:
                self._take_checkpoint_if_due(checkpointer)
        if not self._checkpoints.is_settled:
            raise AssertionError("nothing is pending, yet a record is not settled")
        failpoint("in_shard_end")
        self._checkpoints.take_shard_end_checkpoint(checkpointer, lambda: self._work_once(MAX_CALLBACK_WAIT_S))

    def shutdown_requested(self, message: messages.ShutdownRequestedInput) -> None:
        """Take the last checkpoint before a stop or a hand-off of the lease. Start nothing after it."""
        failpoint("in_shutdown_requested")
        if not self._is_lease_lost:
            while (self._router.backlog or not self._checkpoints.is_covered_by_target_check()) and self._has_time:
                self._work_once(MAX_CALLBACK_WAIT_S)
            with self._stopping_if_lease_is_lost():
                while not self._take_checkpoint(message.checkpointer) and self._has_time:
                    self._work_once(MAX_CALLBACK_WAIT_S)
        self.request_stop()  # records that came later would be opened and never sent
        self._release_shard("shutdown requested")

    @property
    def _has_time(self) -> bool:
        """Whether the supervisor or the next owner of the lease still waits for an answer."""
        return self._clock() < min(self._hand_off_by, self.stop_by or inf)

    def request_stop(self) -> None:
        """Stop within STOP_TIMEOUT_S: open no more records, settle what is pending, answer the daemon's callbacks."""
        self.stop_by = self.stop_by or self._clock() + STOP_TIMEOUT_S

    def work_between_callbacks(self) -> None:
        """Continue with pending events until the daemon's next line, or while a checkpoint's answer is awaited."""
        self._work_once(MAX_IDLE_WAIT_S, wake_on_daemon_line=True)

    # --- progress between callbacks

    def _wait_for_room(self, checkpointer: Checkpointer) -> None:
        """Wait until the window has room for the next slice of records, or the child must stop."""
        while not self.stop_by and self._window.is_full:
            self._work_once(MAX_CALLBACK_WAIT_S)
            self._take_checkpoint_if_due(checkpointer)

    def _wait_for_calls(self, checkpointer: Checkpointer) -> None:
        """Wait until few enough events wait for a call, or the child must stop.

        The router calls this after each slice of events, since one record may contain very many.
        """
        self._work_once(0.0)
        while not self.stop_by and self._window.is_crowded:
            self._work_once(MAX_CALLBACK_WAIT_S)
            self._take_checkpoint_if_due(checkpointer)

    def _wait_until_started(self, checkpointer: Checkpointer) -> None:
        """Wait until every routed event is in flight or waits for its own retry."""
        self._routed_at = 0.0  # long ago, so that calls are started without BATCHING_DELAY_S
        self._work_once(0.0)
        self._take_checkpoint_if_due(checkpointer)
        while self._router.ready and not self.stop_by:
            self._work_once(MAX_CALLBACK_WAIT_S)
            self._take_checkpoint_if_due(checkpointer)

    def _work_once(self, max_wait_s: float, *, wake_on_daemon_line: bool = False) -> None:
        """Start the calls that may start, wait up to `max_wait_s` for something to happen, and settle the answers.

        An answer, a retry that is due or a signal ends the wait. Between two callbacks a line of the daemon does too.
        """
        if not wake_on_daemon_line:  # only a callback is watched: between two the daemon may be silent for minutes
            self._touch_heartbeat()
        self._guard.resume_marker()
        self._apply_target_check()
        batching_s = self._routed_at + BATCHING_DELAY_S - self._clock()
        self._router.advance(flush=batching_s <= 0)
        if self._router.holding or self._checkpoints.target_problem:
            self._guard.suspend_marker()
        if max_wait_s and batching_s > 0:
            max_wait_s = min(max_wait_s, batching_s)
        self._wait(self._router.wait_s(max_wait_s) if max_wait_s else 0.0, wake_on_daemon_line)
        self._router.collect()
        self._checkpoints.request_target_check()
        self._telemetry.write_if_due()
        if self._checkpoints.must_resend:
            log.warning(
                "The rule takes our events again. Events sent since the last successful check may have reached nobody. "
                "This process ends, and the next one sends them again.",
                extra={"event": "child-left-for-proof"},
            )
            self._exit_process("no target check proves that the sent events have reached a target")

    def _apply_target_check(self) -> None:
        """Hold publishing while bus or rule do not take our events. Dead letters are still sent."""
        self._router.block_publishing(blocked=bool(self._checkpoints.refresh_target_check()))

    @contextlib.contextmanager
    def _stopping_if_lease_is_lost(self) -> Iterator[None]:
        """Stop without an error if a checkpoint shows that another worker holds the lease."""
        try:
            yield
        except LeaseLostError:
            # Answers of calls in flight are ignored from now on. The daemon calls `leaseLost` next.
            self._is_lease_lost = True
            self._router.stop()
            log.warning("Another worker holds the lease now. This shard stops here.", extra={"event": "lease-lost"})

    def _take_checkpoint_if_due(self, checkpointer: Checkpointer) -> None:
        """Take a checkpoint if one is due, and record it. If it fails, it is retried when the next one is due."""
        previous = self._checkpoints.last_checkpoint
        self._checkpoints.take_checkpoint_if_due(checkpointer)
        self._record_checkpoint_after(previous)

    def _take_checkpoint(self, checkpointer: Checkpointer) -> bool:
        """Take a checkpoint now. Return False if it must be retried."""
        previous = self._checkpoints.last_checkpoint
        is_done = self._checkpoints.take_checkpoint(checkpointer)
        self._record_checkpoint_after(previous)
        return is_done

    def _record_checkpoint_after(self, previous: RecordPosition | None) -> None:
        """Record the latest checkpoint in crash guard and window, unless it is still `previous`."""
        latest = self._checkpoints.last_checkpoint
        if latest and latest != previous:
            self._guard.record_checkpoint(*latest)
            self._window.record_checkpoint(latest)

    def record_clean_exit(self) -> None:
        """Record that the process ends on purpose, or because its daemon does: the shard did not crash."""
        self._guard.record_clean_exit()

    def _release_shard(self, reason: str) -> None:
        """Stop all work on the shard, and write its last counts. The process may live on."""
        self._router.stop()
        log.info("The shard was given back.", extra={"event": "shard-given-back", "why": reason})
        self._telemetry.close()
        self.record_clean_exit()

    def _exit_process(self, reason: str) -> NoReturn:
        """End the process on purpose. Records above the checkpoint are read again."""
        self._release_shard(reason)
        raise IntendedExitError(os.EX_TEMPFAIL)


def _position_of(record: dict[str, Any]) -> RecordPosition:
    """Return the position of a record of the daemon. A sub-sequence number of None counts as 0."""
    return RecordPosition(int(record["sequenceNumber"]), int(record["subSequenceNumber"] or 0))

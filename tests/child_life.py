"""One child's life over a folder, driven as the daemon drives it, in virtual time; what tests of the shard share."""

import base64
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from amazon_kclpy import dispatch, messages
from amazon_kclpy.checkpoint_error import CheckpointError

from stream_router.aws_answers import Answer
from stream_router.consumer.child.checkpoints import Checkpoints
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.shard import ShardProcessor
from stream_router.consumer.child.vitals import ShardVitals
from stream_router.consumer.child.window import Window
from stream_router.consumer.target_check import (
    RECHECK_AFTER_S,
    CheckResult,
    TargetOk,
    TargetStateMachine,
    TargetView,
    check_interval_s,
)
from stream_router.envelope import seal
from stream_router.model import Batch, DeadLetter, Entry, Event, Record
from stream_router.pipeline.delivery.blame import RetryPolicy
from tests.events import RECEIVED_MS
from tests.fakes import Rig, entry, rig
from tests.shard_ends import Kinesis

START = "TRIM_HORIZON"
MIB = 1024 * 1024


class KilledError(BaseException):
    """Stands for the death of the process: no `except Exception` sees it."""


class TooLongError(BaseException):
    """A seed makes more calls than a run of many has time for."""


class TelemetryStub:
    """The shard's ledger and its telemetry: counts how often it was closed."""

    closed = 0

    def record_opened(self, records: Sequence[Record]) -> None:
        pass

    def add_masked_counts(self, batch: Batch) -> None:
        pass

    def write_if_due(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


class SupervisedTarget(TargetView):
    """A child's view in virtual time: its supervisor checks as `TargetChecker` does, and the result arrives at once."""

    def __init__(
        self,
        ask: Callable[[], CheckResult],
        clock: Callable[[], float],
        every_s: float,
        target_state: TargetStateMachine | None = None,
    ) -> None:
        self.ask, self.every_s = ask, every_s
        self.target_state = target_state or TargetStateMachine()
        self.hurries = False
        self.checks = 0
        self._now, self._asked_s, self._wanted_s = clock, -math.inf, -math.inf
        super().__init__(Path(), clock)

    def refresh(self) -> None:
        now = self._now()
        is_requested = self._wanted_s >= self._asked_s
        interval_s = (
            RECHECK_AFTER_S
            if self.hurries
            else check_interval_s(self.target_state, self.every_s, is_requested=is_requested)
        )
        if now >= self._asked_s + interval_s:
            self.checks += 1
            self.target_state.apply(self.ask(), now)
            self._asked_s = now
        self._last_report = self.target_state.report

    def request_check(self, accepted_s: float) -> None:
        if accepted_s >= self._last_report.proven_s:
            self._wanted_s = self._now()


class Life:
    """One child's life over `folder`: its shard, the pipeline's fakes, the daemon's answers to checkpoints.

    `in_callback` is the daemon's action that the child is in; `taken_in` says in which each checkpoint was sent.
    It begins `later_s` after the first one, by the wall clock.
    """

    def __init__(
        self,
        folder: Path,
        *,
        judge: Callable[[Sequence[Entry]], Answer] | None = None,
        transform: Callable[[Event], Entry | DeadLetter] | None = None,
        checkpoint_s: float = 5.0,
        window_bytes: int = 64 * MIB,
        span_s: float = 120.0,
        rate: float = 0.0,
        later_s: float = 0.0,
    ) -> None:
        route_as = transform or (lambda event: entry(0)._replace(event=event))
        policy = RetryPolicy(16, 16 * MIB, 4, max_rate=rate)
        self.rig: Rig = rig(transform=route_as, judge=judge, policy=policy)
        world = self.rig.world
        self.telemetry = TelemetryStub()
        self.errors: list[str] = []
        self.tries, self.beats = 0, 0
        self.taken: list[str | None] = []
        self.taken_in: list[str] = []
        self.in_callback = ""
        self._last_given: object = None
        self.waited: list[float] = []
        self.at_wait: Callable[[], None] = lambda: None
        begun = world.now

        def now_ms() -> float:
            return RECEIVED_MS + 1000 * (later_s + world.now - begun)

        self.guard = CrashGuard(folder, "shard-1", f"{START}:0", wall_clock_ms=now_ms)
        self.proof = SupervisedTarget(TargetOk, world.clock, RECHECK_AFTER_S)
        router, clock, stub = self.rig.router, world.clock, cast("Any", self.telemetry)
        self.window = Window(router, self.proof, lambda _: None, clock, window_bytes, span_s)
        self.kinesis = Kinesis(world)
        end = self.kinesis.shard_end(START)
        self.checkpoints = Checkpoints(self.proof, lambda: router.accepted_at, checkpoint_s, clock)
        self.vitals = ShardVitals(router, self.window, self.checkpoints, lambda: self.guard.is_careful, clock)
        watched = (self.window, self.checkpoints, end, self.guard)
        self.shard = ShardProcessor(router, stub, self.vitals, stub, *watched, self._wait, self._beat, clock)

    def _beat(self) -> None:
        self.beats += 1

    def _wait(self, seconds: float, daemon: bool) -> None:
        self.waited.append(seconds)
        assert daemon is (not self.in_callback)
        self.at_wait()
        self.rig.world.pump(seconds)

    def checkpoint(self, sequence_number: str | None = None, sub_sequence_number: int | None = None) -> None:
        """What the daemon's checkpointer does: fails with the next of `errors`, while there are any."""
        self.tries += 1
        self.taken_in.append(self.in_callback)
        if self.in_callback == "shardEnded" and sequence_number:
            assert sequence_number != self._last_given, "the KCL makes SHARD_END of it"
        if self.errors:
            raise CheckpointError(self.errors.pop(0))
        self.taken.append(sequence_number)

    def hear(self, action: str, **fields: Any) -> None:
        """One message of the daemon's."""
        line = {"action": action, **fields}
        message = messages.ProcessRecordsInput(line) if "records" in fields else dispatch.message_decode(line)
        self.in_callback = action
        message.dispatch(self, self.shard)
        self.in_callback = ""

    def process(self, *sequence_numbers: int, body: bytes = b"{}") -> None:
        """A batch of one event a record."""
        records = [
            {
                "data": base64.b64encode(seal(f"{number:032x}", "delivery", RECEIVED_MS, body)).decode(),
                "sequenceNumber": str(number),
                "subSequenceNumber": 0,
                "approximateArrivalTimestamp": RECEIVED_MS,
            }
            for number in sequence_numbers
        ]
        self._last_given = records[-1]["sequenceNumber"] if records else self._last_given
        self.hear("processRecords", records=records, millisBehindLatest=0)

    def rest(self, seconds: float) -> None:
        """So long the daemon says nothing."""
        until = self.rig.world.now + seconds
        while self.rig.world.now < until:
            self.shard.work_between_callbacks()

    def live(self, seconds: float) -> None:
        """So long the daemon says each second that there is nothing new, as on a quiet shard."""
        until = self.rig.world.now + seconds
        while self.rig.world.now < until:
            self.process()
            self.rest(1.0)

    def settle(self) -> None:
        """The daemon says nothing until all that is under way is through."""
        until = self.rig.world.now + 3600
        while self.rig.router.backlog:
            assert self.rig.world.now < until
            self.shard.work_between_callbacks()

    @property
    def buried(self) -> list[int]:
        return [letter.event.record.sequence_number for letter in self.rig.tally.dead]

    @property
    def delivered(self) -> list[int]:
        return [item.event.record.sequence_number for item in self.rig.tally.delivered]

"""One child's life in the simulation: the real shard, pipeline and transform over a world of virtual time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from amazon_kclpy import dispatch, messages
from amazon_kclpy.checkpoint_error import CheckpointError

from stream_router.consumer.child.checkpoints import Checkpoints
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.shard import MAX_IDLE_WAIT_S, ShardProcessor
from stream_router.consumer.child.vitals import ShardVitals
from stream_router.consumer.child.window import SPARE_BYTES, Window
from stream_router.model import DeadLetter, Dropped, Entry, Event, Transformed
from stream_router.pipeline.delivery.blame import RetryPolicy
from stream_router.pipeline.route import Router
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetterQueue, SendMessageCalls
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits, Publisher, PutEventsCalls
from stream_router.pipeline.transform import Transform, TransformConfig
from tests.child_life import KilledError, SupervisedTarget, TelemetryStub
from tests.fakes import World
from tests.simulation.scenario import DROPPED_TYPE, Kind
from tests.simulation.world import Bucket, Bus, Outside, Queue, Stream

CHECKPOINT_S = 5.0
A_TURN_S = 0.0001
"""What one turn of the loop costs: time never stands still."""

SLICE_SLACK_BYTES = (96 + 20) * 1024
"""A slice is cut behind the record with which it has 96 KiB: sixty events of company at most."""

TYPES = ("interaction.created", "conversation.updated", "agent.status.changed")


ODD_CALL_BYTES = 4_000
"""What a call carries where settings are odd: less than LARGE_BYTES."""


class Tally:
    """A ledger that keeps only what is dropped: the bus and the queue know what became of each other event."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def record_accepted(self, entries: Sequence[Entry], took_s: float) -> None:
        pass

    def record_resubmitted(self, count: int) -> None:
        pass

    def record_retries(self, entries: Sequence[tuple[Entry, str]]) -> None:
        pass

    def record_dead_letter(self, letter: DeadLetter) -> None:
        pass

    def record_dropped(self, dropped: Sequence[Dropped]) -> None:
        self._outside.dropped |= {item.event.event_id for item in dropped}


class Child:
    """A process that ends when it is told to, or at once at `dies_at`. `checkpoint` is where its shard stands.

    `take` is the lease table: it gets each checkpoint that is taken. `told_at` (if set) is when SIGTERM comes.
    """

    sleeps = True
    """False: every turn of an idle child is taken. A test shows that this makes no difference."""

    def __init__(
        self,
        outside: Outside,
        now: float,
        folder: Path,
        checkpoint: tuple[str, int],
        kinds: dict[str, Kind],
        take: Callable[[str | None, int | None, float], str | None],
    ) -> None:
        self.outside = outside
        self.world = World(now=now, seed=outside.scenario.seed)
        self._take = take
        self._folder = folder
        self._kinds = kinds
        self.dies_at = self.told_at = float("inf")
        self._asked_s = 0.0
        window_bytes = outside.scenario.window_bytes
        self._most_bytes = window_bytes + max(SPARE_BYTES, window_bytes // 4) + SLICE_SLACK_BYTES
        self.leaves = False
        self.in_callback = ""
        self.shard = self._taken_up("shard-1", f"{checkpoint[0]}:{checkpoint[1]}")

    def _taken_up(self, shard_id: str, start: str) -> ShardProcessor:
        scenario, clock, dice = self.outside.scenario, self.world.clock, self.world.random.random
        odd = scenario.odd

        def now_ms() -> float:
            return self.world.now * 1000

        guard = CrashGuard(self._folder, shard_id, start, clock, now_ms)
        config = TransformConfig("eu-central-1", TYPES, odd.unroutable, frozenset((DROPPED_TYPE,)))
        transform = Transform(config, now_ms)
        bus = Bus(self.outside, self.world, self.outside.life, self._kinds)
        queue = Queue(self.outside, self.world, self.outside.life)
        writer = LetterWriter("stream", shard_id, now_ms, ordered=scenario.ordered)
        call_limits = CallLimits(10, ODD_CALL_BYTES if odd.is_on else 1_000_000)
        calls = PutEventsCalls(bus.send, bus.read, call_limits, ordered=scenario.ordered)
        policy = RetryPolicy(scenario.max_in_flight, 16 * 1024 * 1024, 4, odd.gives_up, odd.max_rate)
        bucket = Bucket(self.outside, self.world, self.outside.life)
        self.router = Router(
            self._deadly(transform),
            transform.dead_letter_raw,
            Publisher(calls, policy, clock, dice),
            DeadLetterQueue(SendMessageCalls(queue.send, "http://queue"), writer, clock, dice),
            ClaimCheck(bucket.send, "bucket", clock, dice) if odd.has_bucket else None,
            Tally(self.outside),
        )
        self.proof = SupervisedTarget(lambda: self.outside.ask(clock()), clock, CHECKPOINT_S, self.outside.target_state)
        self.window = Window(self.router, self.proof, lambda _: None, clock, scenario.window_bytes, scenario.span_s)
        end = Stream(self.outside, self.world).shard_end(start)
        checkpoints = Checkpoints(self.proof, lambda: self.router.accepted_at, CHECKPOINT_S, clock)
        vitals = ShardVitals(self.router, self.window, checkpoints, lambda: guard.is_careful, clock)
        stub = cast("Any", TelemetryStub())
        watched = (self.window, checkpoints, end, guard)
        return ShardProcessor(self.router, stub, vitals, stub, *watched, self._wait, lambda: None, clock)

    def _deadly(
        self, transform: Callable[[Event | DeadLetter], Transformed]
    ) -> Callable[[Event | DeadLetter], Transformed]:
        def read(result: Event | DeadLetter) -> Transformed:
            if isinstance(result, Event) and self._kinds[result.event_id] is Kind.KILLER:
                raise KilledError
            return transform(result)

        return read

    def _wait(self, seconds: float, daemon: bool) -> None:
        assert daemon is (not self.in_callback), "the daemon's line is waited for inside a callback, or not outside"
        self._asked_s, world = seconds, self.world
        world.now += A_TURN_S
        limit = min(self.dies_at, self.told_at) - world.now
        world.pump(seconds if seconds <= limit else max(0.0, limit))
        if world.now >= self.told_at:
            self.told_at = float("inf")
            self.leaves = self.proof.hurries = True
            self.shard.request_stop()
        if world.now >= self.dies_at:
            raise KilledError
        assert self.window.pending_bytes <= self._most_bytes, "the window burst"

    def hear(self, action: str, **fields: Any) -> None:
        """One message of the daemon's; returns with the child's answer."""
        fields_of_message = {"action": action, **fields}
        message = (
            messages.ProcessRecordsInput(fields_of_message)
            if "records" in fields
            else dispatch.message_decode(fields_of_message)
        )
        self.in_callback = action
        message.dispatch(self, self.shard)
        self.in_callback = ""

    def checkpoint(self, sequence_number: str | None = None, sub_sequence_number: int | None = None) -> None:
        """kclpy's checkpointer: the reply comes from DynamoDB after a while, and work goes on meanwhile."""
        inside = self.in_callback
        assert inside in ("processRecords", "shutdownRequested", "shardEnded"), f"a checkpoint in {inside!r}"
        now, outside = self.world.now, self.outside
        until = now + (outside.dice.uniform(1, 20) if outside.fault(now, "table slow") else 0.02)
        self.in_callback = ""
        while self.world.now < until:
            before = self.world.now
            self.shard.work_between_callbacks()
            if self.world.now == before:
                self.world.now += 0.01
        self.in_callback = inside
        if error := self._take(sequence_number, sub_sequence_number, now):
            raise CheckpointError(error)

    def rest(self, until: float) -> None:
        """The daemon says nothing until then."""
        while self.world.now < until:
            before = self.world.now
            self.shard.work_between_callbacks()
            if self.world.now == before:
                self.world.now += 0.001
            elif self.sleeps and self._asked_s == MAX_IDLE_WAIT_S and self._is_idle:
                self._sleep(until)

    @property
    def _is_idle(self) -> bool:
        """Whether nothing is under way, awaited or to be written: each turn is like the last one."""
        return not (self.world.busy or self.router.backlog)

    def _sleep(self, until: float) -> None:
        """Let the time of an idle child's turns pass without them; the last ones before its end are taken."""
        ends = min(until, self.dies_at - 2 * MAX_IDLE_WAIT_S, self.told_at - 2 * MAX_IDLE_WAIT_S)
        while self.world.now < ends:
            self.world.now += A_TURN_S  # one after the other, for the same sum to the last bit
            self.world.now += MAX_IDLE_WAIT_S

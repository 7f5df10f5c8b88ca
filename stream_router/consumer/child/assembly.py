"""One child's parts, put together."""

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stream_router.consumer.bus_proof import BusProof
from stream_router.consumer.child.daemon.kcl_callbacks import ShardProcessor
from stream_router.consumer.child.intake.window import Window
from stream_router.consumer.child.neighbours import Neighbours
from stream_router.consumer.child.progress.checkpoints import Checkpoints
from stream_router.consumer.child.progress.crash_guard import CrashGuard
from stream_router.consumer.child.progress.first_failures import FirstFailures
from stream_router.consumer.child.progress.shard_end import ShardEnd
from stream_router.consumer.child.shard import REST_S, Shard
from stream_router.consumer.child.telling.lost_lease import LostLease
from stream_router.consumer.child.telling.shard_telemetry import ShardTelemetry
from stream_router.consumer.child.waiter import Waiter
from stream_router.consumer.child.wiring import Wiring
from stream_router.consumer.state_dir import LIVES, known_worker
from stream_router.consumer.targets import Targets
from stream_router.consumer.transform_config import transform_config
from stream_router.pipeline.delivery.health import Health
from stream_router.pipeline.transform import Transform
from stream_router.process import now_ms
from stream_router.settings.consumer import Consumer

log = logging.getLogger(__name__)


WINDOW_BYTES = 64 * 1024 * 1024
"""What one child may have under way: a minute of a full shard (1 MB/s goes into it), much more than 128 calls of
ordinary events carry, and yet a small host holds ten such children. Above a Kinesis record's own ceiling, 10 MiB."""

WINDOW_SPAN_S = 120.0
"""Seconds of work above the checkpoint, which come again after a crash. Well above the checkpoint's own interval, or
the window would wait for each of them."""


class Child:
    """What this process has before it knows its shard. Raises SettingsError or CredentialsError.

    `daemon_fd` is where the daemon's lines come from.
    """

    def __init__(
        self, settings: Consumer, beat: Callable[[], None], targets: Targets | None = None, daemon_fd: int = 0
    ) -> None:
        self._settings = settings
        self._beat = beat
        self._wiring = Wiring(settings, targets)
        self._transform = Transform(transform_config(settings), now_ms)
        if self._transform.policy:
            log.info("masking: %s", self._transform.masking, extra={"event": "masking"})
        else:
            log.warning("masking: off", extra={"event": "masking-off"})
        self._proof = BusProof(settings.state_dir, self._wiring.ask_for_bus)
        self._wait = Waiter(self._wiring.transport, daemon_fd)
        self._lives = (settings.state_dir or Path(tempfile.mkdtemp(prefix="stream-router-shard-"))) / LIVES

    def processor(self) -> ShardProcessor:
        """The record processor, ready for `initialize`."""
        settings = self._settings
        worker = settings.worker or known_worker(settings.state_dir)
        lost_lease = LostLease(self._wiring.ask, settings.application, worker, self._wait, time.monotonic)
        return ShardProcessor(self._shard, self._idle, lost_lease)

    def _idle(self) -> None:
        self._beat()
        self._wait(REST_S, daemon=True)

    def _shard(self, shard_id: str, start: str) -> Shard:
        settings, clock = self._settings, time.monotonic
        guard = CrashGuard(self._lives, shard_id, start, audited=settings.audit_dir is not None)
        neighbours = Neighbours(settings.state_dir, shard_id, clock)
        health = Health(neighbours)
        memory = FirstFailures(settings.state_dir, shard_id, clock)

        def tell_others() -> None:
            """The other shards of how calls fare here, the next child of what is in trouble."""
            neighbours.publish(health)
            memory.write()

        telemetry = ShardTelemetry(
            shard_id,
            settings,
            self._transform,
            self._wiring.transport,
            self._wiring.targets.metrics,
            guard,
            tell_others,
        )
        window = Window(WINDOW_BYTES, WINDOW_SPAN_S, clock, telemetry.batch_closed)
        router = self._wiring.router(shard_id, self._transform, telemetry, health, memory)
        began = start.partition(":")[0]
        end = ShardEnd(self._wiring.ask, settings.stream, settings.application, shard_id, began, clock)
        checkpoints = Checkpoints(self._proof, settings.checkpoint_s, clock, end)
        log.info(
            "shard taken up",
            extra={"event": "shard-taken-up", "shard": shard_id, "from": start, "careful": guard.careful},
        )
        return Shard(router, telemetry, window, checkpoints, guard, self._wait, self._beat, clock)

"""Construction of one child: the daemon's lines come in, signed AWS calls go out, and the pipeline does no I/O."""

import contextlib
import functools
import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stream_router.consumer.child.checkpoints import Checkpoints
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.ledger import ShardLedger
from stream_router.consumer.child.shard import REST_S, ShardProcessor
from stream_router.consumer.child.shard_end import ShardEnd
from stream_router.consumer.child.snapshot import ShardTelemetry
from stream_router.consumer.child.vitals import ShardVitals
from stream_router.consumer.child.window import Window
from stream_router.consumer.destinations import Destinations, Targets
from stream_router.consumer.state_dir import HEARTBEATS, LIVES, TARGET_REPORT
from stream_router.consumer.target_check import TargetChecker, TargetView, active_interval_s, build_target_check
from stream_router.consumer.transform_config import transform_config
from stream_router.model import DeadLetter, Event, Transformed
from stream_router.pipeline.route import Router
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.pipeline.sinks.eventbridge import wire_format
from stream_router.pipeline.transform import Transform
from stream_router.process import deadly_text, give_back_now, now_ms
from stream_router.settings.consumer import Consumer

log = logging.getLogger(__name__)

READ_BYTES = 16 * 1024 * 1024
"""Largest answer of a call, in bytes: GetRecords with one record of 10 MiB (UpdateMaxRecordSize), as base64."""

BEAT_EVERY_S = 1.0
"""Seconds between two heartbeats of a child."""
TRIM_EVERY_S = 60.0
"""Seconds after which unused memory is given back to the kernel."""


class Child:
    """Parts of this process that exist before its shard is known. Raises SettingsError or CredentialsError.

    `daemon_fd` is the file descriptor of the daemon's lines. Create it in the main thread, since only there may a
    program set the descriptor by which a signal wakes it.
    """

    def __init__(self, settings: Consumer, targets: Targets, daemon_fd: int) -> None:
        self._settings = settings
        self._calls = Destinations(settings, READ_BYTES, targets)
        self._transform = Transform(transform_config(settings), now_ms)
        if self._transform.policy:
            log.info("Masking is on: %s.", self._transform.masking, extra={"event": "masking"})
        else:
            log.warning(
                "Masking is off. Events reach EventBridge with personal data. Set STREAM_ROUTER_MASKING=default to "
                "mask it.",
                extra={"event": "masking-off"},
            )
        folder = settings.state_dir or Path(tempfile.mkdtemp(prefix="stream-router-shard-"))
        if not (folder / TARGET_REPORT).exists():  # no supervisor runs, so the child itself checks the target
            TargetChecker(
                folder, build_target_check(settings), lambda: active_interval_s(settings.checkpoint_s, 1)
            ).start()
        self._proof = TargetView(folder)
        self._lives = folder / LIVES
        self._daemon_fd = daemon_fd
        self._woken, write = os.pipe()
        # A signal must end a wait at once, and Python handles it only between two of its instructions.
        os.set_blocking(write, False)
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def idle(self) -> None:
        """Wait a while for the daemon's first line."""
        self._wait(REST_S, True)

    def _wait(self, seconds: float, daemon: bool) -> None:
        """Handle calls, and wait at most `seconds`. A signal or, if `daemon`, a line of the daemon ends the wait."""
        others = (self._woken, self._daemon_fd) if daemon else (self._woken,)
        if self._woken in self._calls.pump(seconds, others):
            os.read(self._woken, 4096)

    def shard(self, shard_id: str, start: str) -> ShardProcessor:
        """Return the processor of this shard. It begins after the checkpoint `start`, "number:subnumber"."""
        settings, clock = self._settings, time.monotonic
        guard = CrashGuard(self._lives, shard_id, start)
        ledger = ShardLedger(shard_id, settings, self._transform)
        ordered = settings.ordering == "conversation"
        policy = self._transform.policy
        masking = self._transform.masking if policy and policy.mask_dead_letters else ""
        writer = LetterWriter(settings.stream, shard_id, now_ms, ordered=ordered, masking=masking)
        token_of = functools.partial(wire_format.deduplication_id, shard_id)
        gives_up = settings.on_outage == "dead-letter"
        rate = settings.max_shard_rate or 0.0
        router = Router(
            with_deadly_event(self._transform),
            self._transform.dead_letter_raw,
            self._calls.publisher(token_of, rate, outage_gives_up=gives_up),
            self._calls.dead_letters(settings.sqs_dlq_url, writer),
            self._calls.claim_check(),
            ledger,
        )
        window = Window(router, self._proof, ledger.batch_closed, clock)
        checkpoints = Checkpoints(self._proof, lambda: router.accepted_at, settings.checkpoint_s, clock)
        vitals = ShardVitals(router, window, checkpoints, lambda: guard.careful, clock)
        telemetry = ShardTelemetry(shard_id, ledger, vitals, settings.state_dir)
        began = start.partition(":")[0]
        end = ShardEnd(self._calls.ask, settings.stream, settings.application, shard_id, began, clock)
        heartbeat = Heartbeat(settings.state_dir, clock)
        log.info(
            "shard taken up",
            extra={"event": "shard-taken-up", "shard": shard_id, "from": start, "careful": guard.careful},
        )
        wait = self._wait
        return ShardProcessor(
            router, ledger, vitals, telemetry, window, checkpoints, end, guard, wait, heartbeat, clock
        )


class Heartbeat:
    """Sign of life inside the daemon's callbacks: a file whose time shows the supervisor that the child makes progress.

    The file, named by the process id, is touched once a second. Once a minute, memory that a busy moment has left
    unused is given back. `clock` is monotonic.
    """

    def __init__(self, state_dir: Path | None, clock: Callable[[], float]) -> None:
        self._file = state_dir / HEARTBEATS / str(os.getpid()) if state_dir else None
        self._clock = clock
        self._beat_at, self._trimmed_at = -BEAT_EVERY_S, clock()

    def __call__(self) -> None:
        now = self._clock()
        if now - self._beat_at < BEAT_EVERY_S:
            return
        self._beat_at = now
        with contextlib.suppress(OSError):  # safe: without a file the supervisor ends no child
            if self._file:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.touch()
        if now - self._trimmed_at > TRIM_EVERY_S:
            self._trimmed_at = now
            give_back_now()


def with_deadly_event(
    transform: Callable[[Event | DeadLetter], Transformed],
) -> Callable[[Event | DeadLetter], Transformed]:
    """Return `transform`. If `event=segfault:TEXT` is armed, an event whose line contains TEXT kills the process."""
    text = deadly_text()
    if not text:
        return transform

    def deadly(opened: Event | DeadLetter) -> Transformed:
        if isinstance(opened, Event) and text in opened.raw:
            os.kill(os.getpid(), signal.SIGSEGV)
        return transform(opened)

    return deadly

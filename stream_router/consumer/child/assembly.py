"""Construction of one child: objects that read the daemon's lines, the pipeline, and senders of signed AWS calls."""

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
from stream_router.consumer.child.shard import MAX_IDLE_WAIT_S, ShardProcessor
from stream_router.consumer.child.shard_end import ShardEndCheck
from stream_router.consumer.child.snapshot import ShardTelemetry
from stream_router.consumer.child.vitals import ShardVitals
from stream_router.consumer.child.window import Window
from stream_router.consumer.destinations import DestinationEndpoints, Destinations
from stream_router.consumer.state_dir import CRASH_MARKERS, HEARTBEATS, TARGET_REPORT
from stream_router.consumer.target_check import TargetChecker, TargetView, active_interval_s, build_target_check
from stream_router.consumer.transform_config import transform_config
from stream_router.model import DeadLetter, Event, Transformed
from stream_router.pipeline.route import Router
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.pipeline.sinks.eventbridge import wire_format
from stream_router.pipeline.transform import Transform
from stream_router.process import killing_text, now_ms, release_free_memory
from stream_router.settings.consumer import Consumer

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Largest answer of a call, in bytes: GetRecords with one record of 10 MiB (UpdateMaxRecordSize), as base64."""

HEARTBEAT_INTERVAL_S = 1.0
"""Minimum number of seconds between two touches of the heartbeat file."""

MEMORY_TRIM_INTERVAL_S = 60.0
"""Seconds between two times at which a child gives unused memory back to the kernel."""


class Child:
    """Parts of this process that exist before its shard is known. Raises SettingsError or CredentialsError.

    `daemon_fd` is the file descriptor of the daemon's lines. Create the object in the main thread: Python allows
    `signal.set_wakeup_fd` only there.
    """

    def __init__(self, settings: Consumer, endpoints: DestinationEndpoints, daemon_fd: int) -> None:
        self._settings = settings
        self._destinations = Destinations(settings, MAX_ANSWER_BYTES, endpoints)
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
        self._target = TargetView(folder)
        self._crash_markers = folder / CRASH_MARKERS
        self._daemon_fd = daemon_fd
        # A signal must end a wait at once. Python's handler runs only after the wait, but the byte that the interpreter
        # writes to this pipe ends the wait.
        self._signal_fd, write_fd = os.pipe()
        os.set_blocking(write_fd, False)
        os.set_blocking(self._signal_fd, False)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)

    def wait_idle(self) -> None:
        """Wait for the daemon's first line, up to MAX_IDLE_WAIT_S."""
        self._wait(MAX_IDLE_WAIT_S, True)

    def _wait(self, max_wait_s: float, wake_on_daemon_line: bool) -> None:
        """Handle calls, and wait for an answer or a signal, `max_wait_s` seconds at most.

        If `wake_on_daemon_line` is true, a line of the daemon ends the wait too.
        """
        wake_fds = (self._signal_fd, self._daemon_fd) if wake_on_daemon_line else (self._signal_fd,)
        if self._signal_fd in self._destinations.pump(max_wait_s, wake_fds):
            os.read(self._signal_fd, 4096)  # empty the pipe, since a byte left in it would end the next wait at once

    def build_shard_processor(self, shard_id: str, start: str) -> ShardProcessor:
        """Return the processor of this shard, which begins after the checkpoint `start`.

        `start` is "number:subnumber". The number is a sequence number or a special position such as TRIM_HORIZON.
        """
        settings, clock = self._settings, time.monotonic
        guard = CrashGuard(self._crash_markers, shard_id, start)
        ledger = ShardLedger(shard_id, settings, self._transform)
        router = self._build_router(shard_id, ledger)
        window = Window(router, self._target, ledger.append_audit_record, clock)
        checkpoints = Checkpoints(self._target, lambda: router.accepted_at, settings.checkpoint_s, clock)
        vitals = ShardVitals(router, window, checkpoints, lambda: guard.is_careful, clock)
        telemetry = ShardTelemetry(shard_id, ledger, vitals, settings.state_dir)
        start_number = start.partition(":")[0]
        end_check = ShardEndCheck(
            self._destinations.start_read, settings.stream, settings.application, shard_id, start_number, clock
        )
        heartbeat = Heartbeat(settings.state_dir, clock)
        log.info(
            "shard taken up",
            extra={"event": "shard-taken-up", "shard": shard_id, "from": start, "careful": guard.is_careful},
        )
        wait = self._wait
        return ShardProcessor(
            router, ledger, vitals, telemetry, window, checkpoints, end_check, guard, wait, heartbeat, clock
        )

    def _build_router(self, shard_id: str, ledger: ShardLedger) -> Router:
        """Return the pipeline of this shard, with its three destinations."""
        settings, policy = self._settings, self._transform.policy
        letter_masking = self._transform.masking if policy and policy.mask_dead_letters else ""
        is_ordered = settings.ordering == "conversation"
        letter_writer = LetterWriter(settings.stream, shard_id, now_ms, ordered=is_ordered, masking=letter_masking)
        deduplication_id_of = functools.partial(wire_format.deduplication_id, shard_id)
        return Router(
            kill_on_armed_event(self._transform),
            self._transform.dead_letter_raw,
            self._destinations.build_publisher(
                deduplication_id_of,
                settings.max_shard_rate or 0.0,
                outage_gives_up=settings.on_outage == "dead-letter",
            ),
            self._destinations.build_dead_letter_queue(settings.sqs_dlq_url, letter_writer),
            self._destinations.build_claim_check(),
            ledger,
        )


class Heartbeat:
    """Sign of life inside the daemon's callbacks: a file whose modification time shows the supervisor progress.

    The file is named by the process id; there is none if `state_dir` is None. A call touches it if HEARTBEAT_INTERVAL_S
    has passed. Once a minute, a call also gives memory back that a busy moment has left unused. `clock` is monotonic.
    """

    def __init__(self, state_dir: Path | None, clock: Callable[[], float]) -> None:
        self._file = state_dir / HEARTBEATS / str(os.getpid()) if state_dir else None
        self._clock = clock
        self._touched_at, self._trimmed_at = -HEARTBEAT_INTERVAL_S, clock()

    def __call__(self) -> None:
        """Touch the file, and give unused memory back, each if it is due."""
        now = self._clock()
        if now - self._touched_at < HEARTBEAT_INTERVAL_S:
            return
        self._touched_at = now
        with contextlib.suppress(OSError):  # on a full disk; the supervisor ends no child that has no file
            if self._file:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.touch()
        if now - self._trimmed_at > MEMORY_TRIM_INTERVAL_S:
            self._trimmed_at = now
            release_free_memory()


def kill_on_armed_event(
    transform: Callable[[Event | DeadLetter], Transformed],
) -> Callable[[Event | DeadLetter], Transformed]:
    """Return `transform`, unless the failpoint `event=segfault:TEXT` is armed.

    If it is armed, return a function that kills the process at an event that contains TEXT, and otherwise does the same
    as `transform`. Tests use the failpoint to make an event that crashes its child.
    """
    deadly = killing_text()
    if not deadly:
        return transform

    def transform_or_kill(opened: Event | DeadLetter) -> Transformed:
        if isinstance(opened, Event) and deadly in opened.raw:
            os.kill(os.getpid(), signal.SIGSEGV)
        return transform(opened)

    return transform_or_kill

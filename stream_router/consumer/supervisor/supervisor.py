"""Supervisor of the KCL daemon: start it, restart it if it dies, and end it without leaving a process behind.

The daemon (a JVM) leases shards and starts a child for each of them. If a child dies, the daemon ends, and no shard of
this host is read. So the supervisor restarts the daemon again and again, after longer waits if daemons die soon after
their start.
"""

import contextlib
import logging
import os
import queue
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from stream_router.aws_error_codes import MissingPermission
from stream_router.consumer.state_dir import DAEMON_ENDING, FATAL, StateDir
from stream_router.consumer.supervisor import daemon_log, java, processes
from stream_router.consumer.supervisor.java import JvmExit
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.target_check import FirstCheck, TargetChecker
from stream_router.errors import SettingsError
from stream_router.process import backoff_s, failpoint
from stream_router.telemetry.metrics_catalogue import RestartCause

log = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.5
"""Seconds from the first death of a daemon to its restart."""
BACKOFF_MAX_S = 30.0
"""Longest time before a restart, in seconds."""
STABLE_S = 60.0
"""Seconds of running after which a daemon counts as stable, and the backoff begins again."""

KILL_MARGIN_S = 5.0
"""Seconds from the end of the daemon's own grace period until it is killed."""

POLL_INTERVAL_S = 0.5
"""Seconds between two checks whether a running daemon has begun to end, or is to be restarted."""

CRASH_GRACE_S = 5.0
"""Seconds that the other shards' children get to stop after one child died.

The daemon would wait for the dead child for its whole grace period, while no shard of this host makes progress.
"""

TABLE_CHECK_INTERVAL_S = 1.0
"""Seconds between two checks of a lease table that is being created."""

LAST_LINES_TIMEOUT_S = 2.0
"""Seconds to wait at most for the last lines of a daemon that ended. Children that outlive it keep its output open."""

ORPHAN_TIMEOUT_S = 2.0
"""Seconds for which children may outlive their JVM. They notice its end by themselves, and send nothing more."""


SupervisorEvent = signal.Signals | JvmExit | FirstCheck


class PlannedRestart(NamedTuple):
    """A request to restart the daemon with the process id `daemon`, which has not died."""

    daemon: int
    cause: RestartCause
    reason: str
    """Complete sentences for the log: the problem, and its meaning for events. No full stop at the end."""


TARGET_RESTORED = (
    "Bus and rule take our events again. Events sent since the last successful check are read again from the "
    "checkpoint and resent. Nothing has to be done"
)
NOT_INITIALIZED = (
    "The daemon could not initialize its lease coordinator, and may take no shard after it has failed once. No event "
    "is lost. If this line is repeated, see the daemon's lines (`kcl`)"
)


class DaemonSupervisor:
    """Supervisor that keeps a daemon running from the call of `run` until a signal, in the caller's thread.

    `before_each_start` writes the files that a JVM needs: hosts remove old files from /tmp, so they may have gone
    since the last start. Once a heap was full, `command_with_larger_heap` replaces `command`; it is empty if no
    larger heap may be used. Before the first start `prepare_table` is called again and again until it returns "": it
    creates the lease table, and returns why the start still waits. `note_refusal` gets each call of the daemon that AWS
    refused.
    """

    def __init__(
        self,
        *,
        command: list[str],
        command_with_larger_heap: list[str],
        environment: dict[str, str],
        state: StateDir,
        target_checker: TargetChecker,
        events: "queue.SimpleQueue[SupervisorEvent]",
        grace_s: float,
        vitals: Vitals,
        before_each_start: Callable[[], object] = lambda: None,
        prepare_table: Callable[[], str] = lambda: "",
        note_refusal: Callable[[MissingPermission], object] = lambda _: None,
        log_format: str = "json",
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._command, self._command_with_larger_heap = command, command_with_larger_heap
        self._environment = environment
        self._state = state
        self._target_checker = target_checker
        self._events = events
        self._grace_s = grace_s
        self._before_each_start = before_each_start
        self._prepare_table = prepare_table
        self._note_refusal = note_refusal
        self._log_format = log_format
        self._vitals = vitals
        self._jitter = jitter
        self._short_run_count = 0
        """Number of restarts since a daemon was last stable. The backoff grows with it."""
        self._planned: PlannedRestart | None = None
        """The latest requested restart; ignored once its daemon has ended."""
        self._daemon_log: threading.Thread | None = None

    def request_restart(self, planned: PlannedRestart) -> None:
        """Request a restart of one daemon, from any thread. If that daemon has ended meanwhile, nothing happens."""
        self._planned = planned

    def run(self) -> int:
        """Run the daemon until a signal, and return 0. Raises SettingsError if a child or AWS refuses the settings."""
        processes.adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: self._events.put(signal.Signals(received)))
        self._target_checker.start()
        try:
            return self._supervise()
        finally:
            self._target_checker.close()
            processes.end_orphans(ORPHAN_TIMEOUT_S)

    def _supervise(self) -> int:
        """Wait for the target check and the lease table, then run one daemon after another until a signal. Return 0.

        Raises SettingsError if the target check, the table or a child refuses the settings.
        """
        while (event := self._wait_for_event(POLL_INTERVAL_S)) is None:
            pass
        if isinstance(event, signal.Signals):
            self._vitals.record_stop_request()
            return 0
        if isinstance(event, FirstCheck) and event.refusal:
            raise event.refusal
        if not self._wait_for_table():
            self._vitals.record_stop_request()
            return 0
        while True:
            started = time.monotonic()
            ended = self._run_jvm()
            if self._daemon_log:
                self._daemon_log.join(LAST_LINES_TIMEOUT_S)
            self._vitals.record_daemon_end(planned=ended is not None and ended.planned)
            if ended is None:
                return 0
            if killed := processes.end_orphans(ORPHAN_TIMEOUT_S):
                log.warning(
                    "Children that outlived the daemon were killed. Their records since the checkpoint are read again.",
                    extra={"event": "orphans-killed", "children": killed},
                )
            if problems := self._state.read(FATAL):
                raise SettingsError.from_json(problems)
            if not self._wait_to_restart(ended, time.monotonic() - started):
                return 0

    def _wait_for_table(self) -> bool:
        """Wait for the lease table. Return False if a signal arrived meanwhile. Raises SettingsError."""
        while reason := self._prepare_table():
            self._vitals.record_start_wait(reason)
            if isinstance(self._wait_for_event(TABLE_CHECK_INTERVAL_S), signal.Signals):
                return False
        return True

    def _run_jvm(self) -> JvmExit | None:
        """Start the JVM and return its end; None if a signal ended it."""
        try:
            jvm = self._start_jvm()
        except OSError as error:  # the host has no process or memory left: retry later, as after a crash
            log.error(  # noqa: TRY400 - one line
                "The KCL daemon cannot be started: %s. Events wait in the stream. The start is retried.",
                error.strerror,
                extra={"event": "daemon-not-started"},
            )
            return JvmExit(os.EX_OSERR)
        self._vitals.record_daemon_start(jvm.pid)
        started_s = time.monotonic()
        failpoint("daemon_started_before_first_look")
        while True:
            event = self._wait_for_event(POLL_INTERVAL_S)
            if isinstance(event, JvmExit):
                return event
            if event is not None:
                self._drain(jvm.pid)
                return None
            # A child that sent events which no check covers ends by itself then, and would take the JVM with it.
            if self._target_checker.ok_since_s > started_s:
                return self._restart(PlannedRestart(jvm.pid, "target_restored", TARGET_RESTORED), logging.INFO)
            if self._state.read(DAEMON_ENDING):
                log.warning(
                    "A child ended, so the daemon ends as well. It is started again and reads unsettled records again.",
                    extra={"event": "child-died", "graceS": CRASH_GRACE_S},
                )
                return self._end_after_child_death(jvm.pid)
            if self._planned and self._planned.daemon == jvm.pid:
                return self._restart(self._planned, logging.WARNING)

    def _start_jvm(self) -> subprocess.Popen[bytes]:
        """Start the JVM, and the threads that read its log and wait for its end. Raises OSError if it cannot start."""
        self._before_each_start()
        self._state.discard(DAEMON_ENDING)
        jvm = java.start(self._command, self._environment)
        assert jvm.stdout is not None
        not_initialized = PlannedRestart(jvm.pid, "not_initialized", NOT_INITIALIZED)
        self._daemon_log = daemon_log.follow(
            jvm.stdout,
            self._log_format,
            lambda: _kill_for_skipping(jvm),
            lambda: self.request_restart(not_initialized),
            self._note_refusal,
            jvm.pid,
        )
        threading.Thread(target=lambda: self._events.put(JvmExit(jvm.wait())), daemon=True).start()
        return jvm

    def _wait_for_event(self, timeout_s: float) -> SupervisorEvent | None:
        """Return the next signal, end of a JVM or first target check; None if none comes within `timeout_s`."""
        until = time.monotonic() + timeout_s
        while True:
            self._vitals.beat()
            left_s = until - time.monotonic()
            # The kernel may hand a signal to another thread. Its handler still runs on this one, but not before the
            # wait ends: so each wait is short.
            with contextlib.suppress(queue.Empty):
                return self._events.get(timeout=max(0.0, min(left_s, 0.1)))
            if left_s <= 0:
                return None

    def _drain(self, jvm: int) -> None:
        """Let the children and the daemon finish their work. Kill the daemon when its grace period is over."""
        self._vitals.record_stop_request()
        self._request_end(jvm)
        log.info("draining", extra={"event": "consumer-draining", "graceS": self._grace_s})
        if isinstance(event := self._wait_for_event(self._grace_s + KILL_MARGIN_S), JvmExit):
            log.info("drained", extra={"event": "consumer-drained"})
            return
        why = "its grace period is over" if event is None else "a second signal arrived"
        log.warning(
            "The daemon is killed, because %s. The next consumer reads records since the checkpoint again.",
            why,
            extra={"event": "daemon-killed"},
        )
        self._kill(jvm)

    def _request_end(self, jvm: int) -> None:
        """Send SIGTERM to the daemon and its children, and hasten the target check that the children then need."""
        # Children that stop wait for a target check that began after their last event: check now, not in a minute.
        self._target_checker.hasten()
        # A child that holds is inside processRecords, where the daemon cannot reach it, so the signal goes to it too.
        processes.send(processes.children(jvm), signal.SIGTERM)
        processes.send([jvm], signal.SIGTERM)

    def _restart(self, planned: PlannedRestart, level: int) -> JvmExit | None:
        """End a daemon that has not died, as gently as a stop does. Return its end; None after a signal."""
        self._record_planned_restart(planned, level)
        # A daemon without children is not killed at once either. It may hold the KCL's leader lock: if it is killed
        # the lock lasts two more minutes, in which no leader gives the shards to anybody.
        self._request_end(planned.daemon)
        event = self._wait_for_event(self._grace_s + KILL_MARGIN_S)
        if isinstance(event, JvmExit):
            return event._replace(planned=True)
        if event is not None:
            self._drain(planned.daemon)
            return None
        exited = self._kill(planned.daemon)
        return exited._replace(planned=True) if exited else None

    def _record_planned_restart(self, planned: PlannedRestart, level: int) -> None:
        """Log and count a planned restart before it happens."""
        fields = {"event": "daemon-restart-planned", "cause": planned.cause}
        log.log(level, "The KCL daemon is restarted. %s.", planned.reason, extra=fields)
        self._vitals.record_planned_restart(planned.cause)

    def _end_after_child_death(self, jvm: int) -> JvmExit | None:
        """Give the remaining children CRASH_GRACE_S, then kill the daemon. Return its end; None after a signal."""
        self._target_checker.hasten()
        processes.send(processes.children(jvm), signal.SIGTERM)
        until = time.monotonic() + CRASH_GRACE_S
        while (left_s := until - time.monotonic()) > 0 and processes.children(jvm):
            event = self._wait_for_event(min(left_s, 0.1))
            if isinstance(event, JvmExit):
                return event
            if event is not None:
                self._kill(jvm)
                return None
        return self._kill(jvm)

    def _kill(self, jvm: int) -> JvmExit | None:
        """Kill the daemon and return its end; None if a signal arrived meanwhile, so that none must be started."""
        processes.send([jvm], signal.SIGKILL)
        asked_to_stop = False
        while not isinstance(event := self._events.get(), JvmExit):
            asked_to_stop = True
        return None if asked_to_stop else event._replace(killed_by_supervisor=True)

    def _wait_to_restart(self, ended: JvmExit, ran_s: float) -> bool:
        """Wait for the backoff, with jitter. Return False if a signal arrived meanwhile.

        A planned restart of a stable daemon neither waits nor counts for the backoff. A planned restart soon after the
        start waits like a crash, since in an outage each new daemon may fail in the same way.
        """
        if ended.planned and ran_s >= STABLE_S:
            return True
        if ran_s >= STABLE_S:
            self._short_run_count = 0
        share = 0.5 + self._jitter() / 2  # at least half of the backoff, since a start costs seconds of CPU
        wait_s = backoff_s(self._short_run_count, BACKOFF_FIRST_S, BACKOFF_MAX_S, share)
        self._short_run_count += 1
        if has_larger_heap_next := ended.status == java.HEAP_FULL_EXIT_STATUS and bool(self._command_with_larger_heap):
            self._command, self._command_with_larger_heap = self._command_with_larger_heap, []
        if not ended.planned:
            log.error(
                "The KCL daemon ended: %s. It is started again, and unsettled records are read again.",
                java.describe_exit(ended, has_larger_heap_next=has_larger_heap_next),
                extra={"event": "daemon-ended", "ranS": round(ran_s, 1), "waitS": round(wait_s, 2)},
            )
        return self._wait_for_event(wait_s) is None


def _kill_for_skipping(jvm: subprocess.Popen[bytes]) -> None:
    """Kill a daemon that skips records, before a checkpoint passes them."""
    log.error(
        "The daemon skips records. It is killed and started again, so that they are read again. No event is lost.",
        extra={"event": "daemon-skips"},
    )
    jvm.kill()

"""Runs the KCL daemon, starts it again when it dies, and ends it without leaving anything.

The daemon (a JVM) leases shards and starts one child for each. A child that dies takes the JVM with it, and so every
shard of this host; so the supervisor never gives up, and waits longer each time that it happens soon again.
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

from stream_router.consumer.state_dir import ENDING, FATAL, StateDir
from stream_router.consumer.supervisor import daemon_log, java, processes
from stream_router.consumer.supervisor.java import JvmExit
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.consumer.target_check import FirstCheck, TargetChecker
from stream_router.errors import SettingsError
from stream_router.process import backoff_s, failpoint
from stream_router.telemetry.metrics_catalogue import RestartCause

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
STABLE_S = 60.0
"""A daemon that ran this long was well: the next restart does not wait for what came before."""

BEYOND_GRACE_S = 5.0
"""How long after the daemon's own grace it is killed."""

LOOK_EVERY_S = 0.5
"""How often a running daemon is looked at: whether it has begun to end by itself."""

CRASH_GRACE_S = 5.0
"""What the other shards get when one shard's child died. The daemon would wait for the dead one as long as its whole
grace lasts, with every shard of this host standing still."""

TABLE_CHECK_INTERVAL_S = 1.0
"""Seconds between two checks of a lease table that is being made."""

LAST_WORDS_S = 2.0
"""How long what the daemon wrote last is waited for; children that outlive it keep its output open."""

ORPHAN_PATIENCE_S = 2.0
"""How long children may outlive their JVM: they notice by themselves, and send nothing more."""


Happening = signal.Signals | JvmExit | FirstCheck


class PlannedRestart(NamedTuple):
    """A request to restart the daemon with this process id, although it has not died."""

    daemon: int
    cause: RestartCause
    reason: str
    """Complete sentences for the log: what is wrong, and what it means for events."""


TARGET_RESTORED = (
    "Bus and rule take our events again. What was sent since they were last found in order is read again from the "
    "checkpoint and sent again. Nothing has to be done"
)
NOT_INITIALIZED = (
    "The daemon could not initialize its lease coordinator, and may take no shard after it has failed once. No event "
    "is lost. If this line comes again and again, see the daemon's lines (`kcl`)"
)


class DaemonSupervisor:
    """Starts the JVM and keeps it running, from `run` until a signal. Everything happens on the caller's thread.

    `prepare` is called before each start: what a JVM needs may have been removed since the one before, as hosts remove
    what is old from /tmp. `roomier` starts one in place of `command` once a heap was full; empty where there is no more
    to be had. `prepare_table` is called until it returns "", before the first start: it makes the lease table, and
    returns what the start still waits for.
    """

    def __init__(
        self,
        *,
        command: list[str],
        roomier: list[str],
        environment: dict[str, str],
        state: StateDir,
        target_checker: TargetChecker,
        happenings: "queue.SimpleQueue[Happening]",
        grace_s: float,
        vitals: Vitals,
        prepare: Callable[[], object] = lambda: None,
        prepare_table: Callable[[], str] = lambda: "",
        log_format: str = "json",
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._command, self._roomier = command, roomier
        self._environment = environment
        self._state = state
        self._target_checker = target_checker
        self._happenings = happenings
        self._grace_s = grace_s
        self._prepare = prepare
        self._prepare_table = prepare_table
        self._log_format = log_format
        self._vitals = vitals
        self._jitter = jitter
        self._short_lives = 0
        self._planned: PlannedRestart | None = None
        self._daemon_log: threading.Thread | None = None

    def request_restart(self, planned: PlannedRestart) -> None:
        """Ask for a restart of one daemon, from any thread. If that daemon has ended meanwhile, nothing happens."""
        self._planned = planned

    def run(self) -> int:
        """0 after a signal. Raises SettingsError where a child, or AWS, says that the settings cannot work."""
        processes.adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: self._happenings.put(signal.Signals(received)))
        self._target_checker.start()
        try:
            return self._supervise()
        finally:
            self._target_checker.close()
            processes.end_orphans(ORPHAN_PATIENCE_S)

    def _supervise(self) -> int:
        while (happened := self._next(LOOK_EVERY_S)) is None:
            pass
        if isinstance(happened, signal.Signals):
            self._vitals.draining()
            return 0
        if isinstance(happened, FirstCheck) and happened.refusal:
            raise SettingsError(happened.refusal)
        if not self._table_is_prepared():
            self._vitals.draining()
            return 0
        while True:
            started = time.monotonic()
            ended = self._run_jvm()
            if self._daemon_log:
                self._daemon_log.join(LAST_WORDS_S)
            self._vitals.daemon_ended(planned=ended is not None and ended.planned)
            if ended is None:
                return 0
            if killed := processes.end_orphans(ORPHAN_PATIENCE_S):
                log.warning(
                    "children that outlived the daemon were killed",
                    extra={"event": "orphans-killed", "children": killed},
                )
            if line := self._state.read(FATAL).strip():
                raise SettingsError(line)
            if not self._wait_to_restart(ended, time.monotonic() - started):
                return 0

    def _table_is_prepared(self) -> bool:
        """Wait for the lease table. Return False if a signal came meanwhile. Raises SettingsError."""
        while reason := self._prepare_table():
            self._vitals.starting(reason)
            if isinstance(self._next(TABLE_CHECK_INTERVAL_S), signal.Signals):
                return False
        return True

    def _run_jvm(self) -> JvmExit | None:
        """Start the JVM and wait for its end; None where a signal asked for it."""
        try:
            jvm = self._started()
        except OSError as error:  # no process to be had, no memory: as after a death, later
            log.error(  # noqa: TRY400 - one line
                "the KCL daemon cannot be started: %s; it is tried again",
                error.strerror,
                extra={"event": "daemon-not-started"},
            )
            return JvmExit(os.EX_OSERR)
        self._vitals.daemon_runs(jvm.pid)
        started_s = time.monotonic()
        failpoint("daemon_started_before_first_look")
        while True:
            happened = self._next(LOOK_EVERY_S)
            if isinstance(happened, JvmExit):
                return happened
            if happened is not None:
                self._drain(jvm.pid)
                return None
            # A child ends by itself then if it sent events that no check covers.
            if self._target_checker.standing.line.since_s > started_s:
                return self._restart(PlannedRestart(jvm.pid, "target_restored", TARGET_RESTORED), logging.INFO)
            if self._state.read(ENDING):
                log.warning("a child ended, so does the daemon", extra={"event": "child-died", "graceS": CRASH_GRACE_S})
                return self._hasten(jvm.pid)
            if self._planned and self._planned.daemon == jvm.pid:
                return self._restart(self._planned, logging.WARNING)

    def _started(self) -> subprocess.Popen[bytes]:
        self._prepare()
        self._state.discard(ENDING)
        jvm = java.start(self._command, self._environment)
        assert jvm.stdout is not None
        not_initialized = PlannedRestart(jvm.pid, "not_initialized", NOT_INITIALIZED)
        self._daemon_log = daemon_log.follow(
            jvm.stdout,
            self._log_format,
            lambda: _kill_for_skipping(jvm),
            lambda: self.request_restart(not_initialized),
            jvm.pid,
        )
        threading.Thread(target=lambda: self._happenings.put(JvmExit(jvm.wait())), daemon=True).start()
        return jvm

    def _next(self, timeout_s: float) -> Happening | None:
        """Return what happens next, None if nothing does within `timeout_s`."""
        until = time.monotonic() + timeout_s
        while True:
            self._vitals.beat()
            left_s = until - time.monotonic()
            with contextlib.suppress(queue.Empty):
                return self._happenings.get(timeout=max(0.0, min(left_s, 0.1)))
            if left_s <= 0:
                return None

    def _drain(self, jvm: int) -> None:
        """Let the children and the daemon finish what they have; kill the daemon when its grace is over."""
        self._vitals.draining()
        self._ask_to_end(jvm)
        log.info("draining", extra={"event": "consumer-draining", "graceS": self._grace_s})
        if isinstance(happened := self._next(self._grace_s + BEYOND_GRACE_S), JvmExit):
            log.info("drained", extra={"event": "consumer-drained"})
            return
        why = "its grace is over" if happened is None else "a second signal came"
        log.warning("the daemon is killed: %s; its last records will come again", why, extra={"event": "daemon-killed"})
        self._kill(jvm)

    def _ask_to_end(self, jvm: int) -> None:
        self._target_checker.hasten()
        # A child that holds is inside processRecords, where the daemon cannot reach it: it hears it from here.
        processes.send(processes.children(jvm), signal.SIGTERM)
        processes.send([jvm], signal.SIGTERM)

    def _restart(self, planned: PlannedRestart, level: int) -> JvmExit | None:
        """End a daemon that has not died, as gently as a stop does; None after a signal."""
        self._plan(planned, level)
        # A daemon without children is not killed at once either. It may hold the KCL's leader lock: if it is killed
        # the lock lasts two more minutes, in which no leader gives the shards to anybody.
        self._ask_to_end(planned.daemon)
        happened = self._next(self._grace_s + BEYOND_GRACE_S)
        if isinstance(happened, JvmExit):
            return happened._replace(planned=True)
        if happened is not None:
            self._drain(planned.daemon)
            return None
        exited = self._kill(planned.daemon)
        return exited._replace(planned=True) if exited else None

    def _plan(self, planned: PlannedRestart, level: int) -> None:
        """Log and count a restart that is about to be made on purpose."""
        fields = {"event": "daemon-restart-planned", "cause": planned.cause}
        log.log(level, "the KCL daemon is restarted. %s", planned.reason, extra=fields)
        self._vitals.restart_planned(planned.cause)

    def _hasten(self, jvm: int) -> JvmExit | None:
        """Give the children that are left a moment, then end the daemon; None after a signal."""
        self._target_checker.hasten()
        processes.send(processes.children(jvm), signal.SIGTERM)
        until = time.monotonic() + CRASH_GRACE_S
        while (left_s := until - time.monotonic()) > 0 and processes.children(jvm):
            happened = self._next(min(left_s, 0.1))
            if isinstance(happened, JvmExit):
                return happened
            if happened is not None:
                self._kill(jvm)
                return None
        return self._kill(jvm)

    def _kill(self, jvm: int) -> JvmExit | None:
        """Kill the daemon and wait for its end; None where a signal came meanwhile: it must not be started again."""
        processes.send([jvm], signal.SIGKILL)
        asked_to_stop = False
        while not isinstance(happened := self._happenings.get(), JvmExit):
            asked_to_stop = True
        return None if asked_to_stop else happened._replace(by_us=True)

    def _wait_to_restart(self, ended: JvmExit, ran_s: float) -> bool:
        """Wait as long as the restarts before demand, with jitter; False if a signal came meanwhile.

        A planned restart of a daemon that was stable waits for nothing, and counts for nothing. A daemon that has to be
        restarted soon after its start waits like one that died: in an outage each new one may fail in the same way.
        """
        if ended.planned and ran_s >= STABLE_S:
            return True
        if ran_s >= STABLE_S:
            self._short_lives = 0
        share = 0.5 + self._jitter() / 2  # never at once: a start costs much
        wait_s = backoff_s(self._short_lives, FIRST_BACKOFF_S, LONGEST_BACKOFF_S, share)
        self._short_lives += 1
        if gets_more := ended.status == java.FULL_HEAP and bool(self._roomier):
            self._command, self._roomier = self._roomier, []
        if not ended.planned:
            log.error(
                "the KCL daemon ended: %s; it is started again",
                java.ended(ended, gets_more=gets_more),
                extra={"event": "daemon-ended", "ranS": round(ran_s, 1), "waitS": round(wait_s, 2)},
            )
        return self._next(wait_s) is None


def _kill_for_skipping(jvm: subprocess.Popen[bytes]) -> None:
    """End a daemon that skips records at once, before a checkpoint passes them: then they come again."""
    log.error(
        "the daemon skips records, so it is killed and started again: they come again", extra={"event": "daemon-skips"}
    )
    jvm.kill()

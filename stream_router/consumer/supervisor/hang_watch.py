"""Detection of a child that makes no progress, or of a daemon that calls no child: log it, then kill the daemon.

A child touches its heartbeat file in each of the daemon's callbacks, and while it waits inside one for room. A hang is
logged if the file is not touched for a minute. After three minutes the daemon is killed, which costs no more than a
crash: the supervisor starts another daemon, and the records since the last checkpoint are read again. Checks at which
the stream or the lease table did not answer do not count for the kill: in an outage no daemon can call its children,
and a new one could not either.
"""

import logging
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from stream_router.consumer.supervisor import processes
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.telemetry.merged import MergedShard

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 5.0
"""Seconds between two checks."""
LOG_AFTER_CHECKS = 11
"""Number of consecutive checks without progress after which a hang is logged: within a minute.

Checks are counted, not seconds, since a host that was suspended ran no checks either. An idle daemon calls each child
several times a second, and with the slowest reading every few seconds.
"""

KILL_AFTER_CHECKS = 36
"""Number of such checks, answered by stream and lease table, after which the daemon is killed.

Three minutes leave time to continue a process that somebody stopped.
"""

LOG_AGAIN_AFTER_CHECKS = 12
"""Number of checks between two log lines about the same hang: a minute."""


class Beat(NamedTuple):
    """Time of a child's heartbeat file, and number of consecutive checks at which that time was the same."""

    at_ns: int
    checks: int
    answered_checks: int
    """Number of those checks at which the stream and the lease table answered."""


class HangWatch:
    """Watch over the children's heartbeats. The caller runs `check` every CHECK_INTERVAL_S.

    `folder` holds a file for each child, named by its process id. `shards` returns the latest snapshot of each child.
    `services_answer` returns whether the stream and the lease table answered the latest check, `children_of` the child
    processes of a process. `kill` sends SIGKILL.
    """

    def __init__(
        self,
        folder: Path,
        vitals: Vitals,
        shards: Callable[[], Sequence[MergedShard]],
        services_answer: Callable[[], bool],
        children_of: Callable[[int], Sequence[int]] = processes.children,
        kill: Callable[[int], object] = lambda pid: processes.send([pid], signal.SIGKILL),
    ) -> None:
        self._folder = folder
        self._vitals = vitals
        self._shards = shards
        self._services_answer = services_answer
        self._children_of = children_of
        self._kill = kill
        self._beats: dict[int, Beat] = {}
        """The latest heartbeat of each child, by process id."""
        self._logged: dict[int, str] = {}
        """Name of each hanging child in the log, by process id."""

    def check(self) -> None:
        """Check once. Log children that hang or make progress again, and kill a daemon whose child hangs too long."""
        known = self._vitals.read()
        daemon = known.daemon if known.state == "running" else None
        self._beats = self._read_heartbeats(daemon) if daemon else {}
        hanging = {pid: beat.checks for pid, beat in self._beats.items() if beat.checks >= LOG_AFTER_CHECKS}
        shards = {shard.pid: shard.shard_id for shard in self._shards()} if hanging else {}
        names = {pid: f"the child of {shards[pid]}" if pid in shards else f"a child (process {pid})" for pid in hanging}
        self._vitals.record_hangs(tuple(f"{name} has not moved" for name in names.values()))
        for pid, checks in hanging.items():
            if (checks - LOG_AFTER_CHECKS) % LOG_AGAIN_AFTER_CHECKS == 0:
                _log_hang(names[pid], pid, checks)
        for pid in self._logged.keys() - hanging.keys():
            if daemon:  # otherwise the child has ended with its daemon, and a log line reports that
                log.info(
                    "%s makes progress again, or was replaced.",
                    self._logged[pid],
                    extra={"event": "consumer-hangs-no-more"},
                )
        self._logged = names
        if daemon and any(beat.answered_checks >= KILL_AFTER_CHECKS for beat in self._beats.values()):
            log.error(
                "The daemon is killed because a child hangs. It is started again, and the records since the last "
                "checkpoint are read again.",
                extra={"event": "hang-killed"},
            )
            self._kill(daemon)
            self._beats = {}  # so that the next check does not kill again

    def _read_heartbeats(self, daemon: int) -> dict[int, Beat]:
        """Return the heartbeats of the children whose file can be read, none if this process cannot write to it.

        If the supervisor cannot write there, neither can the children, and their files would check like a hang.
        """
        beats, answered = dict[int, Beat](), int(self._services_answer())
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / "supervisor").write_text("here\n")  # only to find out whether the folder can be written
            for pid in self._children_of(daemon):
                if (file := self._folder / str(pid)).exists():
                    at_ns, before = file.stat().st_mtime_ns, self._beats.get(pid)
                    beats[pid] = Beat(at_ns, 0, 0)
                    if before and before.at_ns == at_ns:
                        beats[pid] = Beat(at_ns, before.checks + 1, before.answered_checks + answered)
        except OSError:
            return {}
        return beats


def _log_hang(name: str, pid: int, checks: int) -> None:
    log.error(
        "%s has not moved for %.0f s. It is stopped, or hangs, or stream or lease table do not answer the daemon (see "
        "its lines, `kcl`). Its events wait in the stream. End it with `kill -KILL %d`. Otherwise the daemon is killed "
        "and started again after %.0f s in which stream and lease table answer.",
        name,
        CHECK_INTERVAL_S * checks,
        pid,
        CHECK_INTERVAL_S * KILL_AFTER_CHECKS,
        extra={"event": "consumer-hangs", "hangingPid": pid},
    )

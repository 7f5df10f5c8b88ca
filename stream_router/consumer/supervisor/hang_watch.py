"""Notices a child that does not go on, or a daemon that brings its children nothing: says it, and ends the daemon.

A child touches a file inside the daemon's callbacks and while it waits for room there. A file that stands still is said
after a minute; after three the daemon is killed, which costs no more than a crash: the supervisor starts another, and
the records since the last checkpoint come again. Minutes in which the stream or the lease table did not answer do not
count for the kill: in an outage no daemon can bring its children anything, and another one would not either.
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

EVERY_S = 5.0
SAID_AFTER = 11
"""Looks in a row, not seconds: where the whole host was suspended this watch did not look either. An idle daemon calls
each child several times a second, and with the slowest reading every few seconds; an operator is to hear of a hang
within a minute."""

KILLED_AFTER = 36
"""Checks with an answer of stream and lease table: three minutes, so that whoever stopped a process can continue it."""

AGAIN_AFTER = 12
"""Looks between two lines on what lasts: a minute."""


class Beat(NamedTuple):
    """The time of a child's file, and for how many checks in a row it is the same."""

    at_ns: int
    checks: int
    answered_checks: int
    """Those of `checks` at which the stream and the lease table answered."""


class HangWatch:
    """`look` every EVERY_S. `folder` has a file of each child, named by its process id.

    `shards` gives the latest word of each child, `services_answer` tells whether the stream and the lease table
    answered the latest check, `children_of` the processes that one has started. `kill` ends a process for good.
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
        """The latest sign of life of each child, by process id."""
        self._said: dict[int, str] = {}
        """Who was said to stand still: the process, and its shard in words."""

    def look(self) -> None:
        """Look once, say what stands still or goes on again, kill a daemon whose child stood still for too long."""
        known = self._vitals.known()
        daemon = known.daemon if known.state == "running" else None
        self._beats = self._beaten(daemon) if daemon else {}
        standing = {pid: beat.checks for pid, beat in self._beats.items() if beat.checks >= SAID_AFTER}
        shards = {shard.pid: shard.shard_id for shard in self._shards()} if standing else {}
        names = {
            pid: f"the child of {shards[pid]}" if pid in shards else f"a child (process {pid})" for pid in standing
        }
        self._vitals.hang(tuple(f"{name} has not moved" for name in names.values()))
        for pid, looks in standing.items():
            if (looks - SAID_AFTER) % AGAIN_AFTER == 0:
                _log_hang(names[pid], pid, looks)
        for pid in self._said.keys() - standing.keys():
            if daemon:
                log.info(
                    "%s goes on again, or was replaced", self._said[pid], extra={"event": "consumer-hangs-no-more"}
                )
        self._said = names
        if daemon and any(beat.answered_checks >= KILLED_AFTER for beat in self._beats.values()):
            log.error("the daemon is killed for it, and started again", extra={"event": "hang-killed"})
            self._kill(daemon)
            self._beats = {}

    def _beaten(self, daemon: int) -> dict[int, Beat]:
        """Return the children whose file can be read. A folder that takes nothing of ours takes nothing of theirs."""
        beats, answered = dict[int, Beat](), int(self._services_answer())
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / "supervisor").write_text("here\n")
            for pid in self._children_of(daemon):
                if (file := self._folder / str(pid)).exists():
                    at_ns, before = file.stat().st_mtime_ns, self._beats.get(pid)
                    beats[pid] = Beat(at_ns, 0, 0)
                    if before and before.at_ns == at_ns:
                        beats[pid] = Beat(at_ns, before.checks + 1, before.answered_checks + answered)
        except OSError:
            return {}
        return beats


def _log_hang(name: str, pid: int, looks: int) -> None:
    log.error(
        "%s has not moved for %.0f s: it is stopped, or hangs, or stream or lease table do not answer the daemon (see "
        "its lines, `kcl`); end it with `kill -KILL %d`; after %.0f s in which stream and lease table answer, the "
        "daemon is killed and started again, and its last records come again",
        name,
        EVERY_S * looks,
        pid,
        EVERY_S * KILLED_AFTER,
        extra={"event": "consumer-hangs", "hangingPid": pid},
    )

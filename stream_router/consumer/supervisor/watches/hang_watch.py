"""Notices a daemon or a child that lives and does not go on: says it, and replaces what is stopped for good.

A child that is stuck in a callback ends itself after two minutes (`consumer/child/__main__.py`). One that is stopped by
a signal cannot, and its daemon goes on renewing its lease, so that its shard would stand for good; a stopped daemon
loses its leases to others and takes none up. To kill either is no more than a crash: the records since the last
checkpoint come again. All else that looks like a hang may be a full disk or a stream that cannot be read, which a
restart would not mend: that is only said.
"""

import logging
import signal
from collections.abc import Callable, Iterator, Sequence

from stream_router.consumer.supervisor import processes
from stream_router.consumer.supervisor.vitals import Hang, Vitals
from stream_router.telemetry.shards.merged_shards import Shard

log = logging.getLogger(__name__)

EVERY_S = 5.0
SAID_AFTER = 7
"""Looks in a row, not seconds: where the whole host was suspended this watch did not look either. A child writes a word
every two seconds, and an operator is to hear of a hang within a minute."""

REPLACED_AFTER = 36
"""Three minutes: longer than a stuck child's own watchdog takes, and time for whoever stopped it to say go on."""

AGAIN_AFTER = 12
"""Looks between two lines on what lasts: a minute."""

UNCALLED_S = 15.0
"""An idle daemon calls each child several times a second, and with the slowest reading every few seconds."""

_STOPPED = ("T", "t")

_CURES = {
    "stopped": "continue it with `kill -CONT {pid}`, or end it with `kill -KILL {pid}` and it is started again; "
    "one that SIGSTOP stopped is killed after {replaced_s:.0f} s, and its last records come again",
    "silent": "it hangs, or STREAM_ROUTER_STATE_DIR takes nothing: make room there, or end it with `kill -KILL {pid}` "
    "and it is started again",
    "uncalled": "it hangs, or stream or lease table do not answer it: see its lines (`kcl`); without any, restart "
    "`consume`",
}


class HangWatch:
    """`look` every EVERY_S. `shards` gives the latest word of each child, `state_of` a process's letter.

    `children_of` gives the processes that one has started: a child's word outlives it, and the kernel gives its process
    id to others. `kill` ends a process for good; the supervisor sees to the rest as after any crash.
    """

    def __init__(
        self,
        vitals: Vitals,
        shards: Callable[[], Sequence[Shard]],
        children_of: Callable[[int], Sequence[int]],
        state_of: Callable[[int], str],
        kill: Callable[[int], object],
    ) -> None:
        self._vitals = vitals
        self._shards = shards
        self._children_of = children_of
        self._state_of = state_of
        self._kill = kill
        self._words: dict[int, tuple[float, float]] = {}
        self._looks: dict[Hang, int] = {}
        self._said: set[Hang] = set()

    def look(self) -> None:
        """Look once, say what hangs or goes on again, kill what has been stopped for too long."""
        known = self._vitals.known()
        running = known.state == "running"
        found = list(self._found(known.daemon)) if known.daemon and running else []
        self._looks = {hang: self._looks.get(hang, 0) + 1 for hang in found}
        hangs = tuple(hang for hang, looks in self._looks.items() if looks >= SAID_AFTER)
        self._vitals.hang(hangs)
        self._tell(hangs, over=running)
        for hang in hangs:
            if hang.kind == "stopped" and self._looks[hang] >= REPLACED_AFTER and self._state_of(hang.pid) == "T":
                log.error(
                    "%s stays stopped and is killed; the daemon is started again",
                    hang.process,
                    extra={"event": "consumer-stopped-killed"},
                )
                self._kill(hang.pid)
                self._looks[hang] = 0

    def _found(self, daemon: int) -> Iterator[Hang]:
        """What does not go on at this look, and did not at the one before."""
        if daemon_stopped := self._state_of(daemon) in _STOPPED:
            yield Hang("", daemon, "stopped")
        before, self._words = self._words, {}
        children = self._children_of(daemon)
        for shard in self._shards():
            if shard.pid not in children:
                continue
            pid, awaits_s = shard.pid, shard.number("awaitsDaemonS") or 0.0
            word = self._words[pid] = (shard.at_s, awaits_s)
            if self._state_of(pid) in _STOPPED:
                yield Hang(shard.shard_id, pid, "stopped")
            elif pid in before and word[0] == before[pid][0]:
                yield Hang(shard.shard_id, pid, "silent")
            elif pid in before and not daemon_stopped and awaits_s >= UNCALLED_S and awaits_s > before[pid][1]:
                yield Hang(shard.shard_id, pid, "uncalled")

    def _tell(self, hangs: tuple[Hang, ...], *, over: bool) -> None:
        for hang in hangs:
            if (self._looks[hang] - SAID_AFTER) % AGAIN_AFTER == 0:
                told_s = EVERY_S * self._looks[hang]
                cure = _CURES[hang.kind].format(pid=hang.pid, replaced_s=max(0.0, REPLACED_AFTER * EVERY_S - told_s))
                extra = {"shard": hang.shard, "hangingPid": hang.pid, "hangs": hang.kind}
                log.error(
                    "%s, for %.0f s at least: %s",
                    hang.problem,
                    told_s,
                    cure,
                    extra={"event": "consumer-hangs", **extra},
                )
        for hang in self._said - {*hangs}:
            if over:
                log.info("%s goes on again, or was replaced", hang.process, extra={"event": "consumer-hangs-no-more"})
        self._said = {*hangs}


def of(vitals: Vitals, shards: Callable[[], Sequence[Shard]]) -> HangWatch:
    """The watch over the processes of this host."""
    return HangWatch(
        vitals, shards, processes.children, processes.state, lambda pid: processes.send([pid], signal.SIGKILL)
    )

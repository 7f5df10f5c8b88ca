"""What changes a fleet: a worker joins, is killed for good, leaves; a shard is split, two are merged; an upgrade."""

import time

from tests.fault.lane.acts import FaultActor
from tests.fault.lane.chaos import Step
from tests.fault.lane.evidence import Act
from tests.fault.lane.world import STREAM

TAKEN_OVER_WITHIN_S = 180.0
OWNS_WITHIN_S = 240.0
"""The two minutes of the KCL's leader lock, and some looks of the leader."""


class FleetActor(FaultActor):
    """Actor that can do these too."""

    def _join(self, _: Step) -> None:
        begun = time.time()
        self.start("two")
        if self._share():
            self.note("join", begun, "two")

    def _takeover(self, _: Step) -> None:
        """The worker that does not lead is killed and stays dead until the other has all its shards."""
        victim, survivor = self._follower()
        begun = time.time()
        shards = {shard for shard, owner in self.world.leases().items() if owner == victim}
        self.end(victim)
        self.acts.append(_act("kill worker", begun, victim))

        def all_taken() -> bool:
            leases = self.world.leases()
            return {leases.get(one, survivor) for one in shards} == {survivor}

        if shards and self.wait(all_taken, TAKEN_OVER_WITHIN_S):
            self.note("takeover", begun, f"{len(shards)} shards of {victim} after {time.time() - begun:.1f} s")
        self.start(victim)

    def _leave(self, _: Step) -> None:
        """A worker leaves by SIGTERM, the other has all; it comes back."""
        victim, survivor = self._follower()
        begun = time.time()
        self.terminate(victim)
        self.acts.append(_act("restart worker", begun, victim))
        if self.wait(lambda: set(self.world.leases().values()) == {survivor}, TAKEN_OVER_WITHIN_S):
            self.note("leave", begun, victim)
        self.start(victim)

    def _rolling_restart(self, _: Step) -> None:
        """Everything is restarted, one after the other, as an upgrade does."""
        begun = time.time()
        for name in ["receiver", *self.workers]:
            told = time.time()
            self.terminate(name)
            if name == "receiver":
                self.acts.append(_act("restart receiver", told))
                self.start(name)
                self.wait(self.world.is_ready, 30)
            else:
                self.acts.append(_act("restart worker", told, name))
                self.start(name)
                self.wait(lambda name=name: bool(self.world.pids(name, "child")), OWNS_WITHIN_S)  # type: ignore[misc]
        self.note("rolling restart", begun)

    def _split(self, _: Step) -> None:
        begun = time.time()
        open_now = self.world.open_shards()
        first = next(one for one in self.world.shards() if one["ShardId"] == open_now[0])
        low, high = (int(first["HashKeyRange"][key]) for key in ("StartingHashKey", "EndingHashKey"))
        middle = str((low + high) // 2)
        self.world.kinesis.split_shard(StreamName=STREAM, ShardToSplit=open_now[0], NewStartingHashKey=middle)
        self._split_shard = open_now[0]
        self.note("split", begun, open_now[0])

    def _merge(self, _: Step) -> None:
        begun = time.time()
        halves = [one["ShardId"] for one in self.world.shards() if one.get("ParentShardId") == self._split_shard]
        self.world.kinesis.merge_shards(StreamName=STREAM, ShardToMerge=halves[0], AdjacentShardToMerge=halves[1])
        self.note("merge", begun, " ".join(halves))

    def _share(self) -> bool:
        """Both workers have leases.

        The KCL's leader gives the one of what the other has; after a kill of the leader there is none for two minutes.
        """

        def both_own() -> bool:
            return set(self.workers) <= set(self.world.leases().values())

        return self.wait(both_own, OWNS_WITHIN_S)

    def _follower(self) -> tuple[str, str]:
        """The worker that does not lead, and the other; both have leases where that comes in time."""
        self._share()
        self.wait(lambda: self.world.leader() in self.workers, 30)
        leader = self.world.leader() or self.workers[0]
        return next(one for one in self.workers if one != leader), leader


def _act(family: str, begun: float, *workers: str) -> Act:
    return Act(family, begun, time.time(), "", workers)

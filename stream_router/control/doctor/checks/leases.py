"""Checks of the lease table: of this stream, every shard read by somebody, and whoever reads it lives."""

from collections.abc import Mapping
from typing import Any

from stream_router.checks import aws_checks
from stream_router.checks.finding import Finding, Question, Verdict, ask
from stream_router.consumer.supervisor.watches.unread_shards import (
    SHARD_END,
    Lease,
    Look,
    StreamShard,
    without_owner,
)
from stream_router.control.doctor.say import ok, skipped, warn, wrong
from stream_router.control.doctor.world import World

APPLICATION = "STREAM_ROUTER_APPLICATION"
LOOKS_AFTER_S = (1.0, 2.0, 4.0)
"""A worker renews its leases three times within failoverTimeMillis (10 s): after 7 s each has moved."""


def of_this_stream(world: World) -> Finding:
    """SR105: the application's checkpoints are of this stream."""
    found = aws_checks.lease_table(world.session, world.settings.application, world.settings.stream)
    if found.verdict is not Verdict.WELL or not (shard := _older_than_its_shard(world)):
        return found
    says = f"the checkpoint of {shard} is from before that shard: of another stream, or of one deleted since"
    cure = "give each stream an application of its own, or delete its lease table to read this stream anew"
    return wrong("SR105", APPLICATION, says, cure)


def _older_than_its_shard(world: World) -> str:
    """A shard with a checkpoint below its first number, which no event of it can have; "" where there is none."""
    begins = {one["ShardId"]: one["SequenceNumberRange"] for one in world.maybe(world.shards) or []}
    for row in world.maybe(world.leases) or []:
        first = begins.get(_shard(row), {}).get("StartingSequenceNumber", "")
        at = row["checkpoint"].get("S", "")
        if first.isdigit() and at.isdigit() and int(at) < int(first):
            return _shard(row)
    return ""


def owners(world: World) -> Finding:
    """SR160: every shard that is to be read now has a lease with an owner, as the supervisor judges one look."""
    none = {"ResourceNotFoundException": ("there is none yet", "")}
    refused, rows = ask(Question("SR160", APPLICATION, "the lease table", world.leases, none))
    if refused:
        if refused.says.startswith("there is none"):
            return skipped("SR160", "no lease table yet: `consume` was never started")
        return refused
    shards = world.maybe(world.shards)
    if shards is None:
        return skipped("SR160", "waits for SR101")
    look = Look(world.now_s(), [StreamShard.of(one) for one in shards], {_shard(row): Lease.of(row) for row in rows})
    if unread := sorted(without_owner(look)):
        says = f"{len(unread)} of {len(shards)} shards are read by nobody ({unread[0]})"
        return wrong("SR160", APPLICATION, says, "start `stream-router consume`; its log says why it takes no lease")
    held = {name: lease.owner for name, lease in look.leases.items() if lease.checkpoint != SHARD_END}
    if stray := sorted(held.keys() - {one.shard_id for one in look.shards}):
        says = f"lease {stray[0]} is of no shard of this stream"
        return warn("SR160", APPLICATION, says, "give each stream an application of its own")
    return ok("SR160", f"{len(held)} leases, {len(set(held.values()))} workers")


def _shard(row: Mapping[str, Any]) -> str:
    return str(row["leaseKey"]["S"])


def renewed(world: World) -> Finding:
    """SR161: owners renew their leases: one that does not is dead, and its shard waits to be taken over."""
    rows = world.maybe(world.leases)
    held = {_shard(row): _counter(row) for row in rows or [] if row.get("leaseOwner", {}).get("S")}
    held = {shard: counter for shard, counter in held.items() if counter}
    if not held:
        return skipped("SR161", "waits for SR160")
    still, refused = dict(held), None
    for look, after_s in enumerate(LOOKS_AFTER_S, 1):
        world.wait(after_s)
        question = Question("SR161", APPLICATION, "the lease table", lambda look=look: world.leases(look), {})  # type: ignore[misc]
        refused, again = ask(question)
        if refused:
            continue
        now = {_shard(row): _counter(row) for row in again}
        still = {shard: counter for shard, counter in still.items() if now.get(shard) == counter}
        if not still:
            return ok("SR161", f"{len(held)} leases move")
    if refused:  # the last look: before it not each worker has had the time to renew
        return refused
    says = f"{len(still)} of {len(held)} leases are not renewed ({min(still)}): their worker is dead, or hangs"
    return wrong("SR161", APPLICATION, says, "look at its host and log; another worker takes them over in some seconds")


def _counter(row: Mapping[str, Any]) -> str:
    """What moves with each renewal; a lease at its end is renewed no more."""
    if row["checkpoint"].get("S") == SHARD_END:
        return ""
    return f"{row.get('leaseCounter', {}).get('N', '')} {row.get('leaseOwner', {}).get('S', '')}"

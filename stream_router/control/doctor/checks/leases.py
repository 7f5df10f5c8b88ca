"""Checks of the lease table: of this stream, every shard read by somebody, and whoever reads it lives."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from stream_router.checks import aws_checks
from stream_router.checks.finding import Finding, Question, Verdict, ask
from stream_router.consumer.supervisor.watches.unread_shards import (
    NO_OWNER,
    SHARD_END,
    STANDS_STILL,
    Lease,
    Look,
    StreamShard,
    unread,
    without_owner,
)
from stream_router.control.doctor.say import ok, skipped, warn, wrong
from stream_router.control.doctor.world import World
from stream_router.errors import ABSENT

APPLICATION, STREAM = "STREAM_ROUTER_APPLICATION", "STREAM_ROUTER_STREAM"
LOOKS_AFTER_S = (1.0, 2.0, 4.0)
"""A worker renews its leases three times within failoverTimeMillis (10 s): after 7 s each has moved."""

NAMED = 5
"""Workers that are named: among a few a stranger is seen."""


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
    """SR160: every shard that is to be read now has a lease with an owner."""
    none = dict.fromkeys(ABSENT, ("there is none yet", ""))
    refused, rows = ask(Question("SR160", APPLICATION, "the lease table", world.leases, none))
    if refused:
        if refused.says.startswith("there is none"):
            says = "there is no lease table: `consume` was never started under this name, or the table was deleted"
            return warn("SR160", APPLICATION, says, "start `stream-router consume`; one that runs has to be restarted")
        return refused
    gone = dict.fromkeys(ABSENT, ("there is no such stream", ""))
    refused, _ = ask(Question("SR160", STREAM, "its shards", world.shards, gone))
    if refused:
        return refused if refused.cure else skipped("SR160", "waits for SR101")
    return _owned(world, _look(world, rows))


def _owned(world: World, look: Look) -> Finding:
    if without_owner(look):
        refused, unread_shards, look = _stays(world, "SR160", NO_OWNER, look)
        if refused:
            return refused
        if unread_shards:
            says = f"{len(unread_shards)} of {len(look.shards)} shards are read by nobody ({min(unread_shards)})"
            cure = "start `stream-router consume`; its log says why it takes no lease"
            return wrong("SR160", APPLICATION, says, cure)
    held = {name: lease.owner for name, lease in look.leases.items() if lease.checkpoint != SHARD_END}
    if stray := sorted(held.keys() - {one.shard_id for one in look.shards}):
        says = f"lease {stray[0]} is of no shard of this stream"
        return warn("SR160", APPLICATION, says, "give each stream an application of its own")
    workers = sorted({*held.values()} - {""})
    more = f" and {len(workers) - NAMED} more" if len(workers) > NAMED else ""
    return ok("SR160", f"{len(held)} leases, {len(workers)} workers: {', '.join(workers[:NAMED])}{more}")


def renewed(world: World) -> Finding:
    """SR161: owners renew their leases: one that does not is dead, and its shard waits to be taken over."""
    rows = world.maybe(world.leases) or []
    held = [row for row in rows if row.get("leaseOwner", {}).get("S") and row["checkpoint"].get("S") != SHARD_END]
    if not held or world.maybe(world.shards) is None:
        return skipped("SR161", "waits for SR160")
    refused, still, _ = _stays(world, "SR161", STANDS_STILL, _look(world, rows))
    if refused:
        return refused
    if not still:
        return ok("SR161", f"{len(held)} leases move")
    says = f"{len(still)} of {len(held)} leases are not renewed ({min(still)}): their worker is dead, or hangs"
    return wrong("SR161", APPLICATION, says, "look at its host and log; another worker takes them over in some seconds")


def _stays(world: World, code: str, why: str, first: Look) -> tuple[Finding | None, set[str], Look]:
    """The shards that are unread for this reason at every look, by the supervisor's own judge of two; the latest look.

    A finding where the last look is refused: before it not each worker has had the time to renew.
    """
    left, latest, refused = {one.shard_id for one in first.shards}, first, None
    for number, after_s in enumerate(LOOKS_AFTER_S, 1):
        world.wait(after_s)
        question = Question(code, APPLICATION, "the lease table", functools.partial(world.leases, number), {})
        refused, rows = ask(question)
        if refused:
            continue
        latest = _look(world, rows)
        left &= {one.shard for one in unread(latest, first) if one.why == why}
        if not left:
            break
    return refused, left, latest


def _look(world: World, rows: Sequence[Mapping[str, Any]]) -> Look:
    shards = [StreamShard.of(one) for one in world.shards()]
    return Look(world.now_s(), shards, {_shard(row): Lease.of(row) for row in rows})


def _shard(row: Mapping[str, Any]) -> str:
    return str(row["leaseKey"]["S"])

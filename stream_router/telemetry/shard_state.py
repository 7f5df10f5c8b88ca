"""State of a shard, from its child's latest snapshot: its lag, and its condition.

The age of the snapshot counts: a child that is stopped writes no more snapshots, and its lag grows all the same.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from stream_router.telemetry.merged import MergedShard
from stream_router.telemetry.verdict import Code, Condition

RECENT_CALLBACK_S = 10.0
"""Seconds since the last callback up to which a shard may count as caught up (docs/metrics.md, "Lag")."""

KEEPS_UP_AGE_S = 10.0
"""Age of the oldest unsettled event up to which a shard keeps up: a busy shard always has pending events."""


class Lag(NamedTuple):
    """Lag of a shard in seconds; None if the child does not report it."""

    oldest_age_s: float | None
    """Age of the oldest unsettled event since its receipt; 0.0 only if the shard is caught up."""
    arrived_ago_s: float | None
    """Age of the oldest unsettled event since its arrival in the stream, which counts for the stream's retention."""
    caught_up: bool
    """Whether the shard is caught up by the contract: a callback within 10 s, nothing unsettled, nothing unread."""


def lag(shard: MergedShard, now_s: float) -> Lag:
    """Return the lag of a shard at `now_s` (epoch seconds), from its child's latest snapshot."""
    callback_ago_s, caught_up_ago_s = shard.number("callbackAgoS"), shard.number("caughtUpAgoS")
    if callback_ago_s is None or caught_up_ago_s is None:
        return Lag(oldest_age_s=None, arrived_ago_s=None, caught_up=False)
    snapshot_age_s = max(0.0, now_s - shard.snapshot.at_s)
    callback_ago_s += snapshot_age_s
    # At the last callback the shard was `behind_s` behind the stream's newest record, and that record is older now.
    behind_s = shard.number("behindS")
    unread_s = behind_s + callback_ago_s if behind_s else None
    received_ms, arrived_ms = shard.number("oldestReceivedMs"), shard.number("oldestArrivedMs")
    if received_ms is None and behind_s is None:
        # The daemon has not called this child yet, so only the child's wait for that call is known.
        return Lag(
            oldest_age_s=callback_ago_s if callback_ago_s > RECENT_CALLBACK_S else None,
            arrived_ago_s=None,
            caught_up=False,
        )
    if received_ms is None and unread_s is None:
        # Nothing is unsettled, and nothing was unread at the last callback. Since then there may be unread records.
        if callback_ago_s <= RECENT_CALLBACK_S:
            return Lag(oldest_age_s=0.0, arrived_ago_s=0.0, caught_up=True)
        return Lag(
            oldest_age_s=caught_up_ago_s + snapshot_age_s,
            arrived_ago_s=caught_up_ago_s + snapshot_age_s,
            caught_up=False,
        )
    return Lag(_oldest(now_s, received_ms, unread_s), _oldest(now_s, arrived_ms, unread_s), caught_up=False)


def _oldest(now_s: float, at_ms: float | None, unread_s: float | None) -> float:
    """Return the greater age: that of an event of the time `at_ms`, or `unread_s`. An unknown age counts as 0."""
    since_s = 0.0 if at_ms is None else max(0.0, now_s - at_ms / 1000)
    return max(since_s, unread_s or 0.0)


def condition(shard: MergedShard, shard_lag: Lag, now_s: float) -> Condition | None:
    """Return the state of a shard at `now_s` (epoch seconds), None if it is well."""
    if shard.holding:
        held_s = shard.number("holdingS")
        since_s = None if held_s is None else shard.snapshot.at_s - held_s
        return Condition(Code.HOLDING, str(shard.snapshot.states.get("holdReason") or shard.holding), since_s)
    if shard.snapshot.states.get("careful"):
        return Condition(
            Code.CAREFUL,
            "its child died repeatedly at one place, and opens one event at a time until that place is passed",
        )
    if raised := shard.many_dead_letters:
        return Condition(
            Code.MANY_DEAD_LETTERS, f"in one minute {describe_many_dead_letters(raised)}", float(raised["sinceS"])
        )
    if shard.snapshot.states.get("full"):
        return Condition(Code.BACK_PRESSURE, "the window is full; the events in flight are being settled")
    if shard_lag.oldest_age_s is not None and shard_lag.oldest_age_s <= KEEPS_UP_AGE_S:
        return None
    why = _why_late(shard, now_s)
    if shard_lag.oldest_age_s is None and not why:
        return Condition(Code.STARTING, "the daemon has brought no records yet")
    return Condition(Code.CATCHING_UP, why or "events wait for longer than 10 s")


def _why_late(shard: MergedShard, now_s: float) -> str:
    """Return words on a child that does not report, or a daemon that brings no records; "" if both are active."""
    silent_s = max(0.0, now_s - shard.snapshot.at_s)
    if silent_s > RECENT_CALLBACK_S:
        return (
            f"its child has not reported for {silent_s:.0f} s: it hangs, or STREAM_ROUTER_STATE_DIR cannot be written"
        )
    uncalled_s = (shard.number("callbackAgoS") or 0.0) + silent_s
    if uncalled_s > RECENT_CALLBACK_S:
        return f"the daemon has brought no records for {uncalled_s:.0f} s"
    return ""


def describe_many_dead_letters(raised: Mapping[str, Any]) -> str:
    """Return words on the alarm: the number of dead letters, and the reason, source and type of most of them."""
    source = f" from the source {raised['source']}" if raised["source"] else ""
    event_type = f" of the type {raised['event_type']}" if raised["event_type"] else ""
    return (
        f"{raised['letters']} events became dead letters and {raised['accepted']} were accepted; most are"
        f" {raised['reason']}{source}{event_type}"
    )

"""What is so with a shard at a moment, from what its child last said: its lag, and its state in a word.

The child's word ages: a child that is stopped says nothing more, and its lag grows all the same.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from stream_router.telemetry.merged import Shard

CALLBACK_WITHIN_S = 10.0
"""A shard without a callback for longer is not known to be caught up (docs/metrics.md, "Lag")."""

YOUNG_S = 10.0
"""A shard whose oldest unsettled event is younger keeps up: something is always under way on a busy shard."""

CURES = (
    "Wrong sender: nothing to do here. Wrong setting: mend it and restart consume, then stream-router replay --since"
    " TIME, or dlq redrive"
)
"""What to do about many dead letters, for the pages."""

State = Literal["caught up", "catching up", "back-pressure", "holding", "careful", "many dead letters"]


class Lag(NamedTuple):
    """How far a shard is behind. Seconds; None where the child tells nothing."""

    oldest_age_s: float | None
    """Age of the oldest event that is not settled, since it was received; 0.0 only where the shard is caught up."""
    arrived_ago_s: float | None
    """The same since it arrived in the stream: what counts against the stream's retention."""
    caught_up: bool
    """By the contract: a callback within 10 s, nothing unsettled, nothing behind it in the stream."""


def lag(shard: Shard, now_s: float) -> Lag:
    """The lag at `now_s` (epoch seconds)."""
    callback_ago_s, caught_up_ago_s = shard.number("callbackAgoS"), shard.number("caughtUpAgoS")
    if callback_ago_s is None or caught_up_ago_s is None:
        return Lag(None, None, caught_up=False)
    said_ago_s = max(0.0, now_s - shard.told.at_s)
    callback_ago_s += said_ago_s
    behind_s = shard.number("behindS")
    unread_s = behind_s + callback_ago_s if behind_s else None
    received_ms, arrived_ms = shard.number("oldestReceivedMs"), shard.number("oldestArrivedMs")
    if received_ms is None and behind_s is None:
        # Never called: what waits in the stream is not known, only for how long the child waits.
        return Lag(callback_ago_s if callback_ago_s > CALLBACK_WITHIN_S else None, None, caught_up=False)
    if received_ms is None and unread_s is None:
        if callback_ago_s <= CALLBACK_WITHIN_S:
            return Lag(0.0, 0.0, caught_up=True)
        return Lag(caught_up_ago_s + said_ago_s, caught_up_ago_s + said_ago_s, caught_up=False)
    return Lag(_oldest(now_s, received_ms, unread_s), _oldest(now_s, arrived_ms, unread_s), caught_up=False)


def _oldest(now_s: float, at_ms: float | None, unread_s: float | None) -> float:
    since_s = 0.0 if at_ms is None else max(0.0, now_s - at_ms / 1000)
    return max(since_s, unread_s or 0.0)


def state(shard: Shard, known: Lag, now_s: float) -> tuple[State, str | None, float | None]:
    """The state in a word, why in words, and since when (epoch seconds) where that is known."""
    if shard.holding:
        held_s = shard.number("holdingS")
        since_s = None if held_s is None else shard.told.at_s - held_s
        return "holding", str(shard.told.states.get("holdReason") or shard.holding), since_s
    if shard.told.states.get("careful"):
        return "careful", "its child died again and again at one place: one event at a time until it is past it", None
    if raised := shard.many_dead_letters:
        return "many dead letters", f"in one minute {many_in_words(raised)}. {CURES}", float(raised["sinceS"])
    if shard.told.states.get("full"):
        return "back-pressure", "the window is full, and what is under way is being settled", None
    late = known.oldest_age_s is None or known.oldest_age_s > YOUNG_S
    silent_s = max(0.0, now_s - shard.told.at_s)
    if late and silent_s > CALLBACK_WITHIN_S:
        why = f"its child has said nothing for {silent_s:.0f} s: it hangs, or STREAM_ROUTER_STATE_DIR takes nothing"
        return "catching up", why, None
    uncalled_s = (shard.number("callbackAgoS") or 0.0) + silent_s
    if late and uncalled_s > CALLBACK_WITHIN_S:
        return "catching up", f"the daemon has brought nothing for {uncalled_s:.0f} s", None
    unread = known.oldest_age_s is None
    why = "the daemon has brought nothing yet" if unread else "events wait for longer than 10 s"
    return ("catching up", why, None) if late else ("caught up", None, None)


def many_in_words(raised: Mapping[str, Any]) -> str:
    """Say how many events became dead letters, and which reason, source and type most of them have."""
    source = f" from the source {raised['source']}" if raised["source"] else ""
    event_type = f" of the type {raised['event_type']}" if raised["event_type"] else ""
    return (
        f"{raised['letters']} events became dead letters and {raised['accepted']} were accepted; most are"
        f" {raised['reason']}{source}{event_type}"
    )

"""What `replay` says at its end: how many of which type, what was left out, what failed, from where on to go on."""

from collections import Counter

from stream_router.control.lines import count_of
from stream_router.control.replay.choice import Choice
from stream_router.control.replay.publishing import Publishing
from stream_router.log import plain

MOST_LISTED = 50


def lines(publishing: Publishing, left_out: Counter[str], replay_id: str, go_on: str) -> list[str]:
    """The summary, line by line; `go_on` is the command that publishes what is left, "" where nothing is."""
    made = [f"published {count_of(publishing.published, 'event')} as {replay_id}"]
    made += [f"  {count:>10,}  {name}" for name, count in publishing.types.most_common()]
    made += [f"left out {count:,}: {why}" for why, count in left_out.most_common()]
    for why, count in publishing.failed.most_common():
        made.append(f"failed {count:,}: {why}; no dead letter was written")
    for one in publishing.failures[:MOST_LISTED]:
        made.append(f"  {one.event_id}  {one.shard_id} {one.sequence_number} line {one.line}")
        made.append(f"      {one.reason} ({one.code}): {one.message}")
    if sum(publishing.failed.values()) > MOST_LISTED:
        made.append(f"  and {sum(publishing.failed.values()) - MOST_LISTED:,} more")
    if go_on:
        made.append(f"not all: {publishing.ended_because}")
        made.append(f"go on with: {go_on}")
    return made


def unmet(choice: Choice) -> list[str]:
    """Each id that was asked for and of which nothing is taken, with why, or with what tells where it is."""
    made = []
    for one in sorted(choice.unmet):
        why = choice.why_unmet.get(one)
        lost = f"not in this span, up to the checkpoint: {one}; see stream-router find {one}"
        made.append(plain(f"left out though asked for: {one}: {why}") if why else lost)
    return made

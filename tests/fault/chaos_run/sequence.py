"""The judge's rules on sequence: what a checkpoint may be past, and in which order a conversation may come out."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator

from tests.fault.chaos_run.copies import HAND_OFF_S, Charged
from tests.fault.chaos_run.evidence import Broken, Delivery, Evidence, Letter, Record

CLOCK_SLACK_S = 0.005
"""What two processes' readings of one clock may differ by."""


def checkpoints(evidence: Evidence) -> Iterator[Broken]:
    """At the moment of each write everything up to it was settled, and the caller told so."""
    settled = settled_at(evidence)
    for shard, records in by_shard(evidence.stream).items():
        sequences = [record.sequence for record in records]
        latest: list[tuple[float, str]] = []
        for record in records:
            own = max((settled.get(item, float("inf")), item) for item in record.ids)
            latest.append(max(own, latest[-1]) if latest else own)
        seen: set[str] = set()
        for checkpoint in evidence.checkpoints:
            if (
                checkpoint.shard != shard
                or checkpoint.position in seen
                or not (checkpoint.position.isdigit() or checkpoint.position == "SHARD_END")
            ):
                continue
            seen.add(checkpoint.position)
            upto = (
                bisect_right(sequences, int(checkpoint.position)) if checkpoint.position.isdigit() else len(sequences)
            )
            if upto and latest[upto - 1][0] > checkpoint.at + CLOCK_SLACK_S:
                when, event_id = latest[upto - 1]
                late = "never" if when == float("inf") else f"{when - checkpoint.at:.3f} s later"
                text = f"{shard} was checkpointed at {checkpoint.position}; settled {late}"
                yield Broken("checkpoint past an unsettled record", event_id, text)


def order(evidence: Evidence, charged: list[Charged]) -> Iterator[Broken]:
    """Each conversation's events were first accepted in the stream's order, and none while an earlier one was open.

    A replay (after a kill, a moved lease, or of what is stored twice) may go back. A copy for an answer that was lost
    may not: until its event was settled nothing later of its conversation was to be sent. Of an event that is stored
    more than once nobody can tell which of its places a copy came from. After a lease's move the child before may be
    sending too, and order is promised within one child's life.
    """
    place = _places(evidence.stream)
    stored = Counter(event_id for record in evidence.stream for event_id in record.ids)
    causes = {(event.event_id, event.at): event.cause for event in charged}
    furthest: dict[tuple[str, str], tuple[int, str]] = {}
    taken: dict[tuple[str, str], list[tuple[int, str]]] = {}
    latest: dict[str, int] = {}
    moved: dict[str, float] = {}
    for delivery in evidence.deliveries:
        if delivery.event_id not in place or (sent := evidence.sent.get(delivery.event_id)) is None:
            continue
        shard, at = place[delivery.event_id]
        key, cause = (shard, sent.conversation), causes.get((delivery.event_id, delivery.at))
        log = taken.setdefault(key, [])
        later = furthest.get(key, (-1, "")) if cause is None else (-1, "")
        if cause == "lease move":
            moved[shard] = delivery.at
        is_one_childs = delivery.at > moved.get(shard, 0.0) + HAND_OFF_S
        if cause and cause.startswith("answer") and stored[delivery.event_id] == 1 and is_one_childs:
            later = max(log[latest[delivery.event_id] :], default=(-1, ""))
        if later[0] > at:
            yield Broken(
                "out of order", delivery.event_id, f"accepted after {later[1]}, which stands behind it in {shard}"
            )
        if cause is None:
            furthest[key] = max(furthest.get(key, (-1, "")), (at, delivery.event_id))
        log.append((at, delivery.event_id))
        latest[delivery.event_id] = len(log)


def _places(stream: list[Record]) -> dict[str, tuple[str, int]]:
    """Where each event stands first: its shard, and its place there."""
    place: dict[str, tuple[str, int]] = {}
    for shard, records in by_shard(stream).items():
        ids = (event_id for record in records for event_id in record.ids)
        for number, event_id in enumerate(ids):
            place.setdefault(event_id, (shard, number))
    return place


def settled_at(evidence: Evidence) -> dict[str, float]:
    """When the caller was first told that an event is settled."""
    result: dict[str, float] = {}
    ends: list[Delivery | Letter] = [*evidence.deliveries, *evidence.letters]
    for end in ends:
        if end.is_answered:
            result[end.event_id] = min(end.at, result.get(end.event_id, float("inf")))
    return result


def fell(stream: list[Record]) -> int:
    """How often a record's number is below that of the one before it in its shard, which real Kinesis does not do.

    ministack makes them of the wall clock. The KCL reads by place, and all rules here go by number.
    """
    latest: dict[str, int] = {}
    times = 0
    for record in stream:
        times += record.sequence < latest.get(record.shard, 0)
        latest[record.shard] = record.sequence
    return times


def by_shard(stream: list[Record]) -> dict[str, list[Record]]:
    """The records of each shard in their order."""
    result: dict[str, list[Record]] = {}
    for record in stream:
        result.setdefault(record.shard, []).append(record)
    return {shard: sorted(records, key=lambda record: record.sequence) for shard, records in result.items()}

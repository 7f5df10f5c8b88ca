"""The judge: a pure function from what a run left behind to a verdict. Every rule has a name that the table shows."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.fault.chaos_run import sequence
from tests.fault.chaos_run.copies import Charged, Copies
from tests.fault.chaos_run.evidence import Broken, Delivery, Evidence

ALIVE_WITHIN_S = 30.0

REASONS = {
    "poison": {"schema_mismatch", "unroutable"},
    "sick": {"retries_exhausted", "crashed"},
    "good": {"crashed"},
}
"""Why an event of each kind may be buried: a good one only where it was at work at two deaths in a row."""


@dataclass
class Verdict:
    """What the judge found."""

    broken: list[Broken] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    """Faults that were chosen and hardly bit: such a run proves nothing."""
    copies: Counter[str] = field(default_factory=Counter)
    """Extra copies by their cause."""
    charged: list[Charged] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        return not self.broken and not self.invalid

    def count(self, rule: str) -> int:
        return sum(1 for item in self.broken if item.rule == rule)


RULES = (
    "lost",
    "not in the stream",
    "turned away",
    "never issued",
    "changed",
    "buried wrongly",
    "stored again without a cause",
    "copy without a cause",
    "copy older than its kill allows",
    "checkpoint past an unsettled record",
    "out of order",
    "not alive after healing",
    "ended by itself",
    "left in the spill",
)


def judge(evidence: Evidence) -> Verdict:
    """Hold everything against the promises of docs/guarantees.md."""
    verdict = Verdict()
    copies = Copies(evidence)
    verdict.charged = copies.charge()
    verdict.copies = Counter(copy_.cause for copy_ in verdict.charged)
    verdict.broken = [
        *_fates(evidence),
        *_contents(evidence),
        *_burials(evidence),
        *(Broken("stored again without a cause", item, text) for item, text in copies.stored_again()),
        *(
            Broken(event.cause, event.event_id, event.text)
            for event in verdict.charged
            if event.cause.startswith("copy ")
        ),
        *sequence.checkpoints(evidence),
        *(sequence.order(evidence, verdict.charged) if evidence.in_order else ()),
        *_liveness(evidence),
        *(Broken("ended by itself", "", text) for text in evidence.ended),
        *(Broken("left in the spill", "", name) for name in evidence.spilled),
    ]
    for family, least in sorted(evidence.wanted.items()):
        if (bit := evidence.bites.get(family, 0)) < least:
            verdict.invalid.append(f"{family}: bit {bit} times, wanted {least}")
    if fell := sequence.fell(evidence.stream):
        verdict.invalid.append(f"the stream's sequence numbers fell {fell} times: was the machine's clock set back?")
    verdict.figures = _figures(evidence, verdict)
    return verdict


def _fates(evidence: Evidence) -> Iterator[Broken]:
    settled = {delivery.event_id for delivery in evidence.deliveries} | {letter.event_id for letter in evidence.letters}
    stored = {event_id for record in evidence.stream for event_id in record.ids}
    for event_id in evidence.acked.keys() - settled:
        yield Broken("lost", event_id, "acked, and neither delivered nor a dead letter")
    for event_id in evidence.acked.keys() - stored:
        yield Broken("not in the stream", event_id, "acked, and the stream does not have it")
    for event_id, answer in evidence.turned_away.items():
        yield Broken("turned away", event_id, f"answered {answer}")


def _contents(evidence: Evidence) -> Iterator[Broken]:
    """Only what was sent comes out, and as it was sent."""
    for delivery in evidence.deliveries:
        sent = evidence.sent.get(delivery.event_id)
        if sent is None:
            yield Broken("never issued", delivery.event_id, "delivered")
        elif wrong := _differs(delivery, json.loads(sent.element)):
            yield Broken("changed", delivery.event_id, wrong)
    for letter in evidence.letters:
        sent = evidence.sent.get(letter.event_id)
        if sent is None:
            yield Broken("never issued", letter.event_id, "a dead letter")
        elif sent.element not in letter.line:
            yield Broken("changed", letter.event_id, "the dead letter does not hold the bytes that were sent")


def _differs(delivery: Delivery, sent: dict[str, object]) -> str:
    """Which field of the Detail is not the sender's, "" where all are."""
    pairs = (
        ("payload", "payload"),
        ("originalEventId", "interactionId"),
        ("conversationId", "conversationId"),
        ("eventType", "eventType"),
    )
    wrong = [ours for ours, theirs in pairs if delivery.detail.get(ours) != sent[theirs]]
    if str(delivery.detail.get("correlationId")).replace("-", "") != delivery.event_id:
        wrong.append("correlationId")
    return ", ".join(wrong)


def _burials(evidence: Evidence) -> Iterator[Broken]:
    for letter in evidence.letters:
        sent = evidence.sent.get(letter.event_id)
        if sent and letter.reason not in REASONS[sent.kind]:
            yield Broken("buried wrongly", letter.event_id, f"a {sent.kind} event, as {letter.reason}")
    for delivery in evidence.deliveries:
        sent = evidence.sent.get(delivery.event_id)
        if sent and sent.kind != "good":
            yield Broken("buried wrongly", delivery.event_id, f"a {sent.kind} event was delivered")


def _liveness(evidence: Evidence) -> Iterator[Broken]:
    first: dict[str, float] = {}
    for delivery in evidence.deliveries:
        first.setdefault(delivery.event_id, delivery.at)
    reached = set()
    shard_of = {event_id: record.shard for record in evidence.stream for event_id in record.ids}
    for event_id, at in evidence.fresh.items():
        took_s = first.get(event_id, float("inf")) - at
        if took_s > ALIVE_WITHIN_S:
            yield Broken("not alive after healing", event_id, f"arrived after {took_s:.1f} s")
        elif event_id in shard_of:
            reached.add(shard_of[event_id])
    for shard in sorted(evidence.open_shards - reached):
        yield Broken("not alive after healing", "", f"no fresh event came through {shard} in time")


def _figures(evidence: Evidence, verdict: Verdict) -> dict[str, float]:
    kills = [act for act in evidence.acts if act.family.startswith("kill ")]
    a_kill = Counter(copy_.act for copy_ in verdict.charged if copy_.act is not None)
    fresh = [
        delivery.at - evidence.fresh[delivery.event_id]
        for delivery in evidence.deliveries
        if delivery.event_id in evidence.fresh
    ]
    return {
        "sent": len(evidence.sent),
        "acked": len(evidence.acked),
        "records": len(evidence.stream),
        "delivered": len({delivery.event_id for delivery in evidence.deliveries}),
        "dead": len({letter.event_id for letter in evidence.letters}),
        "good ones dead as crashed": sum(
            letter.reason == "crashed" and evidence.sent[letter.event_id].kind == "good"
            for letter in evidence.letters
            if letter.event_id in evidence.sent
        ),
        "kills": len(kills),
        "checkpoints": len({(checkpoint.shard, checkpoint.position) for checkpoint in evidence.checkpoints}),
        "copies": len(verdict.charged),
        "mostCopiesAKill": max(a_kill.values(), default=0),
        "healingS": round(evidence.healing_s, 1),
        "freshAfterS": round(max(fresh, default=0.0), 1),
    }

"""What a run's verdict looks like: a table, and after a failure one event's whole history."""

import json
from collections.abc import Iterator
from typing import Any

from tests.fault.chaos_run.evidence import Broken, Evidence, Record
from tests.fault.chaos_run.judge import RULES
from tests.fault.chaos_run.run import Result

MAX_LISTED = 5


def as_json(result: Result, commit: str) -> dict[str, Any]:
    """What is kept of a run."""
    verdict = result.verdict
    return {
        "seed": result.seed,
        "commit": commit,
        "command": result.evidence.repeat,
        "seconds": round(result.seconds),
        "verdict": "well" if verdict.well else "invalid" if not verdict.broken else "broken",
        "figures": verdict.figures,
        "rules": {rule: verdict.count(rule) for rule in RULES},
        "copies": dict(sorted(verdict.copies.items())),
        "bites": dict(sorted(result.evidence.bites.items())),
        "invalid": verdict.invalid,
        "acts": [f"{act.family}: {act.what}" for act in result.evidence.acts if act.family in ("takeover", "join")],
    }


def table(result: Result) -> str:
    """The verdict for people, readable at 60 columns."""
    return "\n".join(_table(result))


def _table(result: Result) -> Iterator[str]:
    verdict, figures = result.verdict, result.verdict.figures
    yield f"seed {result.seed}, {result.seconds:.0f} s"
    yield "  " + ", ".join(f"{figures[name]:,.0f} {name}" for name in ("sent", "acked", "delivered", "dead"))
    yield "  " + ", ".join(f"{figures[name]:,.0f} {name}" for name in ("records", "checkpoints", "kills"))
    yield f"  good events buried as crashed: {figures['good ones dead as crashed']:.0f}"
    yield f"  each shard read again after {figures['healingS']} s; fresh events then took {figures['freshAfterS']} s"
    for rule in RULES:
        yield f"  {rule:<40} {verdict.count(rule):>6}"
    yield f"  copies: {figures['copies']:,.0f}, at most {figures['mostCopiesAKill']:,.0f} by one kill"
    for cause, count in sorted(verdict.copies.items()):
        yield f"    {cause:<38} {count:>6}"
    yield "  what was done, and how often it bit"
    for family, count in sorted(result.evidence.bites.items()):
        yield f"    {family:<38} {count:>6}"
    for line in verdict.invalid:
        yield f"  INVALID {line}"
    for event in verdict.broken[:MAX_LISTED]:
        yield f"  BROKEN {event.rule}: {event.event_id} {event.text}"
    if verdict.broken:
        yield from history(result.evidence, first(result.evidence, verdict.broken))
        yield f"  again: {result.evidence.repeat}"
    yield f"  {'WELL' if verdict.well else 'BROKEN' if verdict.broken else 'INVALID'}"


def first(evidence: Evidence, broken: list[Broken]) -> Broken:
    """Of what is broken the event that was sent first; what is no event's comes last."""
    forever = float("inf")
    return min(
        broken, key=lambda item: evidence.sent[item.event_id].attempts[0] if item.event_id in evidence.sent else forever
    )


def history(evidence: Evidence, broken: Broken) -> Iterator[str]:
    """Everything that is known of the event, in the order in which it happened."""
    event_id = broken.event_id
    yield f"  history of {event_id or 'no event'}: {broken.rule}, {broken.text}"
    lines = [*_own(evidence, event_id)]
    if lines:
        begun, ended = min(lines)[0] - 15, max(lines)[0] + 15
        lines += [(act.begun, f"{act.family} {act.what} {' '.join(act.workers)}") for act in evidence.acts]
        lines = [line for line in lines if begun <= line[0] <= ended]
    for at, text in sorted(lines):
        yield f"    {at:.3f}  {text}"


def _own(evidence: Evidence, event_id: str) -> Iterator[tuple[float, str]]:
    if sent := evidence.sent.get(event_id):
        yield from ((at, f"posted ({sent.kind}, {sent.conversation})") for at in sent.attempts)
    if event_id in evidence.acked:
        yield evidence.acked[event_id], "answered 202"
    yield from ((at, f"refused, {code}") for at, item, code in evidence.refusals if item == event_id)
    took = [delivery for delivery in evidence.deliveries if delivery.event_id == event_id]
    yield from ((item.at, "accepted" if item.is_answered else "accepted, without an answer") for item in took)
    letters = [letter for letter in evidence.letters if letter.event_id == event_id]
    yield from ((letter.at, f"dead letter {letter.reason}") for letter in letters)
    for record in evidence.stream:
        if event_id in record.ids:
            yield from _of_shard(evidence, record)


def _of_shard(evidence: Evidence, record: Record) -> Iterator[tuple[float, str]]:
    """Where it was stored, and the shard's checkpoints and owners."""
    yield record.arrived, f"stored in {record.shard} at {record.sequence}"
    for checkpoint in evidence.checkpoints:
        if checkpoint.shard == record.shard:
            past = not checkpoint.position.isdigit() or int(checkpoint.position) >= record.sequence
            taken = "" if checkpoint.taken else ", not taken"
            yield checkpoint.at, f"checkpoint {'past' if past else 'before'} it: {checkpoint.position}{taken}"
    yield from (
        (owner.at, f"{owner.shard} goes to {owner.worker}") for owner in evidence.owners if owner.shard == record.shard
    )


def dumped(result: Result, commit: str) -> str:
    """The JSON of a run."""
    return json.dumps(as_json(result, commit), indent=1, ensure_ascii=False) + "\n"

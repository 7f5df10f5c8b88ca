"""The chaos run: what is well passes, each rule has a run that breaks it alone, each copy its cause; what is drawn."""

import json
from collections.abc import Callable

import pytest

from tests.fault.chaos_run import report
from tests.fault.chaos_run.chaos import draw
from tests.fault.chaos_run.evidence import Act, Checkpoint, Delivery, Evidence, Letter, Owner, Record, Sent
from tests.fault.chaos_run.judge import RULES, judge
from tests.fault.chaos_run.lease_tap import LeaseTap
from tests.fault.chaos_run.run import FULL, SHORT, Result
from tests.fault.chaos_run.traffic import Traffic

A, B = "shardId-000000000000", "shardId-000000000001"
T = 1_000.0
"""When the runs of these tests begin."""

Change = Callable[[Evidence], None]


def element(number: int) -> bytes:
    event = {"interactionId": f"i-{number}", "conversationId": "c-0", "eventType": "interaction.created"}
    return json.dumps({**event, "payload": {"n": number}}).encode()


def detail(number: int) -> dict[str, object]:
    sent = json.loads(element(number))
    kept = {name: sent[name] for name in ("conversationId", "eventType", "payload")}
    return {"correlationId": f"e{number}", "originalEventId": sent["interactionId"], **kept}


def delivery(number: int, at: float, *, is_answered: bool = True) -> Delivery:
    return Delivery(T + at, f"e{number}", is_answered, detail(number))


def well() -> Evidence:
    """One event a second on shard A, each stored and delivered at once, checkpoints behind them; the last is fresh."""
    evidence = Evidence(in_order=True, open_shards=frozenset({A}), owners=[Owner(T - 1, A, "one")])
    for number in range(10):
        evidence.sent[f"e{number}"] = Sent("good", "c-0", element(number), (T + number,))
        evidence.acked[f"e{number}"] = T + number + 0.1
        evidence.stream.append(Record(A, 100 + number, (f"e{number}",)))
        evidence.deliveries.append(delivery(number, number + 0.2))
        evidence.checkpoints.append(Checkpoint(T + number + 0.9, A, str(100 + number), taken=True))
    evidence.fresh = {"e9": T + 9}
    return evidence


def act(family: str, begun: float, ended: float | None = None, subject: str = "", workers: str = "one") -> Change:
    result = Act(family, T + begun, T + (begun if ended is None else ended), subject, (workers,) if workers else ())
    return lambda evidence: evidence.acts.append(result)


def again(at: dict[int, float], *, is_answered: bool = True) -> Change:
    """Each event by its number is accepted once more at its moment."""
    return lambda evidence: evidence.deliveries.extend(
        delivery(number, s, is_answered=is_answered) for number, s in at.items()
    )


def accepted(number: int, at: float, *, is_answered: bool = True) -> Change:
    """The event is accepted then, and not when it was."""
    return lambda evidence: evidence.deliveries.__setitem__(number, delivery(number, at, is_answered=is_answered))


def detailed(number: int, **changes: object) -> Change:
    changed = delivery(number, number + 0.2)._replace(detail={**detail(number), **changes})
    return lambda evidence: evidence.deliveries.__setitem__(number, changed)


def kind(number: int, is_kind: str) -> Change:
    name = f"e{number}"
    return lambda evidence: evidence.sent.__setitem__(name, evidence.sent[name]._replace(kind=is_kind))


def gone(number: int) -> Change:
    """The event was not delivered."""
    return lambda evidence: evidence.deliveries.remove(delivery(number, number + 0.2))


def letter(number: int, at: float, reason: str = "retries_exhausted", line: bytes | None = None) -> Change:
    data = line or b'{"body":' + element(number) + b"}"
    return lambda evidence: evidence.letters.append(Letter(T + at, f"e{number}", True, reason, data))


def refused(number: int, at: float) -> Change:
    return lambda evidence: evidence.refusals.append((T + at, f"e{number}", "InternalFailure"))


def checked(*, below: int = 0) -> Change:
    """No checkpoint but those below this number."""

    def change(evidence: Evidence) -> None:
        evidence.checkpoints = [item for item in evidence.checkpoints if int(item.position) < below]

    return change


def checkpoint(at: float, position: str) -> Change:
    return lambda evidence: evidence.checkpoints.insert(0, Checkpoint(T + at, A, position, taken=True))


def stored(number: int, arrived: float = 0.0) -> Change:
    """The event is stored once more."""
    return lambda evidence: evidence.stream.append(Record(A, 200, (f"e{number}",), arrived and T + arrived))


def arrived(at: float) -> Change:
    """When the last event was stored first."""
    return lambda evidence: evidence.stream.__setitem__(9, evidence.stream[9]._replace(arrived=T + at))


def having(**values: object) -> Change:
    def change(evidence: Evidence) -> None:
        for name, value in values.items():
            setattr(evidence, name, value)

    return change


def swapped(evidence: Evidence) -> None:
    """The events 3 and 4 were accepted in the other order."""
    evidence.deliveries[3:5] = [delivery(4, 4.2), delivery(3, 4.3)]


def posted_again(evidence: Evidence) -> None:
    evidence.sent["e9"] = evidence.sent["e9"]._replace(attempts=(T + 9, T + 10))


KILL = act("kill child", 9.6)
SICK = (kind(0, "sick"), gone(0), refused(0, 0.2))
AGAIN_SICK = (letter(0, 1.0), act("kill child", 1.1), refused(0, 1.3), letter(0, 9.0))
TWICE = (posted_again, act("kill receiver", 9.5, subject="receiver", workers=""), stored(9, 10.1))
"""The receiver was killed before the sender of e9 had its answer, and e9 was posted again."""
RESTART = act("kill child", 10.4)
CUT = act("wire sink", 9.3, subject="reset", workers="")
OLD_COPY, NO_CAUSE, STORED = "copy older than its kill allows", "copy without a cause", "stored again without a cause"
PAST, ORDER, DEAD = "checkpoint past an unsettled record", "out of order", "not alive after healing"

BROKEN: list[tuple[tuple[Change, ...], set[str]]] = [
    ((gone(3), checked(below=103)), {"lost"}),
    ((lambda evidence: evidence.stream.remove(Record(A, 103, ("e3",))),), {"not in the stream"}),
    ((having(turned_away={"e3": "401"}),), {"turned away"}),
    ((lambda evidence: evidence.deliveries.append(delivery(5, 5)._replace(event_id="nobody's")),), {"never issued"}),
    ((detailed(3, payload={}),), {"changed"}),
    ((detailed(3, correlationId="e-4"),), {"changed"}),
    ((kind(3, "sick"), gone(3), letter(3, 3.2, line=element(4))), {"changed"}),
    ((gone(3), letter(3, 3.2)), {"buried wrongly"}),
    ((kind(3, "poison"),), {"buried wrongly"}),
    ((stored(3),), {STORED}),
    ((again({9: 9.5}),), {NO_CAUSE}),
    # The shard was not the other worker's.
    ((act("kill jvm", 9.6, workers="two"), again({9: 15.0})), {NO_CAUSE}),
    # Of what was stored twice one copy is for the other place, one for the answer that nobody heard, and no more.
    ((*TWICE, CUT, again({9: 11.5}), again({9: 13.5}), again({9: 15.5})), {NO_CAUSE}),
    # A kill at 9.6 s, and an event that was accepted at 1.2 s comes again.
    ((KILL, again({1: 15.0})), {OLD_COPY}),
    ((checkpoint(3.1, "103"),), {PAST}),
    ((checkpoint(5.0, "SHARD_END"),), {PAST}),
    ((swapped, checked()), {ORDER}),
    # A copy for a lost answer never goes back.
    ((accepted(8, 8.2, is_answered=False), again({8: 9.5})), {PAST, ORDER}),
    ((accepted(9, 41.0), checked()), {DEAD}),
    ((having(open_shards=frozenset({A, B})),), {DEAD}),
    ((having(ended=["one ended with status 1"]),), {"ended by itself"}),
    ((having(spilled=["1.seg"]),), {"left in the spill"}),
    # Kinesis owed an answer at another time; a call of that post is begun no more seconds later.
    ((having(late_stream=[(T + 4.0, T + 4.7)]), stored(9, 9.3)), {STORED}),
    ((arrived(9.1), stored(9, 9.2)), {STORED}),
    ((arrived(9.1), stored(9, 14.0)), {STORED}),
]  # fmt: skip
COPIES: list[tuple[tuple[Change, ...], dict[str, int]]] = [
    ((), {}),
    # What was accepted less than 6 s before a kill, and after it in the stream's order.
    ((act("kill jvm", 9.6), again({5: 20.0, 6: 21.0, 7: 22.0, 8: 23.0, 9: 24.0})), {"kill": 5}),
    # The other children of a worker send until its daemon has ended.
    ((act("kill child", 2.0), act("child ended", 9.3, 9.8, "77"), again({8: 15.0, 9: 15.1})), {"kill": 2}),
    # The KCL ends children whose lease is lost, and starts them again.
    ((act("child ended", 9.3, 9.8, "77"), again({9: 15.0})), {"lease move": 1}),
    # The child before it, which does not know yet, sends what comes after it.
    (
        (act("child ended", 9.3, 9.8, "77"), again({8: 10.0}, is_answered=False), again({9: 10.05, 8: 10.1})),
        {"lease move": 2, "answer lost": 1},
    ),
    # An event before it in the shard was in trouble from 1 to 9 s, came again and was in trouble again.
    ((act("kill child", 10.5), *SICK, *AGAIN_SICK, checked(), again({2: 15.0})), {"kill": 2}),
    # No checkpoint could be for 3 s.
    ((KILL, act("wire dynamodb", 1.0, 4.0, "blackhole", ""), again({1: 15.0})), {"kill": 1}),
    # Nobody heard the answer, as the fake AWS says, or as the line to it was cut just then.
    ((accepted(9, 9.2, is_answered=False), again({9: 9.6}), checked(below=109)), {"answer lost": 1}),
    ((CUT, again({9: 9.6})), {"answer lost": 1}),
    # Stored twice: the call was given up, and landed after all; or the stream took it half a second late.
    ((having(late_stream=[(T + 9.0, T + 9.7)]), stored(9, 9.3)), {}),
    ((arrived(9.6), stored(9, 9.61)), {}),
    # What was stored twice comes out twice; a reader that begins anew gets both places again.
    (
        (*TWICE, RESTART, again({9: 10.2}, is_answered=False), again({9: 11.5}), again({9: 11.6})),
        {"stored twice": 2, "answer lost": 1},
    ),
]  # fmt: skip


def changed(changes: tuple[Change, ...]) -> Evidence:
    evidence = well()
    for change in changes:
        change(evidence)
    return evidence


@pytest.mark.parametrize(("changes", "rules"), BROKEN, ids=range(len(BROKEN)))
def test_what_is_broken_is_seen_and_nothing_else(changes: tuple[Change, ...], rules: set[str]) -> None:
    """Exactly these rules are broken, and the table ends with the first event's history and how to repeat the run."""
    evidence = changed((*changes, having(repeat="python -m tests.fault.chaos_run --seed 7")))
    verdict = judge(evidence)
    assert {item.rule for item in verdict.broken} == rules
    table = report.table(Result(7, SHORT, evidence, verdict, 12.0))
    for text in (f"BROKEN {min(rules)}", "history of ", f"again: {evidence.repeat}"):
        assert text in table


def test_every_rule_has_a_run_that_breaks_it() -> None:
    """No rule of the table is without."""
    assert {rule for _, rules in BROKEN if len(rules) == 1 for rule in rules} == set(RULES)


@pytest.mark.parametrize(("changes", "copies"), COPIES, ids=range(len(COPIES)))
def test_a_copy_is_charged_to_what_made_it(changes: tuple[Change, ...], copies: dict[str, int]) -> None:
    """Nothing is broken, and each copy has its cause."""
    verdict = judge(changed(changes))
    assert verdict.well
    assert verdict.copies == copies
    assert verdict.figures["delivered"] + verdict.figures["dead"] == 10


@pytest.mark.parametrize(("bit", "valid"), [(4, False), (5, True)])
def test_a_fault_that_hardly_bit_makes_the_run_invalid(bit: int, valid: bool) -> None:
    """Nothing is broken then, and nothing is proved."""
    verdict = judge(changed((having(wanted={"stop jvm": 5}, bites={"stop jvm": bit}),)))
    assert not verdict.broken
    assert verdict.well is valid


def test_sequence_numbers_that_fall_make_the_run_invalid() -> None:
    """The stream was read in another order than that of the numbers by which everything is judged."""
    evidence = well()
    evidence.stream[3], evidence.stream[4] = evidence.stream[4], evidence.stream[3]
    assert not judge(evidence).well


def test_the_tap_reads_checkpoints_and_owners_of_the_lease_table() -> None:
    """Whole calls, in pieces or two at once; taken where DynamoDB answers 200."""
    body = {
        "TableName": "t",
        "Key": {"leaseKey": {"S": A}},
        "AttributeUpdates": {"checkpoint": {"Value": {"S": "77"}}, "leaseOwner": {"Value": {"S": "one"}}},
    }
    text = json.dumps(body).encode()
    call = b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.UpdateItem\r\nContent-Length: %d\r\n\r\n" % len(text)
    tap = LeaseTap()
    for part in (call[:40], call[40:] + text[:10], text[10:]):
        tap(1, True, part)
    tap(1, False, b"HTTP/1.1 200 OK\r\n\r\n{}")
    tap(2, True, call + text)
    tap(2, False, b"HTTP/1.1 400 Bad Request\r\n\r\n{}")
    assert [(item.shard, item.position, item.taken) for item in tap.checkpoints] == [(A, "77", True), (A, "77", False)]
    assert [(owner.shard, owner.worker) for owner in tap.owners] == [(A, "one")]


def test_a_schedule_repeats_by_its_seed() -> None:
    """The same seed and shape give the same steps, another seed others; all kills are there, in their time."""
    assert draw(5, FULL) == draw(5, FULL)
    assert draw(5, FULL).steps != draw(6, FULL).steps
    for shape in (SHORT, FULL):
        steps = draw(5, shape).steps
        assert sum(step.do == "kill" for step in steps) == shape.kills
        assert all(0 <= step.at_s < shape.seconds for step in steps)
    assert Traffic(3).posts(400, 6) == Traffic(3).posts(400, 6)

"""The judge of the lane: a run in which all is well passes, and each rule has a run that breaks it alone."""

import json
from collections.abc import Callable

import pytest

from tests.fault.lane import report
from tests.fault.lane.evidence import Act, Checkpoint, Delivery, Evidence, Letter, Owner, Record, Sent
from tests.fault.lane.judge import RULES, judge
from tests.fault.lane.report import first, history
from tests.fault.lane.run import SHORT, Result

A, B = "shardId-000000000000", "shardId-000000000001"
T = 1_000.0
"""When the runs of these tests begin."""


def element(number: int, conversation: str = "c-0") -> bytes:
    event = {
        "interactionId": f"i-{number}",
        "conversationId": conversation,
        "eventType": "interaction.created",
        "payload": {"n": number},
    }
    return json.dumps(event).encode()


def detail(number: int, conversation: str = "c-0") -> dict[str, object]:
    sent = json.loads(element(number, conversation))
    kept = {name: sent[name] for name in ("conversationId", "eventType", "payload")}
    return {"correlationId": f"e{number}", "originalEventId": sent["interactionId"], **kept}


def delivery(number: int, at: float, *, told: bool = True) -> Delivery:
    return Delivery(T + at, f"e{number}", told, detail(number))


def letter(number: int, at: float, reason: str) -> Letter:
    return Letter(T + at, f"e{number}", told=True, reason=reason, line=b'{"body":' + element(number) + b"}")


def well(count: int = 10) -> Evidence:
    """One event a second on shard A, each stored and delivered at once, checkpoints behind them; fresh ones on both."""
    found = Evidence(in_order=True, open_shards=frozenset({A}), owners=[Owner(T - 1, A, "one")])
    for number in range(count):
        found.sent[f"e{number}"] = Sent("good", "c-0", element(number), (T + number,))
        found.acked[f"e{number}"] = T + number + 0.1
        found.stream.append(Record(A, 100 + number, (f"e{number}",)))
        found.deliveries.append(delivery(number, number + 0.2))
        found.checkpoints.append(Checkpoint(T + number + 0.9, A, str(100 + number), taken=True))
    found.fresh = {f"e{count - 1}": T + count - 1}
    return found


def again(evidence: Evidence, number: int, at: float) -> None:
    """The event is delivered once more."""
    evidence.deliveries.append(delivery(number, at))


def break_lost(evidence: Evidence) -> None:
    evidence.deliveries = [one for one in evidence.deliveries if one.event_id != "e3"]
    evidence.checkpoints = [one for one in evidence.checkpoints if int(one.position) < 103]


def break_stream(evidence: Evidence) -> None:
    evidence.stream = [one for one in evidence.stream if one.ids != ("e3",)]


def break_answer(evidence: Evidence) -> None:
    evidence.turned_away["e3"] = "401"


def break_issued(evidence: Evidence) -> None:
    evidence.deliveries.append(Delivery(T + 5, "nobody's", told=True, detail=detail(5)))


def break_content(evidence: Evidence) -> None:
    evidence.deliveries[3] = evidence.deliveries[3]._replace(detail={**detail(3), "payload": {}})


def break_identity(evidence: Evidence) -> None:
    evidence.deliveries[3] = evidence.deliveries[3]._replace(detail={**detail(3), "correlationId": "e-4"})


def break_letter(evidence: Evidence) -> None:
    evidence.sent["e3"] = evidence.sent["e3"]._replace(kind="sick")
    evidence.deliveries.pop(3)
    evidence.letters.append(letter(3, 3.2, "retries_exhausted")._replace(line=element(4)))


def break_burial(evidence: Evidence) -> None:
    evidence.deliveries.pop(3)
    evidence.letters.append(letter(3, 3.2, "retries_exhausted"))


def break_poison(evidence: Evidence) -> None:
    evidence.sent["e3"] = evidence.sent["e3"]._replace(kind="poison")


def break_stored(evidence: Evidence) -> None:
    evidence.stream.append(Record(A, 200, ("e3",)))


def break_copy(evidence: Evidence) -> None:
    again(evidence, 9, 9.5)


def break_age(evidence: Evidence) -> None:
    """A kill at 9.6 s, and an event that was accepted at 1.2 s comes again."""
    evidence.acts.append(Act("kill child", T + 9.6, T + 9.6, "one", ("one",)))
    again(evidence, 1, 15.0)


def break_checkpoint(evidence: Evidence) -> None:
    evidence.checkpoints[3] = evidence.checkpoints[3]._replace(at=T + 3.1)


def break_end(evidence: Evidence) -> None:
    evidence.checkpoints.append(Checkpoint(T + 5.0, A, "SHARD_END", taken=True))


def break_order(evidence: Evidence) -> None:
    evidence.deliveries[3:5] = [delivery(4, 4.2), delivery(3, 4.3)]
    evidence.checkpoints = []


def break_liveness(evidence: Evidence) -> None:
    evidence.deliveries[9] = delivery(9, 41.0)
    evidence.checkpoints = []


def break_shard(evidence: Evidence) -> None:
    evidence.open_shards = frozenset({A, B})


def break_program(evidence: Evidence) -> None:
    evidence.ended.append("one ended with status 1")


BREAKS: list[tuple[str, Callable[[Evidence], None]]] = [
    ("lost", break_lost),
    ("not in the stream", break_stream),
    ("turned away", break_answer),
    ("never issued", break_issued),
    ("changed", break_content),
    ("changed", break_identity),
    ("changed", break_letter),
    ("buried wrongly", break_burial),
    ("buried wrongly", break_poison),
    ("stored again without a cause", break_stored),
    ("copy without a cause", break_copy),
    ("copy older than its kill allows", break_age),
    ("checkpoint past an unsettled record", break_checkpoint),
    ("checkpoint past an unsettled record", break_end),
    ("out of order", break_order),
    ("not alive after healing", break_liveness),
    ("not alive after healing", break_shard),
    ("ended by itself", break_program),
]


def test_a_run_in_which_all_is_well_passes() -> None:
    """Nothing is broken, nothing is invalid, there is no copy."""
    verdict = judge(well())
    assert verdict.well
    assert not verdict.copies
    assert verdict.figures["delivered"] == 10


@pytest.mark.parametrize(("rule", "spoil"), BREAKS, ids=[spoil.__name__ for _, spoil in BREAKS])
def test_what_is_broken_is_seen_and_nothing_else(rule: str, spoil: Callable[[Evidence], None]) -> None:
    """Exactly that rule is broken, and the history of the first event can be told."""
    evidence = well()
    spoil(evidence)
    verdict = judge(evidence)
    assert {one.rule for one in verdict.broken} == {rule}
    assert len([*history(evidence, first(evidence, verdict.broken))]) >= 1


def test_every_rule_has_a_run_that_breaks_it() -> None:
    """No rule of the table is without."""
    assert {rule for rule, _ in BREAKS} == set(RULES)


@pytest.mark.parametrize(("bit", "valid"), [(4, False), (5, True)])
def test_a_fault_that_hardly_bit_makes_the_run_invalid(bit: int, valid: bool) -> None:
    """Nothing is broken then, and nothing is proved."""
    evidence = well()
    evidence.wanted, evidence.bites = {"stop jvm": 5}, {"stop jvm": bit}
    verdict = judge(evidence)
    assert not verdict.broken
    assert verdict.well is valid


def test_sequence_numbers_that_fall_make_the_run_invalid() -> None:
    """The stream was read in another order than that of the numbers by which everything is judged."""
    evidence = well()
    evidence.stream[3], evidence.stream[4] = evidence.stream[4], evidence.stream[3]
    assert not judge(evidence).well


def causes(evidence: Evidence) -> dict[str, int]:
    verdict = judge(evidence)
    assert not verdict.broken
    return dict(verdict.copies)


def test_a_copy_is_charged_to_the_kill_that_made_it() -> None:
    """What was accepted less than 6 s before comes again; the kill is told with the number of its copies."""
    evidence = well()
    evidence.acts.append(Act("kill jvm", T + 9.6, T + 9.6, "one", ("one",)))
    for number in (5, 6, 7, 8, 9):
        again(evidence, number, 15.0 + number)
    assert causes(evidence) == {"kill": 5}
    assert judge(evidence).figures["mostCopiesAKill"] == 5


def test_the_other_children_of_a_worker_send_until_its_daemon_has_ended() -> None:
    """A child was killed at 2 s; that of this shard ended at 9.8 s, and what it had sent since comes again."""
    evidence = well()
    evidence.acts = [
        Act("kill child", T + 2.0, T + 2.0, "one", ("one",)),
        Act("child ended", T + 9.3, T + 9.8, "77", ("one",)),
    ]
    again(evidence, 8, 15.0)
    again(evidence, 9, 15.1)
    assert causes(evidence) == {"kill": 2}


def test_a_child_that_ended_by_no_act_of_ours_lost_its_lease() -> None:
    """The KCL ends children whose lease is lost, and starts them again."""
    evidence = well()
    evidence.acts = [Act("child ended", T + 9.3, T + 9.8, "77", ("one",))]
    again(evidence, 9, 15.0)
    assert causes(evidence) == {"lease move": 1}


def test_a_kill_of_another_worker_explains_nothing() -> None:
    """The shard was not its own."""
    evidence = well()
    evidence.acts.append(Act("kill jvm", T + 9.6, T + 9.6, "two", ("two",)))
    again(evidence, 9, 15.0)
    assert [one.rule for one in judge(evidence).broken] == ["copy without a cause"]


def test_the_age_of_a_sick_event_is_added() -> None:
    """An event before it in the shard was in trouble from 1 to 9 s, so all since then may come again."""
    evidence = well()
    evidence.acts.append(Act("kill child", T + 9.6, T + 9.6, "one", ("one",)))
    evidence.sent["e0"] = evidence.sent["e0"]._replace(kind="sick")
    evidence.deliveries.pop(0)
    evidence.letters.append(letter(0, 9.0, "retries_exhausted"))
    evidence.refusals.append((T + 0.2, "e0", "InternalFailure"))
    evidence.checkpoints = []
    again(evidence, 1, 15.0)
    assert causes(evidence) == {"kill": 1}


def test_a_sick_event_that_comes_again_holds_the_checkpoint_again() -> None:
    """It was buried at 1 s, came again after a kill and was buried again at 9 s."""
    evidence = well()
    evidence.acts.append(Act("kill child", T + 9.6, T + 9.6, "one", ("one",)))
    evidence.acts.append(Act("kill child", T + 1.1, T + 1.1, "one", ("one",)))
    evidence.sent["e0"] = evidence.sent["e0"]._replace(kind="sick")
    evidence.deliveries.pop(0)
    evidence.letters += [letter(0, 1.0, "retries_exhausted"), letter(0, 9.0, "retries_exhausted")]
    evidence.refusals += [(T + 0.2, "e0", "InternalFailure"), (T + 1.3, "e0", "InternalFailure")]
    evidence.checkpoints = []
    again(evidence, 1, 15.0)
    assert causes(evidence) == {"kill": 2}


@pytest.mark.parametrize("family", ["stop supervisor", "wire dynamodb", "wire sink", "sqs down"])
def test_time_in_which_no_checkpoint_could_be_is_added(family: str) -> None:
    """A copy of 8.4 s before the kill, of which the checkpoint stood for 3 s."""
    evidence = well()
    evidence.acts = [
        Act("kill child", T + 9.6, T + 9.6, "one", ("one",)),
        Act(family, T + 1.0, T + 4.0, "blackhole"),
    ]
    again(evidence, 1, 15.0)
    assert causes(evidence) == {"kill": 1}


def test_a_lease_that_moves_explains_a_copy() -> None:
    """The new owner begins at the checkpoint."""
    evidence = well()
    evidence.owners.append(Owner(T + 9.6, A, "two"))
    again(evidence, 9, 15.0)
    assert causes(evidence) == {"lease move": 1}


def test_an_answer_that_nobody_heard_explains_a_copy() -> None:
    """As the fake AWS says, or as the line to it was cut just then."""
    evidence = well()
    evidence.deliveries[9] = delivery(9, 9.2, told=False)
    again(evidence, 9, 9.6)
    evidence.checkpoints.pop()
    assert causes(evidence) == {"answer lost": 1}
    for cut in ("reset", "refuse"):  # a line that refuses resets what was open
        evidence = well()
        evidence.acts.append(Act("wire sink", T + 9.3, T + 9.3, cut))
        again(evidence, 9, 9.6)
        assert causes(evidence) == {"answer lost": 1}


def stored_twice() -> Evidence:
    """The receiver was killed before the sender of e9 had its answer, and e9 was posted again."""
    evidence = well()
    evidence.sent["e9"] = evidence.sent["e9"]._replace(attempts=(T + 9, T + 10))
    evidence.acts.append(Act("kill receiver", T + 9.5, T + 9.5, "receiver"))
    evidence.stream.append(Record(A, 200, ("e9",), T + 10.1))
    return evidence


@pytest.mark.parametrize(("late_s", "rules"), [(9.0, []), (4.0, ["stored again without a cause"])])
def test_a_stream_that_answers_too_late_explains_what_is_stored_twice(late_s: float, rules: list[str]) -> None:
    """The call was given up at its deadline, and landed after all. At another time it explains nothing."""
    evidence = well()
    evidence.late_stream = [(T + late_s, T + late_s + 0.7)]
    evidence.stream.append(Record(A, 200, ("e9",), T + 9.3))
    assert [one.rule for one in judge(evidence).broken] == rules


@pytest.mark.parametrize(
    ("taken_s", "again_s", "rules"),
    [
        *((9.6, 9.61, []), (9.1, 9.7, [])),
        *((9.1, again_s, ["stored again without a cause"]) for again_s in (9.2, 14.0)),
    ],
)
def test_what_the_stream_takes_late_may_be_stored_twice(taken_s: float, again_s: float, rules: list[str]) -> None:
    """Half a second after it was posted its call may have been given up already, whatever the proxy saw of it.

    Seconds later no call of that post is begun any more.
    """
    evidence = well()
    evidence.stream[9] = evidence.stream[9]._replace(arrived=T + taken_s)
    evidence.stream.append(Record(A, 200, ("e9",), T + again_s))
    assert [one.rule for one in judge(evidence).broken] == rules


def test_what_was_stored_twice_comes_out_twice() -> None:
    """The receiver was killed before the sender had its answer: it was posted again, and nobody knew it."""
    evidence = stored_twice()
    again(evidence, 9, 10.2)
    assert causes(evidence) == {"stored twice": 1}


def test_a_reader_that_begins_anew_gets_both_places_of_what_was_stored_twice() -> None:
    """Once for the kill, and once more for the other place, as before the kill."""
    evidence = stored_twice()
    evidence.acts.append(Act("kill child", T + 10.4, T + 10.4, "one", ("one",)))
    for at_s in (10.2, 11.5, 11.6):
        again(evidence, 9, at_s)
    assert causes(evidence) == {"stored twice": 2, "kill": 1}


def test_a_lost_answer_before_the_kill_leaves_both_places_to_the_reader_that_begins_anew() -> None:
    """What came before the kill does not count, whether somebody was told of it or not."""
    evidence = stored_twice()
    evidence.acts.append(Act("kill child", T + 10.4, T + 10.4, "one", ("one",)))
    evidence.deliveries.append(delivery(9, 10.2, told=False))
    for at_s in (11.5, 11.6):
        again(evidence, 9, at_s)
    assert causes(evidence) == {"stored twice": 2, "answer lost": 1}


def test_of_what_was_stored_twice_the_copy_for_a_lost_answer_may_be_any() -> None:
    """The first acceptance was unheard: it comes again, and then the other place."""
    evidence = stored_twice()
    evidence.acts.append(Act("wire sink", T + 9.3, T + 9.3, "reset"))
    for at_s in (11.5, 13.5):
        again(evidence, 9, at_s)
    assert causes(evidence) == {"stored twice": 1, "answer lost": 1}
    again(evidence, 9, 15.5)
    assert [one.rule for one in judge(evidence).broken] == ["copy without a cause"]


def test_a_replay_may_go_back_and_nothing_else() -> None:
    """After a kill events come again in the stream's order; a copy for a lost answer never goes back."""
    evidence = well()
    evidence.acts.append(Act("kill child", T + 9.6, T + 9.6, "one", ("one",)))
    again(evidence, 8, 15.0)
    again(evidence, 9, 15.1)
    assert causes(evidence) == {"kill": 2}
    evidence = well()
    evidence.deliveries[8] = delivery(8, 8.2, told=False)
    again(evidence, 8, 9.5)
    assert {one.rule for one in judge(evidence).broken} == {"checkpoint past an unsettled record", "out of order"}


def test_a_broken_run_tells_the_first_events_history_and_how_to_repeat_it() -> None:
    """The table ends with both; the JSON says what is broken."""
    evidence = well()
    break_lost(evidence)
    evidence.repeat = "python -m tests.fault.lane --seed 7"
    result = Result(7, SHORT, evidence, judge(evidence), 12.0)
    told = report.table(result)
    assert "BROKEN lost: e3" in told
    assert "history of e3" in told
    assert "answered 202" in told
    assert f"again: {evidence.repeat}" in told
    assert max(len(line) for line in told.splitlines() if "|" not in line) <= 120
    kept = json.loads(report.dumped(result, "abc"))
    assert (kept["verdict"], kept["rules"]["lost"], kept["commit"]) == ("broken", 1, "abc")

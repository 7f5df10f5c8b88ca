"""The alarm for wrong data: within a minute it says that dead letters prevail, and whose; it ends by itself."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from stream_router.consumer.child.dead_letter_alarm import MAX_GROUPS, DeadLetterAlarm
from stream_router.dead_letter_reasons import REASONS_OF_DATA, Reason
from stream_router.envelope import encode_added_fields, find_source, seal
from stream_router.model import DeadLetter, Entry, Event, Record
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits
from tests.fakes import entry, event, rig

NOW_S = 1_790_000_000.0
BAD = Reason.SCHEMA_MISMATCH


def letter(reason: Reason = BAD, source: str = "crm", event_type: str = "") -> DeadLetter:
    raw = seal("0" * 32, "delivery", 1, b"{}", encode_added_fields({"source": source} if source else {}))
    result = Event(Record(raw, 1), 0, raw, "0" * 32, "delivery", 1, None)
    return DeadLetter(result, reason, "X", "why", event_type=event_type)


class World:
    """An alarm, and its second hand: each second so many letters and accepted events."""

    def __init__(self) -> None:
        self.now = 0.0
        self.alarm = DeadLetterAlarm("shard-1", lambda: self.now, lambda: NOW_S + self.now)

    def run(self, seconds: int, letters: int = 0, accepted: int = 0, make: Callable[[], DeadLetter] = letter) -> bool:
        """Whether the alarm is raised at the end."""
        for _ in range(seconds):
            for _ in range(letters):
                self.alarm.count_letter(make())
            self.alarm.count_accepted(accepted)
            self.alarm.check()
            self.now += 1
        return self.alarm.raised is not None


@pytest.fixture
def world() -> World:
    return World()


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if vars(record).get("event") == name]


@pytest.mark.parametrize(
    ("letters", "accepted", "raised"),
    [(19, 0, False), (20, 0, True), (20, 19, True), (20, 20, False), (500, 499, True), (500, 500, False)],
)
def test_more_letters_than_accepted_events_and_at_least_twenty(
    world: World, letters: int, accepted: int, raised: bool
) -> None:
    """As soon as it is so in one minute."""
    assert world.run(1, letters, accepted) is raised


def test_it_comes_within_a_minute_on_a_busy_shard(world: World) -> None:
    """The good events of the hour before do not hide what is wrong now."""
    assert not world.run(3_600, 0, 100)
    assert world.run(60, 101, 0)


def test_few_letters_raise_nothing_however_long_they_come(world: World) -> None:
    """Nineteen in each minute, a slot of slack between them."""
    assert not any(world.run(65) or world.run(1, 19) for _ in range(120))


def test_it_ends_by_itself_and_says_so_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A minute after the letters of a minute no longer prevail; it is logged once a minute while it lasts."""
    caplog.set_level(logging.INFO)
    assert world.run(180, 5, 1)
    since_s = world.alarm.raised["sinceS"] if world.alarm.raised else 0
    assert since_s == NOW_S + 3
    assert [line["levelname"] for line in lines(caplog, "many-dead-letters")] == ["WARNING"] * 3
    assert not world.run(130, 0, 1)
    warnings = len(lines(caplog, "many-dead-letters"))
    assert [line["levelname"] for line in lines(caplog, "many-dead-letters-ended")] == ["INFO"]
    assert world.run(1, 100)
    assert len(lines(caplog, "many-dead-letters")) == warnings + 1


def test_it_does_not_flicker(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A sender whose bad events come in bursts is one alarm."""
    caplog.set_level(logging.INFO)
    for _ in range(20):
        world.run(1, 30, 0)
        assert world.run(59, 0, 1)
    assert lines(caplog, "many-dead-letters-ended") == []


@pytest.mark.parametrize("reason", sorted(Reason))
def test_every_reason_of_data_counts(world: World, reason: Reason) -> None:
    """A wrong list of types and a defect of ours too; an outage or a crash is not a mistake of the data."""
    assert world.run(1, 20, make=lambda: letter(reason)) is (reason in REASONS_OF_DATA)
    assert {Reason.UNROUTABLE, Reason.INTERNAL_ERROR, Reason.MASKING_FAILED, Reason.OVERSIZE} <= REASONS_OF_DATA


def test_the_commonest_reason_and_its_source_and_type_are_named(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The source is that of most letters of this reason, the type that of most of this source's; with both cures."""
    for result, count in {
        letter(Reason.UNROUTABLE, "crm", "agent.status"): 30,
        letter(Reason.UNROUTABLE, "crm", "queue.status"): 20,
        letter(Reason.UNROUTABLE, "expert", "other.status"): 40,
        letter(Reason.SCHEMA_MISMATCH, "other"): 85,
    }.items():
        for _ in range(count):
            world.alarm.count_letter(result)
    world.alarm.count_accepted(7)
    world.alarm.check()
    (line,) = lines(caplog, "many-dead-letters")
    shown = {name: line[name] for name in ("shard", "letters", "accepted", "reason", "source", "event_type")}
    assert shown == {
        "shard": "shard-1",
        "letters": 175,
        "accepted": 7,
        "reason": "unroutable",
        "source": "crm",
        "event_type": "agent.status",
    }
    assert "replay --since" in line["message"]
    assert "dlq redrive" in line["message"]


def test_what_a_person_may_have_written_is_not_shown_and_memory_is_bounded(world: World) -> None:
    """A sender chooses its types: no text of it is in a log, and a million types are no million counters."""
    world.run(1, 30, make=lambda: letter(event_type="Anna Meyer +49 30 901820"))
    assert world.alarm.raised
    assert world.alarm.raised["event_type"] == "(not shown: no name)"
    for number in range(5_000):
        world.alarm.count_letter(letter(source=f"s{number}", event_type=f"t{number}"))
    world.alarm.check()
    assert sum(len(slot.letters) for slot in world.alarm._slots) <= 2 * MAX_GROUPS + len(Reason)
    for number in range(5_000):
        world.alarm.count_letter(letter(Reason.UNROUTABLE, "late", f"u{number}"))
    world.alarm.check()
    assert world.alarm.raised["letters"] == 10_030


SEALED: dict[str, tuple[bytes, dict[str, str]]] = {
    "crm": (b"{}", {"source": "crm"}),
    "crm-2": (b'{"a":"\xff"}', {"source": "crm-2", "traceparent": "x"}),
    "crm-3": (b'{"a":1e999}', {"source": "crm-3", "eventTypeHeader": ',"source":"other"}'}),
    "crm-4": (b'"<a>,\\"source\\":\\"x\\"}"', {"source": "crm-4", "contentType": "text/xml", "bodyEncoding": "text"}),
}
NOBODY = [
    (b'{"a":1,"source":"victim"}', {}),
    (b'{"a":1,"source":"victim"}', {"contentType": "x"}),
    (b'{"a":1,"source":"victim","traceparent":"x"}', {"traceparent": "y"}),
]


def test_the_source_is_the_receiver_s_word_and_no_sender_s() -> None:
    """A body that says the same is not believed, and a line need not be JSON that can be parsed."""
    for source, (body, added) in SEALED.items():
        assert find_source(seal("0" * 32, "delivery", 1, body, encode_added_fields(added))) == source
    for body, added in NOBODY:
        assert find_source(seal("0" * 32, "delivery", 1, body, encode_added_fields(added))) == ""
    assert find_source(b'{"a":1,"source":"victim"}') == ""


def test_types_that_no_rule_takes_are_buried_and_each_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many of their events come: two types, one line each."""

    def transform(outcome: Event) -> DeadLetter:
        return DeadLetter(
            outcome, Reason.UNROUTABLE, "X", "why", event_type=f"agent.{outcome.record.sequence_number % 2}"
        )

    pipeline = rig(transform=transform)
    pipeline.router.route_opened([event(n) for n in range(400)])
    pipeline.drain()
    assert len(pipeline.tally.dead) == 400
    assert sorted(line["event_type"] for line in lines(caplog, "types-unmatched")) == ["agent.0", "agent.1"]


def test_bad_events_hold_nobody_up() -> None:
    """Nineteen of twenty become dead letters, and what is good goes through."""

    def transform(outcome: Event) -> Entry | DeadLetter:
        good = outcome.record.sequence_number % 20 == 0
        return entry(outcome.line)._replace(event=outcome) if good else DeadLetter(outcome, BAD, "X", "why")

    pipeline = rig(transform=transform)
    outcome = [event(n) for n in range(2_000)]
    pipeline.router.route_opened(outcome)
    pipeline.drain()
    assert (len(pipeline.tally.dead), len(pipeline.tally.delivered)) == (1_900, 100)
    assert not any(item.record.unsettled for item in outcome)


def test_a_size_of_a_call_that_no_event_fits_is_a_dead_letter_each() -> None:
    """It is reported like any other mistake, and `replay` brings the events back."""
    pipeline = rig(transform=lambda result: entry(0)._replace(event=result), limits=CallLimits(10, 100))
    pipeline.router.route_opened([event(n) for n in range(300)])
    pipeline.drain()
    assert {item.reason for item in pipeline.tally.dead} == {Reason.OVERSIZE}
    assert len(pipeline.tally.dead) == 300

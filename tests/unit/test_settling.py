"""Redriving letters in hand: a message goes only for what is settled, and whatever else happens it stays."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from stream_router.control.dead_letters.queue.gathering import Whole
from stream_router.control.dead_letters.queue.held import Held
from stream_router.control.dead_letters.redriving.settling import END_WITHIN_S, MARGIN_S, Means, Redriving, Tally
from stream_router.control.dead_letters.redriving.trial import Trial
from stream_router.control.republish.republisher import Outcome, why_refused
from stream_router.model import DeadLetter, Entry, Event, Reason, Record
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from tests.fakes import entry

HIDDEN_S = 300.0
LETTER = {"schema": SCHEMA, "reason": "outage", "record": {"encoding": "base64", "data": "e30="}}


class Bench:
    """A queue, a bus and what sends letters back, all scripted, in virtual time; one turn takes a quarter of a second.

    `events` is how many events each letter gives. The bus accepts a letter's events unless `fails` has a reason for it,
    and says nothing of those in `silent`.
    """

    trouble = "AccessDenied"
    last_code = ""
    bus_gone = stopped = deletes_nothing = False
    unproven = in_flight = 0
    seen_through_s = 0.0

    def __init__(self, *, sends_back: bool = True) -> None:
        self.now = 1_000.0
        self.events = 1
        self.fails: dict[int, Reason] = {}
        self.silent: set[int] = set()
        self.room = 100
        self.asked = False
        self.published: list[int] = []
        self.deleted: list[str] = []
        self.back: list[DeadLetter] = []
        self.stores_back = True
        self.waits: list[Outcome] = []
        self.given_back = 0
        self.dispatcher = self
        means = Means(*cast("tuple[Any, ...]", (self, self, self, self if sends_back else None)))
        self.seen: list[int] = []
        self.redriving = Redriving(means, lambda: self.asked, self._progress, lambda: self.now)

    def _progress(self, tally: Tally) -> None:
        self.seen.append(tally.redriven)

    # The messages, and what sends letters back: both are moved on.
    def advance(self, *, flush: bool = True) -> None:
        assert flush

    def delete(self, messages: list[Held]) -> None:
        self.deleted += [held.id for held in messages]

    def give_back_all(self) -> None:
        self.given_back += 1

    def see_through(self, within_s: float) -> None:
        self.seen_through_s = within_s

    def submit(self, letters: list[DeadLetter]) -> None:
        self.back += letters

    def collect(self) -> list[DeadLetter]:
        stored, self.back = (self.back, []) if self.stores_back else ([], self.back)
        return stored

    # The trials.
    def entries(self, trial: Trial) -> list[Entry]:
        record = Record(b"{}", trial.number)
        return [
            entry(0)._replace(event=Event(record, line, b"{}", "", "content", 0, None)) for line in range(self.events)
        ]

    # The republisher.
    @property
    def has_room(self) -> bool:
        return not self.stopped and len(self.waits) < self.room

    def publish(self, entries: list[Entry]) -> None:
        for one in entries:
            number = one.event.record.sequence_number
            self.published.append(number)
            reason = self.fails.get(number) if one.event.line == 0 else None
            failure = DeadLetter(one.event, reason, "Code", "why", 1, entry=one) if reason else None
            if number not in self.silent:
                self.waits.append(Outcome(one.event, failure))

    def stop(self) -> None:
        self.stopped = True

    def turn(self, longest_s: float) -> list[Outcome]:
        self.now += longest_s
        ended, self.waits = self.waits, []
        return ended


def trial(number: int, bench: Bench, hidden_s: float = HIDDEN_S, messages: int = 1) -> Trial:
    held = [
        Held({"MessageId": f"{number}.{n}", "ReceiptHandle": "r", "Body": ""}, bench.now + hidden_s)
        for n in range(messages)
    ]
    return Trial(Whole(reader.of_content(LETTER), held), number, b"{}", ("interaction.created",))


def test_every_message_of_a_settled_letter_is_deleted(caplog: pytest.LogCaptureFixture) -> None:
    """Of a letter in parts each one; a letter counts once, though several events came of it."""
    bench = Bench()
    bench.events = 3
    bench.redriving.round([trial(1, bench, messages=2), trial(2, bench)])
    assert bench.published == [1, 1, 1, 2, 2, 2]
    assert sorted(bench.deleted) == ["1.0", "1.1", "2.0"]
    tally = bench.redriving.tally
    assert (tally.redriven, tally.left, +tally.failed_again, tally.ended_because) == (2, 0, {}, "")
    assert bench.seen[-1] == 2
    assert not bench.redriving.ended


def test_a_letter_goes_back_whole_where_one_of_its_events_failed() -> None:
    """Whatever became of its other events; its message goes once the new letter is stored."""
    bench = Bench()
    bench.events, bench.fails, bench.stores_back = 3, {1: Reason.REFUSED}, False
    deleted: list[list[str]] = []

    def collect() -> list[DeadLetter]:
        deleted.append(list(bench.deleted))
        bench.stores_back = len(deleted) > 3
        return Bench.collect(bench)

    bench.collect = collect  # type: ignore[method-assign]
    bench.redriving.round([trial(1, bench)])
    assert bench.redriving.tally.failed_again == {"refused (Code)": 1}
    assert bench.redriving.tally.redriven == 0
    assert deleted == [[]] * 4
    assert bench.deleted == ["1.0"]


def test_where_nothing_may_go_back_what_failed_again_stays() -> None:
    """It is counted, and its message is touched by nobody."""
    bench = Bench(sends_back=False)
    bench.fails = {1: Reason.REFUSED}
    bench.redriving.round([trial(1, bench)])
    assert bench.redriving.tally.failed_again == {"refused (Code)": 1}
    assert (bench.deleted, bench.back) == ([], [])


@pytest.mark.parametrize(("hidden_s", "left"), [(MARGIN_S - 0.01, 1), (MARGIN_S, 0)])
def test_a_letter_whose_time_runs_out_is_not_begun(hidden_s: float, left: int) -> None:
    """Another reader may have it before its call ends; one such part is enough."""
    bench = Bench()
    one = trial(1, bench, messages=2)
    one.whole.messages[1].hidden_until = bench.now + hidden_s
    bench.redriving.round([one])
    assert bench.redriving.tally.left == left
    assert bench.published == [1] * (1 - left)


def test_a_letter_that_another_reader_has_is_not_begun() -> None:
    """Its message is no longer ours to delete."""
    bench = Bench()
    one = trial(1, bench)
    one.whole.messages[0].lost = True
    bench.redriving.round([one, trial(2, bench)])
    assert (bench.redriving.tally.left, bench.published, bench.deleted) == (1, [2], ["2.0"])


def test_a_letter_that_gives_no_events_any_more_stays() -> None:
    """Its settings changed since it was tried: nothing was published, so nothing is deleted."""
    bench = Bench()
    bench.events = 0
    bench.redriving.round([trial(1, bench)])
    assert (bench.redriving.tally.left, bench.redriving.tally.redriven, bench.deleted) == (1, 0, [])


def test_an_outage_ends_it_and_everything_that_is_not_settled_stays() -> None:
    """The letter that met it, and those behind it: none goes back as failed, none is deleted, none is begun."""
    bench = Bench()
    bench.room, bench.fails = 1, {2: Reason.OUTAGE}
    bench.redriving.round([trial(number, bench) for number in (1, 2, 3, 4)])
    tally = bench.redriving.tally
    assert (tally.redriven, tally.left, +tally.failed_again) == (1, 3, {})
    assert tally.ended_because == f"{why_refused('Code')}; the rest stays in the queue"
    assert (bench.published, bench.deleted, bench.back) == ([1, 2], ["1.0"], [])
    assert bench.stopped
    assert bench.redriving.ended


def stop_it(bench: Bench) -> None:
    bench.asked = True


def lose_the_bus(bench: Bench) -> None:
    bench.bus_gone = True


@pytest.mark.parametrize(("why", "said"), [(stop_it, "broken off"), (lose_the_bus, "the event bus is gone")])
def test_what_is_under_way_at_a_stop_is_seen_to_its_end(why: Callable[[Bench], None], said: str) -> None:
    """What is in flight is heard, and deleted where it is settled; nothing more is begun, and the rest is left."""
    bench = Bench()
    bench.room = 1
    one, two, three = (trial(number, bench) for number in (1, 2, 3))
    turns = 0

    def turn(longest_s: float) -> list[Outcome]:
        nonlocal turns
        turns += 1
        bench.in_flight = int(turns < 8)
        if turns == 1:
            why(bench)
            bench.now += longest_s
            return []
        return Bench.turn(bench, longest_s) if turns == 8 else []

    bench.turn = turn  # type: ignore[method-assign]
    bench.redriving.round([one, two, three])
    tally = bench.redriving.tally
    assert tally.ended_because.startswith(said)
    assert (bench.published, bench.deleted) == ([1], ["1.0"])
    assert (tally.redriven, tally.left) == (1, 2)


@pytest.mark.parametrize(
    ("waits_for", "gone", "seconds"), [("proof", False, END_WITHIN_S), ("proof", True, 0.0), ("", False, 0.0)]
)
def test_after_a_stop_the_proof_of_the_bus_is_waited_for_but_not_without_end(
    waits_for: str, gone: bool, seconds: float
) -> None:
    """What was accepted becomes settled with it; of a bus that is gone there will be none."""
    bench = Bench()
    bench.silent, bench.unproven = {1}, int(waits_for == "proof")

    def stops(tally: Tally) -> None:
        bench.asked, bench.bus_gone = True, gone

    took_s = how_long(bench, stops)
    assert seconds <= took_s <= seconds + 1.0
    assert (bench.redriving.tally.left, bench.deleted) == (1, [])


def test_after_a_stop_a_letter_on_its_way_back_is_waited_for() -> None:
    """Else its event would be in the queue twice: its own message was not deleted yet."""
    bench = Bench()
    bench.fails, bench.stores_back = {1: Reason.REFUSED}, False

    def stops(tally: Tally) -> None:
        bench.asked, bench.stores_back = True, bench.now >= 1_010.0

    assert 9.0 <= how_long(bench, stops) <= 11.0
    assert (bench.redriving.tally.left, bench.deleted) == (0, ["1.0"])


def test_a_letter_that_could_not_go_back_is_left_and_nothing_else() -> None:
    """The queue takes none: it is not said to be there with its history. What SQS says of it ends the redrive."""
    bench = Bench()
    bench.fails, bench.stores_back = {1: Reason.REFUSED}, False
    bench.trouble = "AccessDenied"
    bench.redriving.round([trial(1, bench)])
    tally = bench.redriving.tally
    assert (+tally.failed_again, tally.left, bench.deleted) == ({}, 1, [])
    assert tally.ended_because.startswith("nothing more ends (AccessDenied)")


@pytest.mark.parametrize(("gone", "unproven"), [(False, 3), (True, 0)])
def test_what_was_accepted_and_never_proven_is_told(gone: bool, unproven: int) -> None:
    """It stays in the queue, and the next redrive publishes it a second time; a bus that is gone has nothing of it."""
    bench = Bench()
    bench.silent, bench.unproven, bench.last_code = {1}, 3, "ThrottlingException"

    def lose(_: Tally) -> None:
        bench.bus_gone = gone

    how_long(bench, lose)
    tally = bench.redriving.tally
    assert (tally.left, tally.unproven, bench.deleted) == (1, unproven, [])
    assert gone or "allow events:DescribeEventBus" in tally.ended_because


def how_long(bench: Bench, stops: Callable[[Tally], None]) -> float:
    """Seconds that a round of one letter takes; `stops` is called once a turn."""
    bench.redriving._progress = stops
    begun = bench.now
    bench.redriving.round([trial(1, bench)])
    return bench.now - begun


def test_where_nothing_ends_it_gives_up_and_names_the_trouble() -> None:
    """The latest code of a call that failed, else what the queue said."""
    bench = Bench()
    bench.silent = {1}
    bench.redriving.patience_s = 5.0
    bench.redriving.round([trial(1, bench)])
    assert bench.redriving.tally.ended_because.startswith("nothing more ends (AccessDenied)")
    assert bench.redriving.tally.left == 1
    assert bench.deleted == []


def test_while_sqs_deletes_nothing_no_letter_is_begun() -> None:
    """Each would go out again with the next redrive; what is under way ends, and a delete that goes through goes on."""
    bench = Bench()
    bench.room, bench.last_code = 1, "ThrottlingException"

    def refuses(_: Tally) -> None:
        bench.deletes_nothing = 1_005.0 <= bench.now < 1_015.0 or bench.now >= 1_020.0

    bench.redriving._progress = refuses
    bench.redriving.patience_s = 60.0
    bench.redriving.round([trial(number, bench) for number in range(1, 101)])
    assert 1_078.0 <= bench.now <= 1_082.0
    assert bench.published == list(range(1, 41))
    tally = bench.redriving.tally
    assert (tally.redriven, tally.left) == (40, 60)
    assert tally.ended_because.startswith("nothing more ends (SQS deletes nothing: AccessDenied)")


def test_a_letter_that_is_stored_again_is_a_move() -> None:
    """Where letters go back slowly, one after the other, nobody loses patience."""
    bench = Bench()
    bench.events, bench.fails = 1, {1: Reason.REFUSED, 2: Reason.REFUSED}
    bench.redriving.patience_s = 5.0

    def collect() -> list[DeadLetter]:
        due = bench.back and bench.now >= 1_000.0 + 4.0 * (3 - len(bench.back))
        return [bench.back.pop(0)] if due else []

    bench.collect = collect  # type: ignore[method-assign]
    bench.redriving.round([trial(1, bench), trial(2, bench)])
    assert bench.now - 1_000.0 >= 8.0
    assert (bench.redriving.tally.ended_because, bench.deleted) == ("", ["1.0", "2.0"])


def test_at_the_end_deletes_are_seen_through_and_the_rest_is_given_back() -> None:
    """For a while: a queue that answers nothing keeps nobody."""
    bench = Bench()
    bench.redriving.close()
    assert (bench.given_back, bench.seen_through_s) == (1, END_WITHIN_S)

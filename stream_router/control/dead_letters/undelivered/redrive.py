"""`stream-router dlq redrive --undelivered`: publishes again what the rule's target did not take, with the same Detail.

PutEvents knows no target: every rule that matches gets the events. So the other rules and targets are named first.
"""

import time
from collections.abc import Callable

from stream_router.aws.clients import Clients
from stream_router.control.dead_letters.desk import Desk
from stream_router.control.dead_letters.queue.gathering import Gathering, Whole
from stream_router.control.dead_letters.queue.selection import Selection
from stream_router.control.dead_letters.redriving.redrive import Redrive
from stream_router.control.dead_letters.redriving.settling import Tally
from stream_router.control.dead_letters.redriving.summary import How, Words
from stream_router.control.dead_letters.redriving.trial import Trial, Tries, not_tried
from stream_router.control.dead_letters.telling import say, warn
from stream_router.control.dead_letters.undelivered import others, reading, stream
from stream_router.control.dead_letters.undelivered.reading import Undelivered
from stream_router.control.lines import count_of
from stream_router.control.republish.republisher import Again, token_of, unedited
from stream_router.control.stream.shards import UnreadableError
from stream_router.model import DeadLetter, Entry, Event, Made
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetters
from stream_router.pipeline.sinks.dead_letters.reader import UnavailableLetterError, UnreadableLetterError
from stream_router.process import iso

MOST_SEEN_AFTER = 1_000
"""Messages that the last look takes in hand: with --limit the queue may hold any number that nobody asked for."""

UNMASKED = "a v2 bus keeps no payload, so their Detail is made anew, and STREAM_ROUTER_MASKING is off here: unmasked"


class UndeliveredTrials:
    """Makes entries of EventBridge's messages: of a classic bus from the message, of a v2 bus from the stream."""

    def __init__(self, transform: Callable[[Event], Made]) -> None:
        self._transform = transform
        self._number = 0
        self.found = stream.Found({}, "")

    def __call__(self, whole: Whole) -> Trial:
        """Try one message."""
        self._number += 1
        letter, number = whole.letter, self._number
        assert isinstance(letter, Undelivered)
        if not letter.is_ours:
            return Trial(whole, number, b"", skipped="the event is not one that we publish")
        try:
            entries = self._entries(letter, number, whole.messages[0].id)
        except UnreadableLetterError as error:
            return not_tried(whole, number, error)
        return Trial(whole, number, b"", tuple(entry.detail_type for entry in entries), "", entries)

    def entries(self, trial: Trial) -> list[Entry]:
        """They are made already."""
        return list(trial.entries)

    def _entries(self, letter: Undelivered, number: int, message_id: str) -> tuple[Entry, ...]:
        if not letter.lost:
            return (reading.entry_of(letter, number, message_id),)
        return tuple(self._again(token, number) for token, _ in letter.lost)

    def _again(self, token: str, number: int) -> Entry:
        if token != unedited(token):
            raise UnreadableLetterError("it was edited by hand, and the stream has it as it was before")
        event = self.found.events.get(token)
        if event is None:
            raise (UnavailableLetterError if self.found.unread else UnreadableLetterError)(self.found.why_not)
        made = event if isinstance(event, DeadLetter) else self._transform(event)
        if not isinstance(made, Entry):
            raise UnreadableLetterError("the present settings make no event of it any more")
        record = Again(b"", token_of(made.event), number, alone=True)
        return made._replace(event=made.event._replace(record=record))


class UndeliveredRedrive(Redrive):
    """One redrive of EventBridge's own dead letters."""

    words = Words("published again", "failed again, still in the queue")

    def __init__(self, desk: Desk, selection: Selection, how: How, asked: Callable[[], bool], started_at: str) -> None:
        self._samples: dict[str, str] = {}
        self._targets: set[str] = set()
        self._known: set[str] = set()
        self._came_back = 0
        super().__init__(desk, selection, how, asked, started_at)

    def _tries(self) -> Tries:
        self._undelivered = UndeliveredTrials(self._plain)
        return self._undelivered

    def _gathers(self) -> Gathering:
        # What is published here and not delivered comes back at once: taken again, it would go round without end.
        return Gathering(self._desk.messages, self._selection, "", reading.read, old_only=True)

    def _look_after(self, tally: Tally) -> None:
        """What the target refuses outright comes back within a moment, known by its event."""
        if not tally.redriven or self._asked():
            return
        self._desk.messages.look_again()
        after = Gathering(self._desk.messages, Selection(), "", reading.read)
        after.gather(lambda: not self._asked(), limit_seen=MOST_SEEN_AFTER)
        self._came_back = sum(self._is_back(one) for one in after.whole)

    def _is_back(self, one: Whole) -> bool:
        """Whether it is of an event that was in hand, and is not older: another target's message may be."""
        assert isinstance(one.letter, Undelivered)
        is_known = not self._known.isdisjoint(one.letter.identities)
        return is_known and one.sent_ms >= self._desk.messages.begun_ms

    def _report(self, tally: Tally, refused: str) -> int:
        status = super()._report(tally, refused)
        if later := self._gathering.came_later:
            warn(
                f"stream-router dlq: {count_of(later, 'message')} came since this redrive began: the target still "
                "takes not all events; they stay in the queue, so mend the target, and redrive again"
            )
        if back := self._came_back:
            warn(
                f"stream-router dlq: {back:,} of them came back: the target still does not take them; they stay in "
                "the queue, so mend the target, and redrive again"
            )
        elif tally.redriven:
            since = iso(int(self._desk.messages.begun_ms or time.time() * 1000))
            say(
                "whether the target takes them is not known yet: EventBridge tries as long as the target's retry "
                f"policy says (an hour, as `setup` makes it). Look then: stream-router dlq list --undelivered --since "
                f"{since}"
            )
        return 1 if later or back else status

    def _sends_back(self) -> DeadLetters | None:
        return None

    def _take_in_hand(self) -> list[Whole]:
        taken = sorted(super()._take_in_hand(), key=_time_ms)  # they tell no place in the stream
        letters = [one.letter for one in taken if isinstance(one.letter, Undelivered)]
        for letter in letters:
            self._targets.add(letter.target_arn)
            self._known |= letter.identities
            if letter.event:
                self._samples.setdefault(letter.event_type, letter.event)
        if wanted := [lost for letter in letters for lost in letter.lost]:
            self._undelivered.found = self._of_stream(wanted)
        return taken

    def _of_stream(self, wanted: list[tuple[str, str]]) -> stream.Found:
        """The events of a v2 bus. What is in hand stays hidden, however long that takes."""
        clients, messages = Clients(self._desk.settings.aws_region), self._desk.messages
        try:
            return stream.find(
                clients, self._desk.settings.stream, wanted, self._asked, lambda: messages.turn(0.0), say
            )
        except UnreadableError as error:
            return stream.Found({}, str(error), unread=True)

    def _notes(self, types: set[str]) -> list[str]:
        samples = {name: event for name, event in self._samples.items() if name in types}
        lines = others.look(self._desk.settings, samples, self._targets).lines
        told = [f"they get these events too: {line}" if line.startswith("rule ") else line for line in lines]
        return [*told, UNMASKED] if self._undelivered.found.events and not self._unmarked.policy else told


def _time_ms(one: Whole) -> int:
    assert isinstance(one.letter, Undelivered)
    return one.letter.time_ms

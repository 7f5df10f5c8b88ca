"""`stream-router dlq redrive`: dead letters back to life, through the present mapping, masking and settings."""

from collections import Counter, deque
from collections.abc import Callable

from stream_router import limits
from stream_router.control.dead_letters.desk import Depth, Desk, tell_hidden, tell_hidden_since, unseen
from stream_router.control.dead_letters.queue import gathering, put_back
from stream_router.control.dead_letters.queue.gathering import Gathering, QueueUnreadableError, Whole
from stream_router.control.dead_letters.queue.selection import Selection
from stream_router.control.dead_letters.redriving import reopening
from stream_router.control.dead_letters.redriving.settling import Means, Redriving, Tally
from stream_router.control.dead_letters.redriving.summary import How, Summary, Words
from stream_router.control.dead_letters.redriving.trial import Trial, Trials, Tries
from stream_router.control.dead_letters.telling import Bar, say
from stream_router.control.lines import count_of
from stream_router.control.republish import preconditions
from stream_router.control.republish.fitting import fitting
from stream_router.control.republish.patience import patience_at
from stream_router.control.republish.republisher import SECOND_COPIES
from stream_router.log import plain
from stream_router.model import Event, Made
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetters
from stream_router.pipeline.sinks.dead_letters.reader import Letter

BROKEN_OFF = "broken off: there may be letters that were not looked at"


ADD_YES = "see the note above; add --yes to go on all the same"

MAX_OPENED_BYTES = 32 * 1024 * 1024
"""Events that are opened at once: gzipped, all letters in hand may be fifty times as large as their messages. An event
takes some times its size while it is published."""


class Refused(Exception):  # noqa: N818 - an answer, not an error of the program
    """Nothing was published, nothing deleted: the text says why."""


class Redrive:
    """One redrive. What failed again after `started_at` (ISO 8601) is not taken once more."""

    words = Words("redriven", "failed again, back in the queue")

    def __init__(self, desk: Desk, selection: Selection, how: How, asked: Callable[[], bool], started_at: str) -> None:
        self._desk, self._how, self._asked = desk, how, asked
        self._selection = selection._replace(maps_first=True)
        self._started_at = started_at
        self._unmarked = desk.connection.transform()
        self._plain = fitting(self._unmarked, desk.settings)
        self._ordered = desk.settings.ordering == "conversation"
        self._trials = self._tries()
        self._gathering = self._gathers()
        self._proven: set[str] = set()
        self._streams = {"", desk.settings.stream}
        self._policies = {""}
        self._skipped: Counter[str] = Counter()
        self._unavailable: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._in_hand: deque[Whole] = deque()
        self._eligible = 0

    def _tries(self) -> Tries:
        return Trials(self._transform, self._desk.fetch, take_all=self._how.take_all)

    def _gathers(self) -> Gathering:
        return Gathering(self._desk.messages, self._selection, self._started_at)

    def _sends_back(self) -> DeadLetters | None:
        return put_back.sender(self._desk.connection, self._desk.messages.queue_url)

    def _transform(self, letter: Letter, raw: bytes) -> Callable[[Event], Made]:
        """What makes events of a letter; of one that was edited by hand with a mark (docs/contract.md)."""
        mark = reopening.mark_of(letter, raw)
        return fitting(self._unmarked.marked(mark), self._desk.settings) if mark else self._plain

    def run(self) -> int:
        """Everything, to the summary."""
        desk, how = self._desk, self._how
        depth = desk.depth()
        means = Means(desk.messages, self._trials, desk.connection.republisher(how.rate), self._sends_back())
        say(f"{desk.messages.name} holds about {count_of(depth.visible, 'message')}")
        tell_hidden(depth)
        if limits.is_v2_bus(desk.settings.event_bus):
            say(SECOND_COPIES)
        refused = ""
        with Bar(self.words.done) as bar:
            redriving = Redriving(means, self._asked, lambda tally: self._show(bar, tally, depth.visible))
            redriving.patience_s = patience_at(how.rate, desk.settings.event_bus)
            try:
                with redriving:
                    self._rounds(redriving)
                    redriving.tally.ended_because = redriving.tally.ended_because or self._unseen(depth)
                    self._look_after(redriving.tally)
            except (Refused, QueueUnreadableError) as error:
                refused = str(error)
            except Exception as error:  # only the summary says what was published before it
                self._report(redriving.tally, f"{type(error).__name__}, unforeseen")
                raise
        tell_hidden_since(desk, depth, self._gathering.seen)
        return self._report(redriving.tally, refused)

    def _unseen(self, before: Depth) -> str:
        """Why not every letter was looked at, where the queue gave no more."""
        return (
            "" if self._reached_limit() or self._asked() else unseen(self._desk.messages, before, self._gathering.seen)
        )

    def _look_after(self, tally: Tally) -> None:
        """What there is to be seen once all are published."""

    def _rounds(self, redriving: Redriving) -> None:
        while not redriving.ended and not self._asked() and self._round(redriving):
            pass
        self._gathering.end()
        if self._how.dry_run and self._types:
            self._look(self._types)

    def _round(self, redriving: Redriving) -> bool:
        """Once around; whether there may be more."""
        if not self._in_hand:
            self._in_hand += self._take_in_hand()
        eligible = self._open()
        self._see_origins(eligible)
        if eligible and not self._how.dry_run:
            self._prove(eligible)
            redriving.round(eligible)
        elif eligible:
            self._types.update(name for trial in eligible for name in trial.event_types)
        return not self._reached_limit() and bool(self._in_hand or eligible or not self._desk.messages.dry)

    def _open(self) -> list[Trial]:
        """Of the letters in hand as many, tried, as memory takes at once: those that can be redriven."""
        eligible: list[Trial] = []
        size = 0
        # A letter that kills its process, or lies in S3, takes seconds: a stop is heard between two.
        while self._in_hand and size < MAX_OPENED_BYTES and not self._reached_limit() and not self._asked():
            trial = self._trials(self._in_hand.popleft())
            self._desk.messages.turn(0.0)
            if trial.skipped:
                (self._unavailable if trial.unavailable else self._skipped)[trial.skipped] += 1
            elif trial.whole.letter.event_type or any(map(self._selection.takes_type, trial.event_types)):
                eligible.append(trial)
                self._eligible += 1
                size += trial.size_bytes
        return eligible

    def _take_in_hand(self) -> list[Whole]:
        """Letters of the queue, oldest first."""
        most = 0 if self._ordered or not self._how.limit else max(1, self._how.limit - self._eligible)
        self._gathering.gather(lambda: not self._asked(), most)
        if self._ordered and self._gathering.is_full and not self._desk.messages.dry:
            raise Refused(
                f"more than {gathering.MAX_LETTERS:,} dead letters cannot be put in order at once "
                "(STREAM_ROUTER_ORDERING=conversation); choose fewer, with --until for example"
            )
        return self._gathering.take_round()

    def _reached_limit(self) -> bool:
        return bool(self._how.limit) and self._eligible >= self._how.limit

    def _see_origins(self, eligible: list[Trial]) -> None:
        """Letters of another stream may be another deployment's, whose bus is not ours, or whose events are masked.

        Raises Refused.
        """
        letters = [trial.whole.letter for trial in eligible]
        streams = {letter.origin.stream for letter in letters} - self._streams
        policies = set() if self._unmarked.policy else {letter.masking for letter in letters} - self._policies
        self._streams |= streams
        self._policies |= policies
        for name in sorted(streams):
            say(
                f"note: here are dead letters of stream {plain(name)}, and STREAM_ROUTER_STREAM is "
                f"{self._desk.settings.stream}: see that queue, bus and rule belong together"
            )
        for policy in sorted(policies):
            say(
                f"note: the consumer masked by {plain(policy)} when it wrote these letters, and STREAM_ROUTER_MASKING "
                "is off here: their events would go out unmasked"
            )
        if (streams or policies) and not self._how.yes and not self._how.dry_run:
            raise Refused(ADD_YES)

    def _prove(self, eligible: list[Trial]) -> None:
        """Before anything of a type is published, let alone deleted. Raises Refused."""
        types = {name for trial in eligible for name in trial.event_types} - self._proven
        if types:
            self._look(types)
            self._proven |= types

    def _look(self, types: Counter[str] | set[str]) -> None:
        verdict = preconditions.look(self._desk.settings, types)
        if verdict.refusals:
            raise Refused("; ".join(verdict.refusals))
        notes = [*verdict.unjudged, *self._notes(set(types))]
        for line in notes:
            say(f"note: {line}")
        if notes and not self._how.yes and not self._how.dry_run:
            raise Refused(ADD_YES)

    def _notes(self, types: set[str]) -> list[str]:
        """What else the operator should say yes to before events of these types go out."""
        return []

    def _show(self, bar: Bar, tally: Tally, about: int) -> None:
        failed = sum(tally.failed_again.values())
        bar.at(tally.redriven, max(about, self._eligible), f", {failed} failed again" if failed else "")

    def _report(self, tally: Tally, refused: str) -> int:
        ended = tally.ended_because or (BROKEN_OFF if self._asked() else "")
        if refused:
            ended = f"{refused}; nothing more was published, and what was not settled stays"
        summary = Summary(
            self.words,
            self._gathering,
            self._skipped + self._gathering.skipped,
            self._unavailable + self._gathering.unavailable,
            self._eligible,
            self._types if self._how.dry_run and not refused else None,
            tally.left + (0 if self._reached_limit() else len(self._in_hand)),
            ended,
        )
        return summary.tell(tally, self._desk.messages, self._how, self._selection.id)

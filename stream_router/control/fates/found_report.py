"""What `find` says: each event that was asked for, where it is and what is certain of it."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from stream_router.control.fates.books import UndeliveredBook, place_of
from stream_router.control.fates.judge import Fate, Judge, why_dead, why_undelivered
from stream_router.control.fates.wanted import Wanted
from stream_router.control.stream import positions
from stream_router.control.stream.reader import Span
from stream_router.control.stream.sightings import Sighting
from stream_router.log import plain
from stream_router.model import DeadLetter, Entry, Event, Made
from stream_router.pipeline.sinks.dead_letters.reader import Letter
from stream_router.process import iso

_PASSED = {True: "past it", False: "not past it", None: "not known"}


class Answer(NamedTuple):
    """What was found. `missing`: why some of the stream was not read; `unseen`: why some of the queues was not seen.

    `uncompared`: why some letters may be of an interaction or a conversation, and nobody can tell.
    """

    wanted: Wanted
    span: Span
    sightings: Sequence[Sighting]
    buried: Sequence[Letter]
    undelivered: UndeliveredBook
    missing: str
    unseen: str
    uncompared: str = ""

    @property
    def found_ids(self) -> set[str]:
        """Every event that is anywhere."""
        ids = {one.event.event_id for one in self.sightings} | {one.origin.event_id for one in self.buried}
        return ids | {
            one.event_id for one in self.undelivered.all if self.wanted.takes_detail(one.event_id, one.detail)
        }

    @property
    def is_complete(self) -> bool:
        """Whether each id that was asked for was found; for an interaction or a conversation, whether all was seen."""
        if self.wanted.by_id:
            return set(self.wanted.ids) <= self.found_ids
        return bool(self.found_ids) and not self.missing


def lines(answer: Answer, judge: Judge, transform: Callable[[Event], Made]) -> Iterator[str]:
    """The report, line by line."""
    seen = set()
    for one in answer.sightings:
        seen.add(one.event.event_id)
        yield from _sighted(one, judge, transform)
    told = {one.place for one in answer.sightings}
    for letter in answer.buried:  # one at another place is of another copy of the event
        if letter.origin.event_id not in seen or place_of(letter) not in told:
            seen.add(letter.origin.event_id)
            yield from _buried_only(letter)
    for lost in answer.undelivered.all:
        if lost.event_id not in seen and answer.wanted.takes_detail(lost.event_id, lost.detail):
            seen.add(lost.event_id)
            yield from _block(lost.event_id, "", [("fate", Fate.UNDELIVERED.value), ("", why_undelivered(lost))])
    yield from _unseen(answer, seen)


def _unseen(answer: Answer, seen: set[str]) -> Iterator[str]:
    since = iso(answer.span.since_ms)
    if answer.missing:
        nothing = f"cannot be judged: {answer.missing}"
    else:
        queues = f"; not all of the queues was seen: {answer.unseen}" if answer.unseen else ""
        no_queue = "no queue that was seen" if answer.unseen else "no queue"
        received = "not received since then, unless a receiver's spill still has it"
        nothing = f"not in the stream since {since}, and in {no_queue}: {received}{queues}"
    more = answer.missing if answer.wanted.by_id else "; ".join(filter(None, (answer.missing, answer.unseen)))
    if more and seen:
        yield f"there may be more: {more}"
    if not answer.wanted.by_id and not seen:
        yield f"{answer.wanted.text()}: {nothing}"
    for event_id in dict.fromkeys(answer.wanted.ids):
        if event_id not in seen:
            yield from _block(event_id, "", [("fate", nothing)])


def _sighted(one: Sighting, judge: Judge, transform: Callable[[Event], Made]) -> Iterator[str]:
    verdict, event = judge(one), one.event
    record = positions.text(one.position)
    line = f", line {event.line}" if event.line else ""
    facts = [
        ("stream", f"shard {one.shard_id}"),
        ("", f"record {record}{line}"),
        ("received", f"{iso(event.received_at_ms)}, stored {iso(one.arrived_at_ms)}"),
        ("checkpoint", _PASSED[judge.has_passed(one)]),
        ("fate", verdict.fate.value),
        ("", verdict.why),
    ]
    yield from _block(event.event_id, _type_of(one, transform), facts)


def _type_of(one: Sighting, transform: Callable[[Event], Made]) -> str:
    made = one.found if isinstance(one.found, DeadLetter) else transform(one.found)
    return made.detail_type if isinstance(made, Entry) else made.event_type


def _buried_only(letter: Letter) -> Iterator[str]:
    at = letter.origin
    facts = [
        ("stream", f"was at shard {at.shard_id}"),
        ("", f"record {at.sequence_number}, line {at.line}"),
        ("received", at.received_at),
        ("fate", Fate.DEAD.value),
        ("", why_dead(letter)),
    ]
    yield from _block(at.event_id, letter.event_type, facts)


def _block(event_id: str, event_type: str, facts: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield plain(f"{event_id}  {event_type}".rstrip())
    for name, text in facts:
        if text:
            yield f"  {name:<10}  {plain(text)}"

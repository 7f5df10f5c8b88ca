"""`stream-router dlq import`: what `export` wrote, perhaps mended by hand, goes back into the queue.

What is still in the queue is refused: it would be there twice. What was edited keeps its event's identity and is marked
as edited, so that a redrive tells consumers (`metadata.replayed`).
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stream_router.control.dead_letters import listing
from stream_router.control.dead_letters.desk import Desk, unseen
from stream_router.control.dead_letters.export_file import ExportFile, UnusableFileError, digest
from stream_router.control.dead_letters.exporting import SCHEMA
from stream_router.control.dead_letters.json_members import member_texts
from stream_router.control.dead_letters.listing import Seen
from stream_router.control.dead_letters.queue import put_back
from stream_router.control.dead_letters.queue.held import Held
from stream_router.control.dead_letters.showing import ALL
from stream_router.control.dead_letters.telling import Bar, Interrupt, say, warn
from stream_router.control.lines import count_of
from stream_router.log import plain
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.parts import PartsKey, parts_key
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnreadableLetterError
from stream_router.process import failpoint

MOST_LETTERS, MOST_BYTES = 1_000, 16 * 1024 * 1024
"""Letters that are under way at once."""

PATIENCE_S = 60.0
"""Where the queue takes nothing for so long, the rest is not sent."""


class Line(NamedTuple):
    """One line of the file: the letter to be sent, and its event's line."""

    letter: Letter
    raw: bytes

    @property
    def key(self) -> tuple[object, ...]:
        """What no two letters in one queue have in common."""
        return (*self.letter.place, self.letter.origin.event_id)


def run(desk: Desk, file: Path) -> int:
    """The command. 0, or 1 where the file cannot be used, or some of it was refused or not sent."""
    try:
        lines = opened(file)
    except (OSError, UnusableFileError) as error:
        warn(f"stream-router dlq: {file}: {error}; nothing was imported")
        return 1
    with lines:
        return _import(desk, lines)


def _import(desk: Desk, lines: ExportFile[Line]) -> int:
    asked = Interrupt()
    still_there: dict[bytes, str] = {}
    parts: dict[PartsKey, set[int]] = {}

    def take(held: Held) -> bool:
        try:
            letter = reader.read(held.body, held.attributes)
        except UnreadableLetterError:
            return False
        key = digest((*letter.place, letter.origin.event_id))
        if key in lines.keys and _is_whole(letter, parts):
            still_there[key] = letter.origin.event_id
        return False

    seen = listing.look(desk, ALL, take, asked)
    if asked():
        warn("stream-router dlq: broken off; nothing was imported")
        return 1
    tell_uncompared(desk, seen, "a redrive publishes two equal letters once, but an edited one and its original both")
    wanted = (line for line in lines if digest(line.key) not in still_there)
    refused = sum(lines.keys[key] for key in still_there)
    sending = Sending(desk, wanted, asked)
    sending.run(lines.keys.total() - refused)
    return _report(lines.keys.total(), refused, list(still_there.values()), sending)


def _is_whole(letter: Letter, parts: dict[PartsKey, set[int]]) -> bool:
    """Whether all of a letter was seen by now: of one that an import sent in part the rest is in the file alone."""
    if letter.part is None:
        return True
    seen = parts.setdefault(parts_key(letter), set())
    seen.add(letter.part.n)
    return len(seen) >= letter.part.of


def tell_uncompared(desk: Desk, seen: Seen, then: str) -> None:
    """Say of messages that may be in the file and in the queue too, where there are any, what comes of it `then`."""
    if more := unseen(desk.messages, seen.depth, seen.messages):
        warn(f"stream-router dlq: {more}; what of them is in the file too is in the queue twice then: {then}")
    if seen.depth.hidden:
        say(
            f"note: {count_of(seen.depth.hidden, 'message')} held by another reader could not be compared. After an "
            "`export --take` that was killed they are those of this file, which are in the queue twice then: "
            f"{then}. To have none twice, import five minutes after the export ended"
        )


def tell_left(left: int, why: str = "") -> None:
    """Say that so many of the file were not sent, where there are any."""
    if left:
        warn(
            f"stream-router dlq: {f'{why}; ' if why else ''}{left:,} were not sent; import the file again, what is in "
            "the queue by then is refused"
        )


def _report(total: int, refused: int, still_there: list[str], sending: "Sending") -> int:
    say(f"imported {count_of(sending.stored, 'dead letter')}, {sending.edited:,} of them edited; redrive them next")
    if refused:
        say(f"refused {refused:,}: still in the queue")
        for event_id in still_there[:10]:
            say(f"  {plain(event_id)}")
    left = total - sending.stored - refused
    tell_left(left, sending.why)
    return 1 if refused or left else 0


class Sending:
    """Sends letters, so many at once as memory takes. `stored` and, of these, `edited` ones; `why` others are not."""

    def __init__(self, desk: Desk, lines: Iterator[Line], asked: Interrupt) -> None:
        self._connection, self._lines, self._asked = desk.connection, lines, asked
        self._sender = put_back.sender(desk.connection, desk.messages.queue_url)
        self._under_way: dict[int, Line] = {}
        self._number = self._bytes = 0
        self.stored = self.edited = 0
        self.why = ""

    def run(self, total: int) -> None:
        """Send all of them: `total`."""
        sender, moved_at = self._sender, time.monotonic()
        with Bar("imported") as bar:
            while self._goes_on() and time.monotonic() - moved_at < PATIENCE_S:
                sender.dispatcher.advance(flush=True)
                self._connection.wait(0.25)
                for letter in sender.collect():
                    failpoint("imported_before_counted")
                    self._stored(self._under_way.pop(letter.event.record.sequence_number))
                    moved_at = time.monotonic()
                bar.at(self.stored, total)
        nothing_ends = f"the queue takes no message ({sender.trouble or 'no answer'})"
        self.why = self.why or ("broken off" if self._asked() else nothing_ends)

    def _goes_on(self) -> bool:
        """Whether something is under way, once more was begun; after a stop only what is in flight."""
        if self._asked():
            self._sender.dispatcher.gate.stop()
            return bool(self._under_way and self._sender.dispatcher.flight.calls)
        try:
            self._begin()
        except (OSError, UnusableFileError) as error:  # it was whole as it was opened
            self.why, self._lines = f"the file changed meanwhile ({error})", iter(())
        return bool(self._under_way)

    def _begin(self) -> None:
        while len(self._under_way) < MOST_LETTERS and self._bytes < MOST_BYTES:
            if (line := next(self._lines, None)) is None:
                return
            self._number += 1
            self._under_way[self._number] = line
            self._bytes += len(line.raw)
            self._sender.submit([put_back.to_be_sent(line.letter, line.raw, self._number)])

    def _stored(self, line: Line) -> None:
        self._bytes -= len(line.raw)
        self.stored += 1
        self.edited += line.letter.edited


def opened(file: Path) -> ExportFile[Line]:
    """The file, each of its lines read once. Raises UnusableFileError, OSError."""
    return ExportFile(file, SCHEMA, _line, lambda line: line.key)


def _line(value: Any, text: str) -> Line:
    texts = member_texts(text)
    letter = reader.of_content(
        {**value["letter"], "record": value["record"]}, {"eventType": value.get("eventType", "")}
    )
    raw, edited = reader.original(letter), None
    if value.get("event") is not None:
        edited = None if _is_same(raw, texts["event"]) else texts["event"].encode()
    elif "line" in value and value["line"].encode() != raw:
        edited = value["line"].encode()
    if edited is None:
        return Line(letter, raw)
    record = letter.record.model_copy(update={"data": reader.encoded(edited)["data"]})
    return Line(letter.model_copy(update={"record": record, "edited": True, "event_type": ""}), edited)


def _is_same(raw: bytes, text: str) -> bool:
    """Whether the event's line and its text in the file are written alike, but for blanks and the members' order."""
    try:
        return bool(_AS_WRITTEN.decode(raw.decode()) == _AS_WRITTEN.decode(text))
    except (ValueError, RecursionError):  # it is no JSON, or nests deeper than Python follows
        return raw == text.encode()


def _number(text: str) -> tuple[str]:
    """A number as it was written, equal to no text: as floats 123 and 123.0 are the same, and so are many long ones."""
    return (text,)


def _members(pairs: list[tuple[str, Any]]) -> Any:
    """An object; where a name stands twice all of its pairs, since a dictionary keeps the last alone."""
    members = dict(pairs)
    return members if len(members) == len(pairs) else (pairs,)


_AS_WRITTEN = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_number, parse_float=_number, parse_constant=_number
)

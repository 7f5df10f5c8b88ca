"""`stream-router dlq import`: what `export` wrote, perhaps mended by hand, goes back into the queue.

What is still in the queue is refused: it would be there twice. What was edited keeps its event's identity and is marked
as edited, so that a redrive tells consumers (`metadata.replayed`).
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson

from stream_router.control.dead_letters import listing, telling
from stream_router.control.dead_letters.desk import Desk
from stream_router.control.dead_letters.exporting import OF_UNDELIVERED, SCHEMA
from stream_router.control.dead_letters.listing import Seen
from stream_router.control.dead_letters.queue import put_back
from stream_router.control.dead_letters.queue.held import Held
from stream_router.control.dead_letters.showing import ALL
from stream_router.control.dead_letters.telling import Bar, Interrupt, say, warn
from stream_router.control.lines import plain
from stream_router.core.json_text.json_members import member_texts
from stream_router.core.process import failpoints
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnreadableLetterError

_T = TypeVar("_T")

WRITTEN_BY = {SCHEMA: "`export`", OF_UNDELIVERED: "`export --undelivered`"}
"""Which command writes lines of which schema."""

CUT_OFF = (
    "is cut off; an export that was broken off left what is in it in the queue: delete this line, and import again"
)

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


class UnusableFileError(ValueError):
    """The file is none of `export`'s; the text names the line."""


def run(desk: Desk, file: Path) -> int:
    """The command. 0, or 1 where the file cannot be used, or some of it was refused or not sent."""
    try:
        lines = read(file)
    except (OSError, UnusableFileError) as error:
        warn(f"stream-router dlq: {file}: {error}; nothing was imported")
        return 1
    asked = Interrupt()
    wanted, still_there = {line.key for line in lines}, set[tuple[object, ...]]()

    def take(held: Held) -> bool:
        try:
            letter = reader.read(held.body, held.attributes)
        except UnreadableLetterError:
            return False
        key = (*letter.place, letter.origin.event_id)
        if key in wanted:
            still_there.add(key)
        return False

    seen = listing.look(desk, ALL, take, asked)
    if asked():
        warn("stream-router dlq: broken off; nothing was imported")
        return 1
    tell_uncompared(seen, "a redrive publishes two equal letters once, but an edited one and its original both")
    refused = [line for line in lines if line.key in still_there]
    sent, why = _send(desk, [line for line in lines if line.key not in still_there], asked)
    return _report(lines, refused, sent, why)


def tell_uncompared(seen: Seen, then: str) -> None:
    """Say of messages that may be in the file and in the queue too, where there are any, what comes of it `then`."""
    if seen.depth.hidden:
        say(
            f"note: {telling.s(seen.depth.hidden, 'message')} held by another reader could not be compared. After an "
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


def _report(lines: list[Line], refused: list[Line], sent: list[Line], why: str) -> int:
    edited = sum(line.letter.edited for line in sent)
    say(f"imported {telling.s(len(sent), 'dead letter')}, {edited:,} of them edited; redrive them next")
    if refused:
        say(f"refused {len(refused):,}: still in the queue")
        for line in refused[:10]:
            say(f"  {plain(line.letter.origin.event_id)}")
    left = len(lines) - len(sent) - len(refused)
    tell_left(left, why)
    return 1 if refused or left else 0


def _send(desk: Desk, lines: list[Line], asked: Interrupt) -> tuple[list[Line], str]:
    """Send letters: those that are stored, every message of each, and why others, if any, are not."""
    sender = put_back.sender(desk.connection, desk.messages.queue_url)
    by_number = dict(enumerate(lines, 1))
    stored: list[Line] = []
    sender.submit([put_back.to_be_sent(line.letter, line.raw, number) for number, line in by_number.items()])
    moved_at = time.monotonic()
    with Bar("imported") as bar:
        while len(stored) < len(lines) and time.monotonic() - moved_at < PATIENCE_S:
            if asked():
                sender.dispatcher.gate.stop()
                if not sender.dispatcher.flight.calls:
                    break
            sender.dispatcher.advance(flush=True)
            desk.connection.wait(0.25)
            for letter in sender.collect():
                failpoints.reach("imported_before_counted")
                stored.append(by_number[letter.event.record.sequence_number])
                moved_at = time.monotonic()
            bar.at(len(stored), len(lines))
    return stored, "broken off" if asked() else f"the queue takes no message ({sender.trouble or 'no answer'})"


def read(file: Path) -> list[Line]:
    """Every line of the file. Raises UnusableFileError, OSError."""
    return lines_of(file, SCHEMA, _line)


def lines_of(file: Path, schema: str, read_line: Callable[[Any, str], _T]) -> list[_T]:
    """What `read_line` makes of each line, its value and its text. Raises UnusableFileError at the first bad one."""
    lines, content = [], file.read_bytes()
    texts = content.splitlines()
    for number, text in enumerate(texts, 1):
        if text.strip():
            value = None
            try:
                value = orjson.loads(text)
                lines.append(read_line(_of_schema(value, schema), text.decode()))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                if number == len(texts) and not content.endswith(b"\n"):
                    raise UnusableFileError(f"line {number}, the last, {CUT_OFF}") from None
                why = _other(value, schema) or type(error).__name__
                raise UnusableFileError(f"line {number} is none that {WRITTEN_BY[schema]} wrote ({why})") from None
    return lines


def _of_schema(value: Any, schema: str) -> Any:
    if value["schema"] != schema:
        raise ValueError(schema)
    return value


def _other(value: Any, schema: str) -> str:
    """Which other export wrote a line, and what to do; "" where none did."""
    found = str(value.get("schema")) if isinstance(value, dict) else ""
    if found == schema or found not in WRITTEN_BY:
        return ""
    return f"{WRITTEN_BY[found]} wrote it; import it {'with' if found == OF_UNDELIVERED else 'without'} --undelivered"


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

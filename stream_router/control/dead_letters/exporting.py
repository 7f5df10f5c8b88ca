"""`stream-router dlq export`: dead letters as JSON lines, for repair by hand. They hold what the customers wrote.

Each line has the letter without its data (`letter`), the event's line as it was (`record`, base64) and, to be edited,
`event` where the line is JSON, else `line` where it is text. `--take` deletes what is on disk for good.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from stream_router.control.dead_letters import listing, telling
from stream_router.control.dead_letters.desk import Desk, tell_hidden, tell_hidden_since, unseen
from stream_router.control.dead_letters.queue.gathering import Gathering, QueueUnreadableError, Read, Whole
from stream_router.control.dead_letters.queue.selection import Selection
from stream_router.control.dead_letters.telling import Bar, Interrupt, say, warn
from stream_router.control.lines import count_of
from stream_router.envelope import is_too_deep
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnreadableLetterError
from stream_router.process import failpoint, iso

SCHEMA = "stream-router.dead-letter-export/1"
OF_UNDELIVERED = "stream-router.undelivered-export/1"
"""The schema of `export --undelivered`'s lines: either import knows the other's by it."""

OF_THE_LETTER = {"record", "part", "event_type"}
"""What of a letter stands elsewhere in the line."""


class Form(NamedTuple):
    """What is exported: its name, what reads a message of it, and what writes a line of a whole one.

    Both raise UnreadableLetterError for what is then skipped, and stays in the queue.
    """

    noun: str
    read: Read
    line_of: Callable[[Desk, Whole], dict[str, Any]]


def run(desk: Desk, file: Path, selection: Selection, *, take: bool) -> int:
    """The command, for our own dead letters."""
    return export(desk, file, selection, Form("dead letter", reader.read, _line_of), take=take)


def export(desk: Desk, file: Path, selection: Selection, form: Form, *, take: bool) -> int:
    """Any form's. 0, or 1 where the file is there already, cannot be written, or something could not be exported."""
    asked = Interrupt()
    tell_hidden(depth := desk.depth())
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        warn(f"stream-router dlq: {file} cannot be written ({error.strerror}); name a new file")
        return 1
    gathering = Gathering(desk.messages, selection, "", form.read)
    work = _Export(desk, file, form, gathering, take=take)
    with work.told_of(), listing.giving_back(desk.messages):
        try:
            with open(handle, "wb") as out, Bar("exported") as bar:  # noqa: PTH123 - a descriptor, not a path
                while not asked() and work.round(out, asked):
                    bar.at(work.exported, max(depth.visible, work.exported))
            work.ended_because = unseen(desk.messages, depth, gathering.seen)
        except OSError as error:
            work.ended_because = f"{file} cannot be written ({error.strerror})"
        except QueueUnreadableError as error:
            work.ended_because = str(error)
    if asked() and not work.ended_because:
        work.ended_because = "broken off"
    gathering.end()
    tell_hidden_since(desk, depth, gathering.seen)
    is_whole = work.report()
    if unmet := selection.id and not work.exported and not work.skipped:
        warn(f"stream-router dlq: nothing of {selection.id} was seen that is meant")
    return 0 if is_whole and not unmet else 1


class _Export:
    """One export, round by round. `exported` letters are on disk for good; `ended_because`: why there are not more."""

    def __init__(self, desk: Desk, file: Path, form: Form, gathering: Gathering, *, take: bool) -> None:
        self._desk, self._file, self._form, self._gathering, self._take = desk, file, form, gathering, take
        self.exported = 0
        self.skipped: Counter[str] = Counter()
        self.ended_because = ""

    def round(self, out: BinaryIO, asked: Callable[[], bool]) -> bool:
        """Write what is in hand, then take it out of the queue; whether there may be more. Raises OSError."""
        self._gathering.gather(lambda: not asked())
        whole, written = self._gathering.take_round(), list[Whole]()
        for one in whole:
            if asked():
                break
            if _written(self._desk, one, self._form, out, self.skipped):
                written.append(one)
            self._desk.messages.turn(0.0)  # an object of S3 may take half a minute: what is held stays hidden
        out.flush()
        os.fsync(out.fileno())
        if self._take and written:
            _sync_folder(self._file)
        self.exported += len(written)
        if self._take and written:
            failpoint("exported_before_deleted")
            self._desk.messages.delete(held for one in written for held in one.messages)
        return bool(whole) or not self._desk.messages.dry  # all that is in hand may be parts, of no letter all

    def report(self) -> bool:
        """Say what was done; whether it is all."""
        messages, skipped = self._desk.messages, self.skipped + self._gathering.skipped + self._gathering.unavailable
        telling.tell_copies(self._gathering.copies)
        taken = "not all taken out of the queue" if messages.undeleted else "taken out of the queue"
        told = f"exported {count_of(self.exported, self._form.noun)} to {self._file}"
        say(f"{told}, and {taken if self._take else 'still in the queue'}; the file holds customers' data")
        telling.counted("skipped", skipped)
        if self.ended_because:
            warn(f"stream-router dlq: {self.ended_because}; what is not in the file stays in the queue")
            if self._take and self.exported:
                warn("stream-router dlq: what is in the file is out of the queue: keep it")
        if messages.undeleted:
            warn(
                f"stream-router dlq: {messages.undeleted:,} could not be deleted ({messages.trouble}): they are in both"
            )
        return not (skipped or self.ended_because or messages.undeleted or messages.unanswered)

    @contextlib.contextmanager
    def told_of(self) -> Iterator[None]:
        """Say after a second Ctrl-C, which no report follows, that the file may hold what the queue does not."""
        try:
            yield
        except KeyboardInterrupt:
            if self._take and self.exported:
                warn(f"stream-router dlq: what is in {self._file} may be out of the queue: keep it")
            raise


def _written(desk: Desk, whole: Whole, form: Form, out: Any, skipped: Counter[str]) -> bool:
    try:
        text = orjson.dumps(form.line_of(desk, whole))
    except UnreadableLetterError as error:
        skipped[str(error)] += 1
        return False
    except TypeError:  # the only thing that orjson cannot write of what it has read is deep nesting
        skipped["it nests deeper than a line of the file may"] += 1
        return False
    out.write(text + b"\n")
    return True


def _line_of(desk: Desk, whole: Whole) -> dict[str, Any]:
    return line_of(whole.letter, reader.original(whole.letter, desk.fetch), whole.sent_ms)


def line_of(letter: Letter, raw: bytes, sent_ms: int) -> dict[str, Any]:
    """One line of the file."""
    known: dict[str, Any] = letter.model_dump(by_alias=True, exclude=OF_THE_LETTER)
    line = {
        "schema": SCHEMA,
        "sentAt": iso(sent_ms),
        "eventType": letter.event_type,
        "letter": known,
        "record": reader.encoded(raw),
    }
    return {**line, **editable(raw)}


def editable(raw: bytes) -> dict[str, Any]:
    """The event in the form that a person can edit: JSON, else text; nothing where it is neither.

    JSON that nests deeper than an event may is text here: one level deeper, in the line, no import could read it.
    """
    try:
        value = orjson.loads(raw)
        if value is not None and not is_too_deep(value):  # a line break can only stand between two tokens
            return {"event": orjson.Fragment(raw.replace(b"\n", b" ").replace(b"\r", b" "))}
    except orjson.JSONDecodeError:
        pass
    try:
        return {"line": raw.decode()}
    except UnicodeDecodeError:
        return {}


def _sync_folder(file: Path) -> None:
    """The file's name is on disk too."""
    folder = os.open(file.resolve().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

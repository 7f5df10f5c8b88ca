"""`stream-router dlq`: what is in the dead-letter queues, and the way back to the stream (docs/dead-letters.md).

A redrive only puts lines on the stream, under the ids that they had; the consumer does the rest. A message is deleted
once its line has a sequence number. So whatever happens in between, a kill included, it is in the queue or on the
stream; perhaps in both, and then under one id.
"""

import codecs
import contextlib
import hashlib
import json
import os
import secrets
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from stream_router.aws.clients import Clients
from stream_router.consumer.transform_config import transform_config
from stream_router.envelope import (
    Resubmitted,
    conversation_of_line,
    is_too_deep,
    member,
    open_record,
    read_resubmitted,
    redriven,
    seal_line,
    unread,
)
from stream_router.log import plain, start_logging
from stream_router.model import Event, Reason, Record
from stream_router.operate import queue as queue_
from stream_router.operate.console import Stop, check_span, count_of, moment_ms, readable, say, stopping, write_line
from stream_router.operate.dry_run import transform_of, would_be
from stream_router.operate.queue import Message, Queue, Queued, QueueError, undelivered_url
from stream_router.operate.stream_writer import MOST_LINE_BYTES, Outgoing, StreamRefusesError, StreamWriter
from stream_router.operate.undelivered import Undelivered, before_they_go, undelivered_events
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.parts import PartsKey, join, parts_key
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnavailableLetterError, UnreadableLetterError
from stream_router.pipeline.transform import Transform
from stream_router.process import failpoint, iso, now_ms
from stream_router.settings import types
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load

SAMPLE = 1_000
"""Dead letters that `list` looks at: a thousand are mostly one mistake, and a look hides them from others."""

IDS_SHOWN = 3
"""Ids that `list` prints of each kind."""

IN_HAND, BYTES_IN_HAND = 10_000, 64 * 1024 * 1024
"""What a redrive sorts and puts at once; the rest comes after it."""

TIMES_MOST = 5
"""What came back so often wants a person, not another try."""

DELETED_AT_ONCE = 100
"""Messages whose lines are stored, before they are deleted: what a kill brings twice."""

EXPORT_SCHEMA = "stream-router.dead-letter-export/1"


class Chosen(NamedTuple):
    """The filters: all must hold, an empty one holds for everything. Times are when the letter was sent (epoch ms)."""

    reason: str = ""
    event_type: str = ""
    since_ms: int = 0
    until_ms: int = 0
    id: str = ""

    def takes(self, one: Queued) -> bool:
        """Whether it is meant."""
        return (
            self.reason in ("", one.reason)
            and self.event_type in ("", one.event_type)
            and (not self.since_ms or one.sent_ms >= self.since_ms)
            and (not self.until_ms or one.sent_ms < self.until_ms)
            and (not self.id or one.is_meant(self.id))
        )

    def options(self) -> list[str]:
        """The same as an operator types them."""
        since, until = (iso(at) if at else "" for at in (self.since_ms, self.until_ms))
        named = {"--reason": self.reason, "--event-type": self.event_type, "--since": since, "--until": until}
        return [word for name, value in {**named, "--id": self.id}.items() if value for word in (name, value)]


def chosen(reason: str, event_type: str, since: str, until: str, identity: str) -> Chosen:
    """From the command line. Raises SettingsError for a time that is none, or a span that is none."""
    now = int(now_ms())
    since_ms = moment_ms(since, "--since", now) if since else 0
    until_ms = moment_ms(until, "--until", now) if until else 0
    check_span(since_ms, until_ms or now)
    return Chosen(reason, event_type, since_ms, until_ms, identity)


# --- one of our dead letters in hand


class OurLetter(Queued):
    """One of our own dead letters."""

    def __init__(self, letter: Letter, messages: list[Message]) -> None:
        at = letter.origin
        error = letter.error
        super().__init__(messages, at.event_id, letter.event_type, letter.reason, error.code, error.message)
        self.letter, self.stream = letter, at.stream
        self.order = (at.sequence or 0, at.sub_sequence_number, at.line)
        self.key = (*letter.place, at.event_id) if at.sequence else None
        self.size_bytes = len(letter.record.data)

    @property
    def times(self) -> int:
        """How often an operator put it back before this."""
        told = read_resubmitted(self.letter.resubmitted)
        return told.times if told else 0

    def is_copy(self, other: Queued) -> bool:
        """Whether it is the same letter: sent twice, since a process died before it knew that it was stored."""
        return isinstance(other, OurLetter) and self.key == other.key and self.letter.record == other.letter.record

    def raw(self, clients: Clients) -> bytes:
        """The event's line. Raises UnreadableLetterError, UnavailableLetterError."""
        return reader.original(self.letter, lambda url: queue_.object_of(clients, url))

    def rows(self) -> dict[str, str]:
        """What `show` says of it."""
        letter, at = self.letter, self.letter.origin
        return {
            "event": f"{at.event_id or '(not known)'} ({at.id_from})",
            "event type": self.event_type or "(not known)",
            "reason": self.reason,
            "error": f"{self.code}: {self.text}",
            "attempts": str(letter.attempts),
            "buried": letter.failed_at,
            "received": at.received_at,
            "origin": f"{at.stream} {at.shard_id}",
            "sequence": f"{at.sequence_number}.{at.sub_sequence_number}, line {at.line}",
            "record": letter.record.encoding + (f", masked by {letter.masking}" if letter.masking else ""),
            "put back": letter.resubmitted or "never",
        }

    def exported(self) -> dict[str, Any]:
        """What stands in a line of `export` beside the event."""
        known = self.letter.model_dump(by_alias=True, exclude={"record", "part", "event_type", "entry"})
        return {"eventType": self.event_type, "letter": known}

    def masked(self, transform: Transform, raw: bytes) -> bytes:
        """The event as the policy masks it, which there must be; b"" where it cannot be masked."""
        if self.reason == Reason.CRASHED:
            return b""
        masked = transform.masked_raw(_unread(self.letter, raw))
        return b"" if _is_withheld(masked) else masked

    def passed_over(self, _: DeadLetters, *, named: bool, take_all: bool, yes: bool) -> str:
        """Why it does not go back; "" where it does. `named`: it was asked for by its reason or its id."""
        if self.letter.masking:
            return "stored masked: `stream-router replay --id ID` puts it back while the stream keeps the event"
        if self.reason == Reason.CRASHED and not named:
            return "killed a process: --reason crashed, or --id, takes it all the same"
        if self.times >= TIMES_MOST and not take_all:
            return f"came back {TIMES_MOST} times: mend its cause (`dlq show`); --all takes it all the same"
        return ""

    def line(self, raw: bytes, edited: bytes | None, settings: DeadLetters, run: str) -> bytes:
        """What goes on the stream. An edit has a run by its bytes: put back again, after a kill, it is the same one."""
        told = redriven(self.letter.resubmitted, settings.application, run)
        if edited is not None:
            told = Resubmitted("edit", settings.application, hashlib.sha256(edited).hexdigest()[:16], told.times)
        event = _unread(self.letter, raw)
        text, crashed = raw if edited is None else edited, self.reason == Reason.CRASHED
        return seal_line(text, event.event_id, event.id_from, event.received_at_ms, told, crashed=crashed)

    def conversation(self, raw: bytes, paths: Sequence[Sequence[str]]) -> str:
        """The name of the conversation by which the receiver would group it."""
        return conversation_of_line(raw, paths)


def _unread(letter: Letter, raw: bytes) -> Event:
    """The event of a letter, of which no byte is parsed, under the identity that the letter tells."""
    at = letter.origin
    record = Record(raw, at.sequence or 0)
    record.expect(1)
    event = unread(record, 0, raw)
    if not at.event_id:
        return event
    return event._replace(event_id=at.event_id, id_from=at.id_from, received_at_ms=at.received_at_ms)


def _is_withheld(raw: bytes) -> bool:
    """Whether a line says that masking kept the event out of it."""
    return raw.startswith(b'{"withheld":')


def our_letters(queue: Queue, unread_: Counter[str]) -> Iterator[OurLetter]:
    """The letters of a queue, whole; `unread_` counts what is none, or not whole, by why."""
    parts: dict[PartsKey, list[tuple[Letter, Message]]] = {}
    for message in queue.read():
        try:
            letter = reader.read(message.body, message.attributes)
        except UnreadableLetterError as error:
            unread_[str(error)] += 1
            continue
        finally:
            message.body = ""
        some = parts.setdefault(parts_key(letter), [])
        some.append((letter, message))
        if (whole := join(part for part, _ in some)) is not None:
            del parts[parts_key(letter)]
            yield OurLetter(whole, [one for _, one in some])
    if parts:
        unread_["a part of it was not seen: another reader has it, or it was deleted"] += len(parts)


One = OurLetter | Undelivered

# --- list, show, export


class At(NamedTuple):
    """A command at its queue. `unread` counts messages that are no dead letter, or not whole, by why."""

    settings: DeadLetters
    clients: Clients
    queue: Queue
    stop: Stop
    undelivered: bool
    unread: Counter[str]

    def read(self) -> Iterator[One]:
        """Every dead letter that was there when the command began, once, whole."""
        yield from (undelivered_events if self.undelivered else our_letters)(self.queue, self.unread)

    def begin(self) -> None:
        """Say how much there is."""
        depth = self.queue.depth()
        held = f"; {depth.hidden:,} more are in another reader's hand" if depth.hidden else ""
        tell(f"{self.queue.name} holds about {count_of(depth.visible, 'message')}{held}")

    def end(self) -> None:
        """Say what could not be read, and what was not seen."""
        counted("not read", self.unread)
        if self.queue.missing:
            tell(f"note: {self.queue.missing}")


def at_queue(undelivered: bool, work: Callable[[At], int]) -> int:
    """Do it at our queue, or at EventBridge's own; a queue that cannot be used is one line and 1."""
    settings = load(DeadLetters)
    start_logging("WARNING", settings.log_format)
    clients = Clients(settings.aws_region)
    try:
        url = undelivered_url(settings, clients.sqs) if undelivered else settings.sqs_dlq_url
        with stopping() as stop, Queue(clients.sqs, url, stop) as queue:
            return work(At(settings, clients, queue, stop, undelivered, Counter()))
    except QueueError as error:
        say(f"stream-router dlq: {error}")
        return 1


def tell(text: str) -> None:
    """One line of what was found, on standard output."""
    write_line(sys.stdout, text)


def counted(title: str, counts: Counter[str]) -> None:
    """A count and what it is made of, the most first; nothing where it is 0."""
    if counts:
        tell(f"{title} {counts.total():,}")
    for name, count in counts.most_common():
        tell(f"  {count:>7,}  {plain(name)}")


def list_(at: At, wanted: Chosen) -> int:
    """`dlq list`: by reason, code and event type, with ids that `show` takes."""
    at.begin()
    kinds: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
    seen = taken = 0
    for one in at.read():
        seen += 1
        if wanted.takes(one):
            taken += 1
            kind = (one.reason, one.code, one.event_type or "(type not known)")
            kinds.setdefault(kind, []).append((one.sent_ms, one.event_id or one.messages[0].id))
        if seen >= SAMPLE:
            break
    only = f", {taken:,} of them meant" if wanted != Chosen() else ""
    tell(f"looked at {seen:,}{only}")
    for kind, some in sorted(kinds.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        some.sort()
        tell(f"  {len(some):>7,}  {plain('  '.join(dict.fromkeys(kind)))}")
        tell(f"           {iso(some[0][0])} to {iso(some[-1][0])}")
        tell("           " + " ".join(plain(identity) for _, identity in some[:IDS_SHOWN]))
    if seen < SAMPLE:
        at.end()
    return 1 if at.stop.asked else 0


def show(at: At, identity: str, *, payload: bool) -> int:
    """`dlq show`: one, by its event's id or correlationId, or its message's id. 1 where it was not seen."""
    at.begin()
    for one in at.read():
        if one.is_meant(identity) or any(identity == message.id for message in one.messages):
            for name, value in one.rows().items():
                tell(f"{name:<11} {plain(value)}")
            return _show_payload(at, one) if payload else 0
    at.end()
    say(f"stream-router dlq: no dead letter of {identity} was seen; `stream-router find {identity}` looks everywhere")
    return 1


def _show_payload(at: At, one: One) -> int:
    try:
        raw = one.raw(at.clients)
    except UnreadableLetterError as error:
        say(f"stream-router dlq: {error}")
        return 1
    transform = Transform(transform_config(at.settings), now_ms)
    if transform.policy is not None:
        if not (raw := one.masked(transform, raw)):
            say("stream-router dlq: its event cannot be masked, so it is not shown")
            return 1
        tell(f"masked by {transform.masking}:")
    tell(readable(raw))
    return 0


def export(at: At, file: Path, wanted: Chosen) -> int:
    """`dlq export`: JSON lines with the events, unmasked; the messages stay. 1 where some of it was not written."""
    at.begin()
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        say(f"stream-router dlq: {file} cannot be written ({error.strerror}); name a new file")
        return 1
    written, skipped = 0, Counter[str]()
    try:
        with open(handle, "wb") as out:  # noqa: PTH123 - a descriptor, not a path
            for one in filter(wanted.takes, at.read()):
                try:
                    out.write(export_line(one, one.raw(at.clients)))
                    written += 1
                except UnreadableLetterError as error:
                    skipped[str(error)] += 1
    except OSError as error:
        say(f"stream-router dlq: {file} cannot be written ({error.strerror}); it holds a part at most")
        return 1
    tell(f"exported {count_of(written, 'dead letter')} to {file}; the file holds customers' data, unmasked")
    counted("skipped", skipped)
    at.end()
    unmet = wanted.id and not written
    return 1 if at.stop.asked or skipped or unmet else 0


def export_line(one: One, raw: bytes) -> bytes:
    """One line of the file: what is known, and, last and to be edited, `event` (JSON) or `line` (text)."""
    known = {"schema": EXPORT_SCHEMA, "key": digest_of(one), "eventId": one.event_id, "reason": one.reason}
    known |= {"sentAt": iso(one.sent_ms), **one.exported()}
    name, text = editable(raw)
    head = orjson.dumps(known)[:-1]
    return head + (f',"{name}":'.encode() + text if name else b"") + b"}\n"


def editable(raw: bytes) -> tuple[str, bytes]:
    """The event in the form that a person can edit, and its JSON: `event`, `line`; nothing where it is no text."""
    try:
        if not is_too_deep(orjson.loads(raw)):  # a line break can only stand between two tokens
            return "event", raw.translate(_BREAKS_TO_SPACES)
    except orjson.JSONDecodeError:
        pass
    try:
        return "line", orjson.dumps(raw.decode())
    except UnicodeDecodeError:
        return "", b""


_BREAKS_TO_SPACES = bytes.maketrans(b"\r\n", b"  ")


def digest_of(one: One) -> str:
    """What tells a letter of the file from every other of the queue."""
    return hashlib.sha256(repr(one.key or one.messages[0].id).encode()).hexdigest()[:32]


# --- a file that was exported, and perhaps edited


class UnusableFileError(Exception):
    """The file is none of `export`'s; the text names the line."""


class ExportFile:
    """The letters of a file, found by `digest_of`; read line by line, as it may be larger than memory.

    Raises UnusableFileError, OSError. `missing` are the ids of those that `takes` was not asked for.
    """

    def __init__(self, path: Path) -> None:
        self._handle: IO[bytes] = path.open("rb")
        self._places: dict[str, int] = {}
        self.missing: dict[str, str] = {}
        at = 0
        for number, text in enumerate(self._handle, 1):
            if text.strip():
                key, identity = self._head(number, text)
                self._places[key] = at
                self.missing[key] = identity
            at += len(text)

    def _head(self, number: int, text: bytes) -> tuple[str, str]:
        try:
            value = orjson.loads(text.removeprefix(codecs.BOM_UTF8))  # editors of Windows write one
            if value["schema"] == EXPORT_SCHEMA:
                return str(value["key"]), str(value["eventId"])
        except (ValueError, LookupError, TypeError):
            pass
        raise UnusableFileError(
            f"line {number} is none that `dlq export` wrote; of an export that was broken off delete the last line"
        )

    def takes(self, one: One) -> bool:
        """Whether the file holds it."""
        key = digest_of(one)
        self.missing.pop(key, None)
        return key in self._places

    def edit_of(self, one: One, raw: bytes) -> bytes | None:
        """What the event's line was edited to be; None where it is as it was. Raises UnusableFileError."""
        self._handle.seek(self._places[digest_of(one)])
        text = self._handle.readline().removeprefix(codecs.BOM_UTF8)
        name, before = editable(raw)
        try:
            after = member(text, name) if name else b""
            if not after or _is_same(before, after):
                return None
            return after if name == "event" else str(orjson.loads(after)).encode()
        except (ValueError, RecursionError):
            raise UnusableFileError(f"the line of event {one.event_id} nests too deep, or is no JSON") from None

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def _is_same(before: bytes, after: bytes) -> bool:
    """Whether two JSON texts say the same: but for blanks, the order of members, and how a character is written."""
    try:
        return bool(_AS_WRITTEN.decode(before.decode()) == _AS_WRITTEN.decode(after.decode()))
    except (ValueError, RecursionError):  # it nests deeper than Python follows
        return before == after


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


# --- redrive


class How(NamedTuple):
    """How to redrive: `rate` lines a second (0.0: no bound), at most `limit` letters (0: all), and so on, as typed."""

    file: Path | None = None
    rate: float = 0.0
    limit: int = 0
    dry_run: bool = False
    take_all: bool = False
    yes: bool = False


def redrive(at: At, wanted: Chosen, how: How) -> int:
    """`dlq redrive`. 0, or 1 where something was to come back and did not."""
    try:
        file = ExportFile(how.file) if how.file else None
    except (OSError, UnusableFileError) as error:
        say(f"stream-router dlq: {how.file}: {error}; nothing was put back")
        return 1
    with contextlib.closing(file) if file else contextlib.nullcontext():
        return Redrive(at, wanted, how, file).run()


class Redrive:
    """One redrive."""

    def __init__(self, at: At, wanted: Chosen, how: How, file: ExportFile | None) -> None:
        self._at = at
        self._wanted = wanted
        self._how = how
        self._file = file
        self._run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
        self._paths = types.paths(at.settings.partition_path)
        settings, clients = at.settings, at.clients
        self._writer = StreamWriter(clients.kinesis_once, settings.stream, settings.buckets, how.rate, at.stop)
        self._selected = self._eligible = self._put = self._edited = 0
        self._passed_over, self._refused, self._would = Counter[str](), Counter[str](), Counter[str]()
        self._ended = ""
        self._made = transform_of(settings)
        self._began_ms = now_ms()

    def run(self) -> int:
        """Everything, to the summary."""
        self._at.begin()
        try:
            for some in self._in_hand():
                self._round(some)
                if self._at.stop.asked or self._is_enough():
                    break
            if self._at.stop.asked:
                self._ended = "broken off"
        except (QueueError, StreamRefusesError, UnusableFileError, OSError) as error:
            self._ended = str(error)
        except Exception as error:  # only the summary says what was put back before it
            self._ended = f"{type(error).__name__}, unforeseen"
            self._report()
            raise
        return self._report()

    def _in_hand(self) -> Iterator[list[One]]:
        """What is meant, as much as fits in hand at once, oldest first; copies of one letter as one."""
        most = min(IN_HAND, self._how.limit or IN_HAND)
        some: dict[object, One] = {}
        size = 0
        for one in self._at.read():
            if (self._file is not None and not self._file.takes(one)) or not self._wanted.takes(one):
                continue
            if (before := some.get(one.key)) is not None and before.is_copy(one):
                before.messages += one.messages
                continue
            some[one.key if one.key and before is None else one.messages[0].id] = one
            size += one.size_bytes
            if len(some) >= most or size >= BYTES_IN_HAND:
                yield sorted(some.values(), key=lambda one: one.order)
                some, size = {}, 0
        yield sorted(some.values(), key=lambda one: one.order)

    def _round(self, some: list[One]) -> None:
        settings, how = self._at.settings, self._how
        named = bool(self._wanted.id) or self._wanted.reason == Reason.CRASHED
        going: list[One] = []
        self._selected += len(some)
        for one in some:
            if one.stream not in ("", settings.stream):
                self._refused[f"of stream {one.stream}: set STREAM_ROUTER_STREAM to it"] += 1
            elif why := one.passed_over(settings, named=named, take_all=how.take_all, yes=how.yes):
                self._passed_over[why] += 1
            else:
                going.append(one)
        if events := [one for one in some if isinstance(one, Undelivered) and one.is_ours]:
            for line in before_they_go(self._at.clients, settings, events, yes=how.yes):
                tell(line)
        alone = [one for one in going if one.reason == Reason.CRASHED]
        together = self._outgoing(one for one in going if one.reason != Reason.CRASHED)
        # What kills its process takes along what stands in its record: it stands alone.
        for outgoing in (together, *([one] for one in self._outgoing(alone))):
            if how.dry_run:
                self._would.update(would for one in outgoing for would in self._tried(one))
            else:
                self._send(outgoing)

    def _outgoing(self, some: Iterable[One]) -> Iterator[Outgoing]:
        for one in some:
            if self._at.stop.asked or self._is_enough():
                return
            try:
                raw = one.raw(self._at.clients)
                edited = self._file.edit_of(one, raw) if self._file is not None else None
                line = one.line(raw, edited, self._at.settings, self._run)
            except UnavailableLetterError as error:
                self._refused[str(error)] += 1
                continue
            except UnreadableLetterError as error:
                self._passed_over[str(error)] += 1
                continue
            if len(line) > MOST_LINE_BYTES:
                self._passed_over[f"fits no record of the stream ({MOST_LINE_BYTES:,} bytes)"] += 1
            else:
                self._eligible += 1
                self._edited += edited is not None
                yield Outgoing(line, one.conversation(raw if edited is None else edited, self._paths), one)

    def _is_enough(self) -> bool:
        return bool(self._how.limit) and self._eligible >= self._how.limit

    def _send(self, outgoing: Iterable[Outgoing]) -> None:
        stored: list[Message] = []
        try:
            for one, _ in self._writer.put(outgoing):
                failpoint("redrive_put_before_deleted")
                self._put += 1
                assert isinstance(one.token, One)
                stored += one.token.messages
                if len(stored) >= DELETED_AT_ONCE:
                    taken, stored = stored, []
                    self._delete(taken)
        finally:
            self._delete(stored)

    def _delete(self, messages: list[Message]) -> None:
        if messages and (left := self._at.queue.delete(messages)):
            raise QueueError(
                f"SQS did not delete {count_of(len(left), 'message')} ({self._at.queue.trouble}): their events are on "
                "the stream, and the next redrive puts them there again, under the same ids; allow sqs:DeleteMessage"
            )

    def _tried(self, outgoing: Outgoing) -> Iterator[str]:
        """What the consumer would make of it with the settings of this shell."""
        one = outgoing.token
        assert isinstance(one, One)
        if one.reason == Reason.CRASHED:
            yield "not tried, since it killed a process"
            return
        for found in open_record(Record(outgoing.line, 1, 0, int(now_ms()))):
            yield would_be(self._made(found))

    def _report(self) -> int:
        """Say what was done, and what was not; the command's exit status."""
        at, how = self._at, self._how
        tell(f"selected {self._selected:,}")
        counted("passed over, so still in the queue", self._passed_over)
        counted("refused, so still in the queue", self._refused)
        counted("would be", self._would)
        if not how.dry_run:
            edited = f", {self._edited:,} of them edited (metadata.replayed says it)" if self._edited else ""
            tell(f"put back on the stream {self._put:,}{edited}; run {self._run}")
        at.end()
        if at.queue.came_later:
            tell(f"note: {count_of(at.queue.came_later, 'message')} came since this began, and were not looked at")
        whole = self._file is not None and not self._ended and not self._is_enough()
        missing = list(self._file.missing.values()) if self._file is not None and whole else []
        if missing:
            ids = " ".join(map(plain, missing[:IDS_SHOWN]))
            tell(f"note: {count_of(len(missing), 'dead letter')} of the file no longer in the queue: {ids}")
        if self._put:
            since = iso(self._began_ms)
            again = "what the target does not take" if at.undelivered else "what fails again"
            of_it = " --undelivered" if at.undelivered else ""
            tell(f"{again} comes back: stream-router dlq list{of_it} --since {since}")
        if self._ended:
            say(f"stream-router dlq: {self._ended}; what was not put back is in the queue")
            if not how.dry_run:
                say(f"go on with: {self._command()}")
        nothing = not (self._put or self._would) and bool(
            self._selected or at.queue.missing or self._wanted.id or missing
        )
        return 1 if self._ended or self._refused or nothing else 0

    def _command(self) -> str:
        """The command that goes on."""
        how = self._how
        words = ["stream-router", "dlq", "redrive", *self._wanted.options(), "--rate", f"{how.rate:g}"]
        words += ["--file", str(how.file)] if how.file else []
        words += ["--limit", str(max(1, how.limit - self._put))] if how.limit else []
        flags = {"--all": how.take_all, "--yes": how.yes, "--undelivered": self._at.undelivered}
        return shlex.join([*words, *(name for name, given in flags.items() if given)])

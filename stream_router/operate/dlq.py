"""`stream-router dlq`: what is in the dead-letter queues, and the way back to the stream (docs/dead-letters.md).

A redrive only puts lines on the stream, under the ids that they had; the consumer does the rest. A message is deleted
once its line has a sequence number. So whatever happens in between, a kill included, it is in the queue or on the
stream; perhaps in both, and then under one id.
"""

import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import orjson

from stream_router.aws.clients import Clients
from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import is_too_deep, member
from stream_router.event_id import event_id_as_typed
from stream_router.log import start_logging
from stream_router.operate.console import Stop, count_of, duration, print_line, print_tally, stopping, warn, write_line
from stream_router.operate.letters import OurLetter, RedriveOptions, UndeliveredEvent, our_letters, undelivered_events
from stream_router.operate.put_back import ResubmitRun, Selection
from stream_router.operate.queue import Message, QueueError, QueueReader, bus_undelivered_url, undelivered_url
from stream_router.operate.stream_writer import OutgoingLine, StreamRefusesError
from stream_router.pipeline.sinks.dead_letters.reader import UnreadableLetterError
from stream_router.process import failpoint, iso, now_ms
from stream_router.settings import types
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load

IDS_SHOWN = 3
"""Number of ids, those of the oldest letters, that `list` prints for each kind."""

PROGRESS_INTERVAL_S = 5.0
"""Seconds between two lines of progress while a queue is read."""

IN_HAND, BYTES_IN_HAND = 10_000, 64 * 1024 * 1024
"""What a redrive sorts and puts at once; the rest comes after it."""

DELETED_AT_ONCE = 100
"""Messages whose lines are stored, before they are deleted: what a kill brings twice."""

STILL_S = 300.0
"""What a target refused since then says that it is not well."""

AnyLetter = OurLetter | UndeliveredEvent


class QueueSession:
    """A command at its queue: ours, or EventBridge's own."""

    def __init__(
        self, settings: DeadLetters, clients: Clients, queue: QueueReader, stop: Stop, *, undelivered: bool
    ) -> None:
        self.settings, self.clients, self.queue, self.stop = settings, clients, queue, stop
        self.undelivered = undelivered
        self._unread: list[UnreadableLetterError] = []
        held = f"; {queue.hidden:,} more are in another reader's hand" if queue.hidden else ""
        print_line(f"{queue.name} holds about {count_of(queue.visible, 'message')}{held}")

    def read(self) -> Iterator[AnyLetter]:
        """Yield each whole dead letter that was in the queue when the command began, once."""
        letters: Iterator[AnyLetter] = our_letters(self.queue, self._unread)
        if self.undelivered:
            letters = undelivered_events(self.queue, self._unread)
        due_s = time.monotonic() + PROGRESS_INTERVAL_S
        for count, letter in enumerate(letters, 1):
            yield letter
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + PROGRESS_INTERVAL_S
                total = count_of(self.queue.visible, "message")
                warn(f"read {count_of(count, 'dead letter')} of about {total}; Ctrl-C ends it")

    def end(self) -> None:
        """Say what could not be read, and what was not seen."""
        print_tally("not read", Counter(map(str, self._unread)))
        if self.queue.missing:
            print_line(f"note: {self.queue.missing}")


def run_at_queue(undelivered: bool, work: Callable[[QueueSession], int], *, of_bus_too: bool = False) -> int:
    """Do it at our queue, or at EventBridge's own; a queue that cannot be used is one line and 1.

    With `of_bus_too` it is done at the bus's own dead-letter queue as well, if the bus has one.
    """
    settings = load(DeadLetters)
    start_logging("WARNING", settings.log_format)
    clients = Clients(settings.aws_region)
    try:
        with stopping() as stop:
            urls = [undelivered_url(settings, clients.sqs) if undelivered else settings.sqs_dlq_url]
            if undelivered and of_bus_too and (of_bus := bus_undelivered_url(settings, clients)):
                urls.append(of_bus)
            status = 0
            for url in dict.fromkeys(urls):
                with QueueReader(clients.sqs, url, stop) as queue:
                    status = max(status, work(QueueSession(settings, clients, queue, stop, undelivered=undelivered)))
            return status
    except QueueError as error:
        warn(f"stream-router dlq: {error}")
        return 1


# --- list, show, export


class LetterTally:
    """Count, span and oldest ids of the letters that share reason, code and event type."""

    def __init__(self) -> None:
        self.count = 0
        self.first_ms, self.last_ms = sys.maxsize, 0
        self.oldest: list[tuple[int, str]] = []
        """Time of sending (epoch ms) and id, sorted; at most IDS_SHOWN, so that memory does not grow with the queue."""

    def add(self, letter: AnyLetter) -> None:
        """Count one more letter."""
        self.count += 1
        self.first_ms, self.last_ms = min(self.first_ms, letter.sent_ms), max(self.last_ms, letter.sent_ms)
        identity = letter.event_id or letter.messages[0].id
        self.oldest = sorted([*self.oldest, (letter.sent_ms, identity)])[:IDS_SHOWN]


def list_(session: QueueSession, wanted: Selection) -> int:
    """Count the whole queue by reason, code and event type, with ids that `show` takes; 1 if not all of it was seen."""
    kinds: dict[tuple[str, str, str], LetterTally] = {}
    seen = matching = 0
    for letter in session.read():
        seen += 1
        if letter.is_selected(wanted):
            matching += 1
            name = (letter.reason, letter.code, letter.event_type or "(type not known)")
            kinds.setdefault(name, LetterTally()).add(letter)
    filtered = f"; {matching:,} of them match" if wanted != Selection() else ""
    print_line(f"read {count_of(seen, 'dead letter')}{filtered}")
    for name, kind in sorted(kinds.items(), key=lambda pair: (-pair[1].count, pair[0])):
        print_line(f"  {kind.count:>7,}  {'  '.join(dict.fromkeys(name))}")
        print_line(f"           {iso(kind.first_ms)} to {iso(kind.last_ms)}")
        print_line("           " + " ".join(identity for _, identity in kind.oldest))
    session.end()
    return 1 if session.stop.asked or session.queue.missing else 0


def show(session: QueueSession, identity: str, *, payload: bool) -> int:
    """`dlq show`: one, by its event's id or correlationId, or its message's id. 1 where it was not seen."""
    wanted = Selection(ids=(event_id_as_typed(identity),))
    for letter in session.read():
        if letter.is_selected(wanted) or any(identity == message.id for message in letter.messages):
            for name, value in letter.rows().items():
                print_line(f"{name:<11} {value}")
            try:
                if payload:
                    write_line(sys.stdout, letter.shown(session.settings, letter.raw(session.clients)))
            except UnreadableLetterError as error:
                warn(f"stream-router dlq: {error}")
                return 1
            return 0
    session.end()
    warn(f"stream-router dlq: no dead letter of {identity} was seen; `stream-router find {identity}` looks everywhere")
    return 1


def export(session: QueueSession, file: Path, wanted: Selection) -> int:
    """`dlq export`: JSON lines with the events, unmasked; the messages stay. 1 where some of it was not written."""
    written, skipped = 0, Counter[str]()
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            for letter in session.read():
                if letter.is_selected(wanted):
                    try:
                        out.write(export_line(letter, letter.raw(session.clients)))
                        written += 1
                    except UnreadableLetterError as error:
                        skipped[str(error)] += 1
    except OSError as error:
        warn(f"stream-router dlq: {file} cannot be written, or not to its end ({error.strerror}); name a new file")
        return 1
    print_line(f"exported {count_of(written, 'dead letter')} to {file}; the file holds customers' data, unmasked")
    print_tally("skipped", skipped)
    session.end()
    is_partial = session.stop.asked or bool(session.queue.missing or skipped)
    return 1 if is_partial or (wanted.ids and not written) else 0


def export_line(letter: AnyLetter, raw: bytes) -> bytes:
    """One line of the file: what is known, and, last and to be edited, `event` (JSON) or `line` (text)."""
    name, text = _editable(raw)
    known: dict[str, object] = {"key": _key(letter), "was": _digest(text)}
    known |= {"eventId": letter.event_id, "reason": letter.reason, "sentAt": iso(letter.sent_ms), "told": letter.rows()}
    return orjson.dumps(known)[:-1] + (f',"{name}":'.encode() + text if name else b"") + b"}\n"


def _editable(raw: bytes) -> tuple[str, bytes]:
    """Return the event in an editable form, and its JSON: `event`, `line`; nothing if it is no text."""
    try:
        if not is_too_deep(orjson.loads(raw)):  # a line break can only stand between two tokens
            return "event", raw.translate(bytes.maketrans(b"\r\n", b"  ")).strip()
    except orjson.JSONDecodeError:
        pass
    try:
        return "line", orjson.dumps(raw.decode())
    except UnicodeDecodeError:
        return "", b""


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:32]


def _key(letter: AnyLetter) -> str:
    """Return what tells a letter of the file from every other of the queue."""
    return _digest(repr(letter.key).encode())


class UnusableFileError(Exception):
    """The file is none of `export`'s; the text names the line."""


def read_export(path: Path) -> dict[str, bytes | None]:
    """Return the letters of an export by their keys, with their new content if it is not byte for byte the old.

    Raises UnusableFileError, OSError.
    """
    edits: dict[str, bytes | None] = {}
    with path.open("rb") as lines:
        for number, text in enumerate(lines, 1):
            try:
                exported = orjson.loads(text)
                name = "event" if "event" in exported else "line"
                now = member(text.strip(), name) if name in exported else b""
                edited = now if name == "event" else str(exported.get("line")).encode()
                edits[exported["key"]] = None if _digest(now) == exported["was"] else edited
            except (ValueError, LookupError, TypeError, RecursionError):
                raise UnusableFileError(
                    f"line {number} is none that `dlq export` wrote, or is no JSON since it was edited; of an export "
                    "that was broken off delete the last line"
                ) from None
    return edits


# --- redrive


def redrive(session: QueueSession, options: RedriveOptions) -> int:
    """`dlq redrive`. 0, or 1 where something was to come back and did not."""
    try:
        file = read_export(options.file) if options.file else None
    except (OSError, UnusableFileError) as error:
        warn(f"stream-router dlq: {options.file}: {error}; nothing was put back")
        return 1
    if file is not None:
        edited = sum(edit is not None for edit in file.values())
        print_line(
            f"the file holds {count_of(len(file), 'dead letter')}, {edited:,} edited (metadata.replayed says it)"
        )
    return Redrive(session, options, file).run()


class Redrive:
    """One redrive."""

    def __init__(self, session: QueueSession, options: RedriveOptions, file: dict[str, bytes | None] | None) -> None:
        self._session, self._options, self._file = session, options, file
        self._paths = types.parse_paths(session.settings.partition_path)
        self._run = ResubmitRun(
            session.settings, session.clients, options.rate, session.stop, dry_run=options.dry_run, run=options.run
        )
        self._selected = 0
        self._began_ms = now_ms()

    def run(self) -> int:
        """Everything, to the summary."""
        ended = "an error that nobody foresaw"
        self._run.announce(self._continue_command())
        try:
            for some in self._read_batches():
                self._resubmit_batch(some)
                if self._session.stop.asked or self._remaining == 0:
                    break
            ended = "broken off" if self._session.stop.asked else ""
        except (QueueError, StreamRefusesError) as error:
            ended = str(error)
        finally:  # whatever it ends by: only the summary says what was put back
            status = self._report(ended)
        return status

    @property
    def _remaining(self) -> int | None:
        """How many more may go back; None for all."""
        return max(0, self._options.limit - self._run.count) if self._options.limit else None

    def _read_batches(self) -> Iterator[list[AnyLetter]]:
        """Yield the selected letters, as many as may be held at once, oldest first; copies of one letter as one."""
        some: dict[object, AnyLetter] = {}
        size = 0
        for letter in self._session.read():
            if not letter.is_selected(self._options.wanted) or (
                self._file is not None and _key(letter) not in self._file
            ):
                continue
            if (before := some.get(letter.key)) is not None:
                before.messages += letter.messages
                continue
            some[letter.key] = letter
            size += letter.size_bytes
            if len(some) >= min(IN_HAND, self._remaining or IN_HAND) or size >= BYTES_IN_HAND:
                yield sorted(some.values(), key=lambda letter: letter.order)
                some, size = {}, 0
        if some:
            yield sorted(some.values(), key=lambda letter: letter.order)

    def _resubmit_batch(self, letters: list[AnyLetter]) -> None:
        settings, going = self._session.settings, list[AnyLetter]()
        if self._session.undelivered and not self._selected:
            _print_warnings(max(letter.sent_ms for letter in letters))
        self._selected += len(letters)
        for letter in letters:
            if why := letter.passed_over(self._options, settings):
                self._run.passed_over[why] += 1
            else:
                going.append(letter)
        if self._session.undelivered and self._run.passed_over:
            print_tally("note: these stay", self._run.passed_over)
        self._send(self._outgoing(letter for letter in going if letter.reason != Reason.CRASHED))
        # What kills its process takes along what stands in its record: it stands alone.
        for outgoing in self._outgoing(letter for letter in going if letter.reason == Reason.CRASHED):
            self._send([outgoing])

    def _outgoing(self, letters: Iterable[AnyLetter]) -> Iterator[OutgoingLine]:
        for letter in letters:
            try:
                raw = letter.raw(self._session.clients)
                edited = self._file[_key(letter)] if self._file is not None else None
                line = letter.line(raw, edited, self._session.settings, self._run.name)
            except UnreadableLetterError as error:
                self._run.passed_over[str(error)] += 1
                continue
            yield OutgoingLine(line, letter.conversation(raw if edited is None else edited, self._paths), letter)

    def _send(self, outgoing: Iterable[OutgoingLine]) -> None:
        stored: list[Message] = []
        try:
            for stored_line in self._run.store(islice(outgoing, self._remaining)):
                failpoint("redrive_put_before_deleted")
                assert isinstance(stored_line.token, AnyLetter)
                stored += stored_line.token.messages
                if len(stored) >= DELETED_AT_ONCE:
                    taken, stored = stored, []
                    self._delete(taken)
        finally:
            self._delete(stored)

    def _delete(self, messages: list[Message]) -> None:
        if messages and (left := self._session.queue.delete(messages)):
            raise QueueError(
                f"SQS did not delete {count_of(len(left), 'message')} ({self._session.queue.trouble}): their events "
                "are on the stream, and the next redrive puts them there again, under the same ids; "
                "allow sqs:DeleteMessage"
            )

    def _report(self, ended: str) -> int:
        """Say what was done, and what was not; the command's exit status."""
        session, options, back = self._session, self._options, self._run
        print_line(f"selected {self._selected:,}")
        session.end()
        back.report(ended, self._continue_command() if ended else "")
        if back.count and not options.dry_run and not ended:
            of_it = " --undelivered" if session.undelivered else ""
            print_line(f"what fails again comes back: stream-router dlq list{of_it} --since {iso(self._began_ms)}")
        nothing = not back.count and bool(self._selected or session.queue.missing or options.wanted.ids or options.file)
        return 1 if ended or nothing else 0

    def _continue_command(self) -> str:
        """Return the command that goes on: the queue still has what was not put back."""
        options = self._options
        words = ["dlq", "redrive", "--run", self._run.name, "--rate", f"{options.rate:g}"]
        words += ["--file", str(options.file)] if options.file else []
        words += ["--limit", str(self._remaining)] if options.limit else []
        flags = {"--all": options.take_all, "--yes": options.yes, "--undelivered": self._session.undelivered}
        return options.wanted.as_command(*words, *(name for name, is_set in flags.items() if is_set))


def _print_warnings(latest_ms: int) -> None:
    """Warn before undelivered events are put back; `latest_ms` is when the latest of them came."""
    print_line("note: PutEvents cannot aim at one target: every rule of the bus that matches gets these events again")
    ago_s = (now_ms() - latest_ms) / 1000
    looks = "does not look well" if ago_s < STILL_S else "looks well, as far as this queue tells"
    print_line(
        f"note: the target {looks}: the latest of these came {duration(ago_s)} ago; `stream-router doctor` says more"
    )

"""`stream-router dlq`: lists dead letters, exports them, and resubmits them to the stream (docs/dead-letters.md).

A redrive only puts lines on the stream, with the events' earlier ids; the consumer publishes them. A message is deleted
from the queue only after Kinesis has stored its line. So at any moment, also after a kill, each event is in the queue
or on the stream; it may be in both, and then with the same id. The output of a run comes from `resubmit.py`, which
`replay` uses too.
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
from stream_router.operate.console import (
    Stop,
    format_count,
    format_duration,
    print_line,
    print_tally,
    stopping,
    warn,
    write_line,
)
from stream_router.operate.letters import (
    OurLetter,
    RedriveOptions,
    UndeliveredEvent,
    read_our_letters,
    read_undelivered_events,
)
from stream_router.operate.queue import Message, QueueError, QueueReader, bus_undelivered_url, undelivered_url
from stream_router.operate.resubmit import ResubmitRun, Selection
from stream_router.operate.stream_writer import OutgoingLine, StreamRefusesError
from stream_router.pipeline.sinks.dead_letters.reader import UnreadableLetterError
from stream_router.process import failpoint, iso, now_ms
from stream_router.settings import types
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load

SAMPLE_IDS = 3
"""Number of ids, those of the oldest letters, that `list` prints for each kind."""

PROGRESS_INTERVAL_S = 5.0
"""Seconds between two lines of progress while a queue is read."""

BATCH_LETTERS, BATCH_BYTES = 10_000, 64 * 1024 * 1024
"""Most letters, and most bytes of letters, that a redrive sorts and resubmits as one batch.

SQS returns messages in no order, so a batch is held in memory to be sorted, oldest first.
"""

DELETE_BATCH = 100
"""Number of messages that are deleted together, once their lines are stored.

If the command is killed before it deletes them, the next redrive resubmits their events once more, but no others.
"""

FAILING_WINDOW_S = 300.0
"""Seconds: if the newest undelivered event is younger, the target is reported as still failing."""

AnyLetter = OurLetter | UndeliveredEvent


class QueueSession:
    """A command's work with one queue: our dead-letter queue, or one of EventBridge's own."""

    def __init__(
        self, settings: DeadLetters, clients: Clients, queue: QueueReader, stop: Stop, *, undelivered: bool
    ) -> None:
        self.settings, self.clients, self.queue, self.stop = settings, clients, queue, stop
        self.undelivered = undelivered
        self._unread: list[UnreadableLetterError] = []
        held = f"; {queue.hidden:,} more are hidden, since another reader has them" if queue.hidden else ""
        print_line(f"{queue.name} holds about {format_count(queue.visible, 'message')}{held}")

    def read(self) -> Iterator[AnyLetter]:
        """Yield each dead letter that was in the queue when the command began, once, with its parts joined."""
        letters: Iterator[AnyLetter] = read_our_letters(self.queue, self._unread)
        if self.undelivered:
            letters = read_undelivered_events(self.queue, self._unread)
        due_s = time.monotonic() + PROGRESS_INTERVAL_S
        for count, letter in enumerate(letters, 1):
            yield letter
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + PROGRESS_INTERVAL_S
                total = format_count(self.queue.visible, "message")
                warn(f"read {format_count(count, 'dead letter')} of about {total}; Ctrl-C ends it")

    def end(self) -> None:
        """Print how many messages could not be read, by problem, and why some were perhaps not seen."""
        print_tally("not read", Counter(map(str, self._unread)))
        if self.queue.unseen_reason:
            print_line(f"note: {self.queue.unseen_reason}")


def run_at_queue(undelivered: bool, work: Callable[[QueueSession], int], *, include_bus_queue: bool = False) -> int:
    """Run `work` at our dead-letter queue, or with `undelivered` at EventBridge's own. Return the exit status.

    The status is the largest that `work` returns. With `undelivered` and `include_bus_queue`, `work` also runs at the
    bus's own dead-letter queue, if the bus has one. A queue that cannot be used gives one line of output and status 1.
    Raises SettingsError.
    """
    settings = load(DeadLetters)
    start_logging("WARNING", settings.log_format)
    clients = Clients(settings.aws_region)
    try:
        with stopping() as stop:
            urls = [undelivered_url(settings, clients.sqs) if undelivered else settings.sqs_dlq_url]
            if undelivered and include_bus_queue and (bus_queue_url := bus_undelivered_url(settings, clients)):
                urls.append(bus_queue_url)
            status = 0
            for url in dict.fromkeys(urls):  # each queue once, since the target and the bus may have the same one
                with QueueReader(clients.sqs, url, stop) as queue:
                    status = max(status, work(QueueSession(settings, clients, queue, stop, undelivered=undelivered)))
            return status
    except QueueError as error:
        warn(f"stream-router dlq: {error}")
        return 1


# --- list, show, export


class LetterTally:
    """Number, first and last time of sending (epoch ms), and oldest ids of the letters of one kind.

    A kind is reason, code and event type.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first_ms, self.last_ms = sys.maxsize, 0
        self.oldest: list[tuple[int, str]] = []
        """Time of sending (epoch ms) and id, sorted; at most SAMPLE_IDS, so memory does not grow with the queue."""

    def add(self, letter: AnyLetter) -> None:
        """Count one more letter."""
        self.count += 1
        self.first_ms, self.last_ms = min(self.first_ms, letter.sent_ms), max(self.last_ms, letter.sent_ms)
        identity = letter.event_id or letter.messages[0].id
        self.oldest = sorted([*self.oldest, (letter.sent_ms, identity)])[:SAMPLE_IDS]


def list_(session: QueueSession, selection: Selection) -> int:
    """Print the number of letters by reason, code and event type, with ids of the oldest ones, which `show` takes.

    Only letters that match `selection` are counted. Return 1 if not the whole queue was seen, else 0.
    """
    kinds: dict[tuple[str, str, str], LetterTally] = {}
    seen = matching = 0
    for letter in session.read():
        seen += 1
        if letter.is_selected(selection):
            matching += 1
            name = (letter.reason, letter.code, letter.event_type or "(type not known)")
            kinds.setdefault(name, LetterTally()).add(letter)
    filtered = f"; {matching:,} of them match" if selection != Selection() else ""
    print_line(f"read {format_count(seen, 'dead letter')}{filtered}")
    for name, kind in sorted(kinds.items(), key=lambda pair: (-pair[1].count, pair[0])):
        print_line(f"  {kind.count:>7,}  {'  '.join(dict.fromkeys(name))}")
        print_line(f"           {iso(kind.first_ms)} to {iso(kind.last_ms)}")
        print_line("           " + " ".join(identity for _, identity in kind.oldest))
    session.end()
    return 1 if session.stop.requested or session.queue.unseen_reason else 0


def show(session: QueueSession, identity: str, *, payload: bool) -> int:
    """Print the first letter with this event id, correlationId or message id; with `payload` also the event.

    Return 1 if no such letter was seen or its event cannot be read, else 0.
    """
    selection = Selection(ids=(event_id_as_typed(identity),))
    for letter in session.read():
        if letter.is_selected(selection) or any(identity == message.id for message in letter.messages):
            for name, value in letter.describe().items():
                print_line(f"{name:<11} {value}")
            try:
                if payload:
                    write_line(sys.stdout, letter.render(session.settings, letter.raw(session.clients)))
            except UnreadableLetterError as error:
                warn(f"stream-router dlq: {error}")
                return 1
            return 0
    session.end()
    warn(
        f"stream-router dlq: no dead letter of {identity} was seen; `stream-router find {identity}` searches everywhere"
    )
    return 1


def export(session: QueueSession, file: Path, selection: Selection) -> int:
    """Write the selected letters to a new file as JSON lines, unmasked. The messages stay in the queue.

    Return 1 if a selected letter may be missing in the file, else 0.
    """
    written, skipped = 0, Counter[str]()
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            for letter in session.read():
                if letter.is_selected(selection):
                    try:
                        out.write(export_line(letter, letter.raw(session.clients)))
                        written += 1
                    except UnreadableLetterError as error:
                        skipped[str(error)] += 1
    except OSError as error:
        warn(f"stream-router dlq: {file} cannot be written completely ({error.strerror}); name a new file")
        return 1
    print_line(f"exported {format_count(written, 'dead letter')} to {file}; the file holds customers' data, unmasked")
    print_tally("skipped", skipped)
    session.end()
    is_partial = session.stop.requested or bool(session.queue.unseen_reason or skipped)
    return 1 if is_partial or (selection.ids and not written) else 0


def export_line(letter: AnyLetter, raw: bytes) -> bytes:
    """Return the line of the export for a letter: facts about it, and last the member that an operator may edit.

    That member is `event`, JSON, or `line`, a text. `was` is its digest, by which `read_export` recognises an edit.
    `key` identifies the letter in the queue. `description` is what `dlq show` prints.
    """
    name, text = _editable(raw)
    fields: dict[str, object] = {"key": _key(letter), "was": _digest(text)}
    fields |= {
        "eventId": letter.event_id,
        "reason": letter.reason,
        "sentAt": iso(letter.sent_ms),
        "description": letter.describe(),
    }
    head = orjson.dumps(fields)[:-1]
    # The event's own bytes are appended: to serialize it again would round numbers and drop one of two equal keys.
    editable = f',"{name}":'.encode() + text if name else b""
    return head + editable + b"}\n"


def _editable(raw: bytes) -> tuple[str, bytes]:
    """Return name and JSON of the member of an export that may be edited; two empty values if the bytes are not text.

    It is `event` with the event's own JSON if that can be parsed, else `line` with the bytes as a JSON string.
    """
    try:
        if not is_too_deep(orjson.loads(raw)):
            # The export has one line per letter. In JSON a line break occurs only between tokens, so a blank will do.
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
    """Return the key that identifies a letter in an export and in the queue."""
    return _digest(repr(letter.key).encode())


class UnusableFileError(Exception):
    """A line of a file is not one that `export` wrote. The text names the line and the cure."""


def read_export(path: Path) -> dict[str, bytes | None]:
    """Return the letters of an export by key: for each the edited bytes of the event, None if it was not edited.

    Raises UnusableFileError, OSError.
    """
    edits: dict[str, bytes | None] = {}
    with path.open("rb") as lines:
        for number, text in enumerate(lines, 1):
            try:
                exported = orjson.loads(text)
                name = "event" if "event" in exported else "line"
                # The member's own bytes are compared: parsed and serialized again, they could differ without an edit.
                now = member(text.strip(), name) if name in exported else b""
                edited = now if name == "event" else str(exported.get("line")).encode()
                edits[exported["key"]] = None if _digest(now) == exported["was"] else edited
            except (ValueError, LookupError, TypeError, RecursionError):
                raise UnusableFileError(
                    f"line {number} was not written by `dlq export`, or is not JSON since it was edited; if the export "
                    "was interrupted, delete the last line"
                ) from None
    return edits


# --- redrive


def redrive(session: QueueSession, options: RedriveOptions) -> int:
    """Resubmit the selected letters.

    Return 0, or 1 if the run ended early, or if it resubmitted nothing although something was selected,
    named by an option, or not seen.
    """
    try:
        file = read_export(options.file) if options.file else None
    except (OSError, UnusableFileError) as error:
        warn(f"stream-router dlq: {options.file}: {error}; nothing was resubmitted")
        return 1
    if file is not None:
        edited = sum(edit is not None for edit in file.values())
        print_line(
            f"the file holds {format_count(len(file), 'dead letter')}, {edited:,} edited (marked in metadata.replayed)"
        )
    return Redrive(session, options, file).run()


class Redrive:
    """One run of `dlq redrive`. `file` has the letters of an export (`read_export`); None means all of the queue."""

    def __init__(self, session: QueueSession, options: RedriveOptions, file: dict[str, bytes | None] | None) -> None:
        self._session, self._options, self._file = session, options, file
        self._paths = types.parse_paths(session.settings.partition_path)
        self._run = ResubmitRun(
            session.settings, session.clients, options.rate, session.stop, dry_run=options.dry_run, run=options.run
        )
        self._selected = 0
        self._began_ms = now_ms()

    def run(self) -> int:
        """Resubmit all batches and print the summary. Return the exit status."""
        end_reason = "an unforeseen error"
        self._run.announce(self._continue_command())
        try:
            for batch in self._read_batches():
                self._resubmit_batch(batch)
                if self._session.stop.requested or self._remaining == 0:
                    break
            end_reason = "broken off" if self._session.stop.requested else ""
        except (QueueError, StreamRefusesError) as error:
            end_reason = str(error)
        finally:  # after any exception as well: only the summary says what was resubmitted
            status = self._report(end_reason)
        return status

    @property
    def _remaining(self) -> int | None:
        """Number of letters that `--limit` still allows; None without a limit."""
        return max(0, self._options.limit - self._run.count) if self._options.limit else None

    def _read_batches(self) -> Iterator[list[AnyLetter]]:
        """Yield the selected letters in batches, each sorted oldest first.

        Copies of a letter in a batch become one letter with the messages of all, so that one line is stored and all
        messages are deleted.
        """
        batch: dict[object, AnyLetter] = {}
        batch_bytes = 0
        for letter in self._session.read():
            if not letter.is_selected(self._options.selection) or (
                self._file is not None and _key(letter) not in self._file
            ):
                continue
            if (first_copy := batch.get(letter.key)) is not None:
                first_copy.messages += letter.messages
                continue
            batch[letter.key] = letter
            batch_bytes += letter.size_bytes
            if len(batch) >= min(BATCH_LETTERS, self._remaining or BATCH_LETTERS) or batch_bytes >= BATCH_BYTES:
                yield sorted(batch.values(), key=lambda letter: letter.order)
                batch, batch_bytes = {}, 0
        if batch:
            yield sorted(batch.values(), key=lambda letter: letter.order)

    def _resubmit_batch(self, letters: list[AnyLetter]) -> None:
        settings, resubmittable = self._session.settings, list[AnyLetter]()
        if self._session.undelivered and not self._selected:
            _warn_of_target_dead_letters(latest_sent_ms=max(letter.sent_ms for letter in letters))
        self._selected += len(letters)
        for letter in letters:
            if why := letter.explain_skipping(self._options, settings):
                self._run.skipped[why] += 1
            else:
                resubmittable.append(letter)
        if self._session.undelivered and self._run.skipped:
            print_tally("note: these stay", self._run.skipped)
        self._send(self._outgoing(letter for letter in resubmittable if letter.reason != Reason.CRASHED))
        # An event that kills its process takes the other events of its record with it, so it gets a record of its own.
        for outgoing in self._outgoing(letter for letter in resubmittable if letter.reason == Reason.CRASHED):
            self._send([outgoing])

    def _outgoing(self, letters: Iterable[AnyLetter]) -> Iterator[OutgoingLine]:
        """Yield the line of each letter, with the letter as its token. Count a letter without a line as skipped."""
        for letter in letters:
            try:
                raw = letter.raw(self._session.clients)
                edited = self._file[_key(letter)] if self._file is not None else None
                line = letter.build_line(raw, edited, self._session.settings, self._run.name)
            except UnreadableLetterError as error:
                self._run.skipped[str(error)] += 1
                continue
            yield OutgoingLine(line, letter.find_conversation(raw if edited is None else edited, self._paths), letter)

    def _send(self, outgoing: Iterable[OutgoingLine]) -> None:
        """Store the lines, and delete the messages of each stored line. Raises QueueError, StreamRefusesError.

        The messages of lines that were stored before an error are deleted too.
        """
        stored: list[Message] = []
        try:
            for stored_line in self._run.store(islice(outgoing, self._remaining)):
                failpoint("redrive_put_before_deleted")
                assert isinstance(stored_line.token, AnyLetter)
                stored += stored_line.token.messages
                if len(stored) >= DELETE_BATCH:
                    taken, stored = stored, []
                    self._delete(taken)
        finally:
            self._delete(stored)

    def _delete(self, messages: list[Message]) -> None:
        if messages and (undeleted := self._session.queue.delete(messages)):
            raise QueueError(
                f"SQS did not delete {format_count(len(undeleted), 'message')} "
                f"({self._session.queue.last_error_code}): their events are on the stream, and the next "
                "redrive resubmits them, under the same ids; allow sqs:DeleteMessage"
            )

    def _report(self, end_reason: str) -> int:
        """Print the summary, and return the exit status.

        `end_reason` is why the run ended early; "" if it did not.
        """
        session, options, resubmit_run = self._session, self._options, self._run
        print_line(f"selected {self._selected:,}")
        session.end()
        resubmit_run.report(end_reason, self._continue_command() if end_reason else "")
        if resubmit_run.count and not options.dry_run and not end_reason:
            queue_option = " --undelivered" if session.undelivered else ""
            print_line(
                "events that fail again are listed by: "
                f"stream-router dlq list{queue_option} --since {iso(self._began_ms)}"
            )
        is_nothing_done = not resubmit_run.count and bool(
            self._selected or session.queue.unseen_reason or options.selection.ids or options.file
        )
        return 1 if end_reason or is_nothing_done else 0

    def _continue_command(self) -> str:
        """Return the command that continues this run.

        The queue still has the letters that were not resubmitted.
        """
        options = self._options
        words = ["dlq", "redrive", "--run", self._run.name, "--rate", f"{options.rate:g}"]
        words += ["--file", str(options.file)] if options.file else []
        words += ["--limit", str(self._remaining)] if options.limit else []
        flags = {"--all": options.take_all, "--yes": options.yes, "--undelivered": self._session.undelivered}
        return options.selection.as_command(*words, *(name for name, is_set in flags.items() if is_set))


def _warn_of_target_dead_letters(latest_sent_ms: int) -> None:
    """Print warnings before undelivered events are resubmitted.

    `latest_sent_ms` is the time at which EventBridge sent the latest one to the queue (epoch ms).
    """
    print_line("note: PutEvents cannot address one target: every matching rule of the bus gets these events again")
    ago_s = (now_ms() - latest_sent_ms) / 1000
    appearance = "still seems to fail" if ago_s < FAILING_WINDOW_S else "seems to work, as far as this queue shows"
    age = format_duration(ago_s)
    print_line(f"note: the target {appearance}: the latest of these came {age} ago; run `stream-router doctor`")

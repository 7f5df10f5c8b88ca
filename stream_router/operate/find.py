"""`stream-router find`: reports the outcome of an event, or of all events of an interaction or a conversation.

The stream is read first, then the checkpoints, then both queues. In this order, an event that a checkpoint has passed
already has its dead letter in the queue, if it has one. An event may be in the stream more than once, since operators
resubmit events. Each copy is printed, and the newest decides the verdict. What is not certain is reported as unknown.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from stream_router import limits
from stream_router.aws.clients import Clients
from stream_router.dead_letter_reasons import Reason, Rejected
from stream_router.envelope import open_record, read_resubmitted
from stream_router.errors import SettingsError, UnforeseenError
from stream_router.event_id import event_id_as_typed
from stream_router.leases import Position
from stream_router.model import DeadLetter, Dropped, Event, Record
from stream_router.operate import leases
from stream_router.operate import stream as stream_
from stream_router.operate.console import (
    Stop,
    check_span,
    format_count,
    parse_time_ms,
    print_line,
    stopping,
    warn,
    write_line,
)
from stream_router.operate.dry_run import build_transform, describe_outcome, event_type_of, render_event
from stream_router.operate.leases import LeasesError
from stream_router.operate.letters import OurLetter, UndeliveredEvent, read_our_letters, read_undelivered_events
from stream_router.operate.queue import QueueAbsentError, QueueError, QueueReader, undelivered_url
from stream_router.operate.stream import Span, UnreadableError, UserRecord, has_passed
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.mapper import EventMapper
from stream_router.pipeline.sinks.dead_letters.reader import StrangeLetterError, UnreadableLetterError
from stream_router.pipeline.sinks.eventbridge.wire_format import deduplication_id
from stream_router.process import iso, now_ms
from stream_router.settings.common import NO_RULE
from stream_router.settings.operators import DeadLetters

FOUND, NOT_FOUND, CANNOT_JUDGE = 0, 1, 2

DEAD = "in the dead-letter queue"
UNDELIVERED = "accepted by EventBridge, and undelivered at the rule's target"
UNKNOWN = "cannot be judged"

_ID = re.compile(r"[0-9a-f]{32}")
_MASKED = re.compile(r"\[[A-Z_]+\]|^\*{4}|^hmac:")
"""Traces of masking in an id, as far as they can be recognised (docs/masking.md).

A masked id can match no search, so it is not known whether its event is searched for.
"""

_CHECKPOINT_WORDS = {True: "past it", False: "not past it", None: "not known"}

CLOCK_DIFFERENCE_MAX_MS = 5_000
"""Largest assumed difference in ms between the clocks of Kinesis and of a consumer's host.

The arrival of a copy (Kinesis's clock) is compared with its publication (the host's clock).
"""


class Options(NamedTuple):
    """Options of the command, as typed."""

    ids: Sequence[str]
    interaction: str | None
    conversation: str | None
    since: str
    payload: bool = False


def run(settings: DeadLetters, options: Options) -> int:
    """Search, and print the outcome of each event. Return FOUND, NOT_FOUND or CANNOT_JUDGE.

    Raises SettingsError. An unforeseen error becomes an UnforeseenError with status CANNOT_JUDGE: other commands end
    with 1 then, which would mean "not received" here.
    """
    try:
        until_ms = int(now_ms())
        span = Span(parse_time_ms(options.since, "--since", until_ms), until_ms)
        check_span(*span)
        search = Search(settings, SearchCriteria(settings, options), span)
        search.read(Clients(settings.aws_region))
        search.report(payload=options.payload)
    except SettingsError:
        raise
    except Exception as error:
        text = f"cannot judge: {type(error).__name__}: {error}, unforeseen; try again, report it if it stays"
        raise UnforeseenError(text, CANNOT_JUDGE) from error
    return search.status


class SearchCriteria:
    """Events to search for: by event ids, by interaction, or by conversation.

    An id may also be a `correlationId`, which is the same id in another form. Raises SettingsError
    unless exactly one of the three is given, or if an id has no valid form.
    """

    def __init__(self, settings: DeadLetters, options: Options) -> None:
        self.ids = [*dict.fromkeys(map(event_id_as_typed, options.ids))]
        self._name = options.conversation or options.interaction or ""
        self._is_conversation = bool(options.conversation)
        self.text = f"{'conversation' if options.conversation else 'interaction'} {self._name}"
        if bool(options.ids) + bool(options.interaction) + bool(options.conversation) != 1:
            raise SettingsError(
                "find", "names not exactly one kind of thing", "give event ids, or --interaction, or --conversation"
            )
        for event_id in self.ids:
            if not _ID.fullmatch(event_id):
                raise SettingsError(
                    "find",
                    f"{event_id[:64]} is neither an eventId nor a correlationId",
                    "give 32 hex digits, or a UUID",
                )
        mapping = config_file.load(settings.config)
        self._mapper = EventMapper(mapping)
        # The name as JSON writes it between quotes, and not as a part of a longer id.
        escaped = re.escape(orjson.dumps(self._name)[1:-1])
        self._raw_pattern = re.compile(rb"(?<![\w-])" + escaped + rb"(?![\w-])")

    def matches(self, opened: Event | DeadLetter) -> bool | None:
        """Return whether the search is for this event; None if that is unknown, since masking replaced its name.

        Without ids, the mapped name of its conversation or interaction is compared. If the event cannot be mapped, its
        raw bytes are searched for the name.
        """
        event = opened.event if isinstance(opened, DeadLetter) else opened
        if self.ids:
            return event.event_id in self.ids
        if isinstance(opened, Event):
            try:
                valid = self._mapper.read(opened)
            except Rejected:
                pass
            else:
                name = (valid.conversation_id if self._is_conversation else valid.interaction_id) or ""
                if name == self._name:
                    return True
                return None if _MASKED.search(name) else False
        return self._raw_pattern.search(event.raw) is not None

    def matches_letter(self, letter: OurLetter, clients: Clients) -> bool | None:
        """Return whether the search is for this dead letter; None if it cannot be told.

        It cannot be told if the event is unreadable, or if it may be masked.
        """
        if self.ids:
            return letter.event_id in self.ids
        try:
            raw = letter.raw(clients)
        except UnreadableLetterError:
            return None
        if letter.reason == Reason.CRASHED:  # parsing this event killed a process, and would kill this one
            return self._raw_pattern.search(raw) is not None
        matching = [self.matches(opened) for opened in open_record(Record(raw, 0))]
        if True in matching:
            return True
        # A letter that was stored masked may hide the name, even if no trace of masking is recognised.
        is_uncertain = None in matching or bool(letter.letter.masking)
        return None if is_uncertain else False

    def matches_detail(self, detail: Mapping[str, Any]) -> bool:
        """Return whether the search is for the event that was published with this Detail ({} if it is unknown)."""
        if self.ids:
            return detail.get("eventId") in self.ids
        return detail.get("conversationId" if self._is_conversation else "originalEventId") == self._name


class EventFate(NamedTuple):
    """Outcome of an event, and the evidence for it."""

    fate: str
    why: str


class StreamCopy:
    """A copy of an event in the stream, with its dead letter or its undelivered message if a queue has one.

    `is_skipped`: the KCL passes the copy to no consumer (consumer/kpl.py).
    """

    def __init__(self, shard_id: str, record: UserRecord, opened: Event | DeadLetter) -> None:
        self.shard_id, self.position, self.arrived_at_ms = shard_id, record.position, record.arrived_at_ms
        self.is_skipped = record.is_skipped
        self.opened = opened
        self.event = opened.event if isinstance(opened, DeadLetter) else opened
        self.token = deduplication_id(shard_id, self.event)
        """Deduplication id of this copy on a v2 bus."""
        self.letter: OurLetter | None = None
        self.undelivered: UndeliveredEvent | None = None

    @property
    def resubmission(self) -> str:
        """Return which run put this copy on the stream, in words; "" if the receiver stored it."""
        mark = read_resubmitted(self.event.resubmitted)
        if mark is None:
            return ""
        return f"; resubmitted by {mark.command} (run {mark.run}, time {mark.times})"

    def is_for(self, application: str) -> bool:
        """Return whether this copy is for `application`: a resubmitted copy is for one application alone."""
        mark = read_resubmitted(self.event.resubmitted)
        return mark is None or mark.application == application


class Search:
    """A search through stream, checkpoints and queues, and its result.

    `_unseen` has the reason why a part was not seen completely, by the part: stream, checkpoints,
    letters, undelivered.
    """

    def __init__(self, settings: DeadLetters, wanted: SearchCriteria, span: Span) -> None:
        self._settings, self._wanted, self._span = settings, wanted, span
        self._transform = build_transform(settings)
        self._copies: dict[str, list[StreamCopy]] = {}
        """Copies by event id, in the order of arrival."""
        self._verdicts: dict[str, EventFate] = {}
        """Outcome by event id, for each event that was found anywhere."""
        self._checkpoints: Mapping[str, Position] = {}
        self._unseen = dict.fromkeys(("stream", "checkpoints", "letters", "undelivered"), "")
        self._uncompared = 0
        """Number of dead letters that could not be compared with the search."""

    # --- reading

    def read(self, clients: Clients) -> None:
        """Read the stream and its checkpoints, then the queues. Then judge each event by one of its copies.

        That is the newest copy for this application or, if all copies are for other applications, the newest of all.
        The first Ctrl-C ends the reading of the stream, the second the reading of the queues.
        """
        with stopping() as stop:
            self._read_stream(clients, stop)
        with stopping() as stop:
            self._read_letters(clients, stop)
            self._read_undelivered(clients, stop)
        for event_id, copies in self._copies.items():
            ours = [copy for copy in copies if copy.is_for(self._settings.application)]
            self._verdicts[event_id] = self._judge((ours or copies)[-1])

    def _read_stream(self, clients: Clients, stop: Stop) -> None:
        settings, span = self._settings, self._span
        try:
            stream = stream_.describe(clients.kinesis, settings.stream, span.since_ms, span.until_ms)
            for piece in stream_.read(clients, stream, span, stop):
                for record in piece.records:
                    stream_record = Record(record.data, *record.position, record.arrived_at_ms)
                    for opened in open_record(stream_record):
                        if self._wanted.matches(opened):
                            copy = StreamCopy(piece.shard.shard_id, record, opened)
                            self._copies.setdefault(copy.event.event_id, []).append(copy)
                    # A copy that is kept refers to its record. Without this it would keep all of the record's bytes.
                    stream_record.data = b""
            if stop.requested:
                self._unseen["stream"] = "the reading was interrupted"
            # Shards are listed again for shards that were split or merged meanwhile. Their own leases may be deleted,
            # and then the leases of the new shards show that they were read to their end.
            current_description = stream_.describe(clients.kinesis, settings.stream, span.since_ms, span.until_ms)
            lease_rows = leases.read(clients.dynamodb, settings.application)
            self._checkpoints = leases.checkpoints(lease_rows, {**stream.shards, **current_description.shards})
        except UnreadableError as error:
            self._unseen["stream"] = self._unseen["checkpoints"] = str(error)
        except LeasesError as error:
            self._unseen["checkpoints"] = str(error)
        for copies in self._copies.values():
            copies.sort(key=lambda copy: copy.arrived_at_ms)

    def _read_letters(self, clients: Clients, stop: Stop) -> None:
        """Attach each matching dead letter to its copy in the stream.

        If the copy was not read, for example since its record is too old, the dead letter is the verdict on its event.
        """
        all_copies = (copy for copies in self._copies.values() for copy in copies)
        by_key: dict[object, StreamCopy] = {
            (self._settings.stream, copy.shard_id, *copy.position, copy.event.line): copy for copy in all_copies
        }
        unreadable: list[UnreadableLetterError] = []
        try:
            with QueueReader(clients.sqs, self._settings.sqs_dlq_url, stop) as queue:
                for letter in read_our_letters(queue, unreadable):
                    is_match = self._wanted.matches_letter(letter, clients)
                    self._uncompared += is_match is None
                    if is_match and (copy := by_key.get((*letter.letter.place[:2], *letter.order))):
                        copy.letter = letter
                    elif is_match:
                        self._verdicts[letter.event_id] = EventFate(DEAD, _explain_dead_letter(letter))
            unseen = queue.unseen_reason
        except QueueError as error:
            unseen = str(error)
        strange = sum(isinstance(error, StrangeLetterError) for error in unreadable)
        strange_text = f"{format_count(strange, 'message')} of the dead-letter queue cannot be read by this version"
        self._unseen["letters"] = "; ".join(filter(None, (unseen, strange_text if strange else "")))

    def _read_undelivered(self, clients: Clients, stop: Stop) -> None:
        settings = self._settings
        # Whether the rules are others', or a v2 bus has none: then `setup` makes no queue for undelivered events.
        others = settings.rule == NO_RULE or limits.is_v2_bus(settings.event_bus)
        try:
            url = undelivered_url(settings, clients.sqs)
            with QueueReader(clients.sqs, url, stop) as queue:
                for undelivered in read_undelivered_events(queue, []):
                    self._attach_undelivered(undelivered)
            self._unseen["undelivered"] = queue.unseen_reason
        except QueueError as error:
            if isinstance(error, QueueAbsentError) and others and not settings.target_dlq_arn:
                warn("note: what the rule's targets did not take is not looked for (STREAM_ROUTER_TARGET_DLQ_ARN)")
            else:  # without a rule of ours `setup` makes no such queue
                self._unseen["undelivered"] = str(error)

    def _attach_undelivered(self, undelivered: UndeliveredEvent) -> None:
        """Attach an undelivered message to the copies in the stream that it is about.

        A message of a v2 bus has their tokens. Any other message is attached to the last copy of its event that arrived
        before the publication, or to the last of all if none did. Without a copy, the message is the verdict on its
        events, as far as they are searched for.
        """
        by_token = [copy for copies in self._copies.values() for copy in copies if copy.token in undelivered.tokens]
        copies = self._copies.get(undelivered.event_id, []) if self._wanted.matches_detail(undelivered.detail) else []
        before = [copy for copy in copies if copy.arrived_at_ms <= undelivered.published_ms + CLOCK_DIFFERENCE_MAX_MS]
        for copy in by_token or (before or copies)[-1:]:
            copy.undelivered = undelivered
        if not by_token and not copies:
            ids = {token.partition(":")[0] for token in undelivered.tokens} & {*self._wanted.ids}
            if self._wanted.matches_detail(undelivered.detail):
                ids.add(undelivered.event_id)
            self._verdicts |= dict.fromkeys(ids, EventFate(UNDELIVERED, f"{undelivered.code}: {undelivered.text}"))

    # --- judging

    def _judge(self, copy: StreamCopy) -> EventFate:
        """Return the outcome of this copy of an event; UNKNOWN if it is not certain, with the part that was not seen.

        The order of the tests matters: a message in a queue proves more than the checkpoint, and the checkpoint more
        than the present settings.
        """
        unseen = self._unseen
        if copy.letter:
            return EventFate(DEAD, _explain_dead_letter(copy.letter))
        if undelivered := copy.undelivered:
            return EventFate(UNDELIVERED, f"{undelivered.code}: {undelivered.text}")
        if copy.is_skipped:
            why = "its producer (KPL) wrote a wrong table; publish it with `stream-router replay --since WHEN --id ID`"
            return EventFate("in a damaged aggregated record: the KCL hands it to nobody", why)
        passed = self._has_passed(copy)
        if passed is None:
            return EventFate(
                UNKNOWN,
                unseen["checkpoints"] or "its shard's checkpoint is a keyword (such as TRIM_HORIZON), not a position",
            )
        if not passed:
            why = "it will be published or dead-lettered when its turn comes"
            return EventFate("not settled yet: the consumer's checkpoint is not past it", why)
        if not copy.is_for(self._settings.application):
            return EventFate("settled unsent", "it was resubmitted for another application of the stream")
        transformed = self._transform(copy.opened)
        if isinstance(transformed, Dropped):
            return EventFate(
                "past the checkpoint, and a setting drops it", f"it drops events of type {transformed.event_type}"
            )
        if unseen["letters"]:
            return EventFate(UNKNOWN, f"it may be in the dead-letter queue: {unseen['letters']}")
        if isinstance(transformed, DeadLetter) and transformed.reason is Reason.UNSUPPORTED_VERSION:
            return EventFate(UNKNOWN, "its envelope is of a later version; look with the version of the consumers")
        if isinstance(transformed, DeadLetter):
            explanation = "it was redriven, purged or has expired, or other settings published it"
            return EventFate(
                "past the checkpoint, and its dead letter is gone",
                f"today's settings make it {describe_outcome(transformed)}; {explanation}",
            )
        more = f"; it may be undelivered at the target: {unseen['undelivered']}" if unseen["undelivered"] else ""
        return EventFate(
            "past the checkpoint and in no queue: accepted by EventBridge, or its letter is gone",
            f"today's settings publish it as {transformed.detail_type}{more}",
        )

    def _has_passed(self, copy: StreamCopy) -> bool | None:
        """Return whether the checkpoint of the copy's shard is past it; None if that is unknown."""
        checkpoint = self._checkpoints.get(copy.shard_id)
        return None if checkpoint is None else has_passed(checkpoint, copy.position)

    @property
    def status(self) -> int:
        """Exit status of the command.

        FOUND: everything that was searched for was found and judged. CANNOT_JUDGE: an outcome is unknown, or something
        was not found and a part was not seen. NOT_FOUND: something was not found, although every part was seen.
        """
        if any(verdict.fate == UNKNOWN for verdict in self._verdicts.values()):
            return CANNOT_JUDGE
        unseen_reason = self._unseen["stream"]
        if self._wanted.ids:
            is_whole = {*self._wanted.ids} <= self._verdicts.keys()
        else:
            is_whole = bool(self._verdicts) and not unseen_reason
        if is_whole:
            return FOUND
        return CANNOT_JUDGE if unseen_reason or self._unseen["letters"] or self._uncompared else NOT_FOUND

    # --- printing

    def report(self, *, payload: bool) -> None:
        """Print each event that was found, oldest first; then each id that was not found, and what was not seen."""
        received = {name: copies[0].event.received_at_ms for name, copies in self._copies.items()}
        for event_id in sorted(self._verdicts, key=lambda name: received.get(name, 0)):
            self._print_event(event_id, payload=payload)
        stream_unseen = self._unseen["stream"]
        uncompared = f"{format_count(self._uncompared, 'dead letter')} could not be compared, in S3 or masked"
        unseen = [self._unseen["letters"], self._unseen["undelivered"], uncompared if self._uncompared else ""]
        not_seen = "; ".join(filter(None, unseen))
        queues = f"no queue that was seen (not all was: {not_seen})" if not_seen else "no queue"
        not_found = (
            f"not in the stream since {iso(self._span.since_ms)}, and in {queues}: not received since then, unless a "
            "receiver's spill still has it"
        )
        if stream_unseen:
            not_found = f"{UNKNOWN}: {stream_unseen}"
        for event_id in self._wanted.ids:
            if event_id not in self._verdicts:
                _print_block(event_id, [("verdict", not_found)])
        if not self._wanted.ids and not self._verdicts:
            print_line(f"{self._wanted.text}: {not_found}")
        why_incomplete = "; ".join(filter(None, (stream_unseen, "" if self._wanted.ids else not_seen)))
        if self._verdicts and why_incomplete:
            print_line(f"there may be more: {why_incomplete}")

    def _print_event(self, event_id: str, *, payload: bool) -> None:
        """Print an event: each copy in the order of arrival, then the verdict on the newest."""
        kind, facts = "", list[tuple[str, str]]()
        copies = self._copies.get(event_id, [])
        for copy in copies:
            if copy is copies[0]:
                facts.append(("received", iso(copy.event.received_at_ms)))
            line = f", line {copy.event.line}" if copy.event.line else ""
            facts.append(("stream", f"shard {copy.shard_id}, record {copy.position}{line}"))
            facts.append(("", f"stored {iso(copy.arrived_at_ms)}{copy.resubmission}"))
            facts.append(("checkpoint", _CHECKPOINT_WORDS[self._has_passed(copy)]))
            if copy is not copies[-1] and (copy.letter or copy.undelivered):
                facts.append(("", "{}: {}".format(*self._judge(copy))))
            kind = (copy.letter.event_type if copy.letter else event_type_of(self._transform(copy.opened))) or kind
        verdict = self._verdicts[event_id]
        _print_block(f"{event_id}  {kind}".rstrip(), [*facts, ("verdict", verdict.fate), ("", verdict.why)])
        if payload and copies:
            newest = copies[-1]
            reason = newest.letter.reason if newest.letter else ""
            write_line(sys.stdout, f"  {render_event(self._settings, newest.event, reason)}")


def _explain_dead_letter(letter: OurLetter) -> str:
    """Return why an event is in the dead-letter queue, without payload."""
    code = f" ({letter.code})" if letter.code else ""
    return f"{letter.reason}{code}: {letter.text}; since {letter.letter.failed_at}"


def _print_block(head: str, facts: Sequence[tuple[str, str]]) -> None:
    print_line(head)
    for name, text in facts:
        if text:
            print_line(f"  {name:<10}  {text}")

"""`stream-router find`: what became of an event, or of all events of an interaction or a conversation.

The stream is read first, then the checkpoints, then both queues: what is settled has its letter in the queue by then.
An event may be in the stream more than once, since operators put events back: each place is said, and the newest one's
is the verdict. Only what is certain is said.
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
from stream_router.model import DeadLetter, Dropped, Event, Record
from stream_router.operate import leases
from stream_router.operate import stream as stream_
from stream_router.operate.console import Stop, check_span, count_of, moment_ms, print_line, stopping, warn, write_line
from stream_router.operate.dry_run import build_transform, describe_outcome, event_type_of, render_event
from stream_router.operate.leases import LeasesError
from stream_router.operate.letters import OurLetter, UndeliveredEvent, our_letters, undelivered_events
from stream_router.operate.queue import QueueAbsentError, QueueError, QueueReader, undelivered_url
from stream_router.operate.stream import Position, Span, UnreadableError, UserRecord, has_passed
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.mapper import Validator
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
"""What masking leaves of an id, whole or in it, as far as that shows (docs/masking.md)."""

CLOCKS_MS = 5_000
"""How far the clocks of Kinesis and of a consumer's host may be apart, where it is told which copy came before."""


class Options(NamedTuple):
    """What the operator typed."""

    ids: Sequence[str]
    interaction: str | None
    conversation: str | None
    since: str
    payload: bool = False


def run(settings: DeadLetters, options: Options) -> int:
    """Run the command. Return 0 for found, 1 for not found, 2 for cannot judge.

    Raises SettingsError, and UnforeseenError with 2. The command line's own answer to an unforeseen error is 1, which
    means "not received" here.
    """
    try:
        until_ms = int(now_ms())
        span = Span(moment_ms(options.since, "--since", until_ms), until_ms)
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
    """What is asked for: event ids, or an interaction, or a conversation.

    Raises SettingsError where it is not exactly one of the three, or where an id is none. An id may be given as a
    `correlationId` too, which is the same in another form.
    """

    def __init__(self, settings: DeadLetters, options: Options) -> None:
        self.ids = [*dict.fromkeys(map(event_id_as_typed, options.ids))]
        self._name = options.conversation or options.interaction or ""
        self._is_conversation = bool(options.conversation)
        self.text = f"{'conversation' if options.conversation else 'interaction'} {self._name}"
        if bool(options.ids) + bool(options.interaction) + bool(options.conversation) != 1:
            raise SettingsError("find: give event ids, or --interaction, or --conversation")
        for event_id in self.ids:
            if not _ID.fullmatch(event_id):
                raise SettingsError(
                    f"find: {event_id[:64]} is no eventId (32 hex digits) and no correlationId (a UUID)"
                )
        mapping = config_file.load(settings.config)
        self._validator = Validator(mapping)
        written = re.escape(orjson.dumps(self._name)[1:-1])
        self._in_raw = re.compile(rb"(?<![\w-])" + written + rb"(?![\w-])")

    def matches(self, opened: Event | DeadLetter) -> bool | None:
        """Whether an event is asked for; None where masking took away what it would be known by.

        By the name that mapping finds in it; where mapping fails, by whether the name stands in what was sent.
        """
        event = opened.event if isinstance(opened, DeadLetter) else opened
        if self.ids:
            return event.event_id in self.ids
        if isinstance(opened, Event):
            try:
                valid = self._validator.read(opened)
            except Rejected:
                pass
            else:
                name = (valid.conversation_id if self._is_conversation else valid.interaction_id) or ""
                return name == self._name or (None if _MASKED.search(name) else False)
        return self._in_raw.search(event.raw) is not None

    def matches_letter(self, letter: OurLetter, clients: Clients) -> bool | None:
        """Return whether a dead letter is wanted; None also if its event cannot be had."""
        if self.ids:
            return letter.event_id in self.ids
        try:
            raw = letter.raw(clients)
        except UnreadableLetterError:
            return None
        if letter.reason == Reason.CRASHED:  # to open it here would end this process too
            return self._in_raw.search(raw) is not None
        taken = [self.matches(opened) for opened in open_record(Record(raw, 0))]
        return True if True in taken else None if None in taken or letter.letter.masking else False

    def matches_detail(self, detail: Mapping[str, Any]) -> bool:
        """Return whether the Detail of an event that EventBridge had is wanted."""
        if self.ids:
            return detail.get("eventId") in self.ids
        return detail.get("conversationId" if self._is_conversation else "originalEventId") == self._name


class EventFate(NamedTuple):
    """What became of an event, and what that rests on."""

    fate: str
    why: str


class Place:
    """An event in the stream, and what the queues hold of this copy: that it is a dead letter, or undelivered."""

    def __init__(self, shard_id: str, record: UserRecord, opened: Event | DeadLetter) -> None:
        self.shard_id, self.position, self.arrived_at_ms = shard_id, record.position, record.arrived_at_ms
        self.passed_over = record.passed_over
        self.opened = opened
        self.event = opened.event if isinstance(opened, DeadLetter) else opened
        self.token = deduplication_id(shard_id, self.event)
        """What a v2 bus knows it by."""
        self.letter: OurLetter | None = None
        self.undelivered: UndeliveredEvent | None = None

    @property
    def resubmission(self) -> str:
        """What this copy is, where an operator put it there."""
        mark = read_resubmitted(self.event.resubmitted)
        if mark is None:
            return ""
        return f"; put back by {mark.way} (run {mark.run}, time {mark.times})"

    def is_of(self, application: str) -> bool:
        """Whether it is for this application of the stream: what was put back may be for another."""
        mark = read_resubmitted(self.event.resubmitted)
        return mark is None or mark.application == application


class Search:
    """What is looked for, what was found, and what it means.

    `_unseen` says why some of the stream, of the checkpoints or of a queue was not seen, by which of these it is.
    """

    def __init__(self, settings: DeadLetters, wanted: SearchCriteria, span: Span) -> None:
        self._settings, self._wanted, self._span = settings, wanted, span
        self._transform = build_transform(settings)
        self._places: dict[str, list[Place]] = {}
        """By event id, each in the order of arrival."""
        self._verdicts: dict[str, EventFate] = {}
        """Of each event that was found anywhere."""
        self._checkpoints: Mapping[str, Position] = {}
        self._unseen = dict.fromkeys(("stream", "checkpoints", "letters", "undelivered"), "")
        self._uncompared = 0
        """Dead letters of which nobody can tell whether they are of what is asked for."""

    # --- looking

    def read(self, clients: Clients) -> None:
        """Read the stream, then the checkpoints, then the queues. A stop ends what is under way of these."""
        with stopping() as stop:
            self._read_stream(clients, stop)
        with stopping() as stop:
            self._read_letters(clients, stop)
            self._read_undelivered(clients, stop)
        for event_id, places in self._places.items():
            ours = [place for place in places if place.is_of(self._settings.application)]
            self._verdicts[event_id] = self._judge((ours or places)[-1])

    def _read_stream(self, clients: Clients, stop: Stop) -> None:
        settings, span = self._settings, self._span
        try:
            stream = stream_.describe(clients.kinesis, settings.stream, span.since_ms, span.until_ms)
            for piece in stream_.read(clients, stream, span, stop):
                for record in piece.records:
                    whole = Record(record.data, *record.position, record.arrived_at_ms)
                    for opened in open_record(whole):
                        if self._wanted.matches(opened):
                            place = Place(piece.shard.shard_id, record, opened)
                            self._places.setdefault(place.event.event_id, []).append(place)
                    whole.data = b""  # each event has its own line; one that is kept must not keep a whole record
            if stop.asked:
                self._unseen["stream"] = "the reading was broken off"
            # Listed anew: of a shard that was resharded while it was read, its children's leases tell.
            now = stream_.describe(clients.kinesis, settings.stream, span.since_ms, span.until_ms)
            found_leases = leases.read(clients.dynamodb, settings.application)
            self._checkpoints = leases.checkpoints(found_leases, {**stream.shards, **now.shards})
        except UnreadableError as error:
            self._unseen["stream"] = self._unseen["checkpoints"] = str(error)
        except LeasesError as error:
            self._unseen["checkpoints"] = str(error)
        for places in self._places.values():
            places.sort(key=lambda place: place.arrived_at_ms)

    def _read_letters(self, clients: Clients, stop: Stop) -> None:
        """Each to the place in the stream that it is of."""
        every = (place for places in self._places.values() for place in places)
        by_key: dict[object, Place] = {
            (self._settings.stream, place.shard_id, *place.position, place.event.line): place for place in every
        }
        unread: list[UnreadableLetterError] = []
        try:
            with QueueReader(clients.sqs, self._settings.sqs_dlq_url, stop) as queue:
                for letter in our_letters(queue, unread):
                    taken = self._wanted.matches_letter(letter, clients)
                    self._uncompared += taken is None
                    if taken and (place := by_key.get((*letter.letter.place[:2], *letter.order))):
                        place.letter = letter
                    elif taken:
                        self._verdicts[letter.event_id] = EventFate(DEAD, _explain_dead_letter(letter))
            unseen = queue.missing
        except QueueError as error:
            unseen = str(error)
        strange = sum(isinstance(error, StrangeLetterError) for error in unread)
        of_them = f"{count_of(strange, 'message')} of the dead-letter queue cannot be read, or not by this version"
        self._unseen["letters"] = "; ".join(filter(None, (unseen, of_them if strange else "")))

    def _read_undelivered(self, clients: Clients, stop: Stop) -> None:
        settings = self._settings
        others = settings.rule == NO_RULE or limits.is_v2_bus(settings.event_bus)
        try:
            url = undelivered_url(settings, clients.sqs)
            with QueueReader(clients.sqs, url, stop) as queue:
                for undelivered in undelivered_events(queue, []):
                    self._take_undelivered(undelivered)
            self._unseen["undelivered"] = queue.missing
        except QueueError as error:
            if isinstance(error, QueueAbsentError) and others and not settings.target_dlq_arn:
                warn("note: what the rule's targets did not take is not looked for (STREAM_ROUTER_TARGET_DLQ_ARN)")
            else:  # `setup` makes none where the rule is others'
                self._unseen["undelivered"] = str(error)

    def _take_undelivered(self, undelivered: UndeliveredEvent) -> None:
        """To the copy of its event that it is of: a v2 bus tells it by token, else it is the last that came before."""
        by_token = [place for places in self._places.values() for place in places if place.token in undelivered.tokens]
        copies = self._places.get(undelivered.event_id, []) if self._wanted.matches_detail(undelivered.detail) else []
        before = [copy for copy in copies if copy.arrived_at_ms <= undelivered.published_ms + CLOCKS_MS]
        for place in by_token or (before or copies)[-1:]:
            place.undelivered = undelivered
        if not by_token and not copies:
            ids = {token.partition(":")[0] for token in undelivered.tokens} & {*self._wanted.ids}
            if self._wanted.matches_detail(undelivered.detail):
                ids.add(undelivered.event_id)
            self._verdicts |= dict.fromkeys(ids, EventFate(UNDELIVERED, f"{undelivered.code}: {undelivered.text}"))

    # --- what it means

    def _judge(self, place: Place) -> EventFate:
        """Return what became of this copy: only what is certain."""
        unseen = self._unseen
        if place.letter:
            return EventFate(DEAD, _explain_dead_letter(place.letter))
        if undelivered := place.undelivered:
            return EventFate(UNDELIVERED, f"{undelivered.code}: {undelivered.text}")
        if place.passed_over:
            why = "its producer (KPL) wrote a wrong table; `stream-router replay --since WHEN --id ID` publishes it"
            return EventFate("in a damaged aggregated record: the KCL hands it to nobody", why)
        passed = self._has_passed(place)
        if passed is None:
            return EventFate(UNKNOWN, unseen["checkpoints"] or "its shard's checkpoint is a word, not a position")
        if not passed:
            why = "it will be published, or buried, when its turn comes"
            return EventFate("not settled yet: the consumer's checkpoint is not past it", why)
        if not place.is_of(self._settings.application):
            return EventFate("settled unsent", "it was put back for another application of the stream")
        transformed = self._transform(place.opened)
        if isinstance(transformed, Dropped):
            return EventFate(
                "past the checkpoint, and a setting drops it", f"it drops events of type {transformed.event_type}"
            )
        if unseen["letters"]:
            return EventFate(UNKNOWN, f"it may be in the dead-letter queue: {unseen['letters']}")
        if isinstance(transformed, DeadLetter) and transformed.reason is Reason.UNSUPPORTED_VERSION:
            return EventFate(UNKNOWN, "its envelope is of a later version; look with the version of the consumers")
        if isinstance(transformed, DeadLetter):
            gone = "it was redriven, purged or has expired, or other settings published it"
            return EventFate(
                "past the checkpoint, and its dead letter is gone",
                f"today's settings make it {describe_outcome(transformed)}; {gone}",
            )
        more = f"; it may be undelivered at the target: {unseen['undelivered']}" if unseen["undelivered"] else ""
        return EventFate(
            "past the checkpoint and in no queue: accepted by EventBridge, or its letter is gone",
            f"today's settings publish it as {transformed.detail_type}{more}",
        )

    def _has_passed(self, place: Place) -> bool | None:
        checkpoint = self._checkpoints.get(place.shard_id)
        return None if checkpoint is None else has_passed(checkpoint, place.position)

    @property
    def status(self) -> int:
        """0 where everything that was asked for was found and can be judged, 2 where it cannot, else 1."""
        if any(verdict.fate == UNKNOWN for verdict in self._verdicts.values()):
            return CANNOT_JUDGE
        missing = self._unseen["stream"]
        if self._wanted.ids:
            is_whole = {*self._wanted.ids} <= self._verdicts.keys()
        else:
            is_whole = bool(self._verdicts) and not missing
        if is_whole:
            return FOUND
        return CANNOT_JUDGE if missing or self._unseen["letters"] or self._uncompared else NOT_FOUND

    # --- saying it

    def report(self, *, payload: bool) -> None:
        """Each event by its age, then what was not found, then what was not seen."""
        received = {name: places[0].event.received_at_ms for name, places in self._places.items()}
        for event_id in sorted(self._verdicts, key=lambda name: received.get(name, 0)):
            self._print_event(event_id, payload=payload)
        missing = self._unseen["stream"]
        compared = f"{count_of(self._uncompared, 'dead letter')} could not be compared, in S3 or masked"
        unseen = [self._unseen["letters"], self._unseen["undelivered"], compared if self._uncompared else ""]
        not_seen = "; ".join(filter(None, unseen))
        queues = f"no queue that was seen (not all was: {not_seen})" if not_seen else "no queue"
        nothing = (
            f"not in the stream since {iso(self._span.since_ms)}, and in {queues}: not received since then, unless a "
            "receiver's spill still has it"
        )
        if missing:
            nothing = f"{UNKNOWN}: {missing}"
        for event_id in self._wanted.ids:
            if event_id not in self._verdicts:
                _print_block(event_id, [("verdict", nothing)])
        if not self._wanted.ids and not self._verdicts:
            print_line(f"{self._wanted.text}: {nothing}")
        more = "; ".join(filter(None, (missing, "" if self._wanted.ids else not_seen)))
        if self._verdicts and more:
            print_line(f"there may be more: {more}")

    def _print_event(self, event_id: str, *, payload: bool) -> None:
        """One event: each place, in the order of arrival, then the verdict, which is that of the newest."""
        kind, facts = "", list[tuple[str, str]]()
        places = self._places.get(event_id, [])
        for place in places:
            if place is places[0]:
                facts.append(("received", iso(place.event.received_at_ms)))
            line = f", line {place.event.line}" if place.event.line else ""
            facts.append(("stream", f"shard {place.shard_id}, record {place.position}{line}"))
            facts.append(("", f"stored {iso(place.arrived_at_ms)}{place.resubmission}"))
            facts.append(
                ("checkpoint", {True: "past it", False: "not past it", None: "not known"}[self._has_passed(place)])
            )
            if place is not places[-1] and (place.letter or place.undelivered):
                facts.append(("", "{}: {}".format(*self._judge(place))))
            kind = (place.letter.event_type if place.letter else event_type_of(self._transform(place.opened))) or kind
        verdict = self._verdicts[event_id]
        _print_block(f"{event_id}  {kind}".rstrip(), [*facts, ("verdict", verdict.fate), ("", verdict.why)])
        if payload and places:
            newest = places[-1]
            write_line(
                sys.stdout,
                f"  {render_event(self._settings, newest.event, newest.letter.reason if newest.letter else '')}",
            )


def _explain_dead_letter(letter: OurLetter) -> str:
    """Why an event is in the dead-letter queue; no payload in it."""
    code = f" ({letter.code})" if letter.code else ""
    return f"{letter.reason}{code}: {letter.text}; since {letter.letter.failed_at}"


def _print_block(head: str, facts: Sequence[tuple[str, str]]) -> None:
    print_line(head)
    for name, text in facts:
        if text:
            print_line(f"  {name:<10}  {text}")

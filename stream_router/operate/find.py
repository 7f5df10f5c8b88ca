"""`stream-router find`: what became of an event, or of all events of an interaction or a conversation.

The stream is read first, then the checkpoints, then both queues: what is settled has its letter in the queue by then.
An event may be in the stream more than once, since operators put events back: each place is said, and the newest one's
is the verdict. Only what is certain is said.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from stream_router import limits
from stream_router.aws.clients import Clients
from stream_router.consumer.transform_config import transform_config
from stream_router.envelope import open_record, read_resubmitted
from stream_router.errors import SettingsError, UnforeseenError
from stream_router.log import plain
from stream_router.model import DeadLetter, Dropped, Event, Reason, Record, event_id_as_typed
from stream_router.operate import leases
from stream_router.operate import stream as stream_
from stream_router.operate.console import Stop, count_of, readable, say, stopping, write_line
from stream_router.operate.dry_run import transform_of, type_of, would_be
from stream_router.operate.leases import LeasesError
from stream_router.operate.queue import Message, Queue, QueueAbsentError, QueueError, object_of, undelivered_url
from stream_router.operate.stream import Position, Span, UnreadableError, UserRecord, has_passed, span_of
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.mapper import Validator
from stream_router.pipeline.rejection import Rejected
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.reader import Letter, StrangeLetterError, UnreadableLetterError
from stream_router.pipeline.sinks.eventbridge.wire_format import deduplication_id
from stream_router.pipeline.transform import Transform
from stream_router.process import iso, now_ms
from stream_router.settings.common import NO_RULE
from stream_router.settings.operators import DeadLetters

FOUND, NOT_FOUND, CANNOT_JUDGE = 0, 1, 2

UNDELIVERED = "accepted by EventBridge, and undelivered at the rule's target"

_ID = re.compile(r"[0-9a-f]{32}")
_MASKED = re.compile(r"\[[A-Z_]+\]|^\*{4}|^hmac:")
"""What masking leaves of an id, whole or in it, as far as that shows (docs/masking.md)."""

CLOCKS_MS = 5_000
"""How far the clocks of Kinesis and of a consumer's host may be apart, where it is told which copy came before."""


class Wish(NamedTuple):
    """What the operator typed."""

    ids: Sequence[str]
    interaction: str | None
    conversation: str | None
    since: str
    payload: bool = False


def run(settings: DeadLetters, wish: Wish) -> int:
    """The command. 0 found, 1 not found, 2 cannot judge. Raises SettingsError, and UnforeseenError with 2.

    The command line's own answer to an unforeseen error is 1, which means "not received" here.
    """
    try:
        answer = Answer(settings, Wanted(settings, wish), span_of(wish.since, None, int(now_ms())))
        answer.look(Clients(settings.aws_region))
        for line in answer.lines(payload=wish.payload):
            write_line(sys.stdout, line)
    except SettingsError:
        raise
    except Exception as error:
        text = f"cannot judge: {type(error).__name__}: {error}, unforeseen; try again, report it if it stays"
        raise UnforeseenError(text, CANNOT_JUDGE) from error
    return answer.status


# --- what is asked for


class Wanted:
    """What is asked for: event ids, or an interaction, or a conversation.

    Raises SettingsError where it is not exactly one of the three, or where an id is none. An id may be given as a
    `correlationId` too, which is the same in another form.
    """

    def __init__(self, settings: DeadLetters, wish: Wish) -> None:
        self.ids = [*map(event_id_as_typed, wish.ids)]
        self._name = wish.conversation or wish.interaction or ""
        self._is_conversation = bool(wish.conversation)
        if bool(wish.ids) + bool(wish.interaction) + bool(wish.conversation) != 1:
            raise SettingsError("find: give event ids, or --interaction, or --conversation")
        for given, one in zip(wish.ids, self.ids, strict=True):
            if not _ID.fullmatch(one):
                raise SettingsError(f"find: {given[:64]} is no eventId (32 hex digits) and no correlationId (a UUID)")
        mapping = config_file.load(settings.config)
        self._validator = Validator(mapping)
        written = re.escape(orjson.dumps(self._name)[1:-1])
        self._in_raw = re.compile(rb"(?<![\w-])" + written + rb"(?![\w-])")

    @property
    def text(self) -> str:
        """What is asked for, as it is said."""
        return f"{'conversation' if self._is_conversation else 'interaction'} {self._name}"

    def takes(self, found: Event | DeadLetter) -> bool | None:
        """Whether an event is asked for; None where masking took away what it would be known by.

        By the name that mapping finds in it; where mapping fails, by whether the name stands in what was sent.
        """
        event = found.event if isinstance(found, DeadLetter) else found
        if self.ids:
            return event.event_id in self.ids
        if isinstance(found, Event):
            try:
                valid = self._validator.read(found)
            except Rejected:
                pass
            else:
                name = (valid[1] if self._is_conversation else valid[0]) or ""
                return name == self._name or (None if _MASKED.search(name) else False)
        return self._in_raw.search(event.raw) is not None

    def takes_letter(self, letter: Letter, clients: Clients) -> bool | None:
        """The same of a dead letter; None too where its event cannot be had."""
        if self.ids:
            return letter.origin.event_id in self.ids
        try:
            raw = reader.original(letter, lambda url: object_of(clients, url))
        except UnreadableLetterError:
            return None
        if letter.reason == Reason.CRASHED:  # to open it here would end this process too
            return self._in_raw.search(raw) is not None
        taken = [self.takes(found) for found in open_record(Record(raw, 0))]
        return True if True in taken else None if None in taken or letter.masking else False

    def takes_detail(self, detail: Mapping[str, Any]) -> bool:
        """The same of the Detail of an event that EventBridge had."""
        if self.ids:
            return detail.get("eventId") in self.ids
        return detail.get("conversationId" if self._is_conversation else "originalEventId") == self._name


# --- where it was met


class Undelivered(NamedTuple):
    """An event that EventBridge could not bring to the rule's target, and why in AWS's words.

    `at_ms` is when it was published; `token` what a v2 bus knows it by, "" of a classic one.
    """

    event_id: str
    token: str
    why: str
    at_ms: int


class Verdict(NamedTuple):
    """What became of an event, and what that rests on. `certain` is false where it cannot be judged."""

    fate: str
    why: str
    certain: bool = True


class Place:
    """An event in the stream, and what the queues hold of this copy: its `letter`, or that it is `undelivered`."""

    def __init__(self, shard_id: str, record: UserRecord, found: Event | DeadLetter) -> None:
        self.shard_id, self.position, self.arrived_at_ms = shard_id, record.position, record.arrived_at_ms
        self.passed_over = record.passed_over
        self.found = found
        self.event = found.event if isinstance(found, DeadLetter) else found
        self.key: tuple[object, ...] = (shard_id, *record.position, self.event.line)
        self.token = deduplication_id(shard_id, self.event)
        """What a v2 bus knows it by."""
        self.letter: Letter | None = None
        self.undelivered: Undelivered | None = None

    @property
    def what(self) -> str:
        """What this copy is, where an operator put it there."""
        told = read_resubmitted(self.event.resubmitted)
        if told is None:
            return ""
        words = {"redrive": "redriven", "edit": "edited and redriven", "undelivered": "undelivered, and put back"}
        again = f", time {told.times}" if told.times > 1 else ""
        return f"; {words.get(told.way, 'replayed')} (run {told.run}{again})"

    def is_of(self, application: str) -> bool:
        """Whether it is for this application of the stream: what was put back may be for another."""
        told = read_resubmitted(self.event.resubmitted)
        return told is None or told.application == application


class Answer:
    """What was found, and what it means.

    `missing` says why some of the stream was not read, `no_letters` and `no_undelivered` why not all of a queue was
    seen, `no_checkpoints` why nothing is known of these ("" where there is nothing to say).
    """

    def __init__(self, settings: DeadLetters, wanted: Wanted, span: Span) -> None:
        self._settings, self._wanted, self._span = settings, wanted, span
        self._made = transform_of(settings)
        self._places: dict[str, list[Place]] = {}
        """By event id, each in the order of arrival."""
        self._letters: list[Letter] = []
        self._undelivered: list[Undelivered] = []
        """Of both what is of no place that was seen, once all is put together."""
        self._checkpoints: Mapping[str, Position] = {}
        self._missing = self._no_checkpoints = self._no_letters = self._no_undelivered = ""
        self._uncompared = 0
        """Dead letters of which nobody can tell whether they are of what is asked for."""
        self._verdicts: dict[str, Verdict] = {}
        """Of each event that was found anywhere."""

    # --- looking

    def look(self, clients: Clients) -> None:
        """Read the stream, then the checkpoints, then the queues. A stop ends what is under way of these."""
        with stopping() as stop:
            self._read_stream(clients, stop)
        with stopping() as stop, ThreadPoolExecutor(1) as pool:
            letters = pool.submit(self._read_letters, clients, stop)
            self._read_undelivered(clients, stop)
            letters.result()
        self._put_together()

    def _read_stream(self, clients: Clients, stop: Stop) -> None:
        settings, span = self._settings, self._span

        def met() -> str:
            return f", {sum(map(len, self._places.values())):,} met"

        try:
            told = stream_.describe(clients.kinesis, settings.stream, span.since_ms, span.until_ms)
            for piece in stream_.read(clients, told, span, stop, met):
                for record in piece.records:
                    opened = Record(record.data, *record.position, record.arrived_at_ms)
                    for found in open_record(opened):
                        if self._wanted.takes(found):
                            place = Place(piece.shard.shard_id, record, found)
                            self._places.setdefault(place.event.event_id, []).append(place)
                    opened.data = b""  # each event has its own line; one that is kept must not keep a whole record
            if stop.asked:
                self._missing = "the reading was broken off"
            # Listed anew: of a shard that was resharded while it was read, its children's leases tell.
            now = stream_.describe(clients.kinesis, settings.stream, span.since_ms, span.until_ms)
            found_leases = leases.read(clients.dynamodb, settings.application)
            self._checkpoints = leases.checkpoints(found_leases, {**told.shards, **now.shards})
        except UnreadableError as error:
            self._missing = self._no_checkpoints = str(error)
        except LeasesError as error:
            self._no_checkpoints = str(error)

    def _read_letters(self, clients: Clients, stop: Stop) -> None:
        strange = 0
        seen: dict[tuple[object, ...], Letter] = {}

        def take(message: Message) -> None:
            nonlocal strange
            try:
                letter = reader.read(message.body, message.attributes)
            except StrangeLetterError:
                strange += 1
            except UnreadableLetterError:
                pass  # no dead letter of ours
            else:
                taken = self._wanted.takes_letter(letter, clients)
                self._uncompared += taken is None
                if taken:
                    seen.setdefault(letter.place, letter)  # a letter in parts, or sent twice, is one

        unseen = _each_message(clients, self._settings.sqs_dlq_url, stop, take)
        self._letters = list(seen.values())
        of_them = f"{count_of(strange, 'message')} of the dead-letter queue cannot be read by this version"
        self._no_letters = "; ".join(filter(None, (unseen, of_them if strange else "")))

    def _read_undelivered(self, clients: Clients, stop: Stop) -> None:
        settings = self._settings
        others = settings.rule == NO_RULE or limits.is_v2_bus(settings.event_bus)
        try:
            url = undelivered_url(settings, clients.sqs)
        except QueueError as error:
            if not isinstance(error, QueueAbsentError) or not others or settings.target_dlq_arn:
                self._no_undelivered = str(error)
            else:  # `setup` makes none then
                say("note: what the rule's targets did not take is not looked for (STREAM_ROUTER_TARGET_DLQ_ARN)")
            return
        found = self._undelivered
        self._no_undelivered = _each_message(
            clients, url, stop, lambda message: found.extend(_undelivered(message, self._wanted))
        )

    def _put_together(self) -> None:
        """Each letter and each undelivered event to the copy in the stream that it is of; then the verdicts."""
        for places in self._places.values():
            places.sort(key=lambda place: place.arrived_at_ms)
        every = [place for places in self._places.values() for place in places]
        by_key, by_token = {place.key: place for place in every}, {place.token: place for place in every}
        letters, self._letters = self._letters, []
        for letter in letters:
            at = letter.origin
            place = by_key.get((at.shard_id, at.sequence, at.sub_sequence_number, at.line))
            if place and at.stream == self._settings.stream:
                place.letter = letter
            else:
                self._letters.append(letter)
                self._verdicts[at.event_id] = Verdict("in the dead-letter queue", _why_dead(letter))
        undelivered, self._undelivered = self._undelivered, []
        for one in undelivered:
            place = by_token.get(one.token)
            if copies := [] if one.token else self._places.get(one.event_id, []):
                before = [copy for copy in copies if copy.arrived_at_ms <= one.at_ms + CLOCKS_MS]
                place = (before or copies)[-1]
            if place:
                place.undelivered = one
            elif not one.token or one.event_id in self._wanted.ids:  # a token alone tells nothing but an id
                self._undelivered.append(one)
                self._verdicts[one.event_id] = Verdict(UNDELIVERED, one.why)
        for event_id, places in self._places.items():
            ours = [place for place in places if place.is_of(self._settings.application)]
            self._verdicts[event_id] = self._verdict((ours or places)[-1])

    # --- what it means

    def _verdict(self, place: Place) -> Verdict:
        """What became of this copy: only what is certain."""
        if letter := place.letter:
            return Verdict("in the dead-letter queue", _why_dead(letter))
        if place.undelivered:
            return Verdict(UNDELIVERED, place.undelivered.why)
        if place.passed_over:
            why = "its producer (KPL) wrote a wrong table; `stream-router replay --id` publishes it"
            return Verdict("in a damaged aggregated record: the KCL hands it to nobody", why)
        passed = self._has_passed(place)
        if passed is None:
            return _unknown(self._no_checkpoints or "its shard's checkpoint is a word, not a position")
        if not passed:
            why = "it will be published, or buried, when its turn comes"
            return Verdict("not settled yet: the consumer's checkpoint is not past it", why)
        if not place.is_of(self._settings.application):
            return Verdict("settled unsent", "it was put back for another application of the stream")
        made = self._made(place.found)
        if isinstance(made, Dropped):
            return Verdict("past the checkpoint, and a setting drops it", f"it drops events of type {made.event_type}")
        if self._no_letters:
            return _unknown(f"it may be in the dead-letter queue: {self._no_letters}")
        if isinstance(made, DeadLetter) and made.reason is Reason.UNSUPPORTED_VERSION:
            return _unknown("its envelope is of a later version; look with the version of the consumers")
        if isinstance(made, DeadLetter):
            gone = "it was redriven, purged or has expired, or other settings published it"
            return Verdict(
                "past the checkpoint, and its dead letter is gone", f"today's settings make it {would_be(made)}; {gone}"
            )
        unseen = f"; it may be undelivered at the target: {self._no_undelivered}" if self._no_undelivered else ""
        return Verdict(
            "past the checkpoint and in no queue: accepted by EventBridge, or its letter is gone",
            f"today's settings publish it as {made.detail_type}{unseen}",
        )

    def _has_passed(self, place: Place) -> bool | None:
        checkpoint = self._checkpoints.get(place.shard_id)
        return None if checkpoint is None else has_passed(checkpoint, place.position)

    @property
    def status(self) -> int:
        """0 where everything that was asked for was found and can be judged, 2 where it cannot, else 1."""
        if not all(verdict.certain for verdict in self._verdicts.values()):
            return CANNOT_JUDGE
        if self._wanted.ids:
            is_whole = set(self._wanted.ids) <= self._verdicts.keys()
        else:
            is_whole = bool(self._verdicts) and not self._missing
        if is_whole:
            return FOUND
        return CANNOT_JUDGE if self._missing or self._no_letters or self._uncompared else NOT_FOUND

    # --- saying it

    def lines(self, *, payload: bool) -> Iterator[str]:
        """The report, line by line: each event by its age, then what was not found, then what was not seen."""
        for event_id in sorted(self._verdicts, key=self._received_ms):
            yield from self._told(event_id, payload=payload)
        compared = f"{count_of(self._uncompared, 'dead letter')} could not be compared, in S3, in parts or masked"
        unseen = [self._no_letters, self._no_undelivered, compared if self._uncompared else ""]
        not_seen = "; ".join(filter(None, unseen))
        queues = f"no queue that was seen (not all was: {not_seen})" if not_seen else "no queue"
        nothing = (
            f"not in the stream since {iso(self._span.since_ms)}, and in {queues}: not received since then, unless a "
            "receiver's spill still has it"
        )
        if self._missing:
            nothing = f"cannot be judged: {self._missing}"
        for event_id in dict.fromkeys(self._wanted.ids):
            if event_id not in self._verdicts:
                yield from _block(event_id, "", [("verdict", nothing)])
        if not self._wanted.ids and not self._verdicts:
            yield f"{self._wanted.text}: {nothing}"
        more = "; ".join(filter(None, (self._missing, "" if self._wanted.ids else not_seen)))
        if self._verdicts and more:
            yield f"there may be more: {more}"

    def _received_ms(self, event_id: str) -> int:
        return min((place.event.received_at_ms for place in self._places.get(event_id, ())), default=0)

    def _told(self, event_id: str, *, payload: bool) -> Iterator[str]:
        """One event: each place, in the order of arrival, then the verdict, which is that of the newest."""
        kind, facts = "", list[tuple[str, str]]()
        for letter in self._letters:
            if (at := letter.origin).event_id == event_id:
                facts.append(("received", at.received_at))
                facts.append(("stream", f"was at shard {at.shard_id}, record {at.sequence_number}, line {at.line}"))
                kind = letter.event_type
        places = self._places.get(event_id, [])
        for place in places:
            if place is places[0]:
                facts.append(("received", iso(place.event.received_at_ms)))
            line = f", line {place.event.line}" if place.event.line else ""
            facts.append(("stream", f"shard {place.shard_id}, record {place.position}{line}"))
            facts.append(("", f"stored {iso(place.arrived_at_ms)}{place.what}"))
            facts.append(("checkpoint", _PASSED[self._has_passed(place)]))
            if place is not places[-1] and (place.letter or place.undelivered):
                facts.append(("", f"{self._verdict(place).fate}: {self._verdict(place).why}"))
            kind = (place.letter.event_type if place.letter else type_of(self._made(place.found))) or kind
        verdict = self._verdicts[event_id]
        yield from _block(event_id, kind, [*facts, ("verdict", verdict.fate), ("", verdict.why)])
        if payload and places:
            yield from self._payload(places[-1])

    def _payload(self, place: Place) -> Iterator[str]:
        """The event as it was sent, in its line; masked where a policy is in force."""
        raw = place.event.raw
        if self._settings.masking != "off":
            if place.letter and place.letter.reason == Reason.CRASHED:
                yield "  it killed a process, so it is not opened here to be masked"
                return
            transform = Transform(transform_config(self._settings), now_ms)
            raw = transform.masked_raw(place.event)
        for line in readable(raw).split("\n"):
            yield f"  {line}"


_PASSED = {True: "past it", False: "not past it", None: "not known"}


def _unknown(why: str) -> Verdict:
    return Verdict("cannot be judged", why, certain=False)


def _each_message(clients: Clients, url: str, stop: Stop, take: Callable[[Message], object]) -> str:
    """Show `take` every message of a queue, and give all back; why not all were seen, "" where they were."""
    try:
        with Queue(clients.sqs, url, stop) as queue:
            for message in queue.read():
                take(message)
                message.body = ""
            return queue.missing
    except QueueError as error:
        return str(error)


def _why_dead(letter: Letter) -> str:
    """Why an event is in the dead-letter queue, and the way back; no payload in it."""
    error = f" ({letter.error.code})" if letter.error.code else ""
    return f"{letter.reason}{error}: {letter.error.message}; since {letter.failed_at}"


def _undelivered(message: Message, wanted: Wanted) -> Iterator[Undelivered]:
    """What a message of EventBridge's own tells of: of a classic bus the event, of a v2 bus its tokens."""
    try:
        body = orjson.loads(message.body)
    except orjson.JSONDecodeError:
        return
    detail, failed = (body.get("detail"), body.get("failedMessages")) if isinstance(body, dict) else (None, None)
    if isinstance(detail, dict) and isinstance(event_id := detail.get("eventId"), str) and wanted.takes_detail(detail):
        told = message.attributes
        why = f"{told.get('ERROR_CODE') or 'no code'}: {told.get('ERROR_MESSAGE') or 'EventBridge gives no reason'}"
        yield Undelivered(event_id, "", why, _epoch_ms(detail.get("processedAt")) or message.sent_ms)
    elif isinstance(failed, list):  # whether it is of what is asked for shows at the places that were met
        why = f"{body.get('errorCode') or 'no code'}: {body.get('errorMessage') or 'EventBridge gives no reason'}"
        for one in failed:
            token = str(one.get("deduplicationId") or "") if isinstance(one, dict) else ""
            yield Undelivered(token.partition(":")[0], token or "none", why, message.sent_ms)


def _epoch_ms(text: object) -> int:
    try:
        return round(datetime.fromisoformat(str(text)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


def _block(event_id: str, event_type: str, facts: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield plain(f"{event_id}  {event_type}".rstrip())
    for name, text in facts:
        if text:
            yield f"  {name:<10}  {plain(text)}"

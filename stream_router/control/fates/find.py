"""`stream-router find`: what became of an event, or of all events of an interaction or a conversation."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stream_router.aws.clients import Clients
from stream_router.consumer.transform_config import transform_config
from stream_router.control.fates import found_report, looks
from stream_router.control.fates.books import Letters, UndeliveredBook
from stream_router.control.fates.found_report import Answer
from stream_router.control.fates.judge import Fate, Judge
from stream_router.control.fates.wanted import Wanted
from stream_router.control.lines import write_line
from stream_router.control.stream import session
from stream_router.control.stream import shards as shards_
from stream_router.control.stream.progress import Progress
from stream_router.control.stream.reader import Span
from stream_router.control.stream.session import Checkpoints, Stops, say
from stream_router.control.stream.shards import UnreadableError
from stream_router.control.stream.sightings import Sighting, sightings
from stream_router.envelope import open_record
from stream_router.errors import SettingsError, UnforeseenError
from stream_router.model import Dropped, Event, Record
from stream_router.operate.dry_run import transform_of
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.mapper import Validator
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.reader import Letter, UnreadableLetterError
from stream_router.pipeline.transform import Transform
from stream_router.process import now_ms
from stream_router.settings.operators import DeadLetters

FOUND, NOT_FOUND, CANNOT_JUDGE = 0, 1, 2

MOST_FOUND = 100_000
"""A conversation has fewer events; more would be kept in memory."""


class Wish(NamedTuple):
    """What the operator typed."""

    ids: Sequence[str]
    interaction: str | None
    conversation: str | None
    since: str


class Scan(NamedTuple):
    """What was met in the stream. `missing`: why some of the span was not read ("" where all of it was)."""

    sightings: list[Sighting]
    checkpoints: Checkpoints
    missing: str


def run(settings: DeadLetters, wish: Wish) -> int:
    """The command. 0 found, 1 not found, 2 cannot judge. Raises SettingsError, and UnforeseenError with 2.

    The command line's own answer to an unforeseen error is 1, which means "not received" here.
    """
    try:
        return _found(settings, wish)
    except SettingsError:
        raise
    except Exception as error:
        text = f"cannot judge: {type(error).__name__}: {error}, unforeseen; try again, report it if it stays"
        raise UnforeseenError(text, CANNOT_JUDGE) from error


def _found(settings: DeadLetters, wish: Wish) -> int:
    mapping = config_file.load(settings.config)
    wanted = Wanted(
        wish.ids, wish.interaction, wish.conversation, Validator(mapping.shapes, mapping.sources, mapping.expert)
    )
    transform = Transform(transform_config(settings), now_ms)
    span = session.span_of(wish.since, None, int(now_ms()))
    clients, stops = Clients(settings.aws_region), Stops()
    with stops.listening():
        keep = keeping(wanted.ids)
        letters, undelivered = looks.both(settings, stops, keep)
        scan = _scan(settings, clients, span, wanted, stops)
        if scan.sightings:  # a letter may have been written, or undelivered, since
            now_there, now_undelivered = looks.both(settings, stops, keep)
            letters, undelivered = now_there.after(letters), now_undelivered.after(undelivered)
        buried = [letter for letter in letters.all if _is_wanted(letter, wanted)]
    judge = judge_of(settings, scan.checkpoints, letters, undelivered)
    apart = uncompared(letters, wanted)
    unseen = "; ".join(filter(None, (letters.missing, apart, undelivered.missing)))
    answer = Answer(wanted, span, scan.sightings, buried, undelivered, scan.missing, unseen, apart)
    for line in found_report.lines(answer, judge, transform):
        write_line(sys.stdout, line)
    return status(answer, judge, letters)


def keeping(ids: Sequence[str]) -> looks.Keep:
    """What of the queues may be of these events; without ids any. Of a v2 bus's messages nobody knows it yet."""

    def may_be(body: str) -> bool:
        return '"failedMessages"' in body or any(one in body for one in ids)

    return may_be if ids else looks.everything


def judge_of(
    settings: DeadLetters,
    checkpoints: Checkpoints,
    letters: Letters,
    undelivered: UndeliveredBook,
) -> Judge:
    """The judge of events of the settings' stream."""
    config = transform_config(settings)
    by_types = Transform(config._replace(unroutable="publish"), now_ms) if config.drop_types else None

    def dropping(event: Event) -> str:
        dropped = by_types is not None and isinstance(by_types(event), Dropped)
        return "STREAM_ROUTER_DROP_TYPES" if dropped else "STREAM_ROUTER_UNROUTABLE=drop"

    made = transform_of(settings)
    return Judge(made, dropping, checkpoints.of_shard, letters, undelivered, checkpoints.missing)


def status(answer: Answer, judge: Callable[[Sighting], object], letters: Letters) -> int:
    """0 where everything that was asked for was found and each copy judged, 2 where one cannot be judged, else 1."""
    if any(getattr(judge(one), "fate", None) is Fate.UNKNOWN for one in answer.sightings):
        return CANNOT_JUDGE
    if answer.is_complete:
        return FOUND
    return CANNOT_JUDGE if answer.missing or letters.missing or answer.uncompared else NOT_FOUND


def _scan(settings: DeadLetters, clients: Clients, span: Span, wanted: Wanted, stops: Stops) -> Scan:
    met: list[Sighting] = []
    missing = ""
    try:
        stream = shards_.describe(clients.kinesis, settings.stream, span.since_ms, span.until_ms)
        progress = Progress(span, len(stream.shards), time.monotonic, more=lambda: f", {len(met):,} met")
        with session.reading(clients, stream, span, stops, progress=progress) as pieces:
            for piece in pieces:
                met += [one for one in sightings(piece) if wanted.takes(one.found)]
                if len(met) > MOST_FOUND:
                    missing = (
                        f"more than {MOST_FOUND:,} events were met, and the reading ended there; give a later --since"
                    )
                    break
        if stops.asked.is_set():
            missing = "the reading was broken off"
        # Listed anew: of a shard that was resharded while it was read, which takes hours, its children's leases tell.
        now = shards_.describe(clients.kinesis, settings.stream, span.since_ms, span.until_ms)
        grown = stream._replace(shards={**stream.shards, **now.shards})
        return Scan(met, session.checkpoints_of(settings, clients, grown), missing)
    except UnreadableError as error:
        say(str(error))
        return Scan(met, Checkpoints(None, str(error)), str(error))


def _is_wanted(letter: Letter, wanted: Wanted) -> bool | None:
    """By its id, or by its event's content; None where that cannot be had without S3, is in parts, or was masked."""
    if wanted.by_id:
        return wanted.takes_id(letter.origin.event_id)
    try:
        raw = reader.original(letter)
    except UnreadableLetterError:
        return None
    if raw.startswith(b'{"withheld":'):
        return None
    events = open_record(Record(raw, 0))
    return any(map(wanted.takes, events)) or (None if any(map(wanted.is_hidden, events)) else False)


def uncompared(letters: Letters, wanted: Wanted) -> str:
    """Why some letters may be of what is asked for though it was not found in them ("" where all were compared)."""
    count = sum(_is_wanted(letter, wanted) is None for letter in letters.all)
    those = f"{count:,} dead letters" if count > 1 else "1 dead letter"
    return f"{those} could not be compared, in S3, in parts or masked" if count else ""

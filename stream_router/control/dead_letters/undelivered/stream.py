"""Finds events of a v2 bus in the stream again: its dead letters hold no payload, only what it knew the events by."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from stream_router.aws.clients import Clients
from stream_router.control.republish.republisher import Again, token_of
from stream_router.control.stream.polite_reads import Means, PoliteReads, UserRecord
from stream_router.control.stream.reader import Span, StreamReader
from stream_router.control.stream.shards import TooOldError, describe
from stream_router.envelope import open_record
from stream_router.model import DeadLetter, Event

BEFORE_MS = 3_600_000
"""How long before it was published an event is looked for: it is published at once unless its shard held."""

AFTER_MS = 60_000

MARGIN_MS = 60_000
"""What the stream forgets while it is asked."""

MOST_BYTES = 32 * 1024 * 1024
"""Events that are in hand at once. Parsed, and as entries, each takes some times its size."""

ENOUGH = "as much is in hand as memory takes: redrive again"


class Found(NamedTuple):
    """Events by the token that the bus knew them by, and why the others were not found.

    `unread`: not all of the stream was read, so others may be in it.
    """

    events: Mapping[str, Event | DeadLetter]
    why_not: str
    unread: bool = False


def find(
    clients: Clients,
    stream: str,
    wanted: Iterable[tuple[str, str]],
    asked: Callable[[], bool],
    meanwhile: Callable[[], None],
    say: Callable[[str], None],
) -> Found:
    """Look for events by token and time (ISO 8601), one read a second of each shard. It may take hours.

    `asked` to stop is heard, and `meanwhile` called, all the time. Raises UnreadableError where the stream cannot be
    read.
    """
    tokens, times = {token for token, _ in wanted if token}, [_ms(at) for _, at in wanted]
    times = [at for at in times if at]
    now_ms = int(time.time() * 1000)
    if not tokens or not times:
        return Found({}, "EventBridge tells no token of it")
    since_ms, until_ms = min(times) - BEFORE_MS, min(max(times) + AFTER_MS, now_ms)
    try:
        shards = describe(clients.kinesis, stream, since_ms, now_ms).shards
    except TooOldError as error:  # of one event alone, perhaps: the queue keeps them longer than the stream
        if (since_ms := error.oldest_ms + MARGIN_MS) >= until_ms:
            return Found({}, "the stream keeps it no longer")
        shards = describe(clients.kinesis, stream, since_ms, now_ms).shards
    minutes = (until_ms - since_ms) // 60_000
    say(f"a v2 bus keeps no payload: looking for {len(tokens):,} events in {minutes:,} minutes of the stream")
    stop = threading.Event()

    def wait(seconds: float) -> bool:
        return stop.wait(seconds)

    chance = random.Random().random  # noqa: S311 - jitter
    source = PoliteReads(Means(clients.kinesis_reads, stream, time.monotonic, wait, chance))
    reader = StreamReader(
        source.batches, shards, Span(since_ms, until_ms + 1), lambda: int(time.time() * 1000), stop, None, meanwhile
    )
    return _read(reader, tokens, asked, meanwhile)


def _read(reader: StreamReader, tokens: set[str], asked: Callable[[], bool], meanwhile: Callable[[], None]) -> Found:
    found: dict[str, Event | DeadLetter] = {}
    size = 0
    for piece in reader.pieces():
        meanwhile()
        for record in piece.records:
            size += _take(record, piece.shard.shard_id, tokens, found)
            if size >= MOST_BYTES and len(found) < len(tokens):
                return Found(found, ENOUGH, unread=True)
        if asked() or len(found) == len(tokens):
            break
    return Found(found, "it is not in the stream any more, or was published more than an hour after it came")


def _take(one: UserRecord, shard_id: str, tokens: set[str], found: dict[str, Event | DeadLetter]) -> int:
    """The bytes of a record's events that are looked for."""
    at, size = one.position, 0
    place = f"{shard_id}:{at.sequence_number}:{at.sub_sequence_number}:"
    record = Again(one.data, place, at.sequence_number, one.arrived_at_ms)
    for made in open_record(record):
        event = made.event if isinstance(made, DeadLetter) else made
        if (token := token_of(event)) in tokens:
            found[token] = made
            size += len(event.raw)
    record.data = b""  # each event has its own line; one of them must not keep a whole record
    return size


def _ms(text: str) -> int:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0

"""Finds events of a v2 bus in the stream again: its dead letters hold no payload, only what it knew the events by."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from stream_router.aws.clients import Clients
from stream_router.control.republish.republisher import Again, token_of
from stream_router.control.stream.batches import Means
from stream_router.control.stream.polite_reads import PoliteReads
from stream_router.control.stream.reader import Piece, Span, StreamReader
from stream_router.control.stream.shards import TooOldError, describe
from stream_router.core.envelope import open_record
from stream_router.core.model import DeadLetter, Event

BEFORE_MS = 3_600_000
"""How long before it was published an event is looked for: it is published at once unless its shard held."""

AFTER_MS = 60_000


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
    say: Callable[[str], None],
) -> Found:
    """Look for events by token and time (ISO 8601), one read a second of each shard.

    Raises UnreadableError where the stream cannot be read.
    """
    tokens, times = {token for token, _ in wanted if token}, [_ms(at) for _, at in wanted]
    times = [at for at in times if at]
    now_ms = int(time.time() * 1000)
    if not tokens or not times:
        return Found({}, "EventBridge tells no token of it")
    since_ms, until_ms = min(times) - BEFORE_MS, min(max(times) + AFTER_MS, now_ms)
    try:
        shards = describe(clients.kinesis, stream, since_ms, now_ms).shards
    except TooOldError:
        try:
            shards = describe(clients.kinesis, stream, since_ms := min(times), now_ms).shards
        except TooOldError:
            return Found({}, "the stream keeps it no longer")
    minutes = (until_ms - since_ms) // 60_000
    say(f"a v2 bus keeps no payload: looking for {len(tokens):,} events in {minutes:,} minutes of the stream")
    found: dict[str, Event | DeadLetter] = {}
    stop = threading.Event()

    def wait(seconds: float) -> bool:
        return stop.wait(seconds)

    chance = random.Random().random  # noqa: S311 - jitter
    source = PoliteReads(Means(clients.kinesis, stream, time.monotonic, wait, chance))
    reader = StreamReader(source, shards, Span(since_ms, until_ms + 1), lambda: int(time.time() * 1000), stop)
    for piece in reader.pieces():
        _take(piece, tokens, found)
        if asked() or len(found) == len(tokens):
            break
    return Found(found, "it is not in the stream any more, or was published more than an hour after it came")


def _take(piece: Piece, tokens: set[str], found: dict[str, Event | DeadLetter]) -> None:
    for one in piece.records:
        at = one.position
        place = f"{piece.shard.shard_id}:{at.sequence_number}:{at.sub_sequence_number}:"
        for event in open_record(Again(one.data, place, at.sequence_number, one.arrived_at_ms)):
            token = token_of(event.event if isinstance(event, DeadLetter) else event)
            if token in tokens:
                found[token] = event


def _ms(text: str) -> int:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0

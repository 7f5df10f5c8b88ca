"""One command's reading of the stream, put together: what it will take is said first, then it is read with progress."""

import contextlib
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from stream_router.aws.clients import Clients
from stream_router.control.lines import write_line
from stream_router.control.moments import check_span, moment_ms
from stream_router.control.stream import estimate, leases
from stream_router.control.stream.polite_reads import Means, PoliteReads
from stream_router.control.stream.positions import Position
from stream_router.control.stream.progress import Progress
from stream_router.control.stream.reader import Piece, Span, StreamReader
from stream_router.control.stream.shards import Stream
from stream_router.process import heard_by, iso, of_a_stop
from stream_router.settings.common import Common


def say(text: str) -> None:
    """One line beside the result: where progress goes too."""
    write_line(sys.stderr, text)


def span_of(since: str, until: str | None, now_ms: int) -> Span:
    """The span that an operator typed, up to now at most. Raises SettingsError where it is none."""
    since_ms = moment_ms(since, "--since", now_ms)
    until_ms = moment_ms(until, "--until", now_ms) if until else now_ms
    if until_ms > now_ms:
        say(f"note: --until is in the future by this machine's clock: read up to now, {iso(now_ms)}")
        until_ms = now_ms
    check_span(since_ms, until_ms)
    return Span(since_ms, until_ms)


class Stops:
    """Ctrl-C, SIGTERM and a closed terminal as an event. A second changes nothing: what is under way is finished."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._heard = False
        self._others: list[threading.Event] = []

    def also(self, event: threading.Event) -> None:
        """Set this one too; at once where it was asked for before: a command has looked at queues until then."""
        self._others.append(event)
        if self.asked.is_set():  # after the append, so that a signal between the two is not lost
            event.set()

    def _ask(self, *_: Any) -> None:
        """A signal's handler: it may come in the middle of itself, or of a `set` in this thread, whose lock is held."""
        if self._heard:
            return
        self._heard = True
        for event in (self.asked, *self._others):
            if not event.is_set():
                event.set()

    def listening(self) -> contextlib.AbstractContextManager[None]:
        """Signals are taken while the block runs."""
        return heard_by(self._ask, *of_a_stop())


class Checkpoints(NamedTuple):
    """How far the consumer has come in each shard; None, and `missing` says why, where that is not known."""

    of_shard: Mapping[str, Position] | None
    missing: str = ""


def checkpoints_of(settings: Common, clients: Clients, stream: Stream) -> Checkpoints:
    """How far the consumer has come, as it stands now."""
    try:
        found = leases.read(clients.dynamodb, settings.application)
    except leases.LeasesError as error:
        return Checkpoints(None, str(error))
    return Checkpoints(leases.checkpoints(found, stream.shards))


@contextlib.contextmanager
def reading(
    clients: Clients,
    stream: Stream,
    span: Span,
    stops: Stops,
    *,
    bounds: Mapping[str, Position] | None = None,
    progress: Progress | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Iterator[Iterator[Piece]]:
    """The pieces of the span, read with progress; what it will take is said first. Raises UnreadableError.

    `progress` is the caller's own, which has more to say. `meanwhile` is called while nothing is read.
    """
    size_bytes = estimate.incoming_bytes(clients.cloudwatch, stream.name, span)
    made = estimate.estimate(size_bytes, len(stream.shards), span)
    say(estimate.text(made, len(stream.shards)))
    stop = threading.Event()
    stops.also(stop)
    progress = progress or Progress(span, len(stream.shards), time.monotonic)
    reader = StreamReader(
        _reads(clients, stream, stop).batches, stream.shards, span, _now_ms, stop, bounds, meanwhile, stream.keeps_ms
    )
    pieces = _noted(reader.pieces(), progress)
    try:
        yield pieces
    finally:
        pieces.close()
        progress.end()


def _noted(pieces: Iterator[Piece], progress: Progress) -> Any:
    """The same pieces, each noted. Closing it closes the reading."""
    with contextlib.closing(pieces):  # type: ignore[type-var]
        for piece in pieces:
            progress.note(piece)
            yield piece


def _reads(clients: Clients, stream: Stream, stop: threading.Event) -> PoliteReads:
    chance = random.Random().random  # noqa: S311 - jitter
    return PoliteReads(Means(clients.kinesis_reads, stream.name, time.monotonic, stop.wait, chance))


def _now_ms() -> int:
    return int(time.time() * 1000)

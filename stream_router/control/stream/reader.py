"""Reads a span of the whole stream: every shard, parents before their children, closed ones too."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple

from stream_router.control.stream import shards as shards_
from stream_router.control.stream.polite_reads import Batch, UserRecord
from stream_router.control.stream.positions import Position
from stream_router.control.stream.shards import Shard, UnreadableError

LATE_MS = 10_000
"""Arrival times are approximate: so far behind the span's end a shard is read on before it counts as read."""

FORGOTTEN_MS = 60_000
"""At the edge of what the stream keeps, what goes within a minute is not missed: a `--since` may name that edge."""

OVERTAKEN = "the stream's retention overtook the reading, so records may have gone unread; give a later --since"

MOST_AT_ONCE = 64
_QUEUED = 8


class Span(NamedTuple):
    """From `since_ms` on, and before `until_ms` (epoch ms, by Kinesis's arrival time)."""

    since_ms: int
    until_ms: int

    def holds(self, arrived_at_ms: int) -> bool:
        """Whether a record is of this span."""
        return self.since_ms <= arrived_at_ms < self.until_ms


class Piece(NamedTuple):
    """Some records of one shard that are in the span, in order.

    `reached_ms` is about how far the shard is read, `read_to_ms` how far surely: what arrived before it was handed out,
    but for what is late by LATE_MS (both epoch ms, the span's end once the shard is read).
    """

    shard: Shard
    records: Sequence[UserRecord]
    size_bytes: int
    reached_ms: int
    read_to_ms: int


class _Ended(NamedTuple):
    """A shard is read as far as is wanted; `whole`: to its very end, so that its children may be read."""

    shard: Shard
    whole: bool
    error: BaseException | None


def bounded(
    batches: Iterator[Batch],
    shard: Shard,
    span: Span,
    last: Position | None,
    now_ms: Callable[[], int],
    keeps_ms: float = inf,
) -> Generator[Piece, None, bool]:
    """A shard's records of the span, up to the position `last` (None: all); it ends where no more of them can come.

    It returns (as a generator does) whether the shard was read to its very end. Raises UnreadableError where records
    may have gone before they were read, of a stream that keeps them for `keeps_ms`.
    """
    read_to_ms = span.since_ms
    about_ms: float = inf if shard.parents else span.since_ms  # a child may have begun long after that
    for batch in batches:
        if about_ms < now_ms() - keeps_ms - FORGOTTEN_MS:
            raise UnreadableError(f"{shard.shard_id}: {OVERTAKEN}")
        beyond = any(last is not None and record.position > last for record in batch.records)
        wanted = [
            record
            for record in batch.records
            if span.holds(record.arrived_at_ms) and (last is None or record.position <= last)
        ]
        newest_ms = max((record.arrived_at_ms for record in batch.records), default=0)
        # A closed shard ends by itself; to leave it here would leave its children out.
        at_tip = shard.is_open and batch.behind_ms == 0 and now_ms() >= span.until_ms
        is_read = beyond or at_tip or batch.ended
        read_to_ms = span.until_ms if is_read else max(read_to_ms, newest_ms)
        about_ms = reached_ms = max(read_to_ms, now_ms() - batch.behind_ms)
        sure_ms = min(read_to_ms, span.until_ms)
        yield Piece(shard, wanted, batch.size_bytes, min(reached_ms, span.until_ms), sure_ms)
        if batch.ended:
            return True
        if beyond or at_tip or newest_ms >= span.until_ms + LATE_MS:
            return False
    return False


class StreamReader:
    """Reads one span once. `bounds` gives the last position wanted of a shard, where there is a bound.

    `batches_of` reads a shard from a time (epoch ms) on, as `PoliteReads.batches` does. `stop` ends the reading early.
    `meanwhile` is called again and again while nothing is read. Shards are read at the same time, each by a thread of
    its own. `keeps_ms` is how long the stream keeps a record.
    """

    def __init__(
        self,
        batches_of: Callable[[Shard, int], Iterator[Batch]],
        shards: Mapping[str, Shard],
        span: Span,
        now_ms: Callable[[], int],
        stop: threading.Event,
        bounds: Mapping[str, Position] | None = None,
        meanwhile: Callable[[], None] | None = None,
        keeps_ms: float = inf,
    ) -> None:
        self._batches_of = batches_of
        self._shards = shards
        self._span = span
        self._now_ms = now_ms
        self._stop = stop
        self._bounds = bounds or {}
        self._meanwhile = meanwhile
        self._keeps_ms = keeps_ms
        self._found: queue.Queue[Piece | _Ended] = queue.Queue(_QUEUED)
        self._threads: list[threading.Thread] = []

    def pieces(self) -> Iterator[Piece]:
        """Every record of the span, in the order of its shard. Raises UnreadableError where a shard cannot be read."""
        ended: set[str] = set()
        begun: set[str] = set()
        reading, may_begin = 0, True
        try:
            while True:
                if may_begin:  # not with every piece: of many shards a look takes milliseconds
                    for shard in shards_.ready(self._shards, ended, begun)[: MOST_AT_ONCE - reading]:
                        begun.add(shard.shard_id)
                        reading += 1
                        self._begin(shard)
                if not reading:
                    return
                if (found := self._next()) is None:
                    return
                may_begin = isinstance(found, _Ended)
                if isinstance(found, Piece):
                    yield found
                    continue
                reading -= 1
                if found.error:
                    raise found.error
                if found.whole:
                    ended.add(found.shard.shard_id)
        finally:
            self._stop.set()
            self._join()

    def _next(self) -> Piece | _Ended | None:
        """What comes next of any shard; None where the reading is to stop."""
        while not self._stop.is_set():
            try:
                return self._found.get(timeout=0.02 if self._meanwhile else 0.2)
            except queue.Empty:
                if self._meanwhile:
                    self._meanwhile()
        return None

    def _begin(self, shard: Shard) -> None:
        thread = threading.Thread(target=self._read, args=(shard,), name=f"read-{shard.shard_id}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _read(self, shard: Shard) -> None:
        whole, error = False, None
        try:
            whole = self._hand_over(shard)
        except Exception as raised:  # noqa: BLE001 - it is raised again in the reader's own thread
            error = raised
        self._put(_Ended(shard, whole, error))

    def _hand_over(self, shard: Shard) -> bool:
        batches = self._batches_of(shard, self._span.since_ms)
        last = self._bounds.get(shard.shard_id)
        pieces = bounded(batches, shard, self._span, last, self._now_ms, self._keeps_ms)
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                return bool(end.value)
            if not self._put(piece):
                return False

    def _put(self, item: Piece | _Ended) -> bool:
        """Hand it over, unless the reading is to stop."""
        while not self._stop.is_set():
            try:
                self._found.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=30)

"""How far a reading is: on a terminal a line that is written over, else a plain line every ten seconds."""

import sys
from collections.abc import Callable
from typing import TextIO

from stream_router.control.lines import write
from stream_router.control.stream.estimate import duration
from stream_router.control.stream.reader import Piece, Span

LINE_EVERY_S = 10.0
REDRAW_EVERY_S = 0.5


class Progress:
    """Told of every piece that is read. Writes to `out`, which is where the result is not."""

    def __init__(
        self,
        span: Span,
        shards: int,
        clock: Callable[[], float],
        out: TextIO | None = None,
        more: Callable[[], str] = str,
    ) -> None:
        self._span = span
        self._shards = max(1, shards)
        self._clock = clock
        self._out = out or sys.stderr
        self._live = self._out.isatty()
        self._more = more
        self._begun = self._told = clock()
        self._reached_ms: dict[str, int] = {}
        self.records = 0
        self.size_bytes = 0

    @property
    def share(self) -> float:
        """How much of the span is read, 0.0 to 1.0, by arrival time, over all shards that were begun."""
        whole = max(1, self._span.until_ms - self._span.since_ms)
        done = [(reached - self._span.since_ms) / whole for reached in self._reached_ms.values()]
        return min(1.0, sum(done) / max(self._shards, len(done)))

    def note(self, piece: Piece) -> None:
        """A piece was read."""
        self._reached_ms[piece.shard.shard_id] = piece.reached_ms
        self.records += len(piece.records)
        self.size_bytes += piece.size_bytes
        self.tell()

    def tell(self) -> None:
        """Say how far it is, where that was not said of late."""
        now = self._clock()
        if now - self._told >= (REDRAW_EVERY_S if self._live else LINE_EVERY_S):
            self._told = now
            self._write(now)

    def _write(self, now: float) -> None:
        share = self.share
        left = f", about {duration((now - self._begun) * (1 - share) / share)} left" if 0.01 < share < 1 else ""
        text = f"read {share:.0%}: {self.records:,} records, {self.size_bytes / 1e6:,.1f} MB{self._more()}{left}"
        write(self._out, f"\r{text:<78}" if self._live else f"{text}\n")

    def end(self) -> None:
        """The line makes room for the result."""
        if self._live:
            write(self._out, "\r" + " " * 78 + "\r")

"""Settled watermark: how far a shard may be checkpointed.

It never passes an unsettled record, nor a record that was accepted after the last successful target check.
"""

import itertools
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from stream_router.model import Record

SAMPLE_EVERY_S = 0.1
"""Resolution at which positions are stored: a target check releases positions to within this."""

SAMPLES_MAX = 1_000
"""Maximum number of stored positions. If no target check succeeds for long, every other position is dropped, again and
again, and a check then releases positions to within a tenth of its age."""

COMPACT_FROM = 2_000
"""Number of records behind an unsettled one from which on runs of settled records are merged into one position."""


class RecordPosition(NamedTuple):
    """A checkpoint: sequence number, then sub-sequence number, both compared as integers."""

    sequence_number: int
    sub_sequence_number: int


class Watermark:
    """Records of one shard in order, and how far they are settled. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._unsettled: deque[Record | RecordPosition] = deque()
        """Records in order. A run of settled records may be merged into the position of its last one."""
        self._compact_at = COMPACT_FROM
        self._reached: deque[tuple[float, RecordPosition]] = deque()
        self._proven: RecordPosition | None = None

    def expect(self, records: Iterable[Record]) -> None:
        """Add the records that come next. The pipeline counts each record's events before `advance` is called again.

        All records of one sequence number are among them. No position is within these: if the iterator with which the
        KCL begins has expired before it read anything, the KCL goes on behind that number (docs/facts.md, "KCL").
        """
        self._unsettled.extend(records)

    def advance(self, accepted_at: float) -> None:
        """Advance over all records that are settled. The bus accepted nothing after `accepted_at`."""
        position = None
        while self._unsettled and _is_settled(self._unsettled[0]):
            item = self._unsettled.popleft()
            position = _position(item, self._unsettled[0] if self._unsettled else None) or position
        if len(self._unsettled) > self._compact_at:
            self._compact()
        if position is None:
            return
        # A new position replaces the last one only if an older one is close before that. If it always did, steady
        # progress would leave a single position that is always younger than any target check.
        if len(self._reached) > 1 and self._reached[-1][0] - self._reached[-2][0] < SAMPLE_EVERY_S:
            self._reached.pop()
        self._reached.append((accepted_at, position))
        if len(self._reached) > SAMPLES_MAX:
            # The newest stays. Each that is left keeps its time, so no earlier check than before releases it.
            self._reached = deque(list(self._reached)[::-2][::-1])

    def _compact(self) -> None:
        """Merge each run of settled records into one position: an hour behind one sick entry then costs no memory."""
        folded: deque[Record | RecordPosition] = deque()
        run: RecordPosition | None = None
        for item, following in itertools.zip_longest(self._unsettled, itertools.islice(self._unsettled, 1, None)):
            if _is_settled(item):
                run = _position(item, following) or run
                continue
            if run:
                folded.append(run)
                run = None
            folded.append(item)
        if run:
            folded.append(run)
        self._unsettled = folded
        self._compact_at = max(COMPACT_FROM, 2 * len(folded))

    def proven(self, proof_s: float) -> RecordPosition | None:
        """Return the last position reached before `proof_s`, the time at which the last successful check began."""
        while self._reached and self._reached[0][0] < proof_s:
            self._proven = self._reached.popleft()[1]
        return self._proven

    @property
    def settled(self) -> bool:
        """Whether every record received so far is settled."""
        return not self._unsettled

    def oldest_ms(self) -> tuple[int, int] | None:
        """Return when the oldest unsettled event was received, and when the oldest such record arrived (epoch ms).

        Both are exact to a record: an event counts until its whole record is settled. Return None if all are settled.
        """
        waiting = [record for record in self._unsettled if isinstance(record, Record) and record.unsettled]
        if not waiting:
            return None
        return min([record.received_at_ms for record in waiting]), min([record.arrived_at_ms for record in waiting])

    @property
    def unproven(self) -> bool:
        """Whether settled positions wait for a target check."""
        return bool(self._reached)


def _is_settled(item: Record | RecordPosition) -> bool:
    return isinstance(item, RecordPosition) or not item.unsettled


def _position(item: Record | RecordPosition, following: Record | RecordPosition | None) -> RecordPosition | None:
    """Return where a settled record, or a run of them, ends; None if the next record has the same sequence number."""
    if following is not None and following.sequence_number == item.sequence_number:
        return None
    return RecordPosition(item.sequence_number, item.sub_sequence_number)

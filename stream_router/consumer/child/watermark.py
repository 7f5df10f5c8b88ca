"""Settled watermark: how far a shard may be checkpointed.

The watermark never passes an unsettled record, nor a record that the bus accepted after the last successful target
check began.
"""

import itertools
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from stream_router.model import Record

POSITION_SPACING_S = 0.1
"""Seconds between two stored positions, roughly. The watermark lags behind a target check by twice this at most."""

MAX_POSITIONS = 1_000
"""Maximum number of stored positions. Each time it is reached, every second position is dropped.

That happens if no target check succeeds for minutes. The watermark may then lag behind a check by a tenth of its age.
"""

COMPACTION_THRESHOLD = 2_000
"""Number of records behind an unsettled record from which on runs of settled records are merged into one position."""


class RecordPosition(NamedTuple):
    """A position that can be checkpointed: sequence number, then sub-sequence number, both compared as integers."""

    sequence_number: int
    sub_sequence_number: int


class Watermark:
    """Records of one shard in order, and how far they are settled. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._unsettled: deque[Record | RecordPosition] = deque()
        """The first unsettled record and all records after it. A run of settled ones may be merged into a position."""
        self._compact_at = COMPACTION_THRESHOLD
        self._unchecked: deque[tuple[float, RecordPosition]] = deque()
        """Settled positions that wait for a target check, each with a time.

        When the position was stored, the bus had accepted nothing after that time. So a successful check that began
        later covers the position.
        """
        self._checked_position: RecordPosition | None = None

    def add_records(self, records: Iterable[Record]) -> None:
        """Add the records that come next in the shard. `records` never ends between two records of a sequence number.

        The watermark does not stop between two such records either. If the shard iterator with which the KCL restarts
        expires before its first read, the KCL continues after that sequence number (docs/facts.md, "KCL"), and the
        rest of its records would be lost.
        """
        self._unsettled.extend(records)

    def advance(self, accepted_at: float) -> None:
        """Advance over all records that are settled.

        `accepted_at` is the time at which the bus last accepted an entry.
        """
        position = None
        while self._unsettled and _is_settled(self._unsettled[0]):
            item = self._unsettled.popleft()
            # Keep the earlier position while the next record has the same sequence number (`add_records`).
            position = _end_of(item, self._unsettled[0] if self._unsettled else None) or position
        if len(self._unsettled) > self._compact_at:
            self._compact()
        if position is None:
            return
        # Replace the last stored position only if the one before it is close in time. If the last one were always
        # replaced, steady progress would leave a single position that is always younger than any target check.
        if len(self._unchecked) > 1 and self._unchecked[-1][0] - self._unchecked[-2][0] < POSITION_SPACING_S:
            self._unchecked.pop()
        self._unchecked.append((accepted_at, position))
        if len(self._unchecked) > MAX_POSITIONS:
            # Keep every second position, the newest among them. The kept ones retain their times.
            self._unchecked = deque(list(self._unchecked)[::-2][::-1])

    def _compact(self) -> None:
        """Merge each run of settled records into one position, so that records behind a sick entry cost no memory."""
        compacted: deque[Record | RecordPosition] = deque()
        run_end: RecordPosition | None = None
        for item, following in itertools.zip_longest(self._unsettled, itertools.islice(self._unsettled, 1, None)):
            if _is_settled(item):
                run_end = _end_of(item, following) or run_end
                continue
            if run_end:
                compacted.append(run_end)
                run_end = None
            compacted.append(item)
        if run_end:
            compacted.append(run_end)
        self._unsettled = compacted
        # Wait until the number has doubled, or each record would cause a pass over all of them.
        self._compact_at = max(COMPACTION_THRESHOLD, 2 * len(compacted))

    def release_checked(self, check_began_s: float) -> RecordPosition | None:
        """Return the last position that may be checkpointed; None if there is none yet.

        The last successful target check began at `check_began_s` (-inf if none succeeded). It covers the entries that
        the bus accepted before.
        """
        while self._unchecked and self._unchecked[0][0] < check_began_s:
            self._checked_position = self._unchecked.popleft()[1]
        return self._checked_position

    @property
    def is_settled(self) -> bool:
        """Whether every record received so far is settled."""
        return not self._unsettled

    def oldest_unsettled_ms(self) -> tuple[int, int] | None:
        """Return the earliest time of receipt and the earliest arrival in Kinesis of all unsettled records (epoch ms).

        A record's settled events count until the whole record is settled. Return None if all records are settled.
        """
        unsettled = [record for record in self._unsettled if isinstance(record, Record) and record.unsettled]
        if not unsettled:
            return None
        return min([record.received_at_ms for record in unsettled]), min([record.arrived_at_ms for record in unsettled])

    @property
    def has_unchecked_positions(self) -> bool:
        """Whether settled records wait for a target check."""
        return bool(self._unchecked)


def _is_settled(item: Record | RecordPosition) -> bool:
    return isinstance(item, RecordPosition) or not item.unsettled


def _end_of(item: Record | RecordPosition, following: Record | RecordPosition | None) -> RecordPosition | None:
    """Return the position at which a settled record or run ends; None if the next record has its sequence number.

    No checkpoint may lie between two records with one sequence number (`Watermark.add_records`).
    """
    if following is not None and following.sequence_number == item.sequence_number:
        return None
    return RecordPosition(item.sequence_number, item.sub_sequence_number)

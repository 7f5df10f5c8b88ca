"""The daemon's records, decoded, in slices small enough for the processor's caches."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pybase64

from stream_router.model import Batch, Record

MICRO_BATCH_RECORDS = 500
MICRO_BATCH_BYTES = 96 * 1024
"""About 150 events: their parsed forms then stay in the caches until they are sent (benchmarks/child.py)."""


def micro_batches(
    records: Iterable[dict[str, Any]], batch: Batch, most: Callable[[], int] = lambda: MICRO_BATCH_RECORDS
) -> Iterator[list[Record]]:
    """Slices of at most `most()` records or, but for a single larger record, about 96 KiB of data, in order.

    What a KPL producer aggregated into one record of the stream stays together: no checkpoint stands within it.
    """
    taken: list[Record] = []
    size, limit, last = 0, most(), ""
    for record in records:
        if (len(taken) >= limit or size >= MICRO_BATCH_BYTES) and record["sequenceNumber"] != last:
            yield taken
            taken, size, limit = [], 0, most()
        last = record["sequenceNumber"]
        data = pybase64.b64decode(record["data"], validate=True)
        taken.append(
            Record(
                data,
                int(record["sequenceNumber"]),
                int(record["subSequenceNumber"] or 0),
                int(record["approximateArrivalTimestamp"] or 0),
                batch,
            )
        )
        size += len(data)
    if taken:
        yield taken

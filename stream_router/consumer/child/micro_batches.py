"""The daemon's records, decoded, in slices small enough for the processor's caches."""

from collections.abc import Iterable, Iterator
from typing import Any

import pybase64

from stream_router.core.model import Record

MICRO_BATCH_RECORDS = 500
MICRO_BATCH_BYTES = 96 * 1024
"""About 150 events: their parsed forms then stay in the caches until they are sent (benchmarks/child.py)."""


def micro_batches(records: Iterable[dict[str, Any]]) -> Iterator[list[Record]]:
    """Slices of at most 500 records or, but for a single larger record, about 96 KiB of data, in order."""
    batch: list[Record] = []
    size = 0
    for record in records:
        data = pybase64.b64decode(record["data"], validate=True)
        batch.append(
            Record(
                data,
                int(record["sequenceNumber"]),
                int(record["subSequenceNumber"] or 0),
                int(record["approximateArrivalTimestamp"] or 0),
            )
        )
        size += len(data)
        if len(batch) >= MICRO_BATCH_RECORDS or size >= MICRO_BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

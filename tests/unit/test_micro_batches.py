"""The daemon's records become ours with every field, in slices that are bounded in records and in bytes."""

import base64
import binascii
from typing import Any

import pytest

from stream_router.consumer.child.intake.micro_batches import MICRO_BATCH_BYTES, MICRO_BATCH_RECORDS, micro_batches
from stream_router.model import Batch


def told(number: int, size: int = 1, **changes: Any) -> dict[str, Any]:
    """A record as the daemon writes it."""
    data = base64.b64encode(b"x" * size).decode()
    return {"data": data, "sequenceNumber": str(number), **_PLAIN, **changes}


_PLAIN = {"subSequenceNumber": 0, "approximateArrivalTimestamp": 1_000}


def sizes(*records: dict[str, Any]) -> list[int]:
    """How many records are in each slice."""
    return [len(taken) for taken in micro_batches(records, Batch(1))]


def test_a_record_keeps_its_place_its_time_and_its_batch() -> None:
    """A record that the KPL packed differs from its neighbours in the sub-sequence number alone."""
    batch = Batch(1)
    given = [told(2**180, 3, subSequenceNumber=7, approximateArrivalTimestamp=1_795_512_601_007)]
    ((record,),) = micro_batches(given, batch)
    assert (record.sequence_number, record.sub_sequence_number) == (2**180, 7)
    assert (record.data, record.arrived_at_ms, record.batch) == (b"xxx", 1_795_512_601_007, batch)


@pytest.mark.parametrize("field", ["subSequenceNumber", "approximateArrivalTimestamp"])
def test_what_the_daemon_leaves_null_is_zero(field: str) -> None:
    """Null is what it writes where Kinesis, or an emulator, says nothing."""
    ((record,),) = micro_batches([{**told(1), field: None}], Batch(1))
    assert (record.sub_sequence_number, record.arrived_at_ms) == ((0, 1_000) if "sub" in field else (0, 0))


def test_data_that_is_not_base64_ends_the_callback() -> None:
    """It is the daemon's own encoding: a record that is read with some of it left out would be another event."""
    with pytest.raises(binascii.Error):
        list(micro_batches([told(1, data="eH!g=")], Batch(1)))


def test_a_slice_ends_with_the_record_that_reaches_its_bytes() -> None:
    """The bytes of each slice are counted from nothing; one that is too large by itself is a slice of its own."""
    half = MICRO_BATCH_BYTES // 2
    assert sizes(told(1, half - 1), told(2, half), told(3, 1), told(4, half), told(5, half), told(6)) == [3, 2, 1]
    assert sizes(told(1, half), told(2, half), told(3)) == [2, 1]
    assert sizes(told(1, 3 * half), told(2)) == [1, 1]


def test_what_was_aggregated_into_one_record_stays_in_one_slice() -> None:
    """However many parts it has, and however large they are; the slice ends behind it."""
    parts = [told(2, subSequenceNumber=number) for number in range(3 * MICRO_BATCH_RECORDS)]
    assert sizes(told(1), *parts, told(3)) == [1 + len(parts), 1]
    large = [told(2, MICRO_BATCH_BYTES, subSequenceNumber=number) for number in range(3)]
    assert sizes(told(1), *large, told(3), told(4)) == [4, 2]


def test_a_slice_has_the_records_that_may_come_at_that_moment() -> None:
    """Each slice asks anew how many: a small batch may be let in between two of the usual size."""
    allowed = iter([2, 1, 4])
    taken = micro_batches([told(number) for number in range(6)], Batch(1), lambda: next(allowed))
    assert [[record.sequence_number for record in records] for records in taken] == [[0, 1], [2], [3, 4, 5]]
    assert sizes(*[told(number) for number in range(MICRO_BATCH_RECORDS + 1)]) == [MICRO_BATCH_RECORDS, 1]
    assert sizes() == []

"""An answer that says of one entry both that it was taken and that it failed: the failure counts."""

from collections.abc import Callable

import cbor2
import orjson
import pytest

from stream_router import errors
from stream_router.errors import ACCEPTED, Answer, Disposition, Outcome, Refusal

Read = Callable[[Answer, int], list[Outcome] | Refusal]
READERS: dict[str, tuple[Read, str, str, Callable[[object], bytes]]] = {
    "PutEvents": (errors.of_put_events, "Entries", "EventId", orjson.dumps),
    "PutEvents v2": (errors.of_put_events_v2, "Entries", "EventId", cbor2.dumps),
    "PutEvents v2, deduplicated": (errors.of_put_events_v2, "Entries", "SuccessCode", cbor2.dumps),
    "PutRecords": (errors.of_put_records, "Records", "SequenceNumber", orjson.dumps),
}


@pytest.mark.parametrize("reader", READERS)
def test_an_entry_with_a_proof_and_an_error_is_not_accepted(reader: str) -> None:
    """What was perhaps not taken is sent again, its neighbour is settled: a copy is cheaper than a loss."""
    read, results, proof, write = READERS[reader]
    both = {proof: "1", "ErrorCode": "InternalFailure", "ErrorMessage": "no"}
    answer = Answer(200, write({results: [both, {proof: "2"}]}), {}, "")
    assert read(answer, 2) == [Outcome(Disposition.RETRY, "InternalFailure", "no"), ACCEPTED]

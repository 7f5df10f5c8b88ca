"""Verification of a shard's end: Kinesis is asked what comes after the last record, before SHARD_END is checkpointed.

If Kinesis answers a single time that it does not know the shard, the KCL ends the shard for good (docs/facts.md,
"KCL"). An open shard would then get the checkpoint SHARD_END, and nobody would read its later records. If the shard
really is closed, the KCL still does not learn of its child shards from such an answer. It creates no leases for them,
and never will once the parent has SHARD_END. So the leases of the child shards are checked too.
"""

import logging
from collections.abc import Callable
from typing import Any

import pybase64

from stream_router.aws_answers import Answer, Refusal, read_body
from stream_router.aws_error_codes import ABSENT
from stream_router.consumer import kpl
from stream_router.log import LogLimiter

log = logging.getLogger(__name__)

StartRead = Callable[[str, dict[str, Any], Callable[[Answer], None]], None]
"""Function that starts one call to Kinesis or DynamoDB: operation, parameters, and the callback for the answer."""

RETRY_INTERVAL_S = 1.0
"""Seconds until a call that was refused, or had no answer, is repeated."""

READ_INTERVAL_S = 0.5
"""Seconds between two reads. Kinesis allows five reads of a shard a second, for all its readers together."""

READS_OF_OPEN_SHARD = 10
"""Number of consecutive reads at the newest position, without a record or an end, that prove a shard open."""

MIN_UNKNOWN_ANSWERS = 3
"""Number of consecutive answers that the shard is unknown, after which the stream itself is checked."""

GET_ITERATOR, GET_RECORDS, DESCRIBE_STREAM = "GetShardIterator", "GetRecords", "DescribeStreamSummary"
GET_LEASE = "GetItem"

_REQUIRED_FIELDS = {
    GET_ITERATOR: "ShardIterator",
    GET_RECORDS: "Records",
    DESCRIBE_STREAM: "StreamDescriptionSummary",
    GET_LEASE: "",
}
"""Field that a valid answer of each operation has; "" if none is required."""


class ShardEndCheck:
    """Verification that a shard has really ended, as the KCL reports. It sends one call at a time.

    `start` is the checkpoint at which the child began: a sequence number, or a special position such as TRIM_HORIZON.
    `lease_table` is the name of the table. `is_confirmed` becomes true once it is known that nothing comes after the
    child's last record, and nothing ever will. `refutation` says why the end must not be checkpointed; it is "" as long
    as no reason is known. `clock` is monotonic.
    """

    def __init__(
        self,
        start_read: StartRead,
        stream: str,
        lease_table: str,
        shard_id: str,
        start: str,
        clock: Callable[[], float],
    ) -> None:
        self._start_read = start_read
        self._lease_table = lease_table
        self._unchecked_children: list[str] = []
        """Ids of the child shards, known once the end was read, whose leases are not checked yet."""
        self._stream = {"StreamName": stream}
        self._shard = {**self._stream, "ShardId": shard_id}
        self._start = start
        self._clock = clock
        self._iterator: str | None = None
        self._is_call_in_flight = False
        self._next_call_at = 0.0
        self._unknown_answer_count = self._empty_read_count = 0
        self._warning_is_due = LogLimiter(clock)
        self.is_confirmed, self.refutation = False, ""

    def send_next_call(self, last_received: str) -> None:
        """Start the next call, unless the result is known, a call is in flight, or the interval has not passed.

        `last_received` is the sequence number of the child's last record as the daemon writes it, "" if it got none.
        """
        is_decided = self.is_confirmed or bool(self.refutation)
        if is_decided or self._is_call_in_flight or self._clock() < self._next_call_at:
            return
        self._is_call_in_flight = True
        operation, parameters = self._next_call(last_received or self._start)
        self._start_read(operation, parameters, lambda answer: self._handle_answer(operation, answer))

    def _next_call(self, position: str) -> tuple[str, dict[str, Any]]:
        """Return operation and parameters of the next call. The shard is read from behind `position`."""
        if self._unchecked_children:
            key = {"leaseKey": {"S": self._unchecked_children[-1]}}
            return GET_LEASE, {"TableName": self._lease_table, "Key": key, "ConsistentRead": True}
        if self._unknown_answer_count >= MIN_UNKNOWN_ANSWERS:
            return DESCRIBE_STREAM, self._stream
        if self._iterator:
            return GET_RECORDS, {"ShardIterator": self._iterator, "Limit": 1}
        if not position.isdecimal():  # the child got no record and began at a special position
            # A shard read from AT_TIMESTAMP is checked from LATEST on, since the time is not known here.
            iterator_type = "TRIM_HORIZON" if position == "TRIM_HORIZON" else "LATEST"
            return GET_ITERATOR, {**self._shard, "ShardIteratorType": iterator_type}
        after_position = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": position}
        return GET_ITERATOR, self._shard | after_position

    def _handle_answer(self, operation: str, answer: Answer) -> None:
        self._is_call_in_flight = False
        result = read_body(answer, _REQUIRED_FIELDS[operation])
        if isinstance(result, Refusal):
            self._handle_refusal(operation, result)
        elif operation == GET_RECORDS:
            self._handle_records(result)
        elif operation == GET_LEASE:
            self._handle_lease(result)
        elif operation == DESCRIBE_STREAM:  # called only for an unknown shard: the stream exists, the shard no longer
            self.is_confirmed = True
            log.warning(
                "Kinesis no longer has the shard, since it is older than the stream's retention. It counts as ended.",
                extra={"event": "shard-past-retention"},
            )
        else:  # GET_ITERATOR, which shows that the shard exists
            self._iterator, self._unknown_answer_count = result["ShardIterator"], 0

    def _handle_records(self, result: dict[str, Any]) -> None:
        """Handle an answer of GetRecords: a record refutes the end, and an end names the child shards to check.

        An answer without a next iterator and without child shards proves nothing; the KCL reads again then, too.
        """
        self._next_call_at = self._clock() + READ_INTERVAL_S
        if any(map(_has_deliverable_part, result["Records"])):
            self.refutation = "the KCL ended the shard before a record that it had not passed on"
            return
        next_iterator = result.get("NextShardIterator")
        if not next_iterator:
            self._unchecked_children = [child["ShardId"] for child in result.get("ChildShards") or ()]
            return
        self._iterator = next_iterator
        is_at_newest_position = not result["Records"] and not result.get("MillisBehindLatest")
        self._empty_read_count = self._empty_read_count + 1 if is_at_newest_position else 0
        if self._empty_read_count >= READS_OF_OPEN_SHARD:
            self.refutation = "the KCL ended a shard that is open"

    def _handle_lease(self, result: dict[str, Any]) -> None:
        """Handle the answer about one child shard's lease. A missing lease refutes the end.

        The end is confirmed once the leases of all child shards are found.
        """
        self._unchecked_children.pop()
        if "Item" not in result:
            self.refutation = "the KCL ended the shard without leases for its children"
        else:
            self.is_confirmed = not self._unchecked_children

    def _handle_refusal(self, operation: str, refusal: Refusal) -> None:
        """Plan the next call. A missing stream refutes the end; otherwise count answers that the shard is unknown."""
        # Without the iterator the next call requests a new one, since the old one may have expired.
        self._iterator, self._next_call_at = None, self._clock() + RETRY_INTERVAL_S
        is_absent = refusal.code in ABSENT
        if is_absent and operation == DESCRIBE_STREAM:
            self.refutation = "the stream does not exist"
            return
        is_shard_unknown = is_absent and operation != GET_LEASE
        self._unknown_answer_count = self._unknown_answer_count + 1 if is_shard_unknown else 0
        if self._warning_is_due():
            log.warning(
                "Kinesis or DynamoDB did not say whether the shard has ended. Its end is checkpointed once they do.",
                extra={"event": "shard-end-not-known", "operation": operation, "error": refusal.code},
            )


def _has_deliverable_part(record: dict[str, Any]) -> bool:
    """Return whether the KCL passes any user record in a record to a child. It skips malformed aggregated ones."""
    user_records = kpl.split_user_records(pybase64.b64decode(record["Data"]))
    return not all(user_record.is_skipped for user_record in user_records)

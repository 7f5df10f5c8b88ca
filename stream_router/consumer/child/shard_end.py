"""Verification of a shard's end: Kinesis is asked what comes after the last record, before SHARD_END is checkpointed.

The KCL ends a shard for good if Kinesis answers once that it does not know the shard (docs/facts.md, "KCL"). An open
shard then got the checkpoint SHARD_END, and nobody read the records that came later. If the shard is closed, the KCL
does not know its children in that case and creates no leases for them; it never does once the parent has SHARD_END. So
the leases of the children are checked too.
"""

import logging
from collections.abc import Callable
from typing import Any

import pybase64

from stream_router.aws_answers import Answer, Refusal, of_read
from stream_router.aws_error_codes import ABSENT
from stream_router.consumer import kpl
from stream_router.log import LogLimiter

log = logging.getLogger(__name__)

Ask = Callable[[str, dict[str, Any], Callable[[Answer], None]], None]
"""Sends one call to Kinesis or DynamoDB: the operation, its parameters, and the callback for the answer."""

LEASE = "GetItem"

AGAIN_S = 1.0
"""Seconds until a call that was refused, or had no answer, is repeated."""

READ_EVERY_S = 0.5
"""Seconds between two reads. A shard answers five reads a second, for all its readers."""

OPEN_TIMES = 10
"""Number of consecutive reads at the newest position that find neither a record nor an end: the shard is open."""

UNKNOWN_TIMES = 3
"""Number of consecutive answers that the shard is unknown, after which the stream itself is checked."""

ITERATOR, READ, STREAM = "GetShardIterator", "GetRecords", "DescribeStreamSummary"
_HAS = {ITERATOR: "ShardIterator", READ: "Records", STREAM: "StreamDescriptionSummary", LEASE: ""}


def of_lease(table: str, shard_id: str) -> dict[str, Any]:
    """Return the parameters of LEASE, a consistent read of a shard's lease."""
    return {"TableName": table, "Key": {"leaseKey": {"S": shard_id}}, "ConsistentRead": True}


class ShardEnd:
    """Check whether the end of a shard that the KCL reports is real.

    `start` is the checkpoint at which the child began, `leases` the lease table. `proven` becomes true once it is known
    that nothing comes after the child's last record, and nothing ever will. `refuted` says why the shard has not ended;
    it is "" as long as that is not known. Times are monotonic seconds.
    """

    def __init__(
        self, ask: Ask, stream: str, leases: str, shard_id: str, start: str, clock: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._leases = leases
        self._children: list[str] = []
        self._stream = {"StreamName": stream}
        self._shard = {**self._stream, "ShardId": shard_id}
        self._start = start
        self._clock = clock
        self._iterator: str | None = None
        self._asking = False
        self._again_at = 0.0
        self._unknown_answers = self._open = 0
        self._to_be_said = LogLimiter(clock)
        self.proven, self.refuted = False, ""

    def ask(self, last: str) -> None:
        """Send the next call, unless the result is known already or a call is in flight.

        `last` is the sequence number of the child's last record as the daemon writes it, "" if it read none.
        """
        if not (self.proven or self.refuted or self._asking or self._clock() < self._again_at):
            self._asking = True
            operation, parameters = self._question(last or self._start)
            self._ask(operation, parameters, lambda answer: self._answered(operation, answer))

    def _question(self, last: str) -> tuple[str, dict[str, Any]]:
        if self._children:
            return LEASE, of_lease(self._leases, self._children[-1])
        if self._unknown_answers >= UNKNOWN_TIMES:
            return STREAM, self._stream
        if self._iterator:
            return READ, {"ShardIterator": self._iterator, "Limit": 1}
        if not last.isdecimal():  # the time of AT_TIMESTAMP is not known here
            begins = "TRIM_HORIZON" if last == "TRIM_HORIZON" else "LATEST"
            return ITERATOR, {**self._shard, "ShardIteratorType": begins}
        after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last}
        return ITERATOR, self._shard | after

    def _answered(self, operation: str, answer: Answer) -> None:
        self._asking = False
        result = of_read(answer, _HAS[operation])
        if isinstance(result, Refusal):
            self._refused(operation, result)
        elif operation == READ:
            self._read(result)
        elif operation == LEASE:
            self._lease(result)
        elif operation == STREAM:
            self.proven = True
            log.warning(
                "Kinesis no longer has the shard, since it is older than the stream's retention. It counts as ended.",
                extra={"event": "shard-past-retention"},
            )
        else:
            self._iterator, self._unknown_answers = result["ShardIterator"], 0

    def _read(self, result: dict[str, Any]) -> None:
        """Handle an answer of READ.

        An answer without a next iterator and without children proves nothing; the KCL asks again then, too.
        """
        self._again_at = self._clock() + READ_EVERY_S
        if any(map(_is_given, result["Records"])):
            self.refuted = "the KCL ended the shard before a record that it had not passed on"
        elif not (following := result.get("NextShardIterator")):
            self._children = [child["ShardId"] for child in result.get("ChildShards") or ()]
        else:
            self._iterator = following
            self._open = 0 if result["Records"] or result.get("MillisBehindLatest") else self._open + 1
            if self._open >= OPEN_TIMES:
                self.refuted = "the KCL ended a shard that is open"

    def _lease(self, result: dict[str, Any]) -> None:
        self._children.pop()
        if "Item" not in result:
            self.refuted = "the KCL ended the shard without leases for its children"
        else:
            self.proven = not self._children

    def _refused(self, operation: str, refusal: Refusal) -> None:
        """Plan the next call. A missing stream refutes the end; otherwise count answers of an unknown shard."""
        self._iterator, self._again_at = None, self._clock() + AGAIN_S
        if refusal.code in ABSENT and operation == STREAM:
            self.refuted = "the stream does not exist"
            return
        self._unknown_answers = self._unknown_answers + 1 if refusal.code in ABSENT and operation != LEASE else 0
        if self._to_be_said():
            log.warning(
                "Kinesis or DynamoDB did not say whether the shard has ended. Its end is checkpointed once they do.",
                extra={"event": "shard-end-not-known", "operation": operation, "error": refusal.code},
            )


def _is_given(record: dict[str, Any]) -> bool:
    """Return whether the KCL passes any part of a record to a child. It skips malformed aggregated records."""
    return not all(record_part.is_skipped for record_part in kpl.split_user_records(pybase64.b64decode(record["Data"])))

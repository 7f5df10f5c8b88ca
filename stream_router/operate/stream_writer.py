"""Writer of lines to the stream for `dlq redrive` and `replay`: in the receiver's format, at a bounded rate.

A conversation's lines go to the partition group that the receiver chooses for it, and keep their
order. A call has at most one record per group, and the next call is made after its answer. So a
record that Kinesis refuses is sent again before any later line of its group.
"""

import random
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.aws_error_codes import ABSENT, THROTTLING, code_of, find_cure
from stream_router.envelope import conversation_hash, group_of, group_place
from stream_router.operate.console import Stop
from stream_router.operate.stream import is_transient
from stream_router.process import backoff_s

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import PutRecordsRequestEntryTypeDef, PutRecordsResultEntryTypeDef

_KEY_BYTES = 32
"""Upper bound of a group's partition key, which counts towards the size of a record."""

MAX_LINE_BYTES = limits.KINESIS_RECORD_BYTES - _KEY_BYTES
"""Longest line that fits a record. Callers skip longer lines and report them."""

MAX_CALL_BYTES = 4 * 1024 * 1024
"""Bytes per call, as the receiver sends. Kinesis accepts 10 MiB."""

MAX_LINES_AHEAD = 5_000
"""Lines that are taken from the caller in advance, so that calls have many groups."""

CALLS_PER_S = 4
"""Calls per second if a rate is set.

The rate is thus spread over several small calls, so that no shard gets all lines of a second at once.
"""

GIVE_UP_AFTER_S = 60.0
"""Seconds without a stored record after which the writer gives up."""

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.1, 5.0


class StreamRefusesError(Exception):
    """The stream accepts no records. The text is one line with the cure."""


class OutgoingLine(NamedTuple):
    """A line that `envelope.seal_line` or `seal_entry` made, of at most MAX_LINE_BYTES.

    `conversation` is the name by which the receiver would choose its partition group
    (`envelope.find_line_conversation`), "" if the line has none. `token` is any object of the caller, who gets it back
    with the stored line.
    """

    line: bytes
    conversation: str
    token: object


class StreamWriter:
    """Writer to one stream, of at most `rate_s` lines per second (0.0: no limit) over all calls of `put`.

    `kinesis` has to be a client that tries each call once, because failed calls are repeated and counted here. `groups`
    is the receivers' number of partition groups (STREAM_ROUTER_BUCKETS).
    """

    def __init__(self, kinesis: "KinesisClient", stream: str, groups: int, rate_s: float, stop: Stop) -> None:
        self._kinesis = kinesis
        self._stream = stream
        self._groups = groups
        self._stop = stop
        self._rate_s = rate_s
        self._next_s = 0.0
        self._failing_since_s: float | None = None
        self._failures = 0

    def put(self, outgoing: Iterable[OutgoingLine]) -> Iterator[OutgoingLine]:
        """Store lines, and yield each once its record has a sequence number, until a stop is requested.

        A line that was not yielded may be stored all the same, if its call got no answer. It is sent again, and may
        then be stored twice. Raises StreamRefusesError after GIVE_UP_AFTER_S without a stored record, or at once if
        waiting cannot help.
        """
        source, left, size_bytes = iter(outgoing), list[OutgoingLine](), 0
        while not self._stop.requested:
            while len(left) < self._max_lines_ahead and size_bytes < MAX_CALL_BYTES and (line := next(source, None)):
                left.append(line)
                size_bytes += len(line.line)
            if not left:
                return
            call = self._next_call(left)
            self._wait_for_rate(sum(map(len, call.values())))
            if self._stop.requested:
                return
            stored = set[int]()  # identities, since two lines may be equal
            for lines, number in zip(call.values(), self._put_records(call), strict=True):
                if number:
                    stored.update(map(id, lines))
                    yield from lines
            left = [line for line in left if id(line) not in stored]
            size_bytes = sum(len(line.line) for line in left)

    @property
    def _max_lines_ahead(self) -> int:
        """Number of lines to have at hand for a call: with a rate, those of one of CALLS_PER_S calls."""
        return max(1, min(MAX_LINES_AHEAD, int(self._rate_s / CALLS_PER_S))) if self._rate_s else MAX_LINES_AHEAD

    def _next_call(self, left: Iterable[OutgoingLine]) -> dict[int, list[OutgoingLine]]:
        """Return the lines of the next record of each group, by group, as many as one call may have.

        Once a line of a group does not fit, all later lines of the group wait for the next call. Otherwise a later,
        shorter line could overtake it.
        """
        call: dict[int, list[OutgoingLine]] = {}
        record_bytes: dict[int, int] = {}
        call_bytes, full = 0, set[int]()
        for line in left:
            group = group_of(conversation_hash(line.conversation or line.line.decode("latin-1")), self._groups)
            # A record has a line break between two lines (the 1), and counts its partition key. `-1` below takes the
            # line break of the first line away.
            size_bytes = 1 + len(line.line) + (0 if group in call else _KEY_BYTES)
            in_record = record_bytes.get(group, -1) + size_bytes
            if (
                in_record > limits.KINESIS_RECORD_BYTES
                or call_bytes + size_bytes > MAX_CALL_BYTES
                or (group not in call and len(call) == limits.PUT_RECORDS_MAX_RECORDS)
            ):
                full.add(group)
            if group not in full:
                call.setdefault(group, []).append(line)
                record_bytes[group], call_bytes = in_record, call_bytes + size_bytes
        return call

    def _wait_for_rate(self, lines: int) -> None:
        """Wait until the rate allows the next call, which has `lines` lines.

        Time in which nothing was sent is not made up for by faster calls later, since such a burst could be throttled.
        """
        now_s = time.monotonic()
        self._stop.wait(self._next_s - now_s)
        if self._rate_s:
            self._next_s = max(now_s, self._next_s) + lines / self._rate_s

    def _put_records(self, call: dict[int, list[OutgoingLine]]) -> list[str]:
        """Call PutRecords.

        Return each record's sequence number, "" if it was not stored. Waits after a failure.
        """
        records: list[PutRecordsRequestEntryTypeDef] = []
        for group, lines in call.items():
            key, hash_key = group_place(group, self._groups)
            data = b"\n".join([result.line for result in lines])
            records.append({"Data": data, "PartitionKey": key, "ExplicitHashKey": hash_key})
        code, results = "", list["PutRecordsResultEntryTypeDef"]()
        try:
            results = self._kinesis.put_records(StreamName=self._stream, Records=records)["Records"]
        except ClientError as error:
            code = code_of(error)
            if not is_transient(error):
                raise StreamRefusesError(self._describe_refusal(code)) from None
        except BotoCoreError as error:
            code = code_of(error)
        if not code and len(results) != len(records):
            code = "UnreadableAnswer"
        numbers = [_sequence_number(result) for result in results] if not code else [""] * len(records)
        failed = numbers.count("")
        if failed < len(numbers):
            self._failing_since_s = None
        if failed:
            self._wait_after(
                code
                or next(
                    (error_code for result in results if (error_code := result.get("ErrorCode"))), "UnreadableAnswer"
                )
            )
        else:
            self._failures = 0
        return numbers

    def _wait_after(self, code: str) -> None:
        """Wait after a failure with this error code, longer after each one in succession, or until a stop is requested.

        Raises StreamRefusesError if no record was stored for GIVE_UP_AFTER_S.
        """
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        elif now_s - self._failing_since_s > GIVE_UP_AFTER_S:
            raise StreamRefusesError(self._describe_refusal(code))
        share = 0.5 + random.random() / 2  # noqa: S311 - jitter
        self._stop.wait(backoff_s(self._failures, BACKOFF_FIRST_S, BACKOFF_MAX_S, share))
        self._failures += 1

    def _describe_refusal(self, code: str) -> str:
        if code in ABSENT:
            return f"there is no stream {self._stream}; see STREAM_ROUTER_STREAM and AWS_REGION"
        advice = "wait, then give a lower --rate" if code in THROTTLING else find_cure(code)
        return f"stream {self._stream} accepts no records ({code}): {advice}"


def _sequence_number(result: "PutRecordsResultEntryTypeDef") -> str:
    return "" if result.get("ErrorCode") else result.get("SequenceNumber", "")

"""Puts lines back on the stream, for whoever publishes events again: as the receiver stores them, and no faster.

A conversation's lines go to the partition group that the receiver chooses for it, in the order in which they are given:
a call holds at most one record of a group, and the next call is made once it is answered. So what Kinesis refuses of a
call is sent again before anything that came after it.
"""

import random
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.aws_error_codes import ABSENT, THROTTLING, code_of, cure
from stream_router.envelope import conversation_hash, group_of, group_place
from stream_router.operate.console import Stop
from stream_router.operate.stream import is_transient
from stream_router.process import backoff_s

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import PutRecordsRequestEntryTypeDef, PutRecordsResultEntryTypeDef

_KEY_BYTES = 32
"""More than a group's partition key has, which counts in a record."""

MOST_LINE_BYTES = limits.KINESIS_RECORD_BYTES - _KEY_BYTES
"""A longer line fits no record: whoever has one passes it over, and says so."""

MOST_CALL_BYTES = 4 * 1024 * 1024
"""Kinesis takes ten; the receiver sends as many."""

MOST_IN_HAND = 5_000
"""Lines that are taken from the caller at once; in these, calls are as full as they can be."""

CALLS_PER_S = 4
"""With a rate, so many calls a second: each is small enough that no shard has a burst."""

GIVE_UP_AFTER_S = 60.0
"""So long the stream may take nothing."""

BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.1, 5.0


class StreamRefusesError(Exception):
    """The stream takes nothing; its text is one line with the cure."""


class OutgoingLine(NamedTuple):
    """A line as `envelope.seal_line` or `seal_entry` made it, at most MOST_LINE_BYTES of it.

    `conversation` is the name by which the receiver would choose its partition group
    (`envelope.conversation_of_line`), "" if the line has none. `token` is the caller's own.
    """

    line: bytes
    conversation: str
    token: object


class StreamWriter:
    """Writes to one stream at most `rate_s` lines a second (0.0: no bound), over all calls of `put`.

    `kinesis` tries each call once: attempts are counted here. `groups` is the receivers' number of partition groups
    (STREAM_ROUTER_BUCKETS).
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
        """Each line once its record has a sequence number; until `stop` is asked.

        What was not handed back by then is not stored, or nobody knows: a call that got no answer may have stored it,
        and its line goes again. Raises StreamRefusesError after GIVEN_UP_AFTER_S without any record stored, or at once
        where waiting is no use.
        """
        source, left, size_bytes = iter(outgoing), list[OutgoingLine](), 0
        while not self._stop.asked:
            while len(left) < self._most_in_hand and size_bytes < MOST_CALL_BYTES and (line := next(source, None)):
                left.append(line)
                size_bytes += len(line.line)
            if not left:
                return
            call = self._next_call(left)
            self._wait_for_rate(sum(map(len, call.values())))
            if self._stop.asked:
                return
            stored = set[int]()
            for lines, number in zip(call.values(), self._put_records(call), strict=True):
                if number:
                    stored.update(map(id, lines))
                    yield from lines
            left = [line for line in left if id(line) not in stored]
            size_bytes = sum(len(line.line) for line in left)

    @property
    def _most_in_hand(self) -> int:
        return max(1, min(MOST_IN_HAND, int(self._rate_s / CALLS_PER_S))) if self._rate_s else MOST_IN_HAND

    def _next_call(self, left: Iterable[OutgoingLine]) -> dict[int, list[OutgoingLine]]:
        """Return the next record of as many groups as a call may hold; what follows a full record waits."""
        call: dict[int, list[OutgoingLine]] = {}
        record_bytes: dict[int, int] = {}
        call_bytes, full = 0, set[int]()
        for line in left:
            group = group_of(conversation_hash(line.conversation or line.line.decode("latin-1")), self._groups)
            size_bytes = 1 + len(line.line) + (0 if group in call else _KEY_BYTES)
            in_record = record_bytes.get(group, -1) + size_bytes
            if (
                in_record > limits.KINESIS_RECORD_BYTES
                or call_bytes + size_bytes > MOST_CALL_BYTES
                or (group not in call and len(call) == limits.PUT_RECORDS_MAX_RECORDS)
            ):
                full.add(group)
            if group not in full:
                call.setdefault(group, []).append(line)
                record_bytes[group], call_bytes = in_record, call_bytes + size_bytes
        return call

    def _wait_for_rate(self, lines: int) -> None:
        """Wait until so many may go; what was not used before is not made up for."""
        now_s = time.monotonic()
        self._stop.wait(self._next_s - now_s)
        if self._rate_s:
            self._next_s = max(now_s, self._next_s) + lines / self._rate_s

    def _put_records(self, call: dict[int, list[OutgoingLine]]) -> list[str]:
        """One PutRecords call: each record's sequence number, "" where it has none. Waits where something failed."""
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
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        elif now_s - self._failing_since_s > GIVE_UP_AFTER_S:
            raise StreamRefusesError(self._describe_refusal(code))
        share = 0.5 + random.random() / 2  # noqa: S311 - jitter
        self._stop.wait(backoff_s(self._failures, BACKOFF_FIRST_S, BACKOFF_MOST_S, share))
        self._failures += 1

    def _describe_refusal(self, code: str) -> str:
        if code in ABSENT:
            return f"there is no stream {self._stream}; see STREAM_ROUTER_STREAM and AWS_REGION"
        advice = "wait, then give a lower --rate" if code in THROTTLING else cure(code)
        return f"stream {self._stream} takes nothing ({code}): {advice}"


def _sequence_number(result: "PutRecordsResultEntryTypeDef") -> str:
    return "" if result.get("ErrorCode") else result.get("SequenceNumber", "")

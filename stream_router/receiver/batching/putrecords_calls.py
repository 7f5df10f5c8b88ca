"""PutRecords calls in flight: bounded in number, every record's outcome read, never retried here."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from stream_router.aws.pumped_transport import Answer
from stream_router.core.aws_answers import Outcome, Refusal, of_put_records
from stream_router.core.dispositions import Disposition
from stream_router.receiver.batching import putrecords
from stream_router.receiver.batching.bucket import Bucket
from stream_router.telemetry.receiver_stats import Stats

log = logging.getLogger(__name__)

MAX_CALLS = 8
CALL_TIMEOUT_S = 2.0
"""A call that hangs longer is given up; its answer would come too late for every event in it."""

THROTTLED = frozenset(
    {
        "KMSThrottlingException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
    }
)

Send = Callable[[bytes, float, Callable[[Answer], None]], None]
"""Starts one PutRecords call: body, timeout in seconds, what to do with its answer."""


class PutRecordsCalls:
    """Sends records; `settled(bucket, accepted)` is called for each, `landed()` when a call is through."""

    def __init__(
        self, send: Send, stream: str, stats: Stats, settled: Callable[[Bucket, bool], None], landed: Callable[[], None]
    ) -> None:
        self._send = send
        self._stream = stream
        self._stats = stats
        self._settled = settled
        self._landed = landed
        self._in_flight = 0
        self._none_in_flight = asyncio.Event()
        self._none_in_flight.set()

    @property
    def full(self) -> bool:
        """Whether no further call may start now."""
        return self._in_flight >= MAX_CALLS

    async def finish(self, timeout_s: float) -> None:
        """Wait until no call is in flight, at most so long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._none_in_flight.wait()
        except TimeoutError:
            return

    def start(self, buckets: Sequence[Bucket], data: Sequence[bytes]) -> None:
        """Send each bucket's record in one call."""
        self._in_flight += 1
        self._none_in_flight.clear()
        self._stats.calls += 1
        self._stats.records += len(buckets)
        records = [(item, bucket.address) for item, bucket in zip(data, buckets, strict=True)]
        body = putrecords.request_body(self._stream, records)
        self._send(body, CALL_TIMEOUT_S, lambda answer: self._answered(buckets, answer))

    def _answered(self, buckets: Sequence[Bucket], answer: Answer) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._none_in_flight.set()
        for bucket, outcome in zip(buckets, self._read(buckets, answer), strict=True):
            bucket.sending = False
            self._settled(bucket, outcome.disposition is None)
        self._landed()

    def _read(self, buckets: Sequence[Bucket], answer: Answer) -> list[Outcome]:
        """The outcome of each record. Whatever is wrong with an answer, its buckets go on: it is as good as none."""
        try:
            outcomes = self._outcomes(buckets, answer)
            self._stats.throttles += sum(outcome.code in THROTTLED for outcome in outcomes)
        except Exception as error:  # noqa: BLE001  # a bucket that waits for an answer for ever takes no event any more
            log.error("an answer of the stream cannot be read: %s", type(error).__name__)  # noqa: TRY400 (no payload)
            self._stats.call_failures += 1
            return [Outcome(Disposition.HOLD, "UnreadableAnswer")] * len(buckets)
        return outcomes

    def _outcomes(self, buckets: Sequence[Bucket], answer: Answer) -> list[Outcome]:
        """What the answer says. A call refused for its content: its records go alone until they are through."""
        outcome = of_put_records(answer, len(buckets))
        if not isinstance(outcome, Refusal):
            self._stats.record_failures += sum(result.disposition is not None for result in outcome)
            return outcome
        self._stats.call_failures += 1
        for bucket in buckets:
            bucket.alone = outcome.disposition is Disposition.BISECT
        return [Outcome(outcome.disposition, outcome.code)] * len(buckets)

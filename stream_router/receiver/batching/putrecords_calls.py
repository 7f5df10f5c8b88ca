"""PutRecords calls in flight: bounded in number and bytes, every record's outcome read, never retried here."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from stream_router.errors import THROTTLING, Answer, Disposition, Outcome, Refusal, of_put_records
from stream_router.process import failpoint
from stream_router.receiver.batching import putrecords
from stream_router.receiver.batching.lanes import RecordInFlight
from stream_router.receiver.batching.stats import Stats

log = logging.getLogger(__name__)

MAX_CALLS = 32
MAX_BYTES = 16 * 1024 * 1024
"""Bytes of all calls in flight, as base64 a third more."""
CALL_TIMEOUT_S = 0.6
"""A call that hangs longer is given up: its place is free, its events are decided, and if it lands after all it is a
duplicate. Nothing learns this number from answers: a stream that becomes slower, up to this, costs nothing."""
PATIENT_TIMEOUT_S = 5.0
"""The same of a call in which nobody waits for any event, since all of them are on disk. With the shorter one a stream
that answers late would get them again and again, and the disk would never be empty."""
TIMED_OUT = "TimedOut"

Send = Callable[[bytes, float, Callable[[Answer], None]], None]
"""Starts one PutRecords call: body, timeout in seconds, what to do with its answer."""


class PutRecordsCalls:
    """Sends records; `settled(record, code)` is called for each ("": accepted), `ended()` when a call is through."""

    def __init__(
        self,
        send: Send,
        stream: str,
        stats: Stats,
        settled: Callable[[RecordInFlight, str], None],
        ended: Callable[[], None],
    ) -> None:
        self._send = send
        self._stream = stream
        self._stats = stats
        self._settled = settled
        self._ended = ended
        self.in_flight = 0
        self._bytes = 0
        self._none_in_flight = asyncio.Event()
        self._none_in_flight.set()

    @property
    def full(self) -> bool:
        """Whether no further call may start now."""
        return self.in_flight >= MAX_CALLS or self._bytes >= MAX_BYTES

    async def finish(self, timeout_s: float) -> None:
        """Wait until no call is in flight, at most so long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._none_in_flight.wait()
        except TimeoutError:
            return

    def start(self, records: Sequence[RecordInFlight], data: Sequence[bytes]) -> None:
        """Send these records in one call."""
        addressed = [(item, record.bucket.address) for item, record in zip(data, records, strict=True)]
        body = putrecords.request_body(self._stream, addressed)
        size_bytes = len(body)
        self.in_flight += 1
        self._bytes += size_bytes
        self._none_in_flight.clear()
        self._stats.calls += 1
        self._stats.records += len(records)
        timeout_s = CALL_TIMEOUT_S if any(record.is_waited_for for record in records) else PATIENT_TIMEOUT_S
        self._send(body, timeout_s, lambda answer: self._answered(records, size_bytes, answer))

    def _answered(self, records: Sequence[RecordInFlight], size_bytes: int, answer: Answer) -> None:
        self.in_flight -= 1
        self._bytes -= size_bytes
        if not self.in_flight:
            self._none_in_flight.set()
        outcomes = self._read(records, answer)
        failpoint("after_put_before_ack")
        for record, outcome in zip(records, outcomes, strict=True):
            self._settled(record, "" if outcome.disposition is None else outcome.code or "Unknown")
        self._ended()

    def _read(self, records: Sequence[RecordInFlight], answer: Answer) -> list[Outcome]:
        """The outcome of each record. Whatever is wrong with an answer, its lanes go on: it is as good as none."""
        try:
            outcomes = self._outcomes(records, answer)
            for outcome in outcomes:
                if outcome.disposition is not None:
                    self._stats.failed(outcome.code)
                    self._stats.throttles += outcome.code in THROTTLING
        except Exception as error:  # noqa: BLE001  # a lane that waits for an answer for ever takes no event any more
            log.error(  # noqa: TRY400 - no payload
                "an answer of the stream cannot be read: %s",
                type(error).__name__,
                extra={"event": "stream-answer-unreadable"},
            )
            self._stats.call_failures += 1
            return [Outcome(Disposition.HOLD, "UnreadableAnswer")] * len(records)
        return outcomes

    def _outcomes(self, records: Sequence[RecordInFlight], answer: Answer) -> list[Outcome]:
        """What the answer says. A call refused for its content: its records go alone until they are through."""
        outcome = of_put_records(answer, len(records))
        if not isinstance(outcome, Refusal):
            return outcome
        self._stats.call_failures += 1
        for record in records:
            record.bucket.alone = outcome.disposition is Disposition.BISECT
        code = TIMED_OUT if answer.status == 0 and answer.error.startswith("curl 28") else outcome.code
        return [Outcome(outcome.disposition, code)] * len(records)

"""PutRecords: limits of a call, its JSON, and the calls in flight, whose number adapts to the stream.

A call may take five seconds, longer than any request. Even if its requests were answered meanwhile, the call stays in
flight until it ends, and its result counts. If calls are late, the number of calls allowed in flight halves: at most
once in 0.85 s, and never below 4. Each call that is not late raises the number by one. Neither this module nor libcurl
resends.

A stream is silent if a call timed out and no other call ended since that call began. The records of such calls may
still be stored, so a further copy could become a duplicate. Only probes are sent then: calls with a single event, at
growing intervals.
"""

import asyncio
import binascii
import logging
from collections import deque
from collections.abc import Callable, Sequence

from stream_router import limits
from stream_router.aws_answers import Answer, Refusal, read_put_records
from stream_router.aws_error_codes import Disposition
from stream_router.process import failpoint
from stream_router.receiver.events import PartitionGroup
from stream_router.receiver.stats import Stats

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 5.0
PROBES_S = (5.0, 10.0, 20.0, 30.0)
"""Seconds from the beginning of a silence to its first probe, and from each probe to the next; the last repeats."""
LATE_AFTER_S = 0.85
"""Age of a call's oldest event after which the call is late: that event's request was answered 503."""
MIN_CALLS, MAX_CALLS = 4, 32
"""Bounds of the number of calls that may be in flight at once."""
MAX_BYTES_IN_FLIGHT = 16 * 1024 * 1024
"""Bytes of all calls in flight from which no further call starts. Data counts as base64, a third more than raw."""
MAX_RECORDS = limits.PUT_RECORDS_MAX_RECORDS
MAX_CALL_BYTES = 4 * 1024 * 1024
"""Maximum bytes of a call. Kinesis allows 10 MiB, but a call is in memory three times while it is built."""
LINGER_S, MAX_LINGER_S = 0.005, 0.1
"""Bounds of the time for which an event waits so that other events can join its call."""
QUICK_CALL_S = 0.05
"""Duration, in seconds, up to which a call is quick: events wait LINGER_S for others. Kinesis takes 10 to 45 ms."""
IDLE_CALLS = 2
"""Number of calls in flight below which an event is sent at once, if calls are quick.

At a few dozen events a second waiting would group nothing. If calls are not quick, an event is sent at once only if no
call is in flight.
"""
NEAR_S = 0.55
"""Seconds that a call and the wait for other events may take together.

Events that are not stored after 0.6 s go to the spill, so a longer wait would send events there.
"""
FULL_CALL_EVENTS = 100
"""Number of waiting events at which a call starts: with twice as many it would be no cheaper for the stream."""
SILENT_CALLS = 8
"""Divisor of the time without any answer; the quotient is the wait before the next call.

The wait thus grows with the silence: some 8 calls are sent in the first 0.1 s, and some 30 in 0.7 s. Up to that time a
slow stream may still answer in time.
"""

Send = Callable[[bytes, float, Callable[[Answer], None]], None]
"""Start of a PutRecords call. Parameters: body, timeout in seconds, callback that gets the answer."""
Settled = Callable[[list[str], bool], None]
"""Callback for a call's outcome. It gets AWS's code of each record ("" if the record is stored), and a flag.

The flag is true if the whole call was refused for its content.
"""


def request_body(stream: str, records: Sequence[tuple[PartitionGroup, bytes]]) -> bytes:
    """Return the JSON of a PutRecords call. `records` are pairs of partition group and data."""
    encode = binascii.b2a_base64
    entries = [b'{"Data":"' + encode(data, newline=False) + group.tail for group, data in records]
    return b'{"StreamName":"' + stream.encode() + b'","Records":[' + b",".join(entries) + b"]}"


class Calls:
    """The calls in flight, on a single event loop. `ended` is called when a call has ended, or a probe is due."""

    def __init__(
        self,
        send: Send,
        stream: str,
        loop: asyncio.AbstractEventLoop,
        stats: Stats,
        ended: Callable[[], None],
    ) -> None:
        self._send = send
        self._stream = stream
        self._loop = loop
        self._now_s = loop.time
        self._ended = ended
        self.in_flight = 0
        self.allowed = MAX_CALLS
        self._stats = stats
        self.is_silent = False
        """Whether only probes may be sent."""
        self._silent_since_s = 0.0
        self._probe_timer: asyncio.TimerHandle | None = None
        """Timer that runs from a probe's start until the next probe is due."""
        self._answered_s = float("-inf")
        """Time at which a call last ended in any way but a time-out."""
        self._is_probing = False
        self._probes = 0
        self._unanswered_events = 0
        """Number of events in calls that timed out during this silence, or in the 5 s before it."""
        self._unanswered_s = 0.0
        self._bytes = 0
        self._halved_s = float("-inf")
        self._durations_s: deque[float] = deque(maxlen=3)
        self._last_end_s = 0.0
        """Time at which a call last ended, or at which a call began while no other was in flight."""

    @property
    def full(self) -> bool:
        """Whether no further call may start now.

        If MIN_CALLS or more are in flight and no call ended for LATE_AFTER_S, the stream may be about to fall
        silent. It could then store a further call's events late, in addition to copies from the spill or from the
        senders.
        """
        if self.is_silent:
            return self._is_probing or self._probe_timer is not None
        if self.in_flight >= MIN_CALLS and self._now_s() - self._last_end_s > LATE_AFTER_S:
            return True
        return self.in_flight >= self.allowed or self._bytes >= MAX_BYTES_IN_FLIGHT

    @property
    def idle(self) -> bool:
        """Whether so few calls are in flight that an arriving event is sent at once."""
        is_quick = min(self._durations_s, default=0.0) <= QUICK_CALL_S
        return self.in_flight < (IDLE_CALLS if is_quick else 1)

    @property
    def silent_since_s(self) -> float | None:
        """Time at which the silence began; None if the stream answers."""
        return self._silent_since_s if self.is_silent else None

    @property
    def typical_s(self) -> float:
        """Median duration of the latest three calls; 0.0 before the first call has ended."""
        if not self._durations_s:
            return 0.0
        return sorted(self._durations_s)[len(self._durations_s) // 2]

    @property
    def linger_s(self) -> float:
        """Seconds that an event waits for other events to join its call. Longer if calls take long.

        A stream that serves calls one after the other is quick only if calls are few and full. If the stream answers
        too late, or has not answered for a while, calls are spread evenly over time. The quickest of the last three
        calls counts, since a single call that hangs proves nothing about the others.
        """
        quickest_s = min(self._durations_s, default=0.0)
        overdue_s = self._now_s() - self._last_end_s - quickest_s
        spread_s = max(quickest_s / self.allowed, overdue_s / SILENT_CALLS)
        grouping_s = min(MAX_LINGER_S, NEAR_S - quickest_s) if quickest_s > QUICK_CALL_S else 0.0
        return max(LINGER_S, min(spread_s, LATE_AFTER_S / 2), grouping_s)

    def start(self, records: Sequence[tuple[PartitionGroup, bytes]], oldest_s: float, settled: Settled) -> None:
        """Send records in one call. Their oldest event arrived at `oldest_s`. `settled` gets the outcome."""
        body = request_body(self._stream, records)
        size_bytes, started_s = len(body), self._now_s()
        if not self.in_flight:
            self._last_end_s = started_s
        if self.is_silent:
            self._is_probing = True
            self._probes += 1
            self._schedule_probe(PROBES_S[min(self._probes, len(PROBES_S) - 1)])
        self.in_flight += 1
        self._bytes += size_bytes

        def answered(answer: Answer) -> None:
            self.in_flight -= 1
            self._bytes -= size_bytes
            now_s = self._last_end_s = self._now_s()
            self._durations_s.append(now_s - started_s)
            if now_s - oldest_s <= LATE_AFTER_S:
                self.allowed = min(MAX_CALLS, self.allowed + 1)
            elif now_s - self._halved_s >= LATE_AFTER_S:
                self.allowed, self._halved_s = max(MIN_CALLS, self.allowed // 2), now_s
            outcomes = read_put_records(answer, len(records))
            failpoint("after_put_before_ack")
            if answer.timed_out:
                self._record_time_out(started_s, sum(data.count(b"\n") + 1 for _, data in records))
            else:
                self._end_silence()
            if isinstance(outcomes, Refusal):
                settled([outcomes.code] * len(records), outcomes.disposition is Disposition.BISECT)
            else:
                codes = ["" if entry.disposition is None else entry.code or "Unknown" for entry in outcomes]
                settled(codes, False)
            self._ended()

        self._send(body, CALL_TIMEOUT_S, answered)

    def _record_time_out(self, started_s: float, events: int) -> None:
        """Begin a silence, unless another call got an answer since this call began. Schedule the first probe."""
        self._is_probing = False
        now_s = self._now_s()
        if not self.is_silent and now_s - self._unanswered_s > CALL_TIMEOUT_S:
            self._unanswered_events = 0
        self._unanswered_events += events
        self._unanswered_s = now_s
        if not self.is_silent and self._answered_s < started_s:
            self.is_silent = True
            self._silent_since_s = started_s
            self._probes = 0
            self._schedule_probe(started_s + PROBES_S[0] - now_s)
            log.warning(
                "The stream %s answers no call. Only a probe of one event is sent to it; other events wait in the "
                "spill, or their senders are answered 503. Check the network, and the health of Kinesis.",
                *(self._stream,),
                extra={"event": "stream-silent", "resource": self._stream},
            )

    def _schedule_probe(self, wait_s: float) -> None:
        """Let the next probe become due after `wait_s` seconds, in place of the time set before."""
        if self._probe_timer is not None:
            self._probe_timer.cancel()
        self._probe_timer = self._loop.call_later(wait_s, self._probe_due)

    def _probe_due(self) -> None:
        self._probe_timer = None
        self._ended()

    def _end_silence(self) -> None:
        """End a silence, if there is one, since a call was answered or its connection failed."""
        now_s = self._answered_s = self._now_s()
        if not self.is_silent:
            return
        self.is_silent = self._is_probing = False
        events, self._unanswered_events = self._unanswered_events, 0
        log.warning(
            "The stream %s answers again. Up to %d events may be in it twice. Subscribers that drop copies by eventId "
            "have nothing to do.",
            *(self._stream, events),
            extra={
                "event": "stream-silent-over",
                "events": events,
                "after_s": round(now_s - self._silent_since_s, 1),
                "resource": self._stream,
            },
        )

    def probe_soon(self) -> None:
        """Start the next probe now, since the receiver is about to end."""
        if self.is_silent:
            self._schedule_probe(0.0)

"""PutRecords: limits of a record and of a call, a call's bytes, and the calls in flight, as many as the stream takes.

A call may take five seconds, longer than any request. A call that stores events later than their requests' time still
counts, and is in flight until it ends. If calls are late, the number of calls allowed in flight halves: at most once in
0.85 s, and never below 4. Each call that is not late raises the number by one. Neither this module nor libcurl resends.

A stream is silent if a call timed out and no other call ended since that call began. The records of such calls may
still be stored, so every further copy could become a duplicate. Only probes are then sent: a call with a single event,
at growing intervals.
"""

import asyncio
import binascii
import logging
from collections import deque
from collections.abc import Callable, Sequence

from stream_router import limits
from stream_router.aws_answers import Answer, Refusal, of_put_records
from stream_router.aws_error_codes import Disposition
from stream_router.process import failpoint
from stream_router.receiver.events import Bucket
from stream_router.receiver.stats import Stats

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 5.0
PROBES_S = (5.0, 10.0, 20.0, 30.0)
"""Seconds from the beginning of a silence to its first probe, and from each probe to the next; the last repeats."""
LATE_AFTER_S = 0.85
"""Seconds from a call's oldest event after which the call is late: that event's request has been answered."""
FEWEST_CALLS, MOST_CALLS = 4, 32
MOST_BYTES = 16 * 1024 * 1024
"""Bytes of all calls in flight from which no further call starts. Data counts as base64, a third more than as bytes."""
MAX_RECORDS = limits.PUT_RECORDS_MAX_RECORDS
MAX_CALL_BYTES = 4 * 1024 * 1024
"""Maximum bytes of a call. Kinesis allows 10 MiB, but a call is in memory three times while it is built."""
LINGER_S, LONGEST_LINGER_S = 0.005, 0.1
QUICK_CALL_S = 0.05
"""Seconds up to which a call is quick: events wait for company for 5 ms only. Kinesis answers in 10 to 45 ms."""
IDLE_CALLS = 2
"""Number of calls in flight below which an event leaves at once, if calls are quick.

At a few dozen events a second, waiting would group nothing. If calls are not quick, an event leaves at once only if no
call is in flight.
"""
NEAR_S = 0.55
"""Duration of calls, in seconds, near which waiting for company would make requests late."""
WELL_FILLED = 100
"""Number of events that wait for company for 5 ms only: a call with twice as many is no cheaper for the stream."""
SILENT_CALLS = 8
"""Divisor of the time without any answer: the next call waits for an eighth of that time.

Some 8 calls are thus sent in the first 0.1 s, and some 30 in the 0.7 s in which a slow stream may still answer in time.
"""

Send = Callable[[bytes, float, Callable[[Answer], None]], None]
"""Start of a PutRecords call. Parameters: body, timeout in seconds, callback that gets the answer."""
Settled = Callable[[list[str], bool], None]
"""Callback for a call's outcome. It gets AWS's code of each record ("" if the record is stored), and a flag.

The flag is true if the whole call was refused for its content.
"""


def request_body(stream: str, records: Sequence[tuple[Bucket, bytes]]) -> bytes:
    """Return the JSON of a PutRecords call with these records, pairs of partition group and data, in order."""
    encode = binascii.b2a_base64
    entries = [b'{"Data":"' + encode(data, newline=False) + bucket.tail for bucket, data in records]
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
        self.allowed = MOST_CALLS
        self._stats = stats
        self.is_silent = False
        """Whether only probes may be sent."""
        self._silent_since_s = 0.0
        self._probe_timer: asyncio.TimerHandle | None = None
        """Timer that runs from a probe's start until the next probe is due."""
        self._answered_s = float("-inf")
        """Time at which a call last ended otherwise than by its time-out."""
        self._is_probing = False
        self._probes = 0
        self._unanswered_events = 0
        """Number of events in calls that timed out during this silence, or less than 5 s before it."""
        self._unanswered_s = 0.0
        self._bytes = 0
        self._halved_s = float("-inf")
        self._took_s: deque[float] = deque(maxlen=3)
        self._heard_s = 0.0
        """Time at which a call last ended, or at which a call began while no other was in flight."""

    @property
    def full(self) -> bool:
        """Whether no further call may start now.

        If FEWEST_CALLS or more are in flight and none was answered for LATE_AFTER_S, the stream may fall silent. It may
        then store a further call's events late, beside their copies from the spill or from their senders.
        """
        if self.is_silent:
            return self._is_probing or self._probe_timer is not None
        if self.in_flight >= FEWEST_CALLS and self._now_s() - self._heard_s > LATE_AFTER_S:
            return True
        return self.in_flight >= self.allowed or self._bytes >= MOST_BYTES

    @property
    def idle(self) -> bool:
        """Whether so few calls are in flight that an arriving event leaves at once."""
        return self.in_flight < (IDLE_CALLS if min(self._took_s, default=0.0) <= QUICK_CALL_S else 1)

    @property
    def silent_since_s(self) -> float | None:
        """Beginning of the silence, None if the stream answers."""
        return self._silent_since_s if self.is_silent else None

    @property
    def typical_s(self) -> float:
        """Median duration of the latest three calls, 0.0 before the first ends."""
        return sorted(self._took_s)[len(self._took_s) // 2] if self._took_s else 0.0

    @property
    def linger_s(self) -> float:
        """Seconds that an event waits for company while calls are in flight: 0.005, and more if calls take long.

        A stream that serves one call after the other is quick only for few and full calls. If a stream answers too late
        for every request, or has not answered for a while, its calls are spread evenly. The quickest of the last three
        calls counts, since a single call that hangs proves nothing about the others.
        """
        took_s = min(self._took_s, default=0.0)
        quiet_s = self._now_s() - self._heard_s - took_s  # a slow stream is not yet overdue
        spread_s = max(took_s / self.allowed, quiet_s / SILENT_CALLS)
        company_s = min(LONGEST_LINGER_S, NEAR_S - took_s) if took_s > QUICK_CALL_S else 0.0
        return max(LINGER_S, min(spread_s, LATE_AFTER_S / 2), company_s)

    def start(self, records: Sequence[tuple[Bucket, bytes]], oldest_s: float, settled: Settled) -> None:
        """Send these records in one call. Their oldest event came at `oldest_s`."""
        body = request_body(self._stream, records)
        size_bytes, started_s = len(body), self._now_s()
        if not self.in_flight:
            self._heard_s = started_s
        if self.is_silent:
            self._is_probing = True
            self._probes += 1
            self._await_probe(PROBES_S[min(self._probes, len(PROBES_S) - 1)])
        self.in_flight += 1
        self._bytes += size_bytes

        def answered(answer: Answer) -> None:
            self.in_flight -= 1
            self._bytes -= size_bytes
            now_s = self._heard_s = self._now_s()
            self._took_s.append(now_s - started_s)
            if now_s - oldest_s <= LATE_AFTER_S:
                self.allowed = min(MOST_CALLS, self.allowed + 1)
            elif now_s - self._halved_s >= LATE_AFTER_S:
                self.allowed, self._halved_s = max(FEWEST_CALLS, self.allowed // 2), now_s
            outcomes = of_put_records(answer, len(records))
            failpoint("after_put_before_ack")
            if answer.timed_out:
                self._timed_out(started_s, sum(data.count(b"\n") + 1 for _, data in records))
            else:
                self._answered()
            if isinstance(outcomes, Refusal):
                settled([outcomes.code] * len(records), outcomes.disposition is Disposition.BISECT)
            else:
                settled(
                    ["" if outcome.disposition is None else outcome.code or "Unknown" for outcome in outcomes], False
                )
            self._ended()

        self._send(body, CALL_TIMEOUT_S, answered)

    def _timed_out(self, started_s: float, events: int) -> None:
        """Begin a silence if no call ended otherwise since this call began. Its first probe is then due at once."""
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
            self._await_probe(started_s + PROBES_S[0] - now_s)
            log.warning(
                "The stream %s answers no call. Only a probe of one event is sent to it; other events wait in the "
                "spill, or their senders are answered 503. Check the network, and the health of Kinesis.",
                *(self._stream,),
                extra={"event": "stream-silent", "resource": self._stream},
            )

    def _await_probe(self, wait_s: float) -> None:
        if self._probe_timer is not None:
            self._probe_timer.cancel()
        self._probe_timer = self._loop.call_later(wait_s, self._probe_due)

    def _probe_due(self) -> None:
        self._probe_timer = None
        self._ended()

    def _answered(self) -> None:
        """End a silence, since a call was answered or failed at once."""
        now_s = self._answered_s = self._now_s()
        if not self.is_silent:
            return
        self.is_silent = self._is_probing = False
        events, self._unanswered_events = self._unanswered_events, 0
        log.warning(
            "The stream %s answers again. Up to %d events may be in it twice. Whoever drops copies by eventId has "
            "nothing to do.",
            *(self._stream, events),
            extra={
                "event": "stream-silent-over",
                "events": events,
                "after_s": round(now_s - self._silent_since_s, 1),
                "resource": self._stream,
            },
        )

    def probe_soon(self) -> None:
        """Let the next probe start now, since the receiver is to end."""
        if self.is_silent:
            self._await_probe(0.0)

"""State of the stream, and log lines for problems: one when a problem begins, with cause and cure, and one at its end.

Anyone can post an unsigned delivery, so a refused delivery is no error of the receiver. It is logged all the same: a
wrong secret or clock has the same effect, and a sender may give up a delivery for good after a 4xx.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stream_router.aws_answers import TIMED_OUT
from stream_router.aws_error_codes import cure
from stream_router.receiver.events import ACCEPTED, NOT_STORED, TO_SPILL, TO_STREAM, Bucket
from stream_router.receiver.putrecords import CALL_TIMEOUT_S
from stream_router.receiver.stats import DEFAULT_SOURCE, Stats

if TYPE_CHECKING:
    from stream_router.receiver.batcher import Batcher

log = logging.getLogger(__name__)

DOWN_AFTER_S = 1.0
"""Seconds of refusals, without a record taken, after which the stream counts as down: longer than an event is tried."""
BELIEVED_FOR_S = 5.0
"""Seconds after the last refusal for which a stream that is down is kept free of new traffic.

New traffic is then let in as a test; otherwise the stream would never be tried again.
"""
KNOWN_FOR_S = 30.0
"""Seconds after its last refusal for which a partition group counts as refused. Its shard may be well after that."""
REPEAT_S = OVER_AFTER_S = 60.0
"""Seconds between two log lines on requests that are not stored, and without a refused delivery until a run ends."""
SPEED_S, SPEED_SAMPLE_S = 10.0, 1.0
"""Seconds over which the stream's speed is judged, and seconds between two samples."""
SLOW_BEGINS, SLOW_ENDS = 0.25, 0.1
"""Shares of requests whose events the stream does not store in time.

The stream counts as slow from the first share on, and until the share is below the second.
"""
LATE_MIN = 5
"""Minimum number of such requests for the stream to count as slow, since a single late call proves little."""
SAID_AFTER_S = 1.0
"""Seconds from a refused delivery to its log line. By then it is known whether other deliveries are let in."""

_JSON = "have the sender post an object, or an array of objects, in JSON"
CURES = {
    "bad_signature": "compare STREAM_ROUTER_WEBHOOK_SECRETS, the scheme and its headers with what the sender is set to",
    "bad_token": "compare STREAM_ROUTER_WEBHOOK_SECRETS with what the sender sends as Authorization",
    "stale": "check the sender's clock, or whether old deliveries are sent again",
    "too_large": "have the sender send less at once, or raise STREAM_ROUTER_MAX_BODY_BYTES",
    "malformed_json": _JSON,
    "not_an_object": _JSON,
    "overload": "the receiver has more to do than it can; give it a larger machine, or put another one beside it",
    "busy": "too much waits in its memory; if the stream is well, raise STREAM_ROUTER_MAX_HELD_BYTES",
}
"""Advice to an operator, by the reason for which a delivery is refused before the batcher gets it."""
_CLOCK = "check this host's clock: the senders' differ from it by more than STREAM_ROUTER_REPLAY_WINDOW_S"


class StreamState:
    """State of the stream, from the outcomes of all records by partition group. `now_s` is the loop's clock."""

    def __init__(self, now_s: Callable[[], float], stats: Stats, buckets: Sequence[Bucket]) -> None:
        self._now_s = now_s
        self._stats = stats
        self._buckets = buckets
        self._since_s: float | None = None
        """Time at which the stream began to refuse; None while it takes events."""
        self._refused_s = 0.0
        self.heard_s = 0.0
        """Time at which the stream last took or refused a record."""
        self.code = ""
        """AWS's code of the last refusal."""
        self.taken = 0
        """Number of records that the stream took. Comparing two values shows whether it took any in between."""

    def took(self, bucket: Bucket) -> None:
        """Record that the stream took a record."""
        self.taken += 1
        self.heard_s = self._now_s()
        self._since_s = bucket.refused_since_s = None

    def refused(self, bucket: Bucket, code: str) -> None:
        """Record that the stream refused a record, or gave no answer."""
        heard_s, now_s = self.heard_s, self._now_s()
        self.heard_s = self._refused_s = now_s
        self._stats.failures[code] += 1
        self.code = code
        if self._since_s is None:
            # A call that timed out shows that the stream took nothing while that call was in flight.
            self._since_s = max(heard_s, now_s - CALL_TIMEOUT_S) if code == TIMED_OUT else now_s
        if bucket.refused_since_s is None or now_s - bucket.refused_s > KNOWN_FOR_S:
            bucket.refused_since_s = now_s
        bucket.refused_s = now_s

    @property
    def refuses_since_s(self) -> float | None:
        """Beginning of the present run of refusals, None while the stream takes events."""
        return self._since_s

    @property
    def failing_code(self) -> str:
        """AWS's code of the last refusal while the stream refuses; "" while it takes events."""
        return "" if self._since_s is None else self.code

    @property
    def refuses(self) -> bool:
        """Whether the stream refused for a second or more and took nothing since, however old that knowledge is."""
        return self._since_s is not None and self._refused_s - self._since_s >= DOWN_AFTER_S

    @property
    def down(self) -> bool:
        """Whether to keep new traffic away: the stream refuses, and last did so within BELIEVED_FOR_S."""
        return self.refuses and self._now_s() - self._refused_s <= BELIEVED_FOR_S

    @property
    def apart(self) -> int:
        """Number of partition groups that were refused for a second or more while others are taken; else 0."""
        now_s = self._now_s()
        if self.refuses:
            return 0
        return sum(
            bucket.refused_since_s is not None
            and bucket.refused_s - bucket.refused_since_s >= DOWN_AFTER_S
            and now_s - bucket.refused_s <= KNOWN_FOR_S
            for bucket in self._buckets
        )


class StreamSpeed:
    """Detector of a stream that stores events too late for their requests. Call `observe` a few times a second."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()
        """Samples: time, requests whose events the stream stored in time, and the others, counted since the start."""
        self.is_slow = False

    def observe(self, now_s: float, stats: Stats, *, is_down: bool) -> None:
        """Take the counts of a moment into account. A stream that is down is not slow."""
        if is_down:
            self._samples.clear()
            self.is_slow = False
            return
        in_time, late = _requests(stats)
        if not self._samples or now_s - self._samples[-1][0] >= SPEED_SAMPLE_S:
            self._samples.append((now_s, in_time, late))
        while now_s - self._samples[0][0] > SPEED_S:
            self._samples.popleft()
        _, in_time_before, late_before = self._samples[0]
        in_time, late = in_time - in_time_before, late - late_before
        share, least = (SLOW_ENDS, 1) if self.is_slow else (SLOW_BEGINS, LATE_MIN)
        self.is_slow = late >= least and late >= share * (in_time + late)


def _requests(stats: Stats) -> tuple[int, int]:
    """Return the number of requests whose events the stream stored in time, and of those that it did not."""
    in_time = sum(count for (_, _, reason), count in stats.answers.items() if reason == TO_STREAM)
    late = sum(count for (_, _, reason), count in stats.answers.items() if reason in (TO_SPILL, NOT_STORED))
    return in_time, late


class _Run:
    """An unbroken run of deliveries refused for the same reason. `client` sent the first of them."""

    def __init__(self, now_s: float, let_in: int, client: str) -> None:
        self.since_s = self.latest_s = now_s
        self.let_in = let_in
        self.client = client
        self.count = 0
        self.said = False


class States:
    """Log lines on the stream, the spill and senders, for one batcher. Call `look` a few times a second."""

    def __init__(self, batcher: "Batcher", stream: str) -> None:
        self._batcher = batcher
        self._stream = stream
        self._stats = batcher.stats
        self._now_s = batcher.now_s
        self._since_s: dict[str, float] = {}
        """Beginnings of the present problems, by their log event."""
        self._not_stored = 0
        self._not_stored_said_s = float("-inf")
        self._runs: dict[tuple[str, int, str], _Run] = {}
        """Runs of refused deliveries, by source, status and reason."""

    def refused(self, source: str, status: int, reason: str, client: Callable[[], str]) -> None:
        """Record that a delivery was refused for a reason in CURES."""
        run = self._runs.get((source, status, reason))
        if run is None:
            run = self._runs[source, status, reason] = _Run(self._now_s(), self._let_in(), client())
        run.latest_s = self._now_s()
        run.count += 1

    def _let_in(self) -> int:
        return sum(count for (_, _, reason), count in self._stats.answers.items() if reason in ACCEPTED)

    def look(self) -> None:
        """Log the problems that have begun, and those that are over."""
        stream, backlog = self._batcher.stream, self._batcher.backlog
        takes = backlog is not None and backlog.takes
        where = "events wait in the spill" if takes else "senders are answered 503"
        code, name, help_ = stream.code, self._stream, cure(stream.code)
        down = code if stream.refuses else ""
        self._tell("stream-down", down, f"the stream takes no events: {where}", name, help_)
        down = code if stream.apart else ""
        part = f"{stream.apart} of the stream's {len(self._batcher.buckets)} buckets take no events, while others do"
        self._tell("stream-partly-down", down, part, name, f"see how full each shard is; {help_}")
        if backlog is not None:
            self._tell("spill-down", backlog.error, "the spill fails", backlog.resource, backlog.cure)
        self._tell_of_not_stored()
        self._tell_of_refused()

    def _tell(self, event: str, code: str, text: str, resource: str, help_: str) -> None:
        """Log a WARNING when a problem begins, and another when it is over.

        Call this repeatedly; an empty `code` means that there is no problem.
        """
        since_s = self._since_s.get(event)
        if code and since_s is None:
            self._since_s[event] = self._now_s()
            log.warning("%s (%s); %s", text, code, help_, extra={"event": event, "code": code, "resource": resource})
        elif not code and since_s is not None:
            del self._since_s[event]
            after_s = round(self._now_s() - since_s, 1)
            log.warning("%s: over", event, extra={"event": f"{event}-over", "after_s": after_s, "resource": resource})

    def _tell_of_not_stored(self) -> None:
        refused, now_s = self._stats.events_refused - self._not_stored, self._now_s()
        if not refused or now_s - self._not_stored_said_s < REPEAT_S:
            return
        self._not_stored_said_s, self._not_stored = now_s, self._stats.events_refused
        code, backlog = self._batcher.stream.failing_code, self._batcher.backlog
        late = f"the stream answers too late (a call takes {self._batcher.calls.typical_s:.1f} s)"
        slow = f"{late}; see how full its shards are, and the way to Kinesis"
        why = f"the stream refuses ({code}); {cure(code)}" if code else slow
        if backlog is not None and not backlog.takes:
            why += f", and the spill takes nothing ({backlog.error or 'it refused'})"
        log.warning(
            "events were not stored in time, their requests were answered 503: %s",
            *(why,),
            extra={"event": "requests-refused", "events": refused, "resource": self._stream},
        )

    def _tell_of_refused(self) -> None:
        now_s = self._now_s()
        for (source, status, reason), run in list(self._runs.items()):
            log_fields = {"source": source or DEFAULT_SOURCE, "deliveries": run.count}
            if not run.said and now_s - run.since_s >= SAID_AFTER_S:
                run.said = True
                others = self._let_in() > run.let_in
                log.warning(
                    "deliveries are answered %d, %s (%s); %s",
                    status,
                    "others are let in" if others else "none is let in",
                    reason,
                    _CLOCK if reason == "stale" and not others else CURES[reason],
                    extra={"event": "deliveries-refused", "client": run.client, **log_fields},
                )
            elif now_s - run.latest_s > OVER_AFTER_S:
                del self._runs[source, status, reason]
                log.warning(
                    "no delivery is answered %d any more (%s)",
                    *(status, reason),
                    extra={
                        "event": "deliveries-refused-over",
                        "after_s": round(run.latest_s - run.since_s, 1),
                        **log_fields,
                    },
                )

"""What is known of the stream, and what is wrong in words: said when it begins, with why and what to do, and its end.

Nobody knows who posts what is not signed, so a refused delivery is no error of ours; but a wrong secret or clock looks
like this, and a sender may give a delivery up for good after a 4xx.
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
"""The stream counts as down once it took nothing and refused for so long: longer than one event is tried."""
BELIEVED_FOR_S = 5.0
"""Without a new refusal it is believed for so long; then new traffic is let in to try, or nothing ever would."""
KNOWN_FOR_S = 30.0
"""A bucket that nobody tried for so long does not count as refusing: its shard may be well by now."""
REPEAT_S = OVER_AFTER_S = 60.0
"""Requests that are not stored are told once in so long; refused deliveries that are further apart are told anew."""
SPEED_S, SPEED_SAMPLE_S = 10.0, 1.0
"""Seconds of which the stream's speed is judged, and between two samples."""
SLOW_BEGINS, SLOW_ENDS = 0.25, 0.1
"""Shares of requests whose events are not stored in time: the stream counts as slow from the first one on, and until
the share is below the second one."""
LATE_MIN = 5
"""Minimum number of such requests: one late call says little."""
SAID_AFTER_S = 1.0
"""A refused delivery is told then: by then it shows whether others are let in."""

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
"""What is refused before it is given to the batcher, by its reason, and what to do."""
_CLOCK = "check this host's clock: the senders' differ from it by more than STREAM_ROUTER_REPLAY_WINDOW_S"


class StreamState:
    """Told of every record's outcome, by its bucket. `now_s` is the loop's clock."""

    def __init__(self, now_s: Callable[[], float], stats: Stats, buckets: Sequence[Bucket]) -> None:
        self._now_s = now_s
        self._stats = stats
        self._buckets = buckets
        self._since_s: float | None = None
        """When it began to refuse; None while it takes events."""
        self._refused_s = 0.0
        self.heard_s = 0.0
        """When it took or refused something last."""
        self.code = ""
        """AWS's code of the last refusal."""
        self.taken = 0
        """Records, for the order in which things happen."""

    def took(self, bucket: Bucket) -> None:
        """Note that the stream took a record."""
        self.taken += 1
        self.heard_s = self._now_s()
        self._since_s = bucket.refused_since_s = None

    def refused(self, bucket: Bucket, code: str) -> None:
        """Note that the stream refused a record, or gave no answer."""
        heard_s, now_s = self.heard_s, self._now_s()
        self.heard_s = self._refused_s = now_s
        self._stats.failures[code] += 1
        self.code = code
        if self._since_s is None:
            # A call that timed out shows that the stream took nothing while that call was open.
            self._since_s = max(heard_s, now_s - CALL_TIMEOUT_S) if code == TIMED_OUT else now_s
        if bucket.refused_since_s is None or now_s - bucket.refused_s > KNOWN_FOR_S:
            bucket.refused_since_s = now_s
        bucket.refused_s = now_s

    @property
    def refuses_since_s(self) -> float | None:
        """Beginning of the present run of refusals, None while it takes events."""
        return self._since_s

    @property
    def failing_code(self) -> str:
        """AWS's code of the last refusal while it refuses; "" while it takes events."""
        return "" if self._since_s is None else self.code

    @property
    def refuses(self) -> bool:
        """Whether it refused over a second or more, and took nothing since: as last known, however old."""
        return self._since_s is not None and self._refused_s - self._since_s >= DOWN_AFTER_S

    @property
    def down(self) -> bool:
        """The same while it is believed: whether to keep new traffic away."""
        return self.refuses and self._now_s() - self._refused_s <= BELIEVED_FOR_S

    @property
    def apart(self) -> int:
        """How many buckets refused over a second or more while others are taken; 0 where none is."""
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
    """Tells whether the stream stores events too late for their requests. `observe` is called a few times a second."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()
        """Time, requests whose events the stream stored in time, and the others, as counted since the start."""
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
    """Says how stream, disk and senders are, for one batcher. `look` is to be called a few times a second."""

    def __init__(self, batcher: "Batcher", stream: str) -> None:
        self._batcher = batcher
        self._stream = stream
        self._stats = batcher.stats
        self._now_s = batcher.now_s
        self._since_s: dict[str, float] = {}
        """What is wrong, by its event's name, and since when."""
        self._not_stored = 0
        self._not_stored_said_s = float("-inf")
        self._runs: dict[tuple[str, int, str], _Run] = {}
        """What is refused, by source, status and reason."""

    def refused(self, source: str, status: int, reason: str, client: Callable[[], str]) -> None:
        """Note that a delivery was refused, for one of the reasons in CURES."""
        run = self._runs.get((source, status, reason))
        if run is None:
            run = self._runs[source, status, reason] = _Run(self._now_s(), self._let_in(), client())
        run.latest_s = self._now_s()
        run.count += 1

    def _let_in(self) -> int:
        return sum(count for (_, _, reason), count in self._stats.answers.items() if reason in ACCEPTED)

    def look(self) -> None:
        """Say what has begun, and what is over."""
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
        """Told again and again what is: a WARNING when it begins, and one when it is over, where `code` is empty."""
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
            told = {"source": source or DEFAULT_SOURCE, "deliveries": run.count}
            if not run.said and now_s - run.since_s >= SAID_AFTER_S:
                run.said = True
                others = self._let_in() > run.let_in
                log.warning(
                    "deliveries are answered %d, %s (%s); %s",
                    status,
                    "others are let in" if others else "none is let in",
                    reason,
                    _CLOCK if reason == "stale" and not others else CURES[reason],
                    extra={"event": "deliveries-refused", "client": run.client, **told},
                )
            elif now_s - run.latest_s > OVER_AFTER_S:
                del self._runs[source, status, reason]
                log.warning(
                    "no delivery is answered %d any more (%s)",
                    *(status, reason),
                    extra={"event": "deliveries-refused-over", "after_s": round(run.latest_s - run.since_s, 1), **told},
                )

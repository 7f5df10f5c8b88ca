"""State of the stream, and log lines about problems.

Each problem is logged twice: when it begins, with its cause and cure, and when it is over. Refused deliveries are
logged likewise. Strangers may send them, but a wrong secret or clock looks the same, and a sender may drop a delivery
for good after a 4xx.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stream_router.aws_answers import TIMED_OUT
from stream_router.aws_error_codes import DENIED, find_cure
from stream_router.receiver.events import ACCEPTED, NOT_STORED, TO_SPILL, TO_STREAM, PartitionGroup
from stream_router.receiver.putrecords import CALL_TIMEOUT_S
from stream_router.receiver.stats import DEFAULT_SOURCE, Stats

if TYPE_CHECKING:
    from stream_router.receiver.batcher import Batcher

log = logging.getLogger(__name__)

DOWN_AFTER_S = 1.0
"""Seconds of refusals, without a stored record, after which the stream counts as down.

An event is tried for a shorter time, so a single event cannot make the stream count as down.
"""
KEEP_AWAY_S = 5.0
"""Seconds after the last refusal for which a stream that is down gets no new traffic.

After that new traffic tests the stream again; otherwise nothing would show that the stream is back.
"""
GROUP_REFUSED_S = 30.0
"""Seconds after its last refusal for which a partition group counts as refused.

After that time its shard may have recovered, unless a newer outcome is known.
"""
REPEAT_S = 60.0
"""Seconds between two log lines on requests whose events were not stored."""
OVER_AFTER_S = 60.0
"""Seconds without a further refused delivery after which a run of refused deliveries is over."""
SPEED_S, SPEED_SAMPLE_S = 10.0, 1.0
"""Seconds over which the stream's speed is judged, and seconds between two samples."""
SLOW_BEGINS, SLOW_ENDS = 0.25, 0.1
"""Shares of requests whose events the stream does not store in time.

The stream counts as slow from the first share on, and until the share is below the second.
"""
LATE_MIN = 5
"""Minimum number of late requests for the stream to count as slow, since a single late call proves little."""
LOG_AFTER_S = 1.0
"""Seconds from the first refused delivery of a run to the run's log line.

The line says whether other deliveries are accepted, which is known by then.
"""

_JSON = "let the sender post an object, or an array of objects, in JSON"
CURES = {
    "bad_signature": "compare STREAM_ROUTER_WEBHOOK_SECRETS, the scheme and its headers with what the sender is set to",
    "bad_token": "compare STREAM_ROUTER_WEBHOOK_SECRETS with what the sender sends as Authorization",
    "stale": "check the sender's clock, and whether old deliveries are sent again",
    "too_large": "let the sender send less at once, or raise STREAM_ROUTER_MAX_BODY_BYTES",
    "malformed_json": _JSON,
    "not_an_object": _JSON,
    "overload": "the receiver is overloaded; give it a larger machine, or start another receiver",
    "busy": "too many bytes wait in memory; if the stream is well, raise STREAM_ROUTER_MAX_HELD_BYTES",
}
"""Advice to an operator, by the reason of a refusal. Only deliveries refused before the batcher are listed here."""
_CLOCK = "check this host's clock: it differs from all senders' clocks by more than STREAM_ROUTER_REPLAY_WINDOW_S"


class StreamState:
    """State of the stream, derived from the outcomes of all records. `now_s` is the loop's clock."""

    def __init__(self, now_s: Callable[[], float], stats: Stats, groups: Sequence[PartitionGroup]) -> None:
        self._now_s = now_s
        self._stats = stats
        self._groups = groups
        self._since_s: float | None = None
        """Time at which the stream began to refuse; None while it takes events."""
        self._refused_s = 0.0
        self.last_outcome_s = 0.0
        """Time at which the stream last took or refused a record; 0.0 before the first record."""
        self.code = ""
        """AWS's code of the last refusal."""
        self.records_taken = 0
        """Number of records that the stream took. Two readings show whether any was taken in between."""

    def record_success(self, group: PartitionGroup) -> None:
        """Record that the stream took a record."""
        self.records_taken += 1
        self.last_outcome_s = self._now_s()
        self._since_s = group.refused_since_s = None

    def record_refusal(self, group: PartitionGroup, code: str) -> None:
        """Record that the stream refused a record, or gave no answer."""
        previous_outcome_s, now_s = self.last_outcome_s, self._now_s()
        self.last_outcome_s = self._refused_s = now_s
        self._stats.failures[code] += 1
        self.code = code
        if self._since_s is None:
            # A call that timed out shows that the stream took nothing while that call was in flight.
            self._since_s = max(previous_outcome_s, now_s - CALL_TIMEOUT_S) if code == TIMED_OUT else now_s
        if group.refused_since_s is None or now_s - group.refused_s > GROUP_REFUSED_S:
            group.refused_since_s = now_s
        group.refused_s = now_s

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
        """Whether the stream has refused every record for DOWN_AFTER_S or longer.

        Unlike `down`, this stays true until the stream takes a record, even if no record is sent.
        """
        return self._since_s is not None and self._refused_s - self._since_s >= DOWN_AFTER_S

    @property
    def down(self) -> bool:
        """Whether to keep new traffic away: the stream refuses, and the last refusal is at most KEEP_AWAY_S old."""
        return self.refuses and self._now_s() - self._refused_s <= KEEP_AWAY_S

    @property
    def refusing_groups(self) -> int:
        """Number of partition groups that the stream refuses while it takes others; 0 if it takes all or none."""
        now_s = self._now_s()
        if self.refuses:
            return 0
        return sum(
            group.refused_since_s is not None
            and group.refused_s - group.refused_since_s >= DOWN_AFTER_S
            and now_s - group.refused_s <= GROUP_REFUSED_S
            for group in self._groups
        )


class StreamSpeed:
    """Detector of a stream that stores events, but too late for their requests."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()
        """Samples of time, requests stored in time and late requests. The counts begin at the start of the process."""
        self.is_slow = False

    def observe(self, now_s: float, stats: Stats, *, is_down: bool) -> None:
        """Update `is_slow` from the present counts.

        Call this a few times a second. A stream that is down is not slow.
        """
        if is_down:
            self._samples.clear()
            self.is_slow = False
            return
        in_time, late = _count_requests(stats)
        if not self._samples or now_s - self._samples[-1][0] >= SPEED_SAMPLE_S:
            self._samples.append((now_s, in_time, late))
        while now_s - self._samples[0][0] > SPEED_S:
            self._samples.popleft()
        _, in_time_before, late_before = self._samples[0]
        in_time, late = in_time - in_time_before, late - late_before
        min_share, min_late = (SLOW_ENDS, 1) if self.is_slow else (SLOW_BEGINS, LATE_MIN)
        # Without any request the share of late ones is undefined. Since `min_late` is 1 or more, the stream is then not
        # slow.
        self.is_slow = late >= min_late and late >= min_share * (in_time + late)


def _count_requests(stats: Stats) -> tuple[int, int]:
    """Return two numbers of requests: those whose events the stream stored in time, and those it did not."""
    in_time = sum(count for (_, _, reason), count in stats.answers.items() if reason == TO_STREAM)
    late = sum(count for (_, _, reason), count in stats.answers.items() if reason in (TO_SPILL, NOT_STORED))
    return in_time, late


class _RefusalRun:
    """Deliveries of one source that were refused with the same status and reason, without a pause of OVER_AFTER_S.

    `client` sent the first of them. `accepted_at_start` is the number of all deliveries accepted before the run.
    """

    def __init__(self, now_s: float, accepted_at_start: int, client: str) -> None:
        self.since_s = self.latest_s = now_s
        self.accepted_at_start = accepted_at_start
        self.client = client
        self.count = 0
        self.is_logged = False


class States:
    """Logger of problems with the stream, the spill and senders. Call `log_changes` a few times a second."""

    def __init__(self, batcher: "Batcher", stream: str) -> None:
        self._batcher = batcher
        self._stream = stream
        self._stats = batcher.stats
        self._now_s = batcher.now_s
        self._since_s: dict[str, float] = {}
        """Beginnings of the present problems, by their log event."""
        self._refused_before = 0
        """Number of refused events at the last log line about them."""
        self._unstored_logged_s = float("-inf")
        self._runs: dict[tuple[str, int, str], _RefusalRun] = {}
        """Runs of refused deliveries, by source, status and reason."""

    def record_refused_delivery(self, source: str, status: int, reason: str, client: Callable[[], str]) -> None:
        """Record that a delivery was refused for a reason in CURES."""
        run = self._runs.get((source, status, reason))
        if run is None:
            run = self._runs[source, status, reason] = _RefusalRun(self._now_s(), self._count_accepted(), client())
        run.latest_s = self._now_s()
        run.count += 1

    def _count_accepted(self) -> int:
        """Return the number of requests of all sources that were answered 202."""
        return sum(count for (_, _, reason), count in self._stats.answers.items() if reason in ACCEPTED)

    def log_changes(self) -> None:
        """Log the problems that have begun, and those that are over."""
        stream, backlog = self._batcher.stream, self._batcher.backlog
        takes = backlog is not None and backlog.takes
        meaning = "Events wait in the spill" if takes else "Senders are answered 503"
        code, name, advice = stream.code, self._stream, self._find_cure(stream.code)
        down_code = code if stream.refuses else ""
        self._log_problem("stream-down", down_code, f"The stream takes no events ({code}). {meaning}.", name, advice)
        partly_down_code = code if stream.refusing_groups else ""
        refusing = (
            f"{stream.refusing_groups} of the stream's {len(self._batcher.groups)} partition groups take no events "
            f"({code}), while others do. {meaning}."
        )
        partly_advice = f"see how full each shard is; {advice}"
        self._log_problem("stream-partly-down", partly_down_code, refusing, name, partly_advice)
        if backlog is not None:
            failing = f"The spill fails ({backlog.error}). While the stream refuses too, senders are answered 503."
            self._log_problem("spill-down", backlog.error, failing, backlog.resource, backlog.cure)
        self._log_unstored_requests()
        self._log_refused_deliveries()

    def _find_cure(self, code: str) -> str:
        """Return advice to an operator about the code of a refusal. It names a permission that is missing."""
        if code in DENIED:
            return f"grant kinesis:PutRecords on the stream {self._stream} (stream-router setup --policy receive)"
        return find_cure(code)

    def _log_problem(self, event: str, code: str, text: str, resource: str, advice: str) -> None:
        """Log a WARNING when a problem begins, and another when it is over.

        Call this repeatedly; an empty `code` means that there is no problem. `text` is one or two whole sentences.
        """
        since_s = self._since_s.get(event)
        if code and since_s is None:
            self._since_s[event] = self._now_s()
            log.warning("%s Cure: %s.", text, advice, extra={"event": event, "code": code, "resource": resource})
        elif not code and since_s is not None:
            del self._since_s[event]
            after_s = round(self._now_s() - since_s, 1)
            log.warning(
                "The problem %s is over after %.1f s.",
                *(event, after_s),
                extra={"event": f"{event}-over", "after_s": after_s, "resource": resource},
            )

    def _log_unstored_requests(self) -> None:
        """Log that requests were answered 503 because their events were not stored; at most once in REPEAT_S."""
        refused, now_s = self._stats.events_refused - self._refused_before, self._now_s()
        if not refused or now_s - self._unstored_logged_s < REPEAT_S:
            return
        self._unstored_logged_s, self._refused_before = now_s, self._stats.events_refused
        code, backlog = self._batcher.stream.failing_code, self._batcher.backlog
        if code:
            reason, advice = f"the stream refuses ({code})", self._find_cure(code)
        else:
            reason = f"the stream answers too late (a call takes {self._batcher.calls.typical_s:.1f} s)"
            advice = "see how full its shards are, and check the network to Kinesis"
        if backlog is not None and not backlog.takes:
            reason += f", and the spill takes nothing ({backlog.error or 'it refused'})"
        log.warning(
            "Events were not stored in time: %s. Their senders got 503 and have to send them again. Cure: %s.",
            *(reason, advice),
            extra={"event": "requests-refused", "events": refused, "resource": self._stream},
        )

    def _log_refused_deliveries(self) -> None:
        """Log each run of refused deliveries LOG_AFTER_S after its beginning, and once it is over."""
        now_s = self._now_s()
        for (source, status, reason), run in list(self._runs.items()):
            log_fields = {"source": source or DEFAULT_SOURCE, "deliveries": run.count}
            if not run.is_logged and now_s - run.since_s >= LOG_AFTER_S:
                run.is_logged = True
                accepts_others = self._count_accepted() > run.accepted_at_start
                # If every delivery is stale, this host's clock is wrong rather than each sender's.
                advice = _CLOCK if reason == "stale" and not accepts_others else CURES[reason]
                log.warning(
                    "Deliveries are answered %d (%s). %s. Cure: %s.",
                    status,
                    reason,
                    "Others are accepted" if accepts_others else "None is accepted",
                    advice,
                    extra={"event": "deliveries-refused", "client": run.client, **log_fields},
                )
            elif now_s - run.latest_s > OVER_AFTER_S:
                del self._runs[source, status, reason]
                log.warning(
                    "For a minute no delivery was answered %d (%s).",
                    *(status, reason),
                    extra={
                        "event": "deliveries-refused-over",
                        "after_s": round(run.latest_s - run.since_s, 1),
                        **log_fields,
                    },
                )

"""Periodic check of the stream and its lease table: it finds the shards that nobody reads, and the retention."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError

from stream_router.aws import endpoints
from stream_router.aws_error_codes import ABSENT, DENIED, code_of, describe_error, find_cure
from stream_router.leases import SHARD_END, Lease, Shard, list_shards, scan_leases
from stream_router.log import LogLimiter
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.silence import Answers

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 5.0
"""Seconds between two checks, so that a service that does not answer is noticed within 10 s, even without events."""

NO_OWNER_S = 8.0
"""Seconds without an owner after which a shard counts as unread, so that it is reported within 20 s."""

MAX_CHECKS_PER_S = 2.0
"""Maximum number of checks per second by all workers of an application: each check reads the whole lease table."""

LOGGED_AFTER_S = 15.0
"""Seconds for which a shard must be unread before it is logged. A worker that restarts under its name takes as long."""

RETENTION_CHECK_INTERVAL_S = 60.0
"""Seconds between two reads of the retention, which seldom changes.

An account has some 20 DescribeStreamSummary calls per second.
"""

SHARDS_INTERVAL_S = 60.0
"""Seconds between two ListShards calls, unless the leases show a reshard: CloudTrail records each call."""


NO_OWNER, LEASE_UNCHANGED, NOT_HANDED_OVER = "no owner", "lease does not move", "hand-over is not finished"
NO_LEASE = "no lease"
"""Reasons why nobody reads a shard. All but LEASE_UNCHANGED are also signs (`_find_signs`, `find_unread_signs`)."""

HAND_OVER_S = 30.0
"""Seconds that the KCL gives the previous worker to finish (`gracefulLeaseHandoffTimeoutMillis`)."""


class UnreadShard(NamedTuple):
    """A shard that nobody reads, with the reason. `since_s` is when that began, at the latest (epoch seconds)."""

    shard: str
    why: str
    since_s: float


class StreamView(NamedTuple):
    """Result of one check, and its time (epoch seconds)."""

    at_s: float
    shards: Sequence[Shard]
    leases: Mapping[str, Lease]


def unread(now: StreamView, before: StreamView) -> list[UnreadShard]:
    """Return the shards that nobody reads according to two checks, `before` and `now`.

    One check does not suffice, since a lease that changes hands has no owner for a moment.
    """
    earlier = _find_signs(before)
    lasting = [(shard, sign) for shard, sign in _find_signs(now).items() if earlier.get(shard) == sign]
    return sorted(UnreadShard(shard, _reason_of(sign), before.at_s) for shard, sign in lasting)


def _find_signs(view: StreamView) -> "dict[str, Lease | str]":
    """Return a sign for each shard that should be read now. If nobody reads the shard, its sign stays the same.

    The sign is NO_OWNER, NOT_HANDED_OVER, or the lease itself: an owner changes the lease whenever it renews it.
    """
    ours = {shard.shard_id for shard in view.shards}
    held = {shard: lease for shard, lease in view.leases.items() if lease.owner and lease.checkpoint != SHARD_END}
    signs: dict[str, Lease | str] = dict.fromkeys(without_owner(view), NO_OWNER)
    for shard in held.keys() & ours:
        signs[shard] = NOT_HANDED_OVER if held[shard].checkpoint_owner else held[shard]
    return signs


def find_unread_signs(view: StreamView) -> "dict[str, Lease | str]":
    """Return a sign for each shard that could be read now, for the rule that restarts a daemon (`stuck.py`).

    A shard could be read if it has not been read to its end, and each of its parents has been or has left the stream.
    The sign is NO_LEASE, NOT_HANDED_OVER, or the whole lease. It stays the same as long as nobody reads the shard.
    """
    by_id = {shard.shard_id: shard for shard in view.shards}
    missing = {*without_owner(view)} - view.leases.keys()
    signs: dict[str, Lease | str] = dict.fromkeys(missing, NO_LEASE)
    for shard_id in by_id.keys() & view.leases.keys():
        lease = view.leases[shard_id]
        if lease.checkpoint == SHARD_END or any(_is_unfinished(parent, view) for parent in by_id[shard_id].parents):
            continue
        signs[shard_id] = NOT_HANDED_OVER if lease.checkpoint_owner else lease
    return signs


def are_all_workers_full(view: StreamView, worker: str, max_leases: int, unread_shards: Collection[str]) -> bool:
    """Return whether each worker holds `max_leases` leases: `worker` itself, and each owner of a lease that moves.

    The owner of nothing but unread shards may be dead, so it does not count. Leases of closed shards count, as the KCL
    counts them.
    """
    held = Counter(lease.owner for lease in view.leases.values())
    alive = {lease.owner for shard, lease in view.leases.items() if shard not in unread_shards} - {""}
    return all(held[owner] >= max_leases for owner in alive | {worker})


def _reason_of(sign: "Lease | str") -> str:
    """Return the reason that a sign which stays the same stands for. A lease stands for LEASE_UNCHANGED."""
    return sign if isinstance(sign, str) else LEASE_UNCHANGED


def without_owner(view: StreamView) -> list[str]:
    """Return the shards that should be read now and have no owner, by one check."""
    by_id = {shard.shard_id: shard for shard in view.shards}
    children: dict[str, list[str]] = {}
    for shard in view.shards:
        for parent in shard.parents:
            children.setdefault(parent, []).append(shard.shard_id)
    # A shard has begun if it, or a shard that descends from it, has a lease. Children have higher numbers than their
    # parents, so this order handles each child before its parents.
    begun: set[str] = set()
    for name in sorted(by_id, reverse=True):
        if name in view.leases or any(child in begun for child in children.get(name, [])):
            begun.add(name)
    waiting = _find_waiting(by_id, view)
    shard_ids = []
    for shard in view.shards:
        lease = view.leases.get(shard.shard_id)
        if lease is None:
            # A shard without a lease was read to its end and its lease removed, or waits for its parents, or is unread.
            is_done = not shard.is_open and shard.shard_id in begun
            if not is_done and shard.shard_id not in waiting:
                shard_ids.append(shard.shard_id)
        elif not lease.owner and lease.checkpoint != SHARD_END:
            shard_ids.append(shard.shard_id)
    return shard_ids


def _find_waiting(by_id: Mapping[str, Shard], view: StreamView) -> set[str]:
    """Return the shards that wait for an ancestor: the KCL creates their leases once the parents are finished."""
    waiting: set[str] = set()
    for name in sorted(by_id):  # parents have lower numbers, so each is known before its children
        parents = [parent for parent in by_id[name].parents if parent in by_id]
        if any(_is_unfinished(parent, view) or (parent not in view.leases and parent in waiting) for parent in parents):
            waiting.add(name)
    return waiting


def _is_unfinished(parent: str, view: StreamView) -> bool:
    """Return whether a parent shard is still to be read to its end. The KCL reads its children only after that."""
    lease = view.leases.get(parent)
    return lease is not None and lease.checkpoint != SHARD_END


class StreamFacts(NamedTuple):
    """Facts about the stream; None for what the latest check could not read, or before the first check."""

    unread: list[UnreadShard] | None = None
    retention_s: float | None = None
    """Seconds for which the stream keeps a record, by the last answer."""
    workers: int = 1
    """Number of owners of leases, by the last answer."""
    without_owner: Sequence[str] = ()
    """Shards that are to be read and had no owner at the last check, perhaps for a moment only."""


NO_FACTS = StreamFacts()


class StreamWatch:
    """Watch over the stream and its lease table. The caller runs `check`; any thread may read `known`.

    If a call fails, `known` has None for what it would have shown. The failure is logged once until the call succeeds
    again. A living owner renews its lease three times in `failover_s`, so a lease that stays the same for that time
    has none. `now_s` is the wall clock.
    """

    def __init__(
        self,
        kinesis: Any,
        dynamodb: Any,
        stream: str,
        table: str,
        failover_s: float = 10.0,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._kinesis = kinesis
        self._dynamodb = dynamodb
        self._stream = stream
        self._table = table
        self._now_s = now_s
        self._failover_s = failover_s
        self._checked_at = self._retention_at = -RETENTION_CHECK_INTERVAL_S
        self._unchanged_since: dict[str, tuple[Lease | str, float]] | None = None
        """Sign of each shard, and the time since which it is the same; None if the latest check failed."""
        self._shards: list[Shard] = []
        self._shards_listed_s = -math.inf
        self._ended_by_lease: dict[str, bool] = {}
        """Whether each lease was at its shard's end at the latest check."""
        self._unread_is_logged = False
        self._unread_log_limiter = LogLimiter(time.monotonic)
        self._logged_failures: set[str] = set()
        self.latest: StreamView | None = None
        """The latest check, None if it failed."""
        self.services_answer = False
        """Whether stream and lease table answered the latest check. A refusal for a missing permission is an answer."""
        self.known = NO_FACTS

    @property
    def interval_s(self) -> float:
        """Planned seconds between two checks: longer with many workers, since they share the lease table."""
        return max(CHECK_INTERVAL_S, self.known.workers / MAX_CHECKS_PER_S)

    def check(self) -> None:
        """Check the stream and its lease table. With many workers skip some checks: all of them read the same table."""
        at_s, every_s = self._now_s(), self.known.workers / MAX_CHECKS_PER_S
        if every_s > CHECK_INTERVAL_S and self._unchanged_since and at_s - self._checked_at < every_s:
            return
        self._checked_at = at_s
        # The last answer is kept: if the headroom vanished whenever a call fails, its alarm would end as well.
        retention_s = self.known.retention_s
        if not retention_s or at_s - self._retention_at >= RETENTION_CHECK_INTERVAL_S:
            self._retention_at = at_s
            retention_s = self._call("the retention", self._read_retention_s) or retention_s
        self.latest = view = self._call("shards and leases", self._read_view)
        if view is None:
            self._unchanged_since = None
            self.known = StreamFacts(None, retention_s, self.known.workers)
            return
        workers = max(1, len({lease.owner for lease in view.leases.values()} - {""}))
        self.known = StreamFacts(self._unread(view), retention_s, workers, without_owner(view))
        self._log_unread(self.known.unread or [])

    def _unread(self, view: StreamView) -> list[UnreadShard] | None:
        """Return the shards that nobody reads. Return None if this is the first check, or the previous one failed.

        A shard counts as unread once its sign has stayed the same for a time that depends on the sign: NO_OWNER_S,
        HAND_OVER_S, or the failover time for a lease.
        """
        before, self._unchanged_since = self._unchanged_since, {}
        unread_shards = []
        for shard, sign in _find_signs(view).items():
            kept = (before or {}).get(shard)
            if kept is None or kept[0] != sign:
                self._unchanged_since[shard] = sign, view.at_s
                continue
            self._unchanged_since[shard] = kept
            patience_s = {NO_OWNER: NO_OWNER_S, NOT_HANDED_OVER: HAND_OVER_S}.get(_reason_of(sign), self._failover_s)
            if view.at_s - kept[1] >= patience_s:
                unread_shards.append(UnreadShard(shard, _reason_of(sign), kept[1]))
        return None if before is None else sorted(unread_shards)

    def _log_unread(self, unread_shards: list[UnreadShard]) -> None:
        """Log, once a minute, the shards that have been unread for LOGGED_AFTER_S. Log also that all are read again."""
        lasting = [shard for shard in unread_shards if self._now_s() - shard.since_s >= LOGGED_AFTER_S]
        if lasting and (self._unread_log_limiter() or not self._unread_is_logged):
            named = ", ".join(f"{shard.shard} ({shard.why})" for shard in lasting[:3])
            log.warning(
                "Nobody reads %d of the stream's shards: %s%s. Their events wait in the stream. After a start this "
                "ends within two minutes; otherwise a consumer restarts its daemon after three to four minutes. If it "
                "lasts, start more consumers.",
                len(lasting),
                named,
                " and more" if len(lasting) > 3 else "",
                extra={"event": "shards-unread", "stream": self._stream},
            )
        elif self._unread_is_logged and not lasting:
            log.info("All shards are read again.", extra={"event": "shards-read-again", "stream": self._stream})
        self._unread_is_logged = bool(lasting)

    def _call(self, subject: str, read: Callable[[], Any]) -> Any:
        """Return the result of `read`. If it fails, log that once for this subject and return None."""
        try:
            answer = read()
        except Exception as error:  # noqa: BLE001 - botocore may raise any exception; each means "not known"
            code = code_of(error)
            self.services_answer = code in DENIED
            if subject not in self._logged_failures:
                self._logged_failures.add(subject)
                log.warning(
                    "The stream or its lease table could not be read for %s: %s. Events go on; status and alarms lack "
                    "this value until a call succeeds. To do: %s.",
                    subject,
                    describe_error(error),
                    find_cure(code),
                    extra={"event": "stream-unasked", "stream": self._stream, "table": self._table},
                )
            return None
        self._logged_failures.discard(subject)
        self.services_answer = True
        return answer

    def _read_retention_s(self) -> float:
        answer = self._kinesis.describe_stream_summary(StreamName=self._stream)
        return float(answer["StreamDescriptionSummary"]["RetentionPeriodHours"]) * 3600

    def _read_view(self) -> StreamView:
        """Read the leases, and list the shards once a minute and at once after a reshard.

        The leases show that a shard was created or closed: its parent's lease is at SHARD_END, or a lease appeared or
        vanished.
        """
        at_s = self._now_s()
        if is_due := at_s - self._shards_listed_s >= SHARDS_INTERVAL_S:
            self._refresh_shards(at_s)
        leases = self._read_leases()
        ended_by_lease = {shard: lease.checkpoint == SHARD_END for shard, lease in leases.items()}
        if not is_due and ended_by_lease != self._ended_by_lease:
            # Leases are read after the shards, so that a shard that was created in between has its lease here.
            self._refresh_shards(at_s)
            leases = self._read_leases()
            ended_by_lease = {shard: lease.checkpoint == SHARD_END for shard, lease in leases.items()}
        self._ended_by_lease = ended_by_lease
        return StreamView(at_s, self._shards, leases)

    def _refresh_shards(self, at_s: float) -> None:
        self._shards_listed_s = -math.inf  # if the call fails, the next check lists them again
        self._shards = list(list_shards(self._kinesis, self._stream))
        self._shards_listed_s = at_s

    def _read_leases(self) -> dict[str, Lease]:
        """Return all leases by shard; {} if there is no table yet."""
        try:
            return scan_leases(self._dynamodb, self._table, consistent=False)
        except ClientError as error:
            # No table: no consumer has read this stream under this application name yet.
            if code_of(error) not in ABSENT:
                raise
            return {}


def build_watch(settings: Consumer, failover_s: float, answers: Answers) -> StreamWatch:
    """Return the watch for these settings. `answers` records which of its calls are answered.

    Raises SettingsError if the environment cannot be used.
    """
    session = endpoints.create_session(settings.aws_region)
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    kinesis = answers.follow(endpoints.create_client(session, "kinesis", config), "Kinesis")
    dynamodb = answers.follow(endpoints.create_client(session, "dynamodb", config), "DynamoDB")
    return StreamWatch(kinesis, dynamodb, settings.stream, settings.application, failover_s)

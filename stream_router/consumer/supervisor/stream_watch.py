"""Looks every few seconds at the stream and its lease table: which shards nobody reads, how long the stream keeps."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from botocore.config import Config
from botocore.exceptions import ClientError

from stream_router.aws import endpoints
from stream_router.aws.clients import shards_of
from stream_router.aws_error_codes import ABSENT, DENIED, code_of
from stream_router.log import Seldom
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.silence import Answers

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""Seconds between two checks: so an AWS that is silent is known within 10 s, whether or not events flow."""

NO_OWNER_S = 8.0
"""Seconds for which a shard has to be without an owner before it counts as unread. A shard that nobody reads is
reported within 20 s."""

LOOKS_A_SECOND = 2.0
"""So many workers of one application look in a second, at most: each look reads the whole lease table."""

LOGGED_AFTER_S = 15.0
RETENTION_EVERY_S = 60.0
"""It seldom changes, and an account has some 20 DescribeStreamSummary calls a second."""

SHARDS_INTERVAL_S = 60.0
"""Seconds between two ListShards calls, unless the leases tell of a reshard: CloudTrail records each."""


SHARD_END = "SHARD_END"
"""The KCL's checkpoint of a shard that was read to its end."""

NO_OWNER, STANDS_STILL, NOT_HANDED_OVER = "no owner", "lease does not move", "hand-over is not finished"
NO_LEASE = "no lease"

HAND_OVER_S = 30.0
"""How long the KCL lets the worker before finish (`gracefulLeaseHandoffTimeoutMillis`): until then nothing is wrong."""


class UnreadShard(NamedTuple):
    """A shard that nobody reads, why, and since when at the latest (epoch seconds)."""

    shard: str
    why: str
    since_s: float


def text_of(row: Mapping[str, Any], name: str) -> str:
    """Return an attribute of an item as a text, whichever type it has; "" if there is none."""
    return str(next(iter(row.get(name, {"S": ""}).values())))


class StreamShard(NamedTuple):
    """A shard as the stream tells it."""

    shard_id: str
    parents: tuple[str, ...]
    closed: bool

    @classmethod
    def of(cls, shard: Mapping[str, Any]) -> Self:
        """Return the shard of a row of ListShards."""
        parents = tuple(shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name))
        return cls(shard["ShardId"], parents, "EndingSequenceNumber" in shard["SequenceNumberRange"])


class LeaseState(NamedTuple):
    """A shard's row in the lease table."""

    owner: str
    counter: str
    """Whoever holds the lease renews it several times a minute, and counts."""
    checkpoint: str
    checkpoint_owner: str = ""
    """The worker that reads the shard until its child has checkpointed; then the owner does. If the hand-over is not
    finished this worker goes on renewing the lease, so that the counter moves, and nobody reads (KCL 3.5.1)."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Return the lease of a row of the table; "" for attributes that it lacks."""
        names = ("leaseOwner", "leaseCounter", "checkpoint", "checkpointOwner")
        return cls(*(text_of(row, name) for name in names))


class StreamView(NamedTuple):
    """What one look found, and when (epoch seconds)."""

    at_s: float
    shards: Sequence[StreamShard]
    leases: Mapping[str, LeaseState]


def unread(now: StreamView, before: StreamView) -> list[UnreadShard]:
    """Return the shards that nobody reads. It takes two checks: a lease may be without owner while it changes hands."""
    earlier = _signs(before)
    lasting = [(shard, sign) for shard, sign in _signs(now).items() if earlier.get(shard) == sign]
    return sorted(UnreadShard(shard, _why(sign), before.at_s) for shard, sign in lasting)


def _signs(look: StreamView) -> "dict[str, LeaseState | str]":
    """Return a sign for each shard that is to be read now. It stays the same at the next check if nobody reads.

    The sign is NO_OWNER, NOT_HANDED_OVER, or the lease itself, which its owner changes by renewing it.
    """
    ours = {shard.shard_id for shard in look.shards}
    held = {shard: lease for shard, lease in look.leases.items() if lease.owner and lease.checkpoint != SHARD_END}
    signs: dict[str, LeaseState | str] = dict.fromkeys(without_owner(look), NO_OWNER)
    for shard in held.keys() & ours:
        signs[shard] = NOT_HANDED_OVER if held[shard].checkpoint_owner else held[shard]
    return signs


def unread_signs(look: StreamView) -> "dict[str, LeaseState | str]":
    """Return a sign for each shard that could be read now, for the rule that restarts a daemon (`stuck.py`).

    A shard could be read if it is not read to its end, and its parents are or have left the stream. The sign stays the
    same as long as nobody reads: NO_LEASE, NOT_HANDED_OVER, or the whole lease.
    """
    by_id = {shard.shard_id: shard for shard in look.shards}
    missing = {*without_owner(look)} - look.leases.keys()
    signs: dict[str, LeaseState | str] = dict.fromkeys(missing, NO_LEASE)
    for shard_id in by_id.keys() & look.leases.keys():
        lease = look.leases[shard_id]
        if lease.checkpoint == SHARD_END or any(_is_under_way(parent, look) for parent in by_id[shard_id].parents):
            continue
        signs[shard_id] = NOT_HANDED_OVER if lease.checkpoint_owner else lease
    return signs


def all_full(look: StreamView, worker: str, max_leases: int, unread_shards: Collection[str]) -> bool:
    """Return whether each worker holds `max_leases` leases: `worker` itself, and each owner of a lease that moves.

    The owner of nothing but unread shards may be dead, so it does not count. Leases of closed shards count, as the KCL
    counts them.
    """
    held = Counter(lease.owner for lease in look.leases.values())
    alive = {lease.owner for shard, lease in look.leases.items() if shard not in unread_shards} - {""}
    return all(held[owner] >= max_leases for owner in alive | {worker})


def _why(sign: "LeaseState | str") -> str:
    return sign if isinstance(sign, str) else STANDS_STILL


def without_owner(look: StreamView) -> list[str]:
    """Shards that are to be read now and have no owner, by one look."""
    by_id = {shard.shard_id: shard for shard in look.shards}
    children: dict[str, list[str]] = {}
    for shard in look.shards:
        for parent in shard.parents:
            children.setdefault(parent, []).append(shard.shard_id)
    # Children have higher numbers than their parents, so that what came of them is known first.
    begun: set[str] = set()
    for name in sorted(by_id, reverse=True):
        if name in look.leases or any(child in begun for child in children.get(name, [])):
            begun.add(name)
    waiting = _waiting(by_id, look)
    shard_ids = []
    for shard in look.shards:
        lease = look.leases.get(shard.shard_id)
        if lease is None:
            # Without a lease: read to its end and its lease removed, or not yet to be read, or forgotten.
            is_done = shard.closed and shard.shard_id in begun
            if not is_done and shard.shard_id not in waiting:
                shard_ids.append(shard.shard_id)
        elif not lease.owner and lease.checkpoint != SHARD_END:
            shard_ids.append(shard.shard_id)
    return shard_ids


def _waiting(by_id: Mapping[str, StreamShard], look: StreamView) -> set[str]:
    """Shards before which something is still read: their leases are made when their parents are at their ends."""
    waiting: set[str] = set()
    for name in sorted(by_id):  # parents have lower numbers, so each is known before its children
        parents = [parent for parent in by_id[name].parents if parent in by_id]
        if any(_is_under_way(parent, look) or (parent not in look.leases and parent in waiting) for parent in parents):
            waiting.add(name)
    return waiting


def _is_under_way(parent: str, look: StreamView) -> bool:
    """Return whether a parent is not read to its end yet. Its children are not read before that."""
    lease = look.leases.get(parent)
    return lease is not None and lease.checkpoint != SHARD_END


class StreamKnown(NamedTuple):
    """What is known of the stream; None where it could not be asked, or never yet."""

    unread: list[UnreadShard] | None = None
    retention_s: float | None = None
    """How long the stream keeps a record, by the last answer."""
    workers: int = 1
    """Owners of leases, by the last answer."""
    without_owner: Sequence[str] = ()
    """Shards that are to be read and had no owner at the last check, perhaps for a moment only."""


NOTHING = StreamKnown()


class StreamWatch:
    """`look` once asks the stream and the table; `known` says what was found. Any thread may ask.

    Where it may not ask, nothing is claimed, and it is said once, until it may again. A lease that did not move for
    `failover_s` is nobody's: its owner renews it three times in that. `now_s` is the wall clock.
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
        self._looked_at = self._retention_at = -RETENTION_EVERY_S
        self._since: dict[str, tuple[LeaseState | str, float]] | None = None
        """Of each shard how it looks, and since when; None where the latest look failed."""
        self._shards: list[StreamShard] = []
        self._shards_listed_s = -math.inf
        self._ended_by_lease: dict[str, bool] = {}
        """Whether each lease was at its shard's end when the shards were listed last."""
        self._is_said = False
        self._to_be_said = Seldom(time.monotonic)
        self._said: set[str] = set()
        self.latest: StreamView | None = None
        """The latest check, None if it failed."""
        self.services_answer = False
        """Whether stream and lease table answered the latest check. A refusal for lack of a right is an answer too."""
        self.known = NOTHING

    @property
    def interval_s(self) -> float:
        """Planned seconds between two checks: longer with many workers, since they share the lease table."""
        return max(EVERY_S, self.known.workers / LOOKS_A_SECOND)

    def look(self) -> None:
        """Ask both, and judge; with many workers not each time, since they share the table."""
        at_s, every_s = self._now_s(), self.known.workers / LOOKS_A_SECOND
        if every_s > EVERY_S and self._since and at_s - self._looked_at < every_s:
            return
        self._looked_at = at_s
        # A headroom that is gone whenever this cannot be asked would let its alarm go too.
        retention_s = self.known.retention_s
        if not retention_s or at_s - self._retention_at >= RETENTION_EVERY_S:
            self._retention_at = at_s
            retention_s = self._asked("its retention", self._retention_s) or retention_s
        self.latest = look = self._asked("which shards are read", self._look)
        if look is None:
            self._since = None
            self.known = StreamKnown(None, retention_s, self.known.workers)
            return
        workers = max(1, len({lease.owner for lease in look.leases.values()} - {""}))
        self.known = StreamKnown(self._unread(look), retention_s, workers, without_owner(look))
        self._log_unread(self.known.unread or [])

    def _unread(self, look: StreamView) -> list[UnreadShard] | None:
        """Return shards without owner at two checks in a row, their lease still long enough; None after one check."""
        before, self._since = self._since, {}
        unread_shards = []
        for shard, sign in _signs(look).items():
            kept = (before or {}).get(shard)
            if kept is None or kept[0] != sign:
                self._since[shard] = sign, look.at_s
                continue
            self._since[shard] = kept
            patience_s = {NO_OWNER: NO_OWNER_S, NOT_HANDED_OVER: HAND_OVER_S}.get(_why(sign), self._failover_s)
            if look.at_s - kept[1] >= patience_s:
                unread_shards.append(UnreadShard(shard, _why(sign), kept[1]))
        return None if before is None else sorted(unread_shards)

    def _log_unread(self, unread_shards: list[UnreadShard]) -> None:
        """Log, once a minute, the shards unread for longer than a worker with the same name takes to start."""
        lasting = [shard for shard in unread_shards if self._now_s() - shard.since_s >= LOGGED_AFTER_S]
        if lasting and (self._to_be_said() or not self._is_said):
            named = ", ".join(f"{shard.shard} ({shard.why})" for shard in lasting[:3])
            log.warning(
                "nobody reads %d of the stream's shards: %s%s. Their events wait. After a start this ends within two "
                "minutes; else a consumer restarts its daemon after three to four. If it lasts, start more consumers",
                len(lasting),
                named,
                " and more" if len(lasting) > 3 else "",
                extra={"event": "shards-unread", "stream": self._stream},
            )
        elif self._is_said and not lasting:
            log.info("all shards are read again", extra={"event": "shards-read-again", "stream": self._stream})
        self._is_said = bool(lasting)

    def _asked(self, question: str, ask: Callable[[], Any]) -> Any:
        """Return what `ask` returns; None if it failed, which is logged once."""
        try:
            answer = ask()
        except Exception as error:  # noqa: BLE001 - botocore's chain raises what it likes: it is not known now
            self.services_answer = code_of(error) in DENIED
            if question not in self._said:
                self._said.add(question)
                log.warning(
                    "the stream and its lease table cannot be asked for %s: %s; it is not known here until they can",
                    question,
                    code_of(error),
                    extra={"event": "stream-unasked", "stream": self._stream, "table": self._table},
                )
            return None
        self._said.discard(question)
        self.services_answer = True
        return answer

    def _retention_s(self) -> float:
        answer = self._kinesis.describe_stream_summary(StreamName=self._stream)
        return float(answer["StreamDescriptionSummary"]["RetentionPeriodHours"]) * 3600

    def _look(self) -> StreamView:
        """Read the leases, and list the shards once a minute and at once after a reshard.

        Of a shard that was made or closed since, the leases tell: its parent's is at its end, or one comes or goes.
        """
        at_s = self._now_s()
        if is_due := at_s - self._shards_listed_s >= SHARDS_INTERVAL_S:
            self._list_shards(at_s)
        leases = dict(self._leases())
        ended_by_lease = {shard: lease.checkpoint == SHARD_END for shard, lease in leases.items()}
        if not is_due and ended_by_lease != self._ended_by_lease:
            # The leases come after the shards: one of a shard that was made in between is not missed.
            self._list_shards(at_s)
            leases = dict(self._leases())
            ended_by_lease = {shard: lease.checkpoint == SHARD_END for shard, lease in leases.items()}
        self._ended_by_lease = ended_by_lease
        return StreamView(at_s, self._shards, leases)

    def _list_shards(self, at_s: float) -> None:
        self._shards_listed_s = -math.inf  # if the call fails, the next look asks again
        self._shards = [StreamShard.of(shard) for shard in shards_of(self._kinesis, self._stream)]
        self._shards_listed_s = at_s

    def _leases(self) -> Iterator[tuple[str, LeaseState]]:
        """Rows of shards. The KCL keeps other things in this table too; they have no `leaseCounter`, or no shard."""
        try:
            pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._table)
            for page in pages:
                for row in page["Items"]:
                    if "leaseKey" in row and "leaseCounter" in row:
                        yield text_of(row, "leaseKey"), LeaseState.of(row)
        except ClientError as error:
            # No table: nobody has ever read this stream under this name.
            if code_of(error) not in ABSENT:
                raise


def of(settings: Consumer, failover_s: float, answers: Answers) -> StreamWatch:
    """Return the watch of these settings, whose calls `answers` follows.

    Raises SettingsError if the environment cannot be used.
    """
    session = endpoints.session(settings.aws_region)
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    kinesis = answers.follow(endpoints.client(session, "kinesis", config), "Kinesis")
    dynamodb = answers.follow(endpoints.client(session, "dynamodb", config), "DynamoDB")
    return StreamWatch(kinesis, dynamodb, settings.stream, settings.application, failover_s)

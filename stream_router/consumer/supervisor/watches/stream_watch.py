"""Looks once a minute at the stream and its lease table: which shards nobody reads, and how long the stream keeps."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError

from stream_router.aws import endpoints
from stream_router.aws.clients import shards_of
from stream_router.consumer.supervisor.watches.unread_shards import (
    Lease,
    Look,
    StreamShard,
    UnreadShard,
    text_of,
    unread,
)
from stream_router.errors import ABSENT, code_of
from stream_router.settings.consumer import Consumer

log = logging.getLogger(__name__)

EVERY_S = 50.0
"""Two looks are needed, so that a shard shows within two minutes (docs/contract.md, "CloudWatch")."""


class StreamKnown(NamedTuple):
    """What is known of the stream; None where it could not be asked, or never yet."""

    unread: list[UnreadShard] | None = None
    retention_s: float | None = None
    """How long the stream keeps a record, as it was told last."""
    workers: int = 1
    """Owners of leases, as they were told last."""


NOTHING = StreamKnown()


class StreamWatch:
    """`look` once asks the stream and the table; `known` says what was found. Any thread may ask.

    Where it may not ask, nothing is claimed, and it is said once, until it may again. `now_s` is the wall clock.
    """

    def __init__(
        self, kinesis: Any, dynamodb: Any, stream: str, table: str, now_s: Callable[[], float] = time.time
    ) -> None:
        self._kinesis = kinesis
        self._dynamodb = dynamodb
        self._stream = stream
        self._table = table
        self._now_s = now_s
        self._before: Look | None = None
        self._first_seen: dict[tuple[str, str], float] = {}
        self._said: set[str] = set()
        self.known = NOTHING

    def look(self) -> None:
        """Ask both, and judge."""
        # It seldom changes. A headroom that is gone whenever this cannot be asked would let its alarm go too.
        retention_s = self._asked("its retention", self._retention_s) or self.known.retention_s
        look = self._asked("which shards are read", self._look)
        if look is None:
            self.known = StreamKnown(None, retention_s, self.known.workers)
            self._before = None
            return
        found = unread(look, self._before)
        workers = max(1, len({lease.owner for lease in look.leases.values()} - {""}))
        if self._before is None:
            self.known = StreamKnown(None, retention_s, workers)
        else:
            self.known = StreamKnown([self._since(one) for one in found], retention_s, workers)
            self._first_seen = {(one.shard, one.why): one.since_s for one in self.known.unread or ()}
        self._before = look

    def _since(self, one: UnreadShard) -> UnreadShard:
        return one._replace(since_s=self._first_seen.get((one.shard, one.why), one.since_s))

    def _asked(self, what: str, ask: Callable[[], Any]) -> Any:
        """What `ask` returns; None where it failed, which is said once."""
        try:
            found = ask()
        except Exception as error:  # noqa: BLE001 - botocore's chain raises what it likes; what was known is not known now
            if what not in self._said:
                self._said.add(what)
                log.warning(
                    "the stream and its lease table cannot be asked for %s: %s; it is not known here until they can",
                    *(what, code_of(error)),
                    extra={"event": "stream-unasked", "stream": self._stream, "table": self._table},
                )
            return None
        self._said.discard(what)
        return found

    def _retention_s(self) -> float:
        told = self._kinesis.describe_stream_summary(StreamName=self._stream)
        return float(told["StreamDescriptionSummary"]["RetentionPeriodHours"]) * 3600

    def _look(self) -> Look:
        # In this order: a shard that was made meanwhile is not missed in the table.
        at_s, shards = self._now_s(), list(self._shards())
        return Look(at_s, shards, dict(self._leases()))

    def _shards(self) -> Iterator[StreamShard]:
        return map(StreamShard.of, shards_of(self._kinesis, self._stream))

    def _leases(self) -> Iterator[tuple[str, Lease]]:
        """Rows of shards. The KCL keeps other things in this table too; they have no `leaseCounter`, or no shard."""
        try:
            pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._table)
            for page in pages:
                for row in page["Items"]:
                    if "leaseKey" in row and "leaseCounter" in row:
                        yield text_of(row, "leaseKey"), Lease.of(row)
        except ClientError as error:
            # No table: nobody has ever read this stream under this name.
            if code_of(error) not in ABSENT:
                raise


def of(settings: Consumer) -> StreamWatch:
    """The watch of these settings. Raises SettingsError where the environment cannot be used."""
    session = endpoints.session(settings.aws_region)
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    kinesis, dynamodb = (endpoints.client(session, service, config) for service in ("kinesis", "dynamodb"))
    return StreamWatch(kinesis, dynamodb, settings.stream, settings.application)

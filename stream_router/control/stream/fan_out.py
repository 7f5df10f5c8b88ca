"""Reads shards by enhanced fan-out: 2 MB/s a shard of its own, at a price; nothing is taken from the consumer."""

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from botocore.eventstream import ParserError
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, EventStreamError
from urllib3.exceptions import HTTPError

from stream_router.control.stream.batches import Batch, Means, Patience, opened
from stream_router.control.stream.shards import Shard, UnreadableError
from stream_router.errors import code_of

FAN_OUT_BYTES_PER_S = 2_000_000
"""Of each shard, for this reader alone (Kinesis developer guide, "Enhanced fan-out consumers")."""

SHARD_HOUR_USD, GB_USD = 0.015, 0.013
"""What it costs in us-east-1 on a provisioned stream (docs/facts.md, "Kinesis and SQS")."""

ACTIVE_WITHIN_S = 60.0
_ASK_EVERY_S = 1.0
_AGAIN_AFTER_S = 5.0
"""A new subscription of the same consumer to the same shard is refused for so long (model `kinesis`)."""


class FanOut:
    """A source of batches, and a consumer of the stream that is registered and taken away again: use it with `with`."""

    def __init__(self, means: Means, arn: str, name: str) -> None:
        self._means = means
        self._kinesis = means.kinesis
        self._arn = arn
        self._name = name
        self._consumer = ""
        self.left = ""
        """What an operator is to be told of a consumer that is registered still."""

    def __enter__(self) -> Self:
        """Register the consumer and wait until it is active. Raises UnreadableError."""
        try:
            answer = self._kinesis.register_stream_consumer(StreamARN=self._arn, ConsumerName=self._name)
            self._consumer = answer["Consumer"]["ConsumerARN"]
            self._until_active()
        except (BotoCoreError, ClientError) as error:
            self.__exit__(None, None, None)
            raise UnreadableError(
                f"no fan-out consumer can be registered on stream {self._means.stream} ({error}); leave --fan-out out"
            ) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._consumer:
            try:
                self._kinesis.deregister_stream_consumer(ConsumerARN=self._consumer)
            except self._kinesis.exceptions.ResourceNotFoundException:
                pass
            except (BotoCoreError, ClientError) as refusal:  # what was read is read: it is no error of the reading
                self.left = (
                    f"the fan-out consumer {self._consumer} could not be taken away ({refusal}): it costs money until "
                    f"it is; run `aws kinesis deregister-stream-consumer --consumer-arn {self._consumer}`"
                )
            self._consumer = ""

    def _until_active(self) -> None:
        clock, wait = self._means.clock, self._means.wait
        until = clock() + ACTIVE_WITHIN_S
        while True:
            described = self._kinesis.describe_stream_consumer(ConsumerARN=self._consumer)
            if described["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE":
                return
            stopped = wait(_ASK_EVERY_S)
            if stopped or clock() > until:
                self.__exit__(None, None, None)
                late = f"the fan-out consumer on stream {self._means.stream} did not become active in time"
                raise UnreadableError("the reading was broken off before it began" if stopped else late)

    def batches(self, shard: Shard, from_ms: int) -> Iterator[Batch]:
        """The records of a shard that arrived at `from_ms` or later. Raises UnreadableError."""
        patience, clock = Patience(self._means), self._means.clock
        start: dict[str, Any] = {"Type": "AT_TIMESTAMP", "Timestamp": datetime.fromtimestamp(from_ms / 1000, UTC)}
        pause_s = 0.0
        while not self._means.wait(pause_s):
            begun = clock()
            try:
                for batch, reached in self._subscribed(shard, start):
                    patience.well()
                    start = {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": reached} if reached else start
                    yield batch
                    if batch.ended:
                        return
            except EventStreamError as error:
                pause_s = patience.wait_s(error)
            except (BotoCoreError, ClientError) as error:
                passing = code_of(error) == "ResourceInUseException"
                pause_s = _AGAIN_AFTER_S if passing else patience.wait_s(error)
            else:
                pause_s = max(0.0, begun + _AGAIN_AFTER_S - clock())

    def _subscribed(self, shard: Shard, start: Any) -> Iterator[tuple[Batch, str]]:
        """One subscription, which lasts at most 5 minutes: each batch, and up to which sequence number it goes."""
        answer = self._kinesis.subscribe_to_shard(
            ConsumerARN=self._consumer, ShardId=shard.shard_id, StartingPosition=start
        )
        with contextlib.closing(answer["EventStream"]) as events:
            for event in self._heard(events):
                one = event.get("SubscribeToShardEvent")
                if one is None:
                    continue
                records, size_bytes = opened(one["Records"])
                reached = one.get("ContinuationSequenceNumber", "")
                yield Batch(records, size_bytes, one.get("MillisBehindLatest", 0), not reached), reached

    def _heard(self, events: Iterable[Any]) -> Iterator[Any]:
        """The events of a subscription. botocore wraps no error of a connection that breaks, or is silent, midway."""
        try:
            yield from events
        except (HTTPError, OSError, ParserError) as error:
            raise ConnectionClosedError(endpoint_url=self._arn, error=error) from None

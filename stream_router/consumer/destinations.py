"""Destinations of a child's calls: the bus, the dead-letter queue, the bucket.

Classic and v2 buses differ in the format of calls and answers (`publisher`). Each other kind of destination has a
module in `pipeline/sinks`. `Targets` resolves the endpoints, and `Destinations` builds the senders.
"""

import functools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from stream_router import limits
from stream_router.aws import endpoints
from stream_router.aws.credentials import CredentialSource, patiently
from stream_router.aws.endpoints import CallEndpoint
from stream_router.aws.signed_calls import Transport
from stream_router.aws_answers import Answer, of_put_events, of_put_events_v2
from stream_router.model import Entry, Event
from stream_router.pipeline.delivery.blame import RetryPolicy
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetterQueue, SendMessageCalls
from stream_router.pipeline.sinks.eventbridge import wire_format
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits, Publisher, PutEventsCalls
from stream_router.settings.consumer import Consumer

CALL_TIMEOUT_S = 5.0
"""Seconds after which a PutEvents or SendMessageBatch call is indeterminate, and its entries are resent."""

UPLOAD_TIMEOUT_S = 30.0
"""Seconds after which an upload to S3 is indeterminate."""
MAX_IN_FLIGHT = 128
"""Maximum number of PutEvents calls of one child in flight. The dispatcher adapts the number in use below it.

At 40 ms a call it exceeds the need of a full shard: 1,000 records per second, in calls of ten entries.
"""
BYTES_IN_FLIGHT = 16 * 1024 * 1024
"""Maximum size of these calls in bytes, a bound for the child's memory."""

OTHER_CONNECTIONS = 64
"""Number of connections kept besides one for each PutEvents call: for letters, uploads, metrics.

libcurl closes connections above its limit, and then a call has to begin with a handshake.
"""

Done = Callable[[Answer], None]

chance = random.Random().random  # noqa: S311 - jitter


class Targets:
    """Endpoints of the calls (`aws/endpoints.py`). Raises SettingsError if the environment cannot be used.

    They are resolved by a session of their own, which is then released, since botocore keeps 12 MB of the data that it
    reads for this. A process that resolves them before its other imports can use this memory for those imports.
    """

    def __init__(self, settings: Consumer) -> None:
        session = endpoints.session(settings.aws_region)
        bus = settings.event_bus
        self.publish = (
            endpoints.v2_target(session, bus, "PutEvents")
            if limits.is_v2_bus(bus)
            else endpoints.target(session, "events", "PutEvents")
        )
        self.letters = endpoints.target(session, "sqs", "SendMessageBatch")
        self.uploads = endpoints.put_object(session, settings.offload_bucket) if settings.offload_bucket else None


class Destinations:
    """Senders of one child. Raises CredentialsError if there are no credentials for half a minute.

    An answer may have at most `max_answer_bytes`.
    """

    def __init__(self, settings: Consumer, max_answer_bytes: int, targets: Targets) -> None:
        self.settings = settings
        self.session = endpoints.session(settings.aws_region)
        credentials = patiently(lambda: CredentialSource(self.session))
        self.transport = Transport(
            credentials,
            settings.aws_region,
            endpoints.ca_bundle(self.session),
            MAX_IN_FLIGHT + OTHER_CONNECTIONS,
            max_answer_bytes,
        )
        self.transport.credentials_refused = credentials.refused
        self.targets = targets
        self._reads: dict[str, CallEndpoint] = {}

    def ask(self, operation: str, parameters: dict[str, Any], done: Done) -> None:
        """Start one call that reads the stream, or a row of the lease table."""
        if operation not in self._reads:  # resolved only when needed, since most children never read by themselves
            service = "dynamodb" if operation == "GetItem" else "kinesis"
            self._reads[operation] = endpoints.target(self.session, service, operation)
        self.transport.start(self._reads[operation], orjson.dumps(parameters), CALL_TIMEOUT_S, done)

    def pump(self, wait_s: float, others: Sequence[int]) -> Sequence[int]:
        """Do what `Transport.pump` does."""
        return self.transport.pump(wait_s, others)

    def publisher(self, token_of: Callable[[Event], str], max_rate: float, *, outage_gives_up: bool) -> Publisher:
        """Return the publisher to the bus of the settings, for at most `max_rate` events a second (0.0: no limit).

        `token_of` returns the id by which a v2 bus recognizes a copy of an event.
        """
        settings, bus = self.settings, self.settings.event_bus
        ordered = settings.ordering == "conversation"
        write: Callable[[Sequence[Entry]], bytes] = functools.partial(wire_format.put_events, bus)
        read = of_put_events
        if limits.is_v2_bus(bus):
            write, read = wire_format.V2Encoder(bus, token_of, grouped=ordered).put_events, of_put_events_v2

        def send(entries: Sequence[Entry], done: Done) -> None:
            self.transport.start(self.targets.publish, write(entries), CALL_TIMEOUT_S, done)

        call_limits = CallLimits(settings.entries_per_call, settings.bytes_per_call)
        calls = PutEventsCalls(send, read, call_limits, f"the event bus {bus.rsplit('/', 1)[-1]}", ordered=ordered)
        policy = RetryPolicy(MAX_IN_FLIGHT, BYTES_IN_FLIGHT, settings.max_retries, outage_gives_up, max_rate)
        return Publisher(calls, policy, time.monotonic, chance)

    def dead_letters(self, queue_url: str, writer: LetterWriter) -> DeadLetterQueue:
        """Return the sender to the dead-letter queue. It sends letters in the form of `writer` until each is stored."""

        def send(body: bytes, done: Done) -> None:
            self.transport.start(self.targets.letters, body, CALL_TIMEOUT_S, done)

        return DeadLetterQueue(SendMessageCalls(send, queue_url), writer, time.monotonic, chance)

    def claim_check(self) -> ClaimCheck | None:
        """Return the claim check for the bucket of the settings; None if they name no bucket."""
        bucket, target = self.settings.offload_bucket, self.targets.uploads
        if not bucket or target is None:
            return None

        def send(key: str, data: bytes, done: Done) -> None:
            self.transport.start(target, data, UPLOAD_TIMEOUT_S, done, path=key)

        return ClaimCheck(send, bucket, time.monotonic, chance)

"""Where a shard's child sends events to: the bus, the dead-letter queue, the bucket.

Another bus writes and reads its calls otherwise (`publisher`). A destination that is no bus has a module of its own in
`pipeline/sinks`; here `Targets` finds where its calls go, and `Destinations` makes it.
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
"""A PutEvents or SendMessageBatch call that takes longer is indeterminate and is sent again."""

UPLOAD_TIMEOUT_S = 30.0
MAX_IN_FLIGHT = 128
"""PutEvents calls of one child at once, at most: the number in use finds itself below it. At 40 ms a call these are
more than a full shard's 1,000 records a second need, in calls of ten entries."""
BYTES_IN_FLIGHT = 16 * 1024 * 1024

OTHER_CONNECTIONS = 64
"""Connections kept beside one for each PutEvents call: for letters, uploads, metrics. libcurl closes what is beyond,
and then calls begin with a handshake."""

Done = Callable[[Answer], None]

chance = random.Random().random  # noqa: S311 - jitter


class Targets:
    """Where the calls go (`aws/endpoints.py`). Raises SettingsError where the environment cannot be used.

    They are found by a session of their own, which is let go: botocore keeps 12 MB of what it reads to find them. A
    process that finds them before it imports the rest has that memory again for what it imports.
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
    """One child's calls. Raises CredentialsError where no credentials come for half a minute.

    An answer may have `max_answer_bytes`.
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
        if operation not in self._reads:  # found only where it is needed: a child asks once in its life, if at all
            service = "dynamodb" if operation == "GetItem" else "kinesis"
            self._reads[operation] = endpoints.target(self.session, service, operation)
        self.transport.start(self._reads[operation], orjson.dumps(parameters), CALL_TIMEOUT_S, done)

    def publisher(self, token_of: Callable[[Event], str], max_rate: float, *, outage_gives_up: bool) -> Publisher:
        """Return the publisher to the bus of the settings, at most `max_rate` events a second (0.0: no bound).

        A v2 bus recognises a copy by `token_of` the event.
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
        """Return the dead-letter queue, which sends letters as `writer` writes them and sees each stored."""

        def send(body: bytes, done: Done) -> None:
            self.transport.start(self.targets.letters, body, CALL_TIMEOUT_S, done)

        return DeadLetterQueue(SendMessageCalls(send, queue_url), writer, time.monotonic, chance)

    def claim_check(self) -> ClaimCheck | None:
        """Return the claim check with the bucket of the settings; None if they name none."""
        bucket, target = self.settings.offload_bucket, self.targets.uploads
        if not bucket or target is None:
            return None

        def send(key: str, data: bytes, done: Done) -> None:
            self.transport.start(target, data, UPLOAD_TIMEOUT_S, done, path=key)

        return ClaimCheck(send, bucket, time.monotonic, chance)

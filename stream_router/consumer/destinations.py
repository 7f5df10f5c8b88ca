"""Destinations of a child's calls: the event bus, the dead-letter queue, the bucket.

`DestinationEndpoints` resolves the endpoints, and `Destinations` builds the senders, whose logic is in
`pipeline/sinks`. Classic and v2 event buses use different formats of calls and answers (`build_publisher`).
"""

import functools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from stream_router import limits
from stream_router.aws import endpoints
from stream_router.aws.credentials import CredentialSource, retry_until_found
from stream_router.aws.endpoints import CallEndpoint
from stream_router.aws.signed_calls import Transport
from stream_router.aws_answers import Answer, read_put_events, read_put_events_v2
from stream_router.model import Entry, Event
from stream_router.pipeline.delivery.blame import RetryPolicy
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetterQueue, SendMessageCalls
from stream_router.pipeline.sinks.eventbridge import wire_format
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits, Publisher, PutEventsCalls
from stream_router.settings.consumer import Consumer

CALL_TIMEOUT_S = 5.0
"""Seconds to wait for the answer to a PutEvents or SendMessageBatch call. Without one, its entries are sent again."""

UPLOAD_TIMEOUT_S = 30.0
"""Seconds to wait for the answer to an upload to S3. Without one, the upload is sent again."""
MAX_IN_FLIGHT = 128
"""Maximum number of PutEvents calls of one child in flight. The dispatcher adapts the number in use up to this limit.

A full shard needs fewer: 1,000 records per second in calls of ten entries, at 40 ms a call.
"""
MAX_BYTES_IN_FLIGHT = 16 * 1024 * 1024
"""Maximum total size of the PutEvents calls in flight, in bytes. It bounds the child's memory."""

OTHER_CONNECTIONS = 64
"""Number of connections kept open for dead letters, uploads and reads, besides one for each PutEvents call.

libcurl closes connections above its limit. A later call would then have to begin with a TLS handshake.
"""

OnAnswer = Callable[[Answer], None]

random_fraction = random.Random().random  # noqa: S311 - jitter


class DestinationEndpoints:
    """Endpoints of bus, queue and bucket (`aws/endpoints.py`). Raises SettingsError if the environment cannot be used.

    `bucket` is None if the settings name no bucket. A botocore session that nothing else uses resolves the endpoints.
    It is then released, since it keeps 12 MB of data that nothing needs later. A process that creates this object
    before its other imports can use that memory for those imports.
    """

    def __init__(self, settings: Consumer) -> None:
        session = endpoints.create_session(settings.aws_region)
        if limits.is_v2_bus(settings.event_bus):
            self.bus = endpoints.find_v2_endpoint(session, settings.event_bus, "PutEvents")
        else:
            self.bus = endpoints.find_endpoint(session, "events", "PutEvents")
        self.dead_letter_queue = endpoints.find_endpoint(session, "sqs", "SendMessageBatch")
        self.bucket = (
            endpoints.find_put_object_endpoint(session, settings.offload_bucket) if settings.offload_bucket else None
        )


class Destinations:
    """Senders of one child, which share one transport. Raises CredentialsError if credentials are missing for 30 s.

    An answer larger than `max_answer_bytes` counts as no answer. `resolved` are the endpoints of the calls.
    """

    def __init__(self, settings: Consumer, max_answer_bytes: int, resolved: DestinationEndpoints) -> None:
        self.settings = settings
        self.session = endpoints.create_session(settings.aws_region)
        credentials = retry_until_found(lambda: CredentialSource(self.session))
        self.transport = Transport(
            credentials,
            settings.aws_region,
            endpoints.find_ca_bundle(self.session),
            MAX_IN_FLIGHT + OTHER_CONNECTIONS,
            max_answer_bytes,
        )
        self.transport.on_credentials_refused = credentials.mark_refused
        self.endpoints = resolved
        self._read_endpoints: dict[str, CallEndpoint] = {}

    def start_read(self, operation: str, parameters: dict[str, Any], on_answer: OnAnswer) -> None:
        """Start one call that reads the stream (Kinesis), or a row of the lease table (GetItem).

        `on_answer` is called with the answer, later, by `pump`.
        """
        if operation not in self._read_endpoints:  # only when needed, since most children never read by themselves
            service = "dynamodb" if operation == "GetItem" else "kinesis"
            self._read_endpoints[operation] = endpoints.find_endpoint(self.session, service, operation)
        self.transport.start(self._read_endpoints[operation], orjson.dumps(parameters), CALL_TIMEOUT_S, on_answer)

    def pump(self, wait_s: float, other_fds: Sequence[int]) -> Sequence[int]:
        """Let calls progress, and wait for an answer or for input on another file descriptor (`Transport.pump`).

        The wait takes `wait_s` seconds at most. Return those of the file descriptors `other_fds` that can be read.
        """
        return self.transport.pump(wait_s, other_fds)

    def build_publisher(
        self, deduplication_id_of: Callable[[Event], str], max_rate: float, *, outage_gives_up: bool
    ) -> Publisher:
        """Return the publisher to the settings' event bus, for at most `max_rate` events a second (0.0: no limit).

        `deduplication_id_of` returns the id by which a v2 bus recognizes a copy of an event. If `outage_gives_up` is
        true, events become dead letters in an outage of the bus; otherwise the shard holds.
        """
        settings, bus = self.settings, self.settings.event_bus
        ordered = settings.ordering == "conversation"
        encode: Callable[[Sequence[Entry]], bytes] = functools.partial(wire_format.put_events, bus)
        parse_answer = read_put_events
        if limits.is_v2_bus(bus):
            encode = wire_format.V2Encoder(bus, deduplication_id_of, grouped=ordered).put_events
            parse_answer = read_put_events_v2

        def send(entries: Sequence[Entry], on_answer: OnAnswer) -> None:
            self.transport.start(self.endpoints.bus, encode(entries), CALL_TIMEOUT_S, on_answer)

        call_limits = CallLimits(settings.entries_per_call, settings.bytes_per_call)
        bus_name = f"the event bus {bus.rsplit('/', 1)[-1]}"
        calls = PutEventsCalls(send, parse_answer, call_limits, bus_name, ordered=ordered)
        policy = RetryPolicy(MAX_IN_FLIGHT, MAX_BYTES_IN_FLIGHT, settings.max_retries, outage_gives_up, max_rate)
        return Publisher(calls, policy, time.monotonic, random_fraction)

    def build_dead_letter_queue(self, queue_url: str, writer: LetterWriter) -> DeadLetterQueue:
        """Return the sender to the dead-letter queue. It writes letters by `writer`, and retries until SQS has them."""

        def send(body: bytes, on_answer: OnAnswer) -> None:
            self.transport.start(self.endpoints.dead_letter_queue, body, CALL_TIMEOUT_S, on_answer)

        return DeadLetterQueue(SendMessageCalls(send, queue_url), writer, time.monotonic, random_fraction)

    def build_claim_check(self) -> ClaimCheck | None:
        """Return the sender that stores large payloads in the settings' bucket; None if they name no bucket."""
        bucket, endpoint = self.settings.offload_bucket, self.endpoints.bucket
        if not bucket or endpoint is None:
            return None

        def send(key: str, data: bytes, on_answer: OnAnswer) -> None:
            self.transport.start(endpoint, data, UPLOAD_TIMEOUT_S, on_answer, path=key)

        return ClaimCheck(send, bucket, time.monotonic, random_fraction)

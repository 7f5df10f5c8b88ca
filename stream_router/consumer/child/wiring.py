"""Puts one shard's pipeline together: the pure core on one side, the signed calls on the other."""

import functools
import time

from stream_router.consumer.child.deadly_event import with_deadly_event
from stream_router.consumer.child.telling.shard_telemetry import ShardTelemetry
from stream_router.consumer.destinations import Destinations
from stream_router.consumer.targets import Targets
from stream_router.model import Entry
from stream_router.pipeline.dead_letter_limit import DeadLetterLimit
from stream_router.pipeline.delivery.health import Health
from stream_router.pipeline.delivery.retry_budget import Memory
from stream_router.pipeline.route import Router
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.pipeline.sinks.eventbridge import wire_format
from stream_router.pipeline.transform import Transform
from stream_router.process import now_ms
from stream_router.settings.consumer import Consumer

READ_BYTES = 16 * 1024 * 1024
"""Larger than an answer of GetRecords with one record: at most 10 MiB (UpdateMaxRecordSize), as base64."""


class Wiring(Destinations):
    """One child's calls to AWS. Raises CredentialsError where none are to be had for half a minute."""

    def __init__(self, settings: Consumer, targets: Targets | None = None) -> None:
        super().__init__(settings, READ_BYTES, targets)

    def router(
        self,
        shard_id: str,
        transform: Transform,
        telemetry: ShardTelemetry,
        health: Health,
        memory: Memory[Entry],
    ) -> Router:
        """The pipeline of one shard."""
        settings, clock = self.settings, time.monotonic
        ordered = settings.ordering == "conversation"
        masks = transform.policy is not None and transform.policy.mask_dead_letters
        masking = transform.masking if masks else ""
        writer = LetterWriter(settings.stream, shard_id, now_ms, ordered=ordered, masking=masking)
        token_of = functools.partial(wire_format.deduplication_id, shard_id)
        outage_gives_up = settings.on_outage == "dead-letter"
        return Router(
            with_deadly_event(transform),
            transform.dead_letter_raw,
            self.publisher(token_of, settings.max_shard_rate or 0.0, health, memory, outage_gives_up=outage_gives_up),
            self.dead_letters(settings.sqs_dlq_url, writer),
            self.claim_check(),
            telemetry,
            DeadLetterLimit(settings.dead_letter_share, clock),
        )

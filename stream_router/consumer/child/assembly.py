"""One child's parts, put together."""

import logging
import tempfile
import time
from pathlib import Path

from stream_router.consumer.bus_proof import BusProof
from stream_router.consumer.child.checkpoints import Checkpoints
from stream_router.consumer.child.crash_guard import CrashGuard
from stream_router.consumer.child.failpoint import failing_at
from stream_router.consumer.child.shard import Books, Heartbeat, ShardProcessor
from stream_router.consumer.child.shard_telemetry import ChildBooks
from stream_router.consumer.child.waiter import Waiter
from stream_router.consumer.child.wiring import Wiring
from stream_router.consumer.transform_config import transform_config
from stream_router.pipeline.route import Router
from stream_router.pipeline.transform import Transform
from stream_router.settings.consumer import Consumer

log = logging.getLogger(__name__)


def build(settings: Consumer, heartbeat: Heartbeat) -> ShardProcessor:
    """The record processor, ready for `initialize`. Raises SettingsError where settings or credentials are missing."""
    wiring = Wiring(settings)
    transform = Transform(transform_config(settings), lambda: time.time() * 1000)
    log.log(logging.INFO if transform.policy else logging.WARNING, "masking: %s", transform.masking)
    proof = BusProof(settings.state_dir, wiring.ask_for_bus)
    lives = (settings.state_dir or Path(tempfile.mkdtemp(prefix="stream-router-shard-"))) / "shards"

    def make_router(shard_id: str) -> tuple[Router, Books]:
        books = ChildBooks(shard_id, settings, transform, wiring.transport, wiring.session)
        route = failing_at(settings.failpoint, transform) if settings.failpoint else transform
        return wiring.router(shard_id, transform, route, books), books

    return ShardProcessor(
        make_router,
        Waiter(wiring.transport),
        lambda moved: Checkpoints(proof, settings.checkpoint_s, time.monotonic, moved),
        lambda shard_id, start: CrashGuard(lives, shard_id, start),
        heartbeat,
    )

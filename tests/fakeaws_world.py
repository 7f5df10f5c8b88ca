"""The real programs with their stream and leases in ministack, and bus, queues and CloudWatch in the fake AWS.

The KCL needs an emulator that speaks HTTP/2; what goes wrong, and the ledger, are the fake AWS's.
"""

from collections.abc import Callable
from typing import Any

import boto3

from stream_router.local.stack import seed_leases
from tests.fakeaws.process import FakeAwsProcess
from tests.system.world import PROGRAM, World, until


def started(make_world: Callable[..., World], bus: FakeAwsProcess, **settings: str) -> World:
    """Receiver and consumer, ready."""
    endpoints = {f"AWS_ENDPOINT_URL_{name}": bus.url for name in ("EVENTBRIDGE", "SQS", "CLOUDWATCH")}
    world = make_world(**endpoints, SQS_DLQ_URL=f"{bus.url}/123456789012/dead-letters", **settings)
    world.start_stack()
    world.kinesis.create_stream(StreamName="cxone-events", ShardCount=2)
    seed_leases(world.kinesis, table(world), "cxone-events", "cxone-event-router")
    world.consumer = world.start("consume", PROGRAM, "consume")
    world.receiver = world.start("receive", PROGRAM, "receive")
    until(world.is_ready, 30, "the receiver is ready")
    until(lambda: len(world.children()) >= 2, 90, "two children run")
    return world


def table(world: World) -> Any:
    """A client of the lease table."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    return session.client("dynamodb", endpoint_url=f"http://127.0.0.1:{world.port}")

"""A question to the event bus whether it exists, for the commands that publish again."""

from collections.abc import Callable

from botocore.config import Config

from stream_router import limits
from stream_router.aws import credentials, endpoints
from stream_router.errors import bus_made_s
from stream_router.settings.consumer import Consumer

TRUSTED = (
    "the event bus is not asked whether it exists (STREAM_ROUTER_BUS_PROOF=trust): if it is deleted, it goes on "
    "answering success, and what is sent to it meanwhile is lost, with the checkpoint past it"
)


def describer(settings: Consumer) -> Callable[[], float]:
    """A question to the bus, which raises unless it exists: DescribeEventBus of a classic or of a v2 bus.

    It returns when the bus was made (epoch seconds), 0.0 where the answer does not tell. One attempt, at most 8 s.
    A bus that is trusted (`STREAM_ROUTER_BUS_PROOF=trust`) is not asked: each proof is as fresh as if it had answered.
    Raises SettingsError where there are no credentials or the environment cannot be used.
    """
    session = endpoints.session(settings.aws_region)
    credentials.find(session)
    if settings.bus_proof == "trust":
        return lambda: 0.0
    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    bus = settings.event_bus
    if limits.is_v2_bus(bus):
        v2 = endpoints.client(session, "eventbridgev2", config)
        return lambda: bus_made_s(v2.describe_event_bus(EventBusArn=bus))
    classic = endpoints.client(session, "events", config)
    return lambda: bus_made_s(classic.describe_event_bus(Name=bus))

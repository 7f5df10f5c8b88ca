"""Where each call of the consumer goes: its targets (`aws/endpoints.py`)."""

from stream_router import limits
from stream_router.aws import endpoints
from stream_router.settings.consumer import Consumer
from stream_router.telemetry.cloudwatch import put_metric_data


class Targets:
    """The targets of the consumer's calls. Raises SettingsError where the environment cannot be used.

    They are found by a session of their own, which is let go: botocore keeps 12 MB of what it reads to find them. A
    process that finds them before it imports the rest has that memory again for what it imports.
    """

    def __init__(self, settings: Consumer) -> None:
        session, bus = endpoints.session(settings.aws_region), settings.event_bus
        self.describe = endpoints.describe_event_bus(session, bus)
        is_v2 = limits.is_v2_bus(bus)
        self.publish = endpoints.put_events_v2(session, bus) if is_v2 else endpoints.put_events(session)
        self.letters = endpoints.send_message_batch(session)
        self.uploads = endpoints.put_object(session, settings.offload_bucket) if settings.offload_bucket else None
        self.metrics = put_metric_data(session)

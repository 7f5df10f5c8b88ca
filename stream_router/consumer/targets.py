"""Where each call of the consumer goes: its targets (`aws/endpoints.py`)."""

from stream_router import limits
from stream_router.aws import endpoints
from stream_router.aws.endpoints import Target
from stream_router.settings.consumer import Consumer


class Targets:
    """The targets of the consumer's calls. Raises SettingsError where the environment cannot be used.

    They are found by a session of their own, which is let go: botocore keeps 12 MB of what it reads to find them. A
    process that finds them before it imports the rest has that memory again for what it imports.
    """

    def __init__(self, settings: Consumer) -> None:
        session, bus = endpoints.session(settings.aws_region), settings.event_bus

        def of_bus(operation: str) -> Target:
            if limits.is_v2_bus(bus):
                return endpoints.v2_target(session, bus, operation)
            return endpoints.target(session, "events", operation)

        self.publish = of_bus("PutEvents")
        self.letters = endpoints.target(session, "sqs", "SendMessageBatch")
        self.uploads = endpoints.put_object(session, settings.offload_bucket) if settings.offload_bucket else None

"""What `stream-router dlq` reads: what the consumer reads, and where EventBridge's own dead letters go."""

from pydantic import Field

from stream_router.settings.consumer import Consumer


class DeadLetters(Consumer):
    """What `dlq` needs."""

    target_dlq_arn: str | None = Field(None, pattern=r"^arn:\S+$", description="the ARN of an SQS queue")

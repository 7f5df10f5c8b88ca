"""What `stream-router setup` reads."""

from typing import Self

from pydantic import Field, model_validator

from stream_router.settings.common import NO_RULE, Common
from stream_router.settings.types import QueueUrl


class Setup(Common):
    """What `setup` needs."""

    sqs_dlq_url: QueueUrl | None = Field(
        None, validation_alias="SQS_DLQ_URL", description="the dead-letter queue's URL"
    )
    target_arn: str | None = Field(
        None,
        validation_alias="EVENTBRIDGE_TARGET_ARN",
        pattern=r"^arn:\S+$",
        description="the ARN of the rule's target",
    )
    target_dlq_arn: str | None = Field(None, pattern=r"^arn:\S+$", description="the ARN of an SQS queue")
    target_role_arn: str | None = Field(
        None, pattern=r"^arn:\S+$", description="the ARN of the role with which EventBridge reaches the target"
    )
    shards: int = Field(2, ge=1, le=10_000, description="shards of a new stream, 1 to 10000")

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if self.rule == NO_RULE:
            raise ValueError(
                "STREAM_ROUTER_RULE: is none, so there is no rule for `setup` to make; name it, or run no `setup`"
            )
        return self

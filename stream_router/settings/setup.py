"""What `stream-router setup` reads."""

from typing import Self

from pydantic import Field, model_validator

from stream_router.settings import types
from stream_router.settings.common import NO_RULE, Common, Environment
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import QueueUrl, Tags


class Queue(Environment):
    """The dead-letter queue where it is known, and the key under which `setup` puts all that it makes."""

    sqs_dlq_url: QueueUrl | None = Field(
        None, validation_alias="SQS_DLQ_URL", description="the dead-letter queue's URL"
    )
    kms_key: str | None = Field(
        None,
        pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]{1,128}$",
        description="the ARN of a KMS key: arn:aws:kms:REGION:ACCOUNT:key/ID",
    )


class Setup(Common, Queue):
    """What `setup` needs."""

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
    buckets: int = Field(
        Receiver.model_fields["buckets"].default, ge=1, le=4096, description="ordering buckets, 1 to 4096"
    )
    shards: int = Field(2, ge=1, le=10_000, description="shards of a new stream, 1 to 10000")
    tags: Tags = Field("", description="key=value,…, as AWS takes tags")

    @property
    def tag_map(self) -> dict[str, str]:
        """The operator's tags."""
        return types.tags(self.tags)

    def refusal(self) -> str:
        """A key of another region: neither stream nor queue could use it."""
        if self.kms_key and self.kms_key.split(":")[3] != self.aws_region:
            return "STREAM_ROUTER_KMS_KEY: the key is not in AWS_REGION; name one of this region"
        return super().refusal()

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if self.rule == NO_RULE:
            raise ValueError(
                "STREAM_ROUTER_RULE: is none, so there is no rule for `setup` to make; name it, or run no `setup`"
            )
        return self

"""What the operators' commands read besides: `setup`, `dlq`, `mask`, `audit`, `top`, `cxone`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, ValidationInfo, field_validator

from stream_router.settings import types
from stream_router.settings.common import NO_RULE, Common, Settings, as_in
from stream_router.settings.consumer import Consumer
from stream_router.settings.receiver import SAME_QUEUE, Receiver
from stream_router.settings.types import (
    Arn,
    DropTypes,
    EventTypes,
    File,
    Folder,
    HostPort,
    KmsKey,
    Paths,
    PemFile,
    QueueUrl,
    Secret,
    Tags,
    UrlForCredentials,
)


class QueueSettings(Settings):
    """The dead-letter queue where it is known, and the key under which `setup` puts all that it makes."""

    sqs_dlq_url: QueueUrl | None = Field(None, validation_alias="SQS_DLQ_URL")
    kms_key: KmsKey | None = None


class Setup(QueueSettings, Common):
    """What `setup` needs."""

    target_arn: Arn | None = Field(None, validation_alias="EVENTBRIDGE_TARGET_ARN")
    target_dlq_arn: Arn | None = None
    target_file: File | None = Field(None, validation_alias="EVENTBRIDGE_TARGET_FILE")
    spill_queue: QueueUrl | None = None
    ordering: Literal["none", "conversation"] = as_in(Consumer, "ordering")
    buckets: int = as_in(Receiver, "buckets")
    shards: int = Field(2, ge=1, le=10_000)
    tags: Tags = ""

    @field_validator("kms_key")
    @classmethod
    def _is_of_this_region(cls, key: str | None, info: ValidationInfo) -> str | None:
        """Neither stream nor queue could use another's."""
        if key and key.split(":")[3] != info.data.get("aws_region", key.split(":")[3]):
            raise ValueError("is not in AWS_REGION; name a key of this region")
        return key

    @field_validator("rule")
    @classmethod
    def _is_a_rule(cls, rule: str) -> str:
        if rule == NO_RULE:
            raise ValueError("leaves `setup` no rule to make; name the rule, or run no `setup`")
        return rule

    @field_validator("spill_queue")
    @classmethod
    def _is_another_queue(cls, url: str | None, info: ValidationInfo) -> str | None:
        """Refuse one queue for dead letters and for the spill."""
        if url is not None and url == info.data.get("sqs_dlq_url"):
            raise ValueError(SAME_QUEUE)
        return url

    @property
    def tag_map(self) -> dict[str, str]:
        """The operator's tags."""
        return types.tags(self.tags)


class DeadLetters(Consumer):
    """What `dlq`, `replay` and `find` need: the consumer's settings, where EventBridge's own dead letters go.

    And by what the receiver chooses a place in the stream, where something is put back.
    """

    target_dlq_arn: Arn | None = None
    buckets: int = as_in(Receiver, "buckets")
    partition_path: Paths = as_in(Receiver, "partition_path")


class Mask(Settings):
    """What `mask` needs: key and shapes alone, so that a policy can be tried on any machine."""

    config: Path | None = as_in(Common, "config")
    masking_key: Secret | None = None


class AuditKey(Settings):
    """The audit chain's key alone: an auditor needs no other setting, and takes the key as it was."""

    audit_key: Secret | None = None


class Top(Settings):
    """What `top` needs: where the admin ports of this machine are, and the token that they ask for."""

    admin_listen: HostPort = as_in(Consumer, "admin_listen")
    receiver_admin_listen: HostPort = as_in(Receiver, "receiver_admin_listen")
    admin_token: Secret | None = None

    @property
    def urls(self) -> tuple[str, str]:
        """The admin ports of the consumer and the receiver of these settings, seen from their own host."""
        return types.own_url(self.admin_listen), types.own_url(self.receiver_admin_listen)

    @property
    def token(self) -> str:
        """The bearer token, "" where there is none."""
        return self.secret("admin_token")


ClientId = Annotated[str, StringConstraints(strip_whitespace=True), "the id of the CXone client"]
"""What comes from a file has a line break at its end more often than not."""


class Cxone(Settings):
    """What the CXone client needs."""

    client_id: ClientId | None = Field(None, validation_alias="CXONE_CLIENT_ID")
    client_secret: Secret | None = Field(None, validation_alias="CXONE_CLIENT_SECRET")
    auth_url: UrlForCredentials | None = Field(None, validation_alias="CXONE_AUTH_URL")
    ca_bundle: PemFile | None = Field(None, validation_alias="AWS_CA_BUNDLE")
    ssl_cert_file: PemFile | None = Field(None, validation_alias="SSL_CERT_FILE")
    ssl_cert_dir: Folder | None = Field(None, validation_alias="SSL_CERT_DIR")
    event_types: EventTypes = as_in(Common, "event_types")
    drop_types: DropTypes = as_in(Consumer, "drop_types")
    unroutable: Literal["dead-letter", "publish", "drop"] = as_in(Consumer, "unroutable")
    stream: str = as_in(Common, "stream")
    config: Path | None = as_in(Common, "config")

    @field_validator("client_secret")
    @classmethod
    def _has_an_id(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """Check that the client's id and its secret go together."""
        if "client_id" in info.data and (secret is None or info.data["client_id"] is None):
            raise ValueError("or its id is not set; set CXONE_CLIENT_ID and CXONE_CLIENT_SECRET together")
        return secret

    @property
    def certificates(self) -> Path | None:
        """The CA bundle to use; None where httpx finds its own (SSL_CERT_FILE, SSL_CERT_DIR or those it brings)."""
        return None if self.ssl_cert_file or self.ssl_cert_dir else self.ca_bundle

"""Settings of the operators' commands: `setup`, `dlq`, `mask`, `audit`, `top`, `cxone`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, ValidationInfo, field_validator

from stream_router.errors import WrongValueError
from stream_router.settings import types
from stream_router.settings.common import NO_RULE, Common, Settings, field_of
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
    """The dead-letter queue, if it is known, and the KMS key with which `setup` encrypts what it creates."""

    sqs_dlq_url: QueueUrl | None = Field(None, validation_alias="SQS_DLQ_URL")
    kms_key: KmsKey | None = None


class Setup(QueueSettings, Common):
    """Settings of `setup` and `teardown`."""

    target_arn: Arn | None = Field(None, validation_alias="EVENTBRIDGE_TARGET_ARN")
    target_dlq_arn: Arn | None = None
    target_file: File | None = Field(None, validation_alias="EVENTBRIDGE_TARGET_FILE")
    spill_queue: QueueUrl | None = None
    ordering: Literal["none", "conversation"] = field_of(Consumer, "ordering")
    buckets: int = field_of(Receiver, "buckets")
    shards: int = Field(2, ge=1, le=10_000)
    tags: Tags = ""

    @field_validator("kms_key")
    @classmethod
    def _check_key_region(cls, key: str | None, info: ValidationInfo) -> str | None:
        """Refuse a key of another region: neither the stream nor a queue could use it."""
        if key is None:
            return None
        key_region = key.split(":")[3]
        if key_region != info.data.get("aws_region", key_region):
            raise WrongValueError("is not in AWS_REGION", "name a key of this region")
        return key

    @field_validator("rule")
    @classmethod
    def _refuse_no_rule(cls, rule: str) -> str:
        """Refuse the value that means no rule, since `setup` creates the rule."""
        if rule == NO_RULE:
            raise WrongValueError("leaves `setup` no rule to create", "name the rule, or run no `setup`")
        return rule

    @field_validator("spill_queue")
    @classmethod
    def _refuse_dead_letter_queue(cls, url: str | None, info: ValidationInfo) -> str | None:
        """Refuse one queue for dead letters and for the spill."""
        if url is not None and url == info.data.get("sqs_dlq_url"):
            raise WrongValueError(*SAME_QUEUE)
        return url

    @property
    def tag_map(self) -> dict[str, str]:
        """Tags that the operator adds to each resource, by key."""
        return types.parse_tags(self.tags)


class DeadLetters(Consumer):
    """Settings of `dlq`, `replay` and `find`: the consumer's, and the queue of EventBridge's own dead letters.

    The receiver's settings that choose a shard belong to them as well, since a resubmitted line
    has to go to the same shard.
    """

    target_dlq_arn: Arn | None = None
    buckets: int = field_of(Receiver, "buckets")
    partition_path: Paths = field_of(Receiver, "partition_path")


class Mask(Settings):
    """Settings of `mask`: only the masking key, and the config file with the shapes of events.

    Without the other settings a policy can be tried on any machine.
    """

    config: Path | None = field_of(Common, "config")
    masking_key: Secret | None = None


class AuditKey(Settings):
    """Setting of `audit`: the key of the audit files' hash chain.

    A weak key is accepted, because the files may have been written with it.
    """

    audit_key: Secret | None = None


class Top(Settings):
    """Settings of `top`: the admin ports of this machine, and their token."""

    admin_listen: HostPort = field_of(Consumer, "admin_listen")
    receiver_admin_listen: HostPort = field_of(Receiver, "receiver_admin_listen")
    admin_token: Secret | None = None

    @property
    def urls(self) -> tuple[str, str]:
        """URLs of the consumer's and the receiver's admin port, in this order, as their own host reaches them."""
        return types.own_url(self.admin_listen), types.own_url(self.receiver_admin_listen)

    @property
    def token(self) -> str:
        """Bearer token of the admin ports; "" if none is set."""
        return self.secret("admin_token")


ClientId = Annotated[str, StringConstraints(strip_whitespace=True), "the id of the CXone client"]
"""The id without blanks at its ends: a value that was read from a file usually ends with a line break."""


class Cxone(Settings):
    """Settings of `cxone token` and `cxone sources`."""

    client_id: ClientId | None = Field(None, validation_alias="CXONE_CLIENT_ID")
    client_secret: Secret | None = Field(None, validation_alias="CXONE_CLIENT_SECRET")
    auth_url: UrlForCredentials | None = Field(None, validation_alias="CXONE_AUTH_URL")
    ca_bundle: PemFile | None = Field(None, validation_alias="AWS_CA_BUNDLE")
    ssl_cert_file: PemFile | None = Field(None, validation_alias="SSL_CERT_FILE")
    ssl_cert_dir: Folder | None = Field(None, validation_alias="SSL_CERT_DIR")
    event_types: EventTypes = field_of(Common, "event_types")
    drop_types: DropTypes = field_of(Consumer, "drop_types")
    unroutable: Literal["dead-letter", "publish", "drop"] = field_of(Consumer, "unroutable")
    stream: str = field_of(Common, "stream")
    config: Path | None = field_of(Common, "config")

    @field_validator("client_secret")
    @classmethod
    def _require_id_and_secret(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """Refuse the secret without the id, and the id without the secret."""
        if "client_id" in info.data and (secret is None or info.data["client_id"] is None):
            raise WrongValueError("is not set, or CXONE_CLIENT_ID is not", "set both, or none")
        return secret

    @property
    def certificates(self) -> Path | None:
        """CA bundle to use; None if httpx finds its own (SSL_CERT_FILE, SSL_CERT_DIR or its built-in list)."""
        return None if self.ssl_cert_file or self.ssl_cert_dir else self.ca_bundle

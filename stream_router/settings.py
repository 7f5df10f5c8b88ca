"""The only reader of the environment: every setting once, checked before anything starts.

Names and defaults are the CONTRACT's. A bad value raises `SettingsError`, whose text is one line: the variable, what is
wrong with its value, the cure. Values are never quoted, since some are secrets.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stream_router import forms
from stream_router.addresses import HostPort, QueueUrl
from stream_router.core import limits
from stream_router.forms import EventTypes, Paths, Secret

EX_CONFIG = 78
"""Exit status of a program that was configured wrongly (sysexits.h)."""

PREFIX = "STREAM_ROUTER_"


class SettingsError(Exception):
    """A setting is missing or wrong; its text is the one line that the operator sees."""


class Common(BaseSettings):
    """What every program needs: where the stream and the bus are."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", hide_input_in_errors=True, populate_by_name=True, env_ignore_empty=True
    )

    aws_region: str = Field("", validation_alias="AWS_REGION", description="set AWS_REGION, for example us-east-1")
    stream: str = Field("cxone-events", pattern=r"^[a-zA-Z0-9_.-]{1,128}$", description="name a Kinesis stream")
    application: str = Field(
        "cxone-event-router", pattern=r"^[a-zA-Z0-9_.-]{3,255}$", description="3 to 255 of A-Z a-z 0-9 _ . -"
    )
    event_bus: str = Field("default", min_length=1, max_length=1600, description="a bus's name or ARN")
    rule: str = Field(
        "cxone-webhook-router",
        pattern=rf"^[\.\-_A-Za-z0-9]{{1,{limits.RULE_NAME_MAX_CHARS}}}$",
        description="1 to 64 of A-Z a-z 0-9 . - _",
    )
    event_types: EventTypes = Field(
        "interaction.created,conversation.updated,agent.status.changed",
        description="a comma-separated list of event types, each of 1 to 128 characters",
    )
    config: Path | None = Field(None, description="path of a TOML file")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    @model_validator(mode="after")
    def _fill_region(self) -> Self:
        if not self.aws_region:
            self.aws_region = os.environ.get("AWS_DEFAULT_REGION", "") or _profile_region()
        if not self.aws_region:
            raise ValueError("AWS_REGION: is not set; set AWS_REGION, for example us-east-1")
        return self

    @property
    def event_type_list(self) -> tuple[str, ...]:
        """The event types that the rule lets through, in order."""
        return forms.items(self.event_types)


def _profile_region() -> str:
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        return str(Session().get_config_variable("region") or "")
    except BotoCoreError as error:
        raise ValueError(f"AWS_REGION: is not set, and {error}; set AWS_REGION, or correct AWS_PROFILE") from None


class Consumer(Common):
    """What `consume` and its children need."""

    sqs_dlq_url: QueueUrl = Field(
        validation_alias="SQS_DLQ_URL",
        description="set the dead-letter queue's URL (standard, not FIFO); `stream-router setup` makes one",
    )
    unroutable: Literal["dead-letter", "publish", "drop"] = Field(
        "dead-letter", description="dead-letter, publish or drop"
    )
    max_entries: int = Field(25, ge=1, le=limits.V2_MAX_ENTRIES, description="entries a PutEvents call, 1 to 100")
    max_request_bytes: int | None = Field(None, ge=1024, description="bytes of one PutEvents call, at least 1024")
    max_in_flight: int = Field(16, ge=1, le=256, description="PutEvents calls of one child at once, 1 to 256")
    max_retries: int = Field(4, ge=0, le=100, description="retries of an entry that fails on its own, 0 to 100")
    checkpoint_s: float = Field(5.0, ge=0.1, le=600, description="seconds between checkpoints, 0.1 to 600")
    on_outage: Literal["hold", "dead-letter"] = Field("hold", description="hold or dead-letter")
    ordering: Literal["none", "conversation"] = Field("none", description="none or conversation")
    masking: str = Field("off", min_length=1, description="off, default, or the path of a policy file")
    masking_key: Secret | None = Field(None, description="the secret key of the policy's hmac action")
    offload_bucket: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="an S3 bucket's name"
    )
    admin_listen: HostPort = Field("127.0.0.1:9464", description="HOST:PORT")
    audit_dir: Path | None = Field(None, description="a writable folder")
    audit_key: Secret | None = Field(None, description="the key of the audit chain's HMAC")
    state_dir: Path | None = Field(
        None,
        description="a writable folder for crash markers and rendered properties (default: a private temporary one)",
    )
    failpoint: str | None = Field(
        None,
        pattern=r"^segfault:.+$",
        description="for tests only; segfault:TEXT",
    )
    properties: Path | None = Field(None, description="path of the KCL properties file to start from")
    jvm_options: str = Field("", description="options of the daemon's JVM, for example -Xmx1g")
    metrics_s: float = Field(60.0, ge=0.1, le=3600, description="seconds between metrics, 0.1 to 3600")

    @property
    def entries_per_call(self) -> int:
        """Entries of one call: what was asked for, or the bus's own ceiling where that is lower."""
        return min(self.max_entries, limits.bus_ceiling(self.event_bus))

    @property
    def bytes_per_call(self) -> int:
        """Bytes of one call: what was asked for, or the region's limit where that is lower."""
        limit = limits.request_bytes(self.aws_region)
        return min(self.max_request_bytes or limit, limit)


class Mask(BaseSettings):
    """What `mask` needs: key and shapes alone, so that a policy can be tried on any machine."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    masking_key: Secret | None = Field(None, description="the secret key of the policy's hmac action")
    config: Path | None = Field(None, description="path of a TOML file")


class AuditKey(BaseSettings):
    """The audit chain's key alone: an auditor needs no other setting."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    audit_key: Secret | None = Field(None, description="the key of the audit chain's HMAC")


class Receiver(Common):
    """What `receive` needs."""

    listen: HostPort = Field("127.0.0.1:8080", description="HOST:PORT")
    receiver_admin_listen: HostPort = Field("127.0.0.1:9465", description="HOST:PORT")
    tls_cert: Path | None = Field(None, description="path of a PEM file")
    tls_key: Path | None = Field(None, description="path of a PEM file")
    tls_client_ca: Path | None = Field(None, description="path of a PEM file")
    webhook_scheme: Literal["expert", "standard-webhooks", "hmac", "bearer", "basic", "none"] = Field(
        description="expert, standard-webhooks, hmac, bearer, basic, or none (loopback only)"
    )
    webhook_secrets: Secret = Field(SecretStr(""), description="comma-separated secrets, or file:PATH")
    hmac_header: str = Field("x-signature", min_length=1, description="a header's name")
    hmac_algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = Field("sha256", description="sha256, for example")
    hmac_encoding: Literal["hex", "base64"] = Field("hex", description="hex or base64")
    hmac_prefix: str = Field("", description="what stands before the signature, for example sha256=")
    hmac_template: str = Field("{body}", description="a text of {id}, {timestamp}, {body}")
    hmac_timestamp_header: str | None = Field(None, description="a header's name")
    hmac_id_header: str | None = Field(None, description="a header's name")
    replay_window_s: int = Field(300, ge=1, le=86400, description="seconds, 1 to 86400")
    max_body_bytes: int = Field(716_800, ge=1, le=10 * 1024 * 1024, description="bytes, 1 to 10485760")
    max_held_bytes: int = Field(
        64 * 1024 * 1024, ge=1024 * 1024, description="bytes of accepted events that wait, at least 1048576"
    )
    max_header_bytes: int = Field(16_384, ge=8_192, le=1024 * 1024, description="bytes, 8192 to 1048576")
    max_connections: int = Field(8_192, ge=1, le=1_000_000, description="connections of one worker, 1 to 1000000")
    header_timeout_s: float = Field(
        10.0, ge=0.1, le=3600, description="seconds for a request's headers (and of an idle connection), 0.1 to 3600"
    )
    body_timeout_s: float = Field(10.0, ge=0.1, le=3600, description="seconds for a request's body, 0.1 to 3600")
    buckets: int = Field(16, ge=1, le=4096, description="ordering buckets, 1 to 4096")
    linger_ms: float = Field(5.0, ge=0, le=500, description="milliseconds, 0 to 500")
    partition_path: Paths = Field(
        "conversationId,interactionId", description="comma-separated dotted paths into the event, first found wins"
    )
    spill_dir: Path | None = Field(None, description="a writable folder")
    spill_max_bytes: int = Field(1024**3, ge=1024 * 1024, description="bytes, at least 1048576")


class Setup(Common):
    """What `setup` needs."""

    sqs_dlq_url: str | None = Field(None, validation_alias="SQS_DLQ_URL", description="the dead-letter queue's URL")
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


S = TypeVar("S", bound=BaseSettings)


def load(kind: type[S], **given: Any) -> S:
    """Read and check the environment for one program; `given` wins over it (by field name).

    Raises SettingsError with the line to show, and exit 78.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        raise SettingsError(_one_line(kind, error)) from None


def first_error(error: ValidationError) -> Any:
    """The first thing that pydantic found wrong (`type`, `loc`, `msg`), without the value, which may be a secret."""
    return error.errors(include_url=False, include_input=False, include_context=False)[0]


def _one_line(kind: type[BaseSettings], error: ValidationError) -> str:
    """The first thing wrong, as `VARIABLE: problem; cure`."""
    first = first_error(error)
    problem: str = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return problem
    name = str(first["loc"][0])
    if first["type"] == "missing":
        problem = "is not set"
    return f"{variable(kind, name)}: {problem}; {_cure(kind, name)}"


def variable(kind: type[BaseSettings], name: str) -> str:
    """The environment variable of a field (given by its own name or its alias)."""
    field = kind.model_fields.get(name)
    if field is None:
        return name.upper()
    return str(field.validation_alias) if field.validation_alias else PREFIX + name.upper()


def _cure(kind: type[BaseSettings], name: str) -> str:
    fields: Mapping[str, Any] = kind.model_fields
    for key, field in fields.items():
        if name in (key, field.validation_alias):
            return str(field.description)
    return "see the configuration reference"

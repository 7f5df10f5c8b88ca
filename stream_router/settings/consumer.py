"""Settings of `stream-router consume` and its children."""

from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from stream_router import limits
from stream_router.errors import WrongValueError
from stream_router.settings import types
from stream_router.settings.common import SETUP_TAG, GuardedSettings, variable
from stream_router.settings.types import (
    Bucket,
    DropTypes,
    File,
    Folder,
    HostPort,
    QueueUrl,
    Secret,
    Tags,
    WorkerName,
)


class Consumer(GuardedSettings):
    """Settings that `consume` and its children need."""

    admin_listen_field = "admin_listen"

    sqs_dlq_url: QueueUrl = Field(validation_alias="SQS_DLQ_URL")
    unroutable: Literal["dead-letter", "publish", "drop"] = "dead-letter"
    drop_types: DropTypes = ""
    max_entries: int = Field(25, ge=1, le=limits.V2_MAX_ENTRIES)
    max_shard_rate: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_retries: int = Field(4, ge=0, le=100)
    checkpoint_s: float = Field(5.0, ge=0.1, le=600)
    bus_proof: Literal["describe", "trust"] = "describe"
    on_outage: Literal["hold", "dead-letter"] = "hold"
    ordering: Literal["none", "conversation"] = "none"
    masking: str = Field("off", description="off, default, or the path of a policy file")
    masking_key: Secret | None = None
    offload_bucket: Bucket | None = None
    # The Helm chart sets a port by itself (deploy/helm/templates/common.yaml, consumer.yaml).
    admin_listen: HostPort = "127.0.0.1:9464"
    admin_token: Secret | None = None
    audit_dir: Folder | None = Field(
        None, description="path of a folder that can be written to, or - for standard error"
    )
    audit_key: Secret | None = None
    state_dir: Folder | None = None
    worker: WorkerName | None = None
    properties: File | None = None
    jvm_options: str = ""
    tags: Tags = ""

    @field_validator("drop_types")
    @classmethod
    def _refuse_routed_types(cls, drop_types: str, info: ValidationInfo) -> str:
        """Refuse a type that is both routed and dropped: it would be dropped."""
        routed_and_dropped = set(types.items(drop_types)) & set(types.items(info.data.get("event_types", "")))
        if info.context is not None and routed_and_dropped:
            raise WrongValueError(
                f"has {min(routed_and_dropped)}, which {variable(cls, 'event_types')} routes, and would drop it",
                "name it in one of the two settings",
            )
        return drop_types

    @field_validator("masking_key", "audit_key")
    @classmethod
    def _refuse_unused_key(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """Refuse a key whose feature is off: the operator would believe that events are masked, or audited."""
        feature = "masking" if info.field_name == "masking_key" else "audit_dir"
        if key is None or info.context is None:
            return key
        # An invalid setting is missing from `info.data`. It is reported itself, so the key is not judged.
        if info.data.get(feature, "invalid") in ("off", None):
            raise WrongValueError(
                f"is set, but {variable(cls, feature)} is not, so it would do nothing", "set both, or none"
            )
        return cls.require_strong(key, info)

    @property
    def lease_table_tags(self) -> dict[str, str]:
        """Tags of the lease table that `consume` creates: the operator's, and the tag that `teardown` recognises."""
        return {**types.parse_tags(self.tags), SETUP_TAG: self.stream}

    @property
    def drop_type_list(self) -> tuple[str, ...]:
        """Event types to drop, by our names or by the senders' names."""
        return types.items(self.drop_types)

    @property
    def entries_per_call(self) -> int:
        """Maximum number of entries of a PutEvents call: the setting, or the bus's limit if that is lower."""
        return min(self.max_entries, limits.bus_ceiling(self.event_bus))

    @property
    def bytes_per_call(self) -> int:
        """Maximum bytes of a PutEvents call: the region's limit (limits.request_bytes)."""
        return limits.request_bytes(self.aws_region)

"""What `stream-router consume` and its children read; keys that operators' commands read alone."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from stream_router import limits
from stream_router.model import DeadLetterShare
from stream_router.settings import types
from stream_router.settings.common import AdminToken, Common, ConfigFile, Environment, Metrics, variable
from stream_router.settings.types import (
    HostPort,
    LimitText,
    QueueUrl,
    Secret,
    dead_letter_limit,
)

MIB = 1024 * 1024


class MaskingParts(Environment):
    """What a masking policy is given beside its file."""

    masking_key: Secret | None = Field(None, description="the secret key of the policy's hmac action")
    masking_regions: str = Field("", description="a comma-separated list of countries (ISO 3166), for example DE,FR")

    @property
    def masking_region_list(self) -> tuple[str, ...]:
        """The countries whose national phone numbers the policy is to expect, besides those that it names itself."""
        return types.items(self.masking_regions)


class AuditKey(Environment):
    """The audit chain's key alone: an auditor needs no other setting, and takes the key as it was."""

    audit_key: Secret | None = Field(None, description="the key of the audit chain's HMAC")


class Mask(ConfigFile, MaskingParts):
    """What `mask` needs: key, countries and shapes alone, so that a policy can be tried on any machine."""


class Consumer(Common, AdminToken, Metrics, MaskingParts, AuditKey):
    """What `consume` and its children need."""

    admin_at = "admin_listen"

    sqs_dlq_url: QueueUrl = Field(
        validation_alias="SQS_DLQ_URL",
        description="the dead-letter queue's URL (standard, not FIFO); `stream-router setup` makes one",
    )
    unroutable: Literal["dead-letter", "publish", "drop"] = Field(
        "dead-letter", description="dead-letter, publish or drop"
    )
    drop_types: str = Field(
        "", description="a comma-separated list of event types that are settled unsent, and counted"
    )
    max_entries: int = Field(25, ge=1, le=limits.V2_MAX_ENTRIES, description="entries a PutEvents call, 1 to 100")
    max_request_bytes: int | None = Field(None, ge=1024, description="bytes of one PutEvents call, at least 1024")
    max_in_flight: int = Field(128, ge=1, le=256, description="PutEvents calls of one child at once, 1 to 256")
    # 64 MiB: a minute of a full shard (1 MB/s goes into it), much more than 128 calls of ordinary events carry, and yet
    # a small host holds ten such children. At least a Kinesis record's own ceiling, 1 MiB.
    window_bytes: int = Field(64 * MIB, ge=MIB, description="bytes held by one child, at least 1048576")
    # Below 5 s (the checkpoint's own default) the window would wait for each checkpoint; above a day nothing is bound.
    window_span_s: float = Field(120.0, ge=5, le=86_400, description="seconds of work above the checkpoint, 5 to 86400")
    max_shard_rate: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="events a second, above 0 (default: no bound)"
    )
    dead_letter_limit: LimitText = Field(
        "90%/1000/300s", description="SHARE%/EVENTS/SECONDSs, for example 90%/1000/300s, or off"
    )
    max_retries: int = Field(4, ge=0, le=100, description="retries of an entry that fails on its own, 0 to 100")
    checkpoint_s: float = Field(5.0, ge=0.1, le=600, description="seconds between checkpoints, 0.1 to 600")
    bus_proof: Literal["describe", "trust"] = Field("describe", description="describe or trust")
    on_outage: Literal["hold", "dead-letter"] = Field("hold", description="hold or dead-letter")
    ordering: Literal["none", "conversation"] = Field("none", description="none or conversation")
    masking: str = Field("off", min_length=1, description="off, default, strict, or the path of a policy file")
    offload_bucket: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="an S3 bucket's name, 3 to 63 of a-z 0-9 . -"
    )
    # The Helm chart sets a port by itself (deploy/helm/templates/common.yaml, consumer.yaml).
    admin_listen: HostPort = Field("127.0.0.1:9464", description="HOST:PORT")
    audit_dir: Path | None = Field(None, description="a writable folder")
    state_dir: Path | None = Field(
        None,
        description="a writable folder for crash markers and rendered properties (default: a private temporary one)",
    )
    worker: str | None = Field(
        None, pattern=r"^[a-zA-Z0-9_.:-]{1,128}$", description="1 to 128 of A-Z a-z 0-9 _ . : -, one for each worker"
    )
    properties: Path | None = Field(None, description="path of the KCL properties file to start from")
    jvm_options: str = Field("", description="options of the daemon's JVM, for example -Xmx1g")

    def refusal(self) -> str:
        """A key that can be tried out, or one without what it is for: who set it believes in masking, or in audit."""
        if line := self.unguarded():
            return line
        masks, audits = self.masking != "off", self.audit_dir is not None
        for name, given, used, use in (
            ("masking_key", self.masking_key, masks, "STREAM_ROUTER_MASKING"),
            ("masking_regions", self.masking_region_list, masks, "STREAM_ROUTER_MASKING"),
            ("audit_key", self.audit_key, audits, "STREAM_ROUTER_AUDIT_DIR"),
        ):
            if given and not used:
                named = variable(type(self), name)
                return f"{named}: is set, but {use} is not, so it would do nothing; set both, or none"
        return self.weakness_of("masking_key") or self.weakness_of("audit_key") or super().refusal()

    @property
    def drop_type_list(self) -> tuple[str, ...]:
        """The event types to drop, by our names or by the senders' own."""
        return types.items(self.drop_types)

    @property
    def entries_per_call(self) -> int:
        """Entries of one call: as the setting asks, or the bus's own ceiling where that is lower."""
        return min(self.max_entries, limits.bus_ceiling(self.event_bus))

    @property
    def bytes_per_call(self) -> int:
        """Bytes of one call: as the setting asks, or the region's limit where that is lower."""
        limit = limits.request_bytes(self.aws_region)
        return min(self.max_request_bytes or limit, limit)

    @property
    def dead_letter_share(self) -> DeadLetterShare | None:
        """The share of dead letters at which a shard holds; None where it is off."""
        return dead_letter_limit(self.dead_letter_limit)

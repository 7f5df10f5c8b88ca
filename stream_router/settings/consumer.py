"""What `stream-router consume` and its children read."""

from pathlib import Path
from typing import Literal

from pydantic import SecretStr, ValidationInfo, field_validator

from stream_router import limits
from stream_router.model import DeadLetterShare
from stream_router.settings import types
from stream_router.settings.common import ADMIN_TOKEN, Guarded, setting, variable
from stream_router.settings.types import DropTypes, HostPort, LimitText, QueueUrl, Secret, dead_letter_limit


class Consumer(Guarded):
    """What `consume` and its children need."""

    admin_at = "admin_listen"

    sqs_dlq_url: QueueUrl = setting(
        ...,
        "the dead-letter queue's URL (standard, not FIFO); `stream-router setup` makes one",
        "the dead-letter queue",
        variable="SQS_DLQ_URL",
    )
    unroutable: Literal["dead-letter", "publish", "drop"] = setting(
        "dead-letter", "dead-letter, publish or drop", "what becomes of an event type that does not match the rule"
    )
    drop_types: DropTypes = setting(
        "",
        "a comma-separated list of event types that are settled unsent, and counted",
        "noise such as typing events, by our names or the sender's own (docs/events.md)",
    )
    max_entries: int = setting(
        25,
        "entries a PutEvents call, 1 to 100",
        "entries asked for per PutEvents call; the bus's ceiling wins (classic 10, v2 100)",
        ge=1,
        le=limits.V2_MAX_ENTRIES,
    )
    max_shard_rate: float | None = setting(
        None,
        "events a second, above 0 (default: no bound)",
        "most that one shard publishes, so that catching up spares quota and targets",
        gt=0,
        allow_inf_nan=False,
    )
    dead_letter_limit: LimitText = setting(
        "90%/1000/300s",
        "SHARE%/EVENTS/SECONDSs, for example 90%/1000/300s, or off",
        "the share of dead letters for reasons of data at which a shard holds",
    )
    max_retries: int = setting(
        4,
        "retries of an entry that fails on its own, 0 to 100",
        "of one entry that fails while others succeed, spread over at least 30 s",
        ge=0,
        le=100,
    )
    checkpoint_s: float = setting(
        5.0,
        "seconds between checkpoints, 0.1 to 600",
        "how often a shard's progress is stored, and the event bus proven to exist",
        ge=0.1,
        le=600,
    )
    bus_proof: Literal["describe", "trust"] = setting(
        "describe",
        "describe or trust",
        "`trust`: a bus that may not be described (another account's) is not proven to exist",
    )
    on_outage: Literal["hold", "dead-letter"] = setting(
        "hold", "hold or dead-letter", "hold the shard while AWS is down, or give events up after the budget"
    )
    ordering: Literal["none", "conversation"] = setting(
        "none", "none or conversation", "whether events of a conversation are accepted in the stream's order"
    )
    masking: str = setting("off", "off, default, or the path of a policy file", "the masking policy")
    masking_key: Secret | None = setting(
        None, "the secret key of the policy's hashes", "key of the hashes by which masked events can be joined"
    )
    offload_bucket: str | None = setting(
        None,
        "an S3 bucket's name, 3 to 63 of a-z 0-9 . -",
        "where payloads go that no call and no message can carry",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    )
    # The Helm chart sets a port by itself (deploy/helm/templates/common.yaml, consumer.yaml).
    admin_listen: HostPort = setting(
        "127.0.0.1:9464", "HOST:PORT", "where the consumer's web page, health, `/status` and `/metrics` are served"
    )
    admin_token: Secret | None = ADMIN_TOKEN
    audit_dir: Path | None = setting(None, "a writable folder", "where audit files go, one a shard")
    audit_key: Secret | None = setting(None, "the key of the audit chain's HMAC", "makes the audit chain an HMAC")
    state_dir: Path | None = setting(
        None,
        "a writable folder for crash markers and rendered properties (default: a private temporary one)",
        "what must outlive a crash: the worker's name, the markers of crash isolation",
    )
    worker: str | None = setting(
        None,
        "1 to 128 of A-Z a-z 0-9 _ . : -, one for each worker",
        "the worker's name in the lease table, where the platform gives a stable one "
        "(else host and a random part, kept in the state folder)",
        pattern=r"^[a-zA-Z0-9_.:-]{1,128}$",
    )
    properties: Path | None = setting(
        None,
        "path of the KCL properties file to start from",
        "the KCL daemon's properties, instead of those that come with the product",
    )
    jvm_options: str = setting("", "options of the daemon's JVM, for example -Xmx1g", "further options of the JVM")

    @field_validator("masking_key", "audit_key")
    @classmethod
    def _has_a_use(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """A key without what it is for: who set it believes in masking, or in audit."""
        use = "masking" if info.field_name == "masking_key" else "audit_dir"
        if key is None or info.context is None:
            return key
        if info.data.get(use, "wrong itself") in ("off", None):
            raise ValueError(f"is set, but {variable(cls, use)} is not, so it would do nothing; set both, or none")
        return cls.strong(key, info)

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
        """Bytes of one call: the region's limit."""
        return limits.request_bytes(self.aws_region)

    @property
    def dead_letter_share(self) -> DeadLetterShare | None:
        """The share of dead letters at which a shard holds; None where it is off."""
        return dead_letter_limit(self.dead_letter_limit)

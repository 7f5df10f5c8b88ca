"""Settings of `stream-router receive`."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator

from stream_router.errors import SettingProblem, WrongValueError
from stream_router.settings import types
from stream_router.settings.common import GuardedSettings, variable
from stream_router.settings.types import (
    Folder,
    HeaderName,
    HostPort,
    Networks,
    Paths,
    PemFile,
    QueueUrl,
    Scheme,
    Secret,
    Template,
)

MIB, TIB = 1024**2, 1024**4
SPILL_MAX_BYTES = 1024**3
"""Default of STREAM_ROUTER_SPILL_MAX_BYTES: 500 events a second of 1 kB each, for 30 minutes."""

_DIGITAL_PATHS = ",".join(f"data.{name}.id" for name in ("case", "contact", "consumerContact", "thread"))
_POSTBACK_PATHS = ",".join(f"postback.{path}" for path in _DIGITAL_PATHS.split(","))
CONVERSATION_PATHS = (
    f"conversationId,interactionId,{_DIGITAL_PATHS},{_POSTBACK_PATHS},masterContactId,contactId,page.id"
)
"""Paths of the conversation's id in NICE's shapes (docs/events.md).

The consumer must use the same paths, or it would publish a conversation out of order.
"""


SAME_QUEUE = (
    "is SQS_DLQ_URL's queue, so dead letters would be taken for spilled events",
    "name a queue of its own",
)
"""Problem and cure of a spill queue that is also the dead-letter queue."""


class ListenerSettings(GuardedSettings):
    """Addresses of the receiver, its TLS files, and how senders authenticate."""

    admin_listen_field = "receiver_admin_listen"

    listen: HostPort = "127.0.0.1:8080"
    receiver_admin_listen: HostPort = "127.0.0.1:9465"
    admin_token: Secret | None = None
    tls_cert: PemFile | None = None
    tls_key: PemFile | None = None
    tls_client_ca: PemFile | None = None
    trusted_proxies: Networks = ""
    webhook_scheme: Scheme | None = None
    webhook_secrets: Secret = Field(
        SecretStr(""), description="comma-separated secrets, file:PATH, secretsmanager:ARN or ssm:NAME"
    )

    @field_validator("webhook_scheme")
    @classmethod
    def _refuse_exposed_secret(cls, scheme: str | None, info: ValidationInfo) -> str | None:
        """Refuse a scheme that sends the secret itself over plain HTTP, where others can read it."""
        # A setting that is invalid is missing from `info.data`. It is reported itself, so the scheme is not judged.
        exposure = [info.data.get(name, "wrong") for name in ("listen", "tls_cert", "trusted_proxies")]
        if info.context is None or scheme not in types.SENDS_ITS_SECRET or "wrong" in exposure:
            return scheme
        if is_unencrypted(*exposure):
            raise WrongValueError(
                "would send the secret itself over plain HTTP",
                (
                    f"set {variable(cls, 'tls_cert')}, or name the proxies in front in "
                    f"{variable(cls, 'trusted_proxies')}"
                ),
            )
        return scheme

    @field_validator("webhook_secrets")
    @classmethod
    def _refuse_weak_secrets(cls, webhook_secrets: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuse weak secrets.

        The scheme decides which bytes of a secret count. Scheme `none` uses no secret.
        """
        scheme = info.data.get("webhook_scheme") or ""
        return webhook_secrets if scheme == "none" else cls.require_strong(webhook_secrets, info, scheme)


def is_unencrypted(listen: str, tls_cert: Path | None, trusted_proxies: str) -> bool:
    """Return whether requests arrive unencrypted: without TLS, without a trusted proxy, and beyond loopback."""
    return tls_cert is None and not types.items(trusted_proxies) and not types.is_loopback(listen)


class Signature(BaseModel):
    """How a sender signs: `hmac_*` for scheme `hmac`, and the replay window of every scheme that signs a time.

    The environment and the named sources of the config file share this declaration, so both refuse
    the same values.
    """

    hmac_header: HeaderName = "x-signature"
    hmac_algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    hmac_encoding: Literal["hex", "base64"] = "hex"
    hmac_prefix: str = ""
    hmac_template: Template = "{body}"
    hmac_timestamp_header: HeaderName | None = None
    hmac_id_header: HeaderName | None = None
    replay_window_s: int = Field(300, ge=1, le=86400)


def find_unused(scheme: str, field_names: Collection[str]) -> list[str]:
    """Return the `hmac_*` fields among `field_names` that have no effect with `scheme`."""
    # Schemes without a signed id also read the delivery id from the header that `hmac_id_header` names.
    reads_id_header = scheme in (*types.SENDS_ITS_SECRET, "none")
    if scheme == "hmac":
        return []
    hmac_fields = sorted(name for name in field_names if name.startswith("hmac_"))
    return [name for name in hmac_fields if not (reads_id_header and name == "hmac_id_header")]


class Receiver(Signature, ListenerSettings):
    """Settings of `receive`.

    The order of the base classes is the order in which the pages list the settings.
    """

    max_body_bytes: int = Field(716_800, ge=1, le=10 * MIB)
    max_held_bytes: int = Field(64 * MIB, ge=MIB, le=TIB)
    max_connections: int = Field(8_192, ge=1, le=1_000_000)
    max_client_connections: int | None = Field(None, ge=1, le=1_000_000)
    reuse_port: Literal["on", "off"] = "off"
    drain_delay_s: float = Field(0.0, ge=0, le=300)
    buckets: int = Field(16, ge=1, le=4096)
    ordering: Literal["none", "conversation"] = "none"
    partition_path: Paths = CONVERSATION_PATHS
    spill_dir: Folder | None = None
    spill_max_bytes: int = Field(SPILL_MAX_BYTES, ge=MIB, le=TIB)
    sqs_dlq_url: QueueUrl | None = Field(None, validation_alias="SQS_DLQ_URL")
    spill_queue: QueueUrl | None = None

    @field_validator("max_held_bytes", "spill_max_bytes")
    @classmethod
    def _require_room_for_largest_body(cls, size_bytes: int, info: ValidationInfo) -> int:
        """Refuse a limit of memory or spill that is smaller than the largest body."""
        body_bytes = info.data.get("max_body_bytes", 0)
        if info.context is not None and size_bytes < body_bytes:
            raise WrongValueError(
                f"is less than the largest body ({variable(cls, 'max_body_bytes')}, {body_bytes} bytes)",
                "raise it, or lower the other",
            )
        return size_bytes

    @field_validator("spill_max_bytes")
    @classmethod
    def _require_spill_folder(cls, size_bytes: int, info: ValidationInfo) -> int:
        """Refuse a spill limit without a spill folder: the operator would believe that events are spilled."""
        is_set = size_bytes != SPILL_MAX_BYTES  # setting the default changes nothing, so it is not refused
        if info.context is not None and is_set and info.data.get("spill_dir", "invalid") is None:
            raise WrongValueError(
                f"is set without {variable(cls, 'spill_dir')}, so nothing is spilled to a disk", "set both, or none"
            )
        return size_bytes

    @field_validator("max_client_connections")
    @classmethod
    def _require_at_most_max_connections(cls, client_connections: int | None, info: ValidationInfo) -> int | None:
        """Refuse a limit of one client's connections above the limit of all connections: it would have no effect."""
        if info.context is None or client_connections is None:
            return client_connections
        if client_connections > info.data.get("max_connections", client_connections):
            raise WrongValueError(f"is more than {variable(cls, 'max_connections')}", "lower it, or raise the other")
        return client_connections

    @field_validator("spill_queue")
    @classmethod
    def _refuse_conflicts(cls, url: str | None, info: ValidationInfo) -> str | None:
        """Refuse a spill queue with ordering, with a spill folder, or without a separate dead-letter queue."""
        if info.context is None or url is None:
            return url
        if info.data.get("ordering") == "conversation":
            raise WrongValueError(
                f"would not keep the order that {variable(cls, 'ordering')}=conversation asks for",
                f"set {variable(cls, 'spill_dir')} instead",
            )
        if info.data.get("spill_dir") is not None:
            raise WrongValueError(
                f"is set together with {variable(cls, 'spill_dir')}",
                "events are spilled to one of the two: unset the other",
            )
        if info.data.get("sqs_dlq_url") is None:
            raise WrongValueError(
                "needs SQS_DLQ_URL, the queue for events that the stream refuses for good", "set it too"
            )
        if url == info.data["sqs_dlq_url"]:
            raise WrongValueError(*SAME_QUEUE)
        return url

    @property
    def client_connections(self) -> int:
        """Maximum number of unauthenticated connections of one client address; by default half of all connections."""
        return self.max_client_connections or max(1, self.max_connections // 2)

    @property
    def is_unencrypted(self) -> bool:
        """Return whether requests arrive unencrypted over a network."""
        return is_unencrypted(self.listen, self.tls_cert, self.trusted_proxies)

    def find_unused(self) -> Iterator[SettingProblem]:
        """Yield a problem for each setting that the scheme does not use, perhaps left over from an earlier scheme."""
        if self.webhook_secrets.get_secret_value() and self.webhook_scheme in (None, "none"):
            reason = "no scheme is set" if self.webhook_scheme is None else "scheme none uses no secret"
            yield SettingProblem(
                variable(type(self), "webhook_secrets"),
                f"{reason}, so it has no effect",
                "unset it, or choose a scheme",
            )
        # Without a scheme no `hmac_*` field is reported, as with scheme `hmac`.
        for name in find_unused(self.webhook_scheme or "hmac", self.model_fields_set):
            yield SettingProblem(
                variable(type(self), name),
                "is for scheme hmac, and another scheme is set, so it has no effect",
                "unset it",
            )

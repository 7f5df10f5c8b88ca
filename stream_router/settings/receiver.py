"""What `stream-router receive` reads."""

from pathlib import Path
from typing import get_args

from pydantic import Field, SecretStr

from stream_router.settings import types
from stream_router.settings.common import AdminToken, Common, Metrics
from stream_router.settings.secrets.secret_strength import weakness
from stream_router.settings.signature import Signature
from stream_router.settings.types import HostPort, Networks, Paths, Scheme, Secret

_IN_DIGITAL = ",".join(f"data.{name}.id" for name in ("case", "contact", "consumerContact", "thread"))
_IN_ANSWERS = ",".join(f"postback.{path}" for path in _IN_DIGITAL.split(","))
CONVERSATION_PATHS = f"conversationId,interactionId,{_IN_DIGITAL},{_IN_ANSWERS},masterContactId,contactId,page.id"
"""Where NICE's shapes name the conversation (docs/events.md): as the consumer finds it, or no order could be kept."""


class Entrance(Common, AdminToken, Metrics):
    """Where it is reached, and by which secrets a sender is known."""

    admin_at = "receiver_admin_listen"

    listen: HostPort = Field("127.0.0.1:8080", description="HOST:PORT")
    receiver_admin_listen: HostPort = Field("127.0.0.1:9465", description="HOST:PORT")
    tls_cert: Path | None = Field(None, description="path of a PEM file")
    tls_key: Path | None = Field(None, description="path of a PEM file")
    tls_client_ca: Path | None = Field(None, description="path of a PEM file")
    webhook_scheme: Scheme | None = Field(None, description=f"{', '.join(get_args(Scheme))} (on loopback only)")
    webhook_secrets: Secret = Field(
        SecretStr(""), description="comma-separated secrets, file:PATH, secretsmanager:ARN or ssm:NAME"
    )


class Receiver(Signature, Entrance):
    """What `receive` needs. The bases stand so that the settings are listed in the order in which they are met."""

    max_body_bytes: int = Field(716_800, ge=1, le=10 * 1024 * 1024, description="bytes, 1 to 10485760")
    max_held_bytes: int = Field(
        64 * 1024 * 1024, ge=1024 * 1024, description="bytes of accepted events that wait, at least 1048576"
    )
    max_header_bytes: int = Field(16_384, ge=8_192, le=1024 * 1024, description="bytes, 8192 to 1048576")
    max_connections: int = Field(8_192, ge=1, le=1_000_000, description="connections of one worker, 1 to 1000000")
    header_timeout_s: float = Field(
        10.0, ge=0.1, le=3600, description="seconds for a request's headers (and of an idle connection), 0.1 to 3600"
    )
    max_client_connections: int | None = Field(
        None, ge=1, le=1_000_000, description="connections of one client address, at least 1"
    )
    trusted_proxies: Networks = Field("", description="comma-separated CIDRs, for example 10.0.0.0/8")
    body_timeout_s: float = Field(10.0, ge=0.1, le=3600, description="seconds for a request's body, 0.1 to 3600")
    drain_delay_s: float = Field(0.0, ge=0, le=300, description="seconds, 0 to 300")
    buckets: int = Field(8, ge=1, le=4096, description="ordering buckets, 1 to 4096")
    linger_ms: float = Field(5.0, ge=0, le=500, description="milliseconds, 0 to 500")
    partition_path: Paths = Field(
        CONVERSATION_PATHS, description="comma-separated dotted paths into the event, first found wins"
    )
    spill_dir: Path | None = Field(None, description="a writable folder")
    spill_max_bytes: int = Field(1024**3, ge=1024 * 1024, description="bytes, at least 1048576")

    @property
    def client_connections(self) -> int:
        """Connections of one client address that have not yet shown who they are."""
        return self.max_client_connections or max(1, self.max_connections // 2)

    @property
    def in_the_clear(self) -> bool:
        """Whether what is sent here can be read on its way: no TLS of ours, no proxy that ends it, no loopback."""
        return self.tls_cert is None and not types.items(self.trusted_proxies) and not types.is_loopback(self.listen)

    def refusal(self) -> str:
        """Secrets that can be guessed, or that anyone on the way can read."""
        if line := self.unguarded():
            return line
        weak = "" if self.weak_secrets == "allow" else weakness(self._literal_secrets(), self.webhook_scheme or "")
        if weak:
            return f"STREAM_ROUTER_WEBHOOK_SECRETS: {weak}"
        if self.webhook_scheme in types.SENDS_ITS_SECRET and self.in_the_clear:
            return (
                f"STREAM_ROUTER_WEBHOOK_SCHEME: {self.webhook_scheme} would send the secret itself over plain HTTP; "
                "set STREAM_ROUTER_TLS_CERT, or name the proxies in front in STREAM_ROUTER_TRUSTED_PROXIES"
            )
        return super().refusal()

    def _literal_secrets(self) -> str:
        return "" if self.webhook_scheme == "none" else self.webhook_secrets.get_secret_value()

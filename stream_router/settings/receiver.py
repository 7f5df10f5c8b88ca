"""What `stream-router receive` reads."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, SecretStr, ValidationInfo, field_validator

from stream_router.settings import secrets, types
from stream_router.settings.common import ADMIN_TOKEN, Guarded, setting, variable
from stream_router.settings.types import HostPort, Networks, Paths, Scheme, Secret, Template

MIB = 1024 * 1024

_IN_DIGITAL = ",".join(f"data.{name}.id" for name in ("case", "contact", "consumerContact", "thread"))
_IN_ANSWERS = ",".join(f"postback.{path}" for path in _IN_DIGITAL.split(","))
CONVERSATION_PATHS = f"conversationId,interactionId,{_IN_DIGITAL},{_IN_ANSWERS},masterContactId,contactId,page.id"
"""Where NICE's shapes name the conversation (docs/events.md): as the consumer finds it, or no order could be kept."""


class Entrance(Guarded):
    """Where it is reached, and by which secrets a sender is known."""

    admin_at = "receiver_admin_listen"

    listen: HostPort = setting(
        "127.0.0.1:8080", "HOST:PORT", "where events and health are served; a name is resolved once, at the start"
    )
    receiver_admin_listen: HostPort = setting(
        "127.0.0.1:9465", "HOST:PORT", "where the receiver's health, `/status` and `/metrics` are served"
    )
    admin_token: Secret | None = ADMIN_TOKEN
    tls_cert: Path | None = setting(None, "path of a PEM file", "serves TLS; the certificate")
    tls_key: Path | None = setting(None, "path of a PEM file", "serves TLS; the key")
    tls_client_ca: Path | None = setting(None, "path of a PEM file", "asks senders for a certificate of this CA (mTLS)")
    trusted_proxies: Networks = setting(
        "",
        "comma-separated CIDRs, for example 10.0.0.0/8",
        "proxies in front of it: their X-Forwarded-For names the client; `bearer` and `basic` then need no TLS of ours",
    )
    webhook_scheme: Scheme | None = setting(
        None,
        f"{', '.join(get_args(Scheme))} (on loopback only)",
        "how a sender proves who it is (docs/receiver.md)",
    )
    webhook_secrets: Secret = setting(
        SecretStr(""),
        "comma-separated secrets, file:PATH, secretsmanager:ARN or ssm:NAME",
        "all live at once, for rotation; a file's changes are followed",
    )

    @field_validator("webhook_scheme")
    @classmethod
    def _gives_no_secret_away(cls, scheme: str | None, info: ValidationInfo) -> str | None:
        """Anyone on the way can read what is sent as it is."""
        given = info.data
        if (
            info.context is None
            or scheme not in types.SENDS_ITS_SECRET
            or not {"listen", "tls_cert", "trusted_proxies"} <= given.keys()
        ):
            return scheme
        if in_the_clear(given["listen"], given["tls_cert"], given["trusted_proxies"]):
            raise ValueError(
                f"{scheme} would send the secret itself over plain HTTP; set {variable(cls, 'tls_cert')}, or name the "
                f"proxies in front in {variable(cls, 'trusted_proxies')}"
            )
        return scheme

    @field_validator("webhook_secrets")
    @classmethod
    def _are_strong(cls, given: SecretStr, info: ValidationInfo) -> SecretStr:
        """Another scheme counts other bytes of a secret; `none` has no use for one."""
        scheme = info.data.get("webhook_scheme") or ""
        if info.context is None or scheme == "none" or info.data.get("weak_secrets") != "refuse":
            return given
        if weak := secrets.weakness(given.get_secret_value(), scheme):
            raise ValueError(weak)
        return given


def in_the_clear(listen: str, tls_cert: Path | None, trusted_proxies: str) -> bool:
    """Whether what is sent there can be read on its way: no TLS of ours, no proxy that ends it, no loopback."""
    return tls_cert is None and not types.items(trusted_proxies) and not types.is_loopback(listen)


class Signature(BaseModel):
    """How a sender signs: `hmac_*` of scheme `hmac`, and the window of every scheme that signs a time.

    Declared once: what the environment refuses, a named source of the config file refuses.
    """

    hmac_header: str = setting("x-signature", "a header's name", "scheme `hmac`: the signature's header", min_length=1)
    hmac_algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = setting(
        "sha256", "sha1, sha256, sha384 or sha512", "scheme `hmac`: the hash of the signature"
    )
    hmac_encoding: Literal["hex", "base64"] = setting(
        "hex", "hex or base64", "scheme `hmac`: how the signature is written"
    )
    hmac_prefix: str = setting(
        "", "what stands before the signature, for example sha256=", "scheme `hmac`: what stands before the signature"
    )
    hmac_template: Template = setting("{body}", "a text of {id}, {timestamp}, {body}", "scheme `hmac`: what is signed")
    hmac_timestamp_header: str | None = setting(
        None, "a header's name", "scheme `hmac`: the header of the sender's time (epoch seconds)"
    )
    hmac_id_header: str | None = setting(None, "a header's name", "scheme `hmac`: the header of the delivery id")
    replay_window_s: int = setting(
        300, "seconds, 1 to 86400", "how far a signed time may be off, either way", ge=1, le=86400
    )


def left_over(scheme: str, given: Collection[str]) -> list[str]:
    """Of the fields that are set, those of scheme `hmac` that another scheme makes no use of."""
    takes_id = scheme in (*types.SENDS_ITS_SECRET, "none")
    of_hmac = sorted(name for name in given if name.startswith("hmac_") and scheme != "hmac")
    return [name for name in of_hmac if not (takes_id and name == "hmac_id_header")]


class Receiver(Signature, Entrance):
    """What `receive` needs. The bases stand so that the settings are listed in the order in which they are met."""

    max_body_bytes: int = setting(
        716_800,
        "bytes, 1 to 10485760",
        "the largest body; the default lets every accepted event fit a dead letter",
        ge=1,
        le=10 * MIB,
    )
    max_held_bytes: int = setting(
        64 * MIB,
        "bytes of accepted events that wait, at least 1048576",
        "accepted bytes in memory; over it the answer is 503",
        ge=MIB,
    )
    max_connections: int = setting(8_192, "connections, 1 to 1000000", "connections at once", ge=1, le=1_000_000)
    max_client_connections: int | None = setting(
        None,
        "connections of one client address, at least 1",
        "connections of one unknown address (default: half of all)",
        ge=1,
        le=1_000_000,
    )
    reuse_port: Literal["on", "off"] = setting("off", "on or off", "several receivers of one host share the port")
    drain_delay_s: float = setting(
        0.0, "seconds, 0 to 300", "how long it still serves after SIGTERM, while `/readyz` says 503", ge=0, le=300
    )
    buckets: int = setting(
        8, "ordering buckets, 1 to 4096", "groups that keep their order; a conversation is always in one", ge=1, le=4096
    )
    ordering: Literal["none", "conversation"] = setting(
        "none", "none or conversation", "whether events of a conversation are accepted in the stream's order"
    )
    partition_path: Paths = setting(
        CONVERSATION_PATHS,
        "comma-separated dotted paths into the event, first found wins",
        "which field of an event names its conversation",
    )
    spill_dir: Path | None = setting(
        None,
        "a writable folder",
        "where events wait on disk while the stream is down; without it the answer is 503",
    )
    spill_max_bytes: int = setting(1024**3, "bytes, at least 1048576", "the largest spill", ge=MIB)

    @property
    def client_connections(self) -> int:
        """Connections of one client address that have not yet shown who they are."""
        return self.max_client_connections or max(1, self.max_connections // 2)

    @property
    def in_the_clear(self) -> bool:
        """Whether what is sent here can be read on its way."""
        return in_the_clear(self.listen, self.tls_cert, self.trusted_proxies)

    def left_over(self) -> Iterator[str]:
        """A line for each setting of scheme `hmac` beside another scheme, which may have been the last one's."""
        for name in left_over(self.webhook_scheme or "hmac", self.model_fields_set):
            named = variable(type(self), name)
            yield f"{named}: is for scheme hmac, and the scheme is another, so it does nothing; unset it"

"""What the CXone commands read from the environment; checked and reported like every other setting."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from stream_router.cxone.web import is_safe
from stream_router.pipeline.mapping.digital_types import AGENT, CREATED, UPDATED
from stream_router.settings.common import Variables
from stream_router.settings.secrets import kept_secrets
from stream_router.settings.types import Secret


def _safe(url: str) -> str:
    if not is_safe(url):
        raise ValueError("is no https:// URL, or has a user in it: credentials are sent over HTTPS only")
    return url


Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$"), AfterValidator(_safe)]


class Cxone(Variables):
    """What the CXone client needs."""

    client_id: str | None = Field(None, validation_alias="CXONE_CLIENT_ID", description="the CXone client's id")
    client_secret: Secret | None = Field(
        None, validation_alias="CXONE_CLIENT_SECRET", description="the CXone client's secret"
    )
    access_key_id: str | None = Field(
        None, validation_alias="CXONE_ACCESS_KEY_ID", description="the id of a CXone user's access key"
    )
    access_key_secret: Secret | None = Field(
        None, validation_alias="CXONE_ACCESS_KEY_SECRET", description="the secret of that access key"
    )
    auth_url: Url | None = Field(None, validation_alias="CXONE_AUTH_URL", description="the token endpoint's URL")
    issuer: Url = Field(
        "https://cxone.niceincontact.com",
        validation_alias="CXONE_ISSUER",
        description="the URL where CXone's discovery documents are",
    )
    scope: str = Field(
        "integration:read webhook:read",
        validation_alias="CXONE_SCOPE",
        description="the scopes to ask for, separated by spaces",
    )
    ca_bundle: Path | None = Field(
        None,
        validation_alias="AWS_CA_BUNDLE",
        description="a PEM file of CA certificates; SSL_CERT_FILE and SSL_CERT_DIR come first",
    )
    ssl_cert_file: Path | None = Field(
        None, validation_alias="SSL_CERT_FILE", description="a PEM file of CA certificates"
    )
    ssl_cert_dir: Path | None = Field(
        None, validation_alias="SSL_CERT_DIR", description="a folder of CA certificates, named by their hashes"
    )
    event_types: str = Field(
        ",".join(sorted({CREATED, UPDATED, AGENT})),
        validation_alias="STREAM_ROUTER_EVENT_TYPES",
        description="a comma-separated list of event types, each of 1 to 128 characters",
    )
    drop_types: str = Field("", validation_alias="STREAM_ROUTER_DROP_TYPES", description="a list of event types")
    unroutable: Literal["dead-letter", "publish", "drop"] = Field(
        "dead-letter", validation_alias="STREAM_ROUTER_UNROUTABLE", description="dead-letter, publish or drop"
    )
    stream: str = Field(
        "cxone-events", validation_alias="STREAM_ROUTER_STREAM", description="1 to 128 of A-Z a-z 0-9 _ . -"
    )
    config: Path | None = Field(None, validation_alias="STREAM_ROUTER_CONFIG", description="path of a TOML file")

    @field_validator("client_id", "client_secret", "access_key_id", "access_key_secret", mode="before")
    @classmethod
    def _without_last_line_break(cls, value: object) -> object:
        """A secret that comes from a file has one at its end more often than not."""
        return value.rstrip("\r\n") if isinstance(value, str) else value

    @property
    def scopes_asked(self) -> frozenset[str]:
        """The scopes that a token ought to have. An access key asks for none, unless CXONE_SCOPE is set."""
        if self.access_key_id is not None and "scope" not in self.model_fields_set:
            return frozenset()
        return frozenset(self.scope.split())

    @property
    def certificates(self) -> Path | None:
        """The CA bundle to use; None where httpx finds its own (SSL_CERT_FILE, SSL_CERT_DIR or those it brings)."""
        return None if self.ssl_cert_file or self.ssl_cert_dir else self.ca_bundle

    def text_of(self, name: str) -> str:
        """A field's secret, wherever it stands; "" where none is set. Raises SettingsError, see `kept_secrets`."""
        return kept_secrets.text(getattr(self, name), str(type(self).model_fields[name].validation_alias))

    @model_validator(mode="after")
    def _has_a_pair(self) -> Self:
        """A client or an access key, each with its secret."""
        pairs = (
            ("CXONE_CLIENT", self.client_id, self.client_secret),
            ("CXONE_ACCESS_KEY", self.access_key_id, self.access_key_secret),
        )
        for name, identity, secret in pairs:
            if (identity is None) != (secret is None):
                missing = f"{name}_ID" if identity is None else f"{name}_SECRET"
                raise ValueError(f"{missing}: is not set; set {name}_ID and {name}_SECRET together")
        if self.client_id is None and self.access_key_id is None:
            cure = "set CXONE_CLIENT_ID and CXONE_CLIENT_SECRET, or CXONE_ACCESS_KEY_ID and CXONE_ACCESS_KEY_SECRET"
            raise ValueError(f"CXONE_CLIENT_ID: is not set; {cure}")
        return self

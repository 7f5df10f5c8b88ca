"""What the CXone commands read from the environment; checked and reported like every other setting."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stream_router.cxone.web import is_safe
from stream_router.settings.types import Secret


def _safe(url: str) -> str:
    if not is_safe(url):
        raise ValueError("is no https:// URL, or has a user in it: credentials are sent over HTTPS only")
    return url


Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$"), AfterValidator(_safe)]


class Cxone(BaseSettings):
    """What the CXone client needs."""

    model_config = SettingsConfigDict(
        extra="ignore", hide_input_in_errors=True, populate_by_name=True, env_ignore_empty=True
    )

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
        description="where CXone's discovery documents are",
    )
    scope: str = Field(
        "integration:read webhook:read",
        validation_alias="CXONE_SCOPE",
        description="the scopes to ask for, separated by spaces",
    )
    stream: str = Field("cxone-events", validation_alias="STREAM_ROUTER_STREAM", description="name a Kinesis stream")
    config: Path | None = Field(None, validation_alias="STREAM_ROUTER_CONFIG", description="path of a TOML file")

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

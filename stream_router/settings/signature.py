"""How a sender signs: `hmac_*` of scheme `hmac`, and the window of every scheme that signs a time."""

from typing import Literal

from pydantic import BaseModel, Field

from stream_router.settings.types import Template


class Signature(BaseModel):
    """Declared once: what the environment refuses, a named source refuses."""

    hmac_header: str = Field("x-signature", min_length=1, description="a header's name")
    hmac_algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = Field(
        "sha256", description="sha1, sha256, sha384 or sha512"
    )
    hmac_encoding: Literal["hex", "base64"] = Field("hex", description="hex or base64")
    hmac_prefix: str = Field("", description="what stands before the signature, for example sha256=")
    hmac_template: Template = Field("{body}", description="a text of {id}, {timestamp}, {body}")
    hmac_timestamp_header: str | None = Field(None, description="a header's name")
    hmac_id_header: str | None = Field(None, description="a header's name")
    replay_window_s: int = Field(300, ge=1, le=86400, description="seconds, 1 to 86400")

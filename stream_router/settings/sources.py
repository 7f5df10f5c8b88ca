"""Event sources of the config file (`[[cxone.sources]]`), which `receive`, `consume` and `cxone` read."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from stream_router.errors import WrongValueError
from stream_router.settings import files
from stream_router.settings.receiver import Signature
from stream_router.settings.types import Scheme, Secret

VARIABLE = "STREAM_ROUTER_CONFIG"

M = TypeVar("M", bound=BaseModel)


class _SourceTable(BaseModel):
    """Base class of the sources: refuses unknown keys, and holds the key that each source has."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    name: str = Field(min_length=1, max_length=64)


class PostedSource(_SourceTable, Signature):
    """A source that posts to the receiver.

    With `secrets`, or with scheme `none`, the source has its own path, `/v1/events/<name>`.

    The keys have the names of environment settings, in lower case, and apply to this source only.
    Without `replay_window_s` the environment's value applies.
    """

    url: str
    scheme: Scheme | None = None
    secrets: Secret | None = None
    preset: str | None = Field(None, min_length=1, max_length=64)
    """Name of the mapping's shape for this source's events, instead of the first shape that matches."""
    xml: bool = False
    """Accept XML as well; scheme `expert` always does."""

    @property
    def has_own_path(self) -> bool:
        """Return whether the receiver serves this source at a path with its name."""
        return self.secrets is not None or self.scheme == "none"

    @model_validator(mode="after")
    def _check_scheme_and_name(self) -> "PostedSource":
        """Refuse secrets without a scheme, and a name that cannot be a part of the source's own path."""
        if self.secrets is not None and self.scheme is None:
            raise WrongValueError("has secrets and no scheme", "set scheme beside secrets")
        if self.has_own_path and not (self.name.isascii() and self.name.replace("-", "").replace("_", "").isalnum()):
            raise WrongValueError("has a name that cannot be part of its path", "use letters, digits, - and _")
        return self


class WebhookSource(PostedSource):
    """A part of CXone that posts to our receiver: Expert, a Studio script, Workflow Automation."""

    type: Literal["webhook"]
    scheme: Scheme


class DataStreamSource(_SourceTable):
    """CXone Data Streams, which writes into the Kinesis stream itself."""

    type: Literal["data-stream"]
    stream: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")
    format: Literal["JSON", "JSON+LF", "PROTO", "AVRO", "JSON-AVRO+LF"]
    account: str = Field("737494165703", pattern=r"^\d{12}$")
    role_arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/\S+$")


class DigitalSource(PostedSource):
    """CXone digital's events, posted to our receiver."""

    type: Literal["digital"]
    event_types: tuple[str, ...] = Field(min_length=1)


Source = Annotated[WebhookSource | DataStreamSource | DigitalSource, Field(discriminator="type")]


class Sources(BaseModel):
    """The table `cxone`.

    Unknown keys are refused: with a mistyped `sources` the receiver would have no sources.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sources: tuple[Source, ...] = ()

    @field_validator("sources")
    @classmethod
    def _refuse_repeated_names(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        names = [source.name for source in sources]
        if repeated := len(names) - len(set(names)):
            raise WrongValueError(f"{repeated} of them have the name of an earlier source", "give each its own name")
        return sources


class Document(BaseModel):
    """The config file's top-level keys.

    Unknown keys are refused: with a mistyped `cxone` the receiver would have no sources. The
    consumer checks the content of its own keys (pipeline/mapping/config_file.py).
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    cxone: Sources = Sources()
    shape: Any = None
    naive_zone: Any = None
    shapes: Any = None
    event_types: Any = None
    metadata: Any = None


def read(path: Path | None) -> tuple[Source, ...]:
    """Return the configured sources.

    Raises SettingsError with a line for each wrong key, or for an unreadable file.
    """
    return read_part(path, Document).cxone.sources


def read_part(path: Path | None, model: type[M]) -> M:
    """Return the part of the file that `model` declares; its defaults if `path` is None.

    Raises as `read` does.
    """
    return files.read_toml(path, VARIABLE, model) if path else model()


def secret_text(secret: SecretStr | None) -> str:
    """Return a secret's text; "" if there is none."""
    return secret.get_secret_value() if secret is not None else ""

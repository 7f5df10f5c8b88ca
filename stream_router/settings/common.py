"""What sets of settings are made of, and the settings that every program needs.

Names and defaults are promised (docs/contract.md, "Settings"). The environment gives a field as `STREAM_ROUTER_` and
its name, or as its `validation_alias`. What a value may be is said by its type (`takes`); what a setting is for stands
where the pages are made (tools/configuration.py).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from stream_router.settings import secrets, types
from stream_router.settings.types import Application, Bus, EventTypes, HostNames, Rule, Stream, TomlFile

PREFIX = "STREAM_ROUTER_"

NO_RULE = "none"
"""The rule's name where the rules behind the bus are others', or where the bus (v2) has none."""

SETUP_TAG = "stream-router-setup"
"""Tag by which `teardown` recognises what this product made. Its value is the stream, which tells deployments apart."""


class Settings(BaseModel):
    """A set of settings. A check of one against another stands at the later of the two.

    There a validator sees in `info.data` what is declared before it and is right itself; so every setting that is wrong
    is said at once, and none because of another. Where the environment is read, the context is the dict that gets what
    is well formed; what code makes itself is held to its forms alone, not against each other.
    """

    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, validate_default=True, populate_by_name=True, loc_by_alias=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_bare(cls, value: Any, info: ValidationInfo) -> Any:
        """Nothing but a shell takes quotes away: Docker's files of variables keep them.

        JVM options have quotes of their own; of secrets it is said where they are found weak.
        """
        name = str(info.field_name)
        if isinstance(value, str) and types.is_quoted(value) and name != "jvm_options" and not is_secret(cls, name):
            raise ValueError("stands in quotes, which are a part of it here; take them away")
        return value

    @field_validator("*")
    @classmethod
    def _has_a_meaning(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse bytes that are no text: the environment may hold any. Only a shell knows what `~` is."""
        if isinstance(value, str) and not types.is_utf8(value):
            raise ValueError("is not UTF-8")
        if isinstance(value, Path) and str(value).startswith("~"):
            raise ValueError("begins with ~, which is no folder's name here; write the whole path")
        if isinstance(value, Path) and str(value) != str(value).strip():
            raise ValueError("is a path that begins or ends with a blank; take it away")
        if isinstance(info.context, dict):
            info.context[info.field_name] = value
        return value

    def secret(self, name: str, *, weak: bool = True) -> str:
        """Return the secret of a field, wherever it is; "" if none is set. Raise SettingsError, see `secrets.text`."""
        region = str(getattr(self, "aws_region", ""))
        return secrets.text(getattr(self, name), variable(type(self), name), region=region, weak=weak)


def variable(kind: type[Settings], name: str) -> str:
    """Return the environment variable of a field."""
    return str(kind.model_fields[name].validation_alias or PREFIX + name.upper())


def is_secret(kind: type[Settings], name: str) -> bool:
    """Whether a field holds a secret, or says where one stands."""
    return "Secret" in str(kind.model_fields[name].annotation)


def takes(kind: type[Settings], name: str) -> str:
    """Return what a field's value may be, in words: its own, else its bounds, else those of its type."""
    field = kind.model_fields[name]
    bounds = {key: getattr(part, key) for part in field.metadata for key in ("ge", "gt", "le") if hasattr(part, key)}
    if field.description:
        return field.description
    if "ge" in bounds:
        return f"{bounds['ge']} to {bounds['le']}" if "le" in bounds else f"{bounds['ge']} or more"
    if "gt" in bounds:
        return f"a number above {bounds['gt']}"
    words = [part for part in field.metadata if isinstance(part, str)] or list(_texts(field.annotation))
    return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:]))) or "a text"


def _texts(hint: Any) -> Iterator[str]:
    """Yield the texts in a type: a Literal's words, and what an Annotated type says of itself."""
    for part in get_args(hint):
        if isinstance(part, str):
            yield part
        yield from _texts(part)


def as_in(kind: type[Settings], name: str) -> Any:
    """Return a field as another set declares it."""
    return kind.model_fields[name]


class Common(Settings):
    """What every program needs: where the stream and the bus are."""

    aws_region: str = Field("", validation_alias="AWS_REGION", description="a region's name, for example us-east-1")
    stream: Stream = "cxone-events"
    application: Application = "cxone-event-router"
    event_bus: Bus = "default"
    rule: Rule = "cxone-webhook-router"
    event_types: EventTypes = "interaction.created,conversation.updated,agent.status.changed"
    config: TomlFile | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"

    @field_validator("aws_region", mode="before")
    @classmethod
    def _is_a_region(cls, region: str, info: ValidationInfo) -> str:
        """Check the region, which may come from the profile too: a wrong one would make each call fail."""
        return region if info.context is None else types.known_region(region or types.region_of_environment())

    @field_validator("event_bus")
    @classmethod
    def _is_here(cls, bus: str, info: ValidationInfo) -> str:
        """Every call to a bus that is somewhere else would fail."""
        here = info.data.get("aws_region")
        if here and bus.startswith("arn:") and bus.split(":")[3] != here:
            raise ValueError(
                "is not in AWS_REGION; name a bus of this region (a rule on it can pass events on to a bus elsewhere)"
            )
        return bus

    @property
    def event_type_list(self) -> tuple[str, ...]:
        """The event types that the rule lets through, in order."""
        return types.items(self.event_types)


class GuardedSettings(Common):
    """A program with an admin port and secrets: what can be guessed is refused, unless it is asked for."""

    weak_secrets: Literal["refuse", "allow"] = "refuse"
    admin_hosts: HostNames = ""

    admin_at: ClassVar[str]
    """The field with the admin port's HOST:PORT, which stands before `admin_token`."""

    @field_validator("admin_token", check_fields=False)
    @classmethod
    def _guards_the_port(cls, token: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """On loopback nobody else can try out a token, or read the numbers."""
        listen = info.data.get(cls.admin_at)
        if info.context is None or listen is None or types.is_loopback(listen):
            return token
        if token is None:
            raise ValueError(
                f"is not set, and {variable(cls, cls.admin_at)} is beyond loopback; set a token, or listen on 127.0.0.1"
            )
        return cls.strong(token, info)

    @staticmethod
    def strong(secret: SecretStr, info: ValidationInfo, scheme: str | None = None) -> SecretStr:
        """Return the secret, or of a `scheme` the secrets, of a setting; raises ValueError where one can be guessed."""
        text = secret.get_secret_value()
        if info.context is not None and info.data.get("weak_secrets") == "refuse":
            weak = secrets.weakness_of_one(text) if scheme is None else secrets.weakness(text, scheme)
            if weak and not text.startswith(secrets.READ_ELSEWHERE):
                raise ValueError(weak)
        return secret

    def key(self, name: str) -> str:
        """As `secret`; one that stands elsewhere has to be strong too, under the same rules."""
        on_loopback = name == "admin_token" and types.is_loopback(getattr(self, self.admin_at))
        return self.secret(name, weak=on_loopback or self.weak_secrets == "allow")

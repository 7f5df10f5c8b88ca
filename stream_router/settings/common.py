"""The settings that every program needs, and what sets of settings are made of.

Names and defaults are promised (docs/contract.md, "Settings"). `reading.load` reads them.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from stream_router import limits
from stream_router.errors import SettingsError
from stream_router.settings import renamed, types
from stream_router.settings.region import region_of_environment
from stream_router.settings.secrets import kept_secrets
from stream_router.settings.secrets.secret_strength import READ_ELSEWHERE, is_quoted, weakness_of_one
from stream_router.settings.types import Bus, EventTypes, Secret

PREFIX = "STREAM_ROUTER_"

NO_RULE = "none"
"""The rule's name where the rules behind the bus are others', or where the bus (v2) has none."""


class Variables(BaseSettings):
    """Fields that are read from variables, each by one name."""

    model_config = SettingsConfigDict(
        extra="ignore", hide_input_in_errors=True, populate_by_name=True, env_ignore_empty=True
    )

    @classmethod
    def settings_customise_sources(  # type: ignore[override] # neither .env files nor files of secrets
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        **_: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, where a field with an alias has no second name (its own, with our prefix before it).

        But what was renamed is read under its old name too.
        """
        assert isinstance(env_settings, EnvSettingsSource)
        given = renamed.under_new_names(env_settings.env_vars)
        env_settings.env_vars = {name.lower(): value for name, value in given.items() if value}
        env_settings.config = SettingsConfigDict(**{**env_settings.config, "populate_by_name": False})
        return init_settings, env_settings

    @field_validator("*")
    @classmethod
    def _has_a_meaning(cls, value: Any, info: ValidationInfo) -> Any:
        """The environment may hold any bytes, and no text is made of all of them; only a shell knows what `~` is.

        Nor does anything but a shell take quotes away: Docker's files of variables keep them. JVM options have some.
        """
        if isinstance(value, str) and not types.is_utf8(value):
            raise ValueError("is not UTF-8")
        if isinstance(value, Path) and str(value).startswith("~"):
            raise ValueError("begins with ~, which is no folder's name here; write the whole path")
        if isinstance(value, str | Path) and is_quoted(str(value)) and info.field_name != "jvm_options":
            raise ValueError("stands in quotes, which are a part of it here; take them away")
        return value


class Environment(Variables):
    """A set of variables, each read once: `STREAM_ROUTER_` and the field's name, unless the field has an alias."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    unknown: Literal["refuse", "warn"] = Field("refuse", description="refuse or warn")

    def refusal(self) -> str:
        """The trouble with values that are each well formed, as one line; "" where there is none."""
        return ""

    def secret(self, name: str, *, weak: bool = True) -> str:
        """The secret of a field, wherever it stands; "" where none is set. Raises SettingsError, see `kept_secrets`."""
        region = str(getattr(self, "aws_region", ""))
        return kept_secrets.text(getattr(self, name), variable(type(self), name), region=region, weak=weak)


class SecretRule(Environment):
    """Whether weak secrets are taken."""

    weak_secrets: Literal["refuse", "allow"] = Field("refuse", description="refuse or allow")

    def may_be_weak(self, name: str) -> bool:
        """Whether a key that can be guessed is taken."""
        del name
        return self.weak_secrets == "allow"

    def key(self, name: str) -> str:
        """As `secret`; a key that stands elsewhere has to be strong, unless weak ones are allowed."""
        return self.secret(name, weak=self.may_be_weak(name))

    def weakness_of(self, name: str) -> str:
        """What is wrong with a key that is the setting itself, as one line; "" where it may be taken."""
        given = getattr(self, name)
        literal = given.get_secret_value() if given else ""
        if not literal or literal.startswith(READ_ELSEWHERE) or self.may_be_weak(name):
            return ""
        weak = weakness_of_one(literal)
        return f"{variable(type(self), name)}: {weak}" if weak else ""


class AdminToken(SecretRule):
    """What is asked for on the admin port of a program, which says where that is."""

    admin_token: Secret | None = Field(None, description="a bearer token; required where it listens beyond loopback")

    admin_at: ClassVar[str]
    """The field with the port's HOST:PORT."""

    def may_be_weak(self, name: str) -> bool:
        """On loopback nobody else can try out a token."""
        return super().may_be_weak(name) or (name == "admin_token" and types.is_loopback(getattr(self, self.admin_at)))

    def unguarded(self) -> str:
        """What is wrong with the admin port's token; "" where nothing is."""
        if self.admin_token:
            return self.weakness_of("admin_token")
        if types.is_loopback(getattr(self, self.admin_at)):
            return ""
        return (
            f"STREAM_ROUTER_ADMIN_TOKEN: is not set, and {variable(type(self), self.admin_at)} is beyond loopback; "
            "set a token, or listen on 127.0.0.1"
        )


class Metrics(Environment):
    """How often a program tells CloudWatch."""

    metrics_s: float = Field(60.0, ge=0.1, le=3600, description="seconds between metrics, 0.1 to 3600")


class ConfigFile(Environment):
    """The file of mapping, shapes and event sources."""

    config: Path | None = Field(None, description="path of a TOML file")


class Common(ConfigFile):
    """What every program needs: where the stream and the bus are."""

    aws_region: str = Field("", validation_alias="AWS_REGION", description="a region's name, for example us-east-1")
    stream: str = Field("cxone-events", pattern=r"^[a-zA-Z0-9_.-]{1,128}$", description="1 to 128 of A-Z a-z 0-9 _ . -")
    application: str = Field(
        "cxone-event-router", pattern=r"^[a-zA-Z0-9_.-]{3,255}$", description="3 to 255 of A-Z a-z 0-9 _ . -"
    )
    event_bus: Bus = Field("default", min_length=1, max_length=1600, description="a bus's name or ARN")
    rule: str = Field(
        "cxone-webhook-router",
        pattern=rf"^[\.\-_A-Za-z0-9]{{1,{limits.RULE_NAME_MAX_CHARS}}}$",
        description="1 to 64 of A-Z a-z 0-9 . - _; or none, where the rules are others'",
    )
    event_types: EventTypes = Field(
        "interaction.created,conversation.updated,agent.status.changed",
        description="a comma-separated list of event types, each of 1 to 128 characters",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    log_format: Literal["auto", "json", "text"] = Field("auto", description="auto, json or text")

    @model_validator(mode="after")
    def _fill_region(self) -> Self:
        try:
            self.aws_region = self.aws_region or region_of_environment()
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return self

    def refusal(self) -> str:
        """A region that is none, or a bus that is somewhere else: every call would fail."""
        if not types.is_region(self.aws_region):
            return "AWS_REGION: is no region's name; set AWS_REGION, for example us-east-1"
        if types.region_of_bus(self.event_bus) not in ("", self.aws_region):
            return (
                "STREAM_ROUTER_EVENT_BUS: the bus is not in AWS_REGION; name one of this region "
                "(a rule on it can pass events on to a bus elsewhere)"
            )
        return super().refusal()

    @property
    def event_type_list(self) -> tuple[str, ...]:
        """The event types that the rule lets through, in order."""
        return types.items(self.event_types)


def variable(kind: type[BaseSettings], name: str) -> str:
    """The environment variable of a field (given by its own name or its alias)."""
    field = kind.model_fields.get(name)
    if field is None:
        return name.upper()
    return str(field.validation_alias) if field.validation_alias else PREFIX + name.upper()

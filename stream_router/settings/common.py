"""What sets of settings are made of, and the settings that every program needs.

Names and defaults are promised (docs/contract.md, "Settings"). `reading.load` reads them from the environment.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from stream_router import limits
from stream_router.settings import secrets, types
from stream_router.settings.types import Bus, EventTypes

PREFIX = "STREAM_ROUTER_"

NO_RULE = "none"
"""The rule's name where the rules behind the bus are others', or where the bus (v2) has none."""


def setting(default: Any, takes: str, purpose: str, *, variable: str = "", **rules: Any) -> Any:
    """A field that the environment gives, as `variable`, by default `STREAM_ROUTER_` and the field's name.

    `takes` is the form of its value, `purpose` what it is for: docs/configuration.md, the environment file of systemd
    and the lines that refuse a value say both in these words. `...` as default makes it required.
    """
    return Field(default, description=purpose, json_schema_extra={"takes": takes, "variable": variable}, **rules)


class Settings(BaseModel):
    """A set of settings. A check of one against another stands at the later of the two.

    There a validator sees in `info.data` what is declared before it and is right itself; so every setting that is wrong
    is said at once, and none because of another. Where the environment is read, the context is the dict that gets what
    is well formed; what code makes itself is held to its forms alone, not against each other.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, validate_default=True)

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
        """The environment may hold any bytes, and no text is made of all of them; only a shell knows what `~` is."""
        if isinstance(value, str) and not types.is_utf8(value):
            raise ValueError("is not UTF-8")
        if isinstance(value, Path) and str(value).startswith("~"):
            raise ValueError("begins with ~, which is no folder's name here; write the whole path")
        if isinstance(info.context, dict):
            info.context[info.field_name] = value
        return value

    def secret(self, name: str, *, weak: bool = True) -> str:
        """The secret of a field, wherever it stands; "" where none is set. Raises SettingsError, see `secrets.text`."""
        region = str(getattr(self, "aws_region", ""))
        return secrets.text(getattr(self, name), variable(type(self), name), region=region, weak=weak)


def variable(kind: type[Settings], name: str) -> str:
    """The environment variable of a field."""
    field = kind.model_fields.get(name)
    extra = field.json_schema_extra if field else None
    return str(extra.get("variable") or "") or PREFIX + name.upper() if isinstance(extra, dict) else name.upper()


def is_secret(kind: type[Settings], name: str) -> bool:
    """Whether a field holds a secret, or says where one stands."""
    return "Secret" in str(kind.model_fields[name].annotation)


def takes(kind: type[Settings], name: str) -> str:
    """The form of a field's value, in words."""
    extra = kind.model_fields[name].json_schema_extra
    return str(extra["takes"]) if isinstance(extra, dict) else ""


def as_in(kind: type[Settings], name: str) -> Any:
    """A field as another set declares it."""
    return kind.model_fields[name]


ADMIN_TOKEN = setting(
    None,
    "a bearer token; required where it listens beyond loopback",
    "on both admin ports, not for `/healthz`, `/readyz`, `/`; beyond loopback of 16 bytes",
)
"""Declared by each program, behind its admin port's address."""


class Common(Settings):
    """What every program needs: where the stream and the bus are."""

    aws_region: str = setting(
        "", "a region's name, for example us-east-1", "the region of everything", variable="AWS_REGION"
    )
    stream: str = setting(
        "cxone-events", "1 to 128 of A-Z a-z 0-9 _ . -", "the Kinesis stream", pattern=r"^[a-zA-Z0-9_.-]{1,128}$"
    )
    application: str = setting(
        "cxone-event-router",
        "3 to 255 of A-Z a-z 0-9 _ . -",
        "the KCL application, and so its lease table in DynamoDB",
        pattern=r"^[a-zA-Z0-9_.-]{3,255}$",
    )
    event_bus: Bus = setting("default", "a bus's name or ARN", "the event bus; a v2 bus is known by its ARN")
    rule: str = setting(
        "cxone-webhook-router",
        "1 to 64 of A-Z a-z 0-9 . - _; or none, where the rules are others'",
        "the rule that `setup` makes and `consume` watches; `none`: no rule is watched",
        pattern=rf"^[\.\-_A-Za-z0-9]{{1,{limits.RULE_NAME_MAX_CHARS}}}$",
    )
    event_types: EventTypes = setting(
        "interaction.created,conversation.updated,agent.status.changed",
        "a comma-separated list of event types, each of 1 to 128 characters",
        "what the rule lets through",
    )
    config: Path | None = setting(
        None,
        "path of a TOML file",
        "shapes and mapping for `consume` and `mask` (docs/events.md), event sources for `receive` and `cxone`",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "INFO", "DEBUG, INFO, WARNING or ERROR", "how much is logged, on stderr (docs/logs.md)"
    )
    log_format: Literal["auto", "json", "text"] = setting(
        "auto", "auto, json or text", "one JSON object a line, or lines for a person; `auto`: the latter on a terminal"
    )

    @field_validator("event_bus")
    @classmethod
    def _is_here(cls, bus: str, info: ValidationInfo) -> str:
        """Every call to a bus that is somewhere else would fail."""
        here = info.data.get("aws_region")
        if here and types.region_of_bus(bus) not in ("", here):
            raise ValueError(
                "is not in AWS_REGION; name a bus of this region (a rule on it can pass events on to a bus elsewhere)"
            )
        return bus

    @property
    def event_type_list(self) -> tuple[str, ...]:
        """The event types that the rule lets through, in order."""
        return types.items(self.event_types)


class Guarded(Common):
    """A program with an admin port and secrets: what can be guessed is refused, unless it is asked for."""

    weak_secrets: Literal["refuse", "allow"] = setting(
        "refuse",
        "refuse or allow",
        "secrets under 16 bytes, and what only names one, as a path without `file:` does",
    )

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
    def strong(secret: SecretStr, info: ValidationInfo) -> SecretStr:
        """A secret that is the setting itself; raises ValueError where it can be guessed."""
        literal = secret.get_secret_value()
        refuses = info.context is not None and info.data.get("weak_secrets") == "refuse"
        if refuses and not literal.startswith(secrets.READ_ELSEWHERE) and (weak := secrets.weakness_of_one(literal)):
            raise ValueError(weak)
        return secret

    def key(self, name: str) -> str:
        """As `secret`; one that stands elsewhere has to be strong too, under the same rules."""
        on_loopback = name == "admin_token" and types.is_loopback(getattr(self, self.admin_at))
        return self.secret(name, weak=on_loopback or self.weak_secrets == "allow")

"""Base class of all sets of settings, and the settings that every program needs.

Names and defaults are part of the contract (docs/contract.md, "Settings"). The environment variable
of a field is `STREAM_ROUTER_` and the field's name, or its `validation_alias`. The field's type
describes its values (`allowed_values`); the purpose of each setting is described in tools/configuration.py,
which generates the pages.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from stream_router.errors import WrongValueError
from stream_router.settings import secrets, types
from stream_router.settings.types import Application, Bus, EventTypes, HostNames, Rule, Stream, TomlFile

PREFIX = "STREAM_ROUTER_"

NO_RULE = "none"
"""Value of STREAM_ROUTER_RULE if others own the rules behind the bus, or if the bus is v2 and has no rules."""

SETUP_TAG = "stream-router-setup"
"""Tag by which `teardown` recognises the resources of `setup`.

Its value is the stream, one per deployment.
"""


class Settings(BaseModel):
    """A set of settings.

    A check that compares two settings is a validator of the field that is declared later. It finds
    the earlier field in `info.data` if that field is valid by itself. So all wrong settings are
    reported at once, and no setting is reported only because another is wrong.

    When the environment is read, `info.context` is a dict that collects the valid values. Settings
    that code creates have no context: only the form of each value is checked.
    """

    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, validate_default=True, populate_by_name=True, loc_by_alias=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_quotes(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a value in quotes: only a shell removes quotes, Docker's environment files keep them."""
        name = str(info.field_name)
        # JVM options may have quotes of their own. A quoted secret is refused by the check for weak secrets.
        may_be_quoted = name == "jvm_options" or is_secret(cls, name)
        if isinstance(value, str) and types.is_quoted(value) and not may_be_quoted:
            raise WrongValueError("is in quotes, which would become part of the value", "remove them")
        return value

    @field_validator("*")
    @classmethod
    def _refuse_unusable_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse text that is not UTF-8 and paths that only a shell would expand; record the value as valid."""
        # The environment may hold any bytes; Python keeps those that are not UTF-8 as lone surrogates.
        if isinstance(value, str) and not types.is_utf8(value):
            raise ValueError("is not UTF-8")
        if isinstance(value, Path) and str(value).startswith("~"):
            raise WrongValueError("begins with ~, which only a shell expands", "write the whole path")
        if isinstance(value, Path) and str(value) != str(value).strip():
            raise WrongValueError("is a path that begins or ends with white space", "remove it")
        if isinstance(info.context, dict):
            info.context[info.field_name] = value
        return value

    def secret(self, name: str, *, allow_weak: bool = True) -> str:
        """Return a field's secret, wherever it is stored; "" if none is set.

        Raises as `secrets.read_secret` does.
        """
        region = str(getattr(self, "aws_region", ""))
        return secrets.read_secret(
            getattr(self, name), variable(type(self), name), region=region, allow_weak=allow_weak
        )


def variable(kind: type[Settings], name: str) -> str:
    """Return the environment variable of a field."""
    return str(kind.model_fields[name].validation_alias or PREFIX + name.upper())


def is_secret(kind: type[Settings], name: str) -> bool:
    """Return whether a field holds a secret or a reference to one."""
    # The annotation may be a union such as `SecretStr | None`, so its text is searched.
    return "Secret" in str(kind.model_fields[name].annotation)


def allowed_values(kind: type[Settings], name: str) -> str:
    """Return a field's allowed values in words: its description, else its bounds, else the words of its type."""
    field = kind.model_fields[name]
    bounds = {key: getattr(part, key) for part in field.metadata for key in ("ge", "gt", "le") if hasattr(part, key)}
    if field.description:
        return field.description
    if "ge" in bounds:
        return f"{bounds['ge']} to {bounds['le']}" if "le" in bounds else f"{bounds['ge']} or more"
    if "gt" in bounds:
        return f"a number above {bounds['gt']}"
    words = [part for part in field.metadata if isinstance(part, str)] or list(_texts(field.annotation))
    if len(words) < 2:
        return words[0] if words else "a text"
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _texts(hint: Any) -> Iterator[str]:
    """Yield the texts in a type: the words of a Literal, and the description in an Annotated type."""
    for part in get_args(hint):
        if isinstance(part, str):
            yield part
        yield from _texts(part)


def field_of(kind: type[Settings], name: str) -> Any:
    """Return the declaration of a field, so that another set of settings can have the same field."""
    return kind.model_fields[name]


class Common(Settings):
    """Settings that every program needs, such as region, stream and bus."""

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
    def _check_region(cls, region: str, info: ValidationInfo) -> str:
        """Return the region if botocore knows it.

        If the setting is empty, the region is that of AWS_DEFAULT_REGION, or of the AWS profile.
        """
        return region if info.context is None else types.check_region(region or types.region_of_environment())

    @field_validator("event_bus")
    @classmethod
    def _check_bus_region(cls, bus: str, info: ValidationInfo) -> str:
        """Refuse a bus of another region: every call to it would fail."""
        region = info.data.get("aws_region")
        if region and bus.startswith("arn:") and bus.split(":")[3] != region:
            raise WrongValueError(
                "is not in AWS_REGION", "name a bus of this region (a rule on it can pass events on to a bus elsewhere)"
            )
        return bus

    @property
    def event_type_list(self) -> tuple[str, ...]:
        """Event types that the rule matches, in the setting's order."""
        return types.items(self.event_types)


class GuardedSettings(Common):
    """Settings of a program with an admin port and secrets.

    A weak secret is refused unless `weak_secrets` allows it.
    """

    weak_secrets: Literal["refuse", "allow"] = "refuse"
    admin_hosts: HostNames = ""

    admin_listen_field: ClassVar[str]
    """Name of the field with the admin port's HOST:PORT.

    The field must be declared before `admin_token`, whose validator reads it.
    """

    @field_validator("admin_token", check_fields=False)
    @classmethod
    def _require_token_beyond_loopback(cls, token: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """Require a strong token if the admin port listens beyond loopback."""
        listen = info.data.get(cls.admin_listen_field)
        if info.context is None or listen is None or types.is_loopback(listen):
            return token
        if token is None:
            raise WrongValueError(
                f"is not set, and {variable(cls, cls.admin_listen_field)} is beyond loopback",
                "set a token, or listen on 127.0.0.1",
            )
        return cls.require_strong(token, info)

    @staticmethod
    def require_strong(secret: SecretStr, info: ValidationInfo, scheme: str | None = None) -> SecretStr:
        """Return the secret of a setting. Raises ValueError if it is weak and `weak_secrets` refuses that.

        A reference is accepted here: the secret that it names is checked when it is read.

        With `scheme` the setting may hold several secrets, separated by commas. The scheme decides
        which bytes of a secret count.
        """
        text = secret.get_secret_value()
        if info.context is not None and info.data.get("weak_secrets") == "refuse":
            if scheme is None:
                weakness = secrets.describe_weakness_of_one(text)
            else:
                weakness = secrets.describe_weakness(text, scheme)
            if weakness and not text.startswith(secrets.REFERENCE_PREFIXES):
                raise WrongValueError(*weakness)
        return secret

    def strong_secret(self, name: str) -> str:
        """Return a field's secret as `secret` does. Raises SettingsError if `weak_secrets` refuses it."""
        # Only this machine reaches loopback, so a weak token is no risk there.
        on_loopback = name == "admin_token" and types.is_loopback(getattr(self, self.admin_listen_field))
        return self.secret(name, allow_weak=on_loopback or self.weak_secrets == "allow")

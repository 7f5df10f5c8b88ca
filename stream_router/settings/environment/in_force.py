"""What is in force: every setting of a program, its value and where it came from. Secrets are hidden."""

import os
import re
from typing import Any, NamedTuple

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from stream_router.errors import SettingsError
from stream_router.settings import renamed
from stream_router.settings.common import variable
from stream_router.settings.consumer import Consumer
from stream_router.settings.environment import names
from stream_router.settings.environment.reading import load
from stream_router.settings.secrets.secret_strength import READ_ELSEWHERE

ENVIRONMENT, DEFAULT, UNSET = "environment", "default", "not set"

OF_AWS = ("AWS_PROFILE", "AWS_CA_BUNDLE")
"""Shown as well, with the endpoints: boto3 reads them, and they decide where everything goes."""


_USER_IN_A_URL = re.compile(r"(?<=://)[^/?#\s]*@")


def users_hidden(text: str) -> str:
    """The text with each user (and so each password) in its URLs hidden: no setting has a use for one."""
    return _USER_IN_A_URL.sub("(hidden)@", text)


class Row(NamedTuple):
    """One setting."""

    variable: str
    value: str
    source: str


def rows(kind: type[BaseSettings]) -> tuple[list[Row], str]:
    """Every setting of `kind`, and the line that says what is wrong ("" where nothing is)."""
    problem, made = "", None
    try:
        made = load(kind)
    except SettingsError as error:
        problem = str(error)
    return [_row(kind, name, made) for name in kind.model_fields], problem


def of_aws() -> list[Row]:
    """What of boto3's own settings the environment holds; no credentials."""
    shown = [name for name in sorted(os.environ) if name in OF_AWS or name.startswith("AWS_ENDPOINT_URL")]
    return [Row(name, users_hidden(os.environ[name]), ENVIRONMENT) for name in shown]


def unknown() -> list[str]:
    """A line for each name that looks like a setting and is none, refused or not."""
    return names.warnings(os.environ)


def refuse_twice() -> None:
    """Raises SettingsError as a start does where a setting is there in two spellings."""
    names.refuse_twice(os.environ)


def old_names() -> list[renamed.Renamed]:
    """What is set under a name that it had before."""
    return renamed.in_use(os.environ)


def is_set(*variables: str) -> bool:
    """Whether the environment holds any of these, not empty."""
    given = renamed.under_new_names(os.environ)
    return any(given.get(name) for name in variables)


def _row(kind: type[BaseSettings], name: str, made: BaseSettings | None) -> Row:
    field, shown = kind.model_fields[name], variable(kind, name)
    given = {key.upper(): value for key, value in renamed.under_new_names(os.environ).items()}.get(shown, "")
    secret = "Secret" in str(field.annotation)
    if given:
        written = renamed.as_written(shown, os.environ)
        source = ENVIRONMENT if written == shown else f"{ENVIRONMENT}, as {written}, its old name"
        return Row(shown, _hidden(given) if secret else users_hidden(given), source + _ceiling(made, shown))
    if shown == "AWS_REGION":
        return _region(made)
    default = field.default
    if field.is_required() or default is None or _text(default) == "":
        return Row(shown, "", UNSET + _ceiling(made, shown))
    return Row(shown, _text(default), DEFAULT + _ceiling(made, shown))


def _region(made: BaseSettings | None) -> Row:
    if from_default := os.environ.get("AWS_DEFAULT_REGION", ""):
        return Row("AWS_REGION", from_default, "environment, AWS_DEFAULT_REGION")
    found = str(getattr(made, "aws_region", ""))
    return Row("AWS_REGION", found, "the profile" if found else UNSET)


def _ceiling(made: BaseSettings | None, shown: str) -> str:
    """Where something stronger than the setting decides: what it leaves."""
    if isinstance(made, Consumer):
        if shown == "STREAM_ROUTER_MAX_ENTRIES" and made.entries_per_call != made.max_entries:
            return f"; the bus takes {made.entries_per_call}"
        if shown == "STREAM_ROUTER_MAX_REQUEST_BYTES" and made.bytes_per_call != made.max_request_bytes:
            return f"; the region takes {made.bytes_per_call}"
    return ""


def _hidden(secret: str) -> str:
    """Where it stands is shown; what was written behind that, after a comma, may be another secret."""
    if not secret.startswith(READ_ELSEWHERE):
        return "(hidden)"
    where, comma, _ = secret.partition(",")
    return where + comma + "(hidden)" * len(comma)


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return _hidden(value.get_secret_value()) if value.get_secret_value() else ""
    return f"{value:g}" if isinstance(value, float) else str(value)

"""How the environment is read. Nothing else reads settings from it.

A bad value raises `SettingsError`, whose text is one line: the variable, what is wrong with its value, the cure. Values
are never quoted, since some are secrets.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from stream_router.errors import SettingsError, first_error, in_words
from stream_router.process import FAILPOINTS_VARIABLE, arm_failpoints, failpoints_in_force
from stream_router.settings import renamed
from stream_router.settings.common import Environment, variable
from stream_router.settings.environment import names

log = logging.getLogger(__name__)

S = TypeVar("S", bound=BaseSettings)


def load(kind: type[S], **given: Any) -> S:
    """Read and check the environment for one program; `given` wins over it (by field name).

    Raises SettingsError with the line to show, and exit 78.
    """
    names.refuse_unknown(os.environ)
    names.refuse_twice(os.environ)
    renamed.refuse_both(os.environ)
    arm_failpoints(os.environ.get(FAILPOINTS_VARIABLE, ""))
    return read(kind, **given)


def read(kind: type[S], **given: Any) -> S:
    """The same, whatever names of settings there are that nobody knows."""
    try:
        made = kind(**given)
    except ValidationError as error:
        raise SettingsError(_one_line(kind, error)) from None
    if isinstance(made, Environment) and (line := made.refusal()):
        raise SettingsError(line)
    return made


def warn_of_names() -> None:
    """Log each name of the environment that is none of a setting and was not refused, or is an old one: at start."""
    for line in names.warnings(os.environ):
        log.warning("%s", line, extra={"event": "setting-unknown"})
    for row in renamed.in_use(os.environ):
        told = {"code": names.CODE, "setting": row.old, "cure": row.cure}
        log.warning("%s: %s; %s", row.old, row.says, row.cure, extra={"event": "setting-renamed", **told})
    warn_of_failpoints()


def warn_of_failpoints() -> None:
    """Log that failpoints are armed, which nobody may miss."""
    if told := failpoints_in_force():
        log.warning(
            "failpoints are armed: this process is to be killed or stalled on purpose, by a test: %s",
            told,
            extra={"event": "failpoints-armed"},
        )


def _one_line(kind: type[BaseSettings], error: ValidationError) -> str:
    """The first thing wrong, as `VARIABLE: problem; cure`."""
    first = first_error(error)
    problem = in_words(first)
    if not first["loc"]:
        return problem
    name = str(first["loc"][0])
    if first["type"] == "missing":
        problem = "is not set"
    return f"{renamed.as_written(variable(kind, name), os.environ)}: {problem}; give {_wanted(kind, name)}"


def _wanted(kind: type[BaseSettings], name: str) -> str:
    """What the setting takes, as its own declaration says it."""
    fields: Mapping[str, Any] = kind.model_fields
    for key, field in fields.items():
        if name in (key, field.validation_alias):
            return str(field.description)
    return "what docs/configuration.md says of it"

"""Files that settings name: reading regular files alone, and reading TOML into a checked model.

An error names the setting, the file, the key and the problem. Values are not quoted: one may be a
secret.
"""

import difflib
import logging
import os
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from stream_router.errors import SettingProblem, SettingsError, WrongValueError

log = logging.getLogger(__name__)

# --- regular files alone: reading a pipe may block for ever, and reading a device never ends


class NoRegularFileError(OSError):
    """The path is a pipe, a device, a socket or a folder."""


def check_regular(path: Path) -> None:
    """Raise NoRegularFileError unless the path is a regular file.

    Raises OSError if the path cannot be examined.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise NoRegularFileError(0, "is not a regular file")


def read(path: Path, max_bytes: int = -1) -> bytes:
    """Return the file's content, at most `max_bytes` (-1: all).

    Raises NoRegularFileError and OSError.
    """
    check_regular(path)
    with path.open("rb") as file:
        return file.read(max_bytes)


def read_text(path: Path) -> str:
    """Return the content as text. Raises as `read` does, and UnicodeDecodeError."""
    return read(path).decode("utf-8-sig")  # some editors put a byte order mark first


def find_readers(path: Path) -> str:
    """Return who else may read a file, in words; "" if nobody, or if the file cannot be seen.

    The group's permission counts only if this process's user owns the file. Otherwise this process
    itself reads the file as a member of the group. An example is a Kubernetes Secret with an
    fsGroup: its files belong to root and have the mode 0440 (docs/facts.md).
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return ""
    if status.st_mode & stat.S_IROTH:
        return "every user of this host"
    return "its group" if status.st_mode & stat.S_IRGRP and status.st_uid == os.geteuid() else ""


def describe_failure(error: OSError | ValueError) -> str:
    """Return the reason why a file could not be read, in words.

    The words contain neither the path nor the content.
    """
    if isinstance(error, OSError):
        return str(error.strerror)
    # Any other ValueError means that the path itself is impossible, for example holds a zero byte.
    return "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "no such path"


def check_parent(folder: Path | None, variable: str) -> None:
    """Raise SettingsError if a folder that a setting names cannot be created, since its parent does not exist."""
    # os.path.isdir returns False if the name is too long for a path; Path.is_dir raises.
    if folder is not None and not os.path.isdir(folder.parent):  # noqa: PTH112
        raise SettingsError(
            variable,
            f"cannot be created, since the folder {folder.parent} does not exist",
            "create that folder, or correct the path",
        )


def make_folder(folder: Path, variable: str, mode: int = 0o777) -> None:
    """Create the folder that a setting names if it does not exist.

    Log a warning then, since the path may be misspelt. Raises OSError.
    """
    if not folder.is_dir():
        folder.mkdir(mode)
        log.warning(
            "%s: the folder %s did not exist and was created. No event is affected. If an earlier run kept files "
            "elsewhere, correct the setting",
            variable,
            folder,
            extra={"event": "folder-made"},
        )


# --- TOML


class CheckedTable(BaseModel):
    """A TOML table that refuses unknown keys. Its errors never quote values."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True, arbitrary_types_allowed=True)


M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path, variable: str, model: type[M]) -> M:
    """Return the TOML file's content as a `model`.

    Raises SettingsError with a problem for each wrong key.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({describe_failure(error)})"
        raise SettingsError(variable, problem, "name a readable TOML file", place=(str(path),)) from None
    try:
        return model.model_validate(tomllib.loads(text))
    except ValidationError as error:
        wrong_keys = _describe_wrong_keys(error, model)
        raise SettingsError.of(
            SettingProblem(variable, problem, cure, (str(path), key)) for key, problem, cure in wrong_keys
        ) from None
    except (ValueError, RecursionError) as error:  # also for numbers with thousands of digits, and deep nesting
        raise SettingsError(variable, f"is not valid TOML: {error}", "correct the file", place=(str(path),)) from None


def _describe_wrong_keys(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Yield key, problem and cure of each wrong key.

    A missing key is not reported if a mistyped key resembles its name: both problems would have
    one cause.
    """
    details, known_keys = error.errors(include_url=False), set(_key_names(model))
    places = [_format_place(detail["loc"], known_keys) for detail in details]
    suggestions = {
        place: nearest_name(place.rpartition(".")[2], known_keys)
        for detail, place in zip(details, places, strict=True)
        if detail["type"] == "extra_forbidden"
    }
    for detail, place in zip(details, places, strict=True):
        if place in suggestions:
            suggestion = suggestions[place]
            cure = f"did you mean {suggestion}?" if suggestion else "remove it, or correct its name"
            yield place, "is an unknown key", cure
        elif detail["type"] != "missing" or place.rpartition(".")[2] not in suggestions.values():
            problem, cure = describe_problem(detail)
            yield place or "the file", problem, cure or "correct this key"


def _format_place(loc: tuple[int | str, ...], known_keys: set[str]) -> str:
    """Return the place of an error in the file as text, for example `shapes[0].fields.timestamp`."""
    text = ""
    for index, step in enumerate(loc):
        is_last = index == len(loc) - 1
        if isinstance(step, int):
            text += f"[{step}]"
        elif step in known_keys or is_last:  # pydantic's `loc` also names the member of a union that it tried
            text += f".{step}"
    return text.lstrip(".")


def _key_names(hint: Any) -> Iterator[str]:
    """Yield the names of all keys in a model and in the models inside it."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield from hint.model_fields
        hints: Iterable[Any] = (field.annotation for field in hint.model_fields.values())
    else:
        hints = get_args(hint)
    for inner in hints:
        yield from _key_names(inner)


# --- in words


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return the known name that most resembles a mistyped name; "" if none does."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)), "")


_NO_FORM = "does not have the required form"

_PROBLEMS = {
    "missing": ("is missing", ""),
    "literal_error": ("is none of the allowed words", "it must be {expected}"),
    "string_unicode": ("is not UTF-8", ""),
    "string_pattern_mismatch": (_NO_FORM, ""),
    "string_type": ("is not text", ""),
    "string_too_short": ("has fewer characters than {min_length}", ""),
    "string_too_long": ("has more characters than {max_length}", ""),
    "too_short": ("has fewer items than {min_length}", ""),
    "too_long": ("has more items than {max_length}", ""),
    "int_type": ("is not a whole number", ""),
    "int_parsing": ("is not a whole number", ""),
    "int_parsing_size": ("is not a whole number of a usual size", ""),
    "int_from_float": ("is not a whole number", ""),
    "float_type": ("is not a number", ""),
    "float_parsing": ("is not a number", ""),
    "finite_number": ("is not a finite number", ""),
    "greater_than": ("is not above {gt}", ""),
    "greater_than_equal": ("is less than {ge}", ""),
    "less_than_equal": ("is more than {le}", ""),
    "bool_type": ("is neither true nor false", ""),
    "bool_parsing": ("is neither true nor false", ""),
    "list_type": ("is not a list", ""),
    "tuple_type": ("is not a list", ""),
    "dict_type": ("is not a table", ""),
    "model_type": ("is not a table", ""),
    "model_attributes_type": ("is not a table", ""),
    "union_tag_not_found": ("has no type", "give one"),
    "union_tag_invalid": ("has an unknown type", "give one of {expected_tags}"),
}
"""Problem and cure by pydantic's error type.

Pydantic's own texts show patterns or values, or name Python's types.
"""


def describe_problem(error: Mapping[str, Any]) -> tuple[str, str]:
    """Return problem and cure of a pydantic error; the cure is "" if there is none but to give an allowed value.

    Neither quotes the value.
    """
    context = error.get("ctx", {})
    refusal = context.get("error")
    if isinstance(refusal, WrongValueError):
        return refusal.problem, refusal.cure
    if isinstance(refusal, ValueError):
        return str(refusal), ""
    if error["type"] in ("list_type", "tuple_type") and isinstance(error.get("input"), dict):
        return "is a table; it must be a list of tables", f"write [[{error['loc'][-1]}]] above each table"
    problem, cure = _PROBLEMS.get(error["type"], (_NO_FORM, ""))
    return problem.format(**context), cure.format(**context)

"""Files that settings name: reading regular files alone, and reading TOML into a checked model.

An error is one line that names the setting, the file, the key and the problem. Values are not
quoted: one may be a secret.
"""

import difflib
import logging
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from stream_router.errors import SettingsError

log = logging.getLogger(__name__)

# --- regular files alone: reading a pipe may block for ever, and reading a device never ends


class NoRegularFileError(OSError):
    """The path is a pipe, a device, a socket or a folder."""


def check_regular(path: Path) -> None:
    """Raise NoRegularFileError unless the path is a regular file.

    Raises OSError if the path cannot be examined.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise NoRegularFileError(0, "is no regular file")


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

    A group's right counts only for a file of our own. If another user owns it, the group is how we
    read it: so it is of a Kubernetes Secret under an fsGroup, whose files belong to root and have
    the mode 0440 (docs/facts.md).
    """
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return ""
    if seen.st_mode & stat.S_IROTH:
        return "every user of this host"
    return "its group" if seen.st_mode & stat.S_IRGRP and seen.st_uid == os.geteuid() else ""


def describe_failure(error: OSError | ValueError) -> str:
    """Return the reason why a file could not be read, in words.

    It quotes neither path nor content.
    """
    if isinstance(error, OSError):
        return str(error.strerror)
    return "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "no such path"


def check_parent(folder: Path | None, variable: str) -> None:
    """Raise SettingsError if a folder that a setting names cannot be made, since the one above it does not exist."""
    # os.path answers no if a name is too long for a path; Path raises.
    if folder is not None and not os.path.isdir(folder.parent):  # noqa: PTH112
        raise SettingsError(
            f"{variable}: cannot be made, since there is no folder {folder.parent}; make that one, or correct the path"
        )


def make_folder(folder: Path, variable: str, mode: int = 0o777) -> None:
    """Make the folder that a setting names unless it exists, and log that: its path may be misspelt. Raises OSError."""
    if not folder.is_dir():
        folder.mkdir(mode)
        log.warning(
            "%s: the folder %s did not exist and was made. No event is concerned. If an earlier run kept something "
            "elsewhere, correct the setting",
            *(variable, folder),
            extra={"event": "folder-made"},
        )


# --- TOML


class CheckedTable(BaseModel):
    """A TOML table that refuses unknown keys. Its errors never quote values."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True, arbitrary_types_allowed=True)


M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path, variable: str, model: type[M]) -> M:
    """Return the TOML file's content as a `model`.

    Raises SettingsError with a line for each wrong key.
    """
    try:
        written = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{variable}: {path}: cannot be read ({describe_failure(error)}); name a readable TOML file"
        ) from None
    try:
        return model.model_validate(tomllib.loads(written))
    except ValidationError as error:
        problems = dict.fromkeys(_problems(error, model))
        raise SettingsError("\n".join(f"{variable}: {path}: {problem}" for problem in problems)) from None
    except (ValueError, RecursionError) as error:  # numbers with thousands of digits, and deep nesting
        raise SettingsError(f"{variable}: {path}: is no TOML: {error}; correct the file") from None


def _problems(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """Yield `key: problem; cure` for each wrong key.

    A missing key is not reported if a mistyped key is near to its name: both lines would have one
    cause.
    """
    details, keys = error.errors(include_url=False), set(_keys(model))
    places = [_place(detail["loc"], keys) for detail in details]
    meant = {
        place: nearest_name(place.rpartition(".")[2], keys)
        for detail, place in zip(details, places, strict=True)
        if detail["type"] == "extra_forbidden"
    }
    for detail, place in zip(details, places, strict=True):
        if place in meant:
            cure = f"did you mean {meant[place]}?" if meant[place] else "remove it, or correct its name"
            yield f"{place}: is an unknown key; {cure}"
        elif detail["type"] != "missing" or place.rpartition(".")[2] not in meant.values():
            problem = describe_problem(detail)
            yield f"{place or 'the file'}: {problem}" + ("" if "; " in problem else "; correct this key")


def _place(loc: tuple[int | str, ...], keys: set[str]) -> str:
    """Return a place in a model as `shapes[0].fields.timestamp`."""
    text = ""
    for at, step in enumerate(loc):
        is_last = at == len(loc) - 1
        if isinstance(step, int):
            text += f"[{step}]"
        elif step in keys or is_last:  # pydantic's `loc` also names the member of a union that it tried
            text += f".{step}"
    return text.lstrip(".")


def _keys(hint: Any) -> Iterator[str]:
    """Yield the names of all keys in a model and in the models inside it."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield from hint.model_fields
        hints: Iterable[Any] = (field.annotation for field in hint.model_fields.values())
    else:
        hints = get_args(hint)
    for inner in hints:
        yield from _keys(inner)


# --- in words


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return the known name that is nearest to a mistyped name; "" if none is near."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)), "")


_PROBLEMS = {
    "missing": "is missing",
    "literal_error": "is none of the allowed words",
    "string_unicode": "is not UTF-8",
    "string_pattern_mismatch": "does not have the required form",
    "list_type": "is no list",
    "tuple_type": "is no list",
    "dict_type": "is no table",
    "model_type": "is no table",
    "model_attributes_type": "is no table",
    "union_tag_not_found": "has no type; give one",
    "union_tag_invalid": "has an unknown type; give one of {expected_tags}",
}
"""Problems by pydantic's error type.

Pydantic's own texts for these show patterns or values, or name Python's types.
"""


def describe_problem(error: Mapping[str, Any]) -> str:
    """Return the problem in a pydantic error, as a line shows it behind the setting's name.

    It never quotes the value.
    """
    if error["type"] in ("list_type", "tuple_type") and isinstance(error.get("input"), dict):
        return f"is a table, and a list of tables is needed; write [[{error['loc'][-1]}]] above each of them"
    if error["type"] in _PROBLEMS:
        return _PROBLEMS[error["type"]].format(**error.get("ctx", {}))
    return re.sub("^(Value error, |Input |String )|, (unable to parse|got a number) .*", "", str(error["msg"]))

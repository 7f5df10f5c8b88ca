"""Files that settings name: read only where they are files, and TOML as a checked model.

An error is one line that names the setting, the file, the key, and what is wrong there; values are not quoted.
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

# --- a file, and nothing else: a pipe is waited for without end, a device never ends


class NoRegularFileError(OSError):
    """It is a pipe, a device, a socket or a folder."""


def check(path: Path) -> None:
    """Raise NoRegularFileError where something else than a file stands there (OSError where nothing can be seen)."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise NoRegularFileError(0, "is no regular file")


def read(path: Path, max_bytes: int = -1) -> bytes:
    """Its content, at most so much of it. Raises as `check` does, and OSError where it cannot be read."""
    check(path)
    with path.open("rb") as file:
        return file.read(max_bytes)


def text(path: Path) -> str:
    """Return the content as text, without the byte order mark of some editors. Raise UnicodeDecodeError too."""
    return read(path).decode("utf-8-sig")


def readers(path: Path) -> str:
    """Return who else may read a file, in words; "" if nobody, or if the file cannot be seen.

    A group's right counts only for a file of our own. If another user owns it, the group is how we read it: so it is of
    a Kubernetes Secret under an fsGroup, whose files belong to root and have the mode 0440 (docs/facts.md).
    """
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return ""
    if seen.st_mode & stat.S_IROTH:
        return "every user of this host"
    return "its group" if seen.st_mode & stat.S_IRGRP and seen.st_uid == os.geteuid() else ""


def why(error: OSError | ValueError) -> str:
    """Return what an operator is told of a file that could not be read."""
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
    """A table whose keys are all known; errors never quote values."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True, arbitrary_types_allowed=True)


M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path, variable: str, model: type[M], words: str = "") -> M:
    """Return the TOML file's content, checked. Raise SettingsError with a line for each key that is wrong.

    `words` are those that may stand in a path's place.
    """
    try:
        written = text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{variable}: {path}: cannot be read ({why(error)}); name {words}a readable TOML file"
        ) from None
    try:
        return model.model_validate(tomllib.loads(written))
    except ValidationError as error:
        problems = dict.fromkeys(_problems(error, model))
        raise SettingsError("\n".join(f"{variable}: {path}: {problem}" for problem in problems)) from None
    except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits, and of deep nesting
        raise SettingsError(f"{variable}: {path}: is no TOML: {error}; correct the file") from None


def _problems(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """`key: problem; cure` of each key that is wrong. What is missing is not told beside its mistyped name."""
    details, keys = error.errors(include_url=False), set(_keys(model))
    places = [_place(detail["loc"], keys) for detail in details]
    meant = {
        place: near(place.rpartition(".")[2], keys)
        for detail, place in zip(details, places, strict=True)
        if detail["type"] == "extra_forbidden"
    }
    for detail, place in zip(details, places, strict=True):
        if place in meant:
            cure = f"did you mean {meant[place]}?" if meant[place] else "remove it, or correct its name"
            yield f"{place}: is no key that is known here; {cure}"
        elif detail["type"] != "missing" or place.rpartition(".")[2] not in meant.values():
            problem = in_words(detail)
            yield f"{place or 'the file'}: {problem}" + ("" if "; " in problem else "; correct this key")


def _place(loc: tuple[int | str, ...], keys: set[str]) -> str:
    """`shapes[0].fields.timestamp` of a place in a model; which member of a union was tried is no part of it."""
    shown = [step for at, step in enumerate(loc) if isinstance(step, int) or step in keys or at == len(loc) - 1]
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in shown).lstrip(".")


def _keys(hint: Any) -> Iterator[str]:
    """Yield the names of all keys in a model and in those below it."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield from hint.model_fields
        hints: Iterable[Any] = (field.annotation for field in hint.model_fields.values())
    else:
        hints = get_args(hint)
    for inner in hints:
        yield from _keys(inner)


# --- in words


def near(name: str, known: Iterable[str]) -> str:
    """Return the known name that is nearest to a mistyped one; "" where none is near."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)), "")


_IN_WORDS = {
    "missing": "is missing",
    "literal_error": "is none of the words that are known here",
    "string_unicode": "is not UTF-8",
    "string_pattern_mismatch": "has not the form that is needed here",
    "list_type": "is no list",
    "tuple_type": "is no list",
    "dict_type": "is no table",
    "model_type": "is no table",
    "model_attributes_type": "is no table",
    "union_tag_not_found": "has no type; give one",
    "union_tag_invalid": "has a type that is not known here; give one of {expected_tags}",
}
"""What pydantic says in a programmer's words, with its patterns or the value in them. The rest it says well."""


def in_words(error: Mapping[str, Any]) -> str:
    """Return the problem of one of pydantic's errors, as a line says it behind the setting's name. Never the value."""
    if error["type"] in ("list_type", "tuple_type") and isinstance(error.get("input"), dict):
        return f"is a table, and a list of tables is needed; write [[{error['loc'][-1]}]] above each of them"
    if error["type"] in _IN_WORDS:
        return _IN_WORDS[error["type"]].format(**error.get("ctx", {}))
    return re.sub("^(Value error, |Input |String )|, (unable to parse|got a number) .*", "", str(error["msg"]))

"""Files that settings name: read only where they are files, and TOML as a checked model.

An error is one line that names the setting, the file, the key, and what is wrong there; values are not quoted.
"""

import difflib
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from stream_router.errors import SettingsError

# --- a file, and nothing else: a pipe is waited for without end, a device never ends


class NoRegularFileError(OSError):
    """It is a pipe, a device, a socket or a folder."""


def check(path: Path) -> None:
    """Raises NoRegularFileError where something else than a file stands there (OSError where nothing can be seen)."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise NoRegularFileError(0, "is no regular file")


def read(path: Path, max_bytes: int = -1) -> bytes:
    """Its content, at most so much of it. Raises as `check` does, and OSError where it cannot be read."""
    check(path)
    with path.open("rb") as file:
        return file.read(max_bytes)


def text(path: Path) -> str:
    """The same as text, without the byte order mark that some editors put first. Raises UnicodeDecodeError too."""
    return read(path).decode("utf-8-sig")


def why(error: OSError | ValueError) -> str:
    """What an operator is told of a file that could not be read."""
    if isinstance(error, OSError):
        return str(error.strerror)
    return "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "no such path"


# --- TOML


class Checked(BaseModel):
    """A table whose keys are all known; errors never quote values."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True, arbitrary_types_allowed=True)


M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path, variable: str, model: type[M], words: str = "") -> M:
    """The TOML file's content, checked. Raises SettingsError with a line for each key that is wrong.

    `words` are those that may stand in a path's place.
    """
    try:
        parsed = parse_toml(text(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{variable}: {path}: cannot be read ({why(error)}); name {words}a readable TOML file"
        ) from None
    except NoTomlError as error:
        raise SettingsError(f"{variable}: {path}: is no TOML: {error}; correct the file") from None
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        found = dict.fromkeys(_problems(error, model))
        raise SettingsError("\n".join(f"{variable}: {path}: {problem}" for problem in found)) from None


class NoTomlError(Exception):
    """Its text is what is wrong, and where."""


_LONG_INTEGER = re.compile(r"\d(?:_?\d){4300}")
"""More digits than Python makes an integer of."""

_NAMED_KEY = re.compile(r" (?:\(.*\)(?= twice)|'.*'(?= \(at)|\(.*\)(?= \(at))", re.DOTALL)
"""Where the parser's reason repeats a key of the file, which may be a secret by mistake."""


def parse_toml(text: str) -> dict[str, Any]:
    """The text's tables. Raises NoTomlError with the parser's reason, line and column; it quotes nothing."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = _NAMED_KEY.sub("", str(error))
        last = f"at the end of the document, line {len(text.splitlines())}"
        raise NoTomlError(reason.replace("at end of document", last)) from None
    except RecursionError:
        raise NoTomlError("it nests too deep") from None
    except ValueError:  # Python's own bound, of which the parser knows nothing
        line = next((n for n, line in enumerate(text.splitlines(), 1) if _LONG_INTEGER.search(line)), 1)
        raise NoTomlError(f"an integer has too many digits (at line {line})") from None


def _problems(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """`key: problem; cure` of each key that is wrong."""
    found = error.errors(include_url=False)
    places = [_place(one["loc"], model) for one in found]
    meant = {}
    for one, (key, known) in zip(found, places, strict=True):
        if one["type"] == "extra_forbidden":
            meant[key] = near(str(one["loc"][-1]), known)
    for one, (key, _) in zip(found, places, strict=True):
        if key in meant:
            yield f"{key}: is no key that is known here; " + (
                f"did you mean {meant[key]}?" if meant[key] else "remove it, or correct its name"
            )
        elif any(other.startswith((f"{key}.", f"{key}[")) for other, _ in places):
            continue  # what is in it is wrong, and told
        elif one["type"] != "missing" or not _is_meant(key, meant):
            problem = in_words(one)
            yield f"{key or 'the file'}: {problem}" + ("" if "; " in problem else "; correct this key")


def _is_meant(missing: str, meant: Mapping[str, str]) -> bool:
    """Whether a key that is missing is there under a mistyped name, which a line of its own says."""
    table, _, name = missing.rpartition(".")
    return any(key.rpartition(".")[0] == table and name == right for key, right in meant.items())


def _place(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, set[str]]:
    """`shapes[0].fields.timestamp` of a place in the model, and the keys that are known beside it.

    What says which member of a union was tried is no part of it.
    """
    key, models, beside = "", {model}, set[str]()
    for step in loc:
        if isinstance(step, int):
            key += f"[{step}]"
            continue
        fields = [one.model_fields[step] for one in models if step in one.model_fields]
        known = {name for one in models for name in one.model_fields}
        if fields or step == loc[-1]:
            key, beside = f"{key}.{step}", known
        models = {inner for field in fields for inner in _models_in(field.annotation)} or models
    return key.lstrip("."), beside


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


# --- in words


def near(name: str, known: Iterable[str]) -> str:
    """The known name that is nearest to a mistyped one; "" where none is near."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)), "")


_IN_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is no key that is known here",
    "greater_than": "is too small (above {gt})",
    "greater_than_equal": "is too small (at least {ge})",
    "less_than": "is too large (below {lt})",
    "less_than_equal": "is too large (at most {le})",
    "int_parsing": "is no whole number",
    "int_parsing_size": "is no number that can be used",
    "int_type": "is no whole number",
    "int_from_float": "is no whole number",
    "float_parsing": "is no number",
    "float_type": "is no number",
    "finite_number": "is no number that can be used",
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "literal_error": "is none of the words that are known here: {expected}",
    "string_pattern_mismatch": "has not the form that is needed here",
    "string_too_short": "is too short (at least {min_length})",
    "string_too_long": "is too long (at most {max_length})",
    "too_short": "is too short (at least {min_length})",
    "string_type": "is no text",
    "list_type": "is no list",
    "tuple_type": "is no list",
    "dict_type": "is no table",
    "model_type": "is no table",
    "model_attributes_type": "is no table",
    "union_tag_not_found": "has no type; give one",
    "union_tag_invalid": "has a type that is not known here; give one of {expected_tags}",
}
"""What is wrong by pydantic's name of it: its own words are a programmer's, with its patterns in them."""


def in_words(error: Mapping[str, Any]) -> str:
    """The problem of one of pydantic's errors, as a line says it behind the setting's name. Never the value."""
    if error["type"] in ("list_type", "tuple_type") and isinstance(error.get("input"), dict):
        return f"is a table, and a list of tables is needed; write [[{error['loc'][-1]}]] above each of them"
    words = _IN_WORDS.get(error["type"])
    return words.format(**error.get("ctx", {})) if words else str(error["msg"]).removeprefix("Value error, ")

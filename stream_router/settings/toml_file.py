"""Reads a TOML file into a pydantic model; an error is one line that names the setting, the file and the key."""

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from stream_router.errors import SettingsError, first_error, in_words
from stream_router.settings import regular_file


class Checked(BaseModel):
    """A table whose keys are all known; errors never quote values."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True, arbitrary_types_allowed=True)


M = TypeVar("M", bound=Checked)

_LONG_INTEGER = re.compile(r"\d(?:_?\d){4300}")
"""More digits than Python makes an integer of."""


def read(path: Path, variable: str, model: type[M], words: str = "") -> M:
    """The file's content, checked. Raises SettingsError, naming `variable` and the failing key.

    `words` are those that may stand in a path's place.
    """
    try:
        text = regular_file.text(path)
    except (OSError, UnicodeDecodeError) as error:
        why = regular_file.why_no_text(error)
        raise SettingsError(f"{variable}: {path}: cannot be read ({why}); name {words}a readable TOML file") from None
    try:
        return model.model_validate(parse(text))
    except NoTomlError as error:
        raise SettingsError(f"{variable}: {path}: is no TOML: {error}; correct the file") from None
    except ValidationError as error:
        first = first_error(error)
        key = _key(first["loc"]) or "the file"
        raise SettingsError(f"{variable}: {path}: {key}: {in_words(first)}; correct this key") from None


class NoTomlError(Exception):
    """Its text is what is wrong, and where."""


def parse(text: str) -> dict[str, Any]:
    """The text's tables. Raises NoTomlError, which quotes nothing, whatever is wrong."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NoTomlError(_place(str(error))) from None
    except RecursionError:
        raise NoTomlError("it nests too deep") from None
    except ValueError:  # Python's own bound, of which the parser knows nothing
        line = next((n for n, line in enumerate(text.splitlines(), 1) if _LONG_INTEGER.search(line)), 1)
        raise NoTomlError(f"an integer has too many digits (at line {line})") from None


def _place(message: str) -> str:
    """Where the parser stopped; the rest of its message may quote the file, which may hold secrets by mistake."""
    at = message.rfind("(at ")
    return message[at:] if at >= 0 else "(somewhere)"


def _key(loc: tuple[int | str, ...]) -> str:
    """`shape[0].fields.timestamp` of a place in the model."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".")

"""A bad setting: one line for the operator, and the exit status 78."""

import errno
from typing import Any

from pydantic import ValidationError

EX_CONFIG = 78
"""Exit status of a program that was configured wrongly (sysexits.h)."""


class SettingsError(Exception):
    """A setting is missing or wrong; its text is the one line that the operator sees."""

    status = EX_CONFIG
    """How a program ends with it."""


class NotNowError(SettingsError):
    """What a setting names did not answer. Ends with 1: who runs the program starts it again, as after no 78."""

    status = 1


def first_error(error: ValidationError) -> Any:
    """The first thing that pydantic found wrong (`type`, `loc`, `msg`), without the value, which may be a secret."""
    return error.errors(include_url=False, include_input=False, include_context=False)[0]


_IN_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is no key that is known here",
    "greater_than": "is too small",
    "greater_than_equal": "is too small",
    "less_than": "is too large",
    "less_than_equal": "is too large",
    "int_parsing": "is no whole number",
    "int_parsing_size": "is no number that can be used",
    "int_type": "is no whole number",
    "int_from_float": "is no whole number",
    "float_parsing": "is no number",
    "float_type": "is no number",
    "finite_number": "is no number that can be used",
    "literal_error": "is none of the words that are known here",
    "string_pattern_mismatch": "has not the form that is needed here",
    "string_too_short": "is too short",
    "string_too_long": "is too long",
    "string_type": "is no text",
    "union_tag_not_found": "has no type",
    "union_tag_invalid": "has a type that is not known here",
}
"""What is wrong by pydantic's name of it: its own words are a programmer's, with its patterns in them."""


def in_words(first: Any) -> str:
    """The problem of `first_error`, as a line says it behind the setting's name."""
    return str(_IN_WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, "))


def unwritable(variable: str, error: OSError) -> SettingsError:
    """The refusal of a folder, named by a setting, that cannot be written. One whose disk is full can be again."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotNowError(f"{variable}: cannot be written ({error.strerror}); make room")
    return SettingsError(f"{variable}: cannot be written ({error.strerror}); name a writable folder")

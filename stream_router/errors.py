"""Errors that end a program or a command: wrong settings, and unforeseen errors."""

import errno
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

EX_CONFIG = 78
"""Exit status of a program that was configured wrongly (sysexits.h)."""


class SettingsError(Exception):
    """Settings are missing or wrong; its text is what the operator sees, a line for each."""

    status = EX_CONFIG
    """Exit status of the program."""


class NotNowError(SettingsError):
    """A service or file that a setting names did not answer. The status is 1, after which a program is restarted."""

    status = 1


def first_error(error: "ValidationError") -> Any:
    """Return pydantic's first error (`type`, `loc`, `msg`), without the value, which may be a secret."""
    return error.errors(include_url=False, include_input=False, include_context=False)[0]


def unwritable(variable: str, error: OSError) -> SettingsError:
    """Return the error for an unwritable folder that a setting names. After a full disk a later start may succeed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotNowError(f"{variable}: cannot be written ({error.strerror}); make room")
    return SettingsError(f"{variable}: cannot be written ({error.strerror}); name a writable folder")


class UnforeseenError(Exception):
    """Unforeseen error in a command whose exit status 1 is an answer. It is raised from the original error.

    `status` is the exit status of the command without an answer.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status

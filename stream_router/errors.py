"""The errors that end a program or a command: wrong settings, and what nobody foresaw."""

import errno
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

EX_CONFIG = 78
"""Exit status of a program that was configured wrongly (sysexits.h)."""


class SettingsError(Exception):
    """Settings are missing or wrong; its text is what the operator sees, a line for each."""

    status = EX_CONFIG
    """How a program ends with it."""


class NotNowError(SettingsError):
    """What a setting names did not answer. Ends with 1: who runs the program starts it again, as after no 78."""

    status = 1


def first_error(error: "ValidationError") -> Any:
    """Return the first error that pydantic found (`type`, `loc`, `msg`), without the value, which may be a secret."""
    return error.errors(include_url=False, include_input=False, include_context=False)[0]


def unwritable(variable: str, error: OSError) -> SettingsError:
    """Return the refusal of an unwritable folder that a setting names. A full disk may be written again later."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotNowError(f"{variable}: cannot be written ({error.strerror}); make room")
    return SettingsError(f"{variable}: cannot be written ({error.strerror}); name a writable folder")


class UnforeseenError(Exception):
    """An error that nobody foresaw, in a command whose exit status 1 is an answer. Raised from the error itself.

    `status` is how the command ends where it has no answer.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status

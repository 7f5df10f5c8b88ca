"""Errors that end a program or a command: wrong settings, and unforeseen errors."""

import copy
import errno
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pydantic import ValidationError

EX_CONFIG = 78
"""Exit status of a program that was configured wrongly (sysexits.h)."""


class WrongValueError(ValueError):
    """A value that a setting or a key does not allow. The texts quote no value, since some values are secrets."""

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(problem, cure)
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True)
class SettingProblem:
    """A wrong setting: its name, what is wrong with it, and what to do."""

    setting: str
    """Name as the operator wrote it: a variable, an option, or a part of the installation (`Java`)."""
    problem: str
    cure: str = ""
    """What to do, or what is allowed; "" if the problem implies it."""
    place: tuple[str, ...] = ()
    """Place inside the setting: the file that it names, and the key in that file."""
    related: tuple[str, ...] = ()
    """Other settings that the problem also depends on.

    If one of them is wrong itself, that is reported and this problem is not.
    """
    code: str = ""
    """Code of the check that found the problem, for example SR101."""

    @property
    def located(self) -> str:
        """Place inside the setting, then the problem, for example `FILE: shapes[0].when: is missing`."""
        return ": ".join((*self.place, self.problem))

    def line(self) -> str:
        """Return the line that programs print: `SETTING: problem; cure (code)`."""
        cure = f"; {self.cure}" if self.cure else ""
        code = f" ({self.code})" if self.code else ""
        # A value or a path may hold line breaks.
        return " ".join(f"{self.setting}: {self.located}{cure}{code}".split())


class SettingsError(Exception):
    """Settings are missing or wrong. `problems` has at least one entry; each becomes a line for the operator."""

    status = EX_CONFIG
    """Exit status of the program."""

    def __init__(
        self,
        setting: str,
        problem: str,
        cure: str = "",
        *,
        place: tuple[str, ...] = (),
        related: tuple[str, ...] = (),
        code: str = "",
    ) -> None:
        super().__init__(setting, problem, cure)
        self.problems: tuple[SettingProblem, ...] = (SettingProblem(setting, problem, cure, place, related, code),)

    @classmethod
    def of(cls, problems: Iterable[SettingProblem]) -> Self:
        """Return one error for all these problems (at least one), without repetitions."""
        unique = tuple(dict.fromkeys(problems))
        first = unique[0]
        return cls(first.setting, first.problem, first.cure).with_problems(unique)

    def with_problems(self, problems: Iterable[SettingProblem]) -> Self:
        """Return an error of the same class and status for other problems."""
        error = copy.copy(self)
        error.problems = tuple(problems)
        return error

    def to_json(self) -> str:
        """Return the problems as JSON, by which another process can restore the error (`from_json`)."""
        return json.dumps([asdict(problem) for problem in self.problems])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return an error with the problems that `to_json` wrote. JSON has lists in place of tuples."""
        return cls.of(
            SettingProblem(**{**fields, "place": tuple(fields["place"]), "related": tuple(fields["related"])})
            for fields in json.loads(text)
        )

    def lines(self) -> list[str]:
        """Return the line of each problem."""
        return [problem.line() for problem in self.problems]

    def __str__(self) -> str:
        return "\n".join(self.lines())


class TemporarySettingsError(SettingsError):
    """A service or file that a setting names is not available for now.

    The exit status is 1, after which systemd restarts the program.
    """

    status = 1


def first_validation_error(error: "ValidationError") -> Any:
    """Return pydantic's first error (`type`, `loc`, `msg`), without the value, which may be a secret."""
    return error.errors(include_url=False, include_input=False, include_context=False)[0]


def unwritable_folder_error(variable: str, error: OSError) -> SettingsError:
    """Return the error for an unwritable folder that the setting `variable` names.

    For a full disk the error is a TemporarySettingsError, since a later start may succeed.
    """
    problem = f"cannot be written ({error.strerror})"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TemporarySettingsError(variable, problem, "make room")
    return SettingsError(variable, problem, "name a writable folder")


class UnforeseenError(Exception):
    """Unforeseen error in a command whose exit status 1 already has a meaning. It is raised from the original error.

    `status` is the command's exit status for such an error.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status

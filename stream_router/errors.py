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
    """A wrong setting: which one, what is wrong with it, and what to do."""

    setting: str
    """Name as the operator wrote it: a variable, an option, or a part of the installation (`Java`)."""
    problem: str
    cure: str = ""
    """What to do, or what is allowed; "" if the problem implies it."""
    place: tuple[str, ...] = ()
    """Place inside the setting: the file that it names, and the key in that file."""
    related: tuple[str, ...] = ()
    """Other settings that have a part in the problem.

    A check's problem is not reported if one of them is wrong by itself.
    """
    code: str = ""
    """Code of the check that found the problem, for example SR101."""

    @property
    def located(self) -> str:
        """The problem behind its place inside the setting."""
        return ": ".join((*self.place, self.problem))

    def line(self) -> str:
        """Return the line that programs print: `SETTING: problem; cure (code)`."""
        cure = f"; {self.cure}" if self.cure else ""
        code = f" ({self.code})" if self.code else ""
        # A value or a path may hold line breaks.
        return " ".join(f"{self.setting}: {self.located}{cure}{code}".split())


class SettingsError(Exception):
    """Settings are missing or wrong. `problems` holds one entry or several; each becomes a line for the operator."""

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
        """Return one error for all these problems, without repetitions. There is at least one."""
        first, *_ = different = tuple(dict.fromkeys(problems))
        return cls(first.setting, first.problem, first.cure).with_problems(different)

    def with_problems(self, problems: Iterable[SettingProblem]) -> Self:
        """Return an error of the same class and status for other problems."""
        error = copy.copy(self)
        error.problems = tuple(problems)
        return error

    def to_json(self) -> str:
        """Return the problems as JSON, for another process."""
        return json.dumps([asdict(problem) for problem in self.problems])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the error of which `to_json` returned the problems. Place and related are lists in JSON."""
        return cls.of(
            SettingProblem(**{**fields, "place": tuple(fields["place"]), "related": tuple(fields["related"])})
            for fields in json.loads(text)
        )

    def lines(self) -> list[str]:
        """Return the line of each problem."""
        return [problem.line() for problem in self.problems]

    def __str__(self) -> str:
        return "\n".join(self.lines())


class NotNowError(SettingsError):
    """A service or file that a setting names did not answer. The status is 1, after which a program is restarted."""

    status = 1


def first_error(error: "ValidationError") -> Any:
    """Return pydantic's first error (`type`, `loc`, `msg`), without the value, which may be a secret."""
    return error.errors(include_url=False, include_input=False, include_context=False)[0]


def unwritable(variable: str, error: OSError) -> SettingsError:
    """Return the error for an unwritable folder that a setting names. After a full disk a later start may succeed."""
    problem = f"cannot be written ({error.strerror})"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotNowError(variable, problem, "make room")
    return SettingsError(variable, problem, "name a writable folder")


class UnforeseenError(Exception):
    """Unforeseen error in a command whose exit status 1 is an answer. It is raised from the original error.

    `status` is the exit status of the command without an answer.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status

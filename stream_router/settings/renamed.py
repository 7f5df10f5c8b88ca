"""Settings that got another name: for one minor version the old name works as well, and is told of at start."""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from stream_router.errors import SettingsError

Value = TypeVar("Value")


class Renamed(NamedTuple):
    """The whole variables, prefix and all; `since` is the minor version (`1.4`) that brought the new name."""

    old: str
    new: str
    since: str

    @property
    def refused_from(self) -> str:
        """The version that knows the old name no more."""
        major, minor = self.since.split(".")
        return f"{major}.{int(minor) + 1}"

    @property
    def says(self) -> str:
        """What has changed, and for how long the old name does."""
        return f"is called {self.new} since version {self.since}; the old name works until {self.refused_from}"

    @property
    def cure(self) -> str:
        """What to do."""
        return f"set {self.new} instead"


RENAMED: tuple[Renamed, ...] = ()
"""A row leaves with the version that refuses its old name (tests/unit/test_settings_renamed.py sees to it)."""


def in_use(environment: Mapping[str, object]) -> list[Renamed]:
    """The rows whose old name is set, in whatever case it is written."""
    given = _given(environment)
    return [row for row in RENAMED if row.old in given]


def refuse_both(environment: Mapping[str, str]) -> None:
    """Raises SettingsError where a setting is there under both of its names: one of them would do nothing."""
    given = _given(environment)
    for row in in_use(environment):
        if row.new in given:
            raise SettingsError(f"{row.old}: is set beside {row.new}, its name since {row.since}; unset {row.old}")


def under_new_names(environment: Mapping[str, Value]) -> dict[str, Value]:
    """The environment as if it had been written with the new names."""
    new = {row.old: row.new for row in in_use(environment)}
    return {new.get(name.upper(), name): value for name, value in environment.items()}


def as_written(variable: str, environment: Mapping[str, str]) -> str:
    """The name under which the environment has this setting: who set the old one looks for that."""
    return next((row.old for row in in_use(environment) if row.new == variable), variable)


def _given(environment: Mapping[str, object]) -> set[str]:
    """What is empty is not set."""
    return {name.upper() for name, value in environment.items() if value}

"""What a mutant is: one known mistake, put into a copy of the package."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """What is changed where, and which tests have to fail for it."""

    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    also: tuple[str, str] = ("", "")

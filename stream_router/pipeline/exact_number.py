"""A number whose decimal value no double holds, as its sender wrote it: it leaves with the same digits."""

from typing import Any

import orjson


class ExactNumber:
    """The text of a JSON number that a parser would change."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"ExactNumber({self.text})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExactNumber) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def written(value: Any) -> Any:
    """What orjson's `default` wants: the JSON text of what orjson does not know. Raises TypeError for all else."""
    if type(value) is ExactNumber:
        return orjson.Fragment(value.text)
    raise TypeError

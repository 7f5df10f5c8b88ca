"""A phone number that a rule took away, found again in other groups, or with another beginning.

`+49 30 901820` is also `030 901820`, `030/901820`, `004930901820` and `4930901820`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

_BETWEEN = r"[ ()./\u00a0-]{0,3}"
_DIGITS = rf"[+(]?\d(?:{_BETWEEN}\d){{7,14}}"
_PHONE = re.compile(rf"\s*{_DIGITS}\s*")
_NUMBER = re.compile(rf"(?<![A-Za-z0-9.+-]){_DIGITS}(?![A-Za-z0-9-]|\.\d)")
_NOT_A_DIGIT = re.compile(r"\D+")
_CORE_MIN_DIGITS = 8
"""Fewer digits of two numbers are the same by chance."""

_CODE_MAX_DIGITS = 3
"""Of a country's code; Italy's with the 0 that stays behind it."""


class _Number(NamedTuple):
    core: str
    international: bool
    trunk: bool


def any_in(text: str) -> bool:
    """Whether there is a number in a text that may be a phone's: in most there is none, and no phone is to be known."""
    return _NUMBER.search(text) is not None


def among(text: str, taken: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Each number in a text that is one of the phones among `taken`, as it stands there, and what was left of that."""
    same = SameNumbers([(value, left) for value, left in taken if _PHONE.fullmatch(value)])
    for number in _NUMBER.findall(text):
        left = same.left_of(number)
        if left is not None:
            yield number, left


class SameNumbers:
    """Phone numbers, each with what a rule left of it; asked for another, it looks it up and compares with none."""

    def __init__(self, phones: Sequence[tuple[str, Any]]) -> None:
        self._whole: dict[str, Any] = {}
        self._national: dict[str, Any] = {}
        self._with_trunk: dict[str, Any] = {}
        self._without_code: dict[str, Any] = {}
        self._without_shown_code: dict[str, Any] = {}
        for written, left in phones:
            number = _number(written)
            self._whole.setdefault(number.core, left)
            if not number.international:
                self._national.setdefault(number.core, left)
            if number.trunk:
                self._with_trunk.setdefault(number.core, left)
            for tail in _tails(number.core):
                self._without_code.setdefault(tail, left)
                if number.international:
                    self._without_shown_code.setdefault(tail, left)

    def left_of(self, written: str) -> Any:
        """What the rule left of the number that is written so; None where it is none of these.

        One of the two may be written without its country's code, which the other one shows.
        """
        number = _number(written)
        core = number.core
        if len(core) < _CORE_MIN_DIGITS:
            return None
        left = self._whole.get(core)
        if left is None and number.trunk:
            left = self._without_code.get(core)
        if left is None and not number.international:
            left = self._without_shown_code.get(core)
        shorter = self._national if number.international else self._with_trunk
        for tail in _tails(core) if left is None else ():
            left = shorter.get(tail, left)
        return left


def _tails(core: str) -> list[str]:
    """A number without what may be its country's code."""
    return [core[cut:] for cut in range(1, _CODE_MAX_DIGITS + 1) if len(core) - cut >= _CORE_MIN_DIGITS]


def _number(written: str) -> _Number:
    digits = _NOT_A_DIGIT.sub("", written.replace("(0)", ""))
    international = written.lstrip()[:1] == "+" or digits[:2] == "00"
    return _Number(digits.lstrip("0"), international, digits[:1] == "0" and not international)

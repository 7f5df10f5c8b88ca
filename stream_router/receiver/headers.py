"""Reads the headers that say who sends: each once or not at all, anything odd refused."""

from collections.abc import Iterable
from typing import Protocol

BAD_SIGNATURE = "bad_signature"
STALE = "stale"
MAX_ID_CHARS = 256
_SPACES = b" \t"


class RefusedError(Exception):
    """The sender is not known; `code` is `bad_signature` or `stale`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Headers(Protocol):
    """The part of a request's headers that is used; names in lower case."""

    def get_all(self, key: str, /) -> list[str]: ...
    def __contains__(self, key: str, /) -> bool: ...


class RequestHeaders:
    """A request's headers as they came, whatever bytes their values hold; those are decoded where they are asked for.

    As latin-1, so that a second copy of a header is seen whatever is in it. Spaces behind a value are no part of it
    (RFC 9110, 5.5), and llhttp leaves them there.
    """

    __slots__ = ("_again", "_values")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """`fields` in their order."""
        values: dict[str, bytes] = {}
        again: list[tuple[str, bytes]] = []
        for name, value in fields:
            key = _KEYS.get(name) or _key(name)
            if key in values:
                again.append((key, value))
            else:
                values[key] = value
        self._values = values
        self._again = again
        """What came more than once, but for the first of each name."""

    def get_all(self, key: str, /) -> list[str]:
        value = self._values.get(key)
        if value is None:
            return []
        found = [value.rstrip(_SPACES).decode("latin-1")]
        if self._again:
            found += [value.rstrip(_SPACES).decode("latin-1") for name, value in self._again if name == key]
        return found

    def __contains__(self, key: str, /) -> bool:
        return key in self._values

    def get(self, key: str) -> str:
        """The first value; empty where there is no such header."""
        value = self._values.get(key)
        return "" if value is None else value.rstrip(_SPACES).decode("latin-1")


_KEYS: dict[bytes, str] = {}
"""Names of headers as they come, in lower case. Strangers choose them, so only so many are kept, and no long one."""
_MOST_KEYS, _LONGEST_KEY_BYTES = 1_000, 64


def _key(name: bytes) -> str:
    key = name.decode("latin-1").lower()
    if len(_KEYS) < _MOST_KEYS and len(name) <= _LONGEST_KEY_BYTES:
        _KEYS[name] = key
    return key


def single(headers: Headers, name: str) -> str:
    """The value of a header that must be there once: a second one could be read by somebody else."""
    values = headers.get_all(name)
    if len(values) != 1:
        raise RefusedError(BAD_SIGNATURE)
    return values[0]


def delivery_id(headers: Headers, name: str | None) -> str | None:
    """The delivery id in the header `name`; None where there is no such header, or nothing in it."""
    if name is None or name not in headers:
        return None
    value = single(headers, name)
    if len(value) > MAX_ID_CHARS:
        raise RefusedError(BAD_SIGNATURE)
    return value or None

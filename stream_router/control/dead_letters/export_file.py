"""A file that `export` wrote, read line by line, and as often as it is needed: it may be larger than memory."""

import codecs
import hashlib
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Generic, Self, TypeVar

import orjson

from stream_router.control.dead_letters.exporting import OF_UNDELIVERED, SCHEMA

_T = TypeVar("_T")

WRITTEN_BY = {SCHEMA: "`export`", OF_UNDELIVERED: "`export --undelivered`"}
"""Which command writes lines of which schema."""

_OF_ANY_VERSION = re.compile(f"({SCHEMA[:-1]}|{OF_UNDELIVERED[:-1]})[0-9]{{1,4}}")

CUT_OFF = (
    "is cut off; an export that was broken off left what is in it in the queue: delete this line, and import again"
)


class UnusableFileError(ValueError):
    """The file is none of `export`'s; the text names the line."""


class ExportFile(Generic[_T]):
    """What `read_line` makes of each line, its value and its text, as often as it is iterated. Close it.

    It is read once as it is opened. Raises UnusableFileError at the first bad line, OSError. `keys` counts the lines by
    the digest of what `key_of` says of each.
    """

    def __init__(
        self, path: Path, schema: str, read_line: Callable[[Any, str], _T], key_of: Callable[[_T], object]
    ) -> None:
        self._schema, self._read_line = schema, read_line
        self._handle = _opened(path)
        try:
            self.keys = Counter(digest(key_of(line)) for line in self)
        except BaseException:
            self._handle.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()

    def __iter__(self) -> Iterator[_T]:
        self._handle.seek(0)
        for number, text in enumerate(self._handle, 1):
            if text.strip():
                yield self._read(number, text)

    def _read(self, number: int, text: bytes) -> _T:
        value = None
        if number == 1:
            text = text.removeprefix(codecs.BOM_UTF8)  # editors of Windows write one
        try:
            value = orjson.loads(text)
            return self._read_line(_of_schema(value, self._schema), text.decode())
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            if not text.endswith(b"\n"):
                raise UnusableFileError(f"line {number}, the last, {CUT_OFF}") from None
            why = _other(value, self._schema) or type(error).__name__
            raise UnusableFileError(f"line {number} is none that {WRITTEN_BY[self._schema]} wrote ({why})") from None


def digest(key: object) -> bytes:
    """What is kept of a key: with a million letters the keys themselves would be too much."""
    return hashlib.blake2b(repr(key).encode(), digest_size=16).digest()


def _opened(path: Path) -> IO[bytes]:
    """The file; what can be read only once (a pipe) as a copy that nobody else sees."""
    handle = path.open("rb")
    if handle.seekable():
        return handle
    with handle:
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - whoever reads it closes it
        shutil.copyfileobj(handle, copy)
    return copy


def _of_schema(value: Any, schema: str) -> Any:
    if value["schema"] != schema:
        raise ValueError(schema)
    return value


def _other(value: Any, schema: str) -> str:
    """Which other export, or other version's, wrote a line, and what to do; "" where none did."""
    found = str(value.get("schema")) if isinstance(value, dict) else ""
    if found not in WRITTEN_BY and _OF_ANY_VERSION.fullmatch(found):
        return f"it is {found}, which this version does not know; import it with the version that exported it"
    if found == schema or found not in WRITTEN_BY:
        return ""
    return f"{WRITTEN_BY[found]} wrote it; import it {'with' if found == OF_UNDELIVERED else 'without'} --undelivered"

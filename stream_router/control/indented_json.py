"""JSON for people: one member a line, and each number as it was written."""

import re
from collections.abc import Iterator

import orjson

from stream_router.log import plain

_MOST_LEVELS = 254
"""As orjson's own layout: a line that begins with a thousand blanks is read by nobody."""

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def readable(data: bytes) -> str:
    """An event, as every command shows one: indented where it is JSON, else its text; nothing drives a terminal."""
    try:
        text = indented(data)
    except ValueError:
        text = data.decode("utf-8", "replace")
    return plain(text, keeps="\n\t")


def indented(data: bytes) -> str:
    """The text with its members on lines of their own. Raises ValueError where it is no JSON, or nests too deep.

    A parser would show a rounded number, and one of two equal keys: this shows what stands there. Of an escaped
    letter it shows the letter.
    """
    orjson.loads(data)
    return "".join(_laid_out([_read(word) for word in _WORD.findall(data.decode())]))


def _read(word: str) -> str:
    return orjson.dumps(orjson.loads(word)).decode() if "\\" in word else word


def _laid_out(words: list[str]) -> Iterator[str]:
    depth = 0
    for before, word in zip(["", *words], words, strict=False):
        if word in "}]":
            depth -= 1
        if before and word not in ",:" and before != ":" and before + word not in ("{}", "[]"):
            yield "\n" + "  " * depth
        yield ": " if word == ":" else word
        if word in "{[":
            depth += 1
        if depth > _MOST_LEVELS:
            raise ValueError("it nests too deep")

"""JSON that the fast parser does not take: several documents end to end, and why a document cannot be read."""

import json
import re
from typing import Any

from stream_router.core import limits
from stream_router.core.dead_letter_reasons import Reason
from stream_router.core.json_text.json_depth import is_too_deep
from stream_router.core.json_text.scanning import BLANKS, SCANNER, behind

Why = tuple[Reason, str, str]
"""A dead letter's reason, code and sentence."""

MALFORMED: Why = (Reason.MALFORMED_JSON, "MalformedJson", "the line is not valid JSON")
_TOO_DEEP: Why = (Reason.SCHEMA_MISMATCH, "TooDeep", f"the event nests deeper than {limits.EVENT_MAX_DEPTH} levels")
_SURROGATE: Why = (Reason.SCHEMA_MISMATCH, "LoneSurrogate", "a text holds half a character (a lone surrogate)")
_RANGE: Why = (Reason.SCHEMA_MISMATCH, "NumberOutOfRange", "a number is beyond what any double holds")

_STRING = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_TOKEN = re.compile(rf"[ \t\r\n]*(?:(?P<string>{_STRING})|(?P<plain>{_NUMBER}|true|false|null)|(?P<mark>[\[\]{{}},:]))")


def end_to_end(line: bytes) -> tuple[list[bytes], bytes]:
    """The objects and arrays that stand in `line` one behind the other, each as its own bytes, and what follows them.

    What follows is empty, or begins where nothing more can be read, or where there are too many for a record.
    """
    try:
        text, beyond = line.decode(), b""
    except UnicodeDecodeError as error:
        text, beyond = line[: error.start].decode(), line[error.start :]
    found: list[bytes] = []
    at = behind(BLANKS, text, 0)
    while text[at : at + 1] in ("{", "[") and len(found) <= limits.RECORD_MAX_EVENTS:
        try:
            value, end = SCANNER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if is_too_deep(value):  # the same answer where the parser follows further
            break
        found.append(text[at:end].encode())
        at = behind(BLANKS, text, end)
    return found, text[at:].encode() + beyond


def why_unread(data: bytes) -> Why:
    """Why the fast parser does not take `data`: it is no JSON, or JSON that cannot go on as an event."""
    beyond_range = False

    def number(text: str) -> float:
        nonlocal beyond_range
        value = float(text)
        beyond_range = beyond_range or value in (float("inf"), float("-inf"))
        return value

    try:
        text = data.decode()
        value = json.loads(text, parse_int=number, parse_float=number, parse_constant=_refuse)
        if is_too_deep(value):
            return _TOO_DEEP
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _SURROGATE
    except RecursionError:
        return _TOO_DEEP if _is_json(text) else MALFORMED
    except ValueError:
        return MALFORMED
    return _RANGE if beyond_range else MALFORMED


def _refuse(_: str) -> Any:
    raise ValueError("NaN and Infinity are no JSON")


def _is_json(text: str) -> bool:
    """Whether a text is JSON by its grammar, however deep it nests."""
    open_marks: list[str] = []
    wanted, at = "value", 0
    while token := _TOKEN.match(text, at):
        at = token.end()
        wanted = _after(token, wanted, open_marks)
        if not wanted:
            return False
        if wanted == "end" and not open_marks:
            return not text[at:].strip(" \t\r\n")
    return False


def _after(token: re.Match[str], wanted: str, open_marks: list[str]) -> str:
    """What may follow a token where `wanted` was expected; empty where the token may not stand there."""
    mark = token["mark"]
    if mark in ("{", "[") and wanted.startswith("value"):
        open_marks.append(mark)
        return "key or close" if mark == "{" else "value or close"
    if mark in ("}", "]") and wanted in ("end", "key or close", "value or close"):
        fits = open_marks and open_marks.pop() == {"}": "{", "]": "["}[mark]
        return "end" if fits else ""
    if mark == ",":
        return ("key" if open_marks[-1] == "{" else "value") if wanted == "end" and open_marks else ""
    if mark == ":":
        return "value" if wanted == "colon" else ""
    if mark is None and wanted.startswith("value"):
        return "end"
    return "colon" if token["string"] is not None and wanted.startswith("key") else ""

"""A JSON object's members, each value as its own text: what is not parsed and written again does not change."""

import json
import re

_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_BLANK = re.compile(r"[ \t\r\n]*")


def member_texts(text: str) -> dict[str, str]:
    """The text of each member's value, by name; the last of two that are named alike. Raises ValueError for no object.

    RecursionError is a ValueError here too: it nests deeper than Python follows.
    """
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise ValueError("is no JSON object")
    found: dict[str, str] = {}
    at = _skip(text, at + 1)
    try:
        while text[at : at + 1] != "}":
            is_text = text[at : at + 1] == '"'
            name, at = _SCANNER.raw_decode(text, at)
            at = _skip(text, at)
            if text[at : at + 1] != ":" or not is_text:
                raise ValueError("is no JSON object")
            begin = _skip(text, at + 1)
            _, end = _SCANNER.raw_decode(text, begin)
            found[name] = text[begin:end]
            at = _skip(text, end)
            if text[at : at + 1] == ",":
                at = _skip(text, at + 1)
            elif text[at : at + 1] != "}":
                raise ValueError("is no JSON object")
    except RecursionError:
        raise ValueError("nests too deep") from None
    if text[at + 1 :].strip():
        raise ValueError("is more than a JSON object")
    return found


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at

"""Walks over a JSON text without keeping what its values are: where one ends, and what stands between two."""

import json
import re

SCANNER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
"""Its `raw_decode` tells where a value ends. Numbers stay texts: Python refuses some thousand digits."""

BLANKS = re.compile(r"[ \t\r\n]*")
BLANKS_AND_COMMAS = re.compile(r"[ \t\r\n,]*")


def behind(these: re.Pattern[str], text: str, at: int) -> int:
    """Where what is skipped from `at` on has ended; `at` itself where there is none of it."""
    found = these.match(text, at)
    return found.end() if found else at

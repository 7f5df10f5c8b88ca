"""Looks into a Detail: whether EventBridge takes it, and whose event it is."""

import json
import re
from typing import Any, NamedTuple

import orjson

MAX_DEPTH = 1000
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
"""Source: botocore model `events`, Detail: JSON nested at most 1,000 levels; integers within 64 bits."""

_DIGITS_TO_ZERO = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else byte for byte in range(256))
_LONG_RUN = b"0" * 19
"""What a number near the edge of 64 bits becomes by that table; a third of a pattern's cost."""


class Found(NamedTuple):
    """The event's own id and conversation, where the Detail names them; `problem` is why EventBridge refuses it."""

    event_id: str = ""
    conversation_id: str = ""
    problem: str = ""


def look_into(text: bytes | str) -> Found:
    """Read a Detail (or any JSON document that names an event). Never raises."""
    try:
        data = text.encode() if isinstance(text, str) else text
        value = orjson.loads(data)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return Found(problem="not JSON")
    if not isinstance(value, dict):
        return Found(problem="not an object")
    event_id, conversation_id = value.get("eventId"), value.get("conversationId")
    return Found(
        event_id if isinstance(event_id, str) else "",
        conversation_id if isinstance(conversation_id, str) else "",
        _trouble(data),
    )


def _trouble(data: bytes) -> str:
    """Depth and integers, looked at closely only where they could be wrong."""
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and depth(data.decode()) > MAX_DEPTH:
        return "nested too deeply"
    if _LONG_RUN in data.translate(_DIGITS_TO_ZERO):
        wrong: list[int] = []

        def note(digits: str) -> int:
            number = int(digits) if len(digits) <= 20 else INT64_MAX + 1
            if not INT64_MIN <= number <= INT64_MAX:
                wrong.append(number)
            return 0

        try:
            json.loads(data, parse_int=note)
        except RecursionError:
            return "nested too deeply"
        if wrong:
            return "an integer beyond 64 bits"
    return ""


def depth(text: str) -> int:
    """The deepest nesting of a valid JSON document; strings are passed over."""
    now = deepest = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        sign = token.group()
        if sign in "[{":
            now += 1
            deepest = max(deepest, now)
        elif sign in "]}":
            now -= 1
    return deepest


_HEAD = b'{"v":1,"id":"'
_ID_END = len(_HEAD) + 32
"""An envelope as it is usually written: its id is found without parsing the whole line."""


def ids_in_record(data: bytes) -> list[str]:
    """The ids of the envelopes in a Kinesis record, one a line, and of foreign lines where they carry an `eventId`."""
    result = []
    for line in data.split(b"\n"):
        if line.startswith(_HEAD) and line[_ID_END : _ID_END + 1] == b'"':
            result.append(line[len(_HEAD) : _ID_END].decode("ascii", "replace"))
            continue
        try:
            value: Any = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        identity = value.get("id") or value.get("eventId") if isinstance(value, dict) else None
        if isinstance(identity, str):
            result.append(identity)
    return result


def ids_in_dead_letter(text: str) -> list[str]:
    """The `origin.eventId` of a dead letter, nothing where the message is none."""
    try:
        identity = orjson.loads(text)["origin"]["eventId"]
    except (orjson.JSONDecodeError, LookupError, TypeError, UnicodeEncodeError):
        return []
    return [identity] if isinstance(identity, str) else []

"""The wire contract between the two programs: `seal` on the receiver's side, `open_record` on the consumer's.

A Kinesis record holds one or more envelopes, one a line, separated by LF:
`{"v":1,"id":…,"idFrom":"delivery"|"content","receivedAt":epoch ms,"body":<the sender's JSON>}`; fields may be added
after the body, the last of them no object, and readers pass over those that they do not know.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any

import orjson

from stream_router.core import event_id, limits
from stream_router.core.dead_letter_reasons import Reason
from stream_router.core.json_text import documents
from stream_router.core.json_text.json_depth import is_too_deep
from stream_router.core.json_text.scanning import BLANKS_AND_COMMAS, SCANNER, behind
from stream_router.core.model import DeadLetter, Event, Record, new_event

VERSION = 1
_SEALED_HEAD = re.compile(
    rb'\{"v":1,"id":"([0-9a-f]{32})","idFrom":"(delivery|content)","receivedAt":(\d{1,14}),"body":'
)
_OF_AN_ENVELOPE = b'"idFrom"'
"""In every envelope of any version, whoever wrote it."""

_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Bytes that stand in no JSON, in whatever encoding of one byte it is."""

_OWN_FIELDS = frozenset({"v", "id", "idFrom", "receivedAt", "body"})
_YEAR_10000_MS = 253_402_300_800_000
_STREAM_SCHEME = "stream"
_BREAKS_TO_SPACES = bytes.maketrans(b"\r\n", b"  ")


def seal(identity: str, id_from: str, received_at_ms: int, body: bytes, added: bytes = b"") -> bytes:
    """One envelope, without a line break: the body's own bytes, line breaks between its tokens made spaces.

    `body` is valid JSON (a JSON string holds no raw line break, so no value changes); `added` is what
    `added_text` made.
    """
    if b"\n" in body or b"\r" in body:
        body = body.translate(_BREAKS_TO_SPACES)
    head = f'{{"v":{VERSION},"id":"{identity}","idFrom":"{id_from}","receivedAt":{received_at_ms},"body":'
    return head.encode() + body + added + b"}"


def added_text(fields: dict[str, str]) -> bytes:
    """The fields that stand after an envelope's body (docs/contract.md, "In the stream"), ready for `seal`."""
    return b"," + orjson.dumps(fields)[1:-1] if fields else b""


def text_body(body: bytes) -> tuple[bytes, str]:
    """A body that is no JSON as a JSON string, and its `bodyEncoding`: its bytes can be had back, all of them."""
    try:
        return orjson.dumps(body.decode()), "text"
    except UnicodeDecodeError:
        return orjson.dumps(base64.b64encode(body).decode()), "base64"


def added_fields(line: bytes) -> dict[str, Any]:
    """What an envelope says beside its body: `source`, `eventTypeHeader` and so on. Empty where there is nothing.

    The last added field is no object, so an envelope with none, of an event that is one, is known by its last bytes.
    """
    if line[-2:] == b"}}" or _OF_AN_ENVELOPE not in line[:200]:  # its head, whoever set blanks in it
        return {}
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    if type(value) is not dict or not value.keys() >= _OWN_FIELDS:
        return {}
    return {name: field for name, field in value.items() if name not in _OWN_FIELDS}


def sealed_parts(line: bytes) -> tuple[str, bytes]:
    """The identity and the body, unparsed, of a line that `seal` wrote; both empty where it is none.

    Behind the body there may be added fields.
    """
    head = _SEALED_HEAD.match(line)
    return (head[1].decode(), line[head.end() : -1]) if head else ("", b"")


def cut_array(body: bytes) -> Iterator[bytes]:
    """The elements of a JSON array, each as its own bytes, unchanged, one by one.

    `body` is known to be a valid array of at most EVENT_MAX_DEPTH levels: those the parser follows on every Python.
    """
    text = body.decode()
    at = text.index("[") + 1
    while text[at := behind(BLANKS_AND_COMMAS, text, at)] != "]":
        _, end = SCANNER.raw_decode(text, at)
        yield text[at:end].encode()
        at = end


def open_record(record: Record) -> list[Event | DeadLetter]:
    """Every event of a Kinesis record, in order; what cannot be read is a dead letter of its own line.

    Opens the record's books for exactly as many events as it returns. A record that is one JSON document is one event
    (or an array of them). Else each document is that goes over several lines; else, where the record is a text, each
    non-empty line. Never raises for what it holds.
    """
    found: list[Event | DeadLetter] = []
    data = record.data
    for line in data.split(b"\n") if b"\n" in data else (data,):  # a large one is not copied
        if len(found) > limits.RECORD_MAX_EVENTS:
            break
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            if not line or line.isspace():
                continue
            # A document that someone else pretty-printed breaks at its first line; an envelope never does.
            if not found and (found := _over_lines(record)):
                break
            found += _several(record, len(found), line, documents.end_to_end(line))
        else:
            found += _from_document(record, len(found), line, value)
    if not found or (len(found) > 1 and _is_no_text(data, found)):
        found = [_unreadable(record, 0, data)]
    elif len(found) > limits.RECORD_MAX_EVENTS:
        found = [_too_many(record, 0, data)]
    record.expect(len(found))
    record.received_at_ms = min([(one if isinstance(one, Event) else one.event).received_at_ms for one in found])
    return found


def _is_no_text(data: bytes, found: list[Event | DeadLetter]) -> bool:
    """Whether it is a compressed or a binary form, in which a byte like a line feed ends nothing."""
    if any(isinstance(one, Event) and type(one.body) is dict for one in found) or _OF_AN_ENVELOPE in data:
        return False
    return _NO_TEXT.search(data) is not None


def is_envelope(value: object) -> bool:
    """Whether it is one, of whatever version: many documents have `v`, `id` and `body`, but other fields besides."""
    if type(value) is not dict or "v" not in value or "body" not in value:
        return False
    return "idFrom" in value or ("id" in value and value.keys() <= _OWN_FIELDS)


def _from_document(record: Record, line: int, raw: bytes, value: Any) -> list[Event | DeadLetter]:
    if is_envelope(value):
        return [_from_envelope(record, line, raw, value)]
    return _from_value(record, line, raw, value)


def _over_lines(record: Record) -> list[Event | DeadLetter]:
    """What a record holds whose documents go over several lines; nothing where each line stands for itself."""
    data = record.data
    whole = _parse(data)
    if whole is not _BROKEN:
        return _from_value(record, 0, data, whole)
    cut = documents.end_to_end(data) if b"\n" in data else ([], b"")
    return _several(record, 0, data, cut) if any(b"\n" in part for part in cut[0]) else []


def _several(record: Record, line: int, raw: bytes, cut: tuple[list[bytes], bytes]) -> list[Event | DeadLetter]:
    """A text that is not one document: several end to end, and one dead letter of what cannot be read from there on."""
    parts, rest = cut
    if len(parts) < 2 and (not parts or not rest):
        return [_unreadable(record, line, raw)]
    found: list[Event | DeadLetter] = []
    for part in parts:
        value = _parse(part)
        if value is _BROKEN:
            found.append(_unreadable(record, line + len(found), part))
        else:
            found += _from_document(record, line + len(found), part, value)
    return [*found, _unreadable(record, line + len(found), rest)] if rest else found


_BROKEN = object()


def _parse(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _BROKEN


def _from_value(record: Record, line: int, raw: bytes, value: object) -> list[Event | DeadLetter]:
    """A document that is no envelope: one event, or, where it is an array, one for each element."""
    if type(value) is list and value:
        if is_too_deep(value):
            whole = unread(record, line, raw)
            return [DeadLetter(whole, Reason.SCHEMA_MISMATCH, "TooDeep", "the array nests too deep")]
        if len(value) > limits.RECORD_MAX_EVENTS:
            return [_too_many(record, line, raw)]
        parts = list(cut_array(raw))
        return [_foreign(record, line + i, parts[i], item, i) for i, item in enumerate(value)]
    return [_foreign(record, line, raw, value, 0)]


def _too_many(record: Record, line: int, raw: bytes) -> DeadLetter:
    message = f"there are more than {limits.RECORD_MAX_EVENTS} events in one record"
    return DeadLetter(unread(record, line, raw), Reason.SCHEMA_MISMATCH, "TooManyEvents", message)


def _from_envelope(record: Record, line: int, raw: bytes, value: dict[str, Any]) -> Event | DeadLetter:
    identity, received_at, id_from = value.get("id"), value.get("receivedAt"), value.get("idFrom")
    version = value["v"]
    if (
        type(identity) is str
        and len(identity) == 32
        and not identity.strip("0123456789abcdef")
        and type(received_at) is int
        and 0 <= received_at < _YEAR_10000_MS
        and (id_from == "delivery" or id_from == "content")  # noqa: PLR1714 - it also tells the type
    ):
        if version == VERSION:
            return new_event((record, line, raw, identity, id_from, received_at, value["body"]))
        event = Event(record, line, raw, identity, id_from, received_at, None)
    else:
        event = _foreign(record, line, raw, None, 0)
        if version == VERSION:
            message = "an envelope's field has a wrong form"
            return DeadLetter(event, Reason.SCHEMA_MISMATCH, "MalformedEnvelope", message)
    return DeadLetter(event, Reason.UNSUPPORTED_VERSION, "UnsupportedVersion", "the envelope's version is unknown")


def _foreign(record: Record, line: int, raw: bytes, body: object, index: int) -> Event:
    """An event that no receiver of ours sealed: identified by its content, received when Kinesis got it."""
    identity = event_id.of_body(_STREAM_SCHEME, None, index, raw)
    return Event(record, line, raw, identity, "content", record.arrived_at_ms, body)


def unread(record: Record, line: int, raw: bytes) -> Event:
    """An event known by its bytes alone, which nobody has parsed; who it is stands at the head of our own envelopes."""
    if head := _SEALED_HEAD.match(raw):
        identity, id_from, received_at = (part.decode() for part in head.groups())
        return Event(record, line, raw, identity, id_from, int(received_at), None)
    return _foreign(record, line, raw, None, 0)


def _unreadable(record: Record, line: int, raw: bytes) -> DeadLetter:
    return DeadLetter(unread(record, line, raw), *documents.why_unread(raw))

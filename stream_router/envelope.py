"""Wire contract between the two programs: `seal` on the receiver's side, `open_record` on the consumer's.

A Kinesis record holds one or more envelopes, one per line, separated by LF:
`{"v":1,"id":…,"idFrom":"delivery"|"content","receivedAt":epoch ms,"body":<the sender's JSON>}`. Fields may be added
after the body. The last added field is not an object, and readers ignore fields that they do not know. Records of other
writers are opened too (docs/contract.md, "In the stream"). A bad line affects no other line: an unreadable line becomes
a dead letter of its own bytes. A resubmitted event is a line of kind `line` or `entry`. A `line` holds the bytes of the
original line, an `entry` holds an event that EventBridge had accepted.

The parts of this module, in order, are: writing by the receiver; writing by an operator's commands; fields that both
read from a line; and the place of a line in the stream. Then come the opening of a record, and functions that examine
JSON by its text, without recursion: the end of a value, its depth, and the reason why a parser refuses it.
"""

import base64
import contextlib
import json
import operator
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeGuard

import orjson

from stream_router import limits
from stream_router.dead_letter_reasons import Reason
from stream_router.event_id import event_id
from stream_router.model import Accepted, DeadLetter, Event, Record, new_event

VERSION = 1
_SEALED_HEAD = re.compile(
    rb'\{"v":1,"id":"([0-9a-f]{32})","idFrom":"(delivery|content)","receivedAt":(\d{1,14}),"body":'
)
"""Beginning of a line that `seal` wrote: id, `idFrom` and time of receipt."""

_ENVELOPE_MARK = b'"idFrom"'
"""Field name that every envelope contains, whatever its version and its writer."""

_BINARY_BYTES = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Bytes that no JSON contains, in any single-byte encoding."""

_OWN_FIELDS = frozenset({"v", "id", "idFrom", "receivedAt", "body"})
_YEAR_10000_MS = 253_402_300_800_000
"""Beginning of the year 10000, which ISO 8601 cannot write in four digits. A time of receipt must be earlier."""
_STREAM_SCHEME = "stream"
"""Scheme of the ids of events that another writer put into the stream, so that they equal none of the receiver's."""
_RECEIVED_AT = operator.itemgetter(Event._fields.index("received_at_ms"))
"""Getter of the time of receipt. It is faster than access to the attribute, and runs for every event."""

_BREAKS_TO_SPACES = bytes.maketrans(b"\r\n", b"  ")


def seal(identity: str, id_from: str, received_at_ms: int, body: bytes, added: bytes = b"") -> bytes:
    """Return one envelope without a line break. It holds the body's own bytes, with spaces in place of line breaks.

    `body` must be valid JSON. A JSON string holds no raw line break, so no value changes. `added` is a result of
    `encode_added_fields`.
    """
    if b"\n" in body or b"\r" in body:
        body = body.translate(_BREAKS_TO_SPACES)
    head = f'{{"v":{VERSION},"id":"{identity}","idFrom":"{id_from}","receivedAt":{received_at_ms},"body":'
    return head.encode() + body + added + b"}"


def encode_added_fields(fields: dict[str, str]) -> bytes:
    """Return the fields that follow an envelope's body (docs/contract.md, "In the stream"), ready for `seal`."""
    return b"," + orjson.dumps(fields)[1:-1] if fields else b""


def encode_text_body(body: bytes) -> tuple[bytes, str]:
    """Return a body that is not JSON as a JSON string, and its `bodyEncoding`: `text` for UTF-8, otherwise `base64`."""
    try:
        return orjson.dumps(body.decode()), "text"
    except UnicodeDecodeError:
        return orjson.dumps(base64.b64encode(body).decode()), "base64"


class Resubmitted(NamedTuple):
    """Mark of a resubmitted event: by which command, for which application, in which run, and how often (from 1)."""

    command: str
    application: str
    run: str
    times: int

    def __str__(self) -> str:
        return f"{self.command}/{self.application}/{self.run}/{self.times}"

    @property
    def replayed(self) -> str:
        """Value of `metadata.replayed`: the run, if its command is `replay` or `edit`; otherwise "".

        Only these two publish an event again, or with another body.
        """
        return self.run if self.command in ("replay", "edit") else ""


_RESUBMITTED = re.compile(r"(redrive|edit|undelivered|replay)/([^/\s]{1,256})/([^/\s]{1,64})/([1-9][0-9]{0,8})")


def read_resubmitted(text: object) -> Resubmitted | None:
    """Parse the text of `resubmitted`. Return None if it does not have that form."""
    match = _RESUBMITTED.fullmatch(text) if isinstance(text, str) else None
    return Resubmitted(match[1], match[2], match[3], int(match[4])) if match else None


def mark_redriven(earlier_mark: object, application: str, run: str) -> Resubmitted:
    """Return the mark for a dead letter's line that `dlq redrive` resubmits in this run.

    `earlier_mark` is the text of the letter's own mark, if it has one. A replayed or edited event keeps that mark and
    its first run, because consumers identify the event by its id and run.
    """
    earlier = read_resubmitted(earlier_mark)
    if earlier and earlier.replayed:
        return earlier._replace(times=earlier.times + 1)
    return Resubmitted("redrive", application, run, earlier.times + 1 if earlier else 1)


def seal_line(
    line: bytes,
    identity: str,
    id_from: str,
    received_at_ms: int,
    resubmitted: Resubmitted,
    *,
    crashed: bool = False,
) -> bytes:
    """Return an envelope of kind `line`, which holds any `line`, byte for byte, to be opened again.

    `crashed` marks the line of a dead letter with that reason: it killed processes, so the child handles it alone.
    """
    body = b'"%b"' % base64.b64encode(line)
    return seal(
        identity, id_from, received_at_ms, body, _encode_resubmitted_fields("line", resubmitted, crashed=crashed)
    )


def seal_entry(event: bytes, identity: str, id_from: str, received_at_ms: int, resubmitted: Resubmitted) -> bytes:
    """Return an envelope of kind `entry`: the JSON of an event as EventBridge accepted it, to be published as it is."""
    return seal(identity, id_from, received_at_ms, event, _encode_resubmitted_fields("entry", resubmitted))


def _encode_resubmitted_fields(kind: str, resubmitted: Resubmitted, *, crashed: bool = False) -> bytes:
    reason = {"reason": Reason.CRASHED.value} if crashed else {}
    return encode_added_fields({"kind": kind, **reason, "resubmitted": str(resubmitted)})


_RESUBMITTED_END = re.compile(rb',"kind":"(line|entry)"(,"reason":"crashed")?,"resubmitted":"([^"\\]{1,400})"\}')
"""End of a line that `seal_line` or `seal_entry` wrote.

In a valid line that begins as `seal` writes it, nothing inside the body can match this: the body's own end would
follow, and inside a string the quotes would be escaped.
"""

_MAX_RESUBMITTED_END_BYTES = 500
"""Upper bound of the bytes of that end."""


def _match_resubmitted_end(line: bytes) -> re.Match[bytes] | None:
    """Return the match of the fields behind a resubmitted line's body; None for any other line. Parses no JSON."""
    at = line.rfind(b',"kind":"', max(0, len(line) - _MAX_RESUBMITTED_END_BYTES))
    return _RESUBMITTED_END.fullmatch(line, at) if at >= 0 and _SEALED_HEAD.match(line) else None


def holds_crashed(data: bytes) -> bool:
    """Return whether a record holds the resubmitted line of a dead letter that killed processes. Parses no JSON."""
    if b'"reason":"crashed"' not in data:
        return False
    ends = map(_match_resubmitted_end, data.split(b"\n"))
    return any(end is not None and end[2] for end in ends)


def read_added_fields(line: bytes) -> dict[str, Any]:
    """Return the fields that follow an envelope's body: `source`, `eventTypeHeader` and so on. Empty if there are none.

    The last added field is not an object. So an envelope that ends with two braces has an object as its body and no
    added fields, and it need not be parsed.
    """
    if line[-2:] == b"}}" or _ENVELOPE_MARK not in line[:200]:  # the head, even if another writer put blanks into it
        return {}
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    if type(value) is not dict or not value.keys() >= _OWN_FIELDS:
        return {}
    return {name: field for name, field in value.items() if name not in _OWN_FIELDS}


_SOURCE_END = re.compile(rb',"source":"([^"\\]{1,400})"(?:,"[A-Za-z]{1,40}":"(?:[^"\\]|\\.)*")*\}')
"""End of a line that the receiver sealed for a named source.

Nothing in the sender's body can imitate it: the body's own end would follow, and inside a string the quotes would be
escaped.
"""

_MAX_ADDED_BYTES = 16 * 1024
"""Upper bound of the bytes that the receiver adds behind a body.

Most of them come from the request's head, which is limited to that size.
"""


def find_source(line: bytes) -> str:
    """Return the name of the source that sent the event of a sealed line; "" if it has none. Parses no JSON."""
    at = line.rfind(b',"source":"', max(0, len(line) - _MAX_ADDED_BYTES))
    end = _SOURCE_END.fullmatch(line, at) if at >= 0 and _SEALED_HEAD.match(line) else None
    return end[1].decode("utf-8", "replace") if end else ""


def split_sealed(line: bytes) -> tuple[str, bytes]:
    """Return the identity and the body, unparsed, of a line that `seal` wrote; both empty for any other line.

    Added fields may follow the body.
    """
    head = _SEALED_HEAD.match(line)
    return (head[1].decode(), line[head.end() : -1]) if head else ("", b"")


_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def valid_traceparent(text: object) -> str:
    """Return `text` if it has the form of a `traceparent` header, otherwise "". A bad value is never repaired."""
    return text if isinstance(text, str) and _TRACEPARENT.fullmatch(text) else ""


def find_conversation(value: dict[str, Any], identity: str, paths: Sequence[Sequence[str]]) -> str:
    """Return the name of an event's conversation: the first text or whole number at one of `paths` in its body `value`.

    Return `identity`, the event's id, if there is none, so that such events spread over the shards of the stream.
    """
    for path in paths:
        value_at_path: object = value
        for name in path:
            value_at_path = value_at_path.get(name) if type(value_at_path) is dict else None
        if (type(value_at_path) is str and value_at_path) or type(value_at_path) is int:
            return str(value_at_path)
    return identity


def find_line_conversation(line: bytes, paths: Sequence[Sequence[str]]) -> str:
    """Return the name of the conversation of a sealed event. Raises nothing.

    A body without added fields is parsed without its envelope, as at its receipt, since the envelope may nest one level
    deeper than an event may. If the body cannot be read, return the event's id, so that the event can be resubmitted.
    """
    identity, body = split_sealed(line)
    try:
        value = read_json(line).get("body") if read_added_fields(line) else read_json(body)  # type: ignore[attr-defined]
    except ValueError:
        value = None
    return find_conversation(value if type(value) is dict else {}, identity, paths)


def conversation_hash(name: str) -> int:
    """Return the hash of CONVERSATION_BITS bits by which `group_of` assigns a conversation to a partition group."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass"))


CONVERSATION_BITS = 32


def group_of(conversation: int, groups: int) -> int:
    """Return the index of a conversation's partition group. `conversation` is its hash, `groups` the number of groups.

    Each group is a range of the hash. So a conversation stays on its shard when the number of groups changes, if the
    shards begin at multiples of 1/groups before and after.
    """
    return conversation * groups >> CONVERSATION_BITS


def group_place(index: int, groups: int) -> tuple[str, str]:
    """Return a group's partition key and explicit hash key.

    The hash key is the middle of the group's range of Kinesis's keys, so that no reshard divides a group.
    """
    return f"bucket-{index}-of-{groups}", str(HASH_SPACE * (2 * index + 1) // (2 * groups))


HASH_SPACE = 1 << 128
"""Size of Kinesis's hash-key space: a shard owns a range of it."""


def open_record(record: Record) -> list[Event | DeadLetter]:
    """Return every event of a Kinesis record, in order, and mark them as the record's unsettled events.

    An unreadable line becomes a dead letter of its own. No content of a record makes this function raise. Records of
    other writers are opened by the first of these rules that fits:

    * A record that is one JSON document is one event, or an array of events.
    * If JSON documents extend over several lines, each document is an event.
    * If the record is text, each line that is not blank is an event. A binary record is one dead letter.
    """
    opened: list[Event | DeadLetter] = []
    data = record.data
    lines: Sequence[bytes] = (data,)  # a large record is not copied
    if b"\n" in data:
        # Blank lines are removed before parsing, since a megabyte of line feeds would be a million failures.
        lines = [line for line in data.split(b"\n") if line and not line.isspace()]
        if len(lines) > limits.RECORD_MAX_EVENTS:
            lines = ()  # the loop below has nothing to do
            opened = _open_too_many_lines(record)
    for line in lines:
        if len(opened) > limits.RECORD_MAX_EVENTS:
            break
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            # A pretty-printed document of another writer fails at its first line; an envelope has no line break.
            if not opened and (opened := _open_multiline(record)):
                break
            opened += _open_documents(record, len(opened), line, cut_documents(line))
        else:
            if is_envelope(value):
                opened.append(_open_envelope(record, len(opened), line, value))
            else:
                opened += _open_foreign(record, len(opened), line, value)
    if not opened or (len(opened) > 1 and _is_binary(data, opened)):
        opened = [_make_unreadable_letter(record, 0, data)]
    elif len(opened) > limits.RECORD_MAX_EVENTS:
        opened = [_make_too_many_letter(record, 0, data)]
    record.expect(len(opened))
    events = [each if type(each) is Event else each.event for each in opened]  # type: ignore[union-attr]
    if record.has_resubmitted:
        # Resubmitted events do not count for the record's age: their times of receipt are long ago.
        new = [event for event in events if not event.resubmitted]
        record.has_resubmitted = len(new) < len(events)
        events = new
    record.received_at_ms = min(map(_RECEIVED_AT, events), default=record.arrived_at_ms)
    return opened


def _is_binary(data: bytes, opened: list[Event | DeadLetter]) -> bool:
    """Return whether the data is compressed or binary: a byte with the value of a line feed then ends no line."""
    if any(isinstance(each, Event) and type(each.body) is dict for each in opened) or _ENVELOPE_MARK in data:
        return False
    return _BINARY_BYTES.search(data) is not None


def _open_too_many_lines(record: Record) -> list[Event | DeadLetter]:
    """Open a record of more lines than RECORD_MAX_EVENTS, as documents over several lines or as one dead letter."""
    first = record.data.lstrip().partition(b"\n")[0]
    if _parse(first) is _NOT_JSON and (letters := _open_multiline(record)):
        return letters
    is_no_text = _ENVELOPE_MARK not in record.data and _BINARY_BYTES.search(record.data) is not None
    return [
        _make_unreadable_letter(record, 0, record.data) if is_no_text else _make_too_many_letter(record, 0, record.data)
    ]


def is_envelope(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is an envelope of any version.

    Many other documents have `v`, `id` and `body`, but also fields that no envelope has.
    """
    if type(value) is not dict or "v" not in value or "body" not in value:
        return False
    return "idFrom" in value or ("id" in value and value.keys() <= _OWN_FIELDS)


def _open_multiline(record: Record) -> list[Event | DeadLetter]:
    """Return the events of a record whose JSON documents extend over several lines; [] for any other record."""
    data = record.data
    whole = _parse(data)
    if whole is not _NOT_JSON:
        return _open_foreign(record, 0, data, whole)
    cut = cut_documents(data) if b"\n" in data else ([], b"")
    return _open_documents(record, 0, data, cut) if any(b"\n" in part for part in cut[0]) else []


def _open_documents(record: Record, line: int, raw: bytes, cut: tuple[list[bytes], bytes]) -> list[Event | DeadLetter]:
    """Open JSON documents that follow each other without a separator. An unreadable rest becomes one dead letter.

    `cut` is the result of `cut_documents(raw)`.
    """
    parts, rest = cut
    if len(parts) > limits.RECORD_MAX_EVENTS:
        return [_make_too_many_letter(record, line, raw)]
    # No document can be read, or the only one is the whole line, which the caller's parser refused.
    if len(parts) < 2 and (not parts or not rest):
        return [_make_unreadable_letter(record, line, raw)]
    opened: list[Event | DeadLetter] = []
    for part in parts:
        value = _parse(part)
        if value is _NOT_JSON:
            opened.append(_make_unreadable_letter(record, line + len(opened), part))
        elif is_envelope(value):
            opened.append(_open_envelope(record, line + len(opened), part, value))
        else:
            opened += _open_foreign(record, line + len(opened), part, value)
    return [*opened, _make_unreadable_letter(record, line + len(opened), rest)] if rest else opened


_NOT_JSON = object()
"""Result of `_parse` for text that is not JSON. None would not do, since it is the value of `null`."""


def _parse(data: bytes) -> object:
    """Return the value of a JSON document; _NOT_JSON if orjson refuses it."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _NOT_JSON


def _open_foreign(record: Record, line: int, raw: bytes, value: object) -> list[Event | DeadLetter]:
    """Open a document that is not an envelope as one event, or an array as one event for each element."""
    if type(value) is list and value:
        if is_too_deep(value):
            whole = make_unparsed_event(record, line, raw)
            return [DeadLetter(whole, Reason.SCHEMA_MISMATCH, "TooDeep", "the array nests too deep")]
        if len(value) > limits.RECORD_MAX_EVENTS:
            return [_make_too_many_letter(record, line, raw)]
        parts = list(cut_array(raw))
        return [_make_foreign_event(record, line + i, parts[i], item, i) for i, item in enumerate(value)]
    return [_make_foreign_event(record, line, raw, value, 0)]


def _make_too_many_letter(record: Record, line: int, raw: bytes) -> DeadLetter:
    message = f"there are more than {limits.RECORD_MAX_EVENTS} events in one record"
    return DeadLetter(make_unparsed_event(record, line, raw), Reason.SCHEMA_MISMATCH, "TooManyEvents", message)


def _open_envelope(record: Record, line: int, raw: bytes, value: dict[str, Any]) -> Event | DeadLetter:
    """Return the event of an envelope; a dead letter if its fields are malformed or its version is unknown."""
    identity, received_at, id_from = value.get("id"), value.get("receivedAt"), value.get("idFrom")
    version = value["v"]
    if (
        type(identity) is str
        and len(identity) == 32
        # Of a text of hex digits alone `strip` leaves nothing.
        and not identity.strip("0123456789abcdef")
        and type(received_at) is int
        and 0 <= received_at < _YEAR_10000_MS
        and (id_from == "delivery" or id_from == "content")  # noqa: PLR1714 - the comparison also narrows the type
    ):
        if version == VERSION:
            if "kind" in value and (kind := value["kind"]) in ("line", "entry"):
                return _open_resubmitted(record, line, raw, value, kind)
            return new_event((record, line, raw, identity, id_from, received_at, value["body"], ""))
        event = Event(record, line, raw, identity, id_from, received_at, None)
    else:
        # In another version these fields may have other forms, so there only the version is reported.
        event = _make_foreign_event(record, line, raw, None, 0)
        if version == VERSION:
            return DeadLetter(event, Reason.SCHEMA_MISMATCH, "MalformedEnvelope", _malformed_field(identity, id_from))
    return DeadLetter(event, Reason.UNSUPPORTED_VERSION, "UnsupportedVersion", "the envelope's version is unknown")


def _open_resubmitted(record: Record, line: int, raw: bytes, value: dict[str, Any], kind: str) -> Event | DeadLetter:
    """Open a resubmitted event, under this envelope's id. A line of kind `line` is opened as it was the first time."""
    resubmitted, body = value.get("resubmitted"), value["body"]
    event = Event(record, line, raw, value["id"], value["idFrom"], value["receivedAt"], None)
    if not isinstance(resubmitted, str) or read_resubmitted(resubmitted) is None:
        return DeadLetter(
            event, Reason.SCHEMA_MISMATCH, "MalformedEnvelope", "the envelope's `resubmitted` is not a run"
        )
    event = event._replace(resubmitted=resubmitted)
    record.has_resubmitted = True
    if kind == "entry":
        if is_too_deep(value):
            return DeadLetter(event, *_TOO_DEEP)
        return event._replace(body=Accepted(member(raw, "body")))
    try:
        inner = base64.b64decode(body, validate=True)
    except (ValueError, TypeError):
        return DeadLetter(event, Reason.SCHEMA_MISMATCH, "MalformedEnvelope", "the envelope's `body` is not base64")
    return _open_inner_line(event._replace(raw=inner))


def _open_inner_line(event: Event) -> Event | DeadLetter:
    """Return the event of the inner line, `event.raw`, of a line of kind `line`.

    An inner line of kind `line` becomes a dead letter, so that a line cannot nest without end.
    """
    inner = _parse(event.raw)
    if inner is _NOT_JSON:
        return DeadLetter(event, *explain_unreadable(event.raw))
    if type(inner) is not dict or not is_envelope(inner):
        return event._replace(body=inner)
    if inner["v"] == VERSION and inner.get("kind") == "line":
        return DeadLetter(event, Reason.SCHEMA_MISMATCH, "MalformedEnvelope", "a line of kind `line` holds another")
    opened = _open_envelope(event.record, event.line, event.raw, inner)
    if isinstance(opened, DeadLetter):
        return opened._replace(event=event)
    return event._replace(body=opened.body)


def _malformed_field(identity: object, id_from: object) -> str:
    """Return which field of an envelope is malformed, and the form it must have. The message quotes no value."""
    if type(identity) is not str or len(identity) != 32 or identity.strip("0123456789abcdef"):
        return "the envelope's `id` is not 32 hex digits in lower case"
    if id_from not in ("delivery", "content"):
        return "the envelope's `idFrom` is neither `delivery` nor `content`"
    return "the envelope's `receivedAt` is not a whole number of milliseconds since 1970"


def _make_foreign_event(record: Record, line: int, raw: bytes, body: object, index: int) -> Event:
    """Return an event that our receiver did not seal.

    Its id is derived from its content, and its time of receipt is the time at which Kinesis received the record.
    """
    identity = event_id(_STREAM_SCHEME, None, index, raw)
    return Event(record, line, raw, identity, "content", record.arrived_at_ms, body)


def make_unparsed_event(record: Record, line: int, raw: bytes) -> Event:
    """Return an event for a line that is not parsed, without a body.

    Its id is that in the head of our own envelopes, otherwise derived from its content. For a resubmitted line, `raw`
    of the event is the inner line.
    """
    head = _SEALED_HEAD.match(raw)
    if head is None:
        return _make_foreign_event(record, line, raw, None, 0)
    identity, id_from, received_at = (part.decode() for part in head.groups())
    event = Event(record, line, raw, identity, id_from, int(received_at), None)
    end = _match_resubmitted_end(raw)
    if end is None or read_resubmitted(resubmitted := end[3].decode("ascii", "replace")) is None:
        return event
    with contextlib.suppress(ValueError):
        inner = base64.b64decode(raw[head.end() + 1 : end.start() - 1], validate=True) if end[1] == b"line" else raw
        record.has_resubmitted = True
        return event._replace(raw=inner, resubmitted=resubmitted)
    return event


def _make_unreadable_letter(record: Record, line: int, raw: bytes) -> DeadLetter:
    return DeadLetter(make_unparsed_event(record, line, raw), *explain_unreadable(raw))


SCANNER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
"""Decoder whose `raw_decode` returns the end of a value. Numbers stay text: Python refuses 5,000 digits."""

BLANKS = re.compile(r"[ \t\r\n]*")
BLANKS_AND_COMMAS = re.compile(r"[ \t\r\n,]*")
_BLANKS_AND_COLON = re.compile(r"[ \t\r\n:]*")


def skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return the index behind the characters at `at` that match `pattern`; `at` itself if there are none."""
    match = pattern.match(text, at)
    return match.end() if match else at


def cut_array(body: bytes) -> Iterator[bytes]:
    """Yield the elements of a JSON array, each as its own bytes, unchanged.

    `body` must be a valid array of at most EVENT_MAX_DEPTH levels, a depth that the parser of every Python accepts.
    """
    text = body.decode()
    at = text.index("[") + 1
    while text[at := skip(BLANKS_AND_COMMAS, text, at)] != "]":
        _, end = SCANNER.raw_decode(text, at)
        yield text[at:end].encode()
        at = end


def members(text: bytes) -> dict[str, bytes]:
    """Split a JSON object into its members' values, each as its own bytes. Of equal names the last counts.

    `text` is known to be a valid object of at most EVENT_MAX_DEPTH levels.
    """
    whole, values = text.decode(), dict[str, bytes]()
    at = skip(BLANKS_AND_COMMAS, whole, whole.index("{") + 1)
    while whole[at] != "}":
        key, at = SCANNER.raw_decode(whole, at)
        begins = skip(_BLANKS_AND_COLON, whole, at)
        _, ends = SCANNER.raw_decode(whole, begins)
        values[key] = whole[begins:ends].encode()
        at = skip(BLANKS_AND_COMMAS, whole, ends)
    return values


def member(text: bytes, name: str) -> bytes:
    """Return the last member of this name of a JSON object, as its own bytes; b"" if the object has none."""
    return members(text).get(name, b"")


def is_too_deep(value: object) -> bool:
    """Return whether `value`, from a JSON parser, nests deeper than EVENT_MAX_DEPTH levels."""
    try:
        # orjson writes 254 levels, four more than EVENT_MAX_DEPTH.
        orjson.dumps([[[[value]]]])
    except TypeError as error:  # also for a lone surrogate, which only the standard library's parser accepts
        return "Recursion" in str(error)
    return False


LetterReason = tuple[Reason, str, str]
"""A dead letter's reason, code and message."""

MALFORMED: LetterReason = (Reason.MALFORMED_JSON, "MalformedJson", "the line is not valid JSON")
_TOO_DEEP: LetterReason = (
    Reason.SCHEMA_MISMATCH,
    "TooDeep",
    f"the event nests deeper than {limits.EVENT_MAX_DEPTH} levels",
)
_SURROGATE: LetterReason = (Reason.SCHEMA_MISMATCH, "LoneSurrogate", "a text holds half a character (a lone surrogate)")
_RANGE: LetterReason = (Reason.SCHEMA_MISMATCH, "NumberOutOfRange", "a number is beyond what any double holds")


def cut_documents(line: bytes) -> tuple[list[bytes], bytes]:
    """Return the objects and arrays that follow each other in `line`, each as its own bytes, and the rest.

    The rest is what cannot be read as such a value, or what follows after more values than a record may hold; b"" if
    everything was read.
    """
    try:
        text, undecoded = line.decode(), b""
    except UnicodeDecodeError as error:
        text, undecoded = line[: error.start].decode(), line[error.start :]
    values: list[bytes] = []
    at = skip(BLANKS, text, 0)
    while text[at : at + 1] in ("{", "[") and len(values) <= limits.RECORD_MAX_EVENTS:
        try:
            value, end = SCANNER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if is_too_deep(value):  # parsers of some Python versions accept more levels, and the result must be the same
            break
        values.append(text[at:end].encode())
        at = skip(BLANKS, text, end)
    return values, text[at:].encode() + undecoded


def explain_unreadable(data: bytes) -> LetterReason:
    """Return why orjson refuses `data`: it is not JSON, or JSON with content that no event may have."""
    is_out_of_range = False

    def parse_number(text: str) -> float:
        nonlocal is_out_of_range
        value = float(text)
        is_out_of_range = is_out_of_range or value in (float("inf"), float("-inf"))
        return value

    try:
        text = data.decode()
        value = json.loads(text, parse_int=parse_number, parse_float=parse_number, parse_constant=_refuse_constant)
        if is_too_deep(value):
            return _TOO_DEEP
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _SURROGATE
    except RecursionError:
        return _TOO_DEEP
    except ValueError:
        return MALFORMED
    return _RANGE if is_out_of_range else MALFORMED


def _refuse_constant(_: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


class TooDeepError(ValueError):
    """The text may be JSON, but it nests deeper than an event may."""


def read_json(text: bytes) -> object:
    """Return the value of a JSON text. Raises ValueError for text that is not UTF-8 or not JSON, or nests too deep.

    orjson refuses some valid JSON: lone surrogates, and numbers beyond a double. This function accepts both, since a
    sender does not repeat a webhook that the receiver refused with a 4xx. The consumer then dead-letters such an event
    unchanged.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if str(error).startswith(_ORJSON_TOO_DEEP):
            raise TooDeepError from None
        try:
            value = _GRAMMAR_DECODER.decode(text.decode())
        except RecursionError:
            raise TooDeepError from None
    # Most texts have fewer opening brackets than the permitted depth, so they need no check.
    if text.count(b"{") + text.count(b"[") > limits.EVENT_MAX_DEPTH and is_too_deep(value):
        raise TooDeepError
    return value


_ORJSON_TOO_DEEP = "depth limit exceeded"
"""Beginning of orjson's message for text that nests too deep. Its other errors have the same type."""
_GRAMMAR_DECODER = json.JSONDecoder(parse_int=str, parse_float=lambda _: None, parse_constant=_refuse_constant)
"""Decoder that checks the grammar alone. Whole numbers stay texts, since a conversation may have such a name.

Other numbers become None, since no conversation has such a name.
"""

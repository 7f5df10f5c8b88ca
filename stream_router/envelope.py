"""Wire contract between the two programs: `seal` on the receiver's side, `open_record` on the consumer's.

A Kinesis record holds one or more envelopes, one per line, separated by LF:
`{"v":1,"id":…,"idFrom":"delivery"|"content","receivedAt":epoch ms,"body":<the sender's JSON>}`. Fields may be added
after the body. The last added field is no object, and readers ignore fields that they do not know. Records of other
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
_OF_AN_ENVELOPE = b'"idFrom"'
"""Field name that every envelope of any version and any writer contains."""

_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Bytes that no JSON contains, in any single-byte encoding."""

_OWN_FIELDS = frozenset({"v", "id", "idFrom", "receivedAt", "body"})
_YEAR_10000_MS = 253_402_300_800_000
_STREAM_SCHEME = "stream"
_RECEIVED_AT = operator.itemgetter(Event._fields.index("received_at_ms"))
"""Getter of the time of receipt. It is faster than the attribute, and every event needs it."""

_BREAKS_TO_SPACES = bytes.maketrans(b"\r\n", b"  ")


def seal(identity: str, id_from: str, received_at_ms: int, body: bytes, added: bytes = b"") -> bytes:
    """Return one envelope without a line break: the body's own bytes, with line breaks between tokens made spaces.

    `body` is valid JSON. A JSON string holds no raw line break, so no value changes. `added` is a result of
    `added_text`.
    """
    if b"\n" in body or b"\r" in body:
        body = body.translate(_BREAKS_TO_SPACES)
    head = f'{{"v":{VERSION},"id":"{identity}","idFrom":"{id_from}","receivedAt":{received_at_ms},"body":'
    return head.encode() + body + added + b"}"


def added_text(fields: dict[str, str]) -> bytes:
    """Return the fields that follow an envelope's body (docs/contract.md, "In the stream"), ready for `seal`."""
    return b"," + orjson.dumps(fields)[1:-1] if fields else b""


def text_body(body: bytes) -> tuple[bytes, str]:
    """Return a body that is no JSON as a JSON string, and its `bodyEncoding`: all of its bytes can be restored."""
    try:
        return orjson.dumps(body.decode()), "text"
    except UnicodeDecodeError:
        return orjson.dumps(base64.b64encode(body).decode()), "base64"


class Resubmitted(NamedTuple):
    """Mark of a resubmitted event: command, application, run, and number of times (1: the first time)."""

    way: str
    application: str
    run: str
    times: int

    def __str__(self) -> str:
        return f"{self.way}/{self.application}/{self.run}/{self.times}"

    @property
    def replayed(self) -> str:
        """Value of `metadata.replayed`: the run that published an event a second time, or with another body."""
        return self.run if self.way in ("replay", "edit") else ""


_RESUBMITTED = re.compile(r"(redrive|edit|undelivered|replay)/([^/\s]{1,256})/([^/\s]{1,64})/([1-9][0-9]{0,8})")


def read_resubmitted(text: object) -> Resubmitted | None:
    """Parse the text of `resubmitted`. Return None if it does not have that form."""
    match = _RESUBMITTED.fullmatch(text) if isinstance(text, str) else None
    return Resubmitted(match[1], match[2], match[3], int(match[4])) if match else None


def redriven(before: object, application: str, run: str) -> Resubmitted:
    """Return the `resubmitted` of a dead letter's line in this run; `before` is the letter's own `resubmitted`.

    A replayed or edited event keeps that mark and its first run: consumers identify it by the pair of id and run.
    """
    earlier = read_resubmitted(before)
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
    """Return an envelope of kind `line`: any `line`, byte for byte, to be opened again.

    `crashed` marks the line of a dead letter with that reason: it killed processes, so it is handled alone.
    """
    body = b'"%b"' % base64.b64encode(line)
    return seal(identity, id_from, received_at_ms, body, _added_of_kind("line", resubmitted, crashed=crashed))


def seal_entry(event: bytes, identity: str, id_from: str, received_at_ms: int, resubmitted: Resubmitted) -> bytes:
    """Return an envelope of kind `entry`: the JSON of an event as EventBridge accepted it, to be published as it is."""
    return seal(identity, id_from, received_at_ms, event, _added_of_kind("entry", resubmitted))


def _added_of_kind(kind: str, resubmitted: Resubmitted, *, crashed: bool = False) -> bytes:
    reason = {"reason": Reason.CRASHED.value} if crashed else {}
    return added_text({"kind": kind, **reason, "resubmitted": str(resubmitted)})


_OF_KIND = re.compile(rb',"kind":"(line|entry)"(,"reason":"crashed")?,"resubmitted":"([^"\\]{1,400})"\}')
"""End of a line that `seal_line` or `seal_entry` wrote.

In a valid line that begins as `seal` writes it, these fields are behind the body. Within the body its own end would
follow, and within a text they would have escapes.
"""

_LONGEST_END = 500


def _end_of_kind(line: bytes) -> re.Match[bytes] | None:
    """Return the added fields of a resubmitted line, found without parsing it; None for any other line."""
    at = line.rfind(b',"kind":"', max(0, len(line) - _LONGEST_END))
    return _OF_KIND.fullmatch(line, at) if at >= 0 and _SEALED_HEAD.match(line) else None


def holds_crashed(data: bytes) -> bool:
    """Return whether a record holds the line of a dead letter that killed processes. Nothing is parsed."""
    if b'"reason":"crashed"' not in data:
        return False
    return any((end := _end_of_kind(line)) is not None and end[2] for line in data.split(b"\n"))


def added_fields(line: bytes) -> dict[str, Any]:
    """Return the fields of an envelope beside its body: `source`, `eventTypeHeader` and so on. Empty if there are none.

    The last added field is no object. So an envelope that ends with two braces holds an object as its body, and no
    added fields.
    """
    if line[-2:] == b"}}" or _OF_AN_ENVELOPE not in line[:200]:  # the head, even if another writer put blanks into it
        return {}
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    if type(value) is not dict or not value.keys() >= _OWN_FIELDS:
        return {}
    return {name: field for name, field in value.items() if name not in _OWN_FIELDS}


_SOURCE_AT_THE_END = re.compile(rb',"source":"([^"\\]{1,400})"(?:,"[A-Za-z]{1,40}":"(?:[^"\\]|\\.)*")*\}')
"""End of a line that the receiver sealed for a named source.

No text of the sender can imitate it: within the body the body's own end follows, and within a text its quotes are
escaped.
"""

_ADDED_BYTES = 16 * 1024
"""More bytes than the receiver adds behind a body. Most of them come from one request's head, which has that bound."""


def source_of(line: bytes) -> str:
    """Return the name of the source that sent the event of a sealed line; "" if there is none. Parses no body."""
    at = line.rfind(b',"source":"', max(0, len(line) - _ADDED_BYTES))
    end = _SOURCE_AT_THE_END.fullmatch(line, at) if at >= 0 and _SEALED_HEAD.match(line) else None
    return end[1].decode("utf-8", "replace") if end else ""


def sealed_parts(line: bytes) -> tuple[str, bytes]:
    """Return the identity and the body, unparsed, of a line that `seal` wrote; both empty for any other line.

    Added fields may follow the body.
    """
    head = _SEALED_HEAD.match(line)
    return (head[1].decode(), line[head.end() : -1]) if head else ("", b"")


_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def valid_traceparent(text: object) -> str:
    """Return `text` if it has the form of a `traceparent` header, otherwise "". A bad value is never repaired."""
    return text if isinstance(text, str) and _TRACEPARENT.fullmatch(text) else ""


def conversation_of(value: dict[str, Any], identity: str, paths: Sequence[Sequence[str]]) -> str:
    """Return the name of an event's conversation: the first text or whole number that one of `paths` leads to.

    If there is none, return the event's id, so that such events spread over the stream. `value` is the sender's body.
    """
    for path in paths:
        value_at_path: object = value
        for name in path:
            value_at_path = value_at_path.get(name) if type(value_at_path) is dict else None
        if (type(value_at_path) is str and value_at_path) or type(value_at_path) is int:
            return str(value_at_path)
    return identity


def conversation_of_line(line: bytes, paths: Sequence[Sequence[str]]) -> str:
    """Return the name of the conversation of an event that was sealed before. Raises nothing.

    The body is read by itself, as at its receipt, since its envelope may nest one level deeper than an event may. If
    the body cannot be read the id decides, so that one event does not keep others from the stream.
    """
    identity, body = sealed_parts(line)
    try:
        value = read_json(line).get("body") if added_fields(line) else read_json(body)  # type: ignore[attr-defined]
    except ValueError:
        value = None
    return conversation_of(value if type(value) is dict else {}, identity, paths)


def conversation_hash(name: str) -> int:
    """Return the hash, of CONVERSATION_BITS bits, that assigns a conversation to a partition group."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass"))


CONVERSATION_BITS = 32


def group_of(conversation: int, groups: int) -> int:
    """Return the index of the partition group, of `groups`, that holds a conversation's hash.

    Groups are ranges of the hash. So another number of groups leaves a conversation on its shard, if the shards begin
    at multiples of 1/groups before and after.
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
    """Return every event of a Kinesis record, in order. An unreadable line becomes a dead letter of its own.

    Counts the returned events as unsettled events of the record. A record that is one JSON document is one event, or an
    array of events. Otherwise each document is an event if documents go over several lines. Otherwise each non-empty
    line is an event if the record is a text. No content of a record makes this raise.
    """
    opened: list[Event | DeadLetter] = []
    data = record.data
    lines: Sequence[bytes] = (data,)  # a large record is not copied
    if b"\n" in data:
        # Blank lines are removed before parsing, since a megabyte of line feeds would be a million failures.
        lines = [line for line in data.split(b"\n") if line and not line.isspace()]
        if len(lines) > limits.RECORD_MAX_EVENTS:
            lines = ()
            opened = _of_too_many_lines(record)
    for line in lines:
        if len(opened) > limits.RECORD_MAX_EVENTS:
            break
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            # A pretty-printed document of another writer fails at its first line. An envelope never does.
            if not opened and (opened := _over_lines(record)):
                break
            opened += _several(record, len(opened), line, end_to_end(line))
        else:
            if is_envelope(value):
                opened.append(_from_envelope(record, len(opened), line, value))
            else:
                opened += _from_value(record, len(opened), line, value)
    if not opened or (len(opened) > 1 and _is_no_text(data, opened)):
        opened = [_unreadable(record, 0, data)]
    elif len(opened) > limits.RECORD_MAX_EVENTS:
        opened = [_too_many(record, 0, data)]
    record.expect(len(opened))
    events = [each if type(each) is Event else each.event for each in opened]  # type: ignore[union-attr]
    if record.put_back:
        # Resubmitted events have no age: they were received long ago, and nobody has waited for them since.
        new = [event for event in events if not event.resubmitted]
        record.put_back = len(new) < len(events)
        events = new
    record.received_at_ms = min(map(_RECEIVED_AT, events), default=record.arrived_at_ms)
    return opened


def _is_no_text(data: bytes, opened: list[Event | DeadLetter]) -> bool:
    """Return whether the data is compressed or binary, so that a byte like a line feed does not end a line."""
    if any(isinstance(each, Event) and type(each.body) is dict for each in opened) or _OF_AN_ENVELOPE in data:
        return False
    return _NO_TEXT.search(data) is not None


def _of_too_many_lines(record: Record) -> list[Event | DeadLetter]:
    """Open a record of more lines than RECORD_MAX_EVENTS, as documents over several lines or as one dead letter."""
    first = record.data.lstrip().partition(b"\n")[0]
    if _parse(first) is _BROKEN and (letters := _over_lines(record)):
        return letters
    is_no_text = _OF_AN_ENVELOPE not in record.data and _NO_TEXT.search(record.data) is not None
    return [_unreadable(record, 0, record.data) if is_no_text else _too_many(record, 0, record.data)]


def is_envelope(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is an envelope of any version.

    Many other documents have `v`, `id` and `body`, but also fields that no envelope has.
    """
    if type(value) is not dict or "v" not in value or "body" not in value:
        return False
    return "idFrom" in value or ("id" in value and value.keys() <= _OWN_FIELDS)


def _over_lines(record: Record) -> list[Event | DeadLetter]:
    """Return the events of a record whose documents go over several lines; none if each line stands for itself."""
    data = record.data
    whole = _parse(data)
    if whole is not _BROKEN:
        return _from_value(record, 0, data, whole)
    cut = end_to_end(data) if b"\n" in data else ([], b"")
    return _several(record, 0, data, cut) if any(b"\n" in part for part in cut[0]) else []


def _several(record: Record, line: int, raw: bytes, cut: tuple[list[bytes], bytes]) -> list[Event | DeadLetter]:
    """Open a text of several documents end to end. An unreadable rest becomes one dead letter."""
    parts, rest = cut
    if len(parts) > limits.RECORD_MAX_EVENTS:
        return [_too_many(record, line, raw)]
    if len(parts) < 2 and (not parts or not rest):
        return [_unreadable(record, line, raw)]
    opened: list[Event | DeadLetter] = []
    for part in parts:
        value = _parse(part)
        if value is _BROKEN:
            opened.append(_unreadable(record, line + len(opened), part))
        elif is_envelope(value):
            opened.append(_from_envelope(record, line + len(opened), part, value))
        else:
            opened += _from_value(record, line + len(opened), part, value)
    return [*opened, _unreadable(record, line + len(opened), rest)] if rest else opened


_BROKEN = object()


def _parse(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _BROKEN


def _from_value(record: Record, line: int, raw: bytes, value: object) -> list[Event | DeadLetter]:
    """Open a document that is no envelope as one event, or an array as one event for each element."""
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
        and (id_from == "delivery" or id_from == "content")  # noqa: PLR1714 - the comparison also narrows the type
    ):
        if version == VERSION:
            if "kind" in value and (kind := value["kind"]) in ("line", "entry"):
                return _of_kind(record, line, raw, value, kind)
            return new_event((record, line, raw, identity, id_from, received_at, value["body"], ""))
        event = Event(record, line, raw, identity, id_from, received_at, None)
    else:
        event = _foreign(record, line, raw, None, 0)
        if version == VERSION:
            return DeadLetter(event, Reason.SCHEMA_MISMATCH, "MalformedEnvelope", _malformed_field(identity, id_from))
    return DeadLetter(event, Reason.UNSUPPORTED_VERSION, "UnsupportedVersion", "the envelope's version is unknown")


def _of_kind(record: Record, line: int, raw: bytes, value: dict[str, Any], kind: str) -> Event | DeadLetter:
    """Open a resubmitted event. A line is opened as it was the first time, under this envelope's id."""
    resubmitted, body = value.get("resubmitted"), value["body"]
    event = Event(record, line, raw, value["id"], value["idFrom"], value["receivedAt"], None)
    if not isinstance(resubmitted, str) or read_resubmitted(resubmitted) is None:
        return DeadLetter(event, Reason.SCHEMA_MISMATCH, "MalformedEnvelope", "the envelope's `resubmitted` is no run")
    event = event._replace(resubmitted=resubmitted)
    record.put_back = True
    if kind == "entry":
        if is_too_deep(value):
            return DeadLetter(event, *_TOO_DEEP)
        return event._replace(body=Accepted(member(raw, "body")))
    try:
        inner = base64.b64decode(body, validate=True)
    except (ValueError, TypeError):
        return DeadLetter(event, Reason.SCHEMA_MISMATCH, "MalformedEnvelope", "the envelope's `body` is no base64")
    return _as_it_stood(event._replace(raw=inner))


def _as_it_stood(event: Event) -> Event | DeadLetter:
    """Return the one event of a line that is opened again. The line may not hold a second envelope of kind `line`."""
    inner = _parse(event.raw)
    if inner is _BROKEN:
        return DeadLetter(event, *why_unread(event.raw))
    if type(inner) is not dict or not is_envelope(inner):
        return event._replace(body=inner)
    if inner["v"] == VERSION and inner.get("kind") == "line":
        return DeadLetter(event, Reason.SCHEMA_MISMATCH, "MalformedEnvelope", "a line of kind `line` holds another")
    event_within = _from_envelope(event.record, event.line, event.raw, inner)
    return (
        event_within._replace(event=event)
        if isinstance(event_within, DeadLetter)
        else event._replace(body=event_within.body)
    )


def _malformed_field(identity: object, id_from: object) -> str:
    """Return a message to the envelope's writer: the malformed field and the form it must have. It holds no value."""
    if type(identity) is not str or len(identity) != 32 or identity.strip("0123456789abcdef"):
        return "the envelope's `id` is not 32 hex digits in lower case"
    if id_from not in ("delivery", "content"):
        return "the envelope's `idFrom` is neither `delivery` nor `content`"
    return "the envelope's `receivedAt` is no whole number of milliseconds since 1970"


def _foreign(record: Record, line: int, raw: bytes, body: object, index: int) -> Event:
    """Return an event that no receiver of ours sealed, with an id of its content, received when Kinesis got it."""
    identity = event_id(_STREAM_SCHEME, None, index, raw)
    return Event(record, line, raw, identity, "content", record.arrived_at_ms, body)


def unread(record: Record, line: int, raw: bytes) -> Event:
    """Return the event of unparsed bytes. The head of our own envelopes gives its identity."""
    head = _SEALED_HEAD.match(raw)
    if head is None:
        return _foreign(record, line, raw, None, 0)
    identity, id_from, received_at = (part.decode() for part in head.groups())
    event = Event(record, line, raw, identity, id_from, int(received_at), None)
    end = _end_of_kind(raw)
    if end is None or read_resubmitted(resubmitted := end[3].decode("ascii", "replace")) is None:
        return event
    with contextlib.suppress(ValueError):
        inner = base64.b64decode(raw[head.end() + 1 : end.start() - 1], validate=True) if end[1] == b"line" else raw
        record.put_back = True
        return event._replace(raw=inner, resubmitted=resubmitted)
    return event


def _unreadable(record: Record, line: int, raw: bytes) -> DeadLetter:
    return DeadLetter(unread(record, line, raw), *why_unread(raw))


SCANNER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
"""Decoder whose `raw_decode` returns the end of a value. Numbers stay texts: Python refuses some thousand digits."""

BLANKS = re.compile(r"[ \t\r\n]*")
BLANKS_AND_COMMAS = re.compile(r"[ \t\r\n,]*")
_BLANKS_AND_COLON = re.compile(r"[ \t\r\n:]*")


def behind(these: re.Pattern[str], text: str, at: int) -> int:
    """Return the end of the characters of `these` that begin at `at`; `at` itself if there are none."""
    match = these.match(text, at)
    return match.end() if match else at


def cut_array(body: bytes) -> Iterator[bytes]:
    """Yield the elements of a JSON array, each as its own bytes, unchanged.

    `body` is known to be a valid array of at most EVENT_MAX_DEPTH levels, which the parser follows on every Python.
    """
    text = body.decode()
    at = text.index("[") + 1
    while text[at := behind(BLANKS_AND_COMMAS, text, at)] != "]":
        _, end = SCANNER.raw_decode(text, at)
        yield text[at:end].encode()
        at = end


def members(text: bytes) -> dict[str, bytes]:
    """Split a JSON object into its members' values, each as its own bytes. Of equal names the last counts.

    `text` is known to be a valid object of at most EVENT_MAX_DEPTH levels.
    """
    whole, values = text.decode(), dict[str, bytes]()
    at = behind(BLANKS_AND_COMMAS, whole, whole.index("{") + 1)
    while whole[at] != "}":
        key, at = SCANNER.raw_decode(whole, at)
        begins = behind(_BLANKS_AND_COLON, whole, at)
        _, ends = SCANNER.raw_decode(whole, begins)
        values[key] = whole[begins:ends].encode()
        at = behind(BLANKS_AND_COMMAS, whole, ends)
    return values


def member(text: bytes, name: str) -> bytes:
    """Return the last member of this name of a JSON object, as its own bytes; b"" if the object has none."""
    return members(text).get(name, b"")


def is_too_deep(value: object) -> bool:
    """Return whether `value`, from a JSON parser, nests deeper than EVENT_MAX_DEPTH levels: orjson writes four more."""
    try:
        orjson.dumps([[[[value]]]])
    except TypeError as error:  # also for a lone surrogate, which only the standard library's parser accepts
        return "Recursion" in str(error)
    return False


Why = tuple[Reason, str, str]
"""A dead letter's reason, code and sentence."""

MALFORMED: Why = (Reason.MALFORMED_JSON, "MalformedJson", "the line is not valid JSON")
_TOO_DEEP: Why = (Reason.SCHEMA_MISMATCH, "TooDeep", f"the event nests deeper than {limits.EVENT_MAX_DEPTH} levels")
_SURROGATE: Why = (Reason.SCHEMA_MISMATCH, "LoneSurrogate", "a text holds half a character (a lone surrogate)")
_RANGE: Why = (Reason.SCHEMA_MISMATCH, "NumberOutOfRange", "a number is beyond what any double holds")


def end_to_end(line: bytes) -> tuple[list[bytes], bytes]:
    """Return the objects and arrays that follow each other in `line`, each as its own bytes, and the rest.

    The rest is empty, or begins at the first unreadable place, or after more values than a record may hold.
    """
    try:
        text, beyond = line.decode(), b""
    except UnicodeDecodeError as error:
        text, beyond = line[: error.start].decode(), line[error.start :]
    values: list[bytes] = []
    at = behind(BLANKS, text, 0)
    while text[at : at + 1] in ("{", "[") and len(values) <= limits.RECORD_MAX_EVENTS:
        try:
            value, end = SCANNER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if is_too_deep(value):  # some Pythons' parsers follow deeper, and the result must be the same
            break
        values.append(text[at:end].encode())
        at = behind(BLANKS, text, end)
    return values, text[at:].encode() + beyond


def why_unread(data: bytes) -> Why:
    """Return why the fast parser refuses `data`: it is not JSON, or JSON that cannot become an event."""
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
        return _TOO_DEEP
    except ValueError:
        return MALFORMED
    return _RANGE if beyond_range else MALFORMED


def _refuse(_: str) -> Any:
    raise ValueError("NaN and Infinity are no JSON")


class TooDeepError(ValueError):
    """The text may be JSON, but it nests deeper than an event may."""


def read_json(text: bytes) -> object:
    """Return the value of a JSON text. Raise ValueError for other text: no UTF-8, a byte order mark, NaN, too deep.

    orjson refuses some texts that are JSON: lone surrogates, numbers beyond a double. A 4xx is final for a sender, so
    this function accepts them, such numbers as texts. The consumer cannot read them and dead-letters them unchanged.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if str(error).startswith(_TOLD_TOO_DEEP):
            raise TooDeepError from None
        try:
            value = _GRAMMAR.decode(text.decode())
        except RecursionError:
            raise TooDeepError from None
    # Most texts have fewer opening brackets than the permitted depth, so they need no check.
    if text.count(b"{") + text.count(b"[") > limits.EVENT_MAX_DEPTH and is_too_deep(value):
        raise TooDeepError
    return value


_TOLD_TOO_DEEP = "depth limit exceeded"
_GRAMMAR = json.JSONDecoder(parse_int=str, parse_float=lambda _: None, parse_constant=_refuse)
"""Decoder that checks the grammar alone. Whole numbers stay texts, since a conversation may have such a name.

Other numbers become None, since no conversation has such a name.
"""

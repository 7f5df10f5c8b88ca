"""Reads dead letters back, whatever form `message.py` gave them (docs/contract.md, "A dead letter").

A letter may be a part of one: `join` puts parts together. `original` gives the event's own line, exact. Whoever reads
letters (`stream-router dlq`, the demo, the tests) reads them here.
"""

import base64
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.process import iso

MOST_DIGITS = 129
"""Of a sequence number (botocore's model `kinesis`, SequenceNumber). Python itself refuses some thousand digits."""

MOST_BYTES = 16 * 1024 * 1024
"""Of an event: a record of Kinesis has 10 MiB at most, and somebody may have edited it."""

_GZIP = 16
"""zlib's word for gzip's header and checksum, added to the window's size."""


class UnreadableLetterError(ValueError):
    """A message that is no dead letter of ours, or whose bytes cannot be read. The text quotes nothing of it."""


class StrangeLetterError(UnreadableLetterError):
    """A dead letter of another version, or a damaged one. Its event is not known here."""


class _Json(BaseModel):
    """A JSON object whose unknown fields, of a later version, are kept in the queue and in files."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, hide_input_in_errors=True, extra="allow"
    )


class Origin(_Json):
    """Position of the event in the stream, and its identity. `received_at` is ISO 8601."""

    stream: str = ""
    shard_id: str = ""
    sequence_number: str = "0"
    sub_sequence_number: int = 0
    line: int = 0
    received_at: str = ""
    event_id: str = ""
    id_from: str = "content"

    @property
    def received_at_ms(self) -> int:
        """Epoch ms; 0 where it is not known, or no time that can be written again."""
        try:
            found_ms = round(datetime.fromisoformat(self.received_at).timestamp() * 1000)
            iso(found_ms)
        except (ValueError, OverflowError):
            return 0
        return found_ms

    @property
    def sequence(self) -> int | None:
        """The sequence number; None where it is none of Kinesis."""
        digits = self.sequence_number
        return int(digits) if digits.isdecimal() and len(digits) <= MOST_DIGITS else None


class _Error(_Json):
    code: str = ""
    message: str = ""


class _Stored(_Json):
    encoding: str
    data: str


class _LetterPart(_Json):
    """`cut` is the same in all parts of one writing of a letter; "" of a version that did not mark it."""

    n: int = Field(ge=1)
    of: int = Field(ge=1)
    cut: str = ""


class Letter(_Json):
    """One dead letter, or one part of it.

    `event_type` is "" where nobody knows it; `masking`: the policy by which the record was masked, "" where it was not;
    `resubmitted`: what put the event on the stream when it failed this time (`envelope.Resubmitted`).
    """

    schema_: str = Field(alias="schema")
    reason: str
    error: _Error = _Error()
    attempts: int = 0
    failed_at: str = ""
    origin: Origin = Origin()
    entry: dict[str, Any] | None = None
    record: _Stored
    part: _LetterPart | None = None
    masking: str = ""
    resubmitted: str | None = None
    event_type: str = ""

    @property
    def place(self) -> tuple[str, str, str, int, int]:
        """Place of the letter's event: stream, shard, record and line. No other event has the same place."""
        at = self.origin
        return at.stream, at.shard_id, at.sequence_number, at.sub_sequence_number, at.line


def read(body: str | bytes | dict[str, Any], attributes: Mapping[str, str] | None = None) -> Letter:
    """Return the letter in a message. `body` may be parsed already; `attributes` are the message's.

    Raise UnreadableLetterError if the message holds no letter of this version.
    """
    try:
        content = body if isinstance(body, dict) else orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnreadableLetterError("the message is no JSON") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise _no_letter_of_ours(content)
    try:
        letter = Letter.model_validate(content)
    except ValidationError as error:
        field = ".".join(str(step) for step in error.errors(include_input=False)[0]["loc"])
        raise StrangeLetterError(f"the dead letter's field {field} has a wrong form") from None
    known = (attributes or {}).get("eventType") or str((letter.entry or {}).get("DetailType") or "")
    return letter.model_copy(update={"event_type": known}) if known else letter


def _no_letter_of_ours(content: Any) -> UnreadableLetterError:
    """Return the error for a message that is no letter of this version, with what it is instead if that shows."""
    no_letter, fields = f"the message is no {SCHEMA}", content if isinstance(content, dict) else {}
    if "detail-type" in fields or "failedMessages" in fields:
        its = "EventBridge's own of a target (see SQS_DLQ_URL; --undelivered is for these)"
        return UnreadableLetterError(f"{no_letter}, but {its}")
    if str(fields.get("schema")).startswith(SCHEMA.rpartition("/")[0] + "/"):
        return StrangeLetterError(f"{no_letter}, but one of another version (which can read it)")
    return UnreadableLetterError(no_letter)


PartsKey = tuple[object, ...]


def parts_key(letter: Letter) -> PartsKey:
    """Return what the parts of one letter, written at one time, have in common, and no part of another."""
    of, cut = (letter.part.of, letter.part.cut) if letter.part else (1, "")
    return (*letter.place, letter.origin.event_id, letter.resubmitted, letter.record.encoding, of, cut)


def join(parts: Iterable[Letter]) -> Letter | None:
    """Return the letter of these parts, or None if one is missing. Parts may come in any order, and more than once."""
    by_number = {part.part.n if part.part else 1: part for part in parts}
    first = by_number.get(1)
    if first is None or any(n not in by_number for n in range(1, (first.part.of if first.part else 1) + 1)):
        return None
    data = "".join(by_number[n].record.data for n in sorted(by_number))
    return first.model_copy(update={"part": None, "record": first.record.model_copy(update={"data": data})})


def original(letter: Letter, fetch: Callable[[str], bytes] | None = None) -> bytes:
    """Return the event's own line. `fetch` gets an object of S3 by its URL (s3://bucket/key).

    Raise UnreadableLetterError for a part alone, for an encoding that this version does not know, for damaged data, and
    for a letter in S3 if there is no `fetch`.
    """
    if letter.part is not None and letter.part.of > 1:
        raise UnreadableLetterError("it is one part of several")
    encoding, data = letter.record.encoding, letter.record.data
    if encoding == "s3":
        if fetch is None:
            raise UnreadableLetterError("its event is in S3, which is not read here")
        return fetch(data)
    if encoding not in ("base64", "base64+gzip"):
        raise UnreadableLetterError("its encoding is unknown to this version")
    try:
        raw = base64.b64decode(data, validate=True)
        return _unzipped(raw) if encoding == "base64+gzip" else raw
    except UnreadableLetterError:
        raise
    except (ValueError, zlib.error):
        raise UnreadableLetterError("its data are damaged") from None


def _unzipped(data: bytes) -> bytes:
    """Unzip data, but no more than MOST_BYTES: a small message may unpack to more than the host's memory."""
    reading = zlib.decompressobj(zlib.MAX_WBITS | _GZIP)
    raw = reading.decompress(data, MOST_BYTES)
    if reading.unconsumed_tail:
        raise UnreadableLetterError("its data are larger than any event")
    if not reading.eof or reading.unused_data:
        raise ValueError("is cut off, or is more than one")
    return raw

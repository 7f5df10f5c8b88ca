"""Reader of dead letters in every form that `message.py` writes (docs/contract.md, "A dead letter").

A message may hold only a part of a letter; `join` puts the parts together. `original` returns the event's own bytes.
`stream-router dlq`, the demo and the tests read letters by this module.
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

MAX_SEQUENCE_DIGITS = 129
"""Maximum number of digits of a sequence number (botocore's model `kinesis`, SequenceNumber).

Python's `int` raises an error from some thousand digits on.
"""

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Maximum size of an event. A Kinesis record has at most 10 MiB, and an operator may have edited the letter."""

_GZIP = 16
"""Added to zlib's window size, this makes zlib read gzip's header and checksum."""


class UnreadableLetterError(ValueError):
    """A message that is not one of our dead letters, or cannot be read. The error quotes nothing of the message."""


class StrangeLetterError(UnreadableLetterError):
    """A dead letter of another version, or a damaged one."""


class _Json(BaseModel):
    """JSON object of a letter. Unknown fields, which a later version may have written, are kept."""

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
        """Time of receipt in epoch milliseconds; 0 if it is unknown, or is not a time that ISO 8601 can express."""
        try:
            received_at_ms = round(datetime.fromisoformat(self.received_at).timestamp() * 1000)
            iso(received_at_ms)
        except (ValueError, OverflowError):
            return 0
        return received_at_ms

    @property
    def sequence(self) -> int | None:
        """The sequence number; None if it has not the form of a Kinesis sequence number."""
        digits = self.sequence_number
        return int(digits) if digits.isdecimal() and len(digits) <= MAX_SEQUENCE_DIGITS else None


class _Error(_Json):
    code: str = ""
    message: str = ""


class _Stored(_Json):
    encoding: str
    data: str


class _LetterPart(_Json):
    """Number of a part, and of all parts. `cut` is the same in all parts that were written together."""

    n: int = Field(ge=1)
    of: int = Field(ge=1)
    cut: str = ""


class Letter(_Json):
    """One dead letter, or one part of it.

    `event_type` is "" if it is unknown. `masking` names the policy by which the record was masked; "" if it was not.
    `resubmitted` names the redrive or replay that had put the event into the stream (`envelope.Resubmitted`).
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
        """Place of the letter's event: stream, shard, sequence number, subsequence number, line. It is unique."""
        origin = self.origin
        return origin.stream, origin.shard_id, origin.sequence_number, origin.sub_sequence_number, origin.line


def read(body: str | bytes | dict[str, Any], attributes: Mapping[str, str] | None = None) -> Letter:
    """Return the letter in a message with this body, which may be parsed already, and these attributes.

    Raises UnreadableLetterError if the message holds no letter of this version.
    """
    try:
        content = body if isinstance(body, dict) else orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnreadableLetterError("the message is not JSON") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise _describe_other_message(content)
    try:
        letter = Letter.model_validate(content)
    except ValidationError as error:
        field = ".".join(str(step) for step in error.errors(include_input=False)[0]["loc"])
        raise StrangeLetterError(f"the dead letter's field {field} has a wrong form") from None
    known = (attributes or {}).get("eventType") or str((letter.entry or {}).get("DetailType") or "")
    return letter.model_copy(update={"event_type": known}) if known else letter


def _describe_other_message(content: Any) -> UnreadableLetterError:
    """Return the error for a message that is not a letter of this version. It names what the message is, if known."""
    not_a_letter = f"the message is not a {SCHEMA}"
    fields = content if isinstance(content, dict) else {}
    if "detail-type" in fields or "failedMessages" in fields:
        its = "EventBridge's own of a target (see SQS_DLQ_URL; --undelivered is for these)"
        return UnreadableLetterError(f"{not_a_letter}, but {its}")
    if str(fields.get("schema")).startswith(SCHEMA.rpartition("/")[0] + "/"):
        return StrangeLetterError(f"{not_a_letter}, but one of another version (which can read it)")
    return UnreadableLetterError(not_a_letter)


PartsKey = tuple[object, ...]


def parts_key(letter: Letter) -> PartsKey:
    """Return a key that all parts of a letter that were written together have, and no other part."""
    of, cut = (letter.part.of, letter.part.cut) if letter.part else (1, "")
    return (*letter.place, letter.origin.event_id, letter.resubmitted, letter.record.encoding, of, cut)


def join(parts: Iterable[Letter]) -> Letter | None:
    """Return the letter of these parts; None if a part is missing. They may come in any order, and more than once."""
    by_number = {part.part.n if part.part else 1: part for part in parts}
    first = by_number.get(1)
    if first is None:
        return None
    count = first.part.of if first.part else 1
    if any(number not in by_number for number in range(1, count + 1)):
        return None
    data = "".join(by_number[number].record.data for number in sorted(by_number))
    return first.model_copy(update={"part": None, "record": first.record.model_copy(update={"data": data})})


def original(letter: Letter, fetch: Callable[[str], bytes] | None = None) -> bytes:
    """Return the event's own bytes. `fetch` returns an object of S3 by its URL (s3://bucket/key).

    Raises UnreadableLetterError if `letter` is one of several parts, if its encoding is unknown or its data are
    damaged, and if the bytes are in S3 and there is no `fetch`.
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
        return _unzip(raw) if encoding == "base64+gzip" else raw
    except UnreadableLetterError:
        raise
    except (ValueError, zlib.error):
        raise UnreadableLetterError("its data are damaged") from None


def _unzip(data: bytes) -> bytes:
    """Return the unzipped data, at most MAX_EVENT_BYTES: a small message may unpack to more than the host's memory.

    Raises UnreadableLetterError if the data are larger, ValueError if they are damaged.
    """
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | _GZIP)
    raw = decompressor.decompress(data, MAX_EVENT_BYTES)
    if decompressor.unconsumed_tail:
        raise UnreadableLetterError("its data are larger than any event")
    if not decompressor.eof or decompressor.unused_data:
        raise ValueError("the data are cut off, or are more than one gzip member")
    return raw

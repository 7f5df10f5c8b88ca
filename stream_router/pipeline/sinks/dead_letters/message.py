"""Writer of dead letters as SQS messages, with the event's original bytes (docs/contract.md, "A dead letter").

Every letter fits: in one message, in several, or as a reference to S3.
"""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from typing import NamedTuple

from stream_router import limits
from stream_router.model import SOURCE, DeadLetter, Entry
from stream_router.process import iso

SCHEMA = "stream-router.dead-letter/1"
MINIMAL_BYTES = 200 * 1024
"""Size limit of a message in minimal form. A queue may still have SQS's former limit of 256 KiB."""

_OUTSIDE_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that SQS refuses in an attribute's value (botocore's model `sqs`, SendMessage)."""
_ATTRIBUTE_CHARS = 256
_FRAME_BYTES = 96
"""Bytes that the fields `encoding` and `part` add to a message, at most."""
_MIN_PIECE_CHARS = 16 * 1024
"""Minimum size of a part's piece of the data, however large the other fields of the letter are.

A message without any data would be stored, and its event settled.
"""


class LetterMessage(NamedTuple):
    """One SQS message of a dead letter. `size_bytes` is its size as SQS counts it: body and attributes.

    `minimal` is true if it has the form that no queue refuses (`LetterWriter.write_parts`).
    """

    letter: DeadLetter
    body: str
    attributes: dict[str, str]
    size_bytes: int
    body_md5: str
    minimal: bool


class LetterWriter:
    """Writer of one shard's dead letters. `now_ms` returns epoch milliseconds.

    `masking` names the policy by which dead letters are masked; "" if they are not masked.
    """

    def __init__(
        self, stream: str, shard_id: str, now_ms: Callable[[], float], *, ordered: bool, masking: str = ""
    ) -> None:
        self._stream = stream
        self._shard_id = shard_id
        self._now_ms = now_ms
        self._ordered = ordered
        self._masking = masking

    def write(self, letter: DeadLetter) -> list[LetterMessage]:
        """Return the letter in one message; [] if it does not fit, even without the entry and with gzipped data."""
        if letter.location:
            return [
                self._build_message(
                    letter, self._build_content(letter, None, {"encoding": "s3", "data": letter.location})
                )
            ]
        # The first form that fits is taken: with the entry, without it, then also with gzipped data. The gzip (None) is
        # made only if the other forms do not fit, since it costs CPU.
        raw = letter.raw
        plain = {"encoding": "base64", "data": base64.b64encode(raw).decode()}
        for entry, record in ((letter.entry, plain), (None, plain), (None, None)):
            message = self._build_message(letter, self._build_content(letter, entry, record or _gzipped(raw)))
            if message.size_bytes <= limits.SQS_MESSAGE_BYTES:
                return [message]
        return []

    def write_parts(self, letter: DeadLetter, *, minimal: bool = False) -> list[LetterMessage]:
        """Return the letter in several messages. Their `record.data`, joined in the order of `part.n`, is the whole.

        Parts that were written together have the same `part.cut`. If `minimal`, the messages have the form that no
        queue refuses: no attributes, only ASCII, at most 200 KiB each.
        """
        record = _gzipped(letter.raw)
        max_bytes = MINIMAL_BYTES if minimal else limits.SQS_MESSAGE_BYTES
        piece_chars = max(_MIN_PIECE_CHARS, max_bytes - self._frame_bytes(letter))
        data = record["data"]
        pieces = [data[at : at + piece_chars] for at in range(0, len(data), piece_chars)] or [""]
        # If the same letter is written again, after a crash or by another version, it may be cut at other places.
        cut = hashlib.sha256(f"{piece_chars} {data}".encode()).hexdigest()[:16]
        messages = []
        for number, piece in enumerate(pieces, 1):
            content = self._build_content(letter, None, {"encoding": record["encoding"], "data": piece})
            content["part"] = {"n": number, "of": len(pieces), "cut": cut} if len(pieces) > 1 else None
            messages.append(self._build_message(letter, content, minimal=minimal))
        return messages

    def _frame_bytes(self, letter: DeadLetter) -> int:
        """Return the size of a part's message without its piece of the data."""
        without_data = self._build_content(letter, None, {"encoding": "", "data": ""})
        return self._build_message(letter, without_data).size_bytes + _FRAME_BYTES

    def _build_content(self, letter: DeadLetter, entry: Entry | None, record: dict[str, str]) -> dict[str, object]:
        """Return a letter's JSON object (docs/contract.md, "A dead letter"). `record` is the encoding and the data."""
        event = letter.event
        content: dict[str, object] = {
            "schema": SCHEMA,
            "reason": letter.reason.value,
            "error": {"code": letter.code, "message": letter.message},
            "attempts": letter.attempts,
            "failedAt": iso(int(self._now_ms())),
            "origin": {
                "stream": self._stream,
                "shardId": self._shard_id,
                "sequenceNumber": str(event.record.sequence_number),
                "subSequenceNumber": event.record.sub_sequence_number,
                "line": event.line,
                "receivedAt": iso(event.received_at_ms),
                "eventId": event.event_id,
                "idFrom": event.id_from,
            },
            "entry": _build_entry_object(entry) if entry else None,
            "record": record,
            "part": None,
            "resubmitted": event.resubmitted or None,
        }
        if self._ordered and letter.entry and letter.entry.order_key:
            content["ordering"] = {"conversationId": letter.entry.order_key, "gap": True}
        if self._masking:
            content["masking"] = self._masking
        return content

    def _build_message(self, letter: DeadLetter, content: dict[str, object], *, minimal: bool = False) -> LetterMessage:
        """Return the message with this content. In ASCII the number of characters is the number of bytes."""
        body = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
        attributes = {} if minimal else _build_attributes(letter)
        size = len(body) + sum(len(name) + len("String") + len(value.encode()) for name, value in attributes.items())
        md5 = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
        return LetterMessage(letter, body, attributes, size, md5, minimal)


def _build_attributes(letter: DeadLetter) -> dict[str, str]:
    """Return a message's attributes, in characters that SQS accepts. Empty ones are left out: SQS refuses them."""
    known = {"reason": letter.reason.value, "eventType": letter.event_type, "eventId": letter.event.event_id}
    clean = {name: _OUTSIDE_XML.sub("\ufffd", value)[:_ATTRIBUTE_CHARS] for name, value in known.items()}
    return {name: value for name, value in clean.items() if value}


def _build_entry_object(entry: Entry) -> dict[str, object]:
    return {
        "Source": SOURCE,
        "DetailType": entry.detail_type,
        # The product may be a little less than the whole millisecond, which `int` would then cut off.
        "Time": iso(int(entry.time_s * 1000 + 0.0005)),
        "Detail": entry.detail.decode(),
    }


def _gzipped(raw: bytes) -> dict[str, str]:
    """Return the data gzipped. Without a time in gzip's header, the same letter always has the same bytes."""
    return {"encoding": "base64+gzip", "data": base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode()}

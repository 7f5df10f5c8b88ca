"""Conversion of a verified body into sealed events: JSON check, split of arrays, identities, conversations.

The body is parsed once, to check it, find the conversations and count an array's elements. It is also hashed once.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from stream_router import envelope, limits
from stream_router.event_id import event_id, event_id_of_hash
from stream_router.settings import types
from stream_router.settings.receiver import Receiver

MAX_KEYS = 100_000
"""Maximum number of keys of a body: more than 7 bytes a key at the default body size, so no honest event is near."""
KEYS_COUNTED_FROM_BYTES = 4 * MAX_KEYS
"""A shorter body cannot hold that many keys (`"":0,` is 5 bytes)."""
MAX_ARRAY_EVENTS = 5_000
ENVELOPE_BYTES = 128
"""Bytes, rounded up, that an envelope adds to its body: an id of 32, a time of 13, the field names and punctuation."""
MAX_EVENT_BYTES = limits.KINESIS_RECORD_BYTES - 256 - ENVELOPE_BYTES
"""Bytes of the largest body that fits a Kinesis record, beside a partition key of at most 256 characters."""


class ProblemError(Exception):
    """Refusal of a request, with the contract's `status` and `code`, and a `message` that quotes no payload."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


class Sealed(NamedTuple):
    """One event, ready for the stream: its identity, the CRC-32 of its conversation's name, its line."""

    identity: str
    conversation: int
    line: bytes


class Body(NamedTuple):
    """A verified request: its body, and the values of its headers."""

    text: bytes
    delivery_id: str | None
    content_type: str = ""
    event_type: str = ""
    """Value of X-Nexus-Event-Type; "" if the sender has no such header."""
    traceparent: str = ""
    """The sender's trace context; "" if it is missing or not valid."""


class Intake:
    """The converter of a source's verified bodies into sealed events. `clock` returns the time in epoch seconds."""

    def __init__(
        self, settings: Receiver, clock: Callable[[], float] = time.time, source: str = "", *, takes_xml: bool = False
    ) -> None:
        """Create the converter of a source. `source` is a named source's name; "" is the environment's own."""
        self._scheme = f"source/{source}" if source else settings.webhook_scheme or ""
        self._added = {"source": source} if source else {}
        self._added_text = envelope.added_text(self._added)
        self._takes_xml = takes_xml
        self._max_line_bytes = settings.max_body_bytes
        self._paths = types.parse_paths(settings.partition_path)
        self._clock = clock

    def events(self, body: Body) -> list[Sealed]:
        """Return the events of a body, in order.

        Raises ProblemError if the body is neither a JSON object nor an array of objects, except for XML if it is taken.
        """
        received_at_ms = int(self._clock() * 1000)
        try:
            value = parse(body.text)
        except ProblemError as problem:
            if problem.code != "malformed_json" or "xml" not in body.content_type:
                raise
            return [self._not_json(body, received_at_ms)]
        seal = self._sealer(body, received_at_ms)
        if type(value) is dict:
            return [seal(value, body.text, 0)]
        if type(value) is not list or not all(type(item) is dict for item in value):
            raise ProblemError(400, "not_an_object", "the body is neither a JSON object nor an array of objects")
        if len(value) > MAX_ARRAY_EVENTS:
            raise ProblemError(413, "too_large", "the array holds too many events; send it in parts")
        parts = zip(value, envelope.cut_array(body.text), strict=True)
        return [seal(item, part, index) for index, (item, part) in enumerate(parts)]

    def _sealer(self, body: Body, received_at_ms: int) -> Callable[[dict[str, Any], bytes, int], Sealed]:
        """Return a function that seals an element of this body, given its value, its bytes and its index."""
        scheme, delivery_id = self._scheme, body.delivery_id
        body_hash = hashlib.sha256(body.text).digest()
        id_from = "delivery" if delivery_id else "content"
        header_text = body.traceparent or body.event_type
        added = envelope.added_text(self._fields(body)) if header_text else self._added_text
        max_bytes = MAX_EVENT_BYTES - len(added)

        def seal(value: dict[str, Any], part: bytes, index: int) -> Sealed:
            if len(part) > max_bytes:
                raise ProblemError(413, "too_large", "the event is larger than a Kinesis record")
            identity = event_id_of_hash(scheme, delivery_id, index, body_hash)
            line = envelope.seal(identity, id_from, received_at_ms, part, added)
            return Sealed(identity, self.conversation(value, identity), line)

        return seal

    def _fields(self, body: Body) -> dict[str, str]:
        """Return the fields that every envelope of this body has beside the body."""
        header_fields = {"traceparent": body.traceparent, "eventTypeHeader": body.event_type}
        return {**self._added, **{name: text for name, text in header_fields.items() if text}}

    def _not_json(self, body: Body, received_at_ms: int) -> Sealed:
        """Seal an XML body, unparsed, as a JSON string from which every byte can be restored.

        Raises ProblemError if the path takes no XML, or the string is too large.
        """
        if not self._takes_xml:
            raise ProblemError(415, "unsupported_media_type", "this path takes JSON, not XML")
        identity = event_id(self._scheme, body.delivery_id, 0, body.text)
        text, encoding = envelope.text_body(body.text)
        fields = {**self._fields(body), "contentType": body.content_type, "bodyEncoding": encoding}
        id_from = "delivery" if body.delivery_id else "content"
        line = envelope.seal(identity, id_from, received_at_ms, text, envelope.added_text(fields))
        if len(line) > min(self._max_line_bytes, MAX_EVENT_BYTES):
            raise ProblemError(413, "too_large", "the body is larger, as a text in JSON, than the receiver takes")
        return Sealed(identity, self.conversation({}, identity), line)

    def conversation(self, value: dict[str, Any], identity: str) -> int:
        """Return the hash of the event's conversation, which determines its partition group."""
        return envelope.conversation_hash(envelope.conversation_of(value, identity, self._paths))


def parse(body: bytes) -> object:
    """Return the body's JSON value. Raises ProblemError if it is not JSON, nests too deep or holds too many keys."""
    if len(body) > KEYS_COUNTED_FROM_BYTES and body.count(b'":') + body.count(b'" :') > MAX_KEYS:
        raise ProblemError(413, "too_large", "the body holds too many keys")
    if not body:
        raise ProblemError(400, "malformed_json", "the body is empty")
    try:
        return envelope.read_json(body)
    except envelope.TooDeepError:
        message = f"the body nests deeper than {limits.EVENT_MAX_DEPTH} levels"
        raise ProblemError(400, "malformed_json", message) from None
    except ValueError:
        raise ProblemError(400, "malformed_json", "the body is not valid JSON (UTF-8, no byte order mark)") from None

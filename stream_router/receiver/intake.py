"""Conversion of a verified body into sealed events.

The body is parsed once: to check that it is JSON, to find the conversations, and to count an array's elements. The body
is also hashed once, for the identities of its events.
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
"""Maximum number of keys in a body.

At the default body size that is a key every 7 bytes; real events have far fewer.
"""
KEYS_COUNTED_FROM_BYTES = 4 * MAX_KEYS
"""Size from which a body's keys are counted. A shorter body cannot hold MAX_KEYS keys (`"":0,` is 5 bytes)."""
MAX_ARRAY_EVENTS = 5_000
ENVELOPE_BYTES = 128
"""Bytes, rounded up, that an envelope adds to its body: an id of 32, a time of 13, the field names and punctuation."""
MAX_EVENT_BYTES = limits.KINESIS_RECORD_BYTES - 256 - ENVELOPE_BYTES
"""Bytes of the largest body that fits a Kinesis record, beside a partition key of at most 256 characters."""


class ProblemError(Exception):
    """Refusal of a request. `status` and `code` are those of docs/contract.md; `message` quotes no payload."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


class SealedEvent(NamedTuple):
    """An event that is ready for the stream: its id, the CRC-32 of its conversation's name, and its envelope."""

    identity: str
    conversation: int
    line: bytes


class VerifiedBody(NamedTuple):
    """The body of a verified request, with the header values that its events carry."""

    text: bytes
    delivery_id: str | None
    content_type: str = ""
    event_type: str = ""
    """Value of X-Nexus-Event-Type; "" if the sender has no such header."""
    traceparent: str = ""
    """The sender's trace context; "" if it is missing or not valid."""


class Intake:
    """Converter of a source's verified bodies into sealed events. `clock` returns the time in epoch seconds."""

    def __init__(
        self, settings: Receiver, clock: Callable[[], float] = time.time, source: str = "", *, takes_xml: bool = False
    ) -> None:
        """Create the converter of a source. `source` is a named source's name; "" is the environment's own."""
        self._scheme = f"source/{source}" if source else settings.webhook_scheme or ""
        self._added = {"source": source} if source else {}
        self._added_text = envelope.encode_added_fields(self._added)
        self._takes_xml = takes_xml
        self._max_line_bytes = settings.max_body_bytes
        self._paths = types.parse_paths(settings.partition_path)
        self._clock = clock

    def events(self, body: VerifiedBody) -> list[SealedEvent]:
        """Return the events of a body, in order.

        Raises ProblemError if the body is neither a JSON object, nor an array of objects, nor XML that the source
        takes. Also raises it if the body holds too many events, or one that is too large.
        """
        received_at_ms = int(self._clock() * 1000)
        try:
            value = parse(body.text)
        except ProblemError as problem:
            if problem.code != "malformed_json" or "xml" not in body.content_type:
                raise
            return [self._seal_xml(body, received_at_ms)]
        seal = self._make_sealer(body, received_at_ms)
        if type(value) is dict:
            return [seal(value, body.text, 0)]
        if type(value) is not list or not all(type(item) is dict for item in value):
            raise ProblemError(400, "not_an_object", "the body is neither a JSON object nor an array of objects")
        if len(value) > MAX_ARRAY_EVENTS:
            raise ProblemError(413, "too_large", "the array holds too many events; send it in parts")
        texts = envelope.cut_array(body.text)
        return [seal(item, text, index) for index, (item, text) in enumerate(zip(value, texts, strict=True))]

    def _make_sealer(
        self, body: VerifiedBody, received_at_ms: int
    ) -> Callable[[dict[str, Any], bytes, int], SealedEvent]:
        """Return a function that seals an element of this body. It gets the element's value, bytes and index."""
        scheme, delivery_id = self._scheme, body.delivery_id
        body_hash = hashlib.sha256(body.text).digest()
        id_from = "delivery" if delivery_id else "content"
        # Most bodies add no header values to their envelopes, so the text that was encoded once is used.
        header_text = body.traceparent or body.event_type
        added = envelope.encode_added_fields(self._envelope_fields(body)) if header_text else self._added_text
        max_bytes = MAX_EVENT_BYTES - len(added)

        def seal(value: dict[str, Any], part: bytes, index: int) -> SealedEvent:
            if len(part) > max_bytes:
                raise ProblemError(413, "too_large", "the event is larger than a Kinesis record")
            identity = event_id_of_hash(scheme, delivery_id, index, body_hash)
            line = envelope.seal(identity, id_from, received_at_ms, part, added)
            return SealedEvent(identity, self.hash_conversation(value, identity), line)

        return seal

    def _envelope_fields(self, body: VerifiedBody) -> dict[str, str]:
        """Return the optional fields of this body's envelopes: source, trace context, event type of the header."""
        header_fields = {"traceparent": body.traceparent, "eventTypeHeader": body.event_type}
        return {**self._added, **{name: text for name, text in header_fields.items() if text}}

    def _seal_xml(self, body: VerifiedBody, received_at_ms: int) -> SealedEvent:
        """Return the event of an XML body. The body becomes a JSON string from which every byte can be restored.

        Raises ProblemError if the source takes no XML, or the envelope is too large.
        """
        if not self._takes_xml:
            raise ProblemError(415, "unsupported_media_type", "this path takes JSON, not XML")
        identity = event_id(self._scheme, body.delivery_id, 0, body.text)
        text, encoding = envelope.encode_text_body(body.text)
        fields = {**self._envelope_fields(body), "contentType": body.content_type, "bodyEncoding": encoding}
        id_from = "delivery" if body.delivery_id else "content"
        line = envelope.seal(identity, id_from, received_at_ms, text, envelope.encode_added_fields(fields))
        if len(line) > min(self._max_line_bytes, MAX_EVENT_BYTES):
            raise ProblemError(
                413, "too_large", "the body, written as a JSON string, is larger than the receiver takes"
            )
        return SealedEvent(identity, self.hash_conversation({}, identity), line)

    def hash_conversation(self, value: dict[str, Any], identity: str) -> int:
        """Return the hash of the event's conversation, which determines its partition group."""
        return envelope.conversation_hash(envelope.find_conversation(value, identity, self._paths))


def parse(body: bytes) -> object:
    """Return the body's JSON value. Raises ProblemError if it is not JSON, nests too deep or holds too many keys."""
    # The keys are estimated from the bytes, without parsing.
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

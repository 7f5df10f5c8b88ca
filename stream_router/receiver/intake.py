"""From a verified body to what is stored: whether it is JSON, which events it holds, who they are, where they go.

The body is parsed once; that one parse answers whether it is valid, finds the conversation and counts an array.
"""

import json
import time
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from stream_router.core import envelope, limits
from stream_router.settings import types
from stream_router.settings.receiver import Receiver

MAX_KEYS = 100_000
"""Keys of one body: more than 7 bytes a key at the default body size, so no honest event comes near."""
KEYS_COUNTED_FROM_BYTES = 4 * MAX_KEYS
"""A shorter body cannot hold that many keys (`"":0,` is 5 bytes)."""
MAX_ARRAY_EVENTS = 5_000
MAX_HASHED_BYTES = 256 * 1024 * 1024
"""An array's events are each identified by a hash over the whole body (CONTRACT, "Identity"): this bounds the work to
about 0.15 s. A body of 700 KB may so hold 380 events, one of 300 KB 890."""
ENVELOPE_BYTES = 128
"""More than an envelope adds to its body: 32 of id, 13 of time, the names and signs."""
MAX_EVENT_BYTES = limits.KINESIS_RECORD_BYTES - 256 - ENVELOPE_BYTES
"""The largest body that fits a Kinesis record, beside a partition key of at most 256 characters."""


class ProblemError(Exception):
    """The request is refused; `status` and `code` as the contract says, `message` without any payload."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


class Sealed(NamedTuple):
    """One event, ready for the stream: its identity, its bucket's number, its line."""

    identity: str
    bucket: int
    line: bytes


class Intake:
    """Turns verified bodies into sealed events. `clock` gives the time in epoch seconds."""

    def __init__(self, settings: Receiver, clock: Callable[[], float] = time.time) -> None:
        self._scheme = settings.webhook_scheme
        self._buckets = settings.buckets
        self._paths = types.paths(settings.partition_path)
        self._clock = clock

    def seal(self, body: bytes, delivery_id: str | None) -> list[Sealed]:
        """The events of a body, in order. Raises ProblemError for what is no JSON object or array of them."""
        value = parse(body)
        received_at_ms = int(self._clock() * 1000)
        if type(value) is dict:
            return [self._one(value, body, body, delivery_id, 0, received_at_ms)]
        if type(value) is not list or not all(type(item) is dict for item in value):
            raise ProblemError(400, "not_an_object", "the body is neither a JSON object nor an array of objects")
        if not value:
            return []
        if len(value) > MAX_ARRAY_EVENTS or len(value) * len(body) > MAX_HASHED_BYTES:
            raise ProblemError(413, "too_large", "the array holds too many events; send it in parts")
        return [
            self._one(item, part, body, delivery_id, index, received_at_ms)
            for index, (item, part) in enumerate(zip(value, _elements(body), strict=True))
        ]

    def _one(
        self, value: dict[str, Any], part: bytes, body: bytes, delivery_id: str | None, index: int, received_at_ms: int
    ) -> Sealed:
        if len(part) > MAX_EVENT_BYTES:
            raise ProblemError(413, "too_large", "the event is larger than a Kinesis record")
        identity = envelope.event_id(self._scheme, delivery_id, index, body)
        line = envelope.seal(identity, "delivery" if delivery_id else "content", received_at_ms, part)
        return Sealed(identity, self.bucket(value, identity), line)

    def bucket(self, value: dict[str, Any], identity: str) -> int:
        """The bucket of the event's conversation, by the first path that leads to a text or a number."""
        key: object = identity
        for path in self._paths:
            found = _follow(value, path)
            if found is not None:
                key = found
                break
        return zlib.crc32(str(key).encode("utf-8", "surrogatepass")) % self._buckets

    def bucket_of_line(self, line: bytes) -> int:
        """The bucket of an event that was sealed before, perhaps under other settings. Raises nothing.

        The body is read by itself, as when it was taken: its envelope nests one level deeper than may be. Where it
        cannot be read the id decides, so that one event does not keep others from the stream.
        """
        identity, body = envelope.sealed_parts(line)
        try:
            value = read_json(body)
        except ValueError:
            value = None
        return self.bucket(value if type(value) is dict else {}, identity)


def _follow(value: object, path: list[str]) -> str | int | None:
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name)
    if (type(value) is str and value) or type(value) is int:
        return value
    return None


def parse(body: bytes) -> object:
    """The body's JSON value. Raises ProblemError where it is none, or nests deeper or holds more keys than allowed."""
    if len(body) > KEYS_COUNTED_FROM_BYTES and body.count(b'":') + body.count(b'" :') > MAX_KEYS:
        raise ProblemError(413, "too_large", "the body holds too many keys")
    try:
        return read_json(body)
    except ValueError:
        raise ProblemError(400, "malformed_json", "the body is not valid JSON (UTF-8, no byte order mark)") from None


def read_json(text: bytes) -> object:
    """The value of a JSON text. Raises ValueError where it is none: no UTF-8, a byte order mark, NaN, too deep.

    orjson refuses some texts that are JSON: surrogates alone, numbers beyond a double. A 4xx is final for a sender, so
    they are read all the same, such numbers as texts; the consumer, which cannot read them, buries them as they came.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if str(error).startswith(_TOO_DEEP):
            raise
    try:
        return _GRAMMAR.decode(text.decode())
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_TOO_DEEP = "depth limit exceeded"
_GRAMMAR = json.JSONDecoder(parse_int=str, parse_float=lambda _: None, parse_constant=_no_constant)
"""What JSON is, without what its numbers are: whole ones stay a conversation's name, others never were one."""


def _elements(body: bytes) -> list[bytes]:
    try:
        return envelope.split_array(body)
    except RecursionError:
        raise ProblemError(400, "malformed_json", "the body nests too deeply") from None

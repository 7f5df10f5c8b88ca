"""What is too large for a call or a message goes to S3, and a reference travels instead (the claim check)."""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson

from stream_router.core.aws_answers import ACCEPTED, Answer, Outcome, Refusal, refusal
from stream_router.core.dispositions import Disposition
from stream_router.core.model import DeadLetter, Entry
from stream_router.pipeline import deep_json
from stream_router.pipeline.delivery.dispatcher import Dispatcher, GivenUp, Policy
from stream_router.pipeline.rejection import Rejected

POLICY = Policy(max_in_flight=4, max_in_flight_bytes=32 * 1024 * 1024, max_retries=1_000_000_000)


class Upload(NamedTuple):
    """One object to store, and what to do once it is."""

    key: str
    data: bytes
    then: Callable[[], None]


class Offload:
    """Stores objects in one bucket; each callback runs once S3 has answered 200 for its object, never before."""

    name = "the offload bucket"

    def __init__(
        self,
        send: Callable[[str, bytes, Callable[[Answer], None]], None],
        bucket: str,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._send = send
        self._bucket = bucket
        self.engine: Dispatcher[Upload] = Dispatcher(self, POLICY, clock, random)

    @property
    def backlog(self) -> int:
        """Objects not yet stored."""
        return self.engine.backlog

    def entry(self, entry: Entry, then: Callable[[Entry], None]) -> bool:
        """Store an oversize entry's payload; `then` gets the entry that carries `payloadRef` in its place.

        False, and nothing is done, where the payload is in S3 already (a sender's own key of that name in its payload
        is no reference), or nests too deep to be written by itself.
        """
        detail = orjson.loads(entry.detail)
        if "payloadRef" in detail:
            return False
        key = f"payloads/{entry.event.event_id}.json"
        try:
            data = deep_json.write(detail.pop("payload", None))
            detail["payloadRef"] = {
                "bucket": self._bucket,
                "key": key,
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            slim = deep_json.write(detail)
        except Rejected:
            return False
        size = entry.size_bytes - len(entry.detail) + len(slim)
        self.engine.submit([Upload(key, data, lambda: then(entry._replace(detail=slim, size_bytes=size)))])
        return True

    def letter(self, letter: DeadLetter, raw: bytes, then: Callable[[DeadLetter, str], None]) -> None:
        """Store a dead letter's original bytes; `then` gets their s3:// URL."""
        record = letter.event.record
        key = f"dead-letters/{record.sequence_number}-{record.sub_sequence_number}-{letter.event.line}"
        self.engine.submit([Upload(key, raw, lambda: then(letter, f"s3://{self._bucket}/{key}"))])

    # What the engine asks (`dispatch.Destination`).

    def take(self, ready: deque[Upload]) -> list[Upload]:
        return [ready.popleft()]

    def is_full(self, items: Sequence[Upload]) -> bool:
        return bool(items)

    def size_bytes(self, items: Sequence[Upload]) -> int:
        return sum(len(item.data) for item in items)

    def key(self, item: Upload) -> int:
        return id(item)

    def send(self, items: Sequence[Upload], done: Callable[[Answer], None]) -> None:
        self._send(items[0].key, items[0].data, done)

    def read(self, answer: Answer, items: Sequence[Upload]) -> list[Outcome] | Refusal:
        if answer.status == 200:
            return [ACCEPTED] * len(items)
        return refusal(answer)._replace(disposition=Disposition.HOLD)

    def too_large(self, items: Sequence[Upload], refusal: Refusal) -> bool:
        return False

    def accepted(self, items: Sequence[Upload]) -> None:
        for upload in items:
            upload.then()

    def given_up(self, item: Upload, why: GivenUp) -> None:
        raise AssertionError(f"an upload is never given up: {why.code}")

    def retried(self, count: int) -> None:
        """Retries of uploads are in no promised metric."""

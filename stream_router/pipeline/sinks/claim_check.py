"""The claim check: what is too large for a call or a message is stored in S3, and a reference is sent instead."""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stream_router.aws_answers import ACCEPTED, Answer, Outcome, Refusal, read_refusal
from stream_router.aws_error_codes import Disposition
from stream_router.dead_letter_reasons import Rejected
from stream_router.model import DeadLetter, Entry
from stream_router.pipeline.delivery.blame import NEVER_GIVEN_UP, RetryPolicy
from stream_router.pipeline.delivery.dispatcher import Dispatcher
from stream_router.pipeline.mapping import exact_json
from stream_router.process import failpoint

POLICY = RetryPolicy(max_in_flight=4, max_in_flight_bytes=32 * 1024 * 1024, max_retries=NEVER_GIVEN_UP)


class Upload(NamedTuple):
    """An object to store, and `then`: the entry or letter that refers to it, to be sent once the object is stored."""

    key: str
    data: bytes
    then: Entry | DeadLetter


class PutObjectCalls:
    """Uploads to one bucket, one object a call: a `Destination` for the dispatcher."""

    def __init__(self, send: Callable[[str, bytes, Callable[[Answer], None]], None], bucket: str) -> None:
        self.name = f"the offload bucket {bucket}"
        self._send = send

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
        """Return the outcome of an upload. After any refusal it is tried again: the object has no other destination.

        S3 sends an ETag for each object that it has stored. A proxy's page with status 200 has none.
        """
        if answer.status == 200 and answer.headers.get("etag"):
            return [ACCEPTED] * len(items)
        return read_refusal(answer)._replace(disposition=Disposition.HOLD)

    def too_large(self, items: Sequence[Upload], refusal: Refusal) -> bool:
        return False


class ClaimCheck:
    """Uploader of objects to one bucket. `collect` returns an entry or letter once S3 sent the ETag of its object."""

    def __init__(
        self,
        send: Callable[[str, bytes, Callable[[Answer], None]], None],
        bucket: str,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.dispatcher = Dispatcher(PutObjectCalls(send, bucket), POLICY, clock, random)
        self._bucket = bucket

    def take_entry(self, entry: Entry) -> bool:
        """Store the payload of an entry that is too large. `collect` then returns the entry with `payloadRef` instead.

        Returns False without an upload if the payload is in S3 already, or is nested too deeply to be serialized. A key
        `payloadRef` that a sender puts inside its payload is not a reference.
        """
        detail = exact_json.parse(entry.detail)
        if "payloadRef" in detail:
            return False
        try:
            data = exact_json.write(detail.pop("payload", None))
            digest = hashlib.sha256(data).hexdigest()
            # The digest belongs to the key: a replay under another masking policy has the same event id, and must not
            # replace the first entry's object.
            key = f"payloads/{entry.event.event_id}-{digest[:16]}.json"
            detail["payloadRef"] = {
                "bucket": self._bucket,
                "key": key,
                "size": len(data),
                "sha256": digest,
            }
            short_detail = exact_json.write(detail)
        except Rejected:
            return False
        size_bytes = entry.size_bytes - len(entry.detail) + len(short_detail)
        self.dispatcher.submit([Upload(key, data, entry._replace(detail=short_detail, size_bytes=size_bytes))])
        return True

    def take_letter(self, letter: DeadLetter) -> None:
        """Store a dead letter's original bytes. `collect` then returns the letter with their URL."""
        record = letter.event.record
        key = f"dead-letters/{record.sequence_number}-{record.sub_sequence_number}-{letter.event.line}"
        located = letter._replace(location=f"s3://{self._bucket}/{key}")
        self.dispatcher.submit([Upload(key, letter.raw, located)])

    def collect(self) -> list[Entry | DeadLetter]:
        """Return the entries and letters whose objects were stored since the last call."""
        stored = [upload.then for uploads in self.dispatcher.collect().accepted for upload in uploads]
        if any(isinstance(item, Entry) for item in stored):
            failpoint("claim_check_stored_before_entry_sent")
        return stored

"""Messages that we hold, and the calls that delete them or change how long they are hidden."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from stream_router import limits
from stream_router.errors import Answer, Outcome, Refusal, of_message_batch

DATE_STEP_MS = 1_000
"""How fine the date is that an answer tells."""


class Held:
    """One message that we hold. `hidden_until` is monotonic seconds; `sent_ms` when it was sent (epoch ms).

    `begun_ms` is when we began to read the queue, by its own clock. `body` may be let go once it is read.
    """

    __slots__ = (
        "attributes",
        "body",
        "came_later",
        "handle",
        "hidden_until",
        "id",
        "lost",
        "received",
        "sent_ms",
        "size_bytes",
    )

    def __init__(self, message: dict[str, Any], hidden_until: float, begun_ms: float = 0.0) -> None:
        self.id = str(message["MessageId"])
        self.handle = str(message["ReceiptHandle"])
        self.body = str(message["Body"])
        self.size_bytes = len(self.body)
        given = message.get("MessageAttributes") or {}
        self.attributes = {str(name): str(value.get("StringValue") or "") for name, value in given.items()}
        system = message.get("Attributes") or {}
        self.sent_ms = int(system.get("SentTimestamp") or 0)
        self.received = int(system.get("ApproximateReceiveCount") or 1)
        self.hidden_until = hidden_until
        self.lost = False
        """Whether SQS says that it is no longer ours: another reader may have it."""
        self.came_later = bool(begun_ms) and self.sent_ms >= begun_ms + DATE_STEP_MS
        """Whether it was sent after we began to read the queue."""


class Change(NamedTuple):
    """One message and what is to be done with it: deleted (None), or hidden so many seconds."""

    held: Held
    hide_s: float | None


class Batches:
    """Calls that delete, or change the visibility: a `Destination` for the dispatcher."""

    def __init__(self, name: str, send: Callable[[bytes, Callable[[Answer], None]], None], queue_url: str) -> None:
        self.name = name
        self._send = send
        self._queue_url = queue_url

    def take(self, ready: "deque[Change]") -> list[Change]:
        return [ready.popleft() for _ in range(min(len(ready), limits.SQS_BATCH_MAX))]

    def is_full(self, items: Sequence[Change]) -> bool:
        return len(items) >= limits.SQS_BATCH_MAX

    def size_bytes(self, items: Sequence[Change]) -> int:
        return len(items)

    def key(self, item: Change) -> int:
        return id(item.held)

    def send(self, items: Sequence[Change], done: Callable[[Answer], None]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": item.held.handle} for n, item in enumerate(items)]
        for entry, item in zip(entries, items, strict=True):
            if item.hide_s is not None:
                entry["VisibilityTimeout"] = int(item.hide_s)  # type: ignore[assignment]
        self._send(orjson.dumps({"QueueUrl": self._queue_url, "Entries": entries}), done)

    def read(self, answer: Answer, items: Sequence[Change]) -> list[Outcome] | Refusal:
        return of_message_batch(answer, len(items))

    def too_large(self, items: Sequence[Change], refusal: Refusal) -> bool:
        return False

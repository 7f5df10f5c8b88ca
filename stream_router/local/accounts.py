"""The demo's books: every event that went in, what was said of it, where it came out. Kept by distinct event."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from stream_router.local.poison import Garbage
from stream_router.model import correlation_id
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.parts import Joiner
from stream_router.pipeline.sinks.dead_letters.reader import Letter
from stream_router.send.poster import Answered


class Arrival(NamedTuple):
    """One event at the target: who it is, and when it was where (epoch ms; `at_target_ms` is the queue's own stamp)."""

    event_id: str
    correlation_id: str
    received_ms: float
    processed_ms: float
    at_target_ms: float


def arrival(event: dict[str, Any], sent_ms: float) -> Arrival:
    """What a message at the target says."""
    detail = event["detail"]
    received, processed = (
        datetime.fromisoformat(detail[at]).timestamp() * 1000 for at in ("receivedAt", "processedAt")
    )
    return Arrival(detail["eventId"], detail["correlationId"], received, processed, sent_ms)


class Accounts:
    """Written by the traffic's thread (what went in) and the readers' (what came out); read by both."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.accepted: set[str] = set()
        self.answers: Counter[int] = Counter()
        self.answered_ms: list[float] = []
        self.injected: dict[bytes, Garbage] = {}
        self.broken: set[str] = set()
        """Delivery ids of the posts that must be refused."""
        self.broken_accepted = 0
        self.good_refused = 0
        self.delivered: dict[str, Arrival] = {}
        self.copies = 0
        self.changed_identity = 0
        self.dead: dict[str, Letter] = {}
        self.dead_injected: dict[bytes, Letter] = {}
        self._parts = Joiner()
        self.last_ms = 0.0
        """When the last event came out, by the queue's stamp (epoch ms)."""

    @property
    def rejected(self) -> int:
        """Posts that were answered 4xx."""
        return sum(count for status, count in self.answers.items() if 400 <= status < 500)

    @property
    def unanswered(self) -> int:
        """Posts that got no final answer, however often they were sent."""
        return sum(count for status, count in self.answers.items() if status == 0 or status >= 500)

    def answered(self, answered: Answered) -> None:
        """A post has ended."""
        self.answers[answered.status] += 1
        if answered.status == 202:
            with self._lock:
                self.accepted.update(orjson.loads(answered.body)["ids"])
            self.answered_ms.append(answered.took_ms)
            self.broken_accepted += answered.webhook.delivery_id in self.broken
        elif 400 <= answered.status < 500:
            self.good_refused += answered.webhook.delivery_id not in self.broken

    def inject(self, items: Iterable[Garbage]) -> None:
        """Garbage is about to be put on the stream."""
        with self._lock:
            self.injected.update((_key(item.data), item) for item in items)

    def take_event(self, event: dict[str, Any], sent_ms: float) -> None:
        """A message came to the target."""
        one = arrival(event, sent_ms)
        self.changed_identity += one.correlation_id != correlation_id(one.event_id)
        with self._lock:
            if one.event_id in self.delivered:
                self.copies += 1
                return
            self.delivered[one.event_id] = one
            self.last_ms = max(self.last_ms, sent_ms)

    def take_letter(self, letter: dict[str, Any], sent_ms: float) -> None:
        """A message came to the dead-letter queue: a letter, or a part of one."""
        with self._lock:
            one = self._parts.add(reader.of_content(letter))
            if one is None:
                return
            key, identity = _key(reader.original(one)), one.origin.event_id
            self.last_ms = max(self.last_ms, sent_ms)
            if key in self.injected:
                self.copies += key in self.dead_injected
                self.dead_injected[key] = one
            else:
                self.copies += identity in self.dead
                self.dead[identity] = one

    def lost(self) -> int:
        """Events that went in and have not come out, neither at the target nor as a dead letter."""
        with self._lock:
            events = self.accepted - self.delivered.keys() - self.dead.keys()
            return len(events) + len(self.injected.keys() - self.dead_injected.keys())

    def expected(self) -> int:
        """Events that must come out."""
        return len(self.accepted) + len(self.injected)

    def reasons(self) -> Counter[str]:
        """Dead letters by reason."""
        return Counter(one.reason for one in [*self.dead.values(), *self.dead_injected.values()])

    def wrong_reasons(self) -> list[str]:
        """Garbage that was buried under another reason than it should be, as `kind: expected, not got`."""
        pairs = [(self.injected[key], one.reason) for key, one in self.dead_injected.items()]
        return [f"{item.kind}: {item.reason}, not {got}" for item, got in pairs if got != item.reason]


def _key(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()

"""Account of the demo: each distinct event that was put in, the receiver's answer, and where the event arrived."""

import threading
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from stream_router.event_id import correlation_id
from stream_router.local.poison import Garbage
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.reader import Letter
from stream_router.send.poster import DeliveryResult


class Arrival(NamedTuple):
    """Times of an event that arrived at the target, in epoch ms.

    `received_ms` and `processed_ms` are `receivedAt` and `processedAt` of the event itself, `at_target_ms` is the time
    stamp of the target's queue.
    """

    received_ms: float
    processed_ms: float
    at_target_ms: float


class Accounts:
    """Account of inputs and outputs. One thread posts and records the inputs, several read queues and record outputs.

    `accepted` has the ids of the events that the receiver answered with 202, `answers` the number of posts by status,
    `answered_ms` the duration of each accepted post. `broken_accepted` and `good_refused` count wrong answers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.accepted: set[str] = set()
        self.answers: Counter[int] = Counter()
        self.answered_ms: list[float] = []
        self.injected: dict[bytes, Garbage] = {}
        """Bad records put on the stream, by their bytes."""
        self.broken: set[str] = set()
        """Delivery ids of the posts that the receiver must refuse."""
        self.broken_accepted = 0
        self.good_refused = 0
        self.delivered: dict[str, Arrival] = {}
        self.dead: dict[str | bytes, Letter] = {}
        """Dead letters: of a bad record by its bytes, of an event by its id."""
        self.copies = 0
        self.copies_read_again = 0
        """Number of copies that a child opened again, because it read again from the last checkpoint.

        Their time of processing (of a dead letter: of the failure) differs from that of the earlier copies. The other
        copies have the same time, since the same opened event was sent twice.
        """
        self._processed_times: dict[str, set[float]] = {}
        """Times (epoch ms) at which the copies of each event that arrived were opened, by its id."""
        self._failure_times: dict[str | bytes, set[str]] = {}
        """Times, as text, at which the copies of each dead letter failed."""
        self.changed_identity = 0
        self.last_ms = 0.0
        """Time at which the last event arrived, by the queue's stamp (epoch ms)."""

    @property
    def rejected(self) -> int:
        """Number of posts that were answered with 4xx."""
        return sum(count for status, count in self.answers.items() if 400 <= status < 500)

    @property
    def unanswered(self) -> int:
        """Number of posts that got no final answer, even after their retries."""
        return sum(count for status, count in self.answers.items() if status == 0 or status >= 500)

    def answered(self, answered: DeliveryResult) -> None:
        """Record the result of a post that is not retried any more."""
        self.answers[answered.status] += 1
        is_broken = answered.webhook.delivery_id in self.broken
        if answered.status == 202:
            with self._lock:
                self.accepted.update(orjson.loads(answered.body)["ids"])
            self.answered_ms.append(answered.took_ms)
            self.broken_accepted += is_broken
        elif 400 <= answered.status < 500:
            self.good_refused += not is_broken

    def inject(self, items: Iterable[Garbage]) -> None:
        """Record bad records that are about to be put on the stream."""
        with self._lock:
            self.injected.update((item.data, item) for item in items)

    def take_event(self, event: dict[str, Any], sent_ms: float) -> None:
        """Record an event that arrived at the target. `sent_ms` is the queue's time stamp (epoch ms)."""
        detail = event["detail"]
        identity = detail["eventId"]
        received_ms, processed_ms = (
            datetime.fromisoformat(detail[at]).timestamp() * 1000 for at in ("receivedAt", "processedAt")
        )
        with self._lock:
            self.changed_identity += detail["correlationId"] != correlation_id(identity)
            times = self._processed_times.setdefault(identity, set())
            self.copies += identity in self.delivered
            self.copies_read_again += bool(times) and processed_ms not in times
            times.add(processed_ms)
            self.delivered.setdefault(identity, Arrival(received_ms, processed_ms, sent_ms))
            self.last_ms = max(self.last_ms, sent_ms)

    def take_letter(self, letter: dict[str, Any], sent_ms: float) -> None:
        """Record a message of the dead-letter queue. `sent_ms` is the queue's time stamp (epoch ms).

        The demo's events are small, so each dead letter is one message, and no parts have to be joined.
        """
        parsed = reader.read(letter)
        raw = reader.original(parsed)
        with self._lock:
            key = raw if raw in self.injected else parsed.origin.event_id
            times = self._failure_times.setdefault(key, set())
            self.copies += key in self.dead
            self.copies_read_again += bool(times) and parsed.failed_at not in times
            times.add(parsed.failed_at)
            self.dead[key] = parsed
            self.last_ms = max(self.last_ms, sent_ms)

    def lost(self) -> int:
        """Return the number of accepted events and injected bad records that have arrived nowhere.

        Before the end of the demo this includes the events that are still on their way.
        """
        with self._lock:
            events = self.accepted - self.delivered.keys() - self.dead.keys()
            return len(events) + len(self.injected.keys() - self.dead.keys())

    def expected(self) -> int:
        """Return the number of accepted events and injected bad records, each of which must arrive somewhere."""
        return len(self.accepted) + len(self.injected)

    def wrong_reasons(self) -> list[str]:
        """Return the bad records that were dead-lettered for a wrong reason, as `kind: expected, not got`."""
        buried = [(item, self.dead[key].reason) for key, item in self.injected.items() if key in self.dead]
        return [f"{item.kind}: {item.reason}, not {got}" for item, got in buried if got != item.reason]

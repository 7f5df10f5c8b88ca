"""The ledger of the night: what was sent, what was answered, what arrived, and when something was broken on purpose.

It knows the contract's text alone and imports nothing of the package. Every line is in a file of JSON lines as well.
"""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests import queues
from tests.system.world import World, event_id, webhook

TARGET, NOWHERE = "target", "nowhere"
"""What is expected of an event beside the reasons of dead letters: it arrives, or it is refused and never appears."""

POSTERS = 48
GIVES_UP_AFTER_S, PATIENCE_S, PAUSE_S = 2.0, 300.0, 0.5
CONVERSATIONS = 40
LARGE_BYTES = 1_010_000
"""More than PutEvents takes in a call."""

POISON: dict[str, dict[str, Any]] = {
    "schema_mismatch": {"timestamp": "yesterday"},
    "unroutable": {"eventType": "agent.lunch.started"},
    "mendable": {"eventType": "order.created"},
}
"""The kinds of poison, in turn. The last one is unroutable until the operator adds its type to the rule."""


class Post(NamedTuple):
    """One webhook: the event's id by the contract, its delivery id, its body, its kind, and what must become of it."""

    event_id: str
    delivery_id: str
    body: bytes
    kind: str
    expected: str


@dataclass
class Event:
    """What the ledger knows of one event. Times are epoch seconds."""

    post: Post
    sent_at: float
    seen_until: float
    """Time of the last attempt, or of the first arrival if that is later."""

    statuses: list[int] = field(default_factory=list)
    """Answers in their order; 0 is an attempt without an answer."""

    accepted_at: float | None = None
    arrivals: list[float] = field(default_factory=list)
    replays: Counter[str] = field(default_factory=Counter)
    """Arrivals by the run of the replay that brought them."""


class Trouble(NamedTuple):
    """A time in which something was broken. Events up to `reach_s` before it may come twice."""

    name: str
    begun: float
    ended: float
    reach_s: float


class Account(NamedTuple):
    """The final sums. The sets hold event ids."""

    accepted: int
    at_target: int
    dead_letters: int
    lost: set[str]
    wrong: set[str]
    """Events that became something else than the ledger expects."""
    unasked: set[str]
    """Events that appeared though every answer was a refusal, or that nobody sent."""
    copies: int
    unexplained: set[str]


class Ledger:
    """Every event of the night. All methods may be called from any thread."""

    def __init__(self, folder: Path, secret: str) -> None:
        self.secret = secret
        self._file = (folder / "LEDGER").open("a", encoding="utf-8", buffering=1)
        self.events: dict[str, Event] = {}
        self.details: dict[str, dict[str, Any]] = {}
        """The first arrival's Detail by event id, of kinds that a step looks at."""
        self.strangers: set[str] = set()
        self.wrong_details: list[str] = []
        self.troubles: list[Trouble] = []
        self._waiting: dict[str, float] = {}
        """Time of the 202 by the id of each accepted event that has not arrived."""
        self._lock = threading.Lock()

    # --- what is written down

    def _write(self, **line: Any) -> None:
        with self._lock:
            self._file.write(f"{json.dumps(line)}\n")

    def close(self) -> None:
        """Close the file; what is known stays."""
        self._file.close()

    def attempt(self, post: Post) -> None:
        """Record that a webhook is about to be sent."""
        now = time.time()
        with self._lock:
            event = self.events.setdefault(post.event_id, Event(post, now, now))
            event.seen_until = max(event.seen_until, now)
        self._write(at=now, do="sent", id=post.event_id, kind=post.kind, expected=post.expected)

    def answer(self, post: Post, status: int) -> None:
        """Record an answer; 0 if none came."""
        now = time.time()
        with self._lock:
            event = self.events[post.event_id]
            event.statuses.append(status)
            if status == 202 and event.accepted_at is None:
                event.accepted_at = now
                if not event.arrivals and post.expected == TARGET:
                    self._waiting[post.event_id] = now
        self._write(at=now, do="answered", id=post.event_id, status=status)

    def arrive(self, event: dict[str, Any]) -> None:
        """Record what came to the rule's target, and compare it with what was sent."""
        now, detail = time.time(), event["detail"]
        identity, run = detail["eventId"], detail["metadata"].get("replayed", "")
        with self._lock:
            known = self.events.get(identity)
            if known is None:
                self.strangers.add(identity)
            else:
                if not known.arrivals:
                    known.seen_until = max(known.seen_until, now)
                    self.details[identity] = detail
                if run:
                    known.replays[run] += 1
                else:
                    known.arrivals.append(now)
                self._waiting.pop(identity, None)
                self._compare(event, known.post)
        self._write(at=now, do="arrived", id=identity, run=run)

    def _compare(self, event: dict[str, Any], post: Post) -> None:
        body, detail = json.loads(post.body), event["detail"]
        payload = detail.get("payload")
        differences = {
            "secret": self.secret in json.dumps(event, ensure_ascii=False),
            "correlationId": detail["correlationId"].replace("-", "") != post.event_id,
            "type": event["detail-type"] != body["eventType"],
            "tag": detail["metadata"]["complianceTag"] != "pii-masked-partly",
            "claim check": (payload is None) != (post.kind == "large"),
            "payload": payload is not None and payload.get("n") != body["payload"]["n"],
            "conversation": detail["conversationId"] != body["conversationId"] and post.kind != "private",
            "hash": post.kind == "private" and not detail["conversationId"].startswith("hmac:"),
        }
        self.wrong_details += [f"{post.event_id}: {name}" for name, differs in differences.items() if differs]

    def mend(self) -> set[str]:
        """From now on what was mendable is expected at the target. Return the ids that this concerns."""
        now = time.time()
        with self._lock:
            ids = {identity for identity, event in self.events.items() if event.post.kind == "mendable"}
            for identity in ids:
                event = self.events[identity]
                event.post = event.post._replace(expected=TARGET)
                if event.accepted_at is not None and not event.arrivals:
                    self._waiting[identity] = now
        return ids

    @contextlib.contextmanager
    def trouble(self, name: str, reach_s: float) -> Iterator[None]:
        """Record that something is broken while the block runs. The block ends once all is well again."""
        begun = time.time()
        self._write(at=begun, do="trouble", name=name)
        try:
            yield
        finally:
            self.add_trouble(Trouble(name, begun, time.time(), reach_s))
            self._write(at=time.time(), do="trouble over", name=name)

    def add_trouble(self, trouble: Trouble) -> None:
        with self._lock:
            self.troubles.append(trouble)

    # --- what is asked

    def select(self, matches: Callable[[Event], bool]) -> dict[str, Event]:
        """Return the events that match, by id, in the order of sending."""
        with self._lock:
            return {identity: event for identity, event in self.events.items() if matches(event)}

    def accepted(self, *expected: str) -> set[str]:
        """Return the ids of accepted events of which this is expected."""
        return {*self.select(lambda event: event.accepted_at is not None and event.post.expected in expected)}

    def missing(self, before: float) -> int:
        """Return how many events that were accepted before this time are expected at the target and not there."""
        with self._lock:
            return sum(at <= before for at in self._waiting.values())

    def answers(self, begun: float, ended: float) -> Counter[int]:
        """Return the answers to events that were first sent in this time, by status."""
        events = self.select(lambda event: begun <= event.sent_at < ended)
        return Counter(status for event in events.values() for status in event.statuses)

    def is_explained(self, identity: str) -> bool:
        """Return whether a trouble explains that this event came twice."""
        event = self.events[identity]
        return any(
            trouble.begun - trouble.reach_s <= event.seen_until and event.sent_at <= trouble.ended
            for trouble in self.troubles
        )

    def account(self, letters: Iterable[tuple[str, str]]) -> Account:
        """Compare everything with what was expected. `letters` are pairs of event id and reason, one a message."""
        letters = [*letters]
        reasons: dict[str, set[str]] = {}
        for identity, reason in letters:
            reasons.setdefault(identity, set()).add(reason)
        with self._lock:
            events = dict(self.events)
        accepted = {identity for identity, event in events.items() if event.accepted_at is not None}
        arrived = {identity for identity, event in events.items() if event.arrivals}
        wrong = {identity for identity in arrived if events[identity].post.expected != TARGET}
        wrong |= {
            identity
            for identity, result in reasons.items()
            if identity in events and result != {events[identity].post.expected}
        }
        refused = {
            identity
            for identity, event in events.items()
            if event.statuses and all(400 <= status < 500 for status in event.statuses)
        }
        unasked = (refused & (arrived | reasons.keys())) | self.strangers | (reasons.keys() - events.keys())
        in_queue = Counter(identity for identity, _ in letters)
        repeated = {identity: len(events[identity].arrivals) - 1 for identity in arrived}
        repeated |= {identity: count - 1 for identity, count in in_queue.items() if identity in events}
        twice = {identity for identity, more in repeated.items() if more > 0}
        return Account(
            len(accepted),
            len(accepted & arrived),
            len(accepted & reasons.keys()),
            accepted - arrived - reasons.keys(),
            wrong,
            unasked,
            sum(repeated[identity] for identity in twice),
            {identity for identity in twice if not self.is_explained(identity)},
        )


class Collector:
    """Takes everything out of the target's queue as it comes, until it is closed."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self._world, self._ledger = world, ledger
        self._ends = threading.Event()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._ends.wait(0.3):
                for events in queues.batches(self._world.sqs, self._world.target):
                    for event in events:
                        self._ledger.arrive(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, the night must hear of it
            self.error = error

    def close(self) -> None:
        """Stop; raise what ended the thread, if anything did."""
        self._ends.set()
        self._thread.join(30)
        if self.error:
            raise self.error


class Sender:
    """Posts webhooks at a steady rate until it is closed, as CXone would: each until it is not answered 5xx.

    One of 100 is poison, one of 5 private, one of 3,000 too large for a call; one of 50 is posted twice. `urls` are
    the receivers; the next one is tried if one does not answer.
    """

    def __init__(self, world: World, ledger: Ledger, rate: float) -> None:
        self.urls = [world.url]
        self.poisons = [*POISON]
        """The kinds of poison that are sent now."""
        self._world, self._ledger, self._rate = world, ledger, rate
        self._http = httpx.Client(timeout=GIVES_UP_AFTER_S)
        self._ends = threading.Event()
        self.unsent: list[str] = []
        """Events that no receiver took in time."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        begun, number = time.monotonic(), 0
        with ThreadPoolExecutor(POSTERS) as pool:
            while not self._ends.wait(max(0.0, begun + number / self._rate - time.monotonic())):
                pool.submit(self._deliver, number)
                number += 1

    def close(self) -> None:
        """Send nothing new, and wait for the answers to what was begun."""
        self._ends.set()
        self._thread.join(PATIENCE_S)
        self._http.close()

    def _deliver(self, number: int) -> None:
        post = self._make(number)
        self._post(post)
        if number % 50 == 11:
            self._post(post)
        if number % 200 == 77:
            self._try(_refused(number, webhook(number), "forged"), forge=True)
            self._try(_refused(number, b'{"interactionId": "i-1", ', "malformed"))

    def _make(self, number: int) -> Post:
        changes: dict[str, Any] = {"conversationId": f"c-{number % CONVERSATIONS}"}
        payload: dict[str, Any] = {"n": number, "text": "ありがとう 👍"}
        kind, expected = "plain", TARGET
        if number % 3000 == 13:
            kind = "large"
            payload["filler"] = "x" * LARGE_BYTES
        elif number % 100 == 7 and self.poisons:
            kind = self.poisons[number // 100 % len(self.poisons)]
            expected = "unroutable" if kind == "mendable" else kind
            changes |= POISON[kind]
        elif number % 5 == 3:
            kind = "private"
            mail = f"{self._ledger.secret}-{number}@example.com"
            changes["conversationId"] = f"email_{mail}"
            payload |= {"email": mail, "customer": {"name": self._ledger.secret}, "note": f"write to {mail}"}
            payload[f"{self._ledger.secret} {number} 4111 1111 1111 1111"] = "a key that is private"
        elif number % 50 == 11:
            kind = "twice"
        body = webhook(number, **{**changes, "payload": payload})
        return Post(event_id("hmac", f"n-{number}", 0, body), f"n-{number}", body, kind, expected)

    def _post(self, post: Post) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (status := self._try(post)) in (0, 503):
            if time.monotonic() > deadline:
                self.unsent.append(post.event_id)
                return
            time.sleep(PAUSE_S)
        if status != 202:
            self.unsent.append(post.event_id)

    def _try(self, post: Post, *, forge: bool = False) -> int:
        """Post once. Return the status; 0 if no receiver answered."""
        self._ledger.attempt(post)
        headers = {**self._world.signed(post.delivery_id, post.body), "content-type": "application/json"}
        if forge:
            headers["x-signature"] = "0" * 64
        status = 0
        for url in [*self.urls]:
            try:
                status = self._http.post(f"{url}/v1/events", content=post.body, headers=headers).status_code
            except httpx.ConnectError:
                continue
            except httpx.TransportError:
                pass
            break
        self._ledger.answer(post, status)
        return status


def _refused(number: int, body: bytes, kind: str) -> Post:
    """A webhook that the receiver must refuse with 4xx."""
    delivery_id = f"{kind}-{number}"
    return Post(event_id("hmac", delivery_id, 0, body), delivery_id, body, kind, NOWHERE)

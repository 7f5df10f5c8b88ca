"""Hand-written stand-ins for the pipeline's collaborators: a bus, a queue and a world clock, all in virtual time.

`tests/contract` holds what they answer against the real wire.
"""

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

from stream_router.aws_answers import Answer, Outcome, Refusal, read_put_events
from stream_router.model import DeadLetter, Dropped, Entry, Event, Record, Transformed
from stream_router.pipeline.delivery.blame import RetryPolicy
from stream_router.pipeline.route import Router
from stream_router.pipeline.sinks.claim_check import ClaimCheck
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from stream_router.pipeline.sinks.dead_letters.queue import DeadLetterQueue, SendMessageCalls
from stream_router.pipeline.sinks.eventbridge.publisher import CallLimits, Publisher, PutEventsCalls

Done = Callable[[Answer], None]


def ok(body: object) -> Answer:
    return Answer(200, orjson.dumps(body), {}, "")


def refused(code: str, status: int = 400, message: str = "", headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, orjson.dumps({"__type": code, "message": message}), headers or {}, "")


COMPANY = itertools.count(5_000_000)
"""The numbers of events that come beside those that a test looks at."""

NO_ANSWER = Answer(0, b"", {}, "curl 28: timed out", timed_out=True)


def event(number: int, key: str = "", body: object = None, *, record: Record | None = None) -> Event:
    identity = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    if record is None:
        record = Record(b"", 1000 + number)
        record.expect(1)
    raw = orjson.dumps({"n": number, "key": key, "body": body})
    return Event(record, 0, raw, identity, "delivery", 1_764_000_000_000, body)


def entry(number: int, key: str = "", size_bytes: int = 500) -> Entry:
    detail = orjson.dumps({"n": number, "payload": {"filler": "x"}})
    return Entry(event(number, key), "interaction.created", detail, 1_764_000_000.0, size_bytes, key)


@dataclass
class World:
    """Virtual time and everything that is under way in it."""

    now: float = 1000.0
    seed: int = 0
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def clock(self) -> float:
        return self.now

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._order), act))

    @property
    def busy(self) -> bool:
        return bool(self._due)

    def pump(self, wait_s: float) -> int:
        """What the transport's pump does: let due answers arrive, waiting at most `wait_s` of virtual time."""
        horizon = self.now + wait_s
        arrived = 0
        while self._due and self._due[0][0] <= horizon:
            at, _, act = heapq.heappop(self._due)
            self.now = max(self.now, at)
            act()
            arrived += 1
            if wait_s:
                return arrived
        self.now = horizon
        return arrived


class FakeBus:
    """A bus that answers by `judge(entries)`, after `latency_s`, and keeps every call that it saw."""

    def __init__(
        self,
        world: World,
        judge: Callable[[Sequence[Entry]], Answer] | None = None,
        latency_s: Callable[[], float] = lambda: 0.01,
    ) -> None:
        self.world = world
        self.judge = judge or self.accept
        self.latency_s = latency_s
        self.calls: list[list[Entry]] = []
        self.accepted: list[Entry] = []
        self.most_in_flight = 0
        self._in_flight = 0

    def send(self, entries: Sequence[Entry], done: Done) -> None:
        self.calls.append(list(entries))
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        answer = self.judge(entries)

        def arrive() -> None:
            self._in_flight -= 1
            done(answer)

        self.world.after(self.latency_s(), arrive)

    def read(self, answer: Answer, sent: int) -> list[Outcome] | Refusal:
        return read_put_events(answer, sent)

    def accept(self, entries: Sequence[Entry]) -> Answer:
        return self.answer(entries, [""] * len(entries))

    def answer(self, entries: Sequence[Entry], codes: Sequence[str]) -> Answer:
        """Accept the entries with an empty code, fail the others with theirs."""
        results = []
        for item, code in zip(entries, codes, strict=True):
            if code:
                results.append({"ErrorCode": code, "ErrorMessage": "no"})
            else:
                self.accepted.append(item)
                results.append({"EventId": "e-" + item.event.event_id})
        return ok({"FailedEntryCount": sum(map(bool, codes)), "Entries": results})


class FakeQueue:
    """An SQS queue that stores what `judge(messages)` does not refuse."""

    def __init__(self, world: World, judge: Callable[[list[dict[str, object]]], Answer | None] | None = None) -> None:
        self.world = world
        self.judge = judge or (lambda _: None)
        self.bodies: list[dict[str, object]] = []
        self.messages: list[dict[str, object]] = []

    def send(self, body: bytes, done: Done) -> None:
        messages = orjson.loads(body)["Entries"]
        answer = self.judge(messages)
        self.world.after(0.01, lambda: done(answer if answer is not None else self.store(messages)))

    def store(self, messages: list[dict[str, object]]) -> Answer:
        successful = []
        for message in messages:
            text = str(message["MessageBody"])
            self.messages.append(message)
            self.bodies.append(orjson.loads(text))
            md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
            successful.append({"Id": message["Id"], "MessageId": "m", "MD5OfMessageBody": md5})
        return ok({"Successful": successful})


class FakeLedger:
    """Remembers what the pipeline reports."""

    def __init__(self) -> None:
        self.delivered: list[Entry] = []
        self.dead: list[DeadLetter] = []
        self.took_s: list[float] = []
        self.retries = 0
        self.again = 0

    def record_resubmitted(self, count: int) -> None:
        self.again += count

    def record_accepted(self, entries: Sequence[Entry], took_s: float) -> None:
        self.delivered.extend(entries)
        self.took_s += [took_s] * len(entries)

    def record_retries(self, entries: Sequence[tuple[Entry, str]]) -> None:
        self.retries += len(entries)

    def record_dead_letter(self, letter: DeadLetter) -> None:
        self.dead.append(letter)

    def record_dropped(self, dropped: Sequence[Dropped]) -> None:
        pass


@dataclass
class Rig:
    """A whole pipeline over fakes, in virtual time."""

    world: World
    bus: FakeBus
    queue: FakeQueue
    tally: FakeLedger
    router: Router

    def drain(self, limit_s: float = 3600.0, *, company: bool = False) -> None:
        """Run until nothing is left; fails where that takes more than `limit_s` of virtual time.

        With `company` another event comes each second, as on a shard that lives.
        """
        until = self.world.now + limit_s
        while self.router.backlog:
            assert self.world.now < until, f"{self.router.backlog} still under way"
            if company:
                self.router.publisher.take([entry(next(COMPANY))])
            self.run_for(1.0 if company else 0.001)

    def run_for(self, seconds: float) -> None:
        """Run for so much virtual time."""
        until = self.world.now + seconds
        while self.world.now < until:
            self.run_once()

    def run_once(self) -> None:
        self.router.advance(flush=True)
        self.world.pump(max(self.router.wait_s(0.25), 0.001))
        self.router.collect()


def rig(
    *,
    limits: CallLimits = CallLimits(10, 1_000_000),  # noqa: B008 - immutable
    policy: RetryPolicy = RetryPolicy(16, 16 * 1024 * 1024, 4),  # noqa: B008 - immutable
    ordered: bool = False,
    judge: Callable[[Sequence[Entry]], Answer] | None = None,
    transform: Callable[[Event], Transformed] | None = None,
    seed: int = 0,
    latency_s: Callable[[], float] = lambda: 0.01,
    raw_of: Callable[[DeadLetter], bytes] = lambda letter: letter.event.raw,
    claim_check: Callable[[World], ClaimCheck] | None = None,
    world: World | None = None,
) -> Rig:
    """A router wired as `consumer/child/assembly.py` wires it, over fakes."""
    world = world or World(seed=seed)
    bus, queue, tally = FakeBus(world, judge, latency_s), FakeQueue(world), FakeLedger()
    dice, make = world.random.random, transform or (lambda result: entry(result.line))
    writer = LetterWriter("stream", "shard-0", lambda: 1_764_000_000_000.0, ordered=ordered)
    router = Router(
        lambda result: result if isinstance(result, DeadLetter) else make(result),
        raw_of,
        Publisher(PutEventsCalls(bus.send, bus.read, limits, ordered=ordered), policy, world.clock, dice),
        DeadLetterQueue(SendMessageCalls(queue.send, "http://queue"), writer, world.clock, dice),
        claim_check(world) if claim_check else None,
        tally,
    )
    return Rig(world, bus, queue, tally, router)

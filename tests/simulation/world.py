"""The world outside the child: a bus, a dead-letter queue and a lease table that remember, and fail as a seed says."""

import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from stream_router.aws_answers import Answer, Outcome, Refusal, read_put_events
from stream_router.consumer import target_check
from stream_router.consumer.target_check import (
    RECHECK_AFTER_S,
    TargetBroken,
    TargetOk,
    TargetStateMachine,
    TargetUnknown,
)
from stream_router.model import Entry
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.pipeline.sinks.dead_letters.reader import Letter, PartsKey
from tests.child_life import TooLongError
from tests.fakes import NO_ANSWER, World, ok, refused
from tests.shard_ends import Kinesis
from tests.simulation.scenario import ENTRY_FAULTS, Fault, Kind, Planned, Scenario

Done = Callable[[Answer], None]

DRAINED_WITHIN_S = 1_800.0
"""After the last fault everything is settled within this; a sick entry, within three minutes of its first failure."""

SLOWEST_CALL = 2.0
"""Times a call's usual latency. After a kill what was under way may be one conversation's, and goes out one by one."""

_WHOLE = {
    "down": lambda: refused("InternalException", 503),
    "throttled": lambda: refused("ThrottlingException"),
    "no answer": lambda: NO_ANSWER,
    "expired": lambda: refused("ExpiredTokenException"),
    "html": lambda: Answer(502, b"<html>", {}, ""),
}


_CODES = {Kind.SICK: "InternalFailure", Kind.REFUSED: "MalformedDetail"}


class Outside:
    """What outlives every child. Times are virtual seconds."""

    def __init__(self, scenario: Scenario, start_s: float) -> None:
        self.scenario = scenario
        self.start_s = start_s
        self.dice = random.Random(scenario.seed ^ 0x5EED)
        self.life = 0
        """The number of the child that lives now; what an earlier one still sends is a violation."""
        self.accepted: dict[str, list[tuple[float, int, bool]]] = {}
        """By event id: when, by which child, whether it was told so."""
        self.order: list[tuple[int, str, str]] = []
        """Acceptances in their order: child, conversation, event id."""
        self.dead: dict[str, tuple[float, str]] = {}
        self.dropped: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.is_open = True
        """Whether more may come into the shard."""
        self.answers: dict[str, list[tuple[float, bool, int]]] = {}
        """Each event's answers: when, and whether it was accepted."""
        self.first_tried: dict[str, dict[int, float]] = {}
        """When each event was sent first, by life: a call that fails as a whole is a try too."""
        self.answered_at: dict[tuple[str, float, int], float] = {}
        """When the child gets the answer, by event, time of sending and life."""
        self.failed_itself: dict[str, list[tuple[float, int]]] = {}
        """When, and in which life, an event was told a failure of its own: what speaks of the bus is none."""
        self.bitten: dict[str, int] = {}
        self.fails_entries = any(fault.what in ENTRY_FAULTS for fault in scenario.faults)
        self.bus_goes = [fault for fault in scenario.faults if fault.what == "bus gone"]
        self.calls = 0
        self.target_state = TargetStateMachine()
        one_by_one_s = SLOWEST_CALL * scenario.latency_s * len(scenario.events)
        if scenario.odd.max_rate:
            one_by_one_s += 10 * len(scenario.events) / scenario.odd.max_rate
        self.drained_by = start_s + scenario.healed_s + DRAINED_WITHIN_S + one_by_one_s
        """When all of the stream must be through."""

    def fault(self, now: float, *names: str) -> Fault | None:
        """The first of these faults that holds now and bites by the dice."""
        since = now - self.start_s
        for item in self.scenario.faults:
            if item.what in names and item.from_s <= since < item.to_s and self.dice.random() < item.rate:
                self.bitten[item.what] = self.bitten.get(item.what, 0) + 1
                return item
        return None

    def holds(self, now: float, name: str) -> Fault | None:
        """The fault of this name that holds now, whatever the dice say."""
        since = now - self.start_s
        return next((f for f in self.scenario.faults if f.what == name and f.from_s <= since < f.to_s), None)

    def ask(self, now: float) -> target_check.CheckResult:
        """The word of bus and rule; a bus that is made again tells another time of creation."""
        if self.fault(now, "bus unasked"):
            return TargetUnknown("ThrottlingException")
        if self.holds(now, "bus gone"):
            return TargetBroken("bus", "is gone")
        before = [gone for gone in self.bus_goes if gone.to_s <= now - self.start_s]
        return TargetOk(BUS_MADE_S + 60.0 * len(before) if self.bus_goes else 0.0)

    def new_supervisor(self, now: float) -> float:
        """One that knows nothing yet begins: it starts no daemon before a yes counts. When that is."""
        self.target_state = TargetStateMachine()
        while self.target_state.report.proven_s < now:
            now += RECHECK_AFTER_S
            self.target_state.apply(self.ask(now), now)
        return now

    def is_settled(self, event_id: str) -> bool:
        return event_id in self.accepted or event_id in self.dead or event_id in self.dropped

    def has_failed(self, event_id: str) -> bool:
        return not all(accepted for _, accepted, _ in self.answers.get(event_id, []))


BUS_MADE_S = 1_764_000_000.5
MAX_CALLS = 150_000
"""A seed makes some two thousand; one in which nearly all entries fail for a day and a half makes millions."""


class Bus:
    """PutEvents, as one child sees it."""

    def __init__(self, outside: Outside, world: World, life: int, kinds: dict[str, Kind]) -> None:
        self._outside, self._world, self._life, self._kinds = outside, world, life, kinds

    def send(self, entries: Sequence[Entry], done: Done) -> None:
        outside, now = self._outside, self._world.now
        assert outside.life == self._life, "a call was started after the lease was given back"
        outside.calls += 1
        for entry in entries:
            outside.first_tried.setdefault(entry.event.event_id, {}).setdefault(self._life, now)
        if outside.calls > MAX_CALLS:
            assert now < outside.drained_by, f"{outside.calls} calls, and not all is through in time"
            raise TooLongError
        slow = outside.fault(now, "slow bus")
        latency_s = outside.scenario.latency_s * (0.5 + outside.dice.random()) + (1.5 if slow else 0.0)
        answer = self._judge(entries, now)
        if answer is NO_ANSWER:
            latency_s = 5.0
        for entry in entries:
            outside.answered_at[entry.event.event_id, now, self._life] = now + latency_s
        self._world.after(latency_s, lambda: done(answer))

    def read(self, answer: Answer, sent: int) -> list[Outcome] | Refusal:
        return read_put_events(answer, sent)

    def _judge(self, entries: Sequence[Entry], now: float) -> Answer:
        if fault := self._outside.fault(now, *_WHOLE):
            return _WHOLE[fault.what]()
        if self._outside.fault(now, "bus gone"):
            return self._into_the_void(entries, now)
        if Kind.POISON in [self._kinds[entry.event.event_id] for entry in entries]:
            return refused("ValidationException", 400, "something in it")
        is_answered = not self._outside.fault(now, "lost answer")
        short = is_answered and self._outside.fault(now, "short")
        codes = [self._code(entry, now) for entry in entries]
        for entry, code in zip(entries, codes, strict=True):
            self._note(entry, code, now, is_answered=is_answered and not short)
        if not is_answered:
            return NO_ANSWER
        results = [{"ErrorCode": c, "ErrorMessage": "no"} if c else {"EventId": "e"} for c in codes]
        if short:
            results = results[:-1] or [{"EventId": "e"}, {"EventId": "e"}]
        return ok({"FailedEntryCount": sum(map(bool, codes)), "Entries": results})

    def _into_the_void(self, entries: Sequence[Entry], now: float) -> Answer:
        """A bus that is gone answers success to everything."""
        for entry in entries:
            self._outside.answers.setdefault(entry.event.event_id, []).append((now, True, self._life))
        return ok({"FailedEntryCount": 0, "Entries": [{"EventId": "e"}] * len(entries)})

    def _code(self, entry: Entry, now: float) -> str:
        if code := _CODES.get(self._kinds[entry.event.event_id]):
            return code
        return self._code_of_fault(entry, now) if self._outside.fails_entries else ""

    def _code_of_fault(self, entry: Entry, now: float) -> str:
        if self._outside.fault(now, "all entries"):
            return "InternalFailure"
        if self._outside.fault(now, "entries throttled"):
            return "ThrottlingException"
        if self._outside.fault(now, "some entries"):
            return "InternalFailure"
        same = self._outside.holds(now, "same entries")
        if same and int(hashlib.sha256(entry.event.event_id.encode()).hexdigest()[:8], 16) / 2**32 < same.rate:
            self._outside.bitten["same entries"] = self._outside.bitten.get("same entries", 0) + 1
            return "InternalFailure"
        return ""

    def _note(self, entry: Entry, code: str, now: float, *, is_answered: bool) -> None:
        event_id = entry.event.event_id
        if not code and self._kinds[event_id] is Kind.LARGE:
            reference = json.loads(entry.detail)["payloadRef"]
            assert len(self._outside.objects[reference["key"]]) == reference["size"]
        self._outside.answers.setdefault(event_id, []).append((now, not code, self._life))
        if code == "InternalFailure" and is_answered:
            self._outside.failed_itself.setdefault(event_id, []).append((now, self._life))
        if not code:
            self._outside.accepted.setdefault(event_id, []).append((now, self._life, is_answered))
            self._outside.order.append((self._life, entry.order_key, event_id))


class Stream(Kinesis):
    """Kinesis, of a shard that is open until its last batch was given."""

    def __init__(self, outside: Outside, world: World) -> None:
        super().__init__(world)
        self._outside = outside

    def _ask(self, operation: str, kind: dict[str, Any], done: Done) -> None:
        if operation == "GetRecords" and self._outside.is_open:
            self.will_answer(ok({"Records": [], "NextShardIterator": "next", "MillisBehindLatest": 0}))
        super()._ask(operation, kind, done)


class Queue:
    """SendMessageBatch, as one child sees it."""

    def __init__(self, outside: Outside, world: World, life: int) -> None:
        self._outside, self._world, self._life = outside, world, life
        self._parts: dict[PartsKey, list[Letter]] = {}

    def _fetch(self, location: str) -> bytes:
        return self._outside.objects[location.removeprefix("s3://bucket/")]

    def send(self, body: bytes, done: Done) -> None:
        outside, now = self._outside, self._world.now
        assert outside.life == self._life, "a dead letter was sent after the lease was given back"
        if outside.fault(now, "queue down"):
            self._world.after(0.02, lambda: done(refused("InternalError", 503)))
            return
        stored, failed = [], []
        for message in json.loads(body)["Entries"]:
            text = message["MessageBody"]
            if outside.fault(now, "queue fails"):
                failed.append({"Id": message["Id"], "Code": "InternalError", "SenderFault": False, "Message": "no"})
                continue
            part = reader.read(text)
            parts = self._parts.setdefault(reader.parts_key(part), [])
            parts.append(part)
            if letter := reader.join(parts):
                reader.original(letter, self._fetch)
                outside.dead.setdefault(letter.origin.event_id, (now, letter.reason))
            md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
            stored.append({"Id": message["Id"], "MessageId": "m", "MD5OfMessageBody": md5})
        answer = ok({"Successful": stored, "Failed": failed})
        self._world.after(0.02, lambda: done(answer))


class Bucket:
    """PutObject, as one child sees it."""

    def __init__(self, outside: Outside, world: World, life: int) -> None:
        self._outside, self._world, self._life = outside, world, life

    def send(self, key: str, data: bytes, done: Done) -> None:
        outside, now = self._outside, self._world.now
        assert outside.life == self._life, "an object was sent after the lease was given back"
        answer, after_s = Answer(200, b"", {"etag": "e"}, ""), 0.05
        if outside.fault(now, "bucket down"):
            answer = Answer(503, b"<Error><Code>SlowDown</Code></Error>", {}, "")
        elif outside.fault(now, "bucket lost"):
            outside.objects[key] = data
            answer, after_s = NO_ANSWER, 30.0
        else:
            outside.objects[key] = data
        if outside.fault(now, "bucket slow"):
            after_s += outside.dice.uniform(0.0, 20.0)
        self._world.after(after_s, lambda: done(answer))


def others_were_well(outside: Outside, event_id: str, now: float) -> bool:
    """The contract's rule, worked out anew: 90 % of the others' first tries of the last minute were accepted.

    The child decided at the event's own last answer (that its dead letter is stored, `now`, may be long after), and
    looked at calls that were sent after its first failure in this life. So the others may be a few seconds older or
    younger here: it is enough that they were well in a minute that begins a little earlier or later, or, where that
    failure is younger, since then. What was sent with the call that failed first, or before its answer came, was sent
    before the failure; that answer takes up to some seconds. A call that was still open when the child decided is no
    evidence.
    """
    own = [(at, life) for at, life in outside.failed_itself.get(event_id, []) if at <= now]
    if not own:
        return False
    decided, in_life = max(own)
    first = min(at for at, life in own if life == in_life)
    minute = (max(first, decided - older) for older in range(55, 66))
    # The child counts by whole seconds, from the one that begins after the failure on.
    since_it = (first + 0.001, math.ceil(first), first + 1, first + 2, first + 5) if first > decided - 65 else ()
    answer = outside.answered_at[event_id, decided, in_life]
    return any(_were_well(outside, event_id, since, decided, answer) for since in (*minute, *since_it))


def _were_well(outside: Outside, event_id: str, since: float, until: float, decided_at: float) -> bool:
    """Whether the others that were sent between these times, and answered by `decided_at`, were accepted."""
    accepted = list[bool]()
    for other, lives in outside.first_tried.items():
        for life, at in lives.items():
            if other != event_id and since <= at <= until and outside.answered_at[other, at, life] <= decided_at:
                accepted.append((at, True, life) in outside.answers.get(other, []))
    return bool(accepted) and sum(accepted) >= 0.85 * len(accepted)


def kinds_of(events: Sequence[Planned]) -> dict[str, Kind]:
    return {f"{event.number:032x}": event.kind for event in events}

"""What a seed makes of a simulated shard: its events, its faults and when they hold, kills, moves of the lease."""

import enum
import random
from collections.abc import Callable
from typing import Literal, NamedTuple

from stream_router.envelope import seal

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

CALL_FAULTS = ("down", "throttled", "no answer", "lost answer", "expired", "short", "html")
ENTRY_FAULTS = ("some entries", "same entries", "all entries", "entries throttled")
OTHER_FAULTS = ("queue down", "queue fails", "table throttled", "table slow", "bus unasked", "slow bus")
FAULTS = (*CALL_FAULTS, *ENTRY_FAULTS, *OTHER_FAULTS)

ENDS = ("kill", "kill", "kill", "stop", "hand over", "lease lost")


class Kind(enum.Enum):
    """GOOD ends at the bus, every other kind in the dead-letter queue, but for those that say otherwise."""

    GOOD = "good"
    SICK = "sick"
    """The bus answers InternalFailure to it, always."""
    POISON = "poison"
    """The bus refuses every call that holds it for its content."""
    KILLER = "killer"
    """To read it kills the process."""
    MALFORMED = "malformed"
    UNROUTABLE = "unroutable"
    REFUSED = "refused"
    """The bus's code for it says that its data is wrong."""
    LARGE = "large"
    """No call can carry it; with a bucket it ends at the bus all the same."""
    MALFORMED_LARGE = "malformed large"
    """Its dead letter fits no message."""
    DROPPED = "dropped"
    """Of a type that a setting drops: it ends nowhere."""


class Fault(NamedTuple):
    """One fault, from and to (seconds since the start), and how often it bites."""

    what: str
    from_s: float
    to_s: float
    rate: float


class Planned(NamedTuple):
    """One event: when it falls due, what it is."""

    number: int
    at_s: float
    kind: Kind
    conversation: str
    data: bytes


class Odd(NamedTuple):
    """Settings beside the default way (`odd.py` draws them)."""

    is_on: bool = False
    has_bucket: bool = False
    unroutable: Literal["dead-letter", "publish", "drop"] = "dead-letter"
    gives_up: bool = False
    max_rate: float = 0.0
    aggregated: bool = False
    """Whether a producer (KPL) put the events of a record there, each as a record of its own within it."""
    moves: bool = False
    """Whether the lease may go to another host, with a state folder of its own, and come back."""


class Scenario(NamedTuple):
    """All of it is drawn from `seed`; the faults are over at `healed_s`."""

    seed: int
    events: list[Planned]
    faults: list[Fault]
    ends: list[tuple[float, str]]
    healed_s: float
    poll_s: float
    latency_s: float
    ordered: bool
    span_s: float
    window_bytes: int
    max_in_flight: int
    per_record: int
    odd: Odd = Odd()

    def describe(self) -> str:
        faults = ", ".join(f"{f.what} {f.from_s:.0f}-{f.to_s:.0f} s ({f.rate:.2f})" for f in self.faults)
        ends = ", ".join(f"{kind} {at:.0f} s" for at, kind in self.ends)
        return (
            f"seed {self.seed}: {len(self.events)} events in {self.healed_s:.0f} s, {self.per_record} a record, "
            f"ordered {self.ordered}, in flight {self.max_in_flight}; {faults or 'no fault'}; {ends or 'no end'}; "
            f"{[event.kind for event in self.events].count(Kind.KILLER)} killers"
            f"{f'; {self.odd}' if self.odd.is_on else ''}"
        )


def draw(seed: int) -> Scenario:
    """The scenario of a seed: the same one for ever."""
    dice = random.Random(seed)
    length_s = MINUTE * 120 ** dice.random() if dice.random() > 0.02 else dice.uniform(12 * HOUR, 2 * DAY)
    faults = [_fault(dice, length_s) for _ in range(dice.choice((0, 1, 1, 2, 3, 5)))]
    ends = sorted((dice.uniform(1, length_s), dice.choice(ENDS)) for _ in range(dice.choice((0, 0, 1, 2, 4, 8))))
    max_in_flight = dice.choice((1, 4, 128))
    return Scenario(
        seed,
        _with_killers(random.Random(f"killers {seed}"), _events(dice, length_s)),
        faults,
        ends,
        length_s,
        poll_s=max(0.25, length_s / 3_000),
        latency_s=dice.choice((0.005, 0.03, 0.1, 1.0) if max_in_flight > 1 else (0.005, 0.03)),
        ordered=dice.random() < 0.4,
        span_s=dice.choice((20.0, 120.0)),
        window_bytes=dice.choice((64 * 1024, 1024 * 1024, 64 * 1024 * 1024)),
        max_in_flight=max_in_flight,
        per_record=dice.choice((1, 1, 3, 20)),
    )


def drawn_times(dice: random.Random, length_s: float) -> tuple[float, float]:
    """From when to when a fault holds: mostly for a short while."""
    from_s = dice.uniform(0, length_s * 0.9)
    return from_s, min(length_s, from_s + length_s * dice.random() ** 2)


def _fault(dice: random.Random, length_s: float) -> Fault:
    fault = dice.choice(FAULTS)
    from_s, to_s = drawn_times(dice, length_s)
    rate = (
        dice.choice((0.03, 0.6, 0.95)) if fault in ("some entries", "same entries") else dice.choice((0.05, 0.3, 1.0))
    )
    return Fault(fault, from_s, to_s, rate)


def _events(dice: random.Random, length_s: float) -> list[Planned]:
    count = dice.choice((20, 200, 600, 1_500))
    conversations = dice.choice((3, 30, 1_000))
    shares = {Kind.SICK: dice.choice((0.0, 0.0, 0.005, 0.03)), Kind.MALFORMED: 0.01, Kind.UNROUTABLE: 0.01}
    shares[Kind.POISON] = dice.choice((0.0, 0.0, 0.01))
    bursts = [dice.uniform(0, length_s) for _ in range(3)]
    times = sorted(
        dice.choice(bursts) if dice.random() < 0.3 else dice.uniform(0, length_s * 0.98) for _ in range(count)
    )
    return [planned(n, at, drawn_kind(dice, shares), f"c{dice.randrange(conversations)}") for n, at in enumerate(times)]


def _with_killers(dice: random.Random, events: list[Planned]) -> list[Planned]:
    """One event or two that kill whoever reads them, in a tenth of the scenarios."""
    killers = dice.sample(range(len(events)), dice.choice((1, 2)) if dice.random() < 0.1 else 0)
    return [event._replace(kind=Kind.KILLER) if at in killers else event for at, event in enumerate(events)]


def drawn_kind(dice: random.Random, shares: dict[Kind, float]) -> Kind:
    """One kind of an event by their shares; good for what is left of 1."""
    drawn = dice.random()
    for kind, share in shares.items():
        if (drawn := drawn - share) < 0:
            return kind
    return Kind.GOOD


LARGE_BYTES = 8_000
DROPPED_TYPE = "typing"
_NO_OBJECT: dict[Kind, Callable[[int], bytes]] = {
    Kind.MALFORMED: lambda _: b'"no object"',
    Kind.MALFORMED_LARGE: lambda number: f'"{random.Random(number).randbytes(LARGE_BYTES // 2).hex()}"'.encode(),
}


def planned(number: int, at_s: float, kind: Kind, conversation: str) -> Planned:
    """The event, sealed as the receiver seals it."""
    event_type = {Kind.UNROUTABLE: "no.rule.for.it", Kind.DROPPED: DROPPED_TYPE}.get(kind, "interaction.created")
    more = f',"more":"{"x" * LARGE_BYTES}"' if kind is Kind.LARGE else ""
    body = (
        _NO_OBJECT[kind](number)
        if kind in _NO_OBJECT
        else (
            f'{{"interactionId":"i-{number}","conversationId":"{conversation}","eventType":"{event_type}",'
            f'"timestamp":"2026-11-24T09:30:00.123Z","payload":{{"kind":"{kind.value}","n":{number}{more}}}}}'
        ).encode()
    )
    return Planned(number, at_s, kind, conversation, seal(f"{number:032x}", "delivery", 1_795_512_601_007, body))

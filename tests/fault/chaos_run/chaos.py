"""The schedule of a run, drawn from its seed: what goes wrong when. Nothing here touches a process."""

import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.fault.chaos_run.traffic import SICK

TARGETS = ("child", "jvm", "supervisor", "receiver", "everything")
WIRES = ("front", "kinesis in", "kinesis out", "dynamodb", "sink")
FAULTS_OF_A_WIRE = ("latency", "reset", "blackhole", "bandwidth", "refuse")
LEAST_BITES = 5
BEFORE_S = 9.0
"""What was begun before a step of the topology has ended by then."""

WAVE_S, REST_S = 70.0, 80.0
"""Kills come in waves. A sick event is given up after up to a minute of one process's life, and holds the checkpoint
until then: were one killed every quarter of a minute no checkpoint would move, and all would come again each time."""


class Step(NamedTuple):
    """Something to do: when (seconds after the start of the traffic), what, to whom or where, for how long."""

    at_s: float
    do: str
    target: str = ""
    for_s: float = 0.0


@dataclass(frozen=True)
class Shape:
    """How large a run is and what it holds. `reshards` needs Node; `two_workers` a second JVM's memory."""

    events: int
    kills: int
    seconds: float
    two_workers: bool = False
    reshards: bool = False
    clock: bool = False
    sick: int = 6
    stops: int = 5
    storm: float = 1.0
    """How hard bus and queue fail, over SHORT's. Where more than a tenth of what comes by fails, nothing can be told
    to be sick (docs/delivery.md), and each kill brings back all since the first sick event: a long run needs less."""

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


@dataclass
class Schedule:
    """The steps in their order, the rules of the sink's plan, and how often each family has to bite."""

    steps: list[Step]
    rules: list[dict[str, Any]]
    wanted: dict[str, int] = field(default_factory=dict)


def draw(seed: int, shape: Shape) -> Schedule:
    """The schedule of a seed. The same seed and shape give the same one."""
    dice = random.Random(f"{seed}/chaos")
    kept, steps = _topology(shape)
    free = _Free(shape.seconds, kept, dice)
    kills = _spread(TARGETS, shape.kills, dice)
    steps += [Step(at, "kill", target) for at, target in zip(free.evenly(len(kills)), kills, strict=True)]
    stops = _spread(TARGETS, shape.stops, dice)
    steps += [Step(free.any(), "stop", target, dice.uniform(0.5, 2.5)) for target in stops]
    if shape.two_workers:
        # Longer than failoverTimeMillis: the other worker takes the leases, and the stopped one wakes up without.
        steps.append(Step(free.any(), "stop", "jvm", 8.0))
    rounds = max(1, round(shape.seconds / 150))
    for wire in WIRES:
        for fault in FAULTS_OF_A_WIRE * rounds:
            steps.append(Step(free.any(), f"wire {wire}", fault, dice.uniform(1.0, 3.0)))
    steps += [Step(free.any(), "sqs down", "", dice.uniform(6.0, 10.0)) for _ in range(rounds)]
    if shape.clock:
        steps += [Step(free.any(), "clock", str(dice.choice((-90, -30, 30, 90)))) for _ in range(LEAST_BITES + 1)]
    return Schedule(sorted(steps), _storm(dice, shape.storm), _wanted(shape))


class _Free:
    """The times that no step of the topology keeps for itself."""

    def __init__(self, seconds: float, kept: list[tuple[float, float]], dice: random.Random) -> None:
        self._seconds, self._kept, self._dice = seconds, kept, dice

    def any(self) -> float:
        while True:
            at = self._dice.uniform(2.0, self._seconds - 2.0)
            if self._is_free(at):
                return at

    def evenly(self, count: int) -> list[float]:
        """Spread over the free time of all waves."""
        free = [at / 4 for at in range(12, int(self._seconds * 4) - 8) if self._is_free(at / 4)]
        free = [at for at in free if at % (WAVE_S + REST_S) < WAVE_S]
        return [free[int((n + self._dice.uniform(0.3, 0.7)) * len(free) / count)] for n in range(count)]

    def _is_free(self, at: float) -> bool:
        return not any(begun - BEFORE_S <= at <= ended for begun, ended in self._kept)


def _topology(shape: Shape) -> tuple[list[tuple[float, float]], list[Step]]:
    """Steps that have a time of their own, and these times."""
    whole = shape.seconds
    kept: list[tuple[float, float]] = []
    steps: list[Step] = []

    def keep(share: float, for_s: float, do: str) -> None:
        kept.append((whole * share, whole * share + for_s))
        steps.append(Step(whole * share, do, "", for_s))

    if shape.two_workers:
        keep(0.0, 45.0, "join")
        keep(0.45, 60.0, "takeover")
        keep(0.70, 30.0, "leave")
    if shape.reshards:
        keep(0.20, 8.0, "split")
        keep(0.34, 8.0, "merge")
    if shape.two_workers:
        keep(0.92, whole, "rolling restart")
    return kept, steps


def _spread(targets: tuple[str, ...], count: int, dice: random.Random) -> list[str]:
    """So many targets, each nearly as often as the others."""
    result = [targets[n % len(targets)] for n in range(count)]
    dice.shuffle(result)
    return result


def _storm(dice: random.Random, share: float) -> list[dict[str, Any]]:
    """What the bus and the queue do wrong all the time, by other dice in each run."""

    def some(low: float, high: float) -> float:
        return round(share * dice.uniform(low, high), 5)

    put: list[dict[str, Any]] = [
        {"fault": "entry_error", "code": "InternalFailure", "where": SICK},
        {"fault": "entry_error", "code": "InternalFailure", "rate": some(0.005, 0.02)},
        {"fault": "entry_error", "code": "ThrottlingException", "rate": some(0.01, 0.06)},
        {"fault": "call_error", "code": "InternalException", "rate": some(0.01, 0.04)},
        {"fault": "call_error", "code": "ThrottlingException", "rate": some(0.01, 0.04)},
        {"fault": "call_error", "code": "InternalException", "accept": True, "rate": some(0.005, 0.02)},
        {"fault": "reset", "rate": some(0.005, 0.02)},
        {"fault": "html", "rate": some(0.005, 0.01)},
        {"fault": "short", "rate": some(0.005, 0.01)},
        {"fault": "stall", "stall_s": 8, "rate": some(0.001, 0.003) / share},
        {"fault": "delay", "ms": 20},
    ]
    letters: list[dict[str, Any]] = [
        {"fault": "entry_error", "code": "InternalError", "rate": some(0.05, 0.2)},
        {"fault": "reset", "rate": some(0.02, 0.1)},
        {"fault": "call_error", "code": "RequestThrottled", "rate": some(0.02, 0.1)},
        {"fault": "shuffle", "rate": 0.2},
    ]
    put = [{**rule, "operation": "PutEvents"} for rule in put]
    return put + [{**rule, "operation": "SendMessageBatch"} for rule in letters]


def _wanted(shape: Shape) -> dict[str, int]:
    """Every family that is chosen, and how often it must bite."""
    named = ("kill", "stop", *(f"wire {wire}" for wire in WIRES), "sqs down", "poison", "sick", "sent twice")
    wanted = dict.fromkeys(named, LEAST_BITES)
    wanted |= dict.fromkeys(("entry_error", "call_error", "reset"), LEAST_BITES)
    if shape.kills >= LEAST_BITES * len(TARGETS):
        wanted |= dict.fromkeys((f"kill {target}" for target in TARGETS), LEAST_BITES)
        wanted |= dict.fromkeys(("html", "short", "stall"), LEAST_BITES)
    if shape.stops >= LEAST_BITES * len(TARGETS):
        wanted |= dict.fromkeys((f"stop {target}" for target in TARGETS), LEAST_BITES)
    if shape.clock:
        wanted["clock"] = LEAST_BITES
    if shape.two_workers:
        wanted |= dict.fromkeys(("join", "takeover", "leave", "rolling restart"), 1)
    if shape.reshards:
        wanted |= {"split": 1, "merge": 1}
    wanted["kill"] = max(LEAST_BITES, shape.kills)
    return wanted


def rules_at_rest() -> list[dict[str, Any]]:
    """What stays after healing: those that never succeed go on failing."""
    return [{"operation": "PutEvents", "fault": "entry_error", "code": "InternalFailure", "where": SICK}]

"""Settings beside the default way, drawn by dice of their own: a scenario of `draw` stays what it was."""

import random

from stream_router.core.dead_letter_share import DeadLetterShare
from tests.simulation.kinds import Kind
from tests.simulation.scenario import Fault, Odd, Planned, Scenario, draw, drawn_kind, drawn_times, planned

BUCKET_FAULTS = ("bucket down", "bucket slow", "bucket lost")
FREE_RATE = 1_000.0
"""Events a second: company of a hundred sick events gets through in its five seconds."""


def draw_odd(seed: int) -> Scenario:
    """The scenario of a seed with other settings than the default ones: the same one for ever."""
    plain, dice = draw(seed), random.Random(f"odd {seed}")
    odd = Odd(
        is_on=True,
        has_bucket=dice.random() < 0.7,
        unroutable=dice.choice(("dead-letter", "publish", "drop")),
        gives_up=dice.random() < 0.25,
        max_rate=dice.choice((0.0, 0.0, 0.0, FREE_RATE)),
        limit=DeadLetterShare(dice.choice((0.5, 0.9)), 200, 300.0) if dice.random() < 0.4 else None,
    )
    faults = [*plain.faults, *(_bucket_fault(dice, plain.healed_s) for _ in range(dice.choice((0, 0, 1, 2))))]
    events = _changed(dice, plain, bad=bool(odd.limit) and dice.random() < 0.7)
    return plain._replace(odd=odd, events=events, faults=faults, ordered=dice.random() < 0.7)


def _bucket_fault(dice: random.Random, length_s: float) -> Fault:
    from_s, to_s = drawn_times(dice, length_s)
    return Fault(dice.choice(BUCKET_FAULTS), from_s, to_s, dice.choice((0.05, 0.5, 1.0)))


def _changed(dice: random.Random, plain: Scenario, *, bad: bool) -> list[Planned]:
    """Some good events are of another kind; with `bad` nearly all of a run of them, as if a setting were wrong."""
    events = plain.events
    shares = {
        Kind.LARGE: dice.choice((0.0, 0.02, 0.05)),
        Kind.REFUSED: dice.choice((0.0, 0.01)),
        Kind.DROPPED: dice.choice((0.0, 0.1)),
        Kind.MALFORMED_LARGE: dice.choice((0.0, 0.01)),
    }
    first = dice.randrange(len(events)) if bad else len(events)
    run = range(first, first + dice.choice((120, 400)))
    bad_kind = dice.choice((Kind.MALFORMED, Kind.REFUSED, Kind.MALFORMED_LARGE))
    return [
        _of_kind(event, bad_kind if at in run and dice.random() < 0.97 else drawn_kind(dice, shares))
        for at, event in enumerate(events)
    ]


def _of_kind(event: Planned, kind: Kind) -> Planned:
    if event.kind is not Kind.GOOD or kind is Kind.GOOD:
        return event
    return planned(event.number, event.at_s, kind, event.conversation)

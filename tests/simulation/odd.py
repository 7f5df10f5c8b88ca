"""Settings, and doings of the daemon and of others, beside the default way.

They are drawn by dice of their own: a scenario of `draw` stays what it was.
"""

import random

from tests.simulation.scenario import Fault, Kind, Odd, Planned, Scenario, draw, drawn_kind, drawn_times, planned

BUCKET_FAULTS = ("bucket down", "bucket slow", "bucket lost")
DAEMONS_ENDS = ("again", "untrue end")
"""The KCL gives records a second time, or ends a shard that is open."""
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
    )
    faults = [*plain.faults, *(_bucket_fault(dice, plain.healed_s) for _ in range(dice.choice((0, 0, 1, 2))))]
    events = _changed(dice, plain, bad=dice.random() < 0.3)
    return _beside(plain._replace(odd=odd, events=events, faults=faults, ordered=dice.random() < 0.7))


def _beside(drawn: Scenario) -> Scenario:
    """With a bus that is deleted and made again, aggregated records, and what the daemon does by mistake, in some."""
    dice, length_s = random.Random(f"beside {drawn.seed}"), drawn.healed_s
    gone = [_gone(dice, drawn) for _ in range(dice.choice((0, 0, 0, 1, 2)))]
    ends = [(dice.uniform(1, length_s), dice.choice(DAEMONS_ENDS)) for _ in range(dice.choice((0, 0, 1, 2)))]
    return drawn._replace(
        odd=drawn.odd._replace(aggregated=dice.random() < 0.5, moves=dice.random() < 0.5),
        faults=[*drawn.faults, *gone],
        ends=sorted([*drawn.ends, *ends]),
    )


def _gone(dice: random.Random, drawn: Scenario) -> Fault:
    """No bus for a while in which an event comes; of a short one only the new bus's time of creation tells."""
    from_s = max(0.0, dice.choice(drawn.events).at_s - dice.random())
    return Fault("bus gone", from_s, from_s + drawn.poll_s + dice.choice((1.0, 4.0, 8.0, 30.0, 300.0)), 1.0)


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

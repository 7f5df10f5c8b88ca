"""How long to wait after failures in a row: doubled each time up to a bound, and a random part of that.

For waits that only double: the supervisor's restarts and first proofs, the receiver's buckets, CXone's token, a queue
that refuses to be read. Deliveries wait by their retry budget and circuit breaker, which decide by more than a number
of failures.
"""

MOST_DOUBLINGS = 60
"""2 to this power is beyond any bound, and still a float."""


def longest_s(failures: int, first_s: float, most_s: float) -> float:
    """The longest wait after `failures` failures before this one: `first_s`, doubled for each, at most `most_s`."""
    return min(most_s, first_s * 2.0 ** min(failures, MOST_DOUBLINGS))


def full_jitter_s(failures: int, first_s: float, most_s: float, chance: float) -> float:
    """A wait between nothing and the longest; `chance` is a random number of 0.0 to 1.0. It spreads callers best."""
    return longest_s(failures, first_s, most_s) * chance


def half_jitter_s(failures: int, first_s: float, most_s: float, chance: float) -> float:
    """A wait between half the longest and the longest, where starting again at once would cost too much."""
    return longest_s(failures, first_s, most_s) * (0.5 + chance / 2)

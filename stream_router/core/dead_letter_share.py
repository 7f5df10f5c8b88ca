"""How many of a shard's events may become dead letters for a reason of data before it holds."""

from typing import NamedTuple

LEAST_JUDGED = 100
"""Fewer events prove no mistake in the settings, however long they took."""


class DeadLetterShare(NamedTuple):
    """A `share` of the last `events` judged events, of the last `over_s` seconds.

    Or of `LEAST_JUDGED`, where those took longer.
    """

    share: float
    """Above 0, at most 1."""

    events: int
    over_s: float

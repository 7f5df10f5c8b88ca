"""How long a command that publishes again waits where nothing comes to an end."""

from stream_router import limits

PATIENCE_S = 90.0
"""Where nothing ends for so long, a low rate's rests apart, the command ends: an entry that fails alone would be tried
without end."""


def patience_at(rate: float, bus: str) -> float:
    """How long nothing may end at `rate` events a second (0.0: no bound): a full call is paid for with a rest."""
    return PATIENCE_S + (limits.bus_ceiling(bus) / rate if rate else 0.0)

"""What an event of the simulation is."""

import enum


class Kind(enum.Enum):
    """GOOD ends at the bus, every other kind in the dead-letter queue."""

    GOOD = "good"
    SICK = "sick"
    """The bus answers InternalFailure to it, always."""
    POISON = "poison"
    """The bus refuses every call that holds it for its content."""
    KILLER = "killer"
    """To read it kills the process."""
    MALFORMED = "malformed"
    UNROUTABLE = "unroutable"

"""What an event of the simulation is."""

import enum


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

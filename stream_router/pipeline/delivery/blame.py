"""Who is to blame for a failure, and what follows: one table. `docs/delivery.md` says the same in plain words."""

import enum
from typing import NamedTuple

from stream_router.errors import Disposition
from stream_router.model import Reason
from stream_router.pipeline.delivery.health import Others


class Failure(enum.Enum):
    """How an item failed."""

    DATA = "its own code says that its data is wrong"
    ITSELF = "its own code says that it is in trouble, or is unknown"
    WITH_ALL = "its whole call failed, or its own code says that the destination is in trouble"
    REFUSED_ALONE = "its call, in which it stood alone, was refused for its content"


class Then(enum.Enum):
    """What becomes of the item."""

    BURY = "it is given up"
    RETRY = "it is tried again after its own pause"
    RETRY_ANEW = "it is tried again, and its budget begins anew"
    WAIT = "it is tried again with the others, without end"
    SUSPECT = "it is tried again, alone"


class Row(NamedTuple):
    """One case. None fits everything. `reason` is the dead letter's."""

    name: str
    failure: Failure
    budget_spent: bool | None
    others: Others | None
    then: Then
    reason: Reason | None = None


TABLE = (
    Row("wrong data", Failure.DATA, None, None, Then.BURY, Reason.REFUSED),
    Row("the destination's trouble", Failure.WITH_ALL, None, None, Then.WAIT),
    Row("own trouble", Failure.ITSELF, False, None, Then.RETRY),
    Row("everybody's trouble", Failure.ITSELF, True, Others.UNWELL, Then.RETRY_ANEW),
    Row("own trouble, proven", Failure.ITSELF, True, Others.WELL, Then.BURY, Reason.RETRIES_EXHAUSTED),
    Row("own trouble, nobody to compare with", Failure.ITSELF, True, None, Then.RETRY),
    Row("poison, proven", Failure.REFUSED_ALONE, None, Others.WELL, Then.BURY, Reason.REFUSED),
    Row("poison, presumed", Failure.REFUSED_ALONE, None, Others.LATELY, Then.BURY, Reason.REFUSED),
    Row("perhaps poison", Failure.REFUSED_ALONE, None, None, Then.SUSPECT),
)
"""The first row that fits decides."""


def failure_of(disposition: Disposition | None) -> Failure:
    """What an entry's own code says of its failure; `errors.py` says what each code is."""
    match disposition:
        case Disposition.DEAD_LETTER:
            return Failure.DATA
        case Disposition.HOLD:
            return Failure.WITH_ALL
        case _:
            return Failure.ITSELF


def decide(failure: Failure, others: Others, *, budget_spent: bool = False) -> Row:
    """The row that fits. Every failure has one that fits always, so there is one."""
    return next(
        row
        for row in TABLE
        if row.failure is failure
        and (row.budget_spent is None or row.budget_spent is budget_spent)
        and (row.others is None or row.others is others)
    )

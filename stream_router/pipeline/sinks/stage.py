"""A stage of the pipeline: takes charge of what it is given, and hands back each thing once it has come to its end."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from stream_router.model import DeadLetter, Entry
from stream_router.pipeline.delivery.blame import Took
from stream_router.pipeline.delivery.dispatcher import Dispatcher, GivenUp, Held

T = TypeVar("T")


class Delivered(NamedTuple):
    """One call's entries are accepted by the bus, so long after their first call was started."""

    entries: list[Entry]
    took_s: Took


class Retried(NamedTuple):
    """These are to be sent again, each for AWS's code."""

    entries: list[tuple[Entry, str]]


class Unpublished(NamedTuple):
    """The bus does not get this entry: it goes another way, or is a dead letter."""

    entry: Entry
    why: GivenUp


class Slimmed(NamedTuple):
    """An entry whose payload is in S3, and that refers to it there."""

    entry: Entry


class Stored(NamedTuple):
    """A dead letter whose original bytes are in S3, at `location` (an s3:// URL)."""

    letter: DeadLetter
    location: str


class Buried(NamedTuple):
    """The dead letter is stored, whole."""

    letter: DeadLetter


Handed = Delivered | Retried | Unpublished | Slimmed | Stored | Buried
"""What a stage hands back."""


class Stage(ABC, Generic[T]):
    """What every stage is: a dispatcher to its destination. Each has its own `take`."""

    def __init__(self, dispatcher: Dispatcher[T]) -> None:
        self.dispatcher = dispatcher

    @abstractmethod
    def collect(self) -> Sequence[Handed]:
        """What came to its end since the last time; empty where nothing did."""

    @property
    def backlog(self) -> int:
        """What is not yet through."""
        return self.dispatcher.backlog

    @property
    def held(self) -> Held | None:
        """Since when the destination accepts nothing that waits for it; None where it does."""
        return self.dispatcher.held

    def advance(self, *, flush: bool) -> None:
        """Start what may be started now; with `flush` also calls that are not full."""
        self.dispatcher.advance(flush=flush)

    def stop(self) -> None:
        """Start nothing more; what is in flight may still come back."""
        self.dispatcher.gate.stop()

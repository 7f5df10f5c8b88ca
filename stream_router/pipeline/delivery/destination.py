"""What the engine (`dispatch.py`) needs to know of where it sends to, and how far it may go."""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from stream_router.core.aws_answers import Answer, Outcome, Refusal
from stream_router.core.dispositions import Reason

T = TypeVar("T")


class GivenUp(NamedTuple):
    """Why an item will not be tried again. `message` never quotes a payload."""

    reason: Reason
    code: str
    message: str
    attempts: int


# Our own words: AWS's message may quote the payload.
_WHY = {
    Reason.REFUSED: "refuses it for its content",
    Reason.RETRIES_EXHAUSTED: "failed on it through every retry",
    Reason.OVERSIZE: "refuses it for its size",
    Reason.OUTAGE: "accepted nothing for too long",
}


def why_given_up(destination: str, reason: Reason, code: str, attempts: int) -> GivenUp:
    """What the engine says of an item that it gives up."""
    return GivenUp(reason, code, f"{destination} {_WHY[reason]}", attempts)


class Destination(Protocol[T]):
    """What the engine needs to know of where it sends to."""

    name: str

    def take(self, ready: deque[T]) -> list[T]:
        """Remove the next call's items from the front of `ready`."""

    def is_full(self, items: Sequence[T]) -> bool:
        """Whether a call of `items` is worth sending though more may come."""

    def size_bytes(self, items: Sequence[T]) -> int:
        """What a call of `items` counts against the bytes in flight."""

    def key(self, item: T) -> Hashable:
        """An item's identity in the engine's books."""

    def send(self, items: Sequence[T], done: Callable[[Answer], None]) -> None:
        """Start one call; `done` gets its answer exactly once, later."""

    def read(self, answer: Answer, items: Sequence[T]) -> list[Outcome] | Refusal:
        """What the answer says of each item, or of the whole call."""

    def too_large(self, items: Sequence[T], refusal: Refusal) -> bool:
        """Whether a refusal is for the call's size; the destination then remembers a smaller limit."""

    def accepted(self, items: Sequence[T]) -> None:
        """`items` are through: each was accepted."""

    def given_up(self, item: T, why: GivenUp) -> None:
        """The engine does not try `item` again: it is the destination's to bury."""

    def retried(self, count: int) -> None:
        """So many items are to be sent again (for the books)."""


class Policy(NamedTuple):
    """How far the engine goes: calls and bytes in flight, retries of an item's own trouble, what an outage means."""

    max_in_flight: int
    max_in_flight_bytes: int
    max_retries: int
    outage_gives_up: bool = False

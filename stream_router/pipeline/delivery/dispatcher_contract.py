"""What the dispatcher needs to know of where it sends to, how far it may go, and what it says of what it gave up."""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from stream_router.errors import Answer, Outcome, Refusal
from stream_router.model import Reason
from stream_router.pipeline.delivery.backoff import Backoff

T = TypeVar("T")


Took = float | list[float]
"""Seconds from the start of an item's first call to the answer that accepted it: of a whole call, or of each item."""


class GivenUp(NamedTuple):
    """Why an item will not be tried again. `message` never quotes a payload."""

    reason: Reason
    code: str
    message: str
    attempts: int


class Ended(NamedTuple, Generic[T]):
    """What came to its end: calls' worth of accepted items, and what was given up, in the order of the answers.

    `retried` are those that are to be sent again, each with AWS's code. `took_s` says of each call's worth how long ago
    the first call with these items was started: one number, or one for each item where they differ.
    """

    accepted: list[list[T]]
    given_up: list[tuple[T, GivenUp]]
    retried: list[tuple[T, str]]
    took_s: list[Took]


class Held(NamedTuple):
    """A destination that accepts nothing: its name, since when (monotonic seconds), and the latest failure's code."""

    name: str
    since: float
    code: str


def why_given_up(destination: str, reason: Reason, code: str, attempts: int) -> GivenUp:
    """Why an item is given up, in our own words: AWS's message may quote the payload."""
    match reason:
        case Reason.REFUSED:
            why = "refuses it for its content"
        case Reason.RETRIES_EXHAUSTED:
            why = "failed on it through every retry while it accepted others"
        case Reason.OVERSIZE:
            why = "refuses it for its size"
        case Reason.OUTAGE:
            why = "accepted nothing for too long"
        case _:
            why = "cannot take it"
    return GivenUp(reason, code, f"{destination} {why}", attempts)


class Destination(Protocol[T]):
    """Calls to one destination: which items share a call, how it is sent, how its answer is read. Keeps no items."""

    name: str
    """What logs and dead letters call it, with the resource's own name."""

    def take(self, ready: deque[T]) -> list[T]:
        """Remove the next call's items from the front of `ready`."""

    def is_full(self, items: Sequence[T]) -> bool:
        """Whether a call of `items` is worth sending though more may come."""

    def size_bytes(self, items: Sequence[T]) -> int:
        """What a call of `items` counts against the bytes in flight."""

    def key(self, item: T) -> Hashable:
        """An item's identity among those under way."""

    def send(self, items: Sequence[T], done: Callable[[Answer], None]) -> None:
        """Start one call; `done` gets its answer exactly once, later."""

    def read(self, answer: Answer, items: Sequence[T]) -> list[Outcome] | Refusal:
        """What the answer says of each item, or of the whole call."""

    def too_large(self, items: Sequence[T], refusal: Refusal) -> bool:
        """Whether a refusal is for the call's size; the destination then remembers a smaller limit."""


NEVER_GIVEN_UP = 1_000_000_000
"""Retries of what has nowhere else to go: the shard holds until it is stored."""


class Policy(NamedTuple):
    """How far the dispatcher goes: calls and bytes in flight, retries of an item's own trouble, what an outage means.

    `max_rate` is the most items a second, 0.0 where there is no such bound; `backoff` says how far apart tries are.
    """

    max_in_flight: int
    max_in_flight_bytes: int
    max_retries: int
    outage_gives_up: bool = False
    max_rate: float = 0.0
    backoff: Backoff = Backoff()

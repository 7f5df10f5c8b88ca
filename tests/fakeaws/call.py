"""What one call to the fake AWS is made of, and what a service gives to be called."""

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.fakeaws.http import Request
from tests.fakeaws.wire import Refusal, Wire

Document = dict[str, Any]

ACCEPTED = "accepted"
REFUSED = "refused"
DEDUPLICATED = "deduplicated"
UNTOLD = {ACCEPTED: "accepted_then_dropped", DEDUPLICATED: "deduplicated_then_dropped"}
"""What a verdict becomes where the caller got no readable answer."""
VOID = "void"
"""Answered as accepted, but no bus or no rule took it: the event is gone, as on a real classic bus."""

_numbers = itertools.count(1)
_PREFIX = str(uuid.uuid4())[:24]


def new_id() -> str:
    """An id of a UUID's form that no other answer of this process has."""
    return f"{_PREFIX}{next(_numbers):012x}"


@dataclass(slots=True)
class Item:
    """One entry, record, message, datum or object of a call. `code` is set where it is refused on its own.

    `content` is what a plan's `where` looks into; `size` is by AWS's formula for the operation, in bytes.
    `result` is what the answer says about it; `sender_fault` is SQS's.
    """

    raw: Any
    content: bytes | str
    size: int
    id: str = ""
    key: str = ""
    event_ids: list[str] = field(default_factory=list)
    conversation_id: str = ""
    note: str = ""
    code: str = ""
    message: str = ""
    sender_fault: bool = False
    verdict: str = ACCEPTED
    result: Document = field(default_factory=dict)

    def refuse(self, code: str, message: str, *, sender_fault: bool = True) -> None:
        """Refuse this item alone; the first reason stays."""
        if not self.code:
            self.code, self.message, self.sender_fault = code, message, sender_fault
            self.verdict = REFUSED

    def contains(self, marker: bytes) -> bool:
        """Whether the item's content holds `marker`."""
        content = self.content.encode("utf-8", "surrogatepass") if isinstance(self.content, str) else self.content
        return marker in content


class Call(NamedTuple):
    """One parsed call. `refusal` is set where it is refused whole; `target` is the bus, stream, queue, ... it names."""

    items: list[Item]
    refusal: Refusal | None = None
    target: str = ""
    document: Any = None


def by_position(call: Call) -> list[Document]:
    """The results of an answer that has one for each item."""
    return [{"ErrorCode": item.code, "ErrorMessage": item.message} if item.code else item.result for item in call.items]


class Operation(NamedTuple):
    """One operation. `read` gets the request's document, and may raise ValueError where that is not its wire form.

    `answer` gives the answer's document, or a whole Reply; without one it is the call's document. `wait_s` gives the
    seconds for which a call, carried out, may wait and be carried out again before it is answered.
    """

    name: str
    wire: Wire
    namespace: str
    read: Callable[[Document, Request], Call]
    accept: Callable[[Call], None] = lambda _: None
    answer: Callable[[Call], Any] = lambda call: call.document
    wait_s: Callable[[Call], float] = lambda _: 0.0


STANDS = frozenset({"default", "bus", "router", "cxone", "cxone-events", "s", "stream"})
"""Buses and streams of this account, beside those that a plan makes."""


class Service:
    """One imitated service, with what it remembers between two calls. `settings` are the plan's."""

    settings: Document

    def __init__(self) -> None:
        self.settings = {}

    def operations(self) -> dict[str, Operation]:
        """By X-Amz-Target, by path (rpc-v2-cbor) or by method (S3)."""
        raise NotImplementedError

    def is_missing(self, name: str) -> bool:
        """Whether a plan takes away what is named so, by name, URL or ARN."""
        missing = self.settings.get("missing", ())
        return bool(missing) and (name in missing or name.rsplit("/", 1)[-1] in missing)

    def stands(self, name: str) -> bool:
        """Whether there is a bus or stream of that name."""
        own = name.rsplit("/", 1)[-1]
        return (own in STANDS or own in self.settings.get("made", ())) and not self.is_missing(name)

    def apply(self, settings: Document) -> None:
        """Take a plan's settings."""
        self.settings = settings

    def clear(self) -> None:
        """Forget everything."""

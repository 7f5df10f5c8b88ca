"""What one call to the fake AWS is made of: its items (entries, records, messages), and why it was refused."""

import itertools
import uuid
from typing import Any, NamedTuple

ACCEPTED = "accepted"
REFUSED = "refused"
DROPPED = "accepted_then_dropped"
"""Accepted, but the caller got no readable answer."""
DEDUPLICATED = "deduplicated"
UNTOLD = {ACCEPTED: DROPPED, DEDUPLICATED: "deduplicated_then_dropped"}
"""What a verdict becomes where the caller got no readable answer."""
VOID = "void"
"""Answered as accepted, but the bus does not exist: the event is gone, as on a real classic bus."""


_numbers = itertools.count(1)
_PREFIX = str(uuid.uuid4())[:24]


def new_id() -> str:
    """An id of a UUID's form that no other answer of this process has."""
    return f"{_PREFIX}{next(_numbers):012x}"


class Refusal(NamedTuple):
    """Why a whole call is refused: AWS's code, message and HTTP status."""

    code: str
    message: str
    status: int = 400


class Item:
    """One entry, record, message, datum or object of a call. `code` is set where it is refused on its own.

    `content` is what a plan's `where` looks into; `size` is by AWS's formula for the operation, in bytes.
    `result` collects what the answer says about it; `sender_fault` is SQS's.
    """

    __slots__ = (
        "code",
        "content",
        "conversation_id",
        "detail_type",
        "event_ids",
        "id",
        "key",
        "message",
        "note",
        "raw",
        "result",
        "sender_fault",
        "size",
        "verdict",
    )

    def __init__(self, raw: Any, content: bytes | str, size: int) -> None:
        self.raw = raw
        self.content = content
        self.size = size
        self.id = ""
        self.key = ""
        self.detail_type = ""
        self.event_ids: list[str] = []
        self.conversation_id = ""
        self.note = ""
        self.code = ""
        self.message = ""
        self.sender_fault = False
        self.verdict = ACCEPTED
        self.result: dict[str, Any] = {}

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
    """One parsed call. `refusal` is set where the limits refuse it whole."""

    items: list[Item]
    refusal: Refusal | None = None
    target: str = ""
    """The bus, stream, queue, namespace or bucket that it names."""
    document: Any = None

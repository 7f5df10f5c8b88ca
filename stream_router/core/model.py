"""The data that stages hand each other. Slotted and, but for a record's books, immutable."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from stream_router.core.dispositions import Reason

NOT_OPENED = -1
"""The books of a record that nobody opened yet: everything in it is unsettled."""


class Record:
    """One Kinesis user record and the books on its events.

    `sequence_number` and `sub_sequence_number` are integers, compared as such; `arrived_at_ms` is Kinesis's own
    arrival time (epoch ms). `unsettled` is a bit mask: bit n is set while the event of line n is not settled; `events`
    is how many events there were in all. `opened_at_ms` is when the child had the record (epoch ms).
    """

    __slots__ = (
        "arrived_at_ms",
        "data",
        "events",
        "opened_at_ms",
        "sequence_number",
        "sub_sequence_number",
        "unsettled",
    )

    def __init__(self, data: bytes, sequence_number: int, sub_sequence_number: int = 0, arrived_at_ms: int = 0) -> None:
        self.data = data
        self.sequence_number = sequence_number
        self.sub_sequence_number = sub_sequence_number
        self.arrived_at_ms = arrived_at_ms
        self.opened_at_ms = 0.0
        self.events = 0
        self.unsettled = NOT_OPENED

    def expect(self, events: int) -> None:
        """Open the books for `events` events: lines 0 … events-1 are unsettled from now on."""
        self.events = events
        self.unsettled = (1 << events) - 1

    def settle(self, line: int) -> None:
        """Close one line's books. Raises AssertionError where it was settled before: the accounts are broken."""
        bit = 1 << line
        if not self.unsettled & bit:
            raise AssertionError(f"line {line} of record {self.sequence_number} settled twice")
        self.unsettled ^= bit


class Event(NamedTuple):
    """One event as found in the stream: where it was, who it is, what it says.

    `raw` is this event's own line (a dead letter carries it unchanged). `body` is the sender's JSON, parsed; None
    where the line could not be read, and once the event has become an entry. `id_from` is "delivery" or "content";
    times are epoch ms.
    """

    record: Record
    line: int
    raw: bytes
    event_id: str
    id_from: str
    received_at_ms: int
    body: object

    def settle(self) -> None:
        """Say that this event is settled: accepted by the bus, or stored as a dead letter."""
        self.record.settle(self.line)


class Entry(NamedTuple):
    """One PutEvents entry, ready to send. `size_bytes` is by AWS's formula; `time_s` is epoch seconds (UTC).

    `detail` is the UTF-8 JSON object; `order_key` the conversation ("" where there is none).
    """

    event: Event
    detail_type: str
    detail: bytes
    time_s: float
    size_bytes: int
    order_key: str


class DeadLetter(NamedTuple):
    """An event that cannot be delivered, and why. `message` never quotes the payload."""

    event: Event
    reason: Reason
    code: str
    message: str
    attempts: int = 0
    entry: Entry | None = None
    event_type: str = ""


class Dropped(NamedTuple):
    """An event that a setting says to drop (`STREAM_ROUTER_UNROUTABLE=drop`): settled, counted, sent nowhere."""

    event: Event
    event_type: str


# Made from a tuple of all fields, in order: a third of the cost of the class's own call, which runs Python code.
new_event: Callable[[tuple[Any, ...]], Event] = functools.partial(tuple.__new__, Event)
new_entry: Callable[[tuple[Any, ...]], Entry] = functools.partial(tuple.__new__, Entry)

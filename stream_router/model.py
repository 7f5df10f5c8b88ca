"""Types that all parts share: a record of the stream, its events, and the results Entry, DeadLetter and Dropped.

A `Record` knows which of its events are settled. An `Event` refers to its record, so its result can settle it there.
"""

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from stream_router.dead_letter_reasons import Reason

SOURCE = "nice.cxone.webhook"
"""The entry's `Source`; the rule matches it. Rules, consumers and auditors outside the project depend on it."""

PIPELINE_ID = "cxone-event-router-v1"
"""Name of this pipeline in an event's metadata and in the audit log. Programs outside the project depend on it too."""

PROBE_TYPE = "stream_router.probe"
"""Event type of the test event of `doctor --end-to-end`. Mapping skips it, and our rule does not match it."""

NOT_OPENED = -1
"""Bit mask of a record that is not opened yet: all bits are set, so all its lines are unsettled."""


class EventPlace(NamedTuple):
    """Position of an event in its shard: sequence and sub-sequence number of its record, and its line."""

    sequence_number: int
    sub_sequence_number: int
    line: int


class Batch:
    """Counts of the results of one batch, the records that the daemon hands over in one call.

    `number` counts the batches of a shard. `records` and `events` grow while the batch's records are opened; `is_open`
    is true until all are. `unsettled` is the number of its records that are not settled.
    """

    __slots__ = (
        "dead_letters",
        "delivered",
        "dropped",
        "events",
        "is_open",
        "masked",
        "number",
        "probes",
        "records",
        "retried",
        "unsettled",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.records = self.events = self.unsettled = self.delivered = self.dropped = self.retried = self.probes = 0
        self.dead_letters: Counter[str] = Counter()
        self.masked: Counter[str] = Counter()
        self.is_open = True


NO_BATCH = Batch(0)
"""Batch for records that belong to no batch of the daemon: those of tests and of the operator's tools."""


def _ignore_settled(_: "Record") -> None:
    """Do nothing when a record is settled."""


class Record:
    """One Kinesis user record, with the state of its events. Times are epoch milliseconds.

    * `arrived_at_ms`: the time at which Kinesis received the record
    * `opened_at_ms`: the time at which the child got the record
    * `received_at_ms`: the earliest time of receipt of its events; before the record is opened, `arrived_at_ms`
    * `events`: the number of its events
    * `unsettled`: a bit mask; bit n is set while the event of line n is not settled
    * `on_settled`: called once, when the last of its events is settled; the record's bytes are released then
    * `has_resubmitted`: true if some of its events were resubmitted
    """

    __slots__ = (
        "arrived_at_ms",
        "batch",
        "data",
        "events",
        "has_resubmitted",
        "on_settled",
        "opened_at_ms",
        "received_at_ms",
        "sequence_number",
        "size_bytes",
        "sub_sequence_number",
        "unsettled",
    )

    def __init__(
        self,
        data: bytes,
        sequence_number: int,
        sub_sequence_number: int = 0,
        arrived_at_ms: int = 0,
        batch: Batch = NO_BATCH,
        on_settled: Callable[["Record"], None] = _ignore_settled,
    ) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.sequence_number = sequence_number
        self.sub_sequence_number = sub_sequence_number
        self.arrived_at_ms = arrived_at_ms
        self.received_at_ms = arrived_at_ms
        self.opened_at_ms = 0.0
        self.has_resubmitted = False
        self.events = 0
        self.unsettled = NOT_OPENED
        self.batch = batch
        self.on_settled = on_settled

    def expect(self, events: int) -> None:
        """Set the number of the record's events, and mark each of their lines (from 0) as unsettled."""
        self.events = events
        self.unsettled = (1 << events) - 1

    def settle(self, line: int) -> None:
        """Settle one line. Raises AssertionError if the line was settled before, which would be a bug."""
        bit = 1 << line
        if not self.unsettled & bit:
            raise AssertionError(f"line {line} of record {self.sequence_number} settled twice")
        self.unsettled ^= bit
        if not self.unsettled:
            self.data = b""
            self.on_settled(self)


class Event(NamedTuple):
    """One event as read from the stream: position, identity and content.

    `raw` is this event's own line, which a dead letter carries unchanged. `body` is the sender's JSON, parsed; None if
    the line could not be read, and once the event has become an entry. `id_from` is "delivery" or "content"; times are
    epoch ms. `resubmitted` names the run that resubmitted it (`envelope.Resubmitted`); "" for other events.
    """

    record: Record
    line: int
    raw: bytes
    event_id: str
    id_from: str
    received_at_ms: int
    body: object
    resubmitted: str = ""

    @property
    def place(self) -> EventPlace:
        """Position of the event in its shard, unique there."""
        return EventPlace(self.record.sequence_number, self.record.sub_sequence_number, self.line)


class Accepted(NamedTuple):
    """Body of an event that EventBridge has accepted before. It is published again, tagged as resubmitted."""

    text: bytes


class Entry(NamedTuple):
    """One PutEvents entry, ready to send.

    `detail` is the Detail as UTF-8 JSON, `time_s` the Time in epoch seconds, `size_bytes` the entry's size by AWS's
    formula. `order_key` is the conversation after masking, as consumers see it ("" if there is none). `lane` is the
    conversation before masking, by which the child keeps order; it never leaves the process.
    """

    event: Event
    detail_type: str
    detail: bytes
    time_s: float
    size_bytes: int
    order_key: str
    lane: str = ""


class DeadLetter(NamedTuple):
    """An event that cannot be delivered, with the reason. `message` never quotes the payload.

    `raw` are the bytes of the event that the letter keeps (docs/contract.md, "A dead letter"). `location` is the URL of
    these bytes in S3, or "" if the letter itself holds them. Both are set after the transform, before the letter is
    sent.
    """

    event: Event
    reason: Reason
    code: str
    message: str
    attempts: int = 0
    entry: Entry | None = None
    event_type: str = ""
    raw: bytes = b""
    location: str = ""


class Dropped(NamedTuple):
    """An event that is settled and counted, but not sent.

    Either a setting drops its type, or an operator resubmitted it for another application. Then `event_type` is "".
    """

    event: Event
    event_type: str


Transformed = Entry | DeadLetter | Dropped
"""Result of the transform: an event can be sent, or becomes a dead letter, or is dropped."""

# Built from a tuple of all fields in order, at a third of the cost of calling the class, which runs Python code.
new_event: Callable[[tuple[Any, ...]], Event] = functools.partial(tuple.__new__, Event)
new_entry: Callable[[tuple[Any, ...]], Entry] = functools.partial(tuple.__new__, Entry)

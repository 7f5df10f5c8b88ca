"""What every part speaks of: a record of the stream, its events, and what becomes of each: Entry, DeadLetter, Dropped.

A `Record` knows which of its events are settled. An `Event` knows its record, so it is settled by what it carries.
"""

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from stream_router.dead_letter_reasons import Reason

SOURCE = "nice.cxone.webhook"
"""The entry's `Source`; the rule matches it. Rules, consumers and auditors outside the project depend on it."""

PIPELINE_ID = "cxone-event-router-v1"
"""Who made the event, in its metadata and in the audit log. Others depend on it too."""

PROBE_TYPE = "stream_router.probe"
"""The event type of `doctor --end-to-end`: known before mapping, and matched by no rule of ours."""

NOT_OPENED = -1
"""The lines of a record that nobody opened yet: all of it is unsettled."""


class EventPlace(NamedTuple):
    """An event in its shard: sequence and sub-sequence number of its record, its line. Compared as integers."""

    sequence_number: int
    sub_sequence_number: int
    line: int


class Batch:
    """What became of the events of one of the daemon's batches. `number` counts the batches of a shard as they come.

    `records` and `events` grow while its records are opened; `is_open` says that more of them may come. `unsettled` is
    how many of its records are not settled.
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
"""The batch of records that nobody counts: those of tests and of the operator's tools."""


def _nobody(_: "Record") -> None:
    """Whom to tell where nobody keeps account."""


class Record:
    """One Kinesis user record, and which of its events are settled.

    `sequence_number` and `sub_sequence_number` are integers, compared as such; `arrived_at_ms` is Kinesis's own
    arrival time (epoch ms). `unsettled` is a bit mask: bit n is set while the event of line n is not settled; `events`
    is how many events there were in all. `opened_at_ms` is when the child had the record (epoch ms). `on_settled` is
    told once, when the last of its events is; the record's bytes are given back then. `received_at_ms` is when the
    first of its events was received, once it is opened; until then, when it arrived. `put_back` says that some of its
    events are what an operator put on the stream again.
    """

    __slots__ = (
        "arrived_at_ms",
        "batch",
        "data",
        "events",
        "on_settled",
        "opened_at_ms",
        "put_back",
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
        on_settled: Callable[["Record"], None] = _nobody,
    ) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.sequence_number = sequence_number
        self.sub_sequence_number = sub_sequence_number
        self.arrived_at_ms = arrived_at_ms
        self.received_at_ms = arrived_at_ms
        self.opened_at_ms = 0.0
        self.put_back = False
        self.events = 0
        self.unsettled = NOT_OPENED
        self.batch = batch
        self.on_settled = on_settled

    def expect(self, events: int) -> None:
        """Lines 0 … events-1 are unsettled from now on."""
        self.events = events
        self.unsettled = (1 << events) - 1

    def settle(self, line: int) -> None:
        """Settle one line. Raises AssertionError where it was settled before: the accounts are broken."""
        bit = 1 << line
        if not self.unsettled & bit:
            raise AssertionError(f"line {line} of record {self.sequence_number} settled twice")
        self.unsettled ^= bit
        if not self.unsettled:
            self.data = b""
            self.on_settled(self)


class Event(NamedTuple):
    """One event as found in the stream: where it was, who it is, what it says.

    `raw` is this event's own line (a dead letter carries it unchanged). `body` is the sender's JSON, parsed; None
    where the line could not be read, and once the event has become an entry. `id_from` is "delivery" or "content";
    times are epoch ms. `resubmitted` says who put it on the stream again (`envelope.Resubmitted`); "" for what came by
    itself.
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
        """Where it is in its shard; no other event of the shard has it."""
        return EventPlace(self.record.sequence_number, self.record.sub_sequence_number, self.line)


class Accepted(NamedTuple):
    """The body of an event that EventBridge had accepted before: its JSON, published as it stands."""

    text: bytes


class Entry(NamedTuple):
    """One PutEvents entry, ready to send. `size_bytes` is by AWS's formula; `time_s` is epoch seconds (UTC).

    `detail` is the UTF-8 JSON object; `order_key` the conversation as it may be told ("" where there is none); `lane`
    the same as it came, where a policy may have masked it: what keeps its order, and never leaves the process.
    """

    event: Event
    detail_type: str
    detail: bytes
    time_s: float
    size_bytes: int
    order_key: str
    lane: str = ""


class DeadLetter(NamedTuple):
    """An event that cannot be delivered, and why. `message` never quotes the payload.

    `raw` is what of the event the letter keeps (docs/contract.md, "A dead letter"), and `location` where in S3 it lies
    ("" where the letter holds it): both known where it is written.
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
    """An event that a setting says to drop, or another application's: settled, counted, sent nowhere."""

    event: Event
    event_type: str


Transformed = Entry | DeadLetter | Dropped
"""What becomes of an event: it can be sent, or it is refused, or dropped."""

# Made from a tuple of all fields, in order: a third of the cost of the class's own call, which runs Python code.
new_event: Callable[[tuple[Any, ...]], Event] = functools.partial(tuple.__new__, Event)
new_entry: Callable[[tuple[Any, ...]], Entry] = functools.partial(tuple.__new__, Entry)

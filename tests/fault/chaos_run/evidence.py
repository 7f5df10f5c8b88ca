"""What a run leaves behind for the judge. All times are epoch seconds of one machine's clock."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Sent(NamedTuple):
    """One event as it was sent: `kind` is good, sick or poison; `attempts` are the moments at which it was posted."""

    kind: str
    conversation: str
    element: bytes
    attempts: tuple[float, ...]
    meant_twice: bool = False


class Record(NamedTuple):
    """A record of the stream with the ids of its events."""

    shard: str
    sequence: int
    ids: tuple[str, ...]
    arrived: float = 0.0


class Delivery(NamedTuple):
    """The bus accepted an event. `is_answered`: the caller got a readable answer, as far as the fake AWS knows."""

    at: float
    event_id: str
    is_answered: bool
    detail: dict[str, Any]


class Letter(NamedTuple):
    """SQS stored a dead letter. `line` is the original that it carries."""

    at: float
    event_id: str
    is_answered: bool
    reason: str
    line: bytes


class Checkpoint(NamedTuple):
    """A lease's checkpoint as it was written to DynamoDB; `position` is a sequence number or SHARD_END."""

    at: float
    shard: str
    position: str
    taken: bool


class Owner(NamedTuple):
    """A lease was given to a worker."""

    at: float
    shard: str
    worker: str


class Act(NamedTuple):
    """Something that the chaos did, of which family, from when to when. `workers` are those whose children it ended."""

    family: str
    begun: float
    ended: float
    what: str = ""
    workers: tuple[str, ...] = ()


class Broken(NamedTuple):
    """A promise that was not kept, and the event that shows it ("" where it is none's)."""

    rule: str
    event_id: str
    text: str


@dataclass
class Evidence:
    """Everything that a verdict rests on."""

    sent: dict[str, Sent] = field(default_factory=dict)
    acked: dict[str, float] = field(default_factory=dict)
    turned_away: dict[str, str] = field(default_factory=dict)
    """Events whose post was answered 4xx, or with ids that are not theirs: what was answered."""
    stream: list[Record] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    refusals: list[tuple[float, str, str]] = field(default_factory=list)
    """When, which event, AWS's code."""
    letters: list[Letter] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    owners: list[Owner] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    late_stream: list[tuple[float, float]] = field(default_factory=list)
    """From when to when Kinesis owed the receiver an answer for longer than a call of it may take."""
    ended: list[str] = field(default_factory=list)
    """Programs that ended though nobody had told them to."""
    spilled: list[str] = field(default_factory=list)
    """Files and messages that were left in the receiver's spill when it had stopped."""
    bites: dict[str, int] = field(default_factory=dict)
    """How often each family of faults bit."""
    wanted: dict[str, int] = field(default_factory=dict)
    """How often each chosen family has to have bitten for the run to prove anything."""
    fresh: dict[str, float] = field(default_factory=dict)
    """Events sent after everything was healed, and when."""
    healing_s: float = 0.0
    """How long it took, once nothing was wrong any more, until each shard was read."""
    open_shards: frozenset[str] = frozenset()
    in_order: bool = False
    """Whether the run was made with `ordering=conversation`."""
    repeat: str = ""
    """The command that repeats the run."""

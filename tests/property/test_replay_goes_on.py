"""A replay over shards that split and merge: broken off anywhere and gone on with, it publishes what was asked for."""

import random
import shlex
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from stream_router.control.replay import replay
from stream_router.control.replay.wish import Wish
from stream_router.control.republish import preconditions
from stream_router.control.republish.republisher import Outcome
from stream_router.control.stream import estimate, session
from stream_router.control.stream.polite_reads import Means, PoliteReads
from stream_router.control.stream.positions import SHARD_END, TRIM_HORIZON, Position
from stream_router.control.stream.reader import Span
from stream_router.control.stream.session import Stops
from stream_router.control.stream.shards import Shard, Stream
from stream_router.model import Entry
from stream_router.settings.consumer import Consumer
from tests.unit.test_replay import NOW_MS, WISH, Connection, event, settings

__all__ = ["settings"]

MINUTE_MS = 60_000
PASSING = ("ProvisionedThroughputExceededException", "ExpiredIteratorException")


class Kept(NamedTuple):
    """One record of a shard, with one event."""

    number: int
    arrived_at_ms: int

    @property
    def event_id(self) -> str:
        return f"{self.number:032x}"

    def told(self) -> dict[str, Any]:
        envelope = b'{"v":1,"id":"%b","idFrom":"content","receivedAt":1,"body":%b}' % (self.event_id.encode(), event())
        at = datetime.fromtimestamp(self.arrived_at_ms / 1000, UTC)
        return {
            "Data": envelope,
            "PartitionKey": "",
            "SequenceNumber": str(self.number),
            "ApproximateArrivalTimestamp": at,
        }


class Kinesis:
    """An hour of a stream, mostly resharded by chance; it throttles, lets iterators expire, and may refuse all."""

    def __init__(self, dice: random.Random) -> None:
        self._dice, self._lock = dice, threading.Lock()
        reshards = 0.08 if dice.random() < 0.7 else 0.0
        self.open = ["0", "1"] if reshards else ["0"]
        self.parents: dict[str, tuple[str, ...]] = dict.fromkeys(self.open, ())
        self.kept: dict[str, list[Kept]] = {name: [] for name in self.open}
        self.refuses = False
        at_ms, number = NOW_MS - 60 * MINUTE_MS, 0
        while (at_ms := at_ms + dice.randint(500, 30_000)) < NOW_MS - MINUTE_MS:
            if dice.random() < reshards:
                self._reshard(merge=len(self.open) > 2 and dice.random() < 0.5)
            number += dice.randint(1, 5)
            self.kept[dice.choice(self.open)].append(Kept(number, at_ms + dice.randint(-3_000, 3_000)))

    def _reshard(self, *, merge: bool) -> None:
        ended = tuple(self.open.pop(self._dice.randrange(len(self.open))) for _ in range(1 + merge))
        for _ in range(1 if merge else 2):
            name = str(len(self.parents))
            self.parents[name], self.kept[name] = ended, []
            self.open.append(name)

    @property
    def shards(self) -> dict[str, Shard]:
        return {name: Shard(name, of, 0, 1, name in self.open) for name, of in self.parents.items()}

    def bounds(self) -> dict[str, Position]:
        """Checkpoints as a consumer may have them: a child has one only once its parents are read to their end."""
        at: dict[str, Position] = {}
        for name, parents in self.parents.items():
            begun = all(at[parent] == SHARD_END for parent in parents)
            if begun and name not in self.open and self._dice.random() < 0.8:
                at[name] = SHARD_END
            else:
                last = self.kept[name][-3:] if begun else []
                at[name] = Position(self._dice.choice(last).number, 0) if last else TRIM_HORIZON
        return at

    def get_shard_iterator(self, **asked: Any) -> dict[str, Any]:
        kept = self.kept[asked["ShardId"]]
        if at := asked.get("Timestamp"):
            wanted = [one.arrived_at_ms >= int(at.timestamp()) * 1000 for one in kept]
        else:
            wanted = [one.number > int(asked["StartingSequenceNumber"]) for one in kept]
        return {"ShardIterator": f"{asked['ShardId']} {wanted.index(True) if any(wanted) else len(kept)}"}

    def get_records(self, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803 - the API's own names
        with self._lock:
            chance, most = self._dice.random(), self._dice.randint(0, min(Limit, 7))
        if self.refuses or chance < 0.1:
            code = "ExpiredTokenException" if self.refuses else PASSING[chance < 0.05]
            raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "GetRecords")  # type: ignore[typeddict-item]
        name, at = ShardIterator.split()
        found = self.kept[name][int(at) : int(at) + most]
        reached = int(at) + len(found)
        is_tip = reached == len(self.kept[name])
        goes_on = not is_tip or name in self.open or chance < 0.5
        return {"Records": [one.told() for one in found], "MillisBehindLatest": 0 if is_tip else 9} | (
            {"NextShardIterator": f"{name} {reached}"} if goes_on else {}
        )


class Bus:
    """A republisher: what is under way ends by chance, some of it late, and after a stop not at all."""

    bus_gone, unproven, in_flight, last_code = False, 0, 0, ""

    def __init__(self, dice: random.Random, published: list[str]) -> None:
        self._dice, self._published = dice, published
        self._waiting: list[Entry] = []
        self._stopped = False

    @property
    def has_room(self) -> bool:
        return not self._stopped and len(self._waiting) < 20

    def publish(self, entries: Iterable[Entry]) -> None:
        self._waiting += entries

    def turn(self, _: float) -> list[Outcome]:
        if self._stopped:
            return []
        ended = [
            one for one in self._waiting if self._dice.random() < (0.05 if one.event.event_id[-1] in "7f" else 0.6)
        ]
        self._waiting = [one for one in self._waiting if one not in ended]
        self._published += [one.event.event_id for one in ended]
        return [Outcome(one.event) for one in ended]

    def stop(self) -> None:
        self._stopped = True


def gone_on_with(said: str) -> tuple[Wish, Span] | None:
    """What the printed command asks for; None where none is printed."""
    lines = [line for line in said.splitlines() if line.startswith("go on with: stream-router replay ")]
    if not lines:
        return None
    words = shlex.split(lines[0])[5:]
    pairs = list(zip(words[::2], words[1::2], strict=True))
    wish = WISH._replace(ids=[value for name, value in pairs if name == "--id"])
    return wish, session.span_of(dict(pairs)["--since"], dict(pairs)["--until"], NOW_MS)


class Part:
    """One command of a replay, in virtual time: at which wait of its readers it is broken off (0: never), and how."""

    def __init__(self, kinesis: Kinesis, dice: random.Random, breaks_at: int) -> None:
        self._kinesis, self._dice, self._left = kinesis, dice, breaks_at
        self._by_ctrl_c = dice.random() < 0.5
        self._now = 0.0
        self.stops = Stops()

    def reads(self, _clients: object, _stream: object, stop: threading.Event) -> PoliteReads:
        """In place of `session`'s own."""
        kinesis: Any = self._kinesis
        return PoliteReads(Means(kinesis, "s", lambda: self._now, lambda s: self._wait(s, stop), self._dice.random))

    def _wait(self, seconds: float, stop: threading.Event) -> bool:
        self._now += seconds
        self._left -= 1
        if not self._left and self._by_ctrl_c:
            self.stops._ask()
        elif not self._left:
            self._kinesis.refuses = True
        return stop.is_set()


@pytest.mark.parametrize("seed", range(30))
def test_a_replay_that_is_broken_off_anywhere_is_gone_on_with_to_its_end(
    seed: int, monkeypatch: pytest.MonkeyPatch, settings: Consumer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every event of the span that a checkpoint has passed, and no other; twice only after a break; 0 at the end."""
    dice = random.Random(seed)
    kinesis, published = Kinesis(dice), list[str]()
    bounds = kinesis.bounds()
    since_ms = NOW_MS - dice.randint(10, 65) * MINUTE_MS
    span = Span(since_ms, min(NOW_MS, since_ms + dice.randint(1, 60) * MINUTE_MS))
    wanted = {
        one.event_id
        for name, kept in kinesis.kept.items()
        for one in kept
        if span.holds(one.arrived_at_ms) and Position(one.number, 0) <= bounds[name]
    }
    wish, stream = WISH, Stream("s", "arn", kinesis.shards, 0)
    if dice.random() < 0.3 and wanted:
        wanted = set(dice.sample(sorted(wanted), min(3, len(wanted))))
        wish = wish._replace(ids=sorted(wanted))

    monkeypatch.setattr(Connection, "republisher", lambda *_: Bus(dice, published))
    monkeypatch.setattr(replay, "Connection", Connection)
    monkeypatch.setattr(preconditions, "look", lambda *_: preconditions.Verdict([], []))
    monkeypatch.setattr(estimate, "incoming_bytes", lambda *_: None)
    clients: Any = SimpleNamespace(cloudwatch=None)
    whole = True
    for breaks_at in [*(dice.randint(1, 60) for _ in range(8)), 0]:
        part, kinesis.refuses = Part(kinesis, dice, breaks_at), False
        monkeypatch.setattr(session, "_reads", part.reads)
        status = replay.Replay(settings, wish, span, stream, "replay/1").run(clients, part.stops, dict(bounds))
        if (more := gone_on_with(capsys.readouterr().out)) is None:
            break
        assert status == replay.NOT_ALL
        (wish, span), whole = more, False
    assert status == replay.DONE
    assert set(published) == wanted
    if whole:
        assert len(published) == len(wanted)

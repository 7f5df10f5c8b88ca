"""Events in an open loop: each is due at its own time, whatever the child does; the ledger says when it was accepted.

A shard here is a daemon that hands over what is due, a stream that remembers, and a child that may be killed. The
driver also plays the supervisor: it writes a proof of the bus every five seconds.
"""

import base64
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.background import Background
from tests.daemon import FIRST_SEQUENCE, Child, prove
from tests.fakeaws.process import FakeAwsProcess

TOOK = ("accepted", "accepted_then_dropped")
HAND_OVER_EVERY_S = 0.02
MAX_RECORDS = 2000
PROOF_EVERY_S = 5.0
UNANSWERED_LIMIT_S = 65.0
"""How long a bus that cannot be asked stays so: nobody but the supervisor asks it, and so it must answer in the end."""

SICK = '"sick":true'
"""What the ledger's plan looks for in an entry that is never to be accepted."""

SICK_RULE: dict[str, Any] = {
    "operation": "PutEvents",
    "fault": "entry_error",
    "code": "InternalFailure",
    "where": SICK,
}


class Due(NamedTuple):
    """One event: its number, and when it is due (seconds since the start)."""

    number: int
    at_s: float
    sick: bool = False
    conversation: str = "c0"


def steady(rate: float, seconds: float, sick_every: int = 0, conversations: int = 0, first: int = 0) -> list[Due]:
    """Events at an even rate. One in `sick_every` is sick; they belong to so many conversations in turn."""
    return [
        Due(
            first + n, n / rate, bool(sick_every) and n % sick_every == sick_every // 2, f"c{n % max(1, conversations)}"
        )
        for n in range(int(rate * seconds))
    ]


def then_company(events: list[Due], seconds: float = 50.0) -> list[Due]:
    """The same, and one event a second afterwards: without others nobody could tell whose trouble a failure is."""
    last = events[-1]
    more = [Due(last.number + 1 + n, last.at_s + 1.0 + n, conversation="company") for n in range(int(seconds))]
    return [*events, *more]


def data_of(due: Due, received_ms: int) -> bytes:
    """The envelope, as the receiver seals it."""
    sick = f",{SICK}" if due.sick else ""
    body = (
        f'{{"interactionId":"i-{due.number}","conversationId":"{due.conversation}","eventType":"interaction.created",'
        f'"timestamp":"2026-11-24T09:30:00.123Z","payload":{{"number":{due.number},"queue":"S\u00fcd"{sick}}}}}'
    )
    return f'{{"v":1,"id":"{due.number:032x}","idFrom":"delivery","receivedAt":{received_ms},"body":{body}}}'.encode()


class Watched(Child):
    """A child whose checkpoints are kept with the moment (epoch ms) at which each was asked for."""

    def __init__(self, endpoint: str, state_dir: Path, **environment: str) -> None:
        self.asked_for: list[tuple[float, int]] = []
        super().__init__(endpoint, state_dir, **environment)

    def _answer(self, message: dict[str, Any]) -> None:
        assert message["sequenceNumber"] is not None
        self.asked_for.append((time.time() * 1000, int(message["sequenceNumber"]) - FIRST_SEQUENCE))
        super()._answer(message)


class Killed(NamedTuple):
    """One kill: when (epoch ms)."""

    at_ms: float


class ShardRun:
    """One shard under an open loop. Record n of its stream holds the n-th event, from 1 on."""

    def __init__(self, url: str, folder: Path, shard: str, events: list[Due], **environment: str) -> None:
        self.events = events
        self.kills: list[Killed] = []
        self.checkpoints: list[tuple[float, int]] = []
        self.rss_kb = 0
        self.answers_within_s = 60.0
        """How long the child may take for a batch: while the bus accepts nothing it answers none."""
        self._url, self._folder, self._environment = url, folder, environment
        self._shard = shard
        self._records: list[dict[str, Any]] = []
        self.due_ms: list[float] = []
        self._due = 0
        self.failure: BaseException | None = None

    def run(self, begun: float, begun_ms: float, lives_s: Iterable[float], settle_s: float) -> None:
        """Hand events over as they fall due; each child of `lives_s` is killed so long after it took the shard up."""
        kills = [*lives_s]
        try:
            while True:
                with Watched(self._url, self._folder, **self._environment) as child:
                    self._take_up(child)
                    ended = self._live(child, begun, begun_ms, kills, settle_s)
                    self.checkpoints += child.asked_for
                    if ended:
                        return
        except BaseException as error:  # noqa: BLE001 - it is a thread's; the test raises it
            self.failure = error

    @property
    def checkpointed(self) -> int:
        """The record up to which this shard is done."""
        return self.checkpoints[-1][1] if self.checkpoints else 0

    def _take_up(self, child: Watched) -> None:
        self._at = self.checkpointed
        child.sequence = FIRST_SEQUENCE + self._at
        child.initialize(str(child.sequence) if self._at else "TRIM_HORIZON", self._shard)

    def _live(self, child: Watched, begun: float, begun_ms: float, kills: list[float], settle_s: float) -> bool:
        """True where everything is settled; False after a kill."""
        until = begun + (self.events[-1].at_s if self.events else 0.0) + settle_s
        dies_at = max(begun, time.monotonic()) - begun + kills[0] if kills else float("inf")
        while True:
            now = time.monotonic() - begun
            if now >= dies_at:
                kills.pop(0)
                child.process.kill()
                self.kills.append(Killed(time.time() * 1000))
                child.process.wait()
                return False
            self._fall_due(now, begun_ms)
            batch = self._records[self._at : self._at + MAX_RECORDS]
            self._at += len(batch)
            child.begin(batch)
            child.done("processRecords", self.answers_within_s)
            child.sequence = FIRST_SEQUENCE + self._at
            with contextlib.suppress(OSError):
                self.rss_kb = max(self.rss_kb, _peak_kb(child.process.pid))
            if self._due == len(self.events) and child.asked_for and child.asked_for[-1][1] == len(self.events):
                child.say("shutdownRequested")
                return True
            assert time.monotonic() < until, f"not settled: {child.asked_for[-1:]} of {len(self.events)}"
            # The next is handed over when it is there; an empty call comes four times a second.
            following = self.events[self._due].at_s if self._due < len(self.events) else now + 0.25
            wait = following - (time.monotonic() - begun)
            if self._at == len(self._records):
                time.sleep(max(HAND_OVER_EVERY_S, min(0.25, wait)))

    def _fall_due(self, now: float, begun_ms: float) -> None:
        while self._due < len(self.events) and self.events[self._due].at_s <= now:
            due = self.events[self._due]
            at_ms = begun_ms + due.at_s * 1000
            self._due += 1
            self.due_ms.append(at_ms)
            self._records.append(
                {
                    "action": "record",
                    "data": base64.b64encode(data_of(due, int(at_ms))).decode(),
                    "partitionKey": "bucket-1",
                    "sequenceNumber": str(FIRST_SEQUENCE + self._due),
                    "subSequenceNumber": 0,
                    "approximateArrivalTimestamp": int(at_ms),
                }
            )


def _peak_kb(pid: int) -> int:
    """The most memory that the process ever had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return 0


class Supervisor(Background):
    """Writes the target report as the supervisor does, until closed; without `proves` not before UNANSWERED_LIMIT_S."""

    def __init__(self, folder: Path, *, proves: bool = True) -> None:
        self._folder, self._proves = folder, proves
        super().__init__()

    def run(self) -> None:
        begun = time.monotonic()
        prove(self._folder, ahead_s=0.0)
        while not self.stopped.wait(PROOF_EVERY_S):
            if self._proves or time.monotonic() - begun > UNANSWERED_LIMIT_S:
                prove(self._folder, ahead_s=0.0)
            else:
                prove(self._folder, proven_s=begun, unanswered=True)


class Freeze(NamedTuple):
    """A stop of the fake AWS: it takes requests and answers none from `from_s` on for `seconds`, then answers all."""

    from_s: float
    seconds: float

    def begin(self, pid: int, delay_s: float) -> list[threading.Timer]:
        """Stop the process and let it go on, at these times from `delay_s` on; cancel the timers afterwards."""
        moments = {signal.SIGSTOP: self.from_s, signal.SIGCONT: self.from_s + self.seconds}
        timers = [threading.Timer(delay_s + at_s, os.kill, (pid, sent)) for sent, at_s in moments.items()]
        for timer in timers:
            timer.start()
        return timers


class Outcome:
    """What the ledger says of the events of a run. Times are epoch ms."""

    def __init__(self, fake_aws: FakeAwsProcess, shards: list[ShardRun]) -> None:
        self.due = {event.number: at for shard in shards for event, at in zip(shard.events, shard.due_ms, strict=True)}
        self.sick = {event.number for shard in shards for event in shard.events if event.sick}
        self.accepted: dict[int, list[float]] = {}
        self.failed: dict[int, list[float]] = {}
        self.dead: dict[int, tuple[float, str]] = {}
        for line in fake_aws.lines():
            if line["operation"].startswith("PutEvents") and line["index"] >= 0 and "eventId" in line:
                number = int(line["eventId"], 16)
                if line["verdict"] in TOOK:
                    self.accepted.setdefault(number, []).append(line["time"])
                elif line["verdict"] == "refused":
                    self.failed.setdefault(number, []).append(line["time"])
            elif line["operation"] == "SendMessageBatch" and line["verdict"] in TOOK:
                self.dead.setdefault(int(line["eventId"], 16), (line["time"], line["note"]))

    @property
    def lost(self) -> set[int]:
        return self.due.keys() - self.accepted.keys() - self.dead.keys()

    @property
    def twice(self) -> int:
        """Acceptances beyond the first."""
        return sum(len(times) - 1 for times in self.accepted.values())

    def p99_ms(self, which: Callable[[int], bool] = lambda _: True) -> float:
        """From due to accepted, of those that were."""
        result = sorted(times[0] - self.due[n] for n, times in self.accepted.items() if n in self.due and which(n))
        return result[int(len(result) * 0.99)]

    def seconds_without(self, begun_ms: float, seconds: float) -> list[int]:
        """The seconds of the run, from the first delivery on (a child takes a while to start), without one."""
        seen = {int((times[0] - begun_ms) // 1000) for times in self.accepted.values()}
        return [second for second in range(min(seen), int(seconds)) if second not in seen]

    def buried_after_s(self, since_ms: float = 0.0) -> list[float]:
        """Seconds from each sick entry's first failure after `since_ms` to its dead letter; every one must have one."""
        assert self.dead.keys() == self.sick, (len(self.dead), len(self.sick))
        assert {why for _, why in self.dead.values()} <= {"retries_exhausted"}
        first = {number: min(at for at in self.failed[number] if at >= since_ms) for number in self.dead}
        return sorted((at - first[number]) / 1000 for number, (at, _) in self.dead.items())

    def check_checkpoints(self, shard: ShardRun, least: int = 3) -> None:
        """None was asked for past a record that was not settled then, and there were that many at least."""
        settled_at, latest = [0.0], 0.0
        for event in shard.events:
            result = [*self.accepted.get(event.number, [])[:1]]
            if event.number in self.dead:
                result.append(self.dead[event.number][0])
            assert result, f"event {event.number} is lost"
            latest = max(latest, min(result))
            settled_at.append(latest)
        assert len(shard.checkpoints) >= least, f"only {len(shard.checkpoints)} checkpoints"
        for asked_ms, record in shard.checkpoints:
            assert settled_at[record] <= asked_ms + 1, f"checkpoint {record} is past an unsettled record"


class Run(NamedTuple):
    """A run that ended."""

    outcome: Outcome
    shards: list[ShardRun]
    begun_ms: float


def run(
    folder: Path,
    streams: list[list[Due]],
    rules: list[dict[str, Any]],
    *,
    lives_s: Iterable[float] = (),
    settle_s: float = 120.0,
    proves: bool = True,
    settings: dict[str, str] | None = None,
    freeze: Freeze | None = None,
) -> Run:
    """Each stream through a child of its own, all of one worker, with the shipped intervals. The ledger's account.

    `lives_s` are the lives of the first shard's children that are killed, from when each took the shard up. The fake
    AWS stands still as `freeze` says.
    """
    folder.mkdir()
    environment = {"STREAM_ROUTER_CHECKPOINT_S": "5", **(settings or {})}
    with FakeAwsProcess(folder / "ledger", {"rules": rules}, 7) as fake_aws, Supervisor(folder, proves=proves):
        shards = [
            ShardRun(fake_aws.url, folder, f"shardId-{n:012d}", events, **environment)
            for n, events in enumerate(streams)
        ]
        # The children need a second to start; their events fall due after it.
        for shard in shards:
            shard.answers_within_s += freeze.seconds if freeze else 0.0
        begun, begun_ms = time.monotonic() + 2, (time.time() + 2) * 1000
        freezing = freeze.begin(fake_aws.pid, 2.0) if freeze else []
        threads = [
            threading.Thread(target=shard.run, args=(begun, begun_ms, [*lives_s] if not n else [], settle_s))
            for n, shard in enumerate(shards)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for timer in freezing:
            timer.cancel()
        os.kill(fake_aws.pid, signal.SIGCONT)
        if failures := [shard.failure for shard in shards if shard.failure]:
            raise failures[0]
        return Run(Outcome(fake_aws, shards), shards, begun_ms)

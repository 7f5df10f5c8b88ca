"""Plays the daemon and the lease table to one shard from its first event to its end, and judges what became of all."""

import base64
import contextlib
import hashlib
import itertools
from pathlib import Path
from typing import Any, NamedTuple

from stream_router.consumer.child.checkpoints import IntendedExitError
from tests.child_life import KilledError
from tests.simulation.child import Child
from tests.simulation.scenario import Kind, Planned, Scenario, planned
from tests.simulation.world import Outside, kinds_of, others_were_well

START_S = 1_000.0
FIRST_SEQUENCE = 10_000
COMPANY_EVERY_S = 5.0
COMPANY = 60
"""Good events that come so often once the stream is over, and some for each that has failed and is not settled: 90 %
of the others must be accepted for the sick to be told from an outage, so there must be many more of them."""

COMPANY_OF_EACH = 15

REASONS = {
    Kind.SICK: {"retries_exhausted"},
    Kind.POISON: {"refused"},
    Kind.KILLER: set(),
    Kind.MALFORMED: {"schema_mismatch", "malformed_json"},
    Kind.UNROUTABLE: {"unroutable"},
    Kind.REFUSED: {"refused"},
    Kind.LARGE: {"oversize"},
    Kind.MALFORMED_LARGE: {"schema_mismatch", "malformed_json"},
}
HAND_OVER_WITHIN_S = 30.0
REFUTED_WITHIN_S = 60.0
"""By then a child has left that is told of an end which is none; a slow checkpoint may come between."""


class Verdict(NamedTuple):
    """A run that broke no promise, in numbers. `trace` is a digest of everything that happened."""

    events: int
    accepted: int
    dead: int
    twice: int
    lives: int
    simulated_s: float
    bitten: dict[str, int]
    trace: str


class ShardRun:
    """One scenario from its first event to the shard's end. Raises AssertionError where a promise is broken."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.outside = Outside(scenario, START_S)
        self.hosts = [folder / "here", folder / "there"]
        """The state folders: the first one's host has the lease."""
        self.now = START_S
        self.other_host = False
        self.kinds = kinds_of(scenario.events)
        self.unsettled = [*self.kinds]
        """Of the stream's events, those that were not settled when last looked at."""
        self.records: list[tuple[float, list[Planned]]] = []
        self.settled_to = 0
        self.taken = ("TRIM_HORIZON", 0)
        self.at = self.begun_at = 0
        self.ended = self.lease_is_ours = False
        self.ends = [*scenario.ends]
        self.trace = hashlib.sha256()
        odd = scenario.odd
        self._goes_through = {Kind.GOOD} | ({Kind.LARGE} if odd.has_bucket else set())
        self._goes_through |= {Kind.UNROUTABLE} if odd.unroutable == "publish" else set()
        # What is refused alone, for its content, looks like an outage until others are accepted.
        self._may_give_up = odd.gives_up and bool(scenario.faults or Kind.POISON in self.kinds.values())
        self._dropped = {Kind.DROPPED} | ({Kind.UNROUTABLE} if odd.unroutable == "drop" else set())
        self._cut(scenario.events)

    def _cut(self, events: list[Planned]) -> None:
        """Group events into records, each there when its last event is."""
        step = self.scenario.per_record
        for at in range(0, len(events), step):
            group = events[at : at + step]
            self.records.append((START_S + group[-1].at_s, group))

    def run(self) -> Verdict:
        """To the shard's end."""
        while not self.ended:
            self.outside.life += 1
            self._one_life()
            assert self.outside.life < 60, "the child never gets through"
        return self._judge()

    def _one_life(self) -> None:
        self.lease_is_ours = self.outside.is_open = True
        if self.outside.life == 1 or self.other_host:
            self.now = self.outside.new_supervisor(self.now)
        child = Child(self.outside, self.now, self.hosts[0], self.taken, self.kinds, self._take)
        self.at = 0 if self.taken[0] == "TRIM_HORIZON" else int(self.taken[0]) - FIRST_SEQUENCE + 1
        self.begun_at = self.at
        at, kind = self.ends.pop(0) if self.ends else (float("inf"), "")
        ends_at = max(START_S + at, self.now + 0.5)
        if kind == "kill":
            child.dies_at = ends_at
        elif kind == "stop":
            child.told_at = ends_at
        with contextlib.suppress(KilledError, IntendedExitError):
            self._live(child, ends_at, kind)
        self.outside.life += 1  # whatever the old process still starts is a violation
        self.now = child.world.now + self.outside.dice.uniform(1, 10)
        self.other_host = self.scenario.odd.moves and self.outside.dice.random() < 0.5
        if self.other_host:
            self.hosts.reverse()

    def _live(self, child: Child, ends_at: float, label: str) -> None:
        while True:
            now = child.world.now
            if now >= ends_at or child.leaves:
                self._end(child, label if now >= ends_at else "stop")
                return
            due = self.at
            while due < len(self.records) and self.records[due][0] <= now and due - self.at < 2_000:
                due += 1
            waiting = child.router.backlog
            child.hear("processRecords", records=self._handed(self.at, due), millisBehindLatest=0)
            self.at = due
            if due == len(self.records) and self._may_end(child):
                self.outside.is_open = False
                child.hear("shardEnded")
                self.ended = True
                return
            self._send_company(child, waiting)
            child.rest(min(child.world.now + self.scenario.poll_s, max(child.world.now, ends_at)))

    def _end(self, child: Child, label: str) -> None:
        """The daemon ends this child's work, as the KCL does for each reason."""
        asked = child.world.now
        if label == "lease lost":
            self.lease_is_ours = False
            child.hear(
                "processRecords", records=self._handed(self.at, min(len(self.records), self.at)), millisBehindLatest=0
            )
            child.hear("leaseLost")
            return
        if label == "again" and self.at > self.begun_at:
            child.hear("processRecords", records=self._handed(self.at - 1, self.at), millisBehindLatest=0)
            raise AssertionError("the child took records a second time")
        if label == "untrue end":
            self._end_untruly(child)
        child.hear("shutdownRequested")
        assert child.world.now - asked <= HAND_OVER_WITHIN_S + 20.0, "the hand-off came too late"

    def _end_untruly(self, child: Child) -> None:
        child.dies_at = child.world.now + REFUTED_WITHIN_S
        try:
            child.hear("shardEnded")
        except KilledError:
            raise AssertionError("an open shard is read by nobody") from None
        raise AssertionError("an open shard was ended")

    def _may_end(self, child: Child) -> bool:
        """The faults are over, and so is everything: nothing waits for company any more."""
        if child.world.now < START_S + self.scenario.healed_s:
            return False
        late_s = child.world.now - START_S - self.scenario.healed_s
        assert child.world.now < self.outside.drained_by, (
            f"{child.router.backlog} under way {late_s:.0f} s after the last fault"
        )
        return not child.router.backlog

    def _send_company(self, child: Child, waiting: int) -> None:
        """Once the stream is over an event comes now and then: else nothing tells who is to blame for a failure.

        `waiting` were under way before the last batch came, which may be company itself.
        """
        now = child.world.now
        if now < self.records[-1][0] + COMPANY_EVERY_S:
            return
        self.unsettled = [event_id for event_id in self.unsettled if not self.outside.is_settled(event_id)]
        # What was buried already may have come again, and needs company too.
        if self.unsettled or waiting:
            first, failed = len(self.kinds), sum(map(self.outside.has_failed, self.unsettled))
            numbers = range(first, first + COMPANY + COMPANY_OF_EACH * failed)
            events = [planned(n, now - START_S, Kind.GOOD, f"company-{n}") for n in numbers]
            self.kinds |= kinds_of(events)
            self.records += [(now, events[at : at + COMPANY]) for at in range(0, len(events), COMPANY)]

    def _handed(self, first: int, end: int) -> list[dict[str, Any]]:
        return [
            {
                "data": base64.b64encode(data).decode(),
                "sequenceNumber": str(FIRST_SEQUENCE + first + n),
                "subSequenceNumber": sub,
                "approximateArrivalTimestamp": int(at * 1000),
            }
            for n, (at, events) in enumerate(self.records[first:end])
            for sub, data in enumerate(self._data_of(events))
        ]

    def _data_of(self, events: list[Planned]) -> list[bytes]:
        """The records that the KCL makes of one of the stream's."""
        lines = [event.data for event in events]
        return lines if self.scenario.odd.aggregated else [b"\n".join(lines)]

    def _take(self, sequence: str | None, sub_sequence: int | None, asked: float) -> str | None:
        """The lease table's answer to a checkpoint: an error's name, or None."""
        if not self.lease_is_ours:
            return "ShutdownException"
        if self.outside.fault(asked, "table throttled"):
            return "ThrottlingException"
        position = len(self.records) if sequence is None else int(sequence) - FIRST_SEQUENCE + 1
        for _, events in self.records[self.settled_to : position]:
            for event in events:
                assert self.outside.is_settled(f"{event.number:032x}"), f"checkpoint past event {event.number}"
        assert position >= self.settled_to, "the checkpoint went back"
        self.settled_to = position
        if sequence is not None:
            last = len(self._data_of(self.records[position - 1][1])) - 1
            assert sub_sequence == last, "a checkpoint stands within an aggregated record"
            self.taken = (sequence, sub_sequence)
        self.trace.update(f"{asked:.6f} {sequence}\n".encode())
        return None

    # The judgement.

    def _judge(self) -> Verdict:
        outside = self.outside
        for event_id, kind in self.kinds.items():
            assert outside.is_settled(event_id), f"event {int(event_id, 16)} is lost"
            self._judge_one(event_id, kind)
        self._judge_order()
        for at, life, event_id in outside.order:
            self.trace.update(f"{at} {life} {event_id}\n".encode())
        twice = sum(len(times) - 1 for times in outside.accepted.values())
        lives = (outside.life + 1) // 2
        simulated = self.now - START_S
        digest = self.trace.hexdigest()
        numbers = (len(self.kinds), len(outside.accepted), len(outside.dead))
        return Verdict(*numbers, twice, lives, simulated, outside.bitten, digest)

    def _judge_one(self, event_id: str, kind: Kind) -> None:
        """It ended where its kind ends, and each copy beyond the first has a cause."""
        outside, number = self.outside, int(event_id, 16)
        accepted, dead = outside.accepted.get(event_id, []), outside.dead.get(event_id)
        if kind in self._goes_through:
            if dead:
                at, reason = dead
                charged = reason == "crashed" and [subject for _, subject in self.scenario.ends].count("kill") >= 2
                may = charged or (reason == "retries_exhausted" and others_were_well(outside, event_id, at))
                may = may or (reason == "outage" and self._may_give_up)
                assert may or accepted, f"good event {number} is a dead letter: {reason}"
        elif event_id not in outside.dropped:
            assert not accepted, f"event {number} ({kind.value}) was accepted"
            assert dead
            may_be = REASONS[kind] | {"crashed"} | ({"outage"} if self._may_give_up else set())
            assert dead[1] in may_be, f"event {number} ({kind.value}) is dead: {dead[1]}"
        assert (event_id in outside.dropped) is (kind in self._dropped), f"event {number} was dropped, or was not"
        for (_, life, is_answered), (_, next_life, _) in itertools.pairwise(accepted):
            assert next_life != life or not is_answered, f"event {number} was sent again though it was accepted"

    def _judge_order(self) -> None:
        """Within a child's life a conversation is accepted first in the stream's order."""
        if not self.scenario.ordered:
            return
        latest: dict[tuple[int, str], int] = {}
        seen: set[tuple[int, str]] = set()
        for life, conversation, event_id in self.outside.order:
            if (life, event_id) in seen or not conversation:
                continue
            seen.add((life, event_id))
            number = int(event_id, 16)
            assert latest.get((life, conversation), -1) < number, f"event {number} overtook in {conversation}"
            latest[life, conversation] = number

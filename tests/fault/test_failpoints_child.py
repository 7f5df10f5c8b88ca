"""The child at each of its failpoints: killed there nothing is lost, stalled there nobody else waits."""

import base64
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stream_router.telemetry.audit import verify
from tests.daemon import FIRST_SEQUENCE, Child, close_shard, envelope, prove
from tests.fakeaws.process import FakeAwsProcess

RECORDS, LINES, BATCH = 60, 10, 10
LARGE_IN = 25
"""The record whose first event no call can carry: its payload goes to the bucket."""

EVENTS = range(LINES, LINES * (RECORDS + 1))
SHARD = "shardId-000000000000"
TOOK = {"accepted", "accepted_then_dropped", "deduplicated"}
SLOW = {"rules": [{"operation": "PutEvents", "fault": "delay", "ms": 300}]}
"""Else nothing is under way any more when a checkpoint is due, and one that passes what is would be true by luck."""

STALL_S = 3.0
NEIGHBOUR_WITHIN_S = 1.5
"""What another shard's batch may take while this one stands still: far less than the stall, much more than it needs."""


class Plan(NamedTuple):
    """How a child comes to a place: which time counts, and with what the daemon ends the shard's life here."""

    nth: int = 2
    end: str = "shutdownRequested"


PLACES = {
    "batch_taken_before_opened": Plan(),
    "after_accept_before_settle": Plan(),
    "after_settle_before_checkpoint": Plan(),
    "checkpoint_sent_before_reply": Plan(),
    "processed_before_answer": Plan(),
    "before_dead_letter_sent": Plan(),
    "dead_letter_stored_before_settled": Plan(),
    "claim_check_stored_before_entry_sent": Plan(nth=1),
    "audit_record_written": Plan(),
    "state_file_written_before_rename": Plan(nth=2),
    "in_shard_end": Plan(1, "shardEnded"),
    "in_lease_lost": Plan(1, "leaseLost"),
    "in_shutdown_requested": Plan(1),
}


def line(number: int) -> bytes:
    """One event in a hundred has a type that nothing routes, one is too large for a call."""
    if number == LARGE_IN * LINES:
        return envelope(number, payload={"text": "x" * 1_040_000})
    return envelope(number, **({"eventType": "unheard.of"} if number % 100 == 7 else {}))


def event_of(line: dict[str, Any]) -> int:
    """The number of the event of a ledger line; a letter is known by the envelope that it carries."""
    if line["operation"] != "SendMessageBatch":
        return int(line["eventId"], 16)
    letter = json.loads(line["payload"])
    return int(json.loads(base64.b64decode(letter["record"]["data"]))["id"], 16)


class WatchedChild(Child):
    """A child whose every checkpoint is held against the ledger at the instant at which it is asked for.

    The bare one, at the shard's end, stands for the last record.
    """

    lives: "Lives"

    def _answer(self, message: dict[str, Any]) -> None:
        sequence = message["sequenceNumber"]
        record = int(sequence) - FIRST_SEQUENCE if sequence else RECORDS
        missing = set(range(LINES, LINES * (record + 1))) - self.lives.took().keys()
        assert not missing, f"checkpoint {record} is past {sorted(missing)[:5]}"
        super()._answer(message)

    def last_checkpoint(self) -> int:
        """The record that its last checkpoint names."""
        named = [sequence for sequence, _ in self.checkpoints if sequence]
        return int(named[-1]) - FIRST_SEQUENCE if named else 0


class Lives:
    """One shard's children, one after the other, over one folder; what the bus and the queue took of them."""

    def __init__(self, fake_aws: FakeAwsProcess, folder: Path) -> None:
        self.fake_aws = fake_aws
        self.folder = folder
        self.datas = [b"\n".join(map(line, range(LINES * at, LINES * (at + 1)))) for at in range(1, RECORDS + 1)]
        prove(folder)

    def child(self, failpoints: str = "", done: int = 0) -> WatchedChild:
        """A child that goes on after record `done`."""
        armed = {"STREAM_ROUTER_FAILPOINTS": failpoints} if failpoints else {}
        own = {"STREAM_ROUTER_AUDIT_DIR": str(self.folder / "audit"), "STREAM_ROUTER_OFFLOAD_BUCKET": "bucket"}
        watched_child = WatchedChild(self.fake_aws.url, self.folder, **own, **armed)
        watched_child.lives = self
        watched_child.sequence = FIRST_SEQUENCE + done
        watched_child.initialize(str(FIRST_SEQUENCE + done) if done else "TRIM_HORIZON", SHARD)
        return watched_child

    def live(self, child: WatchedChild, done: int, end: str) -> None:
        """From the record after `done` to the end, all settled and checkpointed. Raises EOFError where it dies."""
        for at in range(done, RECORDS, BATCH):
            child.process_batch(self.datas[at : at + BATCH])
            if at % (2 * BATCH):
                child.settle()
        if end == "shardEnded":
            close_shard(self.fake_aws.url)
        child.say(end)

    def took(self) -> Counter[int]:
        """How often each event was accepted, as an entry or as a letter."""
        lines = [*self.fake_aws.lines("PutEvents"), *self.fake_aws.lines("SendMessageBatch")]
        return Counter(event_of(line) for line in lines if line["verdict"] in TOOK)

    def notes(self) -> set[str]:
        """Why there are letters."""
        return {line["note"] for line in self.fake_aws.lines("SendMessageBatch") if line["verdict"] in TOOK}


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    with FakeAwsProcess(tmp_path / "ledger", SLOW, 5, "--payloads") as fake_aws:
        yield Lives(fake_aws, tmp_path)


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_a_place_nothing_is_lost(lives: Lives, tmp_path: Path, place: str) -> None:
    """The next child brings all to its end; what comes twice was above the last checkpoint, which was true."""
    plan = PLACES[place]
    with lives.child(f"{place}=kill@{plan.nth}") as first:
        with pytest.raises(EOFError):
            lives.live(first, 0, plan.end)
        assert first.process.wait(10) == -signal.SIGKILL
        done = first.last_checkpoint()
    assert f"failpoint {place}, time {plan.nth}" in (tmp_path / "stderr").read_text()
    end = "shutdownRequested" if plan.end == "leaseLost" else plan.end
    with lives.child(done=done) as second:
        lives.live(second, done, end) if done < RECORDS else second.say(end)
        if plan.end == "shardEnded":
            assert second.checkpoints[-1][0] is None, "the shard's end is checkpointed, bare"
        assert second.hang_up() == 0
    took = lives.took()
    assert took.keys() == set(EVENTS)
    twice = [number for number, count in took.items() if count > 1]
    assert all(number >= LINES * (done + 1) for number in twice), "a copy below the checkpoint"
    assert lives.notes() == {"unroutable"}, "nothing is taken for a culprit"
    audit = tmp_path / "audit" / f"cxone-event-router.{SHARD}.jsonl"
    assert not verify(audit, None).problem, "the audit chain goes on over the kill"


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES)
def test_stalled_at_a_place_nobody_else_waits(lives: Lives, tmp_path: Path, place: str) -> None:
    """The shard goes on afterwards without a copy; another shard's child, over the same folder, goes on meanwhile."""
    plan = PLACES[place]
    with (
        Child(lives.fake_aws.url, tmp_path) as neighbour,
        lives.child(f"{place}=stall:{STALL_S}s@{plan.nth}") as stalled,
    ):
        neighbour.initialize(shard="shardId-000000000001")
        thread = threading.Thread(target=lives.live, args=(stalled, 0, plan.end))
        thread.start()
        _until_said(tmp_path / "stderr", f"failpoint {place}")
        begun = time.monotonic()
        neighbour.process_batch([envelope(10**6 + n) for n in range(50)])
        neighbour.settle()
        took_s = time.monotonic() - begun
        assert thread.is_alive() or plan.end == "leaseLost", "the stall was over before the neighbour was asked"
        thread.join(60)
        assert took_s < NEIGHBOUR_WITHIN_S
        assert stalled.hang_up() == 0
    took = lives.took()
    assert {number for number in took if number < 10**6} == set(EVENTS)
    assert set(took.values()) == {1}
    assert lives.notes() == {"unroutable"}


def _until_said(file: Path, text: str) -> None:
    until = time.monotonic() + 30
    while text not in file.read_text():
        assert time.monotonic() < until, f"never came to: {text}"
        time.sleep(0.02)

"""A child that is killed or stalled at one place, and the child after it: what the driver and the ledger saw."""

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.daemon import FIRST_SEQUENCE, Child, close_shard, envelope, prove
from tests.fakeaws.process import FakeAwsProcess

RECORDS, LINES, BATCH = 60, 10, 10
LARGE_IN = 25
"""The record whose first event no call can carry: its payload goes to the bucket."""

SHARD = "shardId-000000000000"
TOOK = {"accepted", "accepted_then_dropped", "deduplicated"}


def event_of(line: dict[str, Any]) -> int:
    """The number of the event of a ledger line; a letter is known by the envelope that it carries."""
    if line["operation"] != "SendMessageBatch":
        return int(line["eventId"], 16)
    letter = json.loads(line["payload"])
    return int(json.loads(base64.b64decode(letter["record"]["data"]))["id"], 16)


class WatchedChild(Child):
    """A child whose every checkpoint is held against the ledger at the instant at which it is asked for."""

    settled: "Settled"

    def _answer(self, message: dict[str, Any]) -> None:
        sequence = message["sequenceNumber"]
        assert sequence is not None, "the bare checkpoint belongs to a shard's end"
        self.settled.check_up_to(int(sequence) - FIRST_SEQUENCE)
        super()._answer(message)


class Settled:
    """What the ledger says is delivered or dead, of a stream whose record n holds the events 10n … 10n+9."""

    def __init__(self, fake_aws: FakeAwsProcess, records: int) -> None:
        self._fake_aws = fake_aws
        self.records = records
        self.checked = 0

    def events(self) -> set[int]:
        found = [*self._fake_aws.lines("PutEvents"), *self._fake_aws.lines("SendMessageBatch")]
        return {event_of(line) for line in found if line["verdict"] in TOOK}

    def check_up_to(self, record: int) -> None:
        """Records 1 … `record` hold no unsettled event."""
        missing = set(range(LINES, LINES * (record + 1))) - self.events()
        assert not missing, f"checkpoint {record} is past {sorted(missing)[:5]}"
        self.checked += 1


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


def stream() -> list[bytes]:
    """Records of ten events; one event in a hundred has a type that nothing routes, one is too large for a call."""
    return [b"\n".join(_line(number) for number in range(LINES * at, LINES * (at + 1))) for at in range(1, RECORDS + 1)]


def _line(number: int) -> bytes:
    if number == LARGE_IN * LINES:
        return envelope(number, payload={"text": "x" * 1_040_000})
    return envelope(number, **({"eventType": "unheard.of"} if number % 100 == 7 else {}))


class Ending(WatchedChild):
    """A child whose bare checkpoint, at the shard's end, stands for the last record."""

    def _answer(self, message: dict[str, Any]) -> None:
        if message["sequenceNumber"] is not None:
            super()._answer(message)
            return
        self.settled.check_up_to(RECORDS)
        Child._answer(self, message)


class Lives:
    """One shard's children, one after the other, over one folder. `place` is armed in the first one alone."""

    def __init__(self, fake_aws: FakeAwsProcess, folder: Path, shard: str = SHARD) -> None:
        self.fake_aws = fake_aws
        self.folder = folder
        self.shard = shard
        self.audit = folder / "audit"
        self.settled = Settled(fake_aws, RECORDS)
        self.datas = stream()
        prove(folder)

    def child(self, failpoints: str = "", done: int = 0, **settings: str) -> Ending:
        """A child that goes on after record `done`."""
        armed = {"STREAM_ROUTER_FAILPOINTS": failpoints} if failpoints else {}
        made = Ending(
            self.fake_aws.url,
            self.folder,
            STREAM_ROUTER_AUDIT_DIR=str(self.audit),
            STREAM_ROUTER_OFFLOAD_BUCKET="bucket",
            **armed,
            **settings,
        )
        made.settled = self.settled
        made.sequence = FIRST_SEQUENCE + done
        made.initialize(str(FIRST_SEQUENCE + done) if done else "TRIM_HORIZON", self.shard)
        return made

    def live(self, child: WatchedChild, done: int, end: str) -> None:
        """From the record after `done` to the end, all settled and checkpointed. Raises EOFError where it dies."""
        for at in range(done, RECORDS, BATCH):
            child.process_batch(self.datas[at : at + BATCH])
            if at % (2 * BATCH):
                child.settle()
        if end == "shardEnded":
            close_shard(self.fake_aws.url)
        child.say(end)

    def copies(self) -> set[int]:
        """The events that the bus took more than once, or that have more than one letter."""
        seen: set[int] = set()
        twice: set[int] = set()
        for number in self.took():
            (twice if number in seen else seen).add(number)
        return twice

    def took(self) -> list[int]:
        """The event of every entry and every letter that was accepted, in order."""
        lines = [*self.fake_aws.lines("PutEvents"), *self.fake_aws.lines("SendMessageBatch")]
        return [event_of(line) for line in lines if line["verdict"] in TOOK]

    def check_all_settled(self) -> None:
        """Every event of the stream is delivered or dead."""
        assert self.settled.events() == set(range(LINES, LINES * (RECORDS + 1)))


def last_checkpoint(child: WatchedChild) -> int:
    """The record that its last checkpoint names."""
    named = [sequence for sequence, _ in child.checkpoints if sequence]
    return int(named[-1]) - FIRST_SEQUENCE if named else 0


def letters(fake_aws: FakeAwsProcess) -> list[dict[str, Any]]:
    """The letters that were accepted."""
    return [line for line in fake_aws.lines("SendMessageBatch") if line["verdict"] in TOOK]

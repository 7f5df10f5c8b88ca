"""Kill -9 at random moments under a storm of faults: no event lost, no checkpoint past an unsettled record."""

import base64
import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import FIRST_SEQUENCE, Child, envelope, prove
from tests.fakeaws.process import FakeAwsProcess

LINES = 10
TOOK = {"accepted", "accepted_then_dropped", "deduplicated"}
FAULTS: list[dict[str, Any]] = [
    {"operation": "PutEvents", "fault": "entry_error", "code": "ThrottlingException", "rate": 0.1},
    {"operation": "PutEvents", "fault": "call_error", "code": "InternalException", "rate": 0.05},
    {"operation": "PutEvents", "fault": "reset", "rate": 0.03},
    {"operation": "PutEvents", "fault": "delay", "ms": 30},
    {"operation": "SendMessageBatch", "fault": "entry_error", "code": "InternalError", "rate": 0.2},
    {"operation": "SendMessageBatch", "fault": "delay", "ms": 30},
]


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


def stream(records: int) -> list[bytes]:
    """Records 1 … `records`; one event in a hundred has a type that nothing routes."""
    return [
        b"\n".join(
            envelope(number, **({"eventType": "unheard.of"} if number % 100 == 7 else {}))
            for number in range(LINES * record, LINES * (record + 1))
        )
        for record in range(1, records + 1)
    ]


def live(
    fake_aws: FakeAwsProcess, folder: Path, datas: list[bytes], settled: Settled, start: int, kill_after_s: float | None
) -> int:
    """One life of a child from the record after `start`; the record that its last checkpoint names."""
    with WatchedChild(fake_aws.url, folder) as child:
        child.settled = settled
        child.sequence = FIRST_SEQUENCE + start
        child.initialize(str(FIRST_SEQUENCE + start) if start else "TRIM_HORIZON")
        timer = threading.Timer(kill_after_s, child.process.kill) if kill_after_s else None
        if timer:
            timer.start()
        try:
            for at in range(start, len(datas), 25):
                child.process_batch(datas[at : at + 25])
            child.settle()
            child.say("shutdownRequested")
        except (EOFError, BrokenPipeError):
            assert timer, "the child ended by itself"
        finally:
            if timer:
                timer.cancel()
        last = child.checkpoints[-1][0] if child.checkpoints else None
    return int(last) - FIRST_SEQUENCE if last else start


def run(folder: Path, records: int, seed: int, kills: int) -> tuple[int, Settled, list[dict[str, Any]]]:
    """A stream of `records` through up to `kills` lives that are cut short, and a last one that is not."""
    dice = random.Random(seed)
    datas = stream(records)
    prove(folder)
    with FakeAwsProcess(folder / "ledger", {"rules": FAULTS}, seed, "--payloads") as fake_aws:
        settled = Settled(fake_aws, records)
        done, lives = 0, 0
        while done < records and lives < kills:
            lives += 1
            done = live(fake_aws, folder, datas, settled, done, dice.uniform(0.05, 1.5))
        if done < records:
            lives += 1
            done = live(fake_aws, folder, datas, settled, done, None)
        assert done == records
        assert settled.events() == set(range(LINES, LINES * (records + 1)))
        return lives, settled, fake_aws.lines()


def check_copies(lines: list[dict[str, Any]], lives: int) -> None:
    """Copies come from kills and from answers that nobody heard. Dead are poison, and what was at work in a death.

    After three deaths at one checkpoint, what is at work at two deaths in a row is taken for the culprit.
    """
    took = [line for line in lines if line["operation"] == "PutEvents" and line["verdict"] in TOOK]
    unheard = sum(1 for line in took if line["verdict"] == "accepted_then_dropped")
    copies = len(took) - len({line["eventId"] for line in took})
    assert copies <= unheard + (lives - 1) * 1500
    letters = [line for line in lines if line["operation"] == "SendMessageBatch"]
    assert all(event_of(line) % 100 == 7 for line in letters if line["note"] != "crashed")
    crashed = {event_of(line) for line in letters if line["note"] == "crashed"}
    assert len(crashed) <= LINES * max(0, lives - 3)


def test_a_child_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    """A few kills: every event is settled in the end, every checkpoint was true when it was asked for."""
    lives, settled, lines = run(tmp_path, 300, 3, 5)
    assert lives >= 2
    assert settled.checked >= 2
    check_copies(lines, lives)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_many_kills_lose_nothing(tmp_path: Path, seed: int) -> None:
    """The same with more kills and other dice."""
    lives, settled, lines = run(tmp_path, 1200, seed, 25)
    assert lives >= 3
    assert settled.checked >= 3
    check_copies(lines, lives)

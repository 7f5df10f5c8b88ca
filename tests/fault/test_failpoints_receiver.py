"""The receiver at each of its failpoints: a 202 is never lost, and what stalls beside the loop makes no answer late."""

import contextlib
import signal
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import ReceiverProcess, event, eventually, receiver, stored_ids

EVENTS = 30
OUTAGES_MAX = 8
REMOVED_WITHIN_S = 6.0
LATEST_S = 0.9 + 0.35
"""What is promised, and what a shared machine may add."""

DOWN = {"shard_limits": False, "rules": [{"fault": "outage", "operation": "PutRecords"}]}
UP = {"shard_limits": False}
PLACES = {"after_put_before_ack": False, "spill_written_before_answer": True, "spill_drained_before_removed": True}
"""Whether the stream is down when the events come."""


class Sender:
    """Sends each event until it is answered 202, as a sender does; remembers what had no answer, or another one."""

    def __init__(self, running: ReceiverProcess) -> None:
        self.running = running
        self.acked: dict[str, int] = {}
        self.unsure: set[int] = set()
        self.longest_s = 0.0
        self.kills = 0

    def send(self, number: int) -> None:
        def taken() -> str | None:
            if (identity := self._once(number)) is None:
                self.unsure.add(number)
                self.look()
            return identity

        self.acked[eventually(taken, 30.0)] = number

    def send_all(self) -> None:
        for number in range(EVENTS):
            self.send(number)

    def _once(self, number: int) -> str | None:
        url, headers = f"{self.running.url}/v1/events", {"x-delivery-id": f"d-{number}"}
        try:
            answer = httpx.post(url, content=event(number, number), headers=headers, timeout=10)
        except httpx.TransportError:
            return None
        self.longest_s = max(self.longest_s, answer.elapsed.total_seconds())
        return str(answer.json()["ids"][0]) if answer.status_code == 202 else None

    def all_is_in(self, fake_aws: FakeAwsProcess) -> bool:
        """Whether the stream has everything that was answered 202."""
        self.look()
        return self.acked.keys() <= set(stored_ids(fake_aws.lines("PutRecords")))

    def twice(self, fake_aws: FakeAwsProcess) -> set[int]:
        """What the stream has more than once."""
        stored = Counter(stored_ids(fake_aws.lines("PutRecords")))
        assert self.acked.keys() <= stored.keys()
        return {self.acked[identity] for identity, count in stored.items() if count > 1}

    def look(self) -> None:
        """Who starts a receiver again when it is killed: the failpoint is not armed any more."""
        if self.running.process.poll() is not None:
            assert self.running.process.returncode == -signal.SIGKILL
            self.kills += 1
            self.running.environment.pop("STREAM_ROUTER_FAILPOINTS", None)
            self.running.start()


def settings(folder: Path, failpoints: str) -> dict[str, str]:
    (folder / "spill").mkdir()
    return {"SPILL_DIR": str(folder / "spill"), "HMAC_ID_HEADER": "x-delivery-id", "FAILPOINTS": failpoints}


def drive(fake_aws: FakeAwsProcess, running: ReceiverProcess, *, down: bool) -> Sender:
    """Send all, into an outage where the place needs one; then the stream is well, and all drains."""
    sender = Sender(running)
    fake_aws.plan(DOWN if down else UP)
    sender.send_all()
    fake_aws.plan(UP)
    eventually(lambda: sender.all_is_in(fake_aws), 30.0)
    return sender


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_a_place_no_202_is_lost(fake_aws: FakeAwsProcess, tmp_path: Path, place: str) -> None:
    """What comes twice had no answer before the kill, or stood in the spill whose rows were not yet removed."""
    with receiver(fake_aws.url, tmp_path, **settings(tmp_path, f"{place}=kill@2")) as running:
        sender = drive(fake_aws, running, down=PLACES[place])
        further = EVENTS
        while place == "spill_drained_before_removed" and not sender.kills and further < EVENTS + OUTAGES_MAX:
            # Rows are removed now and then, those of several outages at once: one more brings it there again.
            fake_aws.plan(DOWN)
            sender.send(further)
            fake_aws.plan(UP)
            further += 1
            with contextlib.suppress(AssertionError):
                eventually(lambda: running.process.poll() is not None, REMOVED_WITHIN_S)
            sender.look()
        eventually(lambda: sender.all_is_in(fake_aws), 30.0)
        assert sender.kills == 1
        assert f"failpoint {place}, time 2" in running.log.read_text()
        assert running.stop() == 0
    twice = sender.twice(fake_aws)
    if place == "spill_drained_before_removed":
        assert twice, "rows that were not removed come again"
    else:
        assert twice <= sender.unsure


@pytest.mark.long
@pytest.mark.parametrize("place", [place for place, down in PLACES.items() if down])
def test_a_disk_that_stalls_makes_no_answer_late(fake_aws: FakeAwsProcess, tmp_path: Path, place: str) -> None:
    """The spill's thread stands still: what cannot be stored in time is answered 503, never late; nothing is lost."""
    with receiver(fake_aws.url, tmp_path, **settings(tmp_path, f"{place}=stall:3s@2")) as running:
        sender = drive(fake_aws, running, down=True)
        if place == "spill_drained_before_removed":
            fake_aws.plan(DOWN)
            sender.send(EVENTS)
            fake_aws.plan(UP)
        eventually(lambda: f"failpoint {place}" in running.log.read_text())
        for number in range(EVENTS + 1, EVENTS + 20):
            sender.send(number)
        eventually(lambda: sender.all_is_in(fake_aws), 30.0)
        assert running.stop() == 0
    assert sender.longest_s < LATEST_S
    assert sender.twice(fake_aws) <= sender.unsure

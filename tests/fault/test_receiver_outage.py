"""The stream refuses, the receiver is killed: every 202 is in the stream at the end, every answer comes in time.

The short form runs in `make test`, the long one (30 s of outage under 1,000/s) in `make long`.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import ReceiverProcess, event, eventually, receiver, stored_ids
from tests.receiver_load import Outcome, post, send

UP = {"shard_limits": False}
DOWN = {"shard_limits": False, "rules": [{"fault": "outage", "operation": "PutRecords"}]}
SHORT = {"rate": 300, "before_s": 0.5, "outage_s": 2.0, "after_s": 1.0}
LONG = {"rate": 1_000, "before_s": 3.0, "outage_s": 30.0, "after_s": 7.0}
LATEST_S = 0.9
SLACK_S = 0.35
"""What the load and a shared machine may add to 900 ms as seen from the sender."""
RSS_BYTES = 256 * 1024 * 1024
DRAINED_WITHIN_S = 60.0
LOAD_BEGINS_S = 0.2
"""After the clock of what happens beside it."""
RESTART_S = 20.0
"""The longest that a killed receiver takes until it listens again, on a machine that has other things to do."""


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger") as running:
        yield running


@pytest.fixture(params=["short", pytest.param("long", marks=pytest.mark.long)])
def shape(request: pytest.FixtureRequest) -> dict[str, float]:
    return SHORT if request.param == "short" else LONG


def stored_in(fake_aws: FakeAwsProcess) -> set[str]:
    return set(stored_ids(fake_aws.lines("PutRecords")))


class Run:
    """One load with an outage in its middle, and what came of it."""

    def __init__(
        self, fake_aws: FakeAwsProcess, running: ReceiverProcess, shape: dict[str, float], *, kill: bool
    ) -> None:
        self.fake_aws = fake_aws
        self.running = running
        self.shape = shape
        self.kill = kill
        self.most_rss_bytes = 0
        # However long the restart takes: what the load lasts is what happens beside it.
        seconds = shape["before_s"] + shape["outage_s"] + shape["after_s"] + 2 * RESTART_S * kill
        requests = [
            post(event(number, conversation=number % 97), {"x-delivery-id": f"d-{number}"})
            for number in range(int(shape["rate"] * seconds))
        ]
        connections = int(shape["rate"])
        self.outcomes = send(running.address, requests, shape["rate"], connections, self._beside, until_beside=True)

    def _beside(self) -> None:
        """The outage, and in it two kills."""
        time.sleep(LOAD_BEGINS_S + self.shape["before_s"])
        self.fake_aws.plan(DOWN)
        for _ in range(2):
            time.sleep(self.shape["outage_s"] / 3)
            self._look()
            if self.kill:
                self.running.kill()
                self.running.start()
        time.sleep(self.shape["outage_s"] / 3)
        self._look()
        self.fake_aws.plan(UP)
        time.sleep(self.shape["after_s"])

    def _look(self) -> None:
        self.most_rss_bytes = max(self.most_rss_bytes, self.running.rss_bytes())

    def accepted(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == 202]

    def check(self, statuses: set[int]) -> None:
        """Only these answers, all in time, all 202s in the stream once the spill is empty, memory bounded."""
        assert {outcome.status for outcome in self.outcomes} <= statuses, Counter(o.status for o in self.outcomes)
        promised = {outcome.identity for outcome in self.accepted()}
        eventually(lambda: promised <= stored_in(self.fake_aws), DRAINED_WITHIN_S)
        self.running.metrics_once(lambda found: found["spilled_events"] == 0)
        # From when it was written: on a busy machine the load itself is late, and so are its three hundred connections.
        late = [o.waited_s for o in self.outcomes if o.status and o.waited_s > LATEST_S + SLACK_S and not self.kill]
        assert not late, (len(late), max(late))
        found = self.running.metrics()
        assert found['request_duration_seconds_bucket{le="0.9"}'] == found["request_duration_seconds_count"]
        self._look()
        assert self.most_rss_bytes < RSS_BYTES


def test_without_a_spill_an_outage_is_503_and_no_202_is_lost(
    fake_aws: FakeAwsProcess, tmp_path: Path, shape: dict[str, float]
) -> None:
    """While the stream refuses, senders are told to come again, in time; every 202 is in the stream."""
    with receiver(fake_aws.url, tmp_path, HMAC_ID_HEADER="x-delivery-id") as running:
        run = Run(fake_aws, running, shape, kill=False)
        run.check({202, 503})
        assert len(run.accepted()) > shape["rate"] * shape["before_s"] / 2
        assert sum(outcome.status == 503 for outcome in run.outcomes) > shape["rate"] * shape["outage_s"] / 6


@pytest.mark.parametrize("kill", [False, True], ids=["", "kill"])
def test_with_a_spill_an_outage_is_202_and_all_of_it_reaches_the_stream(
    fake_aws: FakeAwsProcess, tmp_path: Path, shape: dict[str, float], kill: bool
) -> None:
    """While the stream refuses, events wait on disk, through a kill -9, and come out when it is back."""
    folder = tmp_path / "spill"
    folder.mkdir()
    with receiver(fake_aws.url, tmp_path, HMAC_ID_HEADER="x-delivery-id", SPILL_DIR=str(folder)) as running:
        run = Run(fake_aws, running, shape, kill=kill)
        run.check({202, 503, 0} if kill else {202, 503})
        if kill:  # all senders come back at once to the one that was started again: it may shed a few of them
            assert sum(outcome.status == 503 for outcome in run.outcomes) < shape["rate"]
        else:
            # On a busy machine too: it sheds what comes late there, but not what more than half of the time came.
            assert len(run.accepted()) > 0.7 * len(run.outcomes)
            assert running.metrics()["events_spilled_total"] > 0
        assert running.stop() == 0


def test_a_full_spill_is_503(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Its size is capped: beyond it senders are told to come again, and what it holds still gets to the stream."""
    folder = tmp_path / "spill"
    folder.mkdir()
    settings = {"SPILL_DIR": str(folder), "SPILL_MAX_BYTES": str(1024 * 1024)}
    fake_aws.plan(DOWN)
    with receiver(fake_aws.url, tmp_path, **settings) as running:
        body = b'{"a":"%b"}' % (b"x" * 100_000)
        outcomes = send(running.address, [post(body.replace(b"a", b"k%d" % n, 1)) for n in range(40)], 20, 20)
        counts = Counter(outcome.status for outcome in outcomes)
        assert counts[202] in range(5, 12), counts
        assert counts[202] + counts[503] == 40
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 1024 * 1024
        fake_aws.plan(UP)
        promised = {outcome.identity for outcome in outcomes if outcome.status == 202}
        eventually(lambda: promised <= stored_in(fake_aws), 20.0)


def test_a_stop_tells_of_what_is_left_on_disk_and_a_start_sends_what_is_whole(
    fake_aws: FakeAwsProcess, tmp_path: Path
) -> None:
    """While the stream is down: ends with 1 within 10 s, with folder and count. The next one sends what is there; of
    what was damaged meanwhile it says how much is lost. A stream that is back within a stop's time takes all of it."""
    folder = tmp_path / "spill"
    folder.mkdir()
    fake_aws.plan(DOWN)
    with receiver(fake_aws.url, tmp_path, SPILL_DIR=str(folder)) as running:

        def spilled(first: int) -> set[str]:
            outcomes = send(running.address, [post(event(first + number)) for number in range(50)], 100, 50)
            return {outcome.identity for outcome in outcomes if outcome.status == 202}

        promised = spilled(0)
        assert running.stop() == 1
        (line,) = running.lines("ERROR")
        assert (line.get("event"), line["events"], line["resource"]) == ("spill-left", len(promised), str(folder))
        segment = min(folder.glob("*.seg"))
        data = bytearray(segment.read_bytes())
        data[len(data) // 2] ^= 0x10
        segment.write_bytes(data)
        fake_aws.plan(UP)
        running.start()
        found = running.metrics_once(lambda found: found["spill_damaged_total"] > 0 and not found["spilled_events"])
        assert len(promised - stored_in(fake_aws)) == found["spill_damaged_total"] == 1
        told = {line.get("event") for line in running.lines("ERROR")}
        assert told == {"spill-left", "spill-events-lost", "spill-file-damaged"}
        fake_aws.plan(DOWN)
        promised = spilled(50)
        assert promised
        running.process.terminate()
        threading.Timer(1.0, fake_aws.plan, (UP,)).start()
        assert running.process.wait(10) == 0
    assert promised <= stored_in(fake_aws)
    assert not list(folder.glob("*.seg"))


def test_a_disk_that_hangs_holds_up_no_stop(fake_aws: FakeAwsProcess, tmp_path: Path) -> None:
    """Its thread stands still in an append: the answer is a 503 in time, and the receiver ends within 10 s."""
    folder = tmp_path / "spill"
    folder.mkdir()
    fake_aws.plan(DOWN)
    stalls = "spill_written_before_answer=stall:60s@1"
    with receiver(fake_aws.url, tmp_path, SPILL_DIR=str(folder), FAILPOINTS=stalls) as running:
        (outcome,) = send(running.address, [post(event(1))], 1, 1)
        assert outcome.status == 503
        assert outcome.waited_s < LATEST_S + SLACK_S
        assert running.stop() == 1

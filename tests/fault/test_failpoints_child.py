"""The child at each of its failpoints: killed there nothing is lost, stalled there nobody else waits."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router.telemetry.audit import verify
from tests.daemon import Child, envelope
from tests.fakeaws.process import FakeAwsProcess
from tests.fault.failpoint_lives import LINES, PLACES, RECORDS, SHARD, Lives, last_checkpoint, letters

STALL_S = 3.0
NEIGHBOUR_WITHIN_S = 1.5
"""What another shard's batch may take while this one stands still: far less than the stall, much more than it needs."""


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger", None, 5, "--payloads") as made:
        yield made


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_a_place_nothing_is_lost(fake_aws: FakeAwsProcess, tmp_path: Path, place: str) -> None:
    """The next child brings all to its end; what comes twice was above the last checkpoint, which was true."""
    plan = PLACES[place]
    lives = Lives(fake_aws, tmp_path)
    with lives.child(f"{place}=kill@{plan.nth}") as first:
        with pytest.raises(EOFError):
            lives.live(first, 0, plan.end)
        assert first.process.wait(10) == -signal.SIGKILL
        done = last_checkpoint(first)
    assert f"failpoint {place}, time {plan.nth}" in (tmp_path / "stderr").read_text()
    end = "shutdownRequested" if plan.end == "leaseLost" else plan.end
    with lives.child(done=done) as second:
        lives.live(second, done, end) if done < RECORDS else second.say(end)
        if plan.end == "shardEnded":
            assert second.checkpoints[-1][0] is None, "the shard's end is checkpointed, bare"
        assert second.hang_up() == 0
    lives.check_all_settled()
    assert all(number >= LINES * (done + 1) for number in lives.copies()), "a copy below the checkpoint"
    assert {line["note"] for line in letters(fake_aws)} == {"unroutable"}, "nothing is taken for a culprit"
    assert not verify(lives.audit / f"cxone-event-router.{SHARD}.jsonl", None).problem, (
        "the audit chain goes on over the kill"
    )


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES)
def test_stalled_at_a_place_nobody_else_waits(fake_aws: FakeAwsProcess, tmp_path: Path, place: str) -> None:
    """The shard goes on afterwards without a copy; another shard's child, over the same folder, goes on meanwhile."""
    plan = PLACES[place]
    lives = Lives(fake_aws, tmp_path)
    with (
        Child(fake_aws.url, tmp_path) as neighbour,
        lives.child(f"{place}=stall:{STALL_S}s@{plan.nth}") as stalled,
    ):
        neighbour.initialize(shard="shardId-000000000001")
        one = threading.Thread(target=lives.live, args=(stalled, 0, plan.end))
        one.start()
        _until_said(tmp_path / "stderr", f"failpoint {place}")
        begun = time.monotonic()
        neighbour.process_batch([envelope(10**6 + n) for n in range(50)])
        neighbour.settle()
        took_s = time.monotonic() - begun
        assert one.is_alive() or plan.end == "leaseLost", "the stall was over before the neighbour was asked"
        one.join(60)
        assert took_s < NEIGHBOUR_WITHIN_S
        assert stalled.hang_up() == 0
    events = {number for number in lives.took() if number < 10**6}
    assert events == set(range(LINES, LINES * (RECORDS + 1)))
    assert not lives.copies()
    assert {line["note"] for line in letters(fake_aws)} == {"unroutable"}


def _until_said(file: Path, text: str) -> None:
    until = time.monotonic() + 30
    while text not in file.read_text():
        assert time.monotonic() < until, f"never came to: {text}"
        time.sleep(0.02)

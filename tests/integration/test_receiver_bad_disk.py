"""The program on a disk that is full or that lost something: it serves, and says what is missing."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import small_disk
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import ReceiverProcess, event, receiver, stored_ids
from tests.receiver_load import Outcome, post, send

EVENTS = 300
WITHIN_S = 15.0


@pytest.fixture
def fake_aws(tmp_path: Path) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path / "ledger") as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "spill"
    made.mkdir()
    return made


def refusing(fake_aws: FakeAwsProcess, refuses: bool) -> None:
    rules = [{"fault": "outage", "operation": "PutRecords"}] if refuses else []
    fake_aws.plan({"shard_limits": False, "rules": rules})


def posted(running: ReceiverProcess, first: int) -> list[Outcome]:
    """Events of many conversations, by number from `first` on."""
    return send(running.address, [post(event(first + n, n % 50)) for n in range(EVENTS)], 300, 200)


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.1)


def test_a_disk_that_another_filled_turns_no_healthy_stream_into_503(
    fake_aws: FakeAwsProcess, tmp_path: Path, folder: Path
) -> None:
    """Events wait on it, another program fills it, the stream is back: everything is taken, and what waited drains."""
    around = small_disk.around(folder, "20m")
    with receiver(fake_aws.url, tmp_path, around, SPILL_DIR=str(folder)) as running:
        refusing(fake_aws, True)
        # What a busy machine refuses is sent again, as a sender does.
        until(lambda: {outcome.status for outcome in posted(running, 0)} == {202}, "all of them wait on the disk")
        small_disk.fill(Path(f"/proc/{running.process.pid}/root{folder}"))
        refusing(fake_aws, False)
        until(lambda: running.metrics()["stream_up"] == 1, "the stream counts as up")
        until(lambda: {outcome.status for outcome in posted(running, EVENTS)} == {202}, "all of them are taken")
        until(lambda: running.metrics()["spilled_events"] == 0, "the spill is drained")
    assert len(set(stored_ids(fake_aws.lines("PutRecords")))) == 2 * EVENTS


def zero(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(4096)
    path.write_bytes(data)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [zero, flip, Path.unlink])
def test_what_a_damaged_spill_lost_is_counted_and_the_receiver_serves(
    fake_aws: FakeAwsProcess, tmp_path: Path, folder: Path, damage: Callable[[Path], None]
) -> None:
    """Killed with events on disk, and something happens to a file: what is whole is drained, the rest is told."""
    with receiver(fake_aws.url, tmp_path, SPILL_DIR=str(folder)) as running:
        refusing(fake_aws, True)
        outcomes = posted(running, 0)
        promised = {outcome.identity for outcome in outcomes if outcome.status == 202}
        running.kill()
        files = sorted(folder.glob("*.seg"))
        damage(files[len(files) // 2])
        refusing(fake_aws, False)
        running.start()
        until(lambda: {outcome.status for outcome in posted(running, EVENTS)} == {202}, "all of them are taken")
        until(lambda: running.metrics()["spilled_events"] == 0, "the spill is drained")
        missing = promised - set(stored_ids(fake_aws.lines("PutRecords")))
        assert running.metrics()["spill_damaged_total"] == len(missing) > 0
        assert "damaged" in running.log.read_text()

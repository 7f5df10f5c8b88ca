"""The spill's files: what was answered is there after a kill, for its owner's eyes only, in order, checked."""

import asyncio
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from stream_router.envelope import seal
from stream_router.errors import SettingsError
from stream_router.receiver import preflight
from stream_router.receiver import spill as spill_module
from stream_router.receiver.spill import Row, Spill
from tests import small_disk
from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import event, eventually, receiver, stored_ids
from tests.receiver_load import post, send

LINES = [
    seal(f"{n:032x}", "delivery", 1_780_000_000_000 + n, b'{"n":%d,"x":"%b"}' % (n, b"x" * 400)) for n in range(300)
]


def with_spill(folder: Path, kind: Callable[[Spill], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        spill = Spill(folder, asyncio.get_running_loop())
        try:
            return await kind(spill)
        finally:
            spill.close()

    return asyncio.run(run())


async def ask(method: Callable[..., None], *arguments: Any) -> Any:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    method(*arguments, answer.set_result)
    return await answer


async def read_all(spill: Spill) -> tuple[list[Row], int]:
    """Every row that waits, in order, and how many are damaged or missing."""
    rows: list[Row] = []
    damaged, read = 0, await ask(spill.read)
    while read.rows or read.damaged:
        rows += read.rows
        damaged += read.damaged
        read = await ask(spill.read)
    return rows, damaged


async def drain(spill: Spill) -> tuple[list[bytes], int]:
    rows, damaged = await read_all(spill)
    spill.remove_before(1_000_000)
    return [row.line for row in rows], damaged


async def fill(spill: Spill) -> None:
    for at in range(0, len(LINES), 30):
        assert await ask(spill.append, [(number % 7, LINES[number]) for number in range(at, at + 30)]) is not None


def segments_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def modes_in(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_its_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Payloads wait in them, so mode 0600, whatever the umask."""

    async def scenario(spill: Spill) -> set[int]:
        await fill(spill)
        assert await ask(spill.set_aside, LINES[0])
        return modes_in(tmp_path)

    before = os.umask(0)
    try:
        assert with_spill(tmp_path, scenario) == {0o600}
    finally:
        os.umask(before)


def test_every_group_is_synced_before_it_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered survives a power cut, not only a kill; and rows come back with their conversations."""
    synced: list[int] = []
    sync = os.fdatasync

    def seen(fd: int) -> None:
        sync(fd)
        synced.append(fd)

    monkeypatch.setattr(os, "fdatasync", seen)

    async def scenario(spill: Spill) -> None:
        for number in range(3):
            assert await ask(spill.append, [(number % 2, LINES[number])]) == number
            assert len(synced) == number + 1
        rows, _ = await read_all(spill)
        assert [(row.key, row.line) for row in rows] == [(number % 2, LINES[number]) for number in range(3)]

    with_spill(tmp_path, scenario)


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """A process that is killed with -9 right after an answer leaves the event behind for the next."""
    program = (
        "import asyncio, os, signal, sys; from pathlib import Path; from stream_router.receiver.spill import Spill\n"
        "async def run():\n"
        "    spill = Spill(Path(sys.argv[1]), asyncio.get_running_loop())\n"
        "    for n in range(50):\n"
        "        answer = asyncio.get_running_loop().create_future()\n"
        "        spill.append([(n % 4, b'line %d' % n)], answer.set_result)\n"
        "        assert await answer == n\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(run())\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert with_spill(tmp_path, drain) == ([b"line %d" % number for number in range(50)], 0)


def zero(data: bytearray, at: int) -> None:
    data[at : at + 4096] = bytes(len(data[at : at + 4096]))


def flip(data: bytearray, at: int) -> None:
    data[at] ^= 0x10


def cut(data: bytearray, at: int) -> None:
    del data[at:]


def spoil(folder: Path, damage: Callable[[bytearray, int], None], share: float) -> None:
    (path,) = segments_in(folder)
    data = bytearray(path.read_bytes())
    damage(data, int(len(data) * share))
    path.write_bytes(data)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("damage", [zero, flip, cut])
@pytest.mark.parametrize("running", [False, True])
def test_of_a_damaged_file_all_that_can_be_read_comes_and_the_rest_is_counted(
    tmp_path: Path, damage: Callable[[bytearray, int], None], share: float, running: bool
) -> None:
    """At the start or while it runs: no row that is whole is lost, each that is not is told; the file is kept.

    But that a tail is cut off nobody can tell after a start: it looks like an append that nobody was told of.
    """

    async def fill_and_spoil(spill: Spill) -> None:
        await fill(spill)
        if running:
            spoil(tmp_path, damage, share)
            await check(spill)

    async def check(spill: Spill) -> None:
        good, missing = await drain(spill)
        assert good == [line for line in LINES if line in set(good)]
        if damage is cut and not running:
            assert (good, missing) == (LINES[: len(good)], 0)
        else:
            assert len(good) + missing == len(LINES)
            assert 0 < missing <= (12 if damage is not cut else len(LINES))

    with_spill(tmp_path, fill_and_spoil)
    if not running:
        spoil(tmp_path, damage, share)
        with_spill(tmp_path, check)
    if damage is not cut or share:
        assert len(list(tmp_path.glob("*.damaged"))) == 1
    assert with_spill(tmp_path, drain) == ([], 0)


@pytest.mark.parametrize("running", [False, True])
def test_a_deleted_file_is_missed(tmp_path: Path, running: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names of those around it, or by who wrote it."""
    monkeypatch.setattr(spill_module, "SEGMENT_BYTES", 40_000)

    async def fill_and_delete(spill: Spill) -> None:
        await fill(spill)
        segments_in(tmp_path)[2].unlink()
        if running:
            await check(spill)

    async def check(spill: Spill) -> None:
        rows, lost = await read_all(spill)
        assert (len(rows) + lost, len(rows) < len(LINES)) == (len(LINES), True)

    with_spill(tmp_path, fill_and_delete)
    if not running:
        with_spill(tmp_path, check)


def test_a_folder_that_cannot_be_used_is_a_setting_s_error(tmp_path: Path) -> None:
    """One line, before anything starts: none there, another receiver's, or with a file that may not be read."""

    async def nothing(spill: Spill) -> None:
        with pytest.raises(SettingsError, match="STREAM_ROUTER_SPILL_DIR: another receiver"):
            Spill(tmp_path, asyncio.get_running_loop())

    with_spill(tmp_path, nothing)
    with pytest.raises(SettingsError, match="STREAM_ROUTER_SPILL_DIR: it cannot be used"):
        with_spill(tmp_path / "missing", nothing)
    (tmp_path / f"spill-0-{1:020d}.seg").mkdir()
    with pytest.raises(SettingsError, match=r"STREAM_ROUTER_SPILL_DIR: .* cannot be read"):
        with_spill(tmp_path, nothing)


@pytest.mark.parametrize("name", ["spill-0.sqlite", f"spill-0-{1:020d}.seg2", "spill-0-1.seg", "spill-index"])
def test_a_spill_of_another_version_is_named_and_not_passed_over(tmp_path: Path, name: str) -> None:
    """Older or, on the way back, newer: its events would wait for ever, and nobody would know."""
    for ours in (f"spill-0-{1:020d}.seg", "spill-0.ledger", "spill-0.lock", f"spill-0-{0:020d}.damaged"):
        (tmp_path / ours).touch()
    (tmp_path / "of an operator's own").touch()
    preflight.check_spill(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(SettingsError, match=rf"STREAM_ROUTER_SPILL_DIR: {re.escape(name)} .*drain it"):
        preflight.check_spill(tmp_path)


def test_a_disk_that_another_filled_turns_no_healthy_stream_into_503(tmp_path: Path) -> None:
    """Events wait on it, another program fills it: 503. The stream is back: everything is taken, and what waited
    drains, which needs no room."""
    folder, count = tmp_path / "spill", 300
    folder.mkdir()
    around = small_disk.around(folder, "20m")
    down = {"rules": [{"fault": "outage", "operation": "PutRecords"}]}
    with (
        FakeAwsProcess(tmp_path / "ledger", down) as fake_aws,
        receiver(fake_aws.url, tmp_path, around, SPILL_DIR=str(folder)) as running,
    ):

        def all_are_taken(first: int) -> bool:
            """What a busy machine refuses is sent again, as a sender does."""
            posts = [post(event(first + n, n % 50)) for n in range(count)]
            return {outcome.status for outcome in send(running.address, posts, 300, 200)} == {202}

        eventually(lambda: all_are_taken(0), 15.0)
        small_disk.fill(Path(f"/proc/{running.process.pid}/root{folder}"))
        assert {outcome.status for outcome in send(running.address, [post(event(1))] * 5, 5, 5)} == {503}
        assert "spill-down" in {line.get("event") for line in running.lines("WARNING")}
        fake_aws.plan({"shard_limits": False})
        running.metrics_once(lambda metrics: metrics["stream_up"] == 1)
        eventually(lambda: all_are_taken(count), 15.0)
        running.metrics_once(lambda metrics: metrics["spilled_events"] == 0)
    assert len(set(stored_ids(fake_aws.lines("PutRecords")))) == 2 * count

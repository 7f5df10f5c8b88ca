"""The spill's files: what was answered is there after a kill, for its owner's eyes only, in order, checked."""

import asyncio
import json
import os
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
from stream_router.receiver import spill as spill_module
from stream_router.receiver.spill import Read, Row, Spill
from tests import small_disk

LINES = [
    seal(f"{n:032x}", "delivery", 1_780_000_000_000 + n, b'{"n":%d,"x":"%b"}' % (n, b"x" * 400)) for n in range(300)
]


def with_spill(folder: Path, what: Callable[[Spill], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        spill = Spill(folder, asyncio.get_running_loop())
        try:
            return await what(spill)
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


async def drain(spill: Spill) -> tuple[list[Row], int]:
    rows, damaged = await read_all(spill)
    spill.settle(1_000_000)
    return rows, damaged


async def fill(spill: Spill) -> None:
    for at in range(0, len(LINES), 30):
        assert await ask(spill.append, [(number % 7, LINES[number]) for number in range(at, at + 30)]) is not None


def segments_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def lines(rows: list[Row]) -> list[bytes]:
    return [row.line for row in rows]


def test_rows_come_back_in_order_until_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First in, first out, with their conversations; files go one by one, also for the next process."""
    monkeypatch.setattr(spill_module, "SEGMENT_BYTES", 40_000)

    async def first(spill: Spill) -> int:
        await fill(spill)
        assert len(segments_in(tmp_path)) == 5
        read: Read = await ask(spill.read)
        rows, damaged = await read_all(spill)
        assert lines([*read.rows, *rows]) == LINES
        assert [row.key for row in (*read.rows, *rows)] == [number % 7 for number in range(len(LINES))]
        spill.settle(read.end)
        await ask(spill.read)
        assert (len(segments_in(tmp_path)), damaged) == (4, 0)
        return len(read.rows)

    assert lines(with_spill(tmp_path, drain)[0]) == []
    gone = with_spill(tmp_path, first)
    assert lines(with_spill(tmp_path, drain)[0]) == LINES[gone:]
    assert with_spill(tmp_path, drain) == ([], 0)
    assert not segments_in(tmp_path)


def modes_in(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_its_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Payloads wait in them, so mode 0600, whatever the umask."""

    async def scenario(spill: Spill) -> set[int]:
        await fill(spill)
        return modes_in(tmp_path)

    before = os.umask(0)
    try:
        assert with_spill(tmp_path, scenario) == {0o600}
    finally:
        os.umask(before)


def test_every_group_is_synced_before_it_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered survives a power cut, not only a kill."""
    synced: list[int] = []
    sync = os.fdatasync

    def seen(fd: int) -> None:
        sync(fd)
        synced.append(fd)

    monkeypatch.setattr(os, "fdatasync", seen)

    async def scenario(spill: Spill) -> None:
        for number in range(3):
            assert await ask(spill.append, [(0, LINES[number])]) == number
            assert len(synced) == number + 1

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

    rows, damaged = with_spill(tmp_path, read_all)
    assert (lines(rows), damaged) == ([b"line %d" % number for number in range(50)], 0)


def zero(data: bytearray, at: int) -> None:
    data[at : at + 4096] = bytes(len(data[at : at + 4096]))


def flip(data: bytearray, at: int) -> None:
    data[at] ^= 0x10


def cut(data: bytearray, at: int) -> None:
    del data[at:]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("damage", [zero, flip, cut])
@pytest.mark.parametrize("running", [False, True])
def test_of_a_damaged_file_all_that_can_be_read_comes_and_the_rest_is_counted(
    tmp_path: Path,
    damage: Callable[[bytearray, int], None],
    share: float,
    running: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the start or while it runs: no row that is whole is lost, each that is not is told; the file is kept.

    But that a tail is cut off nobody can tell after a start: it looks like an append that nobody was told of.
    """

    def spoil() -> None:
        (path,) = tmp_path.glob("*.seg")
        data = bytearray(path.read_bytes())
        damage(data, int(len(data) * share))
        path.write_bytes(data)

    async def fill_and_spoil(spill: Spill) -> None:
        await fill(spill)
        if running:
            spoil()
            await check(spill)

    async def check(spill: Spill) -> None:
        rows, missing = await drain(spill)
        good = lines(rows)
        assert good == [line for line in LINES if line in set(good)]
        if damage is cut and not running:  # as an append is that was not whole when the process ended
            assert (good, missing) == (LINES[: len(good)], 0)
        else:
            assert len(good) + missing == len(LINES)
            assert 0 < missing <= (12 if damage is not cut else len(LINES))

    with_spill(tmp_path, fill_and_spoil)
    if not running:
        spoil()
        with_spill(tmp_path, check)
    if damage is not cut or share:
        assert len(list(tmp_path.glob("*.damaged"))) == 1
        assert "set aside" in caplog.text
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


def test_two_receivers_cannot_share_a_spill(tmp_path: Path) -> None:
    """The second is told so before it starts."""

    async def scenario(spill: Spill) -> None:
        with pytest.raises(SettingsError, match="another receiver"):
            Spill(tmp_path, asyncio.get_running_loop())

    with_spill(tmp_path, scenario)


def test_a_folder_that_cannot_be_used_is_a_setting_s_error(tmp_path: Path) -> None:
    """One line, before anything starts."""

    async def nothing(spill: Spill) -> None:
        raise AssertionError("it must not open")

    with pytest.raises(SettingsError, match="STREAM_ROUTER_SPILL_DIR"):
        with_spill(tmp_path / "missing", nothing)


FULL = """
import asyncio, json, sys
from pathlib import Path
from stream_router.receiver.spill import Spill
from tests import small_disk
from tests.integration.test_receiver_spill import LINES, ask, drain, fill, lines, read_all
folder = Path(sys.argv[1])
async def run():
    said = {}
    spill = Spill(folder, asyncio.get_running_loop())
    await fill(spill)
    small_disk.fill(folder)
    said["full"] = await ask(spill.append, [(0, LINES[0])] * 200)
    said["error"] = spill.error
    spill.close()
    # A restart on the full disk serves and drains; then there is room again.
    spill = Spill(folder, asyncio.get_running_loop())
    rows, said["lost"] = await drain(spill)
    said["again"] = lines(rows) == LINES
    await ask(spill.read)
    said["after"] = await ask(spill.append, [(0, b"x")]) is not None
    spill.close()
    print(json.dumps(said))
asyncio.run(run())
"""


def test_a_full_disk_takes_nothing_drains_all_and_works_again(tmp_path: Path) -> None:
    """Another program fills it to the last byte: draining and a restart need no room."""
    on_it = small_disk.around(tmp_path, "4m")
    out, _ = small_disk.run((*on_it, sys.executable, "-c", FULL, str(tmp_path)))
    assert json.loads(out) == {"full": None, "error": "ENOSPC", "again": True, "lost": 0, "after": True}

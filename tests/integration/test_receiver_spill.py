"""The spill's file: what was answered is there after a kill, for its owner's eyes only, in order, checked."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from stream_router.core.settings_error import SettingsError
from stream_router.receiver.intake import Intake
from stream_router.receiver.spill.spill import Spill
from stream_router.receiver.spill.spill_file import adopt, file_of
from stream_router.settings.receiver import Receiver

BUCKETS = 4
PATHS = "conversationId"


def one_bucket(_line: bytes) -> int:
    return 1


def with_spill(path: Path, what: Callable[[Spill], Awaitable[Any]], buckets: int = BUCKETS, paths: str = PATHS) -> Any:
    async def run() -> Any:
        spill = Spill(path, buckets, paths, one_bucket, asyncio.get_running_loop())
        try:
            return await what(spill)
        finally:
            spill.close()

    return asyncio.run(run())


async def ask(method: Callable[..., None], *arguments: Any) -> Any:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    method(*arguments, answer.set_result)
    return await answer


def test_lines_come_back_in_order_bucket_by_bucket_until_deleted(tmp_path: Path) -> None:
    """First in, first out within a bucket; a deleted row is gone, also for the next process."""

    async def scenario(spill: Spill) -> None:
        assert await ask(spill.append, [(0, b"a"), (1, b"b"), (0, b"c")])
        rows = await ask(spill.read, 0, 1000)
        assert [line for _, line in rows] == [b"a", b"c"]
        assert await ask(spill.delete, [rows[0][0]])
        assert [line for _, line in await ask(spill.read, 0, 1000)] == [b"c"]

    async def later(spill: Spill) -> list[tuple[int, int, int]]:
        return spill.depths()

    path = file_of(tmp_path, 0)
    with_spill(path, scenario)
    assert [(bucket, events) for bucket, events, _ in with_spill(path, later)] == [(0, 1), (1, 1)]


def test_a_read_is_cut_by_bytes_but_never_empty(tmp_path: Path) -> None:
    """One large row is read alone rather than not at all."""

    async def scenario(spill: Spill) -> list[int]:
        assert await ask(spill.append, [(0, b"x" * 500), (0, b"y" * 500), (0, b"z" * 500)])
        return [len(await ask(spill.read, 0, most)) for most in (10, 501, 1002, 5000)]

    assert with_spill(file_of(tmp_path, 0), scenario) == [1, 1, 2, 3]


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_its_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Payloads wait in it, so mode 0600 for the file and its companions, whatever the umask."""

    async def scenario(spill: Spill) -> dict[str, int]:
        assert await ask(spill.append, [(0, b"a")])
        return modes_in(tmp_path)

    before = os.umask(0)
    try:
        modes = with_spill(file_of(tmp_path, 0), scenario)
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}, modes


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """WAL with full sync: what was answered survives a power cut, not only a kill."""

    async def scenario(spill: Spill) -> tuple[bytes, int]:
        db = spill._db
        return db.execute("PRAGMA journal_mode").fetchone()[0], db.execute("PRAGMA synchronous").fetchone()[0]

    assert with_spill(file_of(tmp_path, 0), scenario) == (b"wal", 2)


def test_what_is_deleted_is_overwritten_and_its_room_given_back(tmp_path: Path) -> None:
    """The sender's bytes are not kept longer than they wait, and a long outage does not fill the disk for good."""
    path = file_of(tmp_path, 0)

    async def fill(spill: Spill) -> None:
        assert spill._db.execute("PRAGMA secure_delete").fetchone() == (1,)
        for _ in range(8):
            assert await ask(spill.append, [(0, b"canary" * 20_000)] * 10)

    async def drain(spill: Spill) -> None:
        while rows := await ask(spill.read, 0, 256 * 1024):
            assert await ask(spill.delete, [row for row, _ in rows])

    with_spill(path, fill)
    assert path.stat().st_size > 9_000_000
    with_spill(path, drain)
    assert path.stat().st_size < 2_000_000
    assert b"canary" not in path.read_bytes()


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """A process that is killed with -9 right after an answer leaves the event behind for the next."""
    program = (
        "import asyncio, os, signal, sys; from pathlib import Path; from stream_router.receiver.spill.spill import Spill\n"  # noqa: E501
        "async def run():\n"
        "    spill = Spill(Path(sys.argv[1]), 4, 'conversationId', lambda line: 1, asyncio.get_running_loop())\n"
        "    for n in range(50):\n"
        "        answer = asyncio.get_running_loop().create_future()\n"
        "        spill.append([(n % 4, b'line %d' % n)], answer.set_result)\n"
        "        assert await answer\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(run())\n"
    )
    path = file_of(tmp_path, 0)
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == -signal.SIGKILL

    async def left(spill: Spill) -> list[bytes]:
        return [line for _, line in await ask(spill.read, 3, 10_000)]

    assert with_spill(path, left) == [b"line %d" % number for number in range(3, 50, 4)]


def test_a_damaged_row_is_put_aside_and_the_others_come(tmp_path: Path) -> None:
    """A wrong checksum is noticed; the row stays on disk, in a table of its own, for a human."""
    path = file_of(tmp_path, 0)

    async def write(spill: Spill) -> None:
        assert await ask(spill.append, [(0, b"good"), (0, b"bad"), (0, b"fine")])

    async def read(spill: Spill) -> list[bytes]:
        rows = await ask(spill.read, 0, 1000)
        assert await ask(spill.delete, [row for row, _ in rows])
        return [line for _, line in rows]

    with_spill(path, write)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE event SET line = ? WHERE line = ?", (b"bud", b"bad"))
    db.close()
    assert with_spill(path, read) == [b"good", b"", b"fine"]
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT line FROM damaged").fetchall() == [(b"bud",)]
        assert db.execute("SELECT count(*) FROM event").fetchone() == (0,)
    db.close()


def test_a_disk_that_fails_is_a_no_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append that could not be stored says so; the next one, on a disk that works again, is stored."""

    async def scenario(spill: Spill) -> list[bool]:
        spill._db.execute("PRAGMA max_page_count = 20")
        failed = await ask(spill.append, [(0, b"x" * 200_000)])
        spill._db.execute("PRAGMA max_page_count = 100000")
        return [failed, await ask(spill.append, [(0, b"x" * 200_000)])]

    assert with_spill(file_of(tmp_path, 0), scenario) == [False, True]


@pytest.mark.parametrize("changed", [{"buckets": 2}, {"paths": "caseId"}])
def test_other_buckets_or_another_partition_path_sort_what_waits_anew(tmp_path: Path, changed: dict[str, Any]) -> None:
    """After a change of STREAM_ROUTER_BUCKETS or STREAM_ROUTER_PARTITION_PATH waiting events are in today's buckets.

    So no newer event of a conversation passes one that waits.
    """
    path = file_of(tmp_path, 0)

    async def write(spill: Spill) -> None:
        assert await ask(spill.append, [(3, b"a"), (0, b"b")])

    async def read(spill: Spill) -> list[bytes]:
        return [line for _, line in await ask(spill.read, 1, 1000)]

    with_spill(path, write)
    assert with_spill(path, read) == []
    assert with_spill(path, read, **changed) == [b"a", b"b"]


def test_fewer_workers_adopt_what_the_others_left(tmp_path: Path) -> None:
    """The files of workers that do not run any more are moved into those of workers that do."""

    async def write(spill: Spill) -> None:
        assert await ask(spill.append, [(1, b"left behind")])

    async def read(spill: Spill) -> list[bytes]:
        return [line for _, line in await ask(spill.read, 1, 1000)]

    with_spill(file_of(tmp_path, 3), write)
    adopt(tmp_path, 2)
    assert with_spill(file_of(tmp_path, 1), read) == [b"left behind"]
    assert not list(tmp_path.glob("spill-3*"))


@pytest.mark.parametrize("adopted", [False, True])
def test_one_event_at_the_limit_of_nesting_does_not_stop_the_start(tmp_path: Path, adopted: bool) -> None:
    """It was answered 202 as the others were: with other buckets, or fewer workers, it drains as they do."""
    intake = Intake(Receiver(aws_region="x", webhook_scheme="none", buckets=2))
    body = b'{"conversationId":"c","payload":' + b"[" * 1_023 + b"]" * 1_023 + b"}"
    lines = [intake.seal(text, None)[0].line for text in (b'{"conversationId":"c"}', body)]

    async def write(spill: Spill) -> None:
        assert await ask(spill.append, [(3, line) for line in lines])

    async def read() -> list[bytes]:
        spill = Spill(file_of(tmp_path, 0), 2, PATHS, intake.bucket_of_line, asyncio.get_running_loop())
        try:
            bucket = intake.seal(body, None)[0].bucket
            return [line for _, line in await ask(spill.read, bucket, 10_000)]
        finally:
            spill.close()

    with_spill(file_of(tmp_path, int(adopted)), write)
    adopt(tmp_path, 1)
    assert asyncio.run(read()) == lines


def spoil(path: Path, good: bytes, bad: object) -> None:
    """What a flipped bit on the disk does to a row: its checksum is the old one."""
    with sqlite3.connect(path) as db:
        db.execute("UPDATE event SET line = ? WHERE line = ?", (bad, good))
    db.close()


def damaged_lines(path: Path) -> list[Any]:
    with sqlite3.connect(path) as db:
        found = [line for (line,) in db.execute("SELECT line FROM damaged ORDER BY row")]
    db.close()
    return found


@pytest.mark.parametrize("bad", [b"bud", "text", None, 7])
def test_a_damaged_row_does_not_stop_the_start_with_other_buckets(tmp_path: Path, bad: object) -> None:
    """Its conversation cannot be told: it is put aside, counted, and the others get their buckets."""
    path = file_of(tmp_path, 0)

    async def write(spill: Spill) -> None:
        assert await ask(spill.append, [(3, b"bad"), (0, b"fine")])

    async def read() -> tuple[int, list[tuple[int, int]], list[bytes]]:
        spill = Spill(path, 2, PATHS, {b"fine": 1}.__getitem__, asyncio.get_running_loop())
        try:
            lines = [line for _, line in await ask(spill.read, 1, 1000)]
            return spill.damaged, [depth[:2] for depth in spill.depths()], lines
        finally:
            spill.close()

    with_spill(path, write)
    spoil(path, b"bad", bad)
    assert asyncio.run(read()) == (1, [(1, 1)], [b"fine"])
    assert damaged_lines(path) == [bad]


@pytest.mark.parametrize("bad", ["text", None, 7])
def test_a_damaged_row_of_any_type_is_put_aside_when_read(tmp_path: Path, bad: object) -> None:
    """A flipped bit may change a value's type: reading goes on behind it."""
    path = file_of(tmp_path, 0)

    async def write(spill: Spill) -> None:
        assert await ask(spill.append, [(0, b"bad"), (0, b"fine")])

    async def read(spill: Spill) -> list[bytes]:
        assert [depth[:2] for depth in spill.depths()] == [(0, 2)]
        return [line for _, line in await ask(spill.read, 0, 1000)]

    with_spill(path, write)
    spoil(path, b"bad", bad)
    assert with_spill(path, read) == [b"", b"fine"]
    assert damaged_lines(path) == [bad]


def test_a_damaged_bucket_number_is_found_anew(tmp_path: Path) -> None:
    """The checksum covers the line alone: a bucket that cannot be is worked out again."""
    path = file_of(tmp_path, 0)

    async def write(spill: Spill) -> None:
        assert await ask(spill.append, [(BUCKETS + 4, b"stray")])

    async def read(spill: Spill) -> list[bytes]:
        return [line for _, line in await ask(spill.read, 1, 1000)]

    with_spill(path, write)
    assert with_spill(path, read) == [b"stray"]


def test_damaged_rows_are_kept_when_workers_become_fewer(tmp_path: Path) -> None:
    """They were answered 202: the human who looks for them finds those of both files, none in another's place."""

    async def write(spill: Spill) -> None:
        assert await ask(spill.append, [(0, b"bad"), (0, b"fine")])

    async def read(spill: Spill) -> list[bytes]:
        rows = [row for bucket in range(BUCKETS) for row in await ask(spill.read, bucket, 1000)]
        return [line for _, line in rows]

    for number in range(2):
        path = file_of(tmp_path, number)
        with_spill(path, write)
        spoil(path, b"bad", b"bud %d" % number)
        assert with_spill(path, read) == [b"", b"fine"]
    adopt(tmp_path, 1)
    assert not list(tmp_path.glob("spill-1*"))
    assert with_spill(file_of(tmp_path, 0), read) == [b"fine", b"fine"]
    with_spill(file_of(tmp_path, 0), write)
    spoil(file_of(tmp_path, 0), b"bad", b"bud 2")
    assert with_spill(file_of(tmp_path, 0), read) == [b"", b"fine", b"fine", b"fine"]
    assert sorted(damaged_lines(file_of(tmp_path, 0))) == [b"bud 0", b"bud 1", b"bud 2"]


def test_a_read_holds_no_more_rows_than_it_hands_out(tmp_path: Path) -> None:
    """Rows behind the limit are not even fetched: a backlog of large events does not come into memory as a whole."""

    async def scenario(spill: Spill) -> int:
        assert await ask(spill.append, [(0, b"x" * 100_000)] * 100)
        tracemalloc.start()
        try:
            assert len(await ask(spill.read, 0, 16 * 1024)) == 1
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert with_spill(file_of(tmp_path, 0), scenario) < 1_000_000


@pytest.mark.parametrize("number", [0, 3])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, number: int) -> None:
    """One line says which file it is, whether it is one to be adopted or the worker's own."""
    file_of(tmp_path, number).write_bytes(b"no database, but long enough to be looked at. " * 100)

    async def nothing(spill: Spill) -> None:
        raise AssertionError("it must not open")

    def start() -> None:
        adopt(tmp_path, 1)
        with_spill(file_of(tmp_path, 0), nothing)

    with pytest.raises(SettingsError, match=rf"^STREAM_ROUTER_SPILL_DIR: its file spill-{number}\.sqlite .*") as caught:
        start()
    assert "\n" not in str(caught.value)
    assert file_of(tmp_path, number).exists()


def test_a_file_that_was_only_begun_is_adopted(tmp_path: Path) -> None:
    """A kill right after a worker made its file leaves it empty: no reason not to start."""
    file_of(tmp_path, 1).touch()
    adopt(tmp_path, 1)
    assert not list(tmp_path.glob("spill-1*"))


def test_two_receivers_cannot_share_a_spill(tmp_path: Path) -> None:
    """The second is told so before it starts."""

    async def scenario(spill: Spill) -> None:
        with pytest.raises(SettingsError, match="another receiver"):
            Spill(file_of(tmp_path, 0), BUCKETS, PATHS, one_bucket, asyncio.get_running_loop())

    with_spill(file_of(tmp_path, 0), scenario)


def test_a_folder_that_cannot_be_used_is_a_setting_s_error(tmp_path: Path) -> None:
    """One line, before anything starts."""

    async def nothing(spill: Spill) -> None:
        raise AssertionError("it must not open")

    with pytest.raises(SettingsError, match="STREAM_ROUTER_SPILL_DIR"):
        with_spill(tmp_path / "missing" / "x.sqlite", nothing)

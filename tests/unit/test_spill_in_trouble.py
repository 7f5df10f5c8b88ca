"""The spill's thread goes on whatever happens to it: everything that is asked for is answered, and trouble is told."""

import errno
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from stream_router.errors import SettingsError
from stream_router.receiver.spill import segments, spill
from stream_router.receiver.spill.segment import Row
from stream_router.receiver.spill.segments import Segments
from stream_router.receiver.spill.spill import DEFECT, Spill

LINE = b'{"n":1}'


class Loop:
    """What the spill uses of an event loop; the test takes each answer where the loop would."""

    def __init__(self) -> None:
        self._due: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def call_soon_threadsafe(self, what: Callable[..., None], *arguments: Any) -> None:
        self._due.put(lambda: what(*arguments))

    def turn(self) -> None:
        """The next answers. Raises Empty where the thread gives none."""
        self._due.get(timeout=5)()


class Bench:
    """A spill on a real folder."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.spill = Spill(folder, 0, 1, "conversationId", len, cast("Any", self.loop))

    def append(self) -> int | None:
        found: list[int | None] = []
        self.spill.append([(7, LINE)], found.append)
        while not found:
            self.loop.turn()
        return found[0]

    def read(self) -> list[Row]:
        found: list[list[Row]] = []
        self.spill.read(1_000, found.append)
        while not found:
            self.loop.turn()
        return found[0]

    def settle(self, *rows: int) -> None:
        self.spill.settle(rows)
        self.loop.turn()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.spill.close()


class Failing:
    """The module `os`, of which one function fails when its work is done, so often."""

    def __init__(self, name: str, times: int, error: Exception) -> None:
        self._name, self.left, self._error = name, times, error

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return real if name != self._name else lambda *arguments: self._fail(real, arguments)

    def _fail(self, real: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        found = real(*arguments)
        if self.left:
            self.left -= 1
            raise self._error
        return found


def test_its_size_and_age_follow_every_job(bench: Bench) -> None:
    """By the size the receiver keeps to its bound, before the answer of the append that reached it."""
    assert (bench.spill.size_bytes, bench.spill.oldest_s) == (0, 0.0)
    first = bench.append()
    assert first is not None
    one = bench.spill.size_bytes
    assert one > len(LINE)
    assert bench.spill.oldest_s > 0
    second = bench.append()
    assert second is not None
    assert bench.spill.size_bytes == 2 * one
    bench.settle(first, second)
    bench.read()
    assert (bench.spill.size_bytes, bench.spill.oldest_s) == (0, 0.0)


@pytest.mark.parametrize("code", [errno.EIO, errno.EDQUOT])
def test_a_file_that_does_not_close_cleanly_keeps_nothing_from_the_disk(
    bench: Bench, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its rows were synced before they were answered: it is let go, and the next rows get a file of their own."""
    first = bench.append()
    assert first is not None
    failing = Failing("close", 1, OSError(code, "refused"))
    monkeypatch.setattr(segments, "os", failing)
    bench.settle(first)
    assert not failing.left
    second = bench.append()
    assert second == first + 1
    assert bench.read()[-1] == Row(second, 7, LINE)
    assert bench.spill.error == ""
    assert "did not close cleanly" in caplog.text


@pytest.mark.parametrize(
    ("worker", "workers", "drained"), [(0, 1, [1, 2, 3, 10]), (0, 2, [2, 10]), (1, 2, [3]), (3, 4, [])]
)
def test_each_file_of_a_worker_that_runs_no_more_is_one_others_to_drain(
    tmp_path: Path, worker: int, workers: int, drained: list[int]
) -> None:
    """By its number: none is left to nobody, and none is read by two."""
    for name in ("spill-0-1.seg", "spill-1-1.seg", "spill-1-2.seg", "spill-2-1.seg", "spill-3-1.seg", "spill-10-1.seg"):
        (tmp_path / name).touch()
    (tmp_path / "spill-x-1.seg").touch()
    (tmp_path / "spill-7.lock").touch()
    assert spill._left_behind(tmp_path, worker, workers) == drained


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_is_told_by_its_code_and_the_thread_goes_on(
    bench: Bench, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it asked for counts as refused; once it works again nothing is told."""
    first = bench.append()
    assert first is not None

    def refuses(*_: object) -> Any:
        raise OSError(code, "refused")

    monkeypatch.setattr(Segments, "append", refuses)
    monkeypatch.setattr(Segments, "settle", refuses)
    assert bench.append() is None
    assert bench.spill.error == errno.errorcode[code]
    monkeypatch.undo()
    assert bench.append() == first + 1
    assert bench.spill.error == ""


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE])
def test_a_file_that_cannot_be_read_now_is_told_by_its_code(
    bench: Bench, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its events wait for as long as that lasts. The state is told, and no line comes of each trial."""
    first = bench.append()
    assert first is not None
    Unreadable(monkeypatch, code, 3)
    for _ in range(3):
        assert bench.read() == []
        assert bench.spill.error == errno.errorcode[code]
    assert caplog.text == ""
    assert bench.read() == [Row(first, 7, LINE)]
    assert bench.spill.error == ""


@pytest.mark.parametrize("method", ["append", "read", "settle"])
def test_a_job_that_fails_in_an_unforeseen_way_is_answered_and_told(
    bench: Bench, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What it asked for counts as refused, the spill as failing; the next of its kind is done."""

    def fails(*_: object) -> Any:
        raise KeyError("a payload")

    first = bench.append()
    assert first is not None
    monkeypatch.setattr(Segments, method, fails)
    trials: dict[str, Callable[[], Any]] = {
        "append": bench.append,
        "read": bench.read,
        "settle": lambda: bench.settle(first),
    }
    assert not trials[method]()
    assert bench.spill.error == DEFECT
    assert "KeyError" in caplog.text
    for name in set(trials) - {method}:
        trials[name]()
        assert bench.spill.error == DEFECT, name
    monkeypatch.undo()
    trials[method]()
    assert bench.spill.error == ""


def spilled(folder: Path) -> list[bytes]:
    """Three lines, synced, of a receiver that is gone."""
    files = Segments(folder, 0, "conversationId", len)
    files.open()
    files.append([(7, b"one"), (7, b"two"), (8, b"three")])
    files.close()
    return [b"one", b"two", b"three"]


class Unreadable:
    """Opening a segment fails so often; then it is as it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int, times: int) -> None:
        self.left = times
        real = Path.open

        def opens(path: Path, *arguments: Any, **named: Any) -> Any:
            if path.suffix == ".seg" and self.left:
                self.left -= 1
                raise OSError(code, "refused")
            return real(path, *arguments, **named)

        monkeypatch.setattr(Path, "open", opens)


@pytest.mark.parametrize(
    ("code", "times"), [(errno.EMFILE, 50), (errno.EACCES, 50), (errno.ENOMEM, 50), (errno.EIO, 2)]
)
def test_a_file_that_cannot_be_opened_now_is_read_later(
    tmp_path: Path, code: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No open file left says nothing of the events in it: they wait, however long that lasts, and none is given up."""
    lines = spilled(tmp_path)
    files = Segments(tmp_path, 0, "conversationId", len)
    files.open()
    Unreadable(monkeypatch, code, times)
    for _ in range(times):
        with pytest.raises(OSError, match="refused"):
            files.read(1_000)
    assert [row.line for row in files.read(1_000)] == lines
    files.close()


def test_reads_that_failed_long_ago_set_no_file_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those one behind the other tell that the disk has the file no more."""
    files = Segments(tmp_path, 0, "conversationId", len)
    files.open()
    failing = Unreadable(monkeypatch, errno.EIO, 0)
    for number in range(5):
        files.append([(7, LINE)])
        failing.left = 1
        with pytest.raises(OSError, match="refused"):
            files.read(1_000)
        assert files.read(1_000) == [Row(number, 7, LINE)]
    files.close()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE])
def test_a_whole_file_that_may_not_be_read_stops_the_start(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a copy by another user: it is named and stays where it is; once it may be read its events come."""
    lines = spilled(tmp_path)
    Unreadable(monkeypatch, code, 1)
    refused = Segments(tmp_path, 0, "conversationId", len)
    with pytest.raises(SettingsError, match=r"STREAM_ROUTER_SPILL_DIR: spill-0-0+\.seg in it cannot be read"):
        refused.open()
    refused.close()
    files = Segments(tmp_path, 0, "conversationId", len)
    files.open()
    assert [row.line for row in files.read(1_000)] == lines
    files.close()


def test_rows_whose_writing_broke_off_leave_nothing_that_others_could_be_taken_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the error is: after a restart the rows that were answered are there, under their own numbers."""
    files = Segments(tmp_path, 0, "conversationId", len)
    files.open()
    assert files.append([(7, b"first")]) == 0
    monkeypatch.setattr(segments, "os", Failing("write", 1, MemoryError()))
    with pytest.raises(MemoryError):
        files.append([(7, b"broken off")])
    assert files.append([(7, b"second")]) == 1
    files.close()
    again = Segments(tmp_path, 0, "conversationId", len)
    again.open()
    rows: list[Row] = []
    while found := again.read(1_000):
        rows += found
    assert [row.line for row in rows] == [b"first", b"second"]
    assert again.lost == 0
    again.close()


def test_a_file_is_used_only_in_a_folder_that_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut takes the file with all that was answered: where the sync fails the next rows try it again."""
    files = Segments(tmp_path, 0, "conversationId", len)
    files.open()
    failing = Failing("fsync", 2, OSError(errno.EIO, "refused"))
    monkeypatch.setattr(segments, "os", failing)
    for _ in range(2):
        with pytest.raises(OSError, match="refused"):
            files.append([(7, LINE)])
        assert not list(tmp_path.glob("*.seg"))
    assert files.append([(7, LINE)]) == 0
    assert not failing.left
    assert files.size_bytes > len(LINE)
    files.close()


def test_an_answer_that_raises_keeps_no_other_back() -> None:
    """Several appends share a sync: whoever asked for the next one is answered all the same, and the loop is told."""
    answered: list[int] = []

    def raises() -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        spill._deliver([raises, lambda: answered.append(1), raises, lambda: answered.append(2)])
    assert answered == [1, 2]


def test_a_disk_that_hangs_holds_up_no_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it was asked for is not waited for beyond a moment: nobody was answered for it, or it comes again."""
    bench, hangs = Bench(tmp_path), threading.Event()

    def settle(*_: object) -> None:
        hangs.wait()

    monkeypatch.setattr(Segments, "settle", settle)
    first = bench.append()
    bench.spill.settle([first or 0])
    closing = threading.Thread(target=bench.spill.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    with pytest.raises(SettingsError, match="another receiver"):
        spilled(tmp_path)
    hangs.set()
    bench.spill._thread.join(10)
    spilled(tmp_path)

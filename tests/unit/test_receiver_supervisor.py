"""What the receiver's parent does where a worker ends, without a process: which ends are the receiver's own."""

import errno
import os
import signal
from types import SimpleNamespace

import pytest

from stream_router.errors import EX_CONFIG, NotNowError, SettingsError
from stream_router.receiver import supervisor
from stream_router.receiver.pulses import HUNG_S
from stream_router.receiver.supervisor import (
    BEGINS_WITHIN_S,
    MAX_SHORT_LIVES,
    REFUSED_RESPAWN_AFTER_S,
    RESPAWN_AFTER_S,
    WorkerSupervisor,
)
from stream_router.telemetry.receiver.receiver_board import Board

BAD = "STREAM_ROUTER_WEBHOOK_SECRETS: no secret is set; set at least one, or file:PATH"


class Workers(WorkerSupervisor):
    """Two workers of which no process is made; the test ends them, and moves the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.board = Board(2)
        super().__init__(2, lambda _: None, self.board.gone, lambda: self.board.beats)
        self.killed: list[tuple[int, int]] = []
        monkeypatch.setattr(os, "kill", lambda *given: self.killed.append(given))
        self.forked: list[int] = []
        self.no_room: list[OSError] = []
        """What the next forks raise."""
        self.ended: list[tuple[int, int]] = []
        self.start_both()

    def start_both(self) -> None:
        for number in range(2):
            self._fork(number)

    def _fork(self, number: int) -> int:
        if self.no_room:
            raise self.no_room.pop()
        self.forked.append(number)
        pid = len(self.forked)
        self._numbers[pid], self._started_s[pid] = number, self.now_s
        return pid

    def _reap(self) -> list[tuple[int, int]]:
        ended, self.ended = self.ended, []
        return ended

    def refuse(self, *pids: int, kind: type[SettingsError] = SettingsError) -> None:
        """These workers tell what is wrong with the settings, and end."""
        for pid in pids:
            self._complain(kind(BAD))
            self.ended.append((pid, EX_CONFIG))

    def after(self, seconds: float) -> str:
        """One look later; what the receiver stops for."""
        self.now_s += seconds
        self._kill_hung()
        self._replace_dead()
        self._fork_due()
        return str(self._complaint or "")


def test_a_dead_worker_that_cannot_be_replaced_now_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Secrets that are being replaced just then are no reason to stop those who serve: it is told, and tried again."""
    workers = Workers(monkeypatch)
    workers.ended = [(1, -9), (2, -9)]
    assert workers.after(60.0) == ""
    assert workers.after(RESPAWN_AFTER_S) == ""
    assert workers.forked == [0, 1, 0, 1]
    for _ in range(MAX_SHORT_LIVES):
        workers.refuse(len(workers.forked) - 1, len(workers.forked))
        assert workers.after(0.1) == ""
        assert workers.after(REFUSED_RESPAWN_AFTER_S) == ""
    assert workers.forked == [0, 1] * 5
    assert workers._short_lives == 0
    assert [record.getMessage() for record in caplog.records].count(
        f"a dead worker cannot be replaced now, and is tried again: {BAD}"
    ) == 1


def test_a_host_without_room_for_another_process_stops_no_worker_that_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One was killed since the memory was short, and so it is still: it is told, and tried again."""
    workers = Workers(monkeypatch)
    workers.ended = [(1, -9), (2, -9)]
    workers.after(60.0)
    workers.no_room = [OSError(errno.ENOMEM, "no room") for _ in range(3)]
    for _ in range(2):
        assert workers.after(REFUSED_RESPAWN_AFTER_S) == ""
    assert workers.forked == [0, 1, 1]
    assert workers.after(REFUSED_RESPAWN_AFTER_S) == ""
    assert workers.forked == [0, 1, 1, 0]
    said = [record.getMessage() for record in caplog.records if "cannot be replaced" in record.getMessage()]
    assert said == ["a dead worker cannot be replaced now, and is tried again: no process can be made (ENOMEM)"]


def test_a_worker_that_stands_still_is_killed_once_and_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is stopped, or whose loop never returns: the kernel would go on giving it connections."""
    workers = Workers(monkeypatch)
    for _ in range(round(2 * HUNG_S)):
        workers.board.beat(0)
        if workers.now_s < 110.0:
            workers.board.beat(1)
        assert workers.after(1.0) == ""
    assert workers.killed == [(2, signal.SIGKILL)]
    assert [record.getMessage() for record in caplog.records] == ["a worker stands still and is killed"]
    workers.ended = [(2, -9)]
    workers.after(0.1)
    workers.after(RESPAWN_AFTER_S)
    assert workers.forked == [0, 1, 1]
    for _ in range(round(2 * HUNG_S)):
        workers.board.beat(0)
        workers.after(1.0)
    assert len(workers.killed) == 1, "it has not begun yet"


def test_a_worker_that_never_begins_is_killed_and_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fork takes over the locks of threads that it does not have. A start on a full spill may take minutes."""
    workers = Workers(monkeypatch)
    workers.ended = [(2, -9)]
    workers.after(60.0)
    workers.after(RESPAWN_AFTER_S)
    caplog.clear()
    for _ in range(int(BEGINS_WITHIN_S)):
        workers.board.beat(0)
        workers.after(1.0)
    assert not workers.killed
    workers.board.beat(0)
    workers.after(1.0)
    assert workers.killed == [(3, signal.SIGKILL)]
    assert caplog.messages == ["a worker stands still and is killed"]


def test_a_first_worker_that_finds_the_settings_bad_stops_the_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody serves yet, and what is wrong is wrong for all: the line of one of them is the receiver's own."""
    workers = Workers(monkeypatch)
    workers.refuse(1, 2)
    assert workers.after(0.1) == BAD
    assert workers.forked == [0, 1]


@pytest.mark.parametrize("kind", [SettingsError, NotNowError])
def test_the_line_of_a_first_worker_is_raised(monkeypatch: pytest.MonkeyPatch, kind: type[SettingsError]) -> None:
    """As the error that ends the program with 78; or with 1, where what did not answer may do so at another start."""
    workers = Workers(monkeypatch)
    workers.refuse(2, kind=kind)
    monkeypatch.setattr(signal, "sigtimedwait", lambda *_: None)
    monkeypatch.setattr(workers, "_stop", lambda _: None)
    with pytest.raises(SettingsError, match="no secret is set") as raised:
        workers.run()
    assert raised.value.status == kind.status

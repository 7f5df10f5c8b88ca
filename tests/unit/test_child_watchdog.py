"""How a child shows that it lives, how it ends where its start hangs, and that it sees its daemon's end."""

import errno
import faulthandler
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_router.consumer import targets
from stream_router.consumer.child import __main__ as program
from stream_router.consumer.child import assembly
from stream_router.consumer.child.daemon_lines import DaemonInput
from stream_router.consumer.state_dir import HEARTBEATS
from stream_router.errors import SettingsError
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load


def test_a_heartbeat_touches_its_file_once_a_second_and_trims_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the shard goes round; a child that has just begun has given memory back already."""
    touched, trimmed, now_s = list[float](), list[float](), 1_000.0
    monkeypatch.setattr(Path, "touch", lambda _: touched.append(now_s))
    monkeypatch.setattr(assembly, "give_back_now", lambda: trimmed.append(now_s))
    beat = assembly.Heartbeat(tmp_path, lambda: now_s)
    for step in range(1_300):
        now_s = 1_000 + step / 10
        beat()
    assert 110 <= len(touched) <= 130
    assert [round(at) for at in trimmed] == [1_061, 1_122]


def test_a_heartbeat_is_a_file_that_moves_and_a_folder_that_takes_none_is_no_trouble(tmp_path: Path) -> None:
    """Named by the process id, in the state folder."""
    assembly.Heartbeat(tmp_path, time.monotonic)()
    file = tmp_path / HEARTBEATS / str(os.getpid())
    os.utime(file, (0, 0))
    assembly.Heartbeat(tmp_path, time.monotonic)()
    assert file.stat().st_mtime > 0
    assembly.Heartbeat(file, time.monotonic)()
    assembly.Heartbeat(None, time.monotonic)()


def test_a_child_that_hangs_before_its_first_sign_of_life_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a program for credentials that never ends, for example: nobody else would notice, it has no snapshot yet."""
    armed = list[float]()

    def asks(*_: object) -> None:
        assert armed == [program.START_WITHIN_S]
        raise SettingsError("enough")

    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, **_: armed.append(seconds))
    monkeypatch.setattr(targets, "Targets", asks)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("SQS_DLQ_URL", "http://127.0.0.1/q")
    with pytest.raises(SettingsError, match="enough"):
        program._serve(load(Consumer), DaemonInput(os.open(os.devnull, os.O_RDONLY)), io.BytesIO(), [])


def forbidden(_: int) -> int:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("pidfd_open", [forbidden, None], ids=["forbidden", "not there"])
def test_without_pidfds_a_daemons_end_is_noticed_too(
    pidfd_open: Callable[[int], int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python that was built on an old kernel has no `os.pidfd_open`: its child would live on as an orphan."""
    if pidfd_open:
        monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    else:
        monkeypatch.delattr(os, "pidfd_open")
    told = list[object]()
    monkeypatch.setattr(os, "_exit", told.append)
    parents = iter([77, 77, 1])
    monkeypatch.setattr(program, "LOOK_FOR_PARENT_S", 0.001)
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    program._die_with(77, lambda: told.append("ended well"))
    assert told == ["ended well", os.EX_TEMPFAIL]

"""How a child shows that it lives, how it ends where its start hangs, and that it sees its daemon's end."""

import errno
import faulthandler
import io
import os
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


def test_a_heartbeat_is_a_file_that_moves_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by the process id, in the state folder; a folder that takes none is no trouble. Memory goes back too."""
    file, now_s, trimmed = tmp_path / HEARTBEATS / str(os.getpid()), 1_000.0, list[float]()
    monkeypatch.setattr(assembly, "give_back_now", lambda: trimmed.append(now_s))
    beat, nowhere = assembly.Heartbeat(tmp_path, lambda: now_s), assembly.Heartbeat(file, lambda: now_s)
    moved = list[bool]()
    for step in range(1_300):
        now_s = 1_000 + step / 10
        beat()
        nowhere()
        moved.append(file.stat().st_mtime > 0)
        os.utime(file, (0, 0))
    assert 110 <= moved.count(True) <= 130
    assert len(trimmed) == 4, "once a minute, by each of the two"


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


@pytest.mark.parametrize("forbidden", [True, False], ids=["forbidden", "not there"])
def test_without_pidfds_a_daemons_end_is_noticed_too(forbidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that was built on an old kernel has no `os.pidfd_open`: its child would live on as an orphan."""
    told, parents = list[object](), iter([77, 77, 1])

    def refuses(_: int) -> int:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.delattr(os, "pidfd_open")
    if forbidden:
        monkeypatch.setattr(os, "pidfd_open", refuses, raising=False)
    monkeypatch.setattr(os, "_exit", told.append)
    monkeypatch.setattr(program, "LOOK_FOR_PARENT_S", 0.001)
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    program._die_with(77, lambda: told.append("ended well"))
    assert told == ["ended well", os.EX_TEMPFAIL]

"""What a child watches: its own life, which also gives free memory back, and its daemon's."""

import errno
import faulthandler
import io
import os
from collections.abc import Callable

import pytest

from stream_router.consumer import targets
from stream_router.consumer.child import __main__ as program
from stream_router.consumer.child.daemon.protocol import DaemonInput
from stream_router.errors import SettingsError
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load


def test_a_sign_of_life_arms_once_a_second_and_trims_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the main loop shows life; a child that has just begun has given back already."""
    armed, trimmed, now_s = list[float](), list[float](), 1_000.0
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: armed.append(now_s))
    monkeypatch.setattr(program, "give_back_now", lambda: trimmed.append(now_s))
    alive = program.Watchdog(lambda: now_s)
    for step in range(1_300):
        now_s = 1_000 + step / 10
        alive()
    assert 110 <= len(armed) <= 130
    assert [round(at) for at in trimmed] == [1_060, 1_120]


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

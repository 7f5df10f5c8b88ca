"""Waiting for processes that are not our own to wait for, whether or not the kernel can tell of their end."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from stream_router.consumer.supervisor import processes

SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]


def unknown_to_the_kernel(_: int) -> int:
    raise OSError(errno.ENOSYS, "Function not implemented")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEPS) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    "pidfd_open", [os.pidfd_open, unknown_to_the_kernel, None], ids=["there", "unknown", "no name"]
)
def test_an_end_is_awaited_with_pidfds_and_without(
    sleeper: subprocess.Popen[bytes], pidfd_open: Callable[[int], int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it ends, be it a zombie then, or the patience does: else `consume` would end as soon as its daemon died."""
    if pidfd_open:
        monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    else:
        monkeypatch.delattr(os, "pidfd_open")
    began_s = time.monotonic()
    processes.await_end([sleeper.pid], 0.1)
    assert 0.1 <= time.monotonic() - began_s < 5
    sleeper.kill()
    processes.await_end([sleeper.pid], 60)
    assert processes.state(sleeper.pid) == "Z"
    assert time.monotonic() - began_s < 30

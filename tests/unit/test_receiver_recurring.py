"""The receiver's timers and tasks after something in them has failed: they go on, and the log tells of it."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream_router.receiver import __main__ as program
from stream_router.receiver.recurring import beside, every
from tests.receiver_kit import FakeLoop


@pytest.fixture
def loop() -> Iterator[FakeLoop]:
    made = FakeLoop()
    yield made
    made.close()


@pytest.mark.parametrize("awaited", [False, True])
def test_a_task_that_failed_is_called_again_and_told_once_a_minute(
    awaited: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Showing the numbers, following secrets and TLS files: a failure is one line, and not the last time."""
    calls: list[int] = []

    async def run() -> None:
        enough = asyncio.Event()

        def work() -> None:
            calls.append(1)
            if len(calls) == 5:
                enough.set()
            raise RuntimeError

        async def waited_for() -> None:
            await asyncio.sleep(0)
            work()

        task = asyncio.create_task(every(0.0, waited_for if awaited else work))
        await asyncio.wait_for(enough.wait(), 5)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert len(calls) >= 5
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_stop_does_not_wait_for_secrets_that_are_being_read() -> None:
    """AWS, or a disk, may take its time: the loop ends, and what is read then is nobody's any more."""
    answers = threading.Event()
    reading: list[threading.Thread] = []

    async def run() -> None:
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        def read() -> None:
            reading.append(threading.current_thread())
            loop.call_soon_threadsafe(begun.set)
            assert answers.wait(2)

        live: Any = SimpleNamespace(refresh=read)
        task = asyncio.create_task(program._follow(live, 0.0))
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()

    asyncio.run(run())
    assert reading[0].is_alive()
    answers.set()
    reading[0].join(5)
    assert not reading[0].is_alive()


def test_told_to_look_again_the_loop_waits_for_no_disk() -> None:
    """A certificate on a file system that hangs would else hold every sender, as secrets there would."""
    hangs, looked = threading.Event(), threading.Barrier(3, timeout=5)

    def refresh() -> None:
        looked.wait()
        assert hangs.wait(5)

    async def run() -> None:
        live: Any = SimpleNamespace(refresh=refresh, follow_every_s=1.0)
        program._reload(asyncio.get_running_loop(), [live, live])
        await asyncio.sleep(0.01)
        looked.wait()

    asyncio.run(run())
    hangs.set()


def test_what_is_done_beside_the_loop_tells_its_failure() -> None:
    """To whoever waits for it."""

    def fails() -> None:
        raise KeyError("a secret")

    with pytest.raises(KeyError):
        asyncio.run(beside(fails))

"""A worker's timers and tasks after something in them has failed: they go on, and the log tells of it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from stream_router.receiver import worker
from stream_router.receiver.batching.deadlines import Deadlines
from stream_router.receiver.http.listener import Listener
from stream_router.receiver.http.long_work import LongWork
from stream_router.receiver.http.turns import Turn
from stream_router.receiver.recurring import beside, every
from tests.receiver_kit import FakeLoop, refuse


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
        task = asyncio.create_task(worker._follow(live, 0.0))
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
        worker._reload(asyncio.get_running_loop(), [live, live])
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


def test_requests_are_answered_in_time_though_deciding_fails(loop: FakeLoop) -> None:
    """Where the spill breaks while it is asked, each request is still answered, and so are those that come later."""
    told: list[float] = []

    def decide(overdue: object) -> None:
        if overdue:
            raise RuntimeError

    watched = Deadlines(loop, decide, refuse)  # type: ignore[arg-type]

    def take_in() -> None:
        request: Any = SimpleNamespace(arrived_s=loop.time(), done=False)

        def finish(*, stored: bool) -> None:
            request.done = not stored
            told.append(loop.time() - request.arrived_s)

        request.finish = finish
        watched.watch(request)

    for _ in range(2):
        take_in()
        for _ in range(100):
            with contextlib.suppress(RuntimeError):  # a real loop logs it
                loop.move(0.01)
    assert [age_s <= 0.9 for age_s in told] == [True, True]


def test_a_connection_whose_work_failed_has_its_next_turn(loop: FakeLoop) -> None:
    """What comes on it later is worked on, and does not wait for a turn that is over."""
    done: list[str] = []
    later: list[Callable[[], None]] = []

    def work() -> None:
        done.append("work")
        raise RuntimeError

    turns: Any = SimpleNamespace(
        have_time=lambda **_: False, full=False, now_s=loop.time, later=lambda what, *_, **__: later.append(what)
    )
    turn = Turn(turns, work, lambda _: None)
    for _ in range(2):
        turn.came(1)
        with pytest.raises(RuntimeError):
            later.pop()()
    assert done == ["work", "work"]


def test_a_large_body_that_fails_keeps_none_behind_it_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """The next one begins, and the log tells of the failure."""
    done: list[str] = []

    async def fails() -> None:
        raise RuntimeError

    async def works() -> None:
        done.append("works")

    async def run() -> None:
        long = LongWork()
        for work in (fails, works):
            long.start(work, 1)
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert done == ["works"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


class Opening:
    """A listener's loop and connection, as far as one that opens needs them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tls: Callable[[], None]) -> None:
        self.sock, self.connection, listening = Mock(), Mock(), Mock()
        listening.fileno.return_value = 0
        connections: Any = Mock()
        watched: Any = SimpleNamespace(add_reader=Mock(), create_task=loop.create_task, time=loop.time)
        watched.connect_accepted_socket = AsyncMock()
        listener = Listener(watched, listening, connections, lambda *_: self.connection, tls, 5.0)
        listener._take(self.sock, "1.2.3.4")


def test_a_connection_that_cannot_be_opened_gives_its_place_back() -> None:
    """Whatever the reason: its socket is closed and its place is free; what nobody foresaw is the loop's to tell."""

    async def run() -> None:
        told: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        opening = Opening(loop, Mock(side_effect=RuntimeError))
        for _ in range(3):
            await asyncio.sleep(0)
        opening.sock.close.assert_called_once()
        opening.connection.gone.assert_called_once()
        assert [type(one["exception"]) for one in told] == [RuntimeError]

    asyncio.run(run())


def test_a_connection_that_is_cut_before_it_began_to_open_is_closed() -> None:
    """Many come in one round of the loop, and others need the room: its socket waits for no garbage collector."""

    async def run() -> None:
        opening = Opening(asyncio.get_running_loop(), lambda: None)
        opening.connection.opening.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        opening.sock.close.assert_called_once()
        opening.connection.gone.assert_called_once()

    asyncio.run(run())

"""Where a connection opens later than a call is waited for, the next call finds it open."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from stream_router.errors import Answer
from stream_router.receiver.batching.late_calls import MAX_LATE, MAX_LATE_BYTES, LateCalls
from stream_router.receiver.batching.putrecords_calls import CALL_TIMEOUT_S, PATIENT_TIMEOUT_S
from tests.receiver_kit import FakeLoop

GOOD = Answer(200, b"{}", {}, "")


class Bench:
    """Calls over a transport of which the test ends each when it likes; `told` are the answers, `given` the times."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.calls = LateCalls(cast("Any", self.loop), self._send)
        self.given: list[float] = []
        self.ends: list[Callable[[Answer], None]] = []
        self.told: list[Answer] = []

    def _send(self, _body: bytes, timeout_s: float, done: Callable[[Answer], None]) -> None:
        self.given.append(timeout_s)
        self.ends.append(done)

    def start(self, size_bytes: int = 10, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.calls.start(bytes(size_bytes), timeout_s, self.told.append)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.loop.close()


def test_a_call_is_given_up_in_time_and_ends_later(bench: Bench) -> None:
    """Who waits for it is told at 0.6 s, and not again; the connection that it opens has five seconds."""
    bench.start()
    bench.loop.move(0.59)
    assert bench.told == []
    bench.loop.move(0.02)
    assert [(one.status, one.error[:7]) for one in bench.told] == [(0, "curl 28")]
    assert bench.given == [PATIENT_TIMEOUT_S]
    bench.ends[0](GOOD)
    assert len(bench.told) == 1


def test_an_answer_in_time_is_told_once(bench: Bench) -> None:
    """And nothing rings any more."""
    bench.start()
    bench.loop.move(0.1)
    bench.ends[0](GOOD)
    bench.loop.move(10.0)
    assert bench.told == [GOOD]


def test_not_all_may_end_late(bench: Bench) -> None:
    """A stream that hangs takes so many sockets, and no large bodies; a place is free as a call ends, told or not."""
    bench.start(MAX_LATE_BYTES + 1)
    for _ in range(MAX_LATE + 1):
        bench.start()
    bench.loop.move(1.0)
    bench.start()
    assert bench.given == [CALL_TIMEOUT_S, *[PATIENT_TIMEOUT_S] * MAX_LATE, CALL_TIMEOUT_S, CALL_TIMEOUT_S]
    bench.ends[1](GOOD)
    bench.start()
    assert bench.given[-1] == PATIENT_TIMEOUT_S


def test_what_has_time_anyway_is_sent_as_it_is(bench: Bench) -> None:
    """A call that nobody waits for is the transport's own."""
    bench.start(timeout_s=PATIENT_TIMEOUT_S)
    bench.loop.move(4.0)
    assert (bench.given, bench.told) == ([PATIENT_TIMEOUT_S], [])

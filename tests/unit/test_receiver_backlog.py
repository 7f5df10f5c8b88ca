"""What waits on disk comes back in order, and newer events never pass it, step by step."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from stream_router.receiver.batching.batcher import Batcher
from stream_router.receiver.batching.bucket import Bucket
from stream_router.receiver.intake import Sealed
from stream_router.telemetry.receiver_stats import Stats
from tests.receiver_kit import FakeDisk, FakeLoop, FakeStream


class Bench:
    """One bucket between a fake stream, which is down until `up` is called, and a fake disk."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.verdict = "down"
        self.stream = FakeStream(self.loop, iter(lambda: self.verdict, None))
        self.disk = FakeDisk(self.loop, 0.005)
        self.stats = Stats()
        self.batcher = Batcher(cast("Any", self.loop), self.stream.send, "s", 1, 0.005, self.stats, lambda: 0.5)
        self.batcher.use_spill(cast("Any", self.disk), 10**9)
        self.bucket: Bucket = self.batcher._buckets[0]

    def submit(self, name: str) -> Any:
        return self.batcher.submit([Sealed(name, 0, name.encode())], self.loop.time())

    def until_rows_fly(self) -> None:
        """Move on until what is on disk is in flight, all of it."""
        for _ in range(10_000):
            if self.bucket.sending and self.bucket.rows and self.bucket.catching_up:
                return
            self.loop.move(0.001)
        raise AssertionError("the disk's rows are never sent")

    def until_landed(self) -> None:
        while self.bucket.sending:
            self.loop.move(0.001)

    def stored(self) -> list[str]:
        return list(dict.fromkeys(line.decode() for _, line in self.stream.stored))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.loop.close()


def test_an_event_is_spilled_at_600_ms_and_answered_yes(bench: Bench) -> None:
    """With a spill an outage costs the sender 600 ms, not its event."""
    stored = bench.submit("a")
    bench.loop.move(0.59)
    assert not stored.done()
    bench.loop.move(0.05)
    assert stored.result() is True
    assert [line for _, line in bench.disk.rows.values()] == [b"a"]


def test_newer_events_go_behind_at_once(bench: Bench) -> None:
    """While the bucket has events on disk that are not on their way, a newer one is synced at once, in milliseconds."""
    bench.submit("a")
    bench.loop.move(0.61)
    while bench.bucket.catching_up:
        bench.loop.move(0.001)
    stored = bench.submit("b")
    bench.loop.move(0.02)
    assert stored.result() is True
    assert [line for _, line in bench.disk.rows.values()] == [b"a", b"b"]


def test_what_waited_in_memory_goes_to_disk_first_where_the_rows_fail(bench: Bench) -> None:
    """An event that came while the rows were in flight stays before one that came after their failure."""
    bench.submit("a")
    bench.until_rows_fly()
    bench.submit("b")
    bench.until_landed()
    bench.submit("c")
    bench.loop.move(0.01)
    assert [line for _, line in bench.disk.rows.values()] == [b"a", b"b", b"c"]
    bench.verdict = "ok"
    bench.loop.move(5.0)
    assert bench.stored() == ["a", "b", "c"]


def test_while_the_last_rows_fly_newer_events_need_no_disk(bench: Bench) -> None:
    """A bucket that is always busy gets rid of its disk: what comes while its last rows fly waits in memory."""
    bench.submit("a")
    bench.until_rows_fly()
    bench.until_landed()
    bench.verdict = "ok"
    bench.until_rows_fly()
    stored = bench.submit("b")
    bench.loop.move(0.1)
    assert stored.result() is True
    assert bench.disk.synced == [b"a"]
    assert bench.stored() == ["a", "b"]
    assert bench.stats.spill_events == 0


def test_a_queue_that_waits_too_long_behind_flying_rows_goes_to_disk_in_its_place(bench: Bench) -> None:
    """At 600 ms it is synced behind the rows, and what comes later goes behind it."""
    bench.submit("a")
    bench.loop.move(0.61)
    bench.verdict = "hang"
    bench.until_rows_fly()
    bench.until_landed()
    bench.until_rows_fly()
    stored = bench.submit("b")
    bench.loop.move(0.65)
    assert stored.result() is True
    bench.submit("c")
    bench.loop.move(0.01)
    assert [line for _, line in bench.disk.rows.values()] == [b"a", b"b", b"c"]
    bench.verdict = "ok"
    bench.loop.move(10.0)
    assert bench.stored() == ["a", "b", "c"]


def test_rows_of_an_earlier_process_come_first() -> None:
    """What is on disk at the start is sent before anything new of its bucket."""
    bench = Bench()
    bench.disk.rows = {-2: (0, b"old"), -1: (0, b"older")}
    bench.verdict = "ok"
    batcher = Batcher(cast("Any", bench.loop), bench.stream.send, "s", 1, 0.005, bench.stats, lambda: 0.5)
    bench.disk.depths = lambda: [(0, 2, 100)]  # type: ignore[method-assign]
    batcher.use_spill(cast("Any", bench.disk), 10**9)
    stored = batcher.submit([Sealed("new", 0, b"new")], bench.loop.time())
    bench.loop.move(1.0)
    assert stored.result() is True
    assert bench.stored() == ["old", "older", "new"]
    bench.loop.close()

"""A shard that refuses while others take: what waits for it on disk holds up as little as may be of theirs."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from stream_router.errors import Answer
from stream_router.receiver.batching.backlog import PROBE_BYTES, WINDOW_BYTES
from stream_router.receiver.batching.batcher import Batcher
from stream_router.receiver.batching.stats import Stats
from stream_router.receiver.intake import Sealed
from tests.receiver_kit import FakeDisk, FakeLoop, FakeStream, Health

SICK, WELL = 0, 1
"""Conversations, each in a bucket of its own."""
BUCKETS = 8


class PartOfAStream(FakeStream):
    """Refuses every record for the buckets `sick`."""

    def __init__(self, loop: FakeLoop) -> None:
        super().__init__(loop)
        self.sick = {SICK}

    def _store(self, records: list[dict[str, Any]], codes: list[str]) -> Answer:
        sick = {f"bucket-{bucket}-of-{BUCKETS}" for bucket in self.sick}
        pairs = zip(records, codes, strict=True)
        return super()._store(
            records, ["InternalFailure" if record["PartitionKey"] in sick else code for record, code in pairs]
        )


class Bench:
    """A batcher before such a stream, with a fake disk; `begin` reads what is on that already."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.stream = PartOfAStream(self.loop)
        self.disk = FakeDisk(self.loop, 0.005)
        self.batcher = Batcher(cast("Any", self.loop), self.stream.send, "s", BUCKETS, 0.005, Stats(), lambda: 0.5)

    def begin(self) -> None:
        self.batcher.use_spill(cast("Any", self.disk), 10**9)

    def submit(self, name: str, conversation: int) -> None:
        self.batcher.submit([Sealed(name, conversation, name.encode())], self.loop.time())

    def stored(self) -> list[str]:
        return [line.decode() for _, line in self.stream.stored]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.loop.close()


def test_a_sick_shard_sends_no_event_of_a_well_one_to_the_disk(bench: Bench) -> None:
    """However much waits for the sick one, and however long nothing came for the well one."""
    bench.disk.put((SICK, b"s" * 1_000) for _ in range(10 * PROBE_BYTES // 1_000))
    bench.begin()
    bench.loop.move(5.0)
    for number in range(5):
        bench.submit(f"w{number}", WELL)
        bench.loop.move(3.0)
    assert bench.stored() == ["w0", "w1", "w2", "w3", "w4"]
    assert len(bench.disk.rows) == 10 * PROBE_BYTES // 1_000


def test_a_well_shards_events_on_disk_come_before_a_window_of_a_sick_ones(bench: Bench) -> None:
    """They need not wait for the sick shard: what the well one takes of others tells that it is there."""
    bench.disk.put((SICK, b"s" * 1_000) for _ in range(WINDOW_BYTES // 2 // 1_000))
    bench.disk.put([(WELL, b"waited")])
    bench.begin()
    bench.loop.move(5.0)
    assert bench.stored() == []
    for number in range(5):
        bench.submit(f"w{number}", WELL + 1)
        bench.loop.move(2.0)
    assert "waited" in bench.stored()
    bench.stream.sick = set()
    bench.loop.move(60.0)
    assert bench.disk.rows == {}


def test_a_sick_shard_is_no_stream_that_takes_nothing(bench: Bench) -> None:
    """However seldom the well one's events come: once one was taken, the refusals tell of the sick buckets alone."""
    for _ in range(2):
        bench.submit("w", WELL)
        for _ in range(40):
            bench.submit("s", SICK)
            bench.loop.move(0.25)
    stream = bench.batcher.stream
    assert (stream.refuses, stream.failing_code, Health(bench.batcher).ready) == (False, "", True)
    assert (stream.apart, stream.apart_code) == (1, "InternalFailure")
    bench.stream.sick = set()
    bench.submit("s", SICK)
    bench.loop.move(1.0)
    assert stream.apart == 0


def test_a_sick_shards_events_go_to_the_disk_at_once(bench: Bench) -> None:
    """They need not wait 0.6 s each for what is known: the sender of each would wait as long for its 202."""
    bench.begin()
    for name in ("s", "w", "s"):
        bench.submit(name, WELL if name == "w" else SICK)
        bench.loop.move(2.0)
    assert not bench.batcher.stream.refuses
    storing = bench.batcher.submit([Sealed("n", SICK + BUCKETS, b"n")], bench.loop.time())
    bench.loop.move(0.1)
    assert storing.done()
    assert storing.result()


def test_an_outage_that_is_over_leaves_no_bucket_sick(bench: Bench) -> None:
    """One that nothing came for since then is not said to refuse: nobody tried it."""
    bench.stream.sick = {SICK, WELL}
    for _ in range(8):
        bench.submit("s", SICK)
        bench.submit("w", WELL)
        bench.loop.move(0.25)
    assert bench.batcher.stream.refuses
    bench.stream.sick = set()
    bench.submit("w", WELL)
    bench.loop.move(5.0)
    assert (bench.batcher.stream.refuses, bench.batcher.stream.apart) == (False, 0)

"""The receiver's bounds: what a body, all bodies, all events and the disk may take, and what is said beyond that."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_router.receiver.batching.batcher import Batcher
from stream_router.receiver.http import answers, body
from stream_router.receiver.http.answers import Response
from stream_router.receiver.http.app import App
from stream_router.receiver.http.body import WHOLE_UP_TO_BYTES, BodyReader, NoBodyError
from stream_router.receiver.http.health import BELIEVED_FOR_S, Health
from stream_router.receiver.intake import Sealed
from stream_router.receiver.spill.backlog import BROKEN_FOR_S, PROBE_BYTES, RECORD_BYTES
from stream_router.receiver.spill.spill import ROW_BYTES
from stream_router.telemetry.receiver_stats import Stats
from tests.receiver_kit import FakeDisk, FakeLoop, FakeStream, Headers

MOST = 100_000


class Http:
    """A request whose body comes in chunks; where `gate` is given the last one `waits` for it."""

    def __init__(self, *sizes: int, gate: asyncio.Event | None = None) -> None:
        self._sizes = sizes
        self._gate = gate
        self.waits = asyncio.Event()
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number, size in enumerate(self._sizes):
            if self._gate and number == len(self._sizes) - 1:
                self.waits.set()
                await self._gate.wait()
            self.read += size
            yield b"x" * size
        yield b""

    async def __call__(self) -> bytes:
        self.read += sum(self._sizes)
        return b"x" * sum(self._sizes)


async def reading(reader: BodyReader, http: Http, length: str | None = None) -> int | Response:
    """The size of the body, or the answer that says why there is none."""
    try:
        return len(await reader.read(http, length))
    except NoBodyError as error:
        return error.answer


def read_one(*sizes: int, length: str | None = None) -> tuple[int | Response, int]:
    """What becomes of one body, and how much of it was read."""

    async def run() -> tuple[int | Response, int]:
        http = Http(*sizes)
        return await reading(BodyReader(asyncio.get_running_loop(), MOST, 5.0), http, length), http.read

    return asyncio.run(run())


def test_a_body_in_chunks_is_taken_up_to_the_limit_and_no_byte_beyond() -> None:
    """Without a Content-Length the bytes are counted as they come; one too many is 413, and no more is read."""
    assert read_one(MOST - 1, 1) == (MOST, MOST)
    assert read_one(MOST, 1, 1_000, 1_000) == (answers.TOO_LARGE, MOST + 1)


def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    """The header alone is enough for 413."""
    assert read_one(MOST, length=str(MOST)) == (MOST, MOST)
    assert read_one(MOST + 1, length=str(MOST + 1)) == (answers.TOO_LARGE, 0)


@pytest.mark.parametrize("length", [None, "60000"])
def test_all_bodies_that_are_half_read_are_bounded_together(
    monkeypatch: pytest.MonkeyPatch, length: str | None
) -> None:
    """Who comes on top is told to come again, small bodies are let through, and what is through makes room."""
    monkeypatch.setattr(body, "MAX_READING_BYTES", 100_000)

    async def run() -> list[int | Response]:
        reader = BodyReader(asyncio.get_running_loop(), MOST, 5.0)
        gate = asyncio.Event()
        http = Http(50_000, 10_000, gate=gate)
        slow = asyncio.ensure_future(reading(reader, http, length))
        await http.waits.wait()
        found = [await reading(reader, Http(60_000), length), await reading(reader, Http(WHOLE_UP_TO_BYTES), "16384")]
        gate.set()
        found += [await slow, await reading(reader, Http(60_000), length)]
        return [*found, reader._reading_bytes]

    assert asyncio.run(run()) == [answers.BUSY, WHOLE_UP_TO_BYTES, 60_000, 60_000, 0]


@pytest.mark.parametrize(("held", "status"), [(1_000, 202), (1_001, 503)])
def test_more_held_than_allowed_is_503_before_the_body_is_read(held: int, status: int) -> None:
    """While too much waits for the stream nothing more is taken into memory; at the bound itself it still is."""
    sent: list[tuple[int, bytes]] = []
    stats = Stats()
    stats.bytes_in_flight = held

    async def run() -> int:
        loop = asyncio.get_running_loop()
        http: Any = Http(10)
        http.response_bytes = lambda status, headers, body: sent.append((status, body))
        parts: Any = SimpleNamespace(
            verify=lambda headers, body, now_s: None, seal=lambda body, delivery: [], now_s=lambda: 0.0
        )
        app = App(parts, parts, BodyReader(loop, MOST, 5.0), parts, parts, stats, 1_000)
        scope = SimpleNamespace(path="/v1/events", method="POST", headers=Asked({"content-length": "10"}))
        await app.__rsgi__(scope, http)
        return cast("int", http.read)

    read = asyncio.run(run())
    assert sent == [(status, answers.BUSY.body if status == 503 else answers.accepted([]).body)]
    assert read == (10 if status == 202 else 0)


class Asked(Headers):
    """Headers that can be asked for one value."""

    def get(self, key: str) -> str | None:
        return next(iter(self.get_all(key)), None)


class Disk(FakeDisk):
    """Remembers what it was asked for."""

    appends = 0

    def __init__(self, loop: FakeLoop, failing: Sequence[bool]) -> None:
        super().__init__(loop, 0.001, failing)
        self.most: list[int] = []

    def append(self, lines: list[tuple[int, bytes]], done: Any) -> None:
        self.appends += 1
        super().append(lines, done)

    def read(self, bucket: int, max_bytes: int, done: Any) -> None:
        self.most.append(max_bytes)
        super().read(bucket, max_bytes, done)


class Bench:
    """Eight buckets between a fake stream, which is down until told otherwise, and a fake disk with `room`."""

    def __init__(self, room: int = 10**9, failing: Sequence[bool] = (), *, spill: bool = True) -> None:
        self.loop = FakeLoop()
        self.verdict = "down"
        self.stream = FakeStream(self.loop, iter(lambda: self.verdict, None))
        self.disk = Disk(self.loop, failing)
        self.stats = Stats()
        self.batcher = Batcher(cast("Any", self.loop), self.stream.send, "s", 8, 0.005, self.stats, lambda: 0.5)
        if spill:
            self.batcher.use_spill(cast("Any", self.disk), room)

    def answer(self, line: bytes, bucket: int) -> bool:
        """Submit one event and wait for its answer."""
        stored = self.batcher.submit([Sealed("i", bucket, line)], self.loop.time())
        self.loop.move(0.9)
        return stored.result()


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def one(*arguments: Any, **options: Any) -> Bench:
        made.append(Bench(*arguments, **options))
        return made[-1]

    yield one
    for bench in made:
        bench.loop.close()


def test_the_disk_is_filled_to_its_bound_and_never_beyond(make: Callable[..., Bench]) -> None:
    """What would not fit is answered 503 and not written, though there is room for less; what still fits is taken."""
    row = ROW_BYTES + 100
    bench = make(room=3 * row - 50)
    taken = [bench.answer(b"x" * size, bucket) for bucket, size in enumerate([100, 100, 100, 50, 50])]
    assert taken == [True, True, False, True, False]
    assert bench.stats.spill_bytes == 3 * row - 50
    assert sorted(map(len, bench.disk.synced)) == [50, 100, 100]
    assert not bench.batcher.spill_takes


def test_a_disk_that_failed_is_left_alone_for_two_seconds(make: Callable[..., Bench]) -> None:
    """An event that could not be synced is 503; so is the next one, without asking the disk; then it is tried again."""
    bench = make(failing=[True])
    assert not bench.answer(b"a", 0)
    assert bench.disk.appends == 1
    assert not bench.batcher.spill_takes
    assert not bench.answer(b"b", 1)
    assert bench.disk.appends == 1
    bench.loop.move(BROKEN_FOR_S - 1.3)
    assert not bench.batcher.spill_takes
    bench.loop.move(0.2)
    assert bench.batcher.spill_takes
    assert bench.answer(b"c", 2)
    assert bench.disk.synced == [b"c"]


def test_after_a_failure_little_is_read_from_the_disk_until_the_stream_takes_it(make: Callable[..., Bench]) -> None:
    """What failed before may fail again: a small record costs less; then the disk empties in large ones."""
    bench = make()
    for number in range(10):
        bench.answer(b"%d" % number, 0)
    assert set(bench.disk.most) == {PROBE_BYTES}
    bench.disk.most.clear()
    bench.verdict = "ok"
    bench.loop.move(5.0)
    assert not bench.disk.rows
    assert bench.disk.most[1:] == [RECORD_BYTES] * 3


@pytest.mark.parametrize("spill", [False, True])
def test_readiness_follows_stream_and_spill(make: Callable[..., Bench], spill: bool) -> None:
    """Without a spill a stream that refuses for a second is not ready; five seconds later somebody may try again."""
    bench = make(spill=spill)
    health = Health(bench.batcher)
    assert health.ready
    bench.answer(b"x", 0)
    assert health.stream_up
    bench.answer(b"y", 1)
    assert not health.stream_up
    assert health.ready is spill
    if not spill:
        bench.loop.move(BELIEVED_FOR_S + 1.0)
        assert health.ready
    health.draining = True
    assert not health.ready

"""What waits on disk comes back in order, and newer events never pass it, step by step."""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, cast

import pytest

from stream_router.receiver.batching.backlog import BROKEN_FOR_S, PROBE_BYTES, READ_BYTES, ROW_BYTES, WINDOW_BYTES
from stream_router.receiver.batching.batcher import Batcher
from stream_router.receiver.batching.lanes import Lane
from stream_router.receiver.batching.stats import Stats
from stream_router.receiver.batching.stream_state import BELIEVED_FOR_S
from stream_router.receiver.intake import Sealed
from tests.receiver_kit import FakeDisk, FakeLoop, FakeStream, Health

BUCKETS = 8


class Bench:
    """Conversations between a fake stream, which is down until told otherwise, and a fake disk with `room`."""

    def __init__(self, room: int = 10**9, failing: Sequence[bool] = (), *, spill: bool = True) -> None:
        self.loop = FakeLoop()
        self.verdict = "down"
        self.stream = FakeStream(self.loop, iter(lambda: self.verdict, None))
        self.disk = FakeDisk(self.loop, 0.005, failing)
        self.stats = Stats()
        self.batcher = Batcher(cast("Any", self.loop), self.stream.send, "s", BUCKETS, 0.005, self.stats, lambda: 0.5)
        if spill:
            self.batcher.use_spill(cast("Any", self.disk), room)

    def submit(self, name: str, conversation: int = 0) -> Any:
        return self.batcher.submit([Sealed(name, conversation, name.encode())], self.loop.time())

    def answer(self, name: str, conversation: int = 0) -> bool:
        """Submit one event and wait for its answer."""
        stored = self.submit(name, conversation)
        self.loop.move(0.9)
        result: bool = stored.result()
        return result

    def on_disk(self) -> list[str]:
        return [line.decode() for _, line in self.disk.rows.values()]

    def stored(self) -> list[str]:
        return [line.decode() for _, line in self.stream.stored]


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def one(*arguments: Any, **options: Any) -> Bench:
        made.append(Bench(*arguments, **options))
        return made[-1]

    yield one
    for bench in made:
        bench.loop.close()


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    return make()


def test_an_event_is_spilled_at_600_ms_and_answered_yes(bench: Bench) -> None:
    """With a spill an outage costs the sender 600 ms, not its event."""
    stored = bench.submit("a")
    bench.loop.move(0.59)
    assert not stored.done()
    bench.loop.move(0.05)
    assert stored.result() is True
    assert bench.on_disk() == ["a"]


def test_while_the_stream_is_known_to_be_down_events_need_not_wait_for_it(bench: Bench) -> None:
    """What waits on disk finds out whether it is back; a new event for the same bucket is synced in milliseconds."""
    bench.submit("a")
    bench.loop.move(1.5)
    stored = bench.submit("b", conversation=BUCKETS)
    bench.loop.move(0.02)
    assert stored.result() is True
    assert bench.on_disk() == ["a", "b"]
    bench.verdict = "ok"
    bench.loop.move(2.0)
    assert sorted(bench.stored()) == ["a", "b"]
    assert bench.on_disk() == []


def test_a_conversation_keeps_its_order_through_the_disk(bench: Bench) -> None:
    """What waits there, what comes while it is on its way, and what comes after."""
    sent = []
    for number in range(60):
        sent.append(bench.submit(f"{number:02d}"))
        bench.loop.move(0.05)
        if number == 30:
            bench.verdict = "hang"
        if number == 45:
            bench.verdict = "ok"
    bench.loop.move(5.0)
    assert all(stored.result() for stored in sent)
    assert bench.stored() == [f"{number:02d}" for number in range(60)]
    assert bench.on_disk() == []
    assert bench.stats.spilled_events == 0


def lanes_kept() -> int:
    gc.collect()
    return sum(isinstance(one, Lane) for one in gc.get_objects())


def test_of_what_an_earlier_process_left_a_count_is_kept_and_no_more(bench: Bench) -> None:
    """A full disk of small events would take twice its size in memory, and a start on it minutes, or the whole host."""
    disk = FakeDisk(bench.loop, 0.005)
    line = b"x" * (WINDOW_BYTES // 4)
    disk.put((number, line) for number in range(100))
    before = lanes_kept()
    bench.batcher.use_spill(cast("Any", disk), 10**9)
    bench.loop.move(1.0)
    assert len(bench.batcher.lanes) == 100
    assert lanes_kept() - before < 10


def test_of_what_is_spilled_a_count_is_kept_and_no_more(bench: Bench) -> None:
    """An outage may last for hours, and each of its events have a conversation of its own."""
    before = lanes_kept()
    for number in range(100):
        bench.submit("x" * PROBE_BYTES, number)
    bench.loop.move(1.0)
    assert (len(bench.on_disk()), len(bench.batcher.lanes)) == (100, 100)
    assert lanes_kept() - before < 10
    bench.verdict = "ok"
    bench.loop.move(20)
    assert (len(bench.stored()), len(bench.batcher.lanes)) == (100, 0)


def test_rows_of_an_earlier_process_come_first(make: Callable[..., Bench]) -> None:
    """What is on disk at the start is sent before anything new of its conversation, and holds up no other."""
    bench = make(spill=False)
    bench.verdict = "ok"
    bench.disk.put([(0, b"oldest"), (0, b"old")])
    bench.disk._delay_s = 0.05
    bench.batcher.use_spill(cast("Any", bench.disk), 10**9)
    other = bench.submit("other", conversation=1)
    bench.loop.move(0.02)
    assert other.result() is True
    stored = bench.submit("new")
    bench.loop.move(1.0)
    assert stored.result() is True
    assert bench.stored() == ["other", "oldest", "old", "new"]


def test_an_event_that_lands_after_it_was_spilled_is_not_sent_again(bench: Bench) -> None:
    """Its call took 0.59 s, its conversation's one before as long: spilled at 0.6 s, stored at 1.1 s, once."""
    bench.verdict = "ok"
    bench.stream.latency_s = 0.55
    first = bench.submit("a")
    bench.loop.move(0.05)
    second = bench.submit("b")
    bench.loop.move(3.0)
    assert first.result() is second.result() is True
    assert bench.disk.synced == [b"b"]
    assert [line for _, line in bench.stream.stored] == [b"a", b"b"]
    assert bench.on_disk() == []


def test_an_event_that_lands_while_the_disk_works_on_it_is_not_sent_again(bench: Bench) -> None:
    """Its row is settled as soon as it is written: the next process does not send it either."""
    bench.verdict = "ok"
    bench.stream.latency_s = 0.35
    bench.disk._delay_s = 0.15
    bench.submit("a")
    bench.loop.move(0.05)
    second = bench.submit("b")
    bench.loop.move(0.67)
    assert (bench.stored(), bench.disk.appends, bench.on_disk()) == (["a", "b"], 1, [])
    bench.loop.move(5.0)
    assert second.result() is True
    assert (bench.stored(), bench.on_disk()) == (["a", "b"], [])
    assert bench.stats.spilled_events == 0
    assert len(bench.batcher.lanes) == 0


def test_what_an_earlier_process_left_is_counted_until_it_is_in_the_stream(make: Callable[..., Bench]) -> None:
    """Waiting events, and rows that its files lost; the oldest one's time is told while anything waits."""
    bench = make(spill=False)
    bench.disk.put((0, b"%d" % number) for number in range(10))
    bench.disk.lost, bench.disk.oldest_s, bench.disk.error = 3, 17.0, "EIO"
    bench.batcher.use_spill(cast("Any", bench.disk), bench.disk.size_bytes)
    assert (bench.stats.spilled_events, bench.stats.spill_damaged) == (10, 3)
    assert bench.batcher.spill_state == ("EIO", bench.disk.size_bytes, 17.0, True)
    bench.verdict = "ok"
    bench.loop.move(5.0)
    assert bench.stats.spilled_events == 0
    assert bench.batcher.spill_state == ("EIO", 0, 0.0, False)


def test_many_that_come_to_the_disk_at_once_stay_within_its_bound(make: Callable[..., Bench]) -> None:
    """What it is still working on counts already."""
    row = ROW_BYTES + 100
    bench = make(room=5 * row)
    waiting = [bench.submit("x" * 100, conversation) for conversation in range(20)]
    bench.loop.move(0.95)
    assert sum(stored.result() for stored in waiting) == 5
    assert bench.disk.size_bytes == 5 * row
    assert bench.stats.events_in_flight == 0


def test_a_full_disk_does_not_turn_a_healthy_stream_into_503(make: Callable[..., Bench]) -> None:
    """What is on disk drains, also where the disk takes nothing more; newer events wait behind it in memory."""
    bench = make(failing=[False, *[True] * 1000])
    bench.submit("a")
    bench.loop.move(0.7)
    assert bench.on_disk() == ["a"]
    bench.verdict = "ok"
    sent = []
    for number in range(20):
        sent.append(bench.submit(f"b{number}"))
        bench.loop.move(0.05)
    bench.loop.move(1.0)
    assert all(stored.result() for stored in sent)
    assert bench.stored() == ["a", *(f"b{number}" for number in range(20))]


@pytest.mark.parametrize("spare", [0, ROW_BYTES + 100], ids=["full", "too full for the next"])
def test_what_is_refused_behind_a_disk_that_takes_nothing_leaves_memory(make: Callable[..., Bench], spare: int) -> None:
    """Its conversation is on the disk, and nobody reads that while the stream is down: senders come again for hours,
    and what was once refused would fill the memory until all are refused, the stream being back or not."""
    line = "x" * PROBE_BYTES
    bench = make(room=5 * (ROW_BYTES + PROBE_BYTES) + spare)
    assert [bench.submit(line, conversation) for conversation in range(5)]
    bench.loop.move(1.0)
    assert len(bench.on_disk()) == 5
    kept = len(bench.batcher.lanes)
    for _ in range(3):
        refused = [bench.submit(line, conversation) for conversation in range(5)]
        bench.loop.move(0.9)
        assert not any(stored.result() for stored in refused)
    bench.loop.move(1.0)
    assert (bench.stats.events_in_flight, bench.stats.bytes_in_flight) == (0, 0)
    assert len(bench.batcher.lanes) == kept


def test_the_disk_is_filled_to_its_bound_and_never_beyond(make: Callable[..., Bench]) -> None:
    """What would not fit is answered 503 and not written, though there is room for less; what still fits is taken."""
    row = ROW_BYTES + 100
    bench = make(room=3 * row - 50)
    taken = [bench.answer("x" * size, conversation) for conversation, size in enumerate([100, 100, 100, 50, 50])]
    assert taken == [True, True, False, True, False]
    assert bench.disk.size_bytes == 3 * row - 50
    assert not bench.batcher.spill_takes


def test_a_disk_that_failed_is_left_alone_for_two_seconds(make: Callable[..., Bench]) -> None:
    """An event that could not be synced is 503; so is the next one, without asking the disk; then it is tried again."""
    bench = make(failing=[True])
    assert not bench.answer("a", 0)
    assert bench.disk.appends == 1
    assert not bench.batcher.spill_takes
    assert not bench.answer("b", 1)
    assert bench.disk.appends == 1
    bench.loop.move(BROKEN_FOR_S - 1.3)
    assert not bench.batcher.spill_takes
    bench.loop.move(0.2)
    assert bench.batcher.spill_takes
    assert bench.answer("c", 2)
    assert bench.on_disk() == ["c"]


def test_where_the_disk_fails_a_conversation_goes_on_without_it(make: Callable[..., Bench]) -> None:
    """What is not on disk is waited for by nobody: the next event goes straight to the stream, and nothing is kept."""
    bench = make(failing=[True])
    assert not bench.answer("a")
    bench.verdict = "ok"
    bench.loop.move(BROKEN_FOR_S)
    stored = bench.submit("b")
    bench.loop.move(0.5)
    assert stored.result() is True
    assert (bench.stored(), bench.disk.appends, len(bench.batcher.lanes)) == (["b"], 1, 0)
    assert (bench.stats.events_in_flight, bench.stats.bytes_in_flight) == (0, 0)


def test_what_the_disk_did_not_take_keeps_its_place_before_what_came_since(make: Callable[..., Bench]) -> None:
    """It is refused only where something newer of its conversation is on its way to the disk already."""
    bench = make(failing=[False, True])
    bench.disk._delay_s = 0.1
    bench.submit("probe", conversation=BUCKETS)
    bench.loop.move(1.5)
    assert bench.on_disk() == ["probe"]
    first = bench.submit("first")
    bench.loop.move(0.05)
    assert bench.disk.appends == 2
    bench.verdict = "ok"
    bench.loop.move(0.1)
    second = bench.submit("second")
    bench.loop.move(0.5)
    assert first.result() is second.result() is True
    assert [name for name in bench.stored() if name != "probe"] == ["first", "second"]
    bench.loop.move(5.0)
    assert sorted(bench.stored()) == ["first", "probe", "second"]
    assert len(bench.batcher.lanes) == 0


def test_what_the_disk_did_not_take_is_refused_where_something_newer_is_on_its_way_there(
    make: Callable[..., Bench],
) -> None:
    """It could only come behind that; its sender sends it again."""
    bench = make(failing=[False, True])
    bench.disk._delay_s = 0.1
    bench.submit("probe", conversation=BUCKETS)
    bench.loop.move(1.5)
    first = bench.submit("first")
    bench.loop.move(0.05)
    second = bench.submit("second")
    bench.loop.move(0.3)
    assert (first.result(), second.result()) == (False, True)
    bench.verdict = "ok"
    bench.loop.move(5.0)
    assert sorted(bench.stored()) == ["probe", "second"]
    assert bench.stats.events_in_flight == 0
    assert len(bench.batcher.lanes) == 0


def test_the_disk_reads_one_thing_at_a_time_and_no_more_than_a_window(make: Callable[..., Bench]) -> None:
    """However much waits there: memory is bounded, and while the stream refuses, little is read."""
    bench = make(spill=False)
    bench.verdict = "hang"
    bench.disk.put((number % 50, b"x" * 1_000) for number in range(5_000))
    reading = most = asked = 0
    read = bench.disk.read

    def watched(max_bytes: int, done: Callable[[Any], None]) -> None:
        nonlocal reading, most, asked
        reading += 1
        most, asked = max(most, reading), asked + max_bytes

        def told(rows: Any) -> None:
            nonlocal reading
            reading -= 1
            done(rows)

        read(max_bytes, told)

    bench.disk.read = watched  # type: ignore[method-assign]
    bench.batcher.use_spill(cast("Any", bench.disk), 10**9)
    bench.loop.move(0.3)
    assert most == 1
    assert asked <= WINDOW_BYTES + READ_BYTES
    bench.verdict = "ok"
    bench.loop.move(60.0)
    assert most == 1
    assert len(bench.stored()) == 5_000
    assert bench.on_disk() == []


def test_a_disk_that_cannot_be_read_is_asked_again_after_two_seconds(make: Callable[..., Bench]) -> None:
    """Whatever is stored or spilled meanwhile: a file that could not be read three times is set aside as damaged."""
    bench = make(spill=False)
    bench.disk.put([(BUCKETS, b"waited")])
    asked: list[float] = []

    def unreadable(max_bytes: int, done: Callable[[Any], None]) -> None:
        asked.append(bench.loop.time())
        bench.loop.call_later(0.005, done, [])

    read = bench.disk.read
    bench.disk.read = unreadable  # type: ignore[method-assign]
    bench.batcher.use_spill(cast("Any", bench.disk), 10**9)
    bench.verdict = "ok"
    for number in range(30):
        bench.submit(f"stored {number}", 1)
        bench.submit(f"behind it on disk {number}", BUCKETS)
        bench.loop.move(0.1)
    assert len(asked) == 2
    assert asked[1] - asked[0] >= BROKEN_FOR_S
    bench.disk.read = read  # type: ignore[method-assign]
    bench.loop.move(5.0)
    assert bench.on_disk() == []
    assert len(bench.stored()) == 61


@pytest.mark.parametrize("spill", [False, True])
def test_readiness_follows_stream_and_spill(make: Callable[..., Bench], spill: bool) -> None:
    """Without a spill a stream that refuses for a second is not ready; five seconds later somebody may try again."""
    bench = make(spill=spill)
    health = Health(bench.batcher)
    assert health.ready
    bench.answer("x", 0)
    assert health.stream_up
    bench.answer("y", 1)
    assert not health.stream_up
    assert health.ready is spill
    if not spill:
        bench.loop.move(BELIEVED_FOR_S + 1.0)
        assert health.ready


def steps_of_an_outage(bench: Bench, requests: int, then: str) -> int:
    """Lines of the receiver's code that run until so many requests of one conversation are answered.

    The stream refuses their record, and then is down, or hangs so that they are decided while they fly.
    """
    steps = 0

    def count(frame: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        steps += event == "line"
        return count if "/receiver/" in frame.f_code.co_filename else None

    waiting = [bench.submit(f"{number:04d}" * 250) for number in range(requests)]
    bench.loop.move(0.015)
    bench.verdict = then
    before = sys.gettrace()
    sys.settrace(count)
    try:
        bench.loop.move(0.9)
    finally:
        sys.settrace(before)
    assert all(stored.done() for stored in waiting)
    return steps


@pytest.mark.parametrize("then", ["down", "hang"])
@pytest.mark.parametrize("room", [0, 100_000, 10**9])
def test_a_conversation_of_many_requests_is_decided_in_as_many_steps(
    make: Callable[..., Bench], room: int, then: str
) -> None:
    """Without a spill, with one that is too small, and with one: four times the requests are four times the work."""
    few, many = (steps_of_an_outage(make(room, spill=room > 0), requests, then) for requests in (200, 800))
    assert many < 5 * few


@pytest.mark.parametrize("then", ["down", "hang"])
def test_where_the_disk_fails_a_conversation_is_decided_in_as_many_steps(make: Callable[..., Bench], then: str) -> None:
    """What comes back from there is not looked for among what flies, one by one."""
    few, many = make(10**9, [True] * 1_000), make(10**9, [True] * 1_000)
    assert steps_of_an_outage(many, 800, then) < 5 * steps_of_an_outage(few, 200, then)

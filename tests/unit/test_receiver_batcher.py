"""Group commit on a clock that the test moves: grouping, order, retries, deadlines."""

import base64
import itertools
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_router import limits
from stream_router.errors import Answer
from stream_router.receiver.batching import batcher as batcher_module
from stream_router.receiver.batching import putrecords_calls
from stream_router.receiver.batching.batcher import Batcher
from stream_router.receiver.batching.deadlines import Deadlines
from stream_router.receiver.batching.putrecords import HASH_SPACE, MAX_CALL_BYTES, MAX_RECORD_BYTES, Address
from stream_router.receiver.batching.putrecords_calls import CALL_TIMEOUT_S
from stream_router.receiver.batching.stats import Stats
from stream_router.receiver.intake import Sealed
from tests.receiver_kit import FakeDisk, FakeLoop, FakeStream, refuse


class Bench:
    """A batcher between a fake loop and a fake stream."""

    def __init__(self, verdicts: Iterable[Any] = (), buckets: int = 4, linger_s: float = 0.005) -> None:
        self.loop = FakeLoop()
        self.stream = FakeStream(self.loop, verdicts)
        self.stats = Stats()
        self.batcher = Batcher(
            cast("Any", self.loop), self.stream.send, "s", buckets, linger_s, self.stats, jitter=lambda: 0.5
        )
        self.sent = 0

    def submit(self, *buckets: int, size: int = 10) -> Any:
        """One request with an event for each bucket named."""
        events = []
        for bucket in buckets:
            self.sent += 1
            events.append(Sealed(f"{self.sent:032x}", bucket, f"{self.sent:010d}".encode().ljust(size, b".")))
        return self.batcher.submit(events, self.loop.time())

    def of(self, bucket: int) -> list[int]:
        """Numbers of the events that the stream has of a bucket, in its order."""
        return [int(line[:10]) for key, line in self.stream.stored if key == f"bucket-{bucket}-of-4"]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.loop.close()


def test_a_lone_event_leaves_at_once(bench: Bench) -> None:
    """Where hardly a call is in flight there is no company to wait for; it is answered when the stream has it."""
    stored = bench.submit(0)
    bench.loop.move(0.0)
    assert len(bench.stream.calls) == 1
    assert not stored.done()
    bench.loop.move(0.01)
    assert stored.result() is True


def test_while_calls_are_in_flight_an_event_waits_at_most_the_linger(bench: Bench) -> None:
    """Company comes within 5 ms, or not; where the calls land before, it goes with nobody."""
    bench.stream.latency_s = 0.05
    for conversation in range(batcher_module.IDLE_CALLS):
        bench.submit(conversation)
        bench.loop.move(0.001)
    bench.submit(2)
    bench.loop.move(0.0049)
    assert len(bench.stream.calls) == 2
    bench.loop.move(0.0002)
    assert len(bench.stream.calls) == 3
    bench.submit(3)
    bench.loop.move(0.001)
    assert len(bench.stream.calls) == 3


def test_what_comes_together_is_one_call_with_one_record_a_bucket(bench: Bench) -> None:
    """Events of a bucket share a record, buckets share a call."""
    for _ in range(10):
        bench.submit(0)
        bench.submit(1)
    bench.loop.move(0.1)
    assert [len(records) for records in bench.stream.calls] == [2]
    assert bench.of(0) == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]


def test_an_event_waits_for_its_own_conversation_and_goes_with_its_next(bench: Bench) -> None:
    """While the stream takes its time, what arrives for the conversation waits, and then goes as one record."""
    bench.stream.latency_s = 0.2
    bench.submit(0)
    bench.loop.move(0.01)
    for _ in range(5):
        bench.submit(0)
    bench.loop.move(0.1)
    assert len(bench.stream.calls) == 1
    bench.loop.move(1.0)
    assert [len(records) for records in bench.stream.calls] == [1, 1]
    assert bench.of(0) == [1, 2, 3, 4, 5, 6]


def test_an_event_waits_for_no_other_conversation_of_its_bucket(bench: Bench) -> None:
    """One bucket may have many records in flight, each of other conversations."""
    bench.stream.latency_s = 0.2
    waiting = []
    for conversation in range(0, 40, 4):
        waiting.append(bench.submit(conversation))
        bench.loop.move(0.006)
    assert len(bench.stream.calls) == 10
    bench.loop.move(0.2)
    assert all(stored.result() for stored in waiting)
    assert bench.of(0) == list(range(1, 11))


def test_a_failed_record_goes_again_before_anything_newer() -> None:
    """A throttled record is retried, newer events of its bucket stay behind it, other buckets do not wait."""
    bench = Bench(verdicts=[["ProvisionedThroughputExceededException", ""]])
    first, other = bench.submit(0), bench.submit(1)
    bench.loop.move(0.016)
    assert other.result() is True
    assert not first.done()
    second = bench.submit(0)
    bench.loop.move(0.2)
    assert first.result() is True
    assert second.result() is True
    assert bench.of(0) == [1, 3]
    assert bench.stats.throttles == 1
    bench.loop.close()


def test_an_array_is_stored_when_all_its_events_are() -> None:
    """All or nothing: one event's failure keeps the whole answer back."""
    bench = Bench(verdicts=[["", "InternalFailure"]])
    stored = bench.submit(0, 1, 0)
    bench.loop.move(0.016)
    assert bench.of(0) == [1, 3]
    assert not stored.done()
    bench.loop.move(0.2)
    assert stored.result() is True
    assert bench.of(1) == [2]
    bench.loop.close()


@pytest.mark.parametrize(("verdict", "decided_s"), [("down", 0.62), ("hang", 0.62), ("lost", 0.62)])
def test_without_a_spill_what_is_not_stored_in_time_is_refused(verdict: str, decided_s: float) -> None:
    """The answer comes in time whatever the stream does, and what was refused is not sent again.

    A stream that refuses is given 0.6 s, and so is a call that hangs: nothing of it is tried again.
    """
    bench = Bench(verdicts=[verdict] * 100)
    stored = bench.submit(0)
    bench.loop.move(0.59)
    assert not stored.done()
    bench.loop.move(decided_s - 0.59)
    assert stored.result() is False
    bench.loop.move(5.0)
    calls = len(bench.stream.calls)
    bench.loop.move(5.0)
    assert len(bench.stream.calls) == calls
    assert bench.stats.events_in_flight == 0
    assert bench.stats.bytes_in_flight == 0
    bench.loop.close()


def test_the_stream_comes_back_for_new_events() -> None:
    """After an outage the next event finds its way at once."""
    bench = Bench(verdicts=["down"] * 30)
    bench.submit(0)
    bench.loop.move(60.0)
    for _ in range(40):
        bench.submit(0)
        bench.loop.move(1.0)
    late = bench.submit(0)
    bench.loop.move(0.1)
    assert late.result() is True
    bench.loop.close()


def test_a_record_holds_at_most_a_mebibyte_and_a_call_four(bench: Bench) -> None:
    """Full records are cut at Kinesis's limit, calls below it; nothing is lost or reordered by it."""
    sizes = 300_000
    waiting = [bench.submit(bucket, size=sizes) for _ in range(12) for bucket in range(4)]
    bench.loop.move(1.0)
    assert all(stored.result() for stored in waiting)
    for records in bench.stream.calls:
        assert len(records) <= 4
        assert all(len(record["Data"]) * 3 / 4 <= 1_048_576 for record in records)
    assert bench.of(2) == sorted(bench.of(2))
    assert len(bench.of(2)) == 12


def test_a_call_holds_no_more_bytes_than_it_may() -> None:
    """With partition keys, as Kinesis counts; what does not fit is in the next one, and nobody is left out."""
    bench = Bench(buckets=64)
    waiting = [bench.submit(bucket, size=400_000) for bucket in range(64)]
    bench.loop.move(0.5)
    assert all(stored.result() for stored in waiting)
    sizes = [
        sum(len(base64.b64decode(record["Data"])) + len(record["PartitionKey"]) for record in records)
        for records in bench.stream.calls
    ]
    assert max(sizes) <= MAX_CALL_BYTES <= limits.PUT_RECORDS_MAX_BYTES
    assert len(sizes) <= -(-64 * 400_100 // (MAX_CALL_BYTES - MAX_RECORD_BYTES))
    bench.loop.close()


def test_buckets_that_have_more_than_a_call_holds_take_turns() -> None:
    """Else a few of them would have every call, and what waits for the others would be 503."""
    bench = Bench(buckets=8)
    for number in range(3):
        bench.submit(*range(8 * number, 8 * number + 8), size=700_000)
    bench.loop.move(0.006)
    first, second = ({record["PartitionKey"] for record in records} for records in bench.stream.calls[:2])
    assert len(first | second) == 8
    bench.loop.close()


@pytest.mark.parametrize(("over", "records"), [(0, 1), (1, 2)])
def test_a_record_is_filled_to_its_last_byte(over: int, records: int) -> None:
    """The partition key counts, and so does the line break between two events; one byte more is another record."""
    bench = Bench()
    room = MAX_RECORD_BYTES - len("bucket-1-of-4") - 1
    waiting = [bench.submit(1, size=room // 2), bench.submit(1, size=room - room // 2 + over)]
    bench.loop.move(0.5)
    assert all(stored.result() for stored in waiting)
    assert len(bench.stream.calls) == records
    bench.loop.close()


def test_bytes_in_flight_are_bounded_and_come_free() -> None:
    """Whatever passes in an hour: a call that is through gives its bytes back, and its place."""
    bench = Bench(buckets=64, linger_s=0.0)
    bench.stream.latency_s = 0.1
    waiting = [bench.submit(bucket, size=700_000) for bucket in range(64)]
    bench.loop.move(0.05)
    in_flight = sum(len(record["Data"]) for records in bench.stream.calls for record in records)
    assert putrecords_calls.MAX_BYTES <= in_flight <= putrecords_calls.MAX_BYTES + 8 * 1024 * 1024
    bench.loop.move(1.0)
    assert all(stored.result() for stored in waiting)
    for bucket in range(64):
        stored = bench.submit(bucket, size=700_000)
        bench.loop.move(0.2)
        assert stored.result() is True
    assert (bench.stats.events_in_flight, bench.stats.bytes_in_flight) == (0, 0)
    assert bench.stats.calls == len(bench.stream.calls)
    bench.loop.close()


@pytest.mark.parametrize("verdict", ["down", "hang", ["InternalFailure"]])
def test_what_was_refused_leaves_nothing_behind(verdict: Any) -> None:
    """Neither in the numbers by which new requests are turned away, nor in the conversations."""
    bench = Bench(itertools.repeat(verdict, 200))
    waiting = [bench.submit(bucket % 4) for bucket in range(40)]
    bench.loop.move(10.0)
    assert not any(stored.result() for stored in waiting)
    assert (bench.stats.events_in_flight, bench.stats.bytes_in_flight) == (0, 0)
    assert len(bench.batcher.lanes) == 0
    failed_whole = sum(1 for _ in bench.stream.calls) if verdict in ("down", "hang") else 0
    assert bench.stats.call_failures == failed_whole
    bench.loop.close()


def test_calls_in_flight_are_bounded() -> None:
    """At most 32 at once; what comes then waits for a place."""
    bench = Bench(buckets=64, linger_s=0.0)
    bench.stream.latency_s = 0.1
    for conversation in range(50):
        bench.submit(conversation)
        bench.loop.move(0.001)
    assert len(bench.stream.calls) == 32
    bench.loop.move(1.0)
    assert len(bench.stream.stored) == 50
    bench.loop.close()


def test_calls_that_hang_take_nobody_with_them() -> None:
    """One of twenty calls hangs: its own events are 503 after 0.6 s, everybody else waits for nothing."""
    bench = Bench(verdicts=[*["ok"] * 19, "hang"] * 5, buckets=8)
    late = []
    for conversation in range(100):
        stored = bench.submit(conversation)
        bench.loop.move(0.02)
        late += [] if stored.done() else [stored]
    bench.loop.move(0.62)
    assert [stored.result() for stored in late] == [False] * 5
    assert len(bench.stream.calls) == 100
    bench.loop.close()


def test_what_waits_behind_a_call_that_hangs_goes_as_soon_as_that_is_given_up() -> None:
    """The next event of its conversation is stored at 0.6 s, unless it has waited as long itself."""
    bench = Bench(verdicts=["hang"])
    first = bench.submit(0)
    bench.loop.move(0.3)
    second = bench.submit(0)
    bench.loop.move(0.32)
    assert (first.result(), second.result()) == (False, True)
    assert bench.of(0) == [2]
    bench.loop.close()


def test_a_stream_that_becomes_slow_costs_nothing() -> None:
    """From 15 to 400 ms at once: no 503, no event twice, also where conversations are busy."""
    bench = Bench(buckets=8)
    bench.stream.latency_s = 0.015
    waiting = []
    for number in range(2_000):
        if number == 1_000:
            bench.stream.latency_s = 0.4
        waiting.append(bench.submit(number % 500))
        bench.loop.move(0.001)
    bench.loop.move(2.0)
    assert all(stored.result() for stored in waiting)
    assert len(bench.stream.stored) == len(set(bench.stream.stored)) == 2_000
    bench.loop.close()


def test_what_comes_from_the_disk_may_take_its_time() -> None:
    """Nobody waits for it: a stream that answers after the deadline gets it once more, not again and again."""
    bench = Bench()
    bench.stream.latency_s = 1.4
    disk = FakeDisk(bench.loop, 0.005)
    bench.batcher.use_spill(cast("Any", disk), 10**9)
    stored = bench.submit(0)
    bench.loop.move(0.9)
    assert stored.result()
    bench.loop.move(10.0)
    assert bench.of(0) == [1, 1]
    assert not disk.rows
    bench.loop.close()


def test_a_call_in_which_somebody_waits_is_given_up_soon_whatever_else_is_in_it() -> None:
    """With the time that events from the disk have, whoever waits beside them would hear nothing before 0.85 s."""
    bench = Bench(verdicts=["hang"])
    disk = FakeDisk(bench.loop, 0.005)
    disk.put([(1, b"0000000099")])
    bench.batcher.use_spill(cast("Any", disk), 10**9)
    bench.loop.move(0.0)
    bench.loop.call_later(0.005, bench.submit, 0)
    bench.loop.move(0.01)
    assert {record["PartitionKey"] for record in bench.stream.calls[0]} == {"bucket-0-of-4", "bucket-1-of-4"}
    bench.loop.move(CALL_TIMEOUT_S)
    assert len(bench.stream.calls) > 1
    bench.loop.close()


def test_a_call_refused_for_its_content_is_taken_apart() -> None:
    """A poison record in a call must not hold up the other buckets: each goes alone next time."""
    bench = Bench()
    poison = [f'"bucket-{2}-of-4"'.encode()]
    plain_send = bench.stream.send

    def send(body: bytes, timeout_s: float, done: Any) -> None:
        if any(text in body for text in poison):
            refusal = Answer(400, b'{"__type":"ValidationException"}', {}, "")
            bench.stream.calls.append([])
            bench.loop.call_later(0.01, done, refusal)
        else:
            plain_send(body, timeout_s, done)

    bench.batcher._calls._send = send
    waiting = [bench.submit(bucket) for bucket in range(4)]
    bench.loop.move(0.55)
    assert [stored.done() and stored.result() for stored in waiting] == [True, True, False, True]
    bench.loop.close()


def test_the_hash_keys_divide_the_space_evenly() -> None:
    """Each bucket's hash key is the middle of its share, so any even split of the stream finds as many in each half."""
    keys = [int(Address(index, 16).tail.split(b'"ExplicitHashKey":"')[1].split(b'"')[0]) for index in range(16)]
    assert keys == [HASH_SPACE * (2 * index + 1) // 32 for index in range(16)]
    assert sum(key < HASH_SPACE // 2 for key in keys) == 8
    assert Address(3, 16).partition_key.isascii()


def test_an_answer_that_breaks_its_reader_frees_the_conversation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts as no answer: the event is put again, in its place, and the log tells the kind of error alone."""

    def broken(*_: object) -> list[Any]:
        raise RecursionError("with a payload in it")

    monkeypatch.setattr(putrecords_calls, "of_put_records", broken)
    stored = bench.submit(0, 1)
    bench.loop.move(0.02)
    assert (len(bench.stream.calls), stored.done(), bench.stats.call_failures) == (1, False, 1)
    monkeypatch.undo()
    bench.loop.move(0.5)
    assert stored.result() is True
    assert bench.of(0) == [1, 1]
    assert "RecursionError" in caplog.text
    assert "payload" not in caplog.text


@pytest.mark.parametrize("code", [["x"], {"x": 1}, 7])
def test_an_error_code_of_another_type_frees_the_conversation(bench: Bench, code: object) -> None:
    """An answer that no service of AWS gives is not trusted, and does no harm."""
    bench.stream = FakeStream(bench.loop, [[code]])
    bench.batcher = Batcher(cast("Any", bench.loop), bench.stream.send, "s", 4, 0.005, bench.stats, jitter=lambda: 0.5)
    stored = bench.submit(0)
    bench.loop.move(0.5)
    assert stored.result() is True
    assert bench.of(0) == [1]


@pytest.mark.parametrize("late_s", [0.0, 0.05, 0.1, 0.14])
def test_where_the_loop_comes_late_a_503_comes_sooner(late_s: float) -> None:
    """A sweep that was late expects to be so again: what flies is given up before 0.9 s all the same."""
    now_s, timers = 0.0, list[tuple[float, Any]]()
    loop: Any = SimpleNamespace(time=lambda: now_s, call_later=lambda delay_s, what: timers.append((delay_s, what)))
    watched, done_s = Deadlines(loop, lambda _: None, refuse), list[float]()
    for _ in range(2):
        began_s = now_s
        request: Any = SimpleNamespace(arrived_s=now_s, done=False)
        request.finish = lambda *, stored, request=request: setattr(request, "done", not stored)
        watched.watch(request)
        while not request.done:
            delay_s, what = timers.pop()
            now_s += delay_s + late_s
            what()
        done_s.append(now_s - began_s)
    assert all(0.6 < seconds <= 0.9 for seconds in done_s)
    assert late_s or done_s[0] > 0.84


@pytest.mark.parametrize(("late_after_s", "waited_s"), [(0.0, 0.65), (0.62, 0.8), (0.1, 0.05), (0.3, 0.84)])
def test_a_request_that_waited_before_it_was_taken_in_is_answered_at_its_own_age(
    bench: Bench, late_after_s: float, waited_s: float
) -> None:
    """It stands behind no fresher one, neither before it is decided nor after: its answer comes within 0.9 s."""
    loop, told = bench.loop, dict[str, float]()
    watched = Deadlines(cast("Any", loop), lambda _: None, refuse)

    def take_in(name: str, waited_s: float) -> None:
        request: Any = SimpleNamespace(arrived_s=loop.time() - waited_s, done=False)

        def finish(*, stored: bool) -> None:
            request.done = True
            told[name] = loop.time() - request.arrived_s

        request.finish = finish
        watched.watch(request)

    take_in("fresh", 0.0)
    loop.move(late_after_s)
    take_in("late", waited_s)
    assert watched.oldest_s == pytest.approx(waited_s if late_after_s > 0.6 else max(waited_s, late_after_s))
    take_in("after it", 0.0)
    loop.move(2.0)
    assert set(told) == {"fresh", "late", "after it"}
    assert all(0.6 < age_s <= 0.9 for age_s in told.values()), told


def test_who_waits_for_a_storing_is_told_once_and_does_no_harm(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Before it is known or after; what one of them does wrong keeps neither the others nor the stream waiting."""
    told: list[tuple[str, bool]] = []

    def fails(_: bool) -> None:
        raise RuntimeError

    stored, other = bench.submit(0), bench.submit(1)
    stored.then(fails)
    stored.then(lambda known: told.append(("before", known)))
    bench.loop.move(0.05)
    stored.then(lambda known: told.append(("after", known)))
    assert told == [("before", True), ("after", True)]
    assert other.result() is True
    assert bench.stats.events_in_flight == 0
    assert "unforeseen" in caplog.text

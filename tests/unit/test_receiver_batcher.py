"""Group commit on a clock that the test moves: grouping, retries, copies, what is remembered, calls in flight."""

import base64
from collections.abc import Iterable
from typing import Any, cast

import pytest

from stream_router import limits
from stream_router.aws_answers import Answer
from stream_router.envelope import CONVERSATION_BITS
from stream_router.receiver import events as events_module
from stream_router.receiver.batcher import Batcher
from stream_router.receiver.events import NOT_STORED, SEEN_BEFORE, TO_SPILL, TO_STREAM
from stream_router.receiver.intake import SealedEvent
from stream_router.receiver.putrecords import (
    IDLE_CALLS,
    MAX_CALL_BYTES,
    MAX_CALLS,
    MIN_CALLS,
)
from stream_router.receiver.stats import Stats
from tests.receiver_kit import LATE_S, FakeDisk, FakeLoop, FakeStream


class Bench:
    """A batcher between a fake loop and a fake stream."""

    def __init__(self, verdicts: Iterable[Any] = (), buckets: int = 4, *, ordered: bool = False) -> None:
        self.loop = FakeLoop()
        self.stream = FakeStream(self.loop, verdicts)
        self.batcher = Batcher(
            cast("Any", self.loop), self.stream.send, "s", buckets, Stats(), ordered=ordered, jitter=lambda: 0.5
        )
        self.sent = 0

    def disk(self, disk: FakeDisk) -> FakeDisk:
        self.batcher.use_spill(cast("Any", disk), 10**9)
        return disk

    def event(self, conversation: int, size: int = 10) -> SealedEvent:
        """An event of the conversation that has the bucket of the same number."""
        self.sent += 1
        hashed = (conversation << CONVERSATION_BITS) // len(self.batcher.groups)
        return SealedEvent(f"{self.sent:032x}", hashed, f"{self.sent:010d}".encode().ljust(size, b"."))

    def post(self, *events: SealedEvent) -> list[str]:
        """Submit these as one delivery; what it is told comes into the list."""
        outcomes: list[str] = []
        self.batcher.submit(list(events), self.loop.time(), outcomes.append, has_delivery_id=True)
        return outcomes

    def submit(self, *conversations: int, size: int = 10) -> list[str]:
        return self.post(*(self.event(conversation, size) for conversation in conversations))

    def of(self, bucket: int) -> list[int]:
        """Numbers of the events that the stream has of a bucket, in its order."""
        return [int(line[:10]) for key, line in self.stream.stored if key == f"bucket-{bucket}-of-4"]


def test_a_lone_event_leaves_at_once_and_waits_for_company_beside_others() -> None:
    """Where hardly a call is in flight there is no company to wait for; else it comes within 5 ms, or not. What comes
    together is one call, with one record a bucket."""
    bench = Bench()
    bench.stream.latency_s = 0.045
    for conversation in range(IDLE_CALLS):
        bench.submit(conversation)
        bench.loop.move(0.001)
    assert len(bench.stream.calls) == IDLE_CALLS
    for _ in range(5):
        bench.submit(2)
        bench.submit(3)
    bench.loop.move(0.004)
    assert len(bench.stream.calls) == IDLE_CALLS
    bench.loop.move(0.0015)
    assert [len(records) for records in bench.stream.calls] == [1, 1, 2]
    bench.loop.move(0.1)
    assert bench.of(2) == [3, 5, 7, 9, 11]


@pytest.mark.parametrize(("ordered", "calls"), [(False, 6), (True, 2)])
def test_an_event_waits_for_its_conversation_only_where_order_is_asked_for(ordered: bool, calls: int) -> None:
    """With order what arrives meanwhile goes as one record behind it; without it events wait for nobody."""
    bench = Bench(ordered=ordered)
    bench.stream.latency_s = 0.2
    outcomes = []
    for _ in range(6):
        outcomes.append(bench.submit(0))
        bench.loop.move(0.03)
    bench.loop.move(1.0)
    assert len(bench.stream.calls) == calls
    assert bench.of(0) == [1, 2, 3, 4, 5, 6]
    assert outcomes == [[TO_STREAM]] * 6


def test_what_landed_late_is_known_when_the_sender_comes_again() -> None:
    """503, then the call ends: the next try is 202 at once, and nothing is stored twice."""
    bench = Bench(verdicts=["late"])
    event = bench.event(0)
    first = bench.post(event)
    bench.loop.move(LATE_S + 0.1)
    assert (first, bench.post(event)) == ([NOT_STORED], [SEEN_BEFORE])
    assert bench.of(0) == [1]


def test_a_copy_waits_for_the_open_call_within_its_own_time() -> None:
    """One that is over before the call ends is 503, one that is not is 202; neither is sent beside it."""
    bench = Bench(verdicts=["late"])
    event = bench.event(0)
    bench.post(event)
    bench.loop.move(1.0)
    early = bench.post(event)
    bench.loop.move(1.0)
    later = bench.post(event)
    bench.loop.move(LATE_S - 2.0 + 0.01)
    assert (early, later) == ([NOT_STORED], [SEEN_BEFORE])
    assert len(bench.stream.calls) == 1


def test_memory_is_bounded_in_number_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 deliveries for 10 minutes; here three."""
    assert (events_module.REMEMBERED, events_module.REMEMBERED_S) == (100_000, 600.0)
    monkeypatch.setattr(events_module, "REMEMBERED", 3)
    bench = Bench()
    events = [bench.event(0) for _ in range(5)]
    for event in events:
        bench.post(event)
        bench.loop.move(0.1)
    assert [bench.post(event) for event in events] == [[], [], *[[SEEN_BEFORE]] * 3]
    bench.loop.move(601.0)
    assert bench.post(events[4]) == []


def test_a_stream_that_answers_none_of_four_calls_gets_no_further_one() -> None:
    """It may fall silent, and may store late whatever it was sent."""
    bench = Bench(buckets=64)
    bench.stream.latency_s = 30.0
    calls = list[int]()
    for number in range(100):
        bench.submit(number % 64)
        bench.loop.move(0.02)
        calls.append(len(bench.stream.calls))
    assert MIN_CALLS <= calls[45] == calls[-1], "from 0.92 s on no call is started"


def test_what_may_be_in_flight_follows_what_comes_back_in_time() -> None:
    """Halves at most once in 0.85 s where calls come late, never below four, and grows by one where they do not."""
    bench = Bench(verdicts=["late"] * 300, buckets=64)
    allowed = [bench.batcher.calls.allowed]
    for number in range(3_000):
        bench.submit(number % 64)
        bench.loop.move(0.005)
        if bench.batcher.calls.allowed != allowed[-1]:
            allowed.append(bench.batcher.calls.allowed)
        assert bench.batcher.calls.in_flight <= MAX_CALLS
    assert allowed == [32, 16, 8, 4]
    bench.stream._verdicts = iter(())
    bench.loop.move(LATE_S)
    outcomes = []
    for number in range(200):
        outcomes.append(bench.submit(number % 64))
        bench.loop.move(0.02)
    assert bench.batcher.calls.allowed == MAX_CALLS
    assert outcomes[-100:] == [[TO_STREAM]] * 100
    assert MIN_CALLS == 4


def test_a_call_and_a_record_hold_no_more_than_they_may() -> None:
    """With partition keys, as Kinesis counts; a record is filled to its last byte, one more is another record."""
    bench = Bench(buckets=64)
    outcomes = [bench.submit(bucket, size=400_000) for bucket in range(64)]
    bench.loop.move(0.5)
    assert outcomes == [[TO_STREAM]] * 64
    for records in bench.stream.calls:
        sizes = [len(base64.b64decode(record["Data"])) + len(record["PartitionKey"]) for record in records]
        assert sum(sizes) <= MAX_CALL_BYTES <= limits.PUT_RECORDS_MAX_BYTES
    for over in (0, 1):
        full = Bench()
        room = limits.KINESIS_RECORD_BYTES - len("bucket-1-of-4") - 1
        full.submit(1, size=room // 2)
        full.submit(1, size=room - room // 2 + over)
        full.loop.move(0.5)
        assert len(full.stream.calls) == 1 + over


def test_a_call_refused_for_its_content_is_taken_apart() -> None:
    """A poison record in a call must not hold up the other buckets: each goes alone next time."""
    bench = Bench()
    plain_send = bench.stream.send

    def send(body: bytes, timeout_s: float, done: Any) -> None:
        if b'"bucket-2-of-4"' in body:
            bench.loop.call_later(0.01, done, Answer(400, b'{"__type":"ValidationException"}', {}, ""))
        else:
            plain_send(body, timeout_s, done)

    bench.batcher.calls._send = send
    outcomes = [bench.submit(bucket) for bucket in range(4)]
    bench.loop.move(0.88)
    assert outcomes == [[TO_STREAM], [TO_STREAM], [NOT_STORED], [TO_STREAM]]


def test_a_disk_that_does_not_answer_takes_nothing_more() -> None:
    """After two seconds it counts as one that hangs, and the request was 503 in time."""
    bench = Bench(verdicts=["down"] * 10_000)
    bench.disk(FakeDisk(bench.loop, 1_000.0))
    outcomes = bench.submit(0)
    bench.loop.move(3.0)
    backlog = bench.batcher.backlog
    assert backlog is not None
    assert (outcomes, backlog.takes, backlog.error) == ([NOT_STORED], False, "hangs")


def test_in_an_outage_what_arrives_goes_to_the_disk_at_once() -> None:
    """Once the stream took nothing for a second."""
    bench = Bench(verdicts=["down"] * 100)
    bench.disk(FakeDisk(bench.loop, 0.005))
    for _ in range(30):
        bench.submit(0)
        bench.loop.move(0.1)
    outcomes = bench.submit(0)
    bench.loop.move(0.01)
    assert outcomes == [TO_SPILL]


@pytest.mark.parametrize(
    ("usual_s", "takes_s", "outcome"), [(0.7, 0.7, TO_STREAM), (0.01, 0.7, TO_SPILL), (0.7, 3.0, TO_SPILL)]
)
def test_an_event_in_flight_is_kept_from_the_spill_only_if_the_stream_is_usually_that_slow(
    usual_s: float, takes_s: float, outcome: str
) -> None:
    """It is awaited until 0.75 s, or spilled at 0.6 s if calls usually take 10 ms; either way within 0.8 s."""
    bench = Bench()
    bench.disk(FakeDisk(bench.loop, 0.005))
    bench.stream.latency_s = usual_s
    for _ in range(3):
        bench.submit(0)
        bench.loop.move(1.0)
    bench.stream.latency_s = takes_s
    outcomes = bench.submit(0)
    bench.loop.move(0.8)
    assert outcomes == [outcome]


def test_with_order_nothing_new_passes_rows_that_are_still_to_be_read() -> None:
    """An earlier process left some: what comes before the disk has brought them goes behind them."""
    bench = Bench(ordered=True)
    disk = FakeDisk(bench.loop, 0.3)
    disk.put([(0, b"%010d" % number) for number in (101, 102)])
    bench.disk(disk)
    bench.submit(0)
    bench.loop.move(1.0)
    assert bench.of(0) == [101, 102, 1]


def test_a_line_that_the_stream_refuses_for_good_is_set_aside() -> None:
    """Alone refused while others are taken; while the stream refuses everything so, none is."""
    bench = Bench()
    plain_send = bench.stream.send
    everything = True

    def send(body: bytes, timeout_s: float, done: Any) -> None:
        poison = base64.b64encode(b"poison")[:8] in body
        if everything or poison:
            bench.loop.call_later(0.01, done, Answer(400, b'{"__type":"ValidationException"}', {}, ""))
        else:
            plain_send(body, timeout_s, done)

    bench.batcher.calls._send = send
    disk = FakeDisk(bench.loop, 0.005)
    disk.put([(1, b"good 1"), (1, b"poison"), (2, b"good 2"), (1, b"good 3")])
    bench.disk(disk)
    bench.loop.move(20.0)
    assert (len(disk.rows), disk.set_aside_lines) == (4, [])
    everything = False
    bench.loop.move(20.0)
    assert disk.set_aside_lines == [b"poison"]
    assert not disk.rows
    assert sorted(line for _, line in bench.stream.stored) == [b"good 1", b"good 2", b"good 3"]


@pytest.mark.parametrize("waited_s", [0.3, 0.65, 0.84])
def test_a_request_that_waited_before_it_was_taken_in_is_answered_at_its_own_age(waited_s: float) -> None:
    """It stands behind no fresher one: its answer comes within 0.9 s of its arrival."""
    bench = Bench(verdicts=["hang"] * 100)
    bench.submit(0)
    bench.loop.move(0.9)
    answered_after_s: dict[str, float] = {}
    for name, age_s in (("fresh", 0.0), ("late", waited_s), ("after", 0.0)):
        arrived_s = bench.loop.time() - age_s

        def tell(_: str, name: str = name, arrived_s: float = arrived_s) -> None:
            answered_after_s[name] = bench.loop.time() - arrived_s

        bench.batcher.submit([bench.event(0)], arrived_s, tell, has_delivery_id=True)
    bench.loop.move(2.0)
    assert set(answered_after_s) == {"fresh", "late", "after"}
    assert all(0.6 < age_s <= 0.9 for age_s in answered_after_s.values()), answered_after_s


def test_a_connection_that_never_opens_is_no_silence() -> None:
    """No call was sent, so nothing can come twice, and all events are tried again."""
    bench = Bench(verdicts=["no way"] * 3)
    outcomes = [bench.submit(number) for number in range(3)]
    bench.loop.move(6.0)
    assert not bench.batcher.calls.is_silent
    assert bench.batcher.stats.failures.keys() == {"NoAnswer"}
    assert outcomes == [[NOT_STORED]] * 3


@pytest.mark.parametrize("has_spill", [False, True])
def test_a_silent_stream_gets_one_event_after_5_10_20_and_every_30_seconds(has_spill: bool) -> None:
    """Nothing else is sent while calls time out; once a probe is answered the rest follows at once."""
    bench = Bench(verdicts=["hang"] * 1_000)
    if has_spill:
        bench.disk(FakeDisk(bench.loop, 0.005))
    sent_s: list[float] = []
    plain_send = bench.stream.send

    def send(body: bytes, timeout_s: float, done: Any) -> None:
        sent_s.append(bench.loop.time())
        plain_send(body, timeout_s, done)

    bench.batcher.calls._send = send
    outcomes: list[list[str]] = []
    for _ in range(1_300):
        outcomes.append(bench.submit(len(outcomes) % 4))
        bench.loop.move(0.1)
    first = sent_s[0]
    probes = [
        (at_s - first, call) for at_s, call in zip(sent_s, bench.stream.calls, strict=True) if at_s - first >= 5.0
    ]
    due_s = [5.0, 15.0, 35.0, 65.0, 95.0, 125.0]
    assert [at_s for at_s, _ in probes] == pytest.approx(due_s, abs=0.5)
    assert all(len(call) == 1 and len(base64.b64decode(call[0]["Data"])) == 10 for _, call in probes)
    assert [outcome[0] for outcome in outcomes[60:1_200]] == [TO_SPILL if has_spill else NOT_STORED] * 1_140
    bench.stream._verdicts = iter(())
    before = len(bench.stream.calls)
    for _ in range(320):
        outcomes.append(bench.submit(len(outcomes) % 4))
        bench.loop.move(0.1)
    assert len(bench.stream.calls) > before + 2
    assert outcomes[-10] == [TO_STREAM]
    backlog = bench.batcher.backlog
    assert backlog is None or backlog.size == 0
    accepted = [number + 1 for number, outcome in enumerate(outcomes[:-10]) if outcome != [NOT_STORED]]
    assert {int(line[:10]) for _, line in bench.stream.stored}.issuperset(accepted)

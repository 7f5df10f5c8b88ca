"""What goes to the disk when a conversation is spilled, what is sent no more, and how a bucket rests and comes back."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from stream_router.errors import Answer
from stream_router.receiver.batching import putrecords_calls
from stream_router.receiver.batching.backlog import HANGS, HANGS_AFTER_S, PROBE_BYTES, ROW_BYTES
from tests.receiver_kit import Health
from tests.unit import test_receiver_backlog
from tests.unit.test_receiver_backlog import Bench
from tests.unit.test_receiver_batcher import Bench as Plain

make, bench = test_receiver_backlog.make, test_receiver_backlog.bench
Make = Callable[..., Bench]


def give_room(bench: Bench) -> None:
    """The disk was full, and is so no more."""
    backlog: Any = bench.batcher._backlog
    backlog._max_bytes = 10**9


def attempts(batcher: Any, bucket: int = 0) -> int:
    """How often in a row this bucket was refused."""
    found: int = batcher.lanes._buckets[bucket].attempts
    return found


def test_what_waits_behind_a_spilled_event_is_spilled_with_it_in_order_and_sent_once(bench: Bench) -> None:
    """The first is in a call that hangs, the second waits behind it in memory: both come back from the disk alone."""
    bench.verdict = "hang"
    waiting = [bench.submit("a")]
    bench.loop.move(0.01)
    waiting.append(bench.submit("b"))
    bench.loop.move(0.7)
    assert [one.result() for one in waiting] == [True, True]
    assert bench.on_disk() == ["a", "b"]
    bench.verdict = "ok"
    bench.loop.move(10)
    assert bench.stored() == ["a", "b"]
    assert bench.on_disk() == []


def test_what_was_spilled_does_not_pass_what_was_spilled_before_it(bench: Bench) -> None:
    """The stream is back as the first one's call is given up: the second, on its way to the disk, is sent no more."""
    bench.verdict = "hang"
    bench.submit("a")
    bench.loop.move(0.01)
    bench.submit("b")
    bench.loop.move(0.58)
    bench.verdict = "ok"
    bench.loop.move(10)
    assert bench.stored() == ["a", "b"]


def test_an_event_that_was_answered_503_does_not_come_to_the_disk(make: Make) -> None:
    """Its sender has it, and sends it again: it leaves memory where the next of its conversation is spilled."""
    bench = make(room=0)
    refused = bench.submit("refused")
    bench.loop.move(0.03)
    spilled = bench.submit("spilled")
    while not refused.done():
        bench.loop.move(0.001)
    assert refused.result() is False
    give_room(bench)
    assert bench.batcher.lanes.of(0).bucket.resting, "so nothing but the spill looks at the conversation now"
    bench.loop.move(0.05)
    assert spilled.result() is True
    assert bench.disk.synced == [b"spilled"]
    assert bench.stats.events_in_flight == 0


def test_an_event_that_was_answered_503_counts_while_its_call_lasts(make: Make) -> None:
    """What is in a call is in memory, whoever waits for it."""
    bench = make(room=0)
    refused = bench.submit("refused")
    bench.loop.move(0.35)
    bench.verdict = "hang"
    late = bench.submit("late")
    bench.loop.move(0.53)
    assert refused.result() is False
    give_room(bench)
    bench.loop.move(0.09)
    assert late.result() is True
    assert bench.disk.synced == [b"late"]
    assert bench.stats.events_in_flight == 1
    bench.loop.move(0.5)
    assert bench.stats.events_in_flight == 0


def test_while_nothing_on_disk_asks_the_stream_a_new_event_does(make: Make) -> None:
    """The stream was down when the last events were refused: were new ones kept from it nobody would ever ask it."""
    bench = make(failing=[True])
    assert [bench.answer("a"), bench.answer("b")] == [False, False]
    bench.loop.move(1.0)
    assert bench.batcher.stream.down
    bench.verdict = "ok"
    stored = bench.submit("c")
    bench.loop.move(0.05)
    assert stored.result() is True
    assert (bench.stored(), bench.disk.appends) == (["c"], 1)
    assert not bench.batcher.stream.refuses


def test_a_full_disk_does_not_let_an_event_pass_those_on_it(make: Make) -> None:
    """Two are on disk, one of them not read yet, when the disk is full: the third waits in memory, behind both."""
    names = [name.ljust(PROBE_BYTES + 1, ".") for name in "abc"]
    bench = make(room=2 * (PROBE_BYTES + 1 + ROW_BYTES))
    waiting = [bench.submit(name) for name in names[:2]]
    bench.loop.move(0.7)
    assert [one.result() for one in waiting] == [True, True]
    bench.submit(names[2])
    bench.verdict = "ok"
    bench.loop.move(10)
    assert bench.stored() == names


def test_a_disk_that_does_not_answer_counts_as_one_that_takes_nothing(make: Make) -> None:
    """A network volume that is away: traffic goes to receivers whose disks work, and the log says what is wrong."""
    bench = make()
    bench.disk._delay_s = 10.0
    health = Health(bench.batcher)
    waiting = [bench.submit(str(number), number) for number in range(2)]
    bench.loop.move(HANGS_AFTER_S)
    assert not any(one.result() for one in waiting)
    bench.submit("tries the stream", 2)
    assert bench.batcher.spill_state.error == ""
    bench.loop.move(1.0)
    assert bench.batcher.spill_state.error == HANGS
    assert not bench.batcher.spill_takes
    assert bench.batcher.stream.down
    assert not health.ready
    bench.loop.move(10.0)
    assert bench.batcher.spill_takes
    assert bench.batcher.spill_state.error == ""


def test_a_bucket_that_is_refused_rests_longer_each_time_and_begins_anew() -> None:
    """A stream that is down gets a few calls a second, not a hundred; once it took something, short rests again."""
    bench = Plain(iter(lambda: verdict[0], None))
    verdict: list[Any] = ["down"]
    bench.submit(0)
    bench.loop.move(0.8)
    assert 4 <= len(bench.stream.calls) <= 10
    verdict[0] = "ok"
    bench.submit(0)
    bench.loop.move(0.5)
    assert (attempts(bench.batcher), bench.batcher.stream.failing_since_s) == (0, None)
    verdict[0] = "down"
    bench.submit(0)
    bench.loop.move(0.015)
    verdict[0], calls = "ok", len(bench.stream.calls)
    bench.loop.move(0.02)
    assert len(bench.stream.calls) == calls + 1, "it tries again after 12 ms"
    bench.loop.close()


def test_two_calls_of_one_bucket_that_are_refused_are_one_refusal() -> None:
    """Two conversations of it were under way: the rest is that of a first refusal, and ends once."""
    bench = Plain(["down", "down"])
    bench.submit(0)
    bench.loop.move(0.001)
    bench.submit(4)  # another conversation of bucket 0
    bench.loop.move(0.0119)
    assert len(bench.stream.calls) == 2
    assert attempts(bench.batcher) == 1
    bench.loop.move(0.5)
    assert sorted(bench.of(0)) == [1, 2]
    bench.loop.close()


def test_a_bucket_goes_alone_only_until_it_is_through() -> None:
    """One call was refused for its content: each bucket is tried by itself, and afterwards they share calls again."""
    bench = Plain()
    plain_send, refusals = bench.stream.send, [1]

    def send(body: bytes, timeout_s: float, done: Any) -> None:
        if refusals:
            refusals.pop()
            bench.loop.call_later(0.01, done, Answer(400, b'{"__type":"ValidationException"}', {}, ""))
        else:
            plain_send(body, timeout_s, done)

    bench.batcher._calls._send = send
    for bucket in (0, 1):
        bench.submit(bucket)
    bench.loop.move(0.5)
    assert [len(call) for call in bench.stream.calls] == [1, 1]
    for bucket in (0, 1):
        bench.submit(bucket)
    bench.loop.move(0.5)
    assert len(bench.stream.calls[-1]) == 2
    bench.loop.close()


def test_what_lingers_leaves_as_soon_as_the_stream_is_idle() -> None:
    """The linger is for company while calls are in flight."""
    bench = Plain(linger_s=0.05)
    for bucket in (0, 1):
        bench.submit(bucket)
        bench.loop.move(0.001)
    stored = bench.submit(2)
    bench.loop.move(0.02)
    assert stored.result() is True
    bench.loop.close()


def test_what_waits_for_a_place_leaves_when_one_call_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may be slow: all places but this one are still taken."""
    monkeypatch.setattr(putrecords_calls, "MAX_CALLS", 4)
    bench = Plain(linger_s=0.0)
    for bucket in range(4):
        bench.stream.latency_s = 0.5 if bucket else 0.02
        bench.submit(bucket)
        bench.loop.move(0.001)
    bench.stream.latency_s = 0.01
    stored = bench.submit(4)
    bench.loop.move(0.05)
    assert stored.result() is True
    bench.loop.close()


def test_after_its_end_nothing_is_sent() -> None:
    """Every request is answered by then."""
    bench = Plain()
    asyncio.run(bench.batcher.close(1.0))
    bench.submit(0)
    bench.loop.move(0.5)
    assert bench.stream.calls == []
    bench.loop.close()


def test_a_conversation_is_remembered_while_an_event_of_it_is_in_a_call(make: Make) -> None:
    """The disk has no room for it: what comes next waits for that call, and does not pass it."""
    bench = make(room=10)
    bench.submit("a")
    bench.loop.move(0.35)
    bench.verdict = "hang"
    bench.loop.move(0.3)
    calls = len(bench.stream.calls)
    bench.submit("b")
    bench.loop.move(0.1)
    assert len(bench.stream.calls) == calls


def test_what_does_not_fit_beside_another_conversation_goes_with_the_next_record() -> None:
    """It was looked at and found too large for the room that is left: it keeps its place."""
    bench = Plain()
    waiting = [bench.submit(0, size=900_000), bench.submit(4, size=300_000)]
    bench.loop.move(0.1)
    assert [one.done() and one.result() for one in waiting] == [True, True]
    assert [len(call) for call in bench.stream.calls] == [1, 1]
    bench.loop.close()


def test_at_its_end_the_disk_is_told_what_has_landed(make: Make) -> None:
    """Else the next process would send it again."""
    bench = make(spill=False)
    bench.verdict = "ok"
    bench.disk.put([(0, b"a")])
    disk: Any = bench.disk
    bench.batcher.use_spill(disk, 10**9)
    while not bench.stored():
        bench.loop.move(0.001)
    assert bench.disk.rows
    asyncio.run(bench.batcher.close(1.0))
    assert not bench.disk.rows

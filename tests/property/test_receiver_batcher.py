"""Under any script of faults every answer is true and in time, buckets keep their order, and nothing is left over."""

from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_router.receiver.batching.batcher import BACKOFF_MOST_S, Batcher
from stream_router.receiver.batching.putrecords_calls import PATIENT_TIMEOUT_S
from stream_router.receiver.batching.stats import Stats
from stream_router.receiver.intake import Sealed
from tests.receiver_kit import FakeDisk, FakeLoop, FakeStream

BUCKETS = 2
CONVERSATIONS = 4
VERDICTS = st.one_of(
    st.sampled_from(["ok", "ok", "down", "hang", "lost"]),
    st.lists(
        st.sampled_from(["", "InternalFailure", "ProvisionedThroughputExceededException"]), min_size=1, max_size=3
    ),
)
RUNS = st.lists(st.tuples(VERDICTS, st.integers(1, 12)), max_size=12)
"""Verdicts, each so many times in a row: an outage, then a recovery that fails again, and so on."""
STEPS = st.lists(
    st.tuples(
        st.sampled_from([[0], [0], [0, 0], [1, 0], [1], [2], [3, 0, 2], []]),
        st.sampled_from([0.001, 0.01, 0.03, 0.1, 0.6, 1.0]),
    ),
    max_size=80,
)


def firsts(lines: list[bytes]) -> list[bytes]:
    """Each line once, in the order of its first copy."""
    return list(dict.fromkeys(lines))


@given(
    steps=STEPS,
    runs=RUNS,
    spill=st.sampled_from([True, True, True, False]),
    disk_s=st.sampled_from([0.0, 0.005, 0.1, 0.4]),
    failing=st.lists(st.sampled_from([False, False, True]), max_size=15),
    room=st.sampled_from([300, 10**9]),
)
@example(steps=[([0], 0.001)], runs=[("hang", 10), *[("hang", 12)] * 3], spill=True, disk_s=0.4, failing=[], room=300)
@example(
    steps=[([3, 0, 2], 0.001), ([3, 0, 2], 0.6), ([3, 0, 2], 0.001)],
    runs=[("hang", 1)],
    spill=True,
    disk_s=0.005,
    failing=[False, False, True],
    room=300,
)
@settings(max_examples=400, deadline=None)
def test_answers_are_true_and_in_time_and_order_is_kept(
    steps: list[tuple[list[int], float]],
    runs: list[tuple[Any, int]],
    spill: bool,
    disk_s: float,
    failing: list[bool],
    room: int,
) -> None:
    """A request answered yes is in the stream or synced to the disk at that moment, and in the stream at the end;
    every answer comes within 0.88 s; a conversation's answered events stand in the stream in their order; and when the
    stream is up, nothing stays anywhere."""
    loop = FakeLoop()
    script = [verdict for verdict, times in runs for _ in range(times)]
    stream = FakeStream(loop, script)
    stats = Stats()
    batcher = Batcher(cast("Any", loop), stream.send, "s", BUCKETS, 0.005, stats, jitter=lambda: 0.7)
    disk = FakeDisk(loop, disk_s, failing)
    if spill:
        batcher.use_spill(cast("Any", disk), room)
    sent: list[tuple[float, list[bytes], list[int], Any]] = []
    number = 0
    for buckets, wait_s in steps:
        events = []
        for bucket in buckets:
            number += 1
            events.append(Sealed(f"{number:032x}", bucket, b"%06d" % number))
        if events:
            future = batcher.submit(events, loop.time())
            sent.append((loop.time(), [event.line for event in events], buckets, future))
        for _ in range(int(wait_s / 0.001)):
            loop.move(0.001)
            check_answers(sent, loop, stream, disk)
    for _ in range(1000):
        loop.move(0.001)
        check_answers(sent, loop, stream, disk)
    # The script may be one call after the other, each with its rest and its rows read again; then the disk empties.
    loop.move(120.0 + len(script) * (PATIENT_TIMEOUT_S + BACKOFF_MOST_S + disk_s))
    check_end(sent, stream, disk, stats, batcher)
    loop.close()


def check_answers(sent: list[Any], loop: FakeLoop, stream: FakeStream, disk: FakeDisk) -> None:
    safe = {line for _, line in stream.stored} | set(disk.synced)
    for arrived_s, lines, _, future in sent:
        if future.done():
            assert not future.result() or safe.issuperset(lines), "answered yes, and stored nowhere"
        else:
            assert loop.time() - arrived_s < 0.88, "no answer in time"


def check_end(sent: list[Any], stream: FakeStream, disk: FakeDisk, stats: Stats, batcher: Batcher) -> None:
    assert not disk.rows, "left on the disk"
    assert stats.events_in_flight == stats.bytes_in_flight == stats.spilled_events == 0
    assert not batcher.lanes, "a conversation is kept of which nothing is anywhere"
    conversation_of = {
        line: of for _, lines, conversations, _ in sent for line, of in zip(lines, conversations, strict=True)
    }
    for conversation in range(CONVERSATIONS):
        stored = firsts([line for _, line in stream.stored if conversation_of[line] == conversation])
        promised = [
            line for _, lines, _, future in sent if future.result() for line in lines
            if conversation_of[line] == conversation
        ]  # fmt: skip
        kept = set(promised)
        assert [line for line in stored if line in kept] == promised, "lost or out of order"

"""Under any script of faults every answer is true and in time, conversations keep their order, nothing is left."""

import math
from collections import Counter
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_router.envelope import CONVERSATION_BITS
from stream_router.receiver.batcher import BACKOFF_MAX_S, Batcher
from stream_router.receiver.events import ACCEPTED, Delivery
from stream_router.receiver.intake import SealedEvent
from stream_router.receiver.putrecords import CALL_TIMEOUT_S, PROBES_S
from stream_router.receiver.stats import Stats
from tests.receiver_kit import FakeDisk, FakeLoop, FakeStream

BUCKETS = 2
CONVERSATIONS = 4
VERDICTS = st.one_of(
    st.sampled_from(["ok", "ok", "down", "hang", "lost", "late"]),
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
        st.booleans(),
    ),
    max_size=80,
)
"""Conversations of a request's events, the time until the next, and whether what was refused is then posted again."""


def hash_of(conversation: int) -> int:
    """A hash by which the conversations are spread over the buckets."""
    return (conversation << CONVERSATION_BITS) // CONVERSATIONS


class Sent:
    """One delivery: its tries and what was told of them."""

    def __init__(self, number: int, conversations: list[int]) -> None:
        self.events = [
            SealedEvent(f"{number:028x}{at:04x}", hash_of(conversation), b"%06d-%d" % (number, at))
            for at, conversation in enumerate(conversations)
        ]
        self.asked_s: float | None = None
        self.outcomes: list[str] = []
        self.accepted_at = 0


class World:
    """A batcher between a stream and a disk that break by script."""

    def __init__(
        self, runs: list[tuple[Any, int]], disk: FakeDisk | None, loop: FakeLoop, room: int, ordered: bool
    ) -> None:
        self.loop, self.disk = loop, disk
        script = [verdict for verdict, times in runs for _ in range(times)]
        self.longest_s = len(script) * (PROBES_S[-1] + CALL_TIMEOUT_S + BACKOFF_MAX_S + 1.0)
        self.stream = FakeStream(loop, script)
        self.batcher = Batcher(
            cast("Any", loop), self.stream.send, "s", BUCKETS, Stats(), ordered=ordered, jitter=lambda: 0.7
        )
        if disk is not None:
            self.batcher.use_spill(cast("Any", disk), room)
        self.sent: list[Sent] = []
        self.acceptances = 0

    def submit(self, element: Sent) -> None:
        element.asked_s = self.loop.time()

        def record_outcome(outcome: str) -> None:
            assert element.asked_s is not None, "told twice"
            assert self.loop.time() - element.asked_s < 0.88
            element.asked_s = None
            element.outcomes.append(outcome)
            if outcome in ACCEPTED:
                safe = {line for _, line in self.stream.stored} | set(self.disk.synced if self.disk else [])
                assert safe.issuperset(event.line for event in element.events), "told as accepted, and stored nowhere"
                self.acceptances += 1
                element.accepted_at = self.acceptances

        self.batcher.submit(element.events, self.loop.time(), record_outcome, has_delivery_id=True)

    def move(self, seconds: float) -> None:
        self.loop.move(seconds)
        late = [item for item in self.sent if item.asked_s is not None and self.loop.time() - item.asked_s > 0.88]
        assert not late, "no answer in time"

    def post_again(self) -> None:
        for item in self.sent:
            if item.asked_s is None and item.outcomes[-1] not in ACCEPTED:
                self.submit(item)


@given(
    steps=STEPS,
    runs=RUNS,
    spill=st.sampled_from([True, True, True, False]),
    disk_s=st.sampled_from([0.0, 0.005, 0.1, 0.4]),
    failing=st.lists(st.sampled_from([False, False, True]), max_size=15),
    room=st.sampled_from([300, 10**9]),
    ordered=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_answers_are_true_and_in_time_and_order_is_kept(
    steps: list[tuple[list[int], float, bool]],
    runs: list[tuple[Any, int]],
    spill: bool,
    disk_s: float,
    failing: list[bool],
    room: int,
    ordered: bool,
) -> None:
    """A request told yes is in the stream or synced to the disk at that moment, and in the stream at the end; every
    answer comes within 0.88 s; with order a conversation's events stand in the stream in the order in which they were
    sent, where each was accepted before the next came; no copy is sent beside an open call; and when the stream is up,
    nothing stays anywhere."""
    loop = FakeLoop()
    disk = FakeDisk(loop, disk_s, failing) if spill else None
    world = World(runs, disk, loop, room, ordered)
    for number, (conversations, wait_s, again) in enumerate(steps):
        if conversations:
            world.sent.append(sent := Sent(number, conversations))
            world.submit(sent)
        world.move(wait_s)
        if again:
            world.post_again()
    world.move(1.0)
    # The script may be one call after the other, each with its rest and its rows read again; then the disk empties.
    world.move(120.0 + world.longest_s)
    check_end(world)
    if ordered:
        check_order(world)


def check_end(world: World) -> None:
    lines = Counter(line for _, line in world.stream.stored)
    assert not (world.disk and world.disk.rows), "left on the disk"
    assert world.batcher.stats.events_in_flight == world.batcher.stats.bytes_in_flight == 0
    assert world.batcher.calls.in_flight == 0
    kept = [value for value in world.batcher._deliveries._known.values() if isinstance(value, Delivery)]
    assert all(item.ended_s < math.inf for item in kept), "a delivery is kept of which nothing is anywhere"
    assert not world.batcher.conversations, "a conversation is kept of which nothing is anywhere"
    for candidate in world.sent:
        if candidate.outcomes[-1] in ACCEPTED:
            assert lines.keys() >= {event.line for event in candidate.events}, "lost"
    # Only a call without an answer may have stored what is sent again.
    assert sum(count - 1 for count in lines.values()) <= world.stream.unanswered


def check_order(world: World) -> None:
    """Of deliveries that were accepted at their first try, first copies stand in the order of the sending."""
    promised = [item for item in world.sent if len(item.outcomes) == 1 and item.outcomes[0] in ACCEPTED]
    place = {line: at for at, (_, line) in reversed(list(enumerate(world.stream.stored)))}
    for conversation in range(CONVERSATIONS):
        places = [place[e.line] for item in promised for e in item.events if e.conversation == hash_of(conversation)]
        assert places == sorted(places), "out of order"

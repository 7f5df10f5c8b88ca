"""Every order of the store's steps keeps its promises: hypothesis drives the real store, a world checks each step."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from stream_router.receiver import backlog, spill
from tests.receiver_store import World

SEQUENCES = int(os.environ.get("STORE_SEQUENCES", "20000"))
HAND_BYTES, LITTLE_BYTES = backlog.HAND_BYTES, 60
PICK = st.integers(0, 1_000)
CONVERSATIONS = st.lists(st.integers(0, 3), min_size=1, max_size=4)


class Store(RuleBasedStateMachine):
    """The store between senders, a stream and a disk, each of whose steps hypothesis picks."""

    world: World
    takes_bad: bool

    @initialize(
        ordered=st.booleans(), has_spill=st.sampled_from([True, True, True, False]), has_little_memory=st.booleans()
    )
    def begin(self, ordered: bool, has_spill: bool, has_little_memory: bool) -> None:
        """Choose the world. With little memory no event is bad: it would fill with what waits for that event."""
        backlog.HAND_BYTES = LITTLE_BYTES if has_little_memory else HAND_BYTES
        self.takes_bad = not has_little_memory
        self.world = World(ordered=ordered, has_spill=has_spill)

    @rule(conversations=CONVERSATIONS)
    def post(self, conversations: list[int]) -> None:
        self.world.post(conversations)

    @rule(conversations=CONVERSATIONS, at=PICK)
    def post_with_a_bad_event(self, conversations: list[int], at: int) -> None:
        self.world.post(conversations, at % len(conversations) if self.takes_bad else None)

    @rule(back=st.integers(1, 6))
    def post_again(self, back: int) -> None:
        self.world.post_again(back)

    @precondition(lambda self: self.world.calls)
    @rule(pick=PICK)
    def call_lands(self, pick: int) -> None:
        self.world.answer(self.world.calls[pick % len(self.world.calls)])

    @precondition(lambda self: self.world.calls)
    @rule(pick=PICK, entry=PICK)
    def call_fails_for_an_entry(self, pick: int, entry: int) -> None:
        self.world.answer(self.world.calls[pick % len(self.world.calls)], failing=entry)

    @precondition(lambda self: self.world.calls)
    @rule(pick=PICK)
    def call_is_refused(self, pick: int) -> None:
        self.world.answer(self.world.calls[pick % len(self.world.calls)], status=503)

    @precondition(lambda self: self.world.calls)
    @rule(pick=PICK)
    def call_is_reset(self, pick: int) -> None:
        self.world.end_unanswered(self.world.calls[pick % len(self.world.calls)])

    @precondition(lambda self: self.world.unanswered)
    @rule(pick=PICK)
    def unanswered_call_lands(self, pick: int) -> None:
        self.world.store_unanswered(self.world.unanswered[pick % len(self.world.unanswered)])

    @precondition(lambda self: self.world.disk is not None and self.world.disk.has_jobs)
    @rule(fails=st.sampled_from([False, False, False, True]))
    def disk_does_a_job(self, fails: bool) -> None:
        self.world.step_disk(fails=fails)

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.1, 0.3, 0.65]))
    def time_passes(self, seconds: float) -> None:
        self.world.move(seconds)

    @rule(seconds=st.sampled_from([0.02, 0.3, 0.65, 1.0, 5.0]))
    def time_passes_while_the_disk_hangs(self, seconds: float) -> None:
        self.world.move(seconds, disk_works=False)

    @rule(pick=st.integers(0, 4))
    def kill_and_start(self, pick: int) -> None:
        if not pick:
            self.world.kill()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.check_end()
            finally:
                self.world.close()


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files come of few events, and a sync costs nothing."""
    monkeypatch.setattr(spill, "SEGMENT_BYTES", 300)
    monkeypatch.setattr(backlog, "HAND_BYTES", HAND_BYTES)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(params=[False, True], ids=["without order", "with order"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    result = World(ordered=request.param)
    yield result
    result.close()


def test_two_requests_that_wait_for_one_delivery_make_one_row(world: World) -> None:
    """The sender posts a delivery again while its first request waits and its call is open: both requests are due in
    one sweep. The event must have one row: the call that lands late settles one, and the other would stay for ever."""
    post = world.post([0])
    world.submit(post)
    world.move(0.65)
    (call,) = world.calls
    world.answer(call)
    world.check_end()
    assert (post.answers, len(world.stored)) == (["spilled", "seen_before"], 1)


def test_a_call_that_lands_after_its_event_was_read_from_the_spill_settles_the_row(world: World) -> None:
    """Neither the row nor its file stays, and the event is stored once."""
    post = world.post([0])
    world.move(1.0)
    (call,) = world.calls
    world.answer(call)
    world.check_end()
    assert (post.answers, len(world.stored)) == (["spilled"], 1)


def test_two_bad_events_in_one_bucket_are_both_set_aside(world: World) -> None:
    """While others are taken: one must not hide the other's refusals."""
    for _ in range(2):
        world.post([0], 0)
    world.check_end()


def run(sequences: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Store,
        settings=settings(
            max_examples=sequences, stateful_step_count=50, deadline=None, suppress_health_check=checks, database=None
        ),
    )


def test_no_order_of_steps_breaks_a_promise() -> None:
    """An acknowledged event is stored or on disk; nothing is sent while an open call carries it; with the stream well
    the spill becomes empty and its files go; with order a conversation's events stand in theirs."""
    run(300)


@pytest.mark.prove
@pytest.mark.timeout(7_200)
def test_no_order_of_steps_of_many_breaks_a_promise() -> None:
    """The same with 20,000 sequences."""
    run(SEQUENCES)

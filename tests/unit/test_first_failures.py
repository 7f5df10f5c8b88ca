"""An entry in trouble keeps its budget over a restart of the child, so that what comes again does not grow."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stream_router.consumer.child import first_failures
from stream_router.consumer.child.first_failures import FirstFailures
from stream_router.consumer.state_dir import TROUBLES
from stream_router.errors import Answer
from stream_router.model import Entry, Reason
from tests.fakes import Rig, World, entry, rig

FIRST = 1_000.5


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def remembered(folder: Path, clock: Clock) -> FirstFailures:
    """A file in which entry 1 failed twice, first at FIRST."""
    memory = FirstFailures(folder, "shard-1", clock)
    memory.failed(entry(1), 2, FIRST)
    memory.write()
    clock.now += 10
    return FirstFailures(folder, "shard-1", clock)


def test_the_next_process_knows_when_an_entry_failed_first(tmp_path: Path) -> None:
    """By its place in the shard; another entry, and another shard, have nothing."""
    clock = Clock()
    memory = remembered(tmp_path, clock)
    assert memory.recall(entry(1)) == (2, FIRST)
    assert memory.recall(entry(2)) is None
    assert FirstFailures(tmp_path, "shard-2", clock).recall(entry(1)) is None


def test_what_was_accepted_is_forgotten(tmp_path: Path) -> None:
    """An entry that was accepted is known no more; nor is one of five minutes ago."""
    clock = Clock()
    memory = remembered(tmp_path, clock)
    memory.failed(entry(2), 1, clock.now)
    memory.accepted(entry(1))
    memory.write()
    again = FirstFailures(tmp_path, "shard-1", clock)
    assert again.recall(entry(1)) is None
    assert again.recall(entry(2)) == (1, clock.now)
    clock.now += first_failures.KEPT_S + 1
    assert FirstFailures(tmp_path, "shard-1", clock).recall(entry(2)) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(b'"boot":"', b'"boot":"another'),
        lambda text: text[:-3],
        lambda text: b"[]",
        lambda text: text.replace(b'"1001"', b'"x"'),
    ],
    ids=["after a boot", "cut short", "another thing", "no number"],
)
def test_a_file_that_says_nothing_is_none(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    """The monotonic clock begins anew with each boot; what cannot be read is as good as not there."""
    clock = Clock()
    remembered(tmp_path, clock)
    path = tmp_path / TROUBLES / "shard-1.json"
    good = path.read_bytes()
    assert spoil(good) != good
    path.write_bytes(spoil(good))
    assert FirstFailures(tmp_path, "shard-1", clock).recall(entry(1)) is None


def one_life(folder: Path, world: World) -> Rig:
    """A new process on the same host: nothing is left of the one before but the file."""
    memory = FirstFailures(folder, "shard-1", world.clock)
    pipeline = rig(world=world, memory=memory)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(
        call, ["InternalFailure" if one.order_key == "sick" else "" for one in call]
    )
    pipeline.memory = memory  # type: ignore[attr-defined]
    return pipeline


def live(pipeline: Rig, seconds: float, first: int) -> None:
    """The sick entry, and five others a second."""
    pipeline.router.publisher.submit([entry(1, "sick")])
    until = pipeline.world.now + seconds
    while pipeline.world.now < until:
        pipeline.router.publisher.submit([entry(first := first + 1)])
        pipeline.run_for(0.2)
        pipeline.memory.write()  # type: ignore[attr-defined]


def test_three_kills_do_not_lengthen_a_sick_entrys_life(tmp_path: Path) -> None:
    """It is buried 30 s after its first failure, though its process was killed every 12 s."""
    world = World()
    began = world.now
    for number in range(2):
        pipeline = one_life(tmp_path, world)
        live(pipeline, 12, 100 + 1_000 * number)
        assert not pipeline.books.dead
        world = World(now=world.now)  # what was in flight is gone with the process
    pipeline = one_life(tmp_path, world)
    live(pipeline, 12, 5_000)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.RETRIES_EXHAUSTED]
    assert world.now - began < 40


def test_a_kill_after_its_burial_does_not_give_a_sick_entry_a_second_life(tmp_path: Path) -> None:
    """Until the checkpoint has passed it, it comes again: then it is buried once the others are seen to be well."""
    world = World()
    pipeline = one_life(tmp_path, world)
    live(pipeline, 35, 100)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.RETRIES_EXHAUSTED]
    world = World(now=world.now)
    pipeline = one_life(tmp_path, world)
    live(pipeline, 12, 5_000)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.RETRIES_EXHAUSTED]


def test_its_first_failure_in_a_new_process_buries_nothing(tmp_path: Path) -> None:
    """Others that happened to be accepted in the same call are no word yet: the rest were not asked again."""
    world = World()
    for number in range(3):
        live(one_life(tmp_path, world), 12, 100 + 1_000 * number)
        world = World(now=world.now)
    pipeline = one_life(tmp_path, world)
    pipeline.router.publisher.submit([entry(1, "sick"), *(entry(number) for number in range(9_000, 9_009))])
    while not pipeline.books.dead:
        pipeline.run_for(0.001)
    assert sum(one.order_key == "sick" for call in pipeline.bus.calls for one in call) == 2


def all_fail(pipeline: Rig) -> Callable[[Sequence[Entry]], Answer]:
    return lambda call: pipeline.bus.answer(call, ["InternalFailure"] * len(call))


def test_a_restart_in_an_outage_buries_nothing(tmp_path: Path) -> None:
    """A remembered budget is not spent against others that fail too."""
    world = World()
    for number in range(6):
        pipeline = one_life(tmp_path, world)
        pipeline.bus.judge = all_fail(pipeline)
        live(pipeline, 20, 100 + 1_000 * number)
        assert not pipeline.books.dead
        world = World(now=world.now)

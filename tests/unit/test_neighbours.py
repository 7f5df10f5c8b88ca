"""What a worker's shards tell each other of the bus's health."""

import errno
import itertools
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router.consumer.child.neighbours import FORGOTTEN_AFTER_S, Neighbours
from stream_router.consumer.state_dir import HEALTH, StateDir
from stream_router.model import Reason
from stream_router.pipeline.delivery.health import Health, Others, Tally
from stream_router.pipeline.delivery.retry_budget import Budgets
from tests.fakes import World, entry, rig


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def tally(accepted: dict[int, int], failing: dict[int, int] | None = None) -> Tally:
    made = Tally()
    made.accepted, made.failing = accepted, failing or {}
    return made


def counted(accepted: dict[int, int], failing: dict[int, int] | None = None, at_first: Tally | None = None) -> Health:
    """A shard whose entries' latest answers are these."""
    made = Health()
    made.tally, made.at_first = tally(accepted, failing), at_first or Tally()
    return made


def test_a_shard_hears_of_the_others_and_not_of_itself(tmp_path: Path) -> None:
    """Counts since a second, summed over the other shards."""
    clock = Clock()
    one, two, three = (Neighbours(tmp_path, f"shard-{n}", clock) for n in range(3))
    one.publish(counted({990: 5, 995: 7}, {996: 1}))
    two.publish(counted({999: 100}))
    assert three.latest(991) == (107, 1)
    assert one.latest(0) == (100, 0)
    assert two.latest(996) == (0, 1)


def test_a_shard_hears_what_became_of_the_others_first_tries(tmp_path: Path) -> None:
    """Of calls that were sent since a second and until one; a later one says nothing of what an entry met before."""
    clock = Clock()
    Neighbours(tmp_path, "one", clock).publish(counted({}, at_first=tally({990: 5, 995: 7, 999: 9}, {995: 1})))
    assert Neighbours(tmp_path, "two", clock).at_first(991, 995) == (7, 1)


def test_a_steady_stream_is_told_too(tmp_path: Path) -> None:
    """Each second one more event and one forgotten: the sums stay, and the others still hear what is new."""
    clock = Clock()
    health, told = Health(), Neighbours(tmp_path, "steady", clock)
    for _ in range(300):
        clock.now += 1
        health.accepted(clock.now - 0.1, clock.now, 1)
        told.publish(health)
    heard = Neighbours(tmp_path, "other", clock)
    assert heard.latest(int(clock.now) - 10)[0] >= 9


def test_a_shard_that_went_elsewhere_leaves_no_file(tmp_path: Path) -> None:
    """Each shard of a stream that is resharded daily would have one while the supervisor runs, read every second."""
    clock = Clock()
    here, gone = Neighbours(tmp_path, "here", clock), Neighbours(tmp_path, "gone", clock)
    here.publish(counted({1_000: 2}))
    gone.publish(counted({1_000: 3}))
    assert Neighbours(tmp_path, "other", clock).latest(0) == (5, 0)
    an_hour_ago_s = time.time() - FORGOTTEN_AFTER_S - 1
    os.utime(tmp_path / HEALTH / "gone.json", (an_hour_ago_s, an_hour_ago_s))
    assert Neighbours(tmp_path, "other", clock).latest(0) == (2, 0)
    assert [path.name for path in (tmp_path / HEALTH).iterdir()] == ["here.json"]


def test_counts_are_written_and_read_once_a_second_at_most(tmp_path: Path) -> None:
    """A busy shard writes no more often, and reads only when it has an entry to judge."""
    clock = Clock()
    one, two = Neighbours(tmp_path, "one", clock), Neighbours(tmp_path, "two", clock)
    one.publish(counted({1_000: 1}))
    one.publish(counted({1_000: 9}))
    assert two.latest(0) == (1, 0)
    clock.now += 1
    one.publish(counted({1_000: 9}))
    assert two.latest(0) == (9, 0)
    one.publish(counted({1_000: 50}))
    clock.now += 0.5
    assert two.latest(0) == (9, 0)


def test_what_cannot_be_read_or_written_is_as_good_as_nobody(tmp_path: Path) -> None:
    """A torn file, another form, a folder that is a file: the shard then judges by its own entries."""
    clock = Clock()
    folder = tmp_path / HEALTH
    folder.mkdir()
    for number, text in enumerate(["", "{", "[]", '{"latest": 1}', '{"latest": {"accepted": [[1]]}}', "null"]):
        (folder / f"bad-{number}.json").write_text(text)
    Neighbours(tmp_path, "good", clock).publish(counted({999: 3}))
    assert Neighbours(tmp_path, "own", clock).latest(0) == (3, 0)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / HEALTH).write_text("a file")
    lone = Neighbours(blocked, "own", clock)
    lone.publish(counted({999: 3}))
    assert lone.latest(0) == (0, 0)


def test_a_folder_that_a_disk_in_trouble_does_not_list_has_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shard judges by its own entries: its child must not end for it."""

    def trouble(*_: object) -> Iterator[Path]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    clock = Clock()
    one, two = Neighbours(tmp_path, "one", clock), Neighbours(tmp_path, "two", clock)
    two.publish(counted({999: 100}))
    with monkeypatch.context() as then:
        then.setattr(Path, "glob", trouble)
        assert one.latest(0) == (0, 0)
    clock.now += 1
    assert one.latest(0) == (100, 0)


def test_without_a_folder_there_are_no_neighbours() -> None:
    """A child that runs alone has nobody to ask."""
    lone = Neighbours(None, "own", Clock())
    lone.publish(counted({999: 3}))
    assert lone.latest(0) == (0, 0)


def test_counts_of_an_earlier_life_are_forgotten(tmp_path: Path) -> None:
    """After a reboot the monotonic clock begins anew: they would lie in the future. And old ones are not read."""
    clock = Clock()
    Neighbours(tmp_path, "one", clock).publish(counted({900: 8, 999: 3}))
    assert Neighbours(tmp_path, "two", clock).latest(0) == (3, 0)
    with StateDir(tmp_path):
        assert Neighbours(tmp_path, "two", clock).latest(0) == (0, 0)


def test_a_sick_entry_on_a_silent_shard_is_buried_on_another_shards_evidence(tmp_path: Path) -> None:
    """Nothing else is sent on its own shard; the worker's other one is well."""
    clock = Clock()
    health, busy = Health(Neighbours(tmp_path, "silent", clock)), Health()
    told = Neighbours(tmp_path, "busy", clock)
    pipeline = rig(health=health)
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, ["InternalFailure"] * len(call))
    pipeline.router.publisher.submit([entry(0)])
    for _ in range(90):
        clock.now = pipeline.world.now
        busy.accepted(clock.now, clock.now, 10)
        told.publish(busy)
        pipeline.run_for(1)
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.RETRIES_EXHAUSTED]


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_a_partial_outage_buries_nothing_on_a_quiet_shard_beside_a_busy_one(tmp_path: Path, share: float) -> None:
    """The busy one's entries get through in the end, nine of ten by now; the quiet one's had no luck five times."""
    world, dice = World(), random.Random(0)
    told, health = Neighbours(tmp_path, "busy", world.clock), Health()
    busy = rig(world=world, health=health)
    busy.bus.judge = lambda call: busy.bus.answer(
        call, ["InternalFailure" if dice.random() < share else "" for _ in call]
    )
    quiet = rig(world=world, health=Health(Neighbours(tmp_path, "quiet", world.clock)))
    quiet.bus.judge = lambda call: quiet.bus.answer(
        call, ["InternalFailure" if len(quiet.bus.calls) <= 5 else ""] * len(call)
    )
    quiet.router.publisher.submit([entry(0)])
    for number in itertools.count(1):
        busy.router.publisher.submit([entry(number)])
        for pipeline in (quiet, busy):
            pipeline.router.advance(flush=True)
        world.pump(0.05)
        for pipeline in (quiet, busy):
            pipeline.router.collect()
        told.publish(health)
        if not quiet.router.backlog:
            break
    assert not quiet.books.dead
    assert len(quiet.bus.calls) == 6


def test_others_that_began_after_an_entrys_last_try_say_nothing_of_what_that_met(tmp_path: Path) -> None:
    """Its answer comes slowly from a trouble that is over by now: a busy shard is well again, and first said so."""
    clock = Clock()
    health, busy = Health(Neighbours(tmp_path, "quiet", clock)), Health()
    of = Budgets(lambda item: item, health)
    of.failed("unlucky", 1_000.0, 1_000.1, itself=True)
    of.failed("unlucky", 1_031.0, 1_034.5, itself=True)
    busy.accepted(1_032.0, 1_032.1, 1_000)
    clock.now = 1_034.5
    Neighbours(tmp_path, "busy", clock).publish(busy)
    assert health.of_others(1_000.1, 1_031.0, 1_034.5) is Others.UNWELL

"""Back-pressure: however slow the bus and however long the batch, only so many events are under way."""

from pathlib import Path

import pytest

from stream_router.consumer.child.shard import BACKLOG_MAX
from stream_router.pipeline.route import SLICE_EVENTS
from tests.fakes import NO_ANSWER
from tests.unit.test_shard import KilledError, Life

MANY = 5 * BACKLOG_MAX


def opened(life: Life) -> int:
    """Events that the pipeline has taken up and not seen to their end."""
    return life.rig.router.backlog


def test_while_the_bus_stalls_no_more_is_opened_than_the_bound(tmp_path: Path) -> None:
    """Of a long batch a slice more than the bound is taken up, and no less than the bound: the rest stays closed."""
    life = Life(tmp_path, judge=lambda _: NO_ANSWER, dies_after_s=300.0)
    with pytest.raises(KilledError):
        life.process(*range(MANY))
    assert BACKLOG_MAX < opened(life) <= BACKLOG_MAX + SLICE_EVENTS


def test_a_slow_bus_is_kept_busy_and_never_flooded(tmp_path: Path) -> None:
    """With a bus that takes a second for each call the backlog is near the bound for most of the time."""
    life = Life(tmp_path)
    life.rig.bus.latency_s = lambda: 1.0
    seen: list[int] = []
    wait = life.processor._wait

    def watched(seconds: float) -> None:
        seen.append(opened(life))
        wait(seconds)

    life.processor._wait = watched
    life.process(*range(MANY))
    assert len(life.rig.books.delivered) == MANY
    assert max(seen) <= BACKLOG_MAX + SLICE_EVENTS
    assert sum(count > BACKLOG_MAX // 2 for count in seen) > len(seen) // 2

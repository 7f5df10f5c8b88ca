"""Back-pressure is ordinary and is not said; holding is, once a minute, with what it means."""

import pytest

from stream_router.consumer.child.intake.window import Window
from stream_router.consumer.child.telling.hold_watch import HOLDING_AFTER_S, HoldWatch
from stream_router.model import Reason, Record
from stream_router.pipeline.delivery.dispatcher_contract import Policy
from tests.fakes import entry, rig


class World:
    def __init__(self, rate: float = 0.0) -> None:
        self.rig = rig(policy=Policy(16, 16 * 1024 * 1024, 4, max_rate=rate))
        self.window = Window(1_000, 120.0, self.rig.world.clock, lambda _: None)
        self.watch = HoldWatch(self.rig.router, self.window, self.rig.world.clock)

    def settle(self) -> None:
        record = Record(b"x", 1)
        self.window.take_charge([record])
        record.expect(1)
        record.settle(0)

    def wait(self, seconds: float) -> None:
        self.rig.world.now += seconds


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records if "the shard holds" in one.message]


def test_a_full_window_in_which_something_is_settled_is_back_pressure(caplog: pytest.LogCaptureFixture) -> None:
    """Catch-up after an outage may last for hours: no line of it, as long as one record is settled in 5 s."""
    world = World()
    for _ in range(1_000):
        world.settle()
        world.wait(HOLDING_AFTER_S - 0.5)
        world.watch.look("bytes")
        assert world.watch.since == 0.0
    assert said(caplog) == []


def test_a_record_whose_events_go_out_one_after_the_other_is_back_pressure(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand events of one record at 50 a second: it is settled after 20 s, and all the while nothing holds."""
    world = World(rate=50.0)
    world.rig.router.publisher.submit([entry(number) for number in range(1_000)])
    while world.rig.router.backlog:
        world.rig.run_for(1.0)
        world.watch.look("calls")
        assert world.watch.since == 0.0
    assert said(caplog) == []
    world.wait(HOLDING_AFTER_S)
    world.watch.look("calls")
    assert HOLDING_AFTER_S <= world.rig.world.now - world.watch.since <= HOLDING_AFTER_S + 1.0


@pytest.mark.parametrize(
    ("full_by", "means"),
    [
        ("bytes", "as many bytes are under way as one child may hold"),
        ("calls", "see the line on the destination"),
        ("span", "as much work is above it as may be"),
        ("records", "a million records"),
        ("dead letters", "STREAM_ROUTER_DEAD_LETTER_LIMIT=off"),
    ],
)
def test_holding_is_said_once_a_minute_with_its_meaning(
    full_by: str, means: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten minutes without anything settled are ten lines, each with the seconds and the reason."""
    world = World()
    world.settle()
    began = world.rig.world.now
    for _ in range(600):
        world.watch.look(full_by)
        world.wait(1)
    assert len(said(caplog)) == 10
    assert all(means in line for line in said(caplog))
    assert (world.watch.since, world.watch.reason) == (began, full_by)


def test_it_is_over_once_something_is_settled() -> None:
    """Then a full window is back-pressure again."""
    world = World()
    world.wait(60)
    world.watch.look("span")
    assert world.watch.reason == "span"
    world.settle()
    world.watch.look("span")
    assert (world.watch.since, world.watch.reason) == (0.0, "")


@pytest.mark.parametrize(
    ("reason", "cure"),
    [
        (Reason.SCHEMA_MISMATCH, "correct mapping, masking or sender"),
        (Reason.OVERSIZE, "STREAM_ROUTER_OFFLOAD_BUCKET"),
        (Reason.INTERNAL_ERROR, "go back to the version before"),
    ],
)
def test_the_cure_of_a_passed_limit_is_that_of_its_reason(
    reason: Reason, cure: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No mapping mends what is too large, or what a version of ours cannot read."""
    world = World()
    world.rig.router.limit.passed_by = reason
    world.wait(HOLDING_AFTER_S)
    world.watch.look("dead letters")
    (line,) = said(caplog)
    assert cure in line
    assert "STREAM_ROUTER_DEAD_LETTER_LIMIT=off" in line

"""Which workers stand still, by what a watcher sees at its own looks."""

from typing import NamedTuple

from stream_router.receiver.pulses import COUNTED_OF_A_LOOK_S, HUNG_S, Pulses
from stream_router.telemetry.receiver.receiver_board import Board

LOOK_S = 0.25


class Bench(NamedTuple):
    """Two workers, whose loops beat or do not, and a watcher."""

    board: Board
    pulses: Pulses
    now_s: list[float]

    @classmethod
    def made(cls) -> "Bench":
        board, now_s = Board(2), [100.0]
        return cls(board, Pulses(lambda: board.beats, lambda: now_s[0]), now_s)

    def after(self, seconds: float, *beating: int, look_s: float = LOOK_S) -> list[int]:
        """So much later, with these workers at work; who stands still."""
        found: list[int] = []
        for _ in range(round(seconds / look_s)):
            self.now_s[0] += look_s
            for worker in beating:
                self.board.beat(worker)
            found = self.pulses.look()
        return found


def test_a_worker_that_stands_still_for_long_is_found() -> None:
    """Whatever the others do; and as soon as it goes on it is well."""
    bench = Bench.made()
    assert bench.after(1.0, 0, 1) == []
    assert bench.after(HUNG_S - 1.0, 0) == []
    assert bench.after(2.0, 0) == [1]
    assert bench.after(LOOK_S, 0, 1) == []
    assert bench.after(HUNG_S - 1.0, 0) == []


def test_a_worker_that_has_not_begun_is_not_judged() -> None:
    """A start may have gigabytes of spill to read; so may that of one that takes a dead one's place."""
    bench = Bench.made()
    assert bench.after(10 * HUNG_S, 0) == []
    bench.after(1.0, 0, 1)
    assert bench.after(2 * HUNG_S, 0) == [1]
    bench.board.gone(1)
    assert bench.after(10 * HUNG_S, 0) == []


def test_a_machine_that_was_suspended_hangs_nobody() -> None:
    """The watcher stood still like all others, whatever its clock says: a look counts for no more than it saw."""
    bench = Bench.made()
    bench.after(1.0, 0, 1)
    assert bench.after(8 * 3600.0, look_s=3600.0) == []
    assert bench.after(LOOK_S, 0, 1) == []


def test_on_a_loaded_machine_the_watcher_is_late_too() -> None:
    """One that comes to look every ten seconds has seen little of what the workers were given."""
    bench = Bench.made()
    bench.after(1.0, 0, 1)
    looks = HUNG_S / COUNTED_OF_A_LOOK_S
    assert bench.after((looks - 1) * 10.0, look_s=10.0) == []
    assert bench.after(20.0, look_s=10.0) == [0, 1]

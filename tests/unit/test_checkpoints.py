"""Where a shard is checkpointed: only past what was settled before the bus was asked, in the daemon's own digits."""

import base64
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from amazon_kclpy.checkpoint_error import CheckpointError

from stream_router.consumer.child.checkpoints import (
    EARLY_S,
    LOOK_EVERY_S,
    SHARD_END_WITHIN_S,
    Checkpoints,
    LeaseGoneError,
)
from stream_router.consumer.child.watermark import Position
from stream_router.envelope import seal
from stream_router.model import Record
from tests.events import RECEIVED_MS
from tests.lives import Life


@pytest.mark.parametrize(
    "sequence_numbers",
    [["7", "8"], ["0007", "0008"], ["0" * 50 + "999998", "0" * 50 + "999999"], ["49" * 28, "5" * 56]],
    ids=["plain", "padded", "as an emulator pads them", "as Kinesis has them"],
)
def test_a_checkpoint_has_the_digits_that_the_daemon_wrote(tmp_path: Path, sequence_numbers: list[str]) -> None:
    """An emulator compares sequence numbers as text: without their zeros the shard would go back, or stand still."""
    life = Life(tmp_path, checkpoint_s=600.0)
    records = [
        {
            "data": base64.b64encode(seal(f"{number:032x}", "delivery", RECEIVED_MS, b"{}")).decode(),
            "sequenceNumber": text,
            "subSequenceNumber": 0,
            "approximateArrivalTimestamp": RECEIVED_MS,
        }
        for number, text in enumerate(sequence_numbers)
    ]
    life.hear("processRecords", records=records, millisBehindLatest=0)
    life.hear("shutdownRequested")
    assert life.taken == sequence_numbers[-1:]


class Proofs:
    """The bus is asked every five seconds, a little after each checkpoint would be due."""

    def __init__(self, clock: Callable[[], float], phase_s: float) -> None:
        self._clock, self._phase_s = clock, phase_s

    @property
    def proven_s(self) -> float:
        return (self._clock() - self._phase_s) // 5.02 * 5.02 + self._phase_s


@pytest.mark.parametrize("phase_s", [0.0, 0.3, 1.0, 2.5, 4.0, 4.9])
def test_a_checkpoint_comes_with_the_proof_that_it_waits_for(phase_s: float) -> None:
    """Whatever the proofs' phase, at most six seconds of settled work are above the checkpoint."""
    now = 0.0

    def clock() -> float:
        return now

    class Daemon:
        def checkpoint(self, sequence_number: str, sub_sequence_number: int) -> None:
            self.at = int(sequence_number)

    daemon = Daemon()
    checkpoints = Checkpoints(Proofs(clock, phase_s), clock, 5.0, clock)  # type: ignore[arg-type]
    worst = 0.0
    for number in range(1, 400):
        now = number * 0.25
        record = Record(b"", number)
        record.expect(0)
        checkpoints.expect([record], 1)
        checkpoints.take_if_due(daemon)
        if now > 15:
            worst = max(worst, now - daemon.at * 0.25)
    assert worst <= 6.0


class Bench:
    """Checkpoints over a daemon that fails with the next of `errors`; all is always proven, until `proof_s`."""

    def __init__(self, every_s: float = 5.0) -> None:
        self.now = 1_000.0
        self.proof_s = math.inf
        self.errors: list[str] = []
        self.tries = 0
        self.taken: list[tuple[str, int] | None] = []
        self.waits = 0
        self.accepted_at: float | None = None
        self.checkpoints = Checkpoints(self, self.accepted, every_s, lambda: self.now)  # type: ignore[arg-type]

    @property
    def proven_s(self) -> float:
        return min(self.now, self.proof_s)

    def accepted(self) -> float:
        """All the time, or last at `accepted_at`."""
        return self.now if self.accepted_at is None else self.accepted_at

    def checkpoint(self, sequence_number: str | None = None, sub_sequence_number: int = 0) -> None:
        self.tries += 1
        if self.errors:
            raise CheckpointError(self.errors.pop(0))
        self.taken.append((sequence_number, sub_sequence_number) if sequence_number is not None else None)

    def settled(self, number: int, sub_sequence_number: int = 0) -> None:
        record = Record(b"", number, sub_sequence_number)
        record.expect(0)
        self.checkpoints.expect([record], 1)
        assert self.checkpoints.settled

    def wait(self) -> None:
        self.waits += 1
        self.now += 0.5


@pytest.mark.parametrize(("every_s", "early_s"), [(5.0, EARLY_S), (1.0, 0.5)])
def test_a_checkpoint_comes_when_it_is_due_or_a_little_early_with_a_new_proof(every_s: float, early_s: float) -> None:
    """Not before: each is a write to a table, and its cost. Half an interval early at most, where that is short."""
    bench = Bench(every_s)
    bench.settled(1)
    bench.now += every_s - early_s - 0.01
    assert bench.checkpoints.take_if_due(bench)
    assert bench.tries == 0
    bench.now += 0.02
    assert bench.checkpoints.take_if_due(bench)
    assert bench.taken == [("1", 0)]
    bench.proof_s = bench.now
    bench.settled(2)
    bench.now += every_s - 0.01
    assert bench.checkpoints.take_if_due(bench)
    assert bench.tries == 1


def test_what_was_settled_after_the_proof_waits_for_the_next_and_is_looked_at_soon() -> None:
    """A checkpoint that only waits for its proof is due again within a quarter of a second, not an interval later."""
    bench = Bench()
    bench.settled(1, 7)
    bench.now += 1.0
    bench.proof_s = bench.now
    bench.settled(2)
    bench.now += 5.0
    assert bench.checkpoints.take_if_due(bench)
    assert bench.taken == [("1", 7)]
    assert bench.checkpoints.taken_at == bench.now
    assert not bench.checkpoints.proven()
    bench.now += 5.0
    assert bench.checkpoints.take_if_due(bench)
    bench.proof_s = bench.now
    bench.now += LOOK_EVERY_S
    assert bench.checkpoints.take_if_due(bench)
    assert bench.taken == [("1", 7), ("2", 0)]
    assert bench.checkpoints.proven()


def test_what_dead_letters_settled_waits_for_no_proof() -> None:
    """The bus had nothing of it: with nothing accepted since the last proof the checkpoint moves."""
    bench = Bench()
    bench.settled(1)
    bench.now += 1.0
    bench.accepted_at, bench.proof_s = bench.now - 1.0, bench.now
    bench.now += 60.0
    bench.settled(2)
    assert bench.checkpoints.take(bench)
    assert bench.taken == [("2", 0)]
    bench.accepted_at = bench.now
    bench.settled(3)
    assert bench.checkpoints.take(bench)
    assert bench.taken == [("2", 0)]


def test_a_checkpoint_that_is_throttled_is_tried_again_and_one_that_is_refused_is_a_fault() -> None:
    """The watermark waits, and what was taken is told as it is; a lost lease ends everything."""
    bench = Bench()
    bench.settled(1)
    bench.now += 0.1
    for code in ("ThrottlingException", "KinesisClientLibDependencyException"):
        bench.errors = [code]
        assert bench.checkpoints.take(bench) is False
    assert bench.checkpoints.taken is None
    assert bench.checkpoints.take(bench) is True
    assert bench.checkpoints.taken == Position(1, 0)
    bench.settled(2)
    bench.now += 0.1
    bench.errors = ["InvalidStateException", "ShutdownException"]
    with pytest.raises(CheckpointError):
        bench.checkpoints.take(bench)
    with pytest.raises(LeaseGoneError):
        bench.checkpoints.take(bench)


def test_a_shards_end_that_is_throttled_is_tried_again_for_ten_seconds() -> None:
    """Without it the daemon wedges the shard; whoever waits lets the rest go on. A refusal is final at once."""
    bench = Bench()
    bench.errors = ["ThrottlingException", "KinesisClientLibDependencyException"]
    bench.checkpoints.take_shard_end(bench, bench.wait)
    assert (bench.taken, bench.tries, bench.waits) == ([None], 3, 2)
    bench = Bench()
    bench.errors = ["ThrottlingException"] * 1_000
    with pytest.raises(CheckpointError):
        bench.checkpoints.take_shard_end(bench, bench.wait)
    assert SHARD_END_WITHIN_S <= bench.now - 1_000.0 <= SHARD_END_WITHIN_S + 1.0
    for code, error in (("InvalidStateException", CheckpointError), ("ShutdownException", LeaseGoneError)):
        bench = Bench()
        bench.errors = [code]
        with pytest.raises(error):
            bench.checkpoints.take_shard_end(bench, bench.wait)
        assert (bench.tries, bench.waits) == (1, 0)

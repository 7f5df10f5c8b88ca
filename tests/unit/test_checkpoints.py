"""Where a shard is checkpointed: only past what was settled before the bus was asked, in the daemon's own digits."""

import base64
import math
from pathlib import Path

import pytest
from amazon_kclpy.checkpoint_error import CheckpointError

from stream_router.consumer.child.checkpoints import (
    SHARD_END_TIMEOUT_S,
    TARGET_CHECK_POLL_INTERVAL_S,
    Checkpoints,
    LeaseLostError,
)
from stream_router.consumer.child.watermark import RecordPosition
from stream_router.envelope import seal
from stream_router.model import Record
from tests.child_life import Life
from tests.events import RECEIVED_MS


@pytest.mark.parametrize("numbers", [["0007", "0008"], ["49" * 28, "5" * 56]], ids=["padded", "as Kinesis has them"])
def test_a_checkpoint_has_the_digits_that_the_daemon_wrote(tmp_path: Path, numbers: list[str]) -> None:
    """An emulator compares sequence numbers as text: without their zeros the shard would go back, or stand still."""
    life = Life(tmp_path, checkpoint_s=600.0)
    data = base64.b64encode(seal("0" * 32, "delivery", RECEIVED_MS, b"{}")).decode()
    plain = {"data": data, "subSequenceNumber": 0, "approximateArrivalTimestamp": RECEIVED_MS}
    records = [{**plain, "sequenceNumber": text} for text in numbers]
    life.hear("processRecords", records=records, millisBehindLatest=0)
    life.hear("shutdownRequested")
    assert life.taken == numbers[-1:]


class Bench:
    """Checkpoints over a daemon that fails with the next of `errors`; all is always proven, until `proof_s`."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.proof_s = self.accepted_s = math.inf
        self.errors: list[str] = []
        self.tries = 0
        self.taken: list[tuple[str, int] | None] = []
        accepted, clock = lambda: min(self.now, self.accepted_s), lambda: self.now
        self.checkpoints = Checkpoints(self, accepted, 5.0, clock)  # type: ignore[arg-type]

    @property
    def proven_s(self) -> float:
        return min(self.now, self.proof_s)

    def checkpoint(self, sequence_number: str | None = None, sub_sequence_number: int = 0) -> None:
        self.tries += 1
        if self.errors:
            raise CheckpointError(self.errors.pop(0))
        self.taken.append((sequence_number, sub_sequence_number) if sequence_number is not None else None)

    def settled(self, number: int, sub_sequence_number: int = 0) -> None:
        record = Record(b"", number, sub_sequence_number)
        record.expect(0)
        self.checkpoints.add_records([record], 1)
        assert self.checkpoints.is_settled
        self.now += 0.1

    def wait(self) -> None:
        self.now += 0.5


@pytest.mark.parametrize("phase_s", [0.0, 0.3, 1.0, 2.5, 4.0, 4.9])
def test_a_checkpoint_comes_with_the_proof_that_it_waits_for(phase_s: float) -> None:
    """Whatever the proofs' phase, at most six seconds of settled work are above the checkpoint; a write in two."""
    bench = Bench()
    for number in range(1, 1_000):
        settled_at = bench.now
        bench.proof_s = (bench.now - phase_s) // 5.02 * 5.02 + phase_s  # asked a little after each is due
        bench.settled(number)
        bench.checkpoints.take_checkpoint_if_due(bench)
        if number > 150:
            assert bench.taken[-1]
            assert settled_at - (1_000.0 + int(bench.taken[-1][0]) / 10) <= 6.0
    assert bench.tries < 50


def test_what_was_settled_after_the_proof_waits_for_the_next_and_is_looked_at_soon() -> None:
    """A checkpoint that only waits for its proof is due again within a quarter of a second, not an interval later.

    What dead letters settled, with nothing accepted since the proof, waits for none.
    """
    bench = Bench()
    bench.settled(1, 7)
    bench.proof_s = bench.now
    bench.settled(2)
    bench.now += 5.0
    assert bench.checkpoints.take_checkpoint_if_due(bench)
    assert bench.taken == [("1", 7)]
    assert not bench.checkpoints.is_covered_by_target_check()
    bench.now += 5.0
    assert bench.checkpoints.take_checkpoint_if_due(bench)
    bench.proof_s = bench.now
    bench.now += TARGET_CHECK_POLL_INTERVAL_S
    assert bench.checkpoints.take_checkpoint_if_due(bench)
    assert bench.taken[1:] == [("2", 0)]
    assert bench.checkpoints.is_covered_by_target_check()
    bench.accepted_s = bench.proof_s - 1.0
    bench.settled(3)
    assert bench.checkpoints.take_checkpoint(bench)
    assert bench.taken[2:] == [("3", 0)]
    bench.settled(4)
    bench.proof_s = bench.now
    assert bench.checkpoints.take_checkpoint_if_due(bench)
    assert bench.tries == 3, "each is a write to a table"


@pytest.mark.parametrize("end", [False, True], ids=["a checkpoint", "the shard's end"])
def test_a_checkpoint_that_is_throttled_is_tried_again_and_one_that_is_refused_is_a_fault(end: bool) -> None:
    """What is taken is told as it is; a lost lease ends everything. Without its end the daemon wedges a shard."""
    bench = Bench()
    result = bench.checkpoints
    bench.settled(1)
    bench.errors = ["ThrottlingException", "KinesisClientLibDependencyException"]
    if end:
        result.take_shard_end_checkpoint(bench, bench.wait)
        assert (bench.taken, bench.tries) == ([None], 3)
        began, bench.errors = bench.now, ["ThrottlingException"] * 1_000
        with pytest.raises(CheckpointError):
            result.take_shard_end_checkpoint(bench, bench.wait)
        assert SHARD_END_TIMEOUT_S <= bench.now - began <= SHARD_END_TIMEOUT_S + 1.0
    else:
        assert [
            result.take_checkpoint(bench),
            result.take_checkpoint(bench),
            result.last_checkpoint,
            result.take_checkpoint(bench),
        ] == [False, False, None, True]
        assert result.last_checkpoint == RecordPosition(1, 0)
        bench.settled(2)
    began = bench.now
    for code, error in (("InvalidStateException", CheckpointError), ("ShutdownException", LeaseLostError)):
        bench.errors = [code]
        with pytest.raises(error):
            result.take_shard_end_checkpoint(bench, bench.wait) if end else result.take_checkpoint(bench)
    assert bench.now == began

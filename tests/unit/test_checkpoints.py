"""Where a shard is checkpointed: only past what was settled before the bus was asked, in the daemon's own digits."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_router.consumer.child.progress.checkpoints import Checkpoints
from stream_router.consumer.child.progress.watermark import Position, Watermark
from stream_router.core.envelope import seal
from stream_router.core.model import Record
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


@pytest.mark.parametrize(("proof_s", "proven"), [(4.999, None), (5.0, None), (5.001, Position(1, 0))])
def test_what_was_settled_as_the_bus_was_asked_is_not_proven(proof_s: float, proven: Position | None) -> None:
    """At one and the same moment nobody knows which came first, so only what was settled before counts."""
    mark = Watermark()
    record = Record(b"", 1)
    record.expect(0)
    mark.expect([record])
    mark.advance(5.0)
    assert mark.proven(proof_s) == proven
    assert mark.unproven is (proven is None)


class Proofs:
    """The bus is asked every five seconds, a little after each checkpoint would be due."""

    gone = unasked = False

    def __init__(self, clock: Callable[[], float], phase_s: float) -> None:
        self._clock, self._phase_s = clock, phase_s

    def latest(self) -> float:
        return (self._clock() - self._phase_s) // 5.02 * 5.02 + self._phase_s

    def renew(self) -> None:
        pass


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
    checkpoints = Checkpoints(Proofs(clock, phase_s), 5.0, clock)  # type: ignore[arg-type]
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

"""A bus that takes requests and answers nothing is probed with one entry: few events reach it twice, none is lost.

The fake AWS is stopped (SIGSTOP): its kernel still accepts connections and requests. When it goes on, it publishes
everything that it was sent, as a service does that was slow and not dead. The child is the real process.
"""

from pathlib import Path

import pytest

from tests.fault.open_loop import Freeze, Run, run, steady

FREEZE_AT_S = 3.0
SECONDS = [12.0, pytest.param(110.0, marks=pytest.mark.long)]
SETTLES_WITHIN_S = 60.0
"""The last pause between two probes, and the backlog."""

PROBES = 6
"""Probes that fit into the longest freeze, with one to spare."""

FEW = 10
"""Copies on a quiet shard: the probes, and the calls of the first five seconds."""


def copies_of(result: Run) -> list[int]:
    return sorted((len(times) for times in result.outcome.accepted.values()), reverse=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rate", [0.5, pytest.param(50.0, marks=pytest.mark.long), 400.0])
@pytest.mark.parametrize("seconds", SECONDS)
def test_a_silent_bus_gets_one_entry_now_and_then_and_no_event_is_lost(
    tmp_path: Path, seconds: float, rate: float
) -> None:
    """Only an entry that was the probe is published more than twice; at most 1.1 copies an event in all.

    On a quiet shard, where every entry but the newest was sent already, the probes themselves are the copies.
    """
    events = steady(rate, FREEZE_AT_S + seconds + 1.0)
    completed = run(tmp_path / "run", [events], [], settle_s=SETTLES_WITHIN_S, freeze=Freeze(FREEZE_AT_S, seconds))
    copies = copies_of(completed)
    text = (tmp_path / "run" / "stderr").read_text()
    assert not completed.outcome.lost
    assert not completed.outcome.dead
    assert completed.outcome.twice, "the bus was not silent"
    assert sum(times > 2 for times in copies) <= 1, copies[:50]
    assert copies[0] <= PROBES
    assert sum(copies) - len(events) <= max(0.1 * len(events), FEW), copies[:50]
    assert '"may_be_delivered_twice"' in text
    completed.outcome.check_checkpoints(completed.shards[0], least=1)  # it stays while the bus is silent

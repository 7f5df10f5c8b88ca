"""EventBridge down in mid-run while events keep coming: nothing lost, nothing buried, few attempts, soon caught up."""

import time
from pathlib import Path

import pytest

from tests.daemon import Child, envelope, prove
from tests.fakeaws.process import FakeAwsProcess

PER_BATCH = 250
BATCH_EVERY_S = 0.25
CAUGHT_UP_WITHIN_S = 10.0


def run(tmp_path: Path, outage_s: float, after_s: float) -> None:
    """1,000 events/s for `after_s` before and after an outage of `outage_s`, as the daemon would hand them over."""
    batches = int((outage_s + 2 * after_s) / BATCH_EVERY_S)
    prove(tmp_path)
    with FakeAwsProcess(tmp_path / "ledger") as fake_aws, Child(fake_aws.url, tmp_path) as child:
        child.initialize()
        start = time.monotonic()
        down, up = start + after_s, start + after_s + outage_s
        outage = {"fault": "outage", "operation": "PutEvents", "from_s": after_s, "to_s": after_s + outage_s}
        fake_aws.plan({"rules": [outage]})
        caught_up = 0.0
        for number in range(batches):
            # The daemon hands a batch over once it is there and the one before is done.
            time.sleep(max(0.0, start + number * BATCH_EVERY_S - time.monotonic()))
            child.process_batch([envelope(PER_BATCH * number + n) for n in range(PER_BATCH)], outage_s + 60)
            behind = time.monotonic() - (start + number * BATCH_EVERY_S)
            if time.monotonic() > up and behind < 2 * BATCH_EVERY_S:
                caught_up = caught_up or time.monotonic()
        child.settle()
        # With the last batch settled the backlog is gone, if it was not before.
        caught_up = caught_up or time.monotonic()
        child.say("shutdownRequested")
        accepted = {line["eventId"] for line in fake_aws.lines("PutEvents", "accepted")}
        refused = {line["call"]: line["time"] for line in fake_aws.lines("PutEvents", "refused")}
    assert accepted == {f"{n:032x}" for n in range(PER_BATCH * batches)}
    assert "SendMessageBatch" not in {line["operation"] for line in fake_aws.lines()}
    # The calls in flight when it began, then at most two probes a second.
    assert len(refused) <= 16 + 2 * outage_s
    assert down < up < caught_up
    assert caught_up - up < CAUGHT_UP_WITHIN_S


def test_a_short_outage(tmp_path: Path) -> None:
    """Eight seconds of 503 under 1,000 events/s: caught up within 10 s, no dead letter."""
    run(tmp_path, 8, 2)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_an_outage_of_a_minute(tmp_path: Path) -> None:
    """A minute of 503 under 1,000 events/s: caught up within 10 s, no dead letter."""
    run(tmp_path, 60, 12)

"""`stream-router plan` beside a run: PutEvents calls at 4 KB; CPU and memory at 4 KB: tests/unit/test_plan.py."""

import random
import time
from pathlib import Path

import pytest

from benchmarks.driven_child import accepted
from benchmarks.events import envelopes
from stream_router.control.plan import command
from stream_router.control.plan.capacity import Load
from tests.daemon import Child
from tests.fakeaws.process import FakeAwsProcess

pytestmark = pytest.mark.long  # a child that is late fills its calls better than the plan says

SIZE_BYTES, RATE, SECONDS = 4_096, 1_000, 4
BATCHES_PER_S = 4
"""The daemon reads a shard every 250 ms (properties/consumer.properties)."""


def test_calls_at_4_kb_are_within_a_fifth_of_the_plan(tmp_path: Path) -> None:
    """One shard of the plan's, which gets its share in the daemon's batches, makes its share of the plan's calls."""
    planned = command.plan(Load(RATE, SIZE_BYTES, 1.0, "us-east-1")).found
    share, dice = RATE / planned.shards / BATCHES_PER_S, random.Random(19)
    batches = [round(share * dice.uniform(0.6, 1.4)) for _ in range(SECONDS * BATCHES_PER_S)]
    lines = envelopes(sum(batches), SIZE_BYTES)
    with FakeAwsProcess() as fake_aws, Child(fake_aws.url, tmp_path) as child:
        child.initialize()
        begun = time.monotonic()
        for number, count in enumerate(batches):
            time.sleep(max(0.0, begun + number / BATCHES_PER_S - time.monotonic()))
            child.process_batch([lines.pop() for _ in range(count)])
        deadline = time.monotonic() + 30
        while accepted(fake_aws) < sum(batches):
            assert time.monotonic() < deadline, fake_aws.stats()
            time.sleep(0.05)
        calls = fake_aws.stats()["calls"]["PutEvents"]
    assert planned.entries_per_call == 10
    per_event = planned.calls / RATE
    assert calls / sum(batches) == pytest.approx(per_event, rel=0.2)

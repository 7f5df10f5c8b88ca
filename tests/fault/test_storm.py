"""Everything at once: nothing lost, nothing dead that was not poison, copies explained.

Shuffled PutEvents answers are left out: their failures are told of the wrong entries, and no client can notice, since
EventIds name nothing that was sent. EventBridge documents the order (docs/facts.md, "EventBridge"); SQS's answers have
ids and are shuffled.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Child, envelope
from tests.fakeaws.process import FakeAwsProcess
from tests.fault.bench import Bench

STORM: list[dict[str, Any]] = [
    {"fault": "entry_error", "code": "InternalFailure", "rate": 0.1},
    {"fault": "entry_error", "code": "ThrottlingException", "rate": 0.1},
    {"fault": "call_error", "code": "InternalException", "rate": 0.05},
    {"fault": "call_error", "code": "ThrottlingException", "rate": 0.05},
    {"fault": "call_error", "code": "InternalException", "accept": True, "rate": 0.02},
    {"fault": "reset", "rate": 0.02},
    {"fault": "html", "rate": 0.01},
    {"fault": "short", "rate": 0.01},
    {"fault": "stall", "rate": 0.002},
    {"operation": "SendMessageBatch", "fault": "shuffle", "rate": 0.2},
    {"operation": "SendMessageBatch", "fault": "entry_error", "code": "InternalError", "rate": 0.2},
    {"operation": "SendMessageBatch", "fault": "wrong_md5", "rate": 0.1},
    {"operation": "SendMessageBatch", "fault": "reset", "rate": 0.1},
    {"operation": "SendMessageBatch", "fault": "call_error", "code": "RequestThrottled", "rate": 0.1},
]
BIT_AT_LEAST = 5


def test_a_storm_of_every_fault_loses_nothing(tmp_path: Path) -> None:
    """3,000 events with 1% poison: all accounted for, only poison is dead, no event is sent again once we were told.

    A run in which a common fault bit less than five times would prove nothing.
    """
    poison = tuple(range(50, 3000, 100))
    with Bench(tmp_path) as bench:
        account = bench.run([{**rule, "to_s": 12} for rule in STORM], count=3000, poison=poison, timeout_s=150)
        lines = bench.fake_aws.lines("PutEvents")
        faults = bench.fake_aws.stats()["faults"]
    account.check_nothing_lost()
    assert set(account.letters) == set(poison)
    told = Counter(line["eventId"] for line in lines if line["verdict"] == "accepted")
    assert set(told.values()) == {1}
    copies = sum(1 for line in lines if line["verdict"] == "accepted_then_dropped")
    assert len(account.took) - len(account.delivered) <= copies
    assert min(faults[name] for name in ("entry_error", "call_error", "reset")) >= BIT_AT_LEAST


@pytest.mark.long
def test_a_bus_that_takes_smaller_calls_than_documented_gets_them(tmp_path: Path) -> None:
    """Where 256 KB hold though the region's table says 1 MB the child learns it, and everything is delivered."""
    with (
        FakeAwsProcess(tmp_path / "ledger", {"max_request_bytes": 262_144}) as fake_aws,
        Child(fake_aws.url, tmp_path) as child,
    ):
        child.initialize()
        child.process_batch([envelope(n, payload={"text": "x" * 100_000}) for n in range(40)])
        child.settle()
        took = fake_aws.lines("PutEvents", "accepted")
        assert {line["eventId"] for line in took} == {f"{n:032x}" for n in range(40)}
        assert fake_aws.lines("SendMessageBatch") == []
        refused = len(fake_aws.lines("PutEvents", "refused"))
        child.process_batch([envelope(n, payload={"text": "x" * 100_000}) for n in range(40, 80)])
        child.settle()
        assert len(fake_aws.lines("PutEvents", "accepted")) == 80
        assert len(fake_aws.lines("PutEvents", "refused")) == refused, "what was learned is not forgotten"


@pytest.mark.parametrize("status", [413])
def test_a_proxys_413_is_a_matter_of_size(tmp_path: Path, status: int) -> None:
    """A 413 without AWS's code halves calls, and loses nothing."""
    with Bench(tmp_path) as bench:
        account = bench.run([{"fault": "html", "status": status, "next": 1}], count=20)
    account.check_nothing_lost()
    assert account.letters == {}

"""`dlq redrive` at its failpoint: no letter is lost, copies are explained."""

import signal
from collections import Counter

import pytest

from tests import dead_letters as dlq
from tests.dead_letters import Letters
from tests.fakeaws.process import FakeAwsProcess

COUNT = 240


FAKE_AWS = ({"bus_rules": [dlq.RULE], "keep_records": True, "shard_limits": False}, 7)


@pytest.mark.parametrize("action", ["kill@150", pytest.param("stall:2s@2", marks=pytest.mark.long)])
def test_redrive_between_stored_and_deleted(fake_aws: FakeAwsProcess, action: str) -> None:
    """After a kill every event is on the stream at least once, and again only where its message was still there."""
    event_ids = {event.event_id for event in Letters(fake_aws).put(COUNT, ("base64",))}
    done = dlq.run(fake_aws, "redrive", "--rate", "0", STREAM_ROUTER_FAILPOINTS=f"redrive_put_before_deleted={action}")
    assert "failpoint redrive_put_before_deleted" in done.stderr
    assert done.returncode == (-signal.SIGKILL if "kill" in action else 0), done.stderr
    fake_aws.queues(show_all=True)
    waiting = {body["origin"]["eventId"] for body in dlq.left(fake_aws)}
    before = {event.event_id for event in dlq.on_stream(fake_aws)}
    assert before | waiting == event_ids
    assert bool(waiting) is ("kill" in action)
    if waiting:
        assert dlq.run(fake_aws, "redrive", "--rate", "0").returncode == 0
    after = Counter(event.event_id for event in dlq.on_stream(fake_aws))
    assert after.keys() == event_ids
    assert {item for item, count in after.items() if count > 1} == before & waiting
    assert dlq.left(fake_aws) == []
    dlq.assert_stored_before_deleted(fake_aws)

"""More than one worker can do, over thousands of connections: a 202 comes in time, the rest is 503."""

import resource
from collections import Counter
from pathlib import Path

import pytest

from stream_router.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import event, receiver
from tests.receiver_load import post, send

LATEST_S = 0.9
SLACK_S = 0.35
"""What the load, which shares the machine, adds to what it sees."""
SHORT = {"connections": 500, "seconds": 1.5}
LONG = {"connections": 6_000, "seconds": 10.0}


@pytest.mark.parametrize("shape", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"])
def test_half_as_much_again_as_it_can_do_is_shed_in_time(tmp_path: Path, shape: dict[str, float]) -> None:
    """Saturation is measured first, in the same run; then one and a half times of it is offered."""
    connections = int(shape["connections"])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, connections + 512), hard))
    with FakeAwsProcess() as fake_aws, receiver(fake_aws.url, tmp_path) as running:
        fake_aws.plan({"shard_limits": False})
        posts = [post(event(number, number % 499)) for number in range(2_000)]
        first = send(running.address, posts * 3, 1e9, 128)
        began_s = min(outcome.answered_s for outcome in first)
        saturation = len(first) / (max(outcome.answered_s for outcome in first) - began_s)
        rate = 1.5 * saturation
        offered = [posts[number % len(posts)] for number in range(int(rate * shape["seconds"]))]
        outcomes = send(running.address, offered, rate, connections)
        counts = Counter(outcome.status for outcome in outcomes)
        assert set(counts) <= {202, 503}, counts
        late = [outcome.waited_s for outcome in outcomes if outcome.waited_s > LATEST_S + SLACK_S]
        assert not late, (len(late), max(late), counts)
        assert running.metrics()['request_duration_seconds_bucket{le="0.9"}'] >= 0.99 * len(outcomes)

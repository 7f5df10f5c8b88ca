"""More than one worker can do, over thousands of connections: a 202 comes in time, the rest is 503."""

import hashlib
import hmac
import resource
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_flood import Flood
from tests.receiver_kit import event, receiver
from tests.receiver_load import post

LATEST_S = 0.9


class Shape(NamedTuple):
    """Each request is checked with so many secrets, so that the receiver is slower than the driver beside it."""

    connections: int
    seconds: float
    secrets: int
    offered: float
    """Over the saturation. The machine may be another's when that is measured, so the short shape offers plenty."""

    least_stored: float
    """Share of the saturation that was answered 202: work for what comes too late is work for nothing."""

    slack_s: float
    """For a 503 only: where other tests have the machine for so long, it cannot come sooner."""


SHORT = Shape(1_500, 2.0, 400, 3.0, 0.0, 1.1)
LONG = Shape(6_000, 20.0, 150, 1.5, 0.6, 0.05)


@pytest.mark.parametrize("shape", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"])
def test_more_than_it_can_do_is_shed_in_time(tmp_path: Path, shape: Shape) -> None:
    """Saturation is measured first, in the same run; then more is offered: some of it is 503, and nothing is late."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, shape.connections + 512), hard))
    keys = [f"{number:032x}" for number in range(shape.secrets)]
    signed = {"WEBHOOK_SCHEME": "hmac", "WEBHOOK_SECRETS": ",".join(keys)}
    with FakeAwsProcess() as fake_aws, receiver(fake_aws.url, tmp_path, **signed) as running:
        fake_aws.plan({"shard_limits": False})
        posts = [_signed(event(number, number % 499), keys[-1]) for number in range(2_000)]
        first = Flood(running.address, min(shape.connections, 512))
        saturation = first.run(posts, 1e9, 2.0)
        first.close()
        flood = Flood(running.address, shape.connections)
        sent = flood.run(posts, shape.offered * saturation, shape.seconds)
        flood.close()
    counts = Counter(answer.status for answer in flood.answers)
    latest = {status: max(one.took_s for one in flood.answers if one.status == status) for status in counts}
    print(f"{saturation:.0f}/s at most, {sent:.0f}/s sent: {dict(counts)}, latest {latest}")  # noqa: T201 - with -s
    assert set(counts) == {202, 503}, counts
    assert counts[202] > shape.least_stored * saturation * shape.seconds
    assert latest[202] <= LATEST_S, (latest, counts)
    assert latest[503] <= LATEST_S + shape.slack_s, (latest, counts)


def _signed(body: bytes, key: str) -> bytes:
    return post(body, {"x-signature": hmac.digest(key.encode(), body, hashlib.sha256).hex()})

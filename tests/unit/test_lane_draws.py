"""What the lane draws from a seed, and what it reads of the lease table."""

import json

from tests.fault.lane.chaos import Shape, draw
from tests.fault.lane.lease_tap import LeaseTap
from tests.fault.lane.run import FULL, SHORT
from tests.fault.lane.traffic import Traffic

A = "shardId-000000000000"


def test_the_tap_reads_checkpoints_and_owners_of_the_lease_table() -> None:
    """Whole calls, in pieces or two at once; taken where DynamoDB answers 200."""
    body = {
        "TableName": "t",
        "Key": {"leaseKey": {"S": A}},
        "AttributeUpdates": {"checkpoint": {"Value": {"S": "77"}}, "leaseOwner": {"Value": {"S": "one"}}},
    }
    text = json.dumps(body).encode()
    call = b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.UpdateItem\r\nContent-Length: %d\r\n\r\n" % len(text)
    tap = LeaseTap()
    for part in (call[:40], call[40:] + text[:10], text[10:]):
        tap(1, True, part)
    tap(1, False, b"HTTP/1.1 200 OK\r\n\r\n{}")
    tap(2, True, call + text)
    tap(2, False, b"HTTP/1.1 400 Bad Request\r\n\r\n{}")
    assert [(one.shard, one.position, one.taken) for one in tap.checkpoints] == [(A, "77", True), (A, "77", False)]
    assert [(one.shard, one.worker) for one in tap.owners] == [(A, "one")]


def test_a_schedule_repeats_by_its_seed() -> None:
    """The same seed and shape give the same steps, another seed others; all kills are there, in their time."""
    assert draw(5, FULL) == draw(5, FULL)
    assert draw(5, FULL).steps != draw(6, FULL).steps
    for shape in (SHORT, FULL, Shape(1_000, 3, 30.0)):
        steps = draw(5, shape).steps
        assert sum(step.do == "kill" for step in steps) == shape.kills
        assert all(0 <= step.at_s < shape.seconds for step in steps)


def test_traffic_repeats_by_its_seed_and_has_every_kind() -> None:
    """Ids are the contract's; poison, sick, arrays and repeats are in it."""
    posts = Traffic(3).posts(4_000, 6)
    assert posts == Traffic(3).posts(4_000, 6)
    kinds = [kind for post in posts for kind in post.kinds]
    assert kinds.count("sick") == 6
    assert 20 <= kinds.count("poison") <= 70
    assert {len(post.ids) for post in posts} == {1, 10}
    assert sum(post.twice for post in posts) >= 20
    assert len({one for post in posts for one in post.ids}) == len(kinds)

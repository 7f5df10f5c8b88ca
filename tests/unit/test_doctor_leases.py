"""What `doctor` says of the lease table: by the supervisor's own judge, and only of what it saw."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router.checks.finding import Verdict
from stream_router.control.doctor.checks import leases
from stream_router.control.doctor.world import World
from tests.environment import given

pytestmark = pytest.mark.usefixtures("empty_environment")


def row(shard: str, checkpoint: str = "123", owner: str = "worker-1", counter: int = 1) -> dict[str, Any]:
    made = {"leaseKey": {"S": shard}, "checkpoint": {"S": checkpoint}, "leaseCounter": {"N": str(counter)}}
    return {**made, **({"leaseOwner": {"S": owner}} if owner else {})}


def shard(name: str, parent: str = "", *, closed: bool = False) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": "1", **({"EndingSequenceNumber": "9"} if closed else {})}
    return {"ShardId": name, "SequenceNumberRange": numbers, **({"ParentShardId": parent} if parent else {})}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    given(monkeypatch, {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"})
    return World(offline=False, wait=lambda _: None)


def holds(world: World, shards: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    world.once("shards", lambda: shards)
    world.once("leases 0", lambda: rows)


SPLIT = [shard("s0", closed=True), shard("s1", "s0"), shard("s2", "s0")]


def test_a_shard_that_is_read_to_its_end_needs_no_lease(world: World) -> None:
    """SR160: the stream lists a closed shard as long as its records; its lease is deleted when its children begin."""
    holds(world, SPLIT, [row("s1"), row("s2")])
    found = leases.owners(world)
    assert (found.verdict, found.says) == (Verdict.WELL, "2 leases, 1 workers: worker-1")


@pytest.mark.parametrize(
    ("rows", "unread"),
    [
        ([row("s0"), row("s1"), row("s2", owner="")], "s2"),
        ([row("s0", "SHARD_END", owner=""), row("s1")], "s2"),
        ([row("s1", owner=""), row("s2")], "s1"),
    ],
    ids=["no owner", "forgotten child", "its parent is done"],
)
def test_a_shard_that_is_to_be_read_needs_an_owner(world: World, rows: list[dict[str, Any]], unread: str) -> None:
    """SR160: a child of a shard that is read to its end as well."""
    holds(world, SPLIT, rows)
    looked_again(world, rows, rows, rows)
    found = leases.owners(world)
    assert (found.verdict, found.says) == (Verdict.WRONG, f"1 of 3 shards are read by nobody ({unread})")


def test_a_child_waits_for_its_parent(world: World) -> None:
    """SR160: the KCL gives it a lease when the parent is read to its end."""
    holds(world, SPLIT, [row("s0")])
    assert leases.owners(world).verdict is Verdict.WELL


def test_who_reads_is_named(world: World) -> None:
    """SR160: a stranger among them is another deployment with this one's application: its part goes to its own bus."""
    names = [f"host-{number}" for number in range(6)]
    holds(world, [shard(f"s{name}") for name in names], [row(f"s{name}", owner=name) for name in names])
    says = "6 leases, 6 workers: host-0, host-1, host-2, host-3, host-4 and 1 more"
    assert leases.owners(world).says == says


def test_a_lease_of_another_stream_is_told(world: World) -> None:
    """SR160: it has an owner or not, and is no shard of ours that nobody reads."""
    holds(world, [shard("s0")], [row("s0"), row("theirs", owner="")])
    found = leases.owners(world)
    assert (found.verdict, found.says) == (Verdict.WARNING, "lease theirs is of no shard of this stream")


def refused(world: World, what: str, code: str) -> None:
    """AWS answers this question of `World` with a refusal."""

    def refuse() -> list[Any]:
        raise ClientError({"Error": {"Code": code}}, "ListShards")

    with pytest.raises(ClientError):
        world.once(what, refuse)


@pytest.mark.parametrize(
    ("code", "verdict"), [("LimitExceededException", Verdict.UNKNOWN), ("AccessDeniedException", Verdict.WARNING)]
)
def test_shards_that_cannot_be_listed_are_not_called_well(world: World, code: str, verdict: Verdict) -> None:
    """SR160: that the stream itself answers (SR101) says nothing of its shards."""
    world.once("leases 0", lambda: [row("s1")])
    refused(world, "shards", code)
    found = leases.owners(world)
    assert (found.verdict, found.setting) == (verdict, "STREAM_ROUTER_STREAM")


def test_a_lease_table_that_is_gone_is_no_matter_of_course(world: World) -> None:
    """SR160: a daemon that runs does not make a deleted table again, and nobody reads a shard: not "never started"."""
    refused(world, "leases 0", "ResourceNotFoundException")
    found = leases.owners(world)
    assert (found.verdict, found.setting) == (Verdict.WARNING, "STREAM_ROUTER_APPLICATION")
    assert "was deleted" in found.says
    assert "one that runs has to be restarted" in found.cure


def looked_again(world: World, *looks: list[dict[str, Any]] | Exception) -> None:
    """What the further looks at the table find."""
    for number, rows in enumerate(looks, 1):

        def look(rows: list[dict[str, Any]] | Exception = rows) -> list[dict[str, Any]]:
            if isinstance(rows, Exception):
                raise rows
            return rows

        if isinstance(rows, Exception):
            with pytest.raises(type(rows)):
                world.once(f"leases {number}", look)
        else:
            world.once(f"leases {number}", look)


def test_a_lease_that_changes_hands_is_read(world: World) -> None:
    """SR160: for a moment it has no owner, at one look and not at the next; the supervisor judges by two as well."""
    holds(world, SPLIT, [row("s1", owner=""), row("s2")])
    looked_again(world, [row("s1", owner="worker-2", counter=2), row("s2", owner="", counter=2)])
    found = leases.owners(world)
    assert (found.verdict, found.says) == (Verdict.WELL, "2 leases, 1 workers: worker-2")


def test_a_first_lease_that_is_just_being_made_is_no_unread_shard(world: World) -> None:
    """SR160: a consumer that has just started on an empty table."""
    holds(world, [shard("s0")], [])
    looked_again(world, [], [row("s0", "TRIM_HORIZON")])
    assert leases.owners(world).verdict is Verdict.WELL


def test_a_second_look_that_is_refused_accuses_nobody(world: World) -> None:
    """SR160: one look is not enough, and a throttled scan is no look."""
    holds(world, SPLIT, [row("s1", owner=""), row("s2")])
    looked_again(world, THROTTLED, THROTTLED, THROTTLED)
    assert leases.owners(world).verdict is Verdict.UNKNOWN


def test_both_checks_wait_for_one_another_s_looks(world: World) -> None:
    """SR160 and SR161 ask the table as often as one of them."""
    holds(world, SPLIT, [row("s1", owner=""), row("s2")])
    looked_again(world, *([row("s1", owner=""), row("s2")],) * 3)
    assert (leases.owners(world).verdict, leases.renewed(world).verdict) == (Verdict.WRONG, Verdict.WRONG)


THROTTLED = ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "Scan")


def test_a_table_that_cannot_be_looked_at_again_says_nothing_of_its_workers(world: World) -> None:
    """SR161: a scan that is throttled is no worker that is dead."""
    holds(world, SPLIT, [row("s1")])
    looked_again(world, THROTTLED, THROTTLED, THROTTLED)
    assert leases.renewed(world).verdict is Verdict.UNKNOWN


def test_a_last_look_that_is_refused_says_nothing_of_its_workers(world: World) -> None:
    """SR161: three seconds after the first one a worker that lives need not have renewed."""
    holds(world, SPLIT, [row("s1"), row("s2")])
    looked_again(world, THROTTLED, [row("s1", counter=2), row("s2")], THROTTLED)
    assert leases.renewed(world).verdict is Verdict.UNKNOWN


def test_a_last_look_that_is_answered_is_enough(world: World) -> None:
    """SR161: at the last one the counter stands where it was."""
    holds(world, SPLIT, [row("s1"), row("s2")])
    looked_again(world, THROTTLED, THROTTLED, [row("s1", counter=2), row("s2")])
    found = leases.renewed(world)
    assert (found.verdict, found.says.partition(":")[0]) == (Verdict.WRONG, "1 of 2 leases are not renewed (s2)")


def test_a_lease_that_is_gone_at_the_next_look_is_not_one_that_stands_still(world: World) -> None:
    """SR161: the KCL deletes the lease of a shard that is read to its end."""
    holds(world, SPLIT, [row("s0"), row("s1")])
    looked_again(world, [row("s1", counter=2)])
    assert leases.renewed(world).verdict is Verdict.WELL

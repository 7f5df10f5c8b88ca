"""The lease table before the daemon starts: created with its index, waited for, and what a refusal means."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from stream_router.consumer.lease_table import (
    FIRST_LEASES_TIMEOUT_S,
    INDEX_IN_CREATION,
    OWNER_INDEX,
    TABLE_IN_CREATION,
    LeaseTablePreparation,
    TableState,
    parse_table_state,
    write_first_leases,
)
from stream_router.errors import SettingsError
from stream_router.leases import Shard
from tests.fakeaws.in_process import Answer, InProcess

MISSING = "ResourceNotFoundException"


def table(status: str, index: str | None = None) -> dict[str, Any]:
    """A table as DescribeTable shows it, with the index in a state."""
    other = {"IndexName": "another", "IndexStatus": "ACTIVE"}
    indexes = [other] if index is None else [other, {"IndexName": OWNER_INDEX, "IndexStatus": index}]
    return {"TableStatus": status, "GlobalSecondaryIndexes": indexes}


ACTIVE = table("ACTIVE", "ACTIVE")


class DynamoDb(InProcess):
    """A fake AWS that gives each DescribeTable the next of `describes`: a table, AWS's code, or an exception."""

    def __init__(self, *describes: dict[str, Any] | str | Exception, create: Answer | None = None) -> None:
        super().__init__()
        answers = [{"Table": table} if isinstance(table, dict) else table for table in describes]
        self.answer("DescribeTable", *answers)
        self.script("CreateTable", lambda _: create or {})

    @property
    def created(self) -> list[dict[str, Any]]:
        return self.asked("CreateTable")

    @property
    def leases(self) -> list[str]:
        return list(self.dynamodb.rows.get("app", {}))

    def preparation(
        self,
        *,
        protected: bool = False,
        clock: Callable[[], float] = lambda: 0.0,
        shards: Callable[[], list[Shard]] = list,
    ) -> LeaseTablePreparation:
        tags = {"stream-router-setup": "s"}
        return LeaseTablePreparation(
            self.clients.dynamodb, "app", tags, protected=protected, first_shards=shards, clock=clock
        )

    def write(self, shards: list[Shard], *clock: Callable[[], float]) -> int:
        return write_first_leases(self.clients.dynamodb, "app", shards, *clock)


@pytest.mark.parametrize(
    ("described", "state"),
    [
        (ACTIVE, TableState.READY),
        (table("UPDATING", "UPDATING"), TableState.READY),
        (table("ACTIVE", "CREATING"), TableState.INDEX_NOT_ACTIVE),
        (table("UPDATING", "CREATING"), TableState.INDEX_NOT_ACTIVE),
        (table("CREATING", "CREATING"), TableState.NOT_ACTIVE),
        (table("DELETING", "ACTIVE"), TableState.NOT_ACTIVE),
        (table("ACTIVE"), TableState.WITHOUT_INDEX),
        (table("UPDATING", "DELETING"), TableState.WITHOUT_INDEX),
        ({"TableStatus": "ACTIVE"}, TableState.WITHOUT_INDEX),
    ],
)
def test_a_table_is_in_one_of_these_states(described: Any, state: TableState) -> None:
    """Table and index each have a status of AWS's."""
    assert parse_table_state(described) is state


def test_a_missing_table_is_created_with_its_index_and_waited_for() -> None:
    """One CreateTable, with key, index, tags and on-demand billing."""
    dynamodb = DynamoDb(MISSING, table("CREATING", "CREATING"), table("ACTIVE", "CREATING"), ACTIVE)
    it = dynamodb.preparation()
    waits = [it.prepare() for _ in range(4)]
    assert waits == [TABLE_IN_CREATION, TABLE_IN_CREATION, INDEX_IN_CREATION, ""]
    assert it.wait_reason == ""
    (asked,) = dynamodb.created
    assert asked["BillingMode"] == "PAY_PER_REQUEST"
    assert asked["KeySchema"] == [{"AttributeName": "leaseKey", "KeyType": "HASH"}]
    assert asked["Tags"] == [{"Key": "stream-router-setup", "Value": "s"}]
    assert not asked["DeletionProtectionEnabled"]
    (index,) = asked["GlobalSecondaryIndexes"]
    assert (index["IndexName"], index["Projection"]) == (OWNER_INDEX, {"ProjectionType": "KEYS_ONLY"})


def test_a_table_that_is_there_is_taken_as_it_is() -> None:
    """Nothing is created."""
    dynamodb = DynamoDb(ACTIVE)
    assert dynamodb.preparation().prepare() == ""
    assert not dynamodb.created


def test_a_worker_that_was_faster_is_no_error() -> None:
    """ResourceInUseException of CreateTable: the table is waited for."""
    dynamodb = DynamoDb(MISSING, ACTIVE, create="ResourceInUseException")
    it = dynamodb.preparation()
    assert [it.prepare(), it.prepare()] == [TABLE_IN_CREATION, ""]


def test_a_table_is_protected_if_the_properties_say_so() -> None:
    """LeaseTableDeletionProtectionEnabled of the KCL is kept, though the KCL does not make the table."""
    dynamodb = DynamoDb(MISSING)
    dynamodb.preparation(protected=True).prepare()
    assert dynamodb.created[0]["DeletionProtectionEnabled"]


def test_a_table_without_the_index_blocks_nobody_and_is_shown_until_the_index_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The KCL adds the index: the daemon starts, and the reason stays until the index is ACTIVE."""
    failed = ConnectTimeoutError(endpoint_url="http://x")
    dynamodb = DynamoDb(table("ACTIVE"), table("UPDATING", "CREATING"), failed, "Throttling", ACTIVE)
    it = dynamodb.preparation()
    caplog.set_level(logging.INFO)
    assert it.prepare() == ""
    assert "up to 20 minutes" in caplog.text
    assert not it.is_index_being_built
    for _ in range(3):
        it.check_index()
        assert it.wait_reason == INDEX_IN_CREATION
        assert it.is_index_being_built
    it.check_index()
    assert it.wait_reason == ""
    assert not it.is_index_being_built
    it.check_index()
    assert len(dynamodb.asked("DescribeTable")) == 5, "an index that is there is not asked for again"


@pytest.mark.parametrize(
    ("described", "right"),
    [
        ("AccessDeniedException", "dynamodb:DescribeTable on"),
        (MISSING, "dynamodb:CreateTable or dynamodb:TagResource on"),
    ],
)
def test_a_missing_right_ends_the_start_with_one_line(described: str, right: str) -> None:
    """It names action, table and cure."""
    preparation = DynamoDb(described, create="AccessDeniedException").preparation()
    with pytest.raises(SettingsError) as refused:
        preparation.prepare()
    line = str(refused.value)
    assert line == (
        f"STREAM_ROUTER_APPLICATION: {right} the lease table app is refused (AccessDeniedException); grant what "
        "`stream-router setup --policy consume` prints"
    )


@pytest.mark.parametrize(
    "trouble", ["LimitExceededException", "ThrottlingException", ConnectTimeoutError(endpoint_url="http://x")]
)
def test_an_outage_is_waited_for_and_logged_once_a_minute(trouble: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It ends no start."""
    now = [0.0]
    dynamodb = DynamoDb(MISSING, MISSING, MISSING, ACTIVE, create=trouble)
    it = dynamodb.preparation(clock=lambda: now[0])
    for at in (0.0, 30.0, 61.0):
        now[0] = at
        assert "CreateTable" in it.prepare()
    assert len(caplog.records) == 2
    assert it.prepare() == ""


def test_an_emulator_that_knows_no_such_call_is_left_to_the_kcl() -> None:
    """The KCL may get on with it."""
    assert DynamoDb("UnknownOperationException").preparation().prepare() == ""


def shard(name: str, *parents: str) -> Shard:
    return Shard(name, parents, 0, 9, is_open=True)


SPLIT_AND_MERGED = [shard("0"), shard("1", "0"), shard("2", "0"), shard("3", "gone", "too"), shard("4", "1", "2")]


def test_a_new_table_gets_a_lease_for_each_shard_that_is_read_first() -> None:
    """Once, when the table is there. A shard whose parent still has records comes after it; the KCL knows when."""
    dynamodb = DynamoDb(MISSING, table("CREATING"), ACTIVE, ACTIVE)
    preparation = dynamodb.preparation(shards=lambda: SPLIT_AND_MERGED)
    assert [bool(preparation.prepare()) for _ in range(3)] == [True, True, False]
    assert dynamodb.leases == ["0", "3"]
    preparation.prepare()
    assert dynamodb.leases == ["0", "3"]


def test_a_table_that_was_there_before_is_left_as_it_is() -> None:
    """The KCL removes leases of shards that are read to their end: written again, such a shard would be read again."""
    for describes in ((ACTIVE,), (table("ACTIVE", "CREATING"), ACTIVE), (table("ACTIVE"),)):
        dynamodb = DynamoDb(*describes)
        preparation = dynamodb.preparation(shards=lambda: SPLIT_AND_MERGED)
        while preparation.prepare():
            pass
        assert dynamodb.leases == []


def test_a_table_that_another_makes_gets_its_leases_from_whoever_sees_it_first() -> None:
    """Its maker may be stopped before it is ACTIVE."""
    for describes in ((MISSING, ACTIVE), (table("CREATING"), ACTIVE)):
        dynamodb = DynamoDb(*describes, create="ResourceInUseException")
        preparation = dynamodb.preparation(shards=lambda: SPLIT_AND_MERGED)
        while preparation.prepare():
            pass
        assert dynamodb.leases == ["0", "3"]


def test_no_failure_of_the_first_leases_stops_a_start(caplog: pytest.LogCaptureFixture) -> None:
    """A row that another wrote stays; anything else is left to the KCL, with a line in the log."""
    caplog.set_level(logging.INFO)
    dynamodb = DynamoDb(MISSING, ACTIVE)
    other = {"leaseKey": {"S": "0"}, "leaseOwner": {"S": "another"}}
    dynamodb.dynamodb.rows["app"] = {"0": other}
    preparation = dynamodb.preparation(shards=lambda: SPLIT_AND_MERGED)
    assert [bool(preparation.prepare()) for _ in range(2)] == [True, False]
    assert (dynamodb.leases, dynamodb.dynamodb.rows["app"]["0"]) == (["0", "3"], other)
    refusing = DynamoDb(MISSING, ACTIVE)
    refusing.answer("PutItem", "ProvisionedThroughputExceededException")
    preparation = refusing.preparation(shards=lambda: SPLIT_AND_MERGED)
    assert [bool(preparation.prepare()) for _ in range(2)] == [True, False]
    assert "first leases could not be written (ProvisionedThroughputExceededException)" in caplog.text


def test_first_leases_are_written_for_a_bounded_time() -> None:
    """A table that answers slowly holds up no start, and the log does not claim that all leases are there."""
    dynamodb, now_s = DynamoDb(), iter(range(0, 1_000, 7))
    with pytest.raises(TimeoutError):
        dynamodb.write([shard(str(n)) for n in range(50)], lambda: next(now_s))
    assert dynamodb.leases == ["0", "1"]
    assert FIRST_LEASES_TIMEOUT_S < 21


@pytest.mark.parametrize(
    ("shards", "first"),
    [
        ([shard("0"), shard("1")], ["0", "1"]),
        ([shard("0"), shard("1", "0"), shard("2", "0")], ["0"]),
        ([shard("0"), shard("1"), shard("2", "0", "1")], ["0", "1"]),
        ([shard("1"), shard("2", "0", "1")], ["1"]),
        ([shard("2", "0", "1"), shard("3", "gone")], ["2", "3"]),
        ([], []),
    ],
    ids=["open only", "split", "merge", "merge, one parent expired", "all parents expired", "no shard yet"],
)
def test_a_shard_is_read_first_if_none_of_its_parents_is_listed(shards: list[Any], first: list[str]) -> None:
    """The KCL writes the leases of children once their parents are read."""
    dynamodb = DynamoDb()
    assert dynamodb.write(shards) == len(first)
    assert dynamodb.leases == first

"""Preparation of the KCL's lease table: create it together with its index, and wait for both.

KCL 3.5.1 adds the index to the table with UpdateTable. On AWS that takes 15 to 20 minutes (awslabs PR #1786), and a
second UpdateTable is refused meanwhile. A worker whose UpdateTable was refused considers itself initialized
(`MigrationStateMachineImpl.initialize`, PR #1804): it may become the leader, and then no shard is ever assigned. A
table that was created with its index needs no UpdateTable.

The KCL's own intervals stand in `properties/consumer.properties`, the supervisor's in `supervisor/stream_watch.py`.
"""

import enum
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from stream_router.aws_error_codes import ABSENT, DENIED, NOT_SPOKEN, code_of, cure
from stream_router.errors import SettingsError
from stream_router.leases import Shard
from stream_router.log import LogLimiter

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TableDescriptionTypeDef

log = logging.getLogger(__name__)

OWNER_INDEX = "LeaseOwnerToLeaseKeyIndex"

IN_USE = "ResourceInUseException"
"""Error of CreateTable if the table exists already, or is being deleted."""

INDEX_CHECK_INTERVAL_S = 10.0
"""Seconds between two checks of an index that the running daemon waits for."""

SEED_WITHIN_S = 20.0
"""Seconds for which a start writes first leases. The KCL's leader writes the missing leases some minutes later."""

TABLE_IS_MADE = "the lease table is being made"
INDEX_IS_MADE = "the lease table's index is being made"


class TableState(enum.Enum):
    """A lease table as DescribeTable shows it."""

    MISSING = "missing"
    NOT_ACTIVE = "not active"
    """The table is being created or deleted."""
    WITHOUT_INDEX = "without index"
    """An older KCL created the table. The present KCL adds the index."""
    INDEX_NOT_ACTIVE = "index not active"
    READY = "ready"


def state_of(table: "TableDescriptionTypeDef") -> TableState:
    """Return the state of a table that exists."""
    if table.get("TableStatus") in ("CREATING", "DELETING"):
        return TableState.NOT_ACTIVE
    indexes = table.get("GlobalSecondaryIndexes", [])
    states = [index.get("IndexStatus") for index in indexes if index["IndexName"] == OWNER_INDEX]
    if not states or states == ["DELETING"]:
        return TableState.WITHOUT_INDEX
    return TableState.INDEX_NOT_ACTIVE if states == ["CREATING"] else TableState.READY


def describe(dynamodb: "DynamoDBClient", name: str) -> TableState:
    """Return the table's state. Raises botocore's errors, except if the table is missing."""
    try:
        return state_of(dynamodb.describe_table(TableName=name)["Table"])
    except ClientError as error:
        if code_of(error) in ABSENT:
            return TableState.MISSING
        raise


def create(
    dynamodb: "DynamoDBClient", name: str, tags: Mapping[str, str] | None = None, *, protected: bool = False
) -> None:
    """Create table and index as KCL 3.5.1 expects them (`DynamoDBLeaseSerializer`), `protected` from deletion or not.

    Raises botocore's errors, among them IN_USE if the table exists.
    """
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        DeletionProtectionEnabled=protected,
        AttributeDefinitions=[
            {"AttributeName": "leaseKey", "AttributeType": "S"},
            {"AttributeName": "leaseOwner", "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": OWNER_INDEX,
                "KeySchema": [
                    {"AttributeName": "leaseOwner", "KeyType": "HASH"},
                    {"AttributeName": "leaseKey", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
    )


def build_row(shard: Shard) -> "dict[str, AttributeValueTypeDef]":
    """Return a new lease's row, with the columns that the KCL writes for a shard that nobody has read yet."""
    row: dict[str, AttributeValueTypeDef] = {
        "leaseKey": {"S": shard.shard_id},
        "leaseCounter": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "checkpoint": {"S": "TRIM_HORIZON"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "startingHashKey": {"S": str(shard.first_hash_key)},
        "endingHashKey": {"S": str(shard.last_hash_key)},
    }
    if shard.parents:
        row["parentShardId"] = {"SS": shard.parents}
    return row


def write_first_leases(
    dynamodb: "DynamoDBClient", name: str, shards: Sequence[Shard], clock: Callable[[], float] = time.monotonic
) -> int:
    """Write a lease for each shard that is read first, and return the number of leases that were missing.

    A daemon that finds an empty table waits a random 1 to 33 s, so that a fleet does not write the same leases at once
    (`Scheduler.shouldInitiateLeaseSync`, KCL 3.5.1). `shards` is the answer of ListShards for AT_TRIM_HORIZON, as the
    KCL calls it. A shard whose parent is among them gets its lease later, when the KCL has read the parent. An existing
    row is not changed. Raises botocore's errors, and TimeoutError after SEED_WITHIN_S.
    """
    ids = {shard.shard_id for shard in shards}
    until_s, written = clock() + SEED_WITHIN_S, 0
    for shard in shards:
        if ids.intersection(shard.parents):
            continue
        if clock() >= until_s:
            raise TimeoutError
        try:
            row, is_missing = build_row(shard), "attribute_not_exists(leaseKey)"
            dynamodb.put_item(TableName=name, Item=row, ConditionExpression=is_missing)
            written += 1
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":  # that one means: another worker was faster
                raise
    return written


class LeaseTablePreparation:
    """The lease table of one application. `prepare` is called until it returns ""; any thread may read `waits_for`.

    A table that is created here gets `tags`, and deletion protection if `protected`. `first_shards` lists the shards
    that get a lease in a new table; None leaves that to the KCL.
    """

    def __init__(
        self,
        dynamodb: "DynamoDBClient",
        name: str,
        tags: Mapping[str, str],
        *,
        protected: bool = False,
        first_shards: Callable[[], Sequence[Shard]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dynamodb = dynamodb
        self._name = name
        self._tags = tags
        self._protected = protected
        self._first_shards = first_shards
        self._clock = clock
        self._is_new = False
        """Whether the table was seen before it was ACTIVE, so that the KCL has removed no lease from it yet."""
        self._progress_is_due = LogLimiter(clock)
        self.waits_for = ""
        """Reason for which no shard can be read yet; "" once the table and its index are ready."""
        self.index_is_built = False
        """Whether AWS was building the index at the last check."""

    def prepare(self) -> str:
        """Create the table if it is missing. Return the reason for which the daemon must wait, "" if there is none.

        An outage is such a reason. Raises SettingsError if a permission is missing.
        """
        action = "DescribeTable"
        try:
            state = describe(self._dynamodb, self._name)
            if state is TableState.MISSING:
                action = "CreateTable"
                self._create()
                state = TableState.NOT_ACTIVE
        except Exception as error:  # noqa: BLE001 - botocore's parsers may raise any exception
            return self._refused(action, error)
        return self._wait(state)

    def check_index(self) -> None:
        """Check whether the index that the daemon waits for is ready. Send no call once it is."""
        if not self.waits_for:
            return
        try:
            state = describe(self._dynamodb, self._name)
        except Exception:  # noqa: BLE001 - as above; the index is checked again
            return
        self.index_is_built = state is TableState.INDEX_NOT_ACTIVE
        if state is TableState.READY:
            self.waits_for = ""
            self._log_ready()

    def _create(self) -> None:
        try:
            create(self._dynamodb, self._name, self._tags, protected=self._protected)
        except ClientError as error:
            if code_of(error) != IN_USE:  # that code means: another worker was faster
                raise

    def _refused(self, action: str, error: Exception) -> str:
        code = code_of(error)
        if code in DENIED:
            actions = f"dynamodb:{action}" + (" or dynamodb:TagResource" if action == "CreateTable" else "")
            problem = f"{actions} on the lease table {self._name} is refused ({code})"
            raise SettingsError(
                "STREAM_ROUTER_APPLICATION", problem, "grant what `stream-router setup --policy consume` prints"
            ) from None
        if code in NOT_SPOKEN:  # an emulator without this operation: leave the table to the KCL
            return self._done()
        self.waits_for = f"the lease table cannot be made ready ({action}: {code})"
        if self._progress_is_due():
            log.warning(
                "%s of the lease table %s failed (%s). No event is read until it succeeds. The call is retried; %s",
                action,
                self._name,
                code,
                cure(code),
                extra={"event": "lease-table-waits", "table": self._name, "code": code},
            )
        return self.waits_for

    def _wait(self, state: TableState) -> str:
        fields = {"event": "lease-table-waits", "table": self._name, "state": state.value}
        self._is_new |= state is TableState.NOT_ACTIVE
        match state:
            case TableState.READY:
                self._seed()
                return self._done()
            case TableState.WITHOUT_INDEX:
                self.waits_for = INDEX_IS_MADE
                log.warning(
                    "The lease table %s has no index %s. The KCL adds it, and reads no shard before AWS has built it, "
                    "which takes up to 20 minutes. Nothing has to be done.",
                    self._name,
                    OWNER_INDEX,
                    extra=fields,
                )
                return ""
            case TableState.INDEX_NOT_ACTIVE:
                self.waits_for = INDEX_IS_MADE
                takes = "AWS builds an index in up to 20 minutes"
            case _:
                self.waits_for = TABLE_IS_MADE
                takes = "AWS makes a table in a minute at most"
        if self._progress_is_due():
            log.info(
                "%s (%s). No event is read before that is done. %s; nothing has to be done",
                self.waits_for,
                self._name,
                takes,
                extra=fields,
            )
        return self.waits_for

    def _seed(self) -> None:
        """Write the first leases into a new table. If that fails, the KCL writes the missing leases.

        Each worker that saw the table being created writes them, since its creator may have been stopped meanwhile.
        """
        if not self._is_new or self._first_shards is None:
            return
        self._is_new = False
        try:
            written = write_first_leases(self._dynamodb, self._name, self._first_shards(), self._clock)
        except Exception as error:  # noqa: BLE001 - as above
            log.info(
                "Some of the first leases could not be written (%s). The KCL writes the missing leases, which may take "
                "minutes; no event is lost. Nothing has to be done.",
                code_of(error),
                extra={"event": "lease-table-not-seeded", "table": self._name, "code": code_of(error)},
            )
            return
        log.info(
            "The new lease table %s has a lease for each shard that is read first.",
            self._name,
            extra={"event": "lease-table-seeded", "table": self._name, "leases": written},
        )

    def _done(self) -> str:
        if self.waits_for:
            self._log_ready()
        self.waits_for = ""
        return ""

    def _log_ready(self) -> None:
        log.info(
            "The lease table %s and its index are ready.",
            self._name,
            extra={"event": "lease-table-ready", "table": self._name},
        )

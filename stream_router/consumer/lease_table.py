"""Preparation of the KCL's lease table: `consume` creates the table together with its index, and waits for both.

If the KCL created the table, it would add the index with UpdateTable. On AWS that takes 15 to 20 minutes (awslabs PR
#1786), and AWS refuses a second UpdateTable meanwhile. A worker whose UpdateTable was refused considers itself
initialized (`MigrationStateMachineImpl.initialize` of KCL 3.5.1, PR #1804). If it becomes the leader, no shard is ever
assigned. A table that was created with its index needs no UpdateTable.

The KCL's intervals are set in `properties/consumer.properties`, the supervisor's in `supervisor/stream_watch.py`.
"""

import enum
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from stream_router.aws_error_codes import ABSENT, DENIED, UNSUPPORTED_OPERATION, code_of, find_cure
from stream_router.errors import SettingsError
from stream_router.leases import Shard
from stream_router.log import LogLimiter

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TableDescriptionTypeDef

log = logging.getLogger(__name__)

OWNER_INDEX = "LeaseOwnerToLeaseKeyIndex"

TABLE_EXISTS = "ResourceInUseException"
"""Error code of CreateTable if the table exists already, or is being deleted."""

INDEX_CHECK_INTERVAL_S = 10.0
"""Seconds between two checks of an index that the running daemon waits for."""

FIRST_LEASES_TIMEOUT_S = 20.0
"""Maximum number of seconds that a start spends on first leases. The KCL's leader writes missing ones minutes later."""

TABLE_IN_CREATION = "the lease table is being created"
INDEX_IN_CREATION = "the lease table's index is being built"


class TableState(enum.Enum):
    """State of a lease table and its index, as DescribeTable reports them."""

    MISSING = "missing"
    NOT_ACTIVE = "not active"
    """The table is being created or deleted."""
    WITHOUT_INDEX = "without index"
    """An older KCL created the table. The present KCL adds the index."""
    INDEX_NOT_ACTIVE = "index not active"
    READY = "ready"


def parse_table_state(table: "TableDescriptionTypeDef") -> TableState:
    """Return the state of the table that DescribeTable returned. An index that is being updated is ready."""
    if table.get("TableStatus") in ("CREATING", "DELETING"):
        return TableState.NOT_ACTIVE
    indexes = table.get("GlobalSecondaryIndexes", [])
    states = [index.get("IndexStatus") for index in indexes if index["IndexName"] == OWNER_INDEX]
    if not states or states == ["DELETING"]:
        return TableState.WITHOUT_INDEX
    return TableState.INDEX_NOT_ACTIVE if states == ["CREATING"] else TableState.READY


def read_table_state(dynamodb: "DynamoDBClient", name: str) -> TableState:
    """Call DescribeTable and return the table's state. Raise botocore's errors, except if the table is missing."""
    try:
        return parse_table_state(dynamodb.describe_table(TableName=name)["Table"])
    except ClientError as error:
        if code_of(error) in ABSENT:
            return TableState.MISSING
        raise


def create_table(
    dynamodb: "DynamoDBClient", name: str, tags: Mapping[str, str] | None = None, *, protected: bool = False
) -> None:
    """Create table and index as KCL 3.5.1 expects them (`DynamoDBLeaseSerializer`). Raise botocore's errors.

    If the table exists, the error's code is TABLE_EXISTS. `protected` turns on DynamoDB's deletion protection.
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


def build_lease_row(shard: Shard) -> "dict[str, AttributeValueTypeDef]":
    """Return the row of a new lease, with the columns that the KCL writes for a shard that nobody has read yet."""
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
    """Write a lease for each shard that has no parent in `shards`, and return the number of leases written.

    This saves a new fleet up to half a minute: a daemon that finds an empty table waits a random 1 to 33 s before it
    writes leases (`Scheduler.shouldInitiateLeaseSync`, KCL 3.5.1). `shards` is the answer of ListShards for
    AT_TRIM_HORIZON, as the KCL calls it. The KCL writes the lease of a child shard once it has read the parent. An
    existing row is not changed. Raises botocore's errors, and TimeoutError after FIRST_LEASES_TIMEOUT_S.
    """
    shard_ids = {shard.shard_id for shard in shards}
    deadline_s, written_count = clock() + FIRST_LEASES_TIMEOUT_S, 0
    for shard in shards:
        if shard_ids.intersection(shard.parents):
            continue
        if clock() >= deadline_s:
            raise TimeoutError
        row, if_missing = build_lease_row(shard), "attribute_not_exists(leaseKey)"
        try:
            dynamodb.put_item(TableName=name, Item=row, ConditionExpression=if_missing)
            written_count += 1
        except ClientError as error:
            # This code means that the row exists: another worker has written it, so there is nothing left to do.
            if code_of(error) != "ConditionalCheckFailedException":
                raise
    return written_count


class LeaseTablePreparation:
    """Preparation of one application's lease table. Call `prepare` until it returns "", before the daemon's start.

    Call `check_index` every INDEX_CHECK_INTERVAL_S after that.

    A table that is created here gets `tags`, and deletion protection if `protected`. `first_shards` lists the stream's
    shards for the first leases of a new table; None leaves those to the KCL. Any thread may read `wait_reason`.
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
        self._may_need_first_leases = False
        """Whether this process saw the table before it was ACTIVE, so that no KCL has removed a lease from it yet.

        The KCL removes leases of shards that were read to their end. If such a lease were written again, the shard
        would be read again.
        """
        self._progress_is_due = LogLimiter(clock)
        self.wait_reason = ""
        """Reason for which no shard can be read yet; "" once the table and its index are ready."""
        self.is_index_being_built = False
        """Whether AWS was building the index at the last check."""

    def prepare(self) -> str:
        """Create the table if it is missing. Return the reason for which the daemon must not start yet; "" if it may.

        An outage of DynamoDB is such a reason. Raises SettingsError if a permission is missing.
        """
        action = "DescribeTable"
        try:
            state = read_table_state(self._dynamodb, self._name)
            if state is TableState.MISSING:
                action = "CreateTable"
                self._create_table()
                state = TableState.NOT_ACTIVE  # AWS creates the table within a minute
        except Exception as error:  # noqa: BLE001 - botocore's parsers may raise any exception
            return self._handle_failure(action, error)
        return self._handle_state(state)

    def check_index(self) -> None:
        """Check whether the index that the running daemon waits for is ready, and update `wait_reason`.

        Once the index is ready, the method sends no more calls.
        """
        if not self.wait_reason:
            return
        try:
            state = read_table_state(self._dynamodb, self._name)
        except Exception:  # noqa: BLE001 - as in `prepare`; the next call checks the index again
            return
        self.is_index_being_built = state is TableState.INDEX_NOT_ACTIVE
        if state is TableState.READY:
            self.wait_reason = ""
            self._log_ready()

    def _create_table(self) -> None:
        """Create the table, unless another worker has created it since it was described."""
        try:
            create_table(self._dynamodb, self._name, self._tags, protected=self._protected)
        except ClientError as error:
            if code_of(error) != TABLE_EXISTS:
                raise

    def _handle_failure(self, action: str, error: Exception) -> str:
        """Return the reason to wait after the call `action` failed. Raise SettingsError if a permission is missing.

        Return "" if the endpoint does not support the call, since waiting would not help then.
        """
        code = code_of(error)
        if code in DENIED:
            actions = f"dynamodb:{action}" + (" or dynamodb:TagResource" if action == "CreateTable" else "")
            problem = f"{actions} on the lease table {self._name} is refused ({code})"
            raise SettingsError(
                "STREAM_ROUTER_APPLICATION", problem, "grant what `stream-router setup --policy consume` prints"
            ) from None
        if code in UNSUPPORTED_OPERATION:  # an emulator without this operation: leave the table to the KCL
            return self._mark_ready()
        self.wait_reason = f"the lease table cannot be made ready ({action}: {code})"
        if self._progress_is_due():
            log.warning(
                "%s of the lease table %s failed (%s). No event is read until it succeeds. The call is retried; %s",
                action,
                self._name,
                code,
                find_cure(code),
                extra={"event": "lease-table-waits", "table": self._name, "code": code},
            )
        return self.wait_reason

    def _handle_state(self, state: TableState) -> str:
        """Return the reason to wait; "" if the daemon may start.

        A table without the index does not stop the start, since it is the daemon's KCL that adds the index.
        """
        fields = {"event": "lease-table-waits", "table": self._name, "state": state.value}
        self._may_need_first_leases |= state is TableState.NOT_ACTIVE
        match state:
            case TableState.READY:
                self._write_first_leases()
                return self._mark_ready()
            case TableState.WITHOUT_INDEX:
                self.wait_reason = INDEX_IN_CREATION
                log.warning(
                    "The lease table %s has no index %s. The KCL adds it, and reads no shard before AWS has built it, "
                    "which takes up to 20 minutes. Nothing has to be done.",
                    self._name,
                    OWNER_INDEX,
                    extra=fields,
                )
                return ""
            case TableState.INDEX_NOT_ACTIVE:
                self.wait_reason = INDEX_IN_CREATION
                duration = "AWS builds an index in up to 20 minutes"
            case _:
                self.wait_reason = TABLE_IN_CREATION
                duration = "AWS creates a table in a minute at most"
        if self._progress_is_due():
            log.info(
                "%s (%s). No event is read before that is done. %s; nothing has to be done",
                self.wait_reason,
                self._name,
                duration,
                extra=fields,
            )
        return self.wait_reason

    def _write_first_leases(self) -> None:
        """Write the first leases into a new table. If that fails, the KCL writes the missing leases.

        Every worker that saw the table being created does this, since the worker that created it may have been stopped.
        """
        if not self._may_need_first_leases or self._first_shards is None:
            return
        self._may_need_first_leases = False
        try:
            written_count = write_first_leases(self._dynamodb, self._name, self._first_shards(), self._clock)
        except Exception as error:  # noqa: BLE001 - as in `prepare`
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
            extra={"event": "lease-table-seeded", "table": self._name, "leases": written_count},
        )

    def _mark_ready(self) -> str:
        """Clear and return the reason to wait, since the table is ready or left to the KCL."""
        if self.wait_reason:
            self._log_ready()
        self.wait_reason = ""
        return ""

    def _log_ready(self) -> None:
        log.info(
            "The lease table %s and its index are ready.",
            self._name,
            extra={"event": "lease-table-ready", "table": self._name},
        )

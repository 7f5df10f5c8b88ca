"""Seeds the KCL's lease table of the embedded stack, so that the daemon does not wait at random before it begins.

A daemon that finds its lease table empty waits 1 to 30 s (`Scheduler.shouldInitiateLeaseSync` of KCL 3.1.3, so that a
fleet does not sync at once), looking every 3 s whether another worker has filled it. Here it finds what it would have
written itself: one lease a shard, without an owner. On AWS this wait happens once in an application's life.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import ShardTypeDef

OWNER_INDEX = "LeaseOwnerToLeaseKeyIndex"


def seed(kinesis: "KinesisClient", dynamodb: "DynamoDBClient", stream: str, application: str) -> int:
    """Make the lease table of `application` with a lease for each open shard of `stream`; the number of leases.

    Reading begins at TRIM_HORIZON. A table that exists is left as it is, and 0 is returned.
    """
    try:
        _make_table(dynamodb, application)
    except dynamodb.exceptions.ResourceInUseException:
        return 0
    dynamodb.get_waiter("table_exists").wait(TableName=application, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    shards = kinesis.list_shards(StreamName=stream)["Shards"]
    for shard in shards:
        dynamodb.put_item(TableName=application, Item=lease(shard))
    return len(shards)


def _make_table(dynamodb: "DynamoDBClient", application: str) -> None:
    """Table and index as KCL 3.1.3 makes them (`DynamoDBLeaseSerializer`): it takes an existing pair as it is."""
    dynamodb.create_table(
        TableName=application,
        BillingMode="PAY_PER_REQUEST",
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
    )


def lease(shard: "ShardTypeDef") -> "dict[str, AttributeValueTypeDef]":
    """A new lease's row: the columns that the KCL writes for a shard that nobody has read yet."""
    row: dict[str, AttributeValueTypeDef] = {
        "leaseKey": {"S": shard["ShardId"]},
        "leaseCounter": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "checkpoint": {"S": "TRIM_HORIZON"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "startingHashKey": {"S": shard["HashKeyRange"]["StartingHashKey"]},
        "endingHashKey": {"S": shard["HashKeyRange"]["EndingHashKey"]},
    }
    if parents := [name for name in (shard.get("ParentShardId"), shard.get("AdjacentParentShardId")) if name]:
        row["parentShardId"] = {"SS": parents}
    return row

"""The Kinesis stream as it should be: a week's retention, encrypted at rest."""

from typing import TYPE_CHECKING

from stream_router.control.setup.steps import Steps

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import StreamDescriptionSummaryTypeDef

RETENTION_HOURS = 168
"""How long the stream keeps what the consumer has not taken: the product holds through outages of up to a week."""

KEY = "alias/aws/kinesis"
"""The key that AWS keeps for Kinesis; a stream under a key of your own is left so."""


def ensure_stream(kinesis: "KinesisClient", name: str, shards: int, steps: Steps) -> None:
    """Make the stream with `shards` shards, or see that the one there has the retention and encryption."""
    found = _describe(kinesis, name)
    if found is None:
        steps.change(
            f"create stream {name} with {shards} shards",
            _create,
            kinesis=kinesis,
            name=name,
            shards=shards,
        )
        found = _describe(kinesis, name)
    else:
        steps.right(f"stream {name}: {found['OpenShardCount']} shards")
    _ensure_retention(kinesis, name, found["RetentionPeriodHours"] if found else 0, steps)
    _ensure_encryption(kinesis, name, found.get("EncryptionType", "NONE") if found else "NONE", steps)


def _describe(kinesis: "KinesisClient", name: str) -> "StreamDescriptionSummaryTypeDef | None":
    try:
        return kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    except kinesis.exceptions.ResourceNotFoundException:
        return None


def _create(kinesis: "KinesisClient", name: str, shards: int) -> None:
    kinesis.create_stream(StreamName=name, ShardCount=shards, StreamModeDetails={"StreamMode": "PROVISIONED"})
    _until_active(kinesis, name)


def _until_active(kinesis: "KinesisClient", name: str) -> None:
    """Kinesis takes the next change of a stream only when the one before is through."""
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 3, "MaxAttempts": 60})


def _ensure_retention(kinesis: "KinesisClient", name: str, hours: int, steps: Steps) -> None:
    if hours >= RETENTION_HOURS:
        steps.right(f"stream {name}: keeps records for {hours} hours")
        return

    def increase() -> None:
        kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=RETENTION_HOURS)
        _until_active(kinesis, name)

    steps.change(f"keep the records of stream {name} for {RETENTION_HOURS} hours", increase)


def _ensure_encryption(kinesis: "KinesisClient", name: str, kind: str, steps: Steps) -> None:
    if kind == "KMS":
        steps.right(f"stream {name}: encrypted at rest")
        return

    def encrypt() -> None:
        kinesis.start_stream_encryption(StreamName=name, EncryptionType="KMS", KeyId=KEY)
        _until_active(kinesis, name)

    steps.change(f"encrypt stream {name} with {KEY}", encrypt)

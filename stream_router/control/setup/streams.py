"""The Kinesis stream as it should be: a week's retention, encrypted at rest, under our tags."""

import time
from typing import TYPE_CHECKING, Any

from stream_router.control.setup.marks import Marks, from_list, told
from stream_router.control.setup.steps import Steps
from stream_router.control.setup_error import SetupError
from stream_router.control.shards.reshard import buckets_for

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import StreamDescriptionSummaryTypeDef

RETENTION_HOURS = 168
"""How long the stream keeps what the consumer has not taken: the product holds through outages of up to a week."""

KEY = "alias/aws/kinesis"
"""The key that AWS keeps for Kinesis; a stream under a key of your own is left so."""

NONE = "no encryption"

LOOK_EVERY_S, LOOK_FOR_S = 3.0, 180.0
"""How often, and how long, a stream that is made or changed is looked at."""

DELETING = "DELETING"
"""The status of a stream that goes: it is still described, and takes no change."""


def ensure_stream(kinesis: "KinesisClient", name: str, shards: int, steps: Steps, marks: Marks) -> int:
    """Make the stream with `shards` shards, or see that the one there has the retention and encryption.

    Returns how many shards it has, or is to have. Raises SetupError where it is being deleted.
    """
    found = describe(kinesis, name)
    if found and found["StreamStatus"] == DELETING:
        raise SetupError(
            f"stream {name} is being deleted; in a minute it is gone: run `stream-router setup` again then"
        )
    if found and found["StreamStatus"] != "ACTIVE" and steps.apply:
        _until_active(kinesis, name)  # a `setup` that was broken off may have left it in the making
        found = describe(kinesis, name)
    ours = found is None
    if found is None:
        text = f"stream {name}: {shards} shards ({told(marks.tags)})"
        steps.create(text, _create, kinesis=kinesis, name=name, shards=shards, tags=marks.tags)
        found = describe(kinesis, name)
    else:
        steps.right(f"stream {name}: {found['OpenShardCount']} shards")
        ours = _ensure_tags(kinesis, name, marks, steps)
    _ensure_retention(kinesis, name, found["RetentionPeriodHours"] if found else 24, steps)
    has = found.get("EncryptionType", "NONE") if found else "NONE"
    key = found.get("KeyId", "") if found else ""
    _ensure_encryption(kinesis, name, (key or KEY) if has == "KMS" else NONE, (marks.key if ours else None), steps)
    return found["OpenShardCount"] if found else shards


def tell_buckets(shards: int, buckets: int, steps: Steps) -> None:
    """The receivers' buckets fill the shards only where there are enough; `setup` can say so, and set it nowhere."""
    least = buckets_for(shards)
    if buckets < least:
        steps.note(
            f"{shards} shards want STREAM_ROUTER_BUCKETS of at least {least} (here it is {buckets}): set it in all "
            "receivers, or shards stay empty"
        )


def describe(kinesis: "KinesisClient", name: str) -> "StreamDescriptionSummaryTypeDef | None":
    """The stream's summary, None where there is none."""
    try:
        return kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    except kinesis.exceptions.ResourceNotFoundException:
        return None


def tags_of(kinesis: "KinesisClient", name: str) -> dict[str, str]:
    """The stream's tags, page by page: how many one answer holds AWS does not say."""
    found: dict[str, str] = {}
    further: dict[str, Any] = {}
    while True:
        page: Any = kinesis.list_tags_for_stream(StreamName=name, **further)
        found |= from_list(tags := page.get("Tags", []))
        if not (tags and page.get("HasMoreTags")):
            return found
        further = {"ExclusiveStartTagKey": tags[-1]["Key"]}


def _create(kinesis: "KinesisClient", name: str, shards: int, tags: dict[str, str]) -> None:
    mode: Any = {"StreamMode": "PROVISIONED"}
    kinesis.create_stream(StreamName=name, ShardCount=shards, StreamModeDetails=mode, Tags=tags)
    _until_active(kinesis, name)
    if tags.items() - tags_of(kinesis, name).items():  # an emulator that makes a stream without its tags
        kinesis.add_tags_to_stream(StreamName=name, Tags=tags)


def _ensure_tags(kinesis: "KinesisClient", name: str, marks: Marks, steps: Steps) -> bool:
    """Give a stream of ours the tags that it lacks; whether it is ours."""
    has = tags_of(kinesis, name)
    if missing := marks.missing(has):
        what = f"stream {name}: tags + {told(missing)}"
        steps.change(what, kinesis.add_tags_to_stream, StreamName=name, Tags=missing)
    return marks.ours(has)


def _until_active(kinesis: "KinesisClient", name: str) -> None:
    """Kinesis takes the next change of a stream only when the one before is through. Raises SetupError if that lasts.

    Not with botocore's waiter: it asks with another right, and of a refusal or of a time-out it says the same.
    """
    until = time.monotonic() + LOOK_FOR_S
    while (status := _status(kinesis, name)) != "ACTIVE":
        if time.monotonic() >= until:
            raise SetupError(f"stream {name} is {status} still; when it is ACTIVE, run `stream-router setup` again")
        time.sleep(LOOK_EVERY_S)


def _status(kinesis: "KinesisClient", name: str) -> str:
    found = describe(kinesis, name)
    return found["StreamStatus"] if found else "not to be seen"


def _ensure_retention(kinesis: "KinesisClient", name: str, hours: int, steps: Steps) -> None:
    if hours >= RETENTION_HOURS:
        steps.right(f"stream {name}: keeps records for {hours} hours")
        return

    def increase() -> None:
        kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=RETENTION_HOURS)
        _until_active(kinesis, name)

    steps.change(f"stream {name}: retention {hours} -> {RETENTION_HOURS} hours", increase)


def _ensure_encryption(kinesis: "KinesisClient", name: str, has: str, own: str | None, steps: Steps) -> None:
    """Under the customer's key `own` where there is one and the stream is ours; else under any key."""
    wanted = own or (KEY if has == NONE else has)
    if has == wanted:
        steps.right(f"stream {name}: encrypted at rest")
        return

    def encrypt() -> None:
        kinesis.start_stream_encryption(StreamName=name, EncryptionType="KMS", KeyId=wanted)
        _until_active(kinesis, name)

    steps.change(f"stream {name}: {has} -> encrypted with {wanted}", encrypt)

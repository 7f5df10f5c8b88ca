"""Checks of our dead-letter queue and of the claim checks' bucket."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.checks import aws_checks
from stream_router.checks.finding import Finding, Question, ask
from stream_router.control.doctor.say import SETUP, ok, skipped, warn, wrong
from stream_router.control.doctor.world import World
from stream_router.errors import ABSENT, code_of
from stream_router.operate.resources import held

QUEUE = "SQS_DLQ_URL"
DAY_S = 24 * 3600
LETTERS_LOOKED_AT = 10


def there(world: World) -> Finding:
    """SR103: the dead-letter queue is there, in this region, and keeps letters for some days."""
    if not world.dead_letters_url:
        return skipped("SR103", "waits for SR002")
    finding = aws_checks.dead_letter_queue(world.session, world.dead_letters_url, world.settings.aws_region)
    if finding.cure:
        return finding
    name = world.dead_letters_url.rsplit("/", 1)[-1]
    for target in world.maybe(world.targets) or []:
        if name in (_queue_name(target["Arn"]), _queue_name(target.get("DeadLetterConfig", {}).get("Arn", ""))):
            says = f"{name} is also where EventBridge sends events: dead letters and events lie in one queue"
            return warn("SR103", QUEUE, says, "give dead letters a queue of their own; `stream-router setup` makes one")
    return ok("SR103", world.dead_letters_url)


def _queue_name(arn: str) -> str:
    return arn.rsplit(":", 1)[-1] if ":sqs:" in arn else ""


def _attributes(world: World) -> dict[str, str] | None:
    url = world.dead_letters_url
    return world.maybe(lambda: world.queue_attributes(url)) if url else None


def keeps_as_long(world: World) -> Finding:
    """SR150: it keeps letters as long as the stream keeps events: a letter's event can then still be looked up."""
    has, summary = _attributes(world), world.maybe(world.stream)
    if has is None or summary is None:
        return skipped("SR150", "waits for SR101 and SR103")
    kept_h, wanted_h = int(has.get("MessageRetentionPeriod", 0)) / 3600, summary["RetentionPeriodHours"]
    most_h = 14 * 24
    if kept_h < min(wanted_h, most_h):
        says = f"keeps letters for {kept_h:g} hours, the stream keeps events for {wanted_h}"
        return warn("SR150", QUEUE, says, f"{SETUP}, which sets 14 days")
    return ok("SR150", f"{kept_h / 24:g} days")


def takes_large(world: World) -> Finding:
    """SR151: it takes messages of 1 MiB: every accepted event fits one."""
    has = _attributes(world)
    if has is None:
        return skipped("SR151", "waits for SR103")
    size = int(has.get("MaximumMessageSize", limits.SQS_MESSAGE_BYTES))
    if size < limits.SQS_MESSAGE_BYTES:
        says = f"takes {size} bytes a message: a large dead letter would not fit, and hold its shard"
        return warn("SR151", QUEUE, says, SETUP)
    return ok("SR151", f"{size} bytes a message")


def encryption(world: World) -> Finding:
    """SR152: it is encrypted: its messages hold customers' data."""
    has = _attributes(world)
    if has is None:
        return skipped("SR152", "waits for SR103")
    if has.get("SqsManagedSseEnabled") != "true" and not has.get("KmsMasterKeyId"):
        return warn("SR152", QUEUE, "is not encrypted at rest", SETUP)
    return ok("SR152", has.get("KmsMasterKeyId") or "SQS's own key")


def letters(world: World) -> Finding:
    """SR153: no dead letter waits for someone to decide, above all none that is soon deleted."""
    has = _attributes(world)
    if has is None:
        return skipped("SR153", "waits for SR103")
    if not (count := held(has)):
        return ok("SR153", "none")
    kept_s, age_s = int(has.get("MessageRetentionPeriod", 14 * DAY_S)), _oldest_s(world)
    hidden = int(has.get("ApproximateNumberOfMessagesNotVisible", "0"))
    says = f"{count} wait" + (f" ({hidden} hidden, since somebody reads them)" if hidden else "")
    or_more = " or more" if world.is_aws("cloudwatch") else ""
    says += f", the oldest for {_days(age_s)}{or_more}" if age_s is not None else ""
    cure = "`stream-router dlq list` says why, `dlq redrive` sends them again"
    if age_s is not None and kept_s - age_s < 2 * DAY_S:
        return wrong("SR153", QUEUE, f"{says}; SQS deletes it in {_days(max(0.0, kept_s - age_s))}", cure)
    return warn("SR153", QUEUE, says, cure)


def _days(seconds: float) -> str:
    return f"{seconds / DAY_S:.1f} days" if seconds >= DAY_S else f"{seconds / 3600:.1f} hours"


def _oldest_s(world: World) -> float | None:
    """The age of the oldest letter: CloudWatch knows it; else, on an emulator, that of some that are looked at."""
    with contextlib.suppress(ClientError, BotoCoreError):
        return _told(world) if world.is_aws("cloudwatch") else _sampled(world)
    return None


def _told(world: World) -> float | None:
    """The metric leaves out what was received three times: the oldest may be older."""
    now = datetime.fromtimestamp(world.now_s(), UTC)
    metric: Any = {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": world.dead_letters_url.rsplit("/", 1)[-1]}],
    }
    answer = world.client("cloudwatch").get_metric_data(
        MetricDataQueries=[{"Id": "age", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Maximum"}}],
        StartTime=now - timedelta(minutes=30),
        EndTime=now,
    )
    values = answer["MetricDataResults"][0]["Values"] if answer["MetricDataResults"] else []
    return float(values[0]) if values else None


def _sampled(world: World) -> float | None:
    """Nothing is hidden from anybody: the messages are visible again at once."""
    answer = world.client("sqs").receive_message(
        QueueUrl=world.dead_letters_url,
        MaxNumberOfMessages=LETTERS_LOOKED_AT,
        VisibilityTimeout=0,
        AttributeNames=["SentTimestamp"],
    )
    sent = [float(message["Attributes"]["SentTimestamp"]) / 1000 for message in answer.get("Messages", [])]
    return world.now_s() - min(sent) if sent else None


def bucket(world: World) -> Finding:
    """SR104: the bucket of claim checks is there."""
    if world.consume is None:
        return skipped("SR104", "waits for SR002")
    if not world.consume.offload_bucket:
        return skipped("SR104", "no bucket is set")
    return aws_checks.offload_bucket(world.session, world.consume.offload_bucket)


def keeps_what_is_looked_at(world: World) -> Finding:
    """SR154: SQS moves no letter away because it was looked at: each look counts as a receive."""
    has = _attributes(world)
    if has is None:
        return skipped("SR154", "waits for SR103")
    if not (text := has.get("RedrivePolicy")):
        return ok("SR154", "letters stay, however often they are looked at")
    policy = json.loads(text)
    there = str(policy.get("deadLetterTargetArn", "")).rsplit(":", 1)[-1]
    says = f"a letter that was looked at {policy.get('maxReceiveCount')} times goes to {there}, where nobody looks"
    return warn("SR154", QUEUE, says, "take the queue's RedrivePolicy away: it is a dead-letter queue itself")


_PREFIXES = ("dead-letters/", "payloads/")
"""Of the keys that the consumer writes."""


def bucket_keeps(world: World) -> Finding:
    """SR155: the bucket keeps what dead letters and claim checks point to, as long as a letter lives."""
    name = world.consume.offload_bucket if world.consume else None
    if not name:
        return skipped("SR155", "no bucket is set" if world.consume else "waits for SR002")
    s3 = world.client("s3")

    def look() -> list[Any]:
        try:
            return list(s3.get_bucket_lifecycle_configuration(Bucket=name).get("Rules", []))
        except ClientError as error:
            if code_of(error) == "NoSuchLifecycleConfiguration":
                return []
            raise

    refused, rules = ask(Question("SR155", aws_checks.BUCKET, "its lifecycle", look, _NO_BUCKET))
    if refused:
        return skipped("SR155", "waits for SR104") if refused.says == "gone" else refused
    days, has = 14, _attributes(world)
    if has:
        days = int(has.get("MessageRetentionPeriod", days * DAY_S)) // DAY_S
    for rule in rules:
        kept = rule.get("Expiration", {}).get("Days", days)
        if rule.get("Status") == "Enabled" and kept < days and _takes_ours(rule):
            says = f"lifecycle rule {rule.get('ID')} deletes after {kept} days what letters point to for {days}"
            return warn("SR155", aws_checks.BUCKET, says, f"set it to {days} days or more, or narrow it to other keys")
    return ok("SR155", f"nothing is deleted within {days} days")


_NO_BUCKET = dict.fromkeys({*ABSENT, "404"}, ("gone", ""))


def _takes_ours(rule: Any) -> bool:
    """A rule that asks for tags is another's: our objects have none."""
    chosen = rule.get("Filter") or {}
    chosen = {**chosen, **chosen.get("And", {})}
    if chosen.get("Tag") or chosen.get("Tags"):
        return False
    prefix = str(chosen.get("Prefix") or rule.get("Prefix") or "")
    return any(one.startswith(prefix) or prefix.startswith(one) for one in _PREFIXES)

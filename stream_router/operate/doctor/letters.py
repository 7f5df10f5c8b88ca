"""Where events wait for a person: our dead-letter queue, and the bucket of what is too large for a message."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import checks
from stream_router.checks import QUEUE, Finding, Verdict, ok, skipped, warn, wrong
from stream_router.operate.doctor.world import CONSUME, Check, Subject, World
from stream_router.operate.resources import held

DAY_S = 24 * 3600


def _letters(world: World) -> Iterator[Finding]:
    url = (world.queue.sqs_dlq_url if world.queue else "") or ""
    if not url:
        yield skipped("SR103", "waits for SR002")
    else:
        found = checks.dead_letter_queue(world.session, url, world.settings.aws_region)
        yield found
        yield _waiting(world, url) if found.verdict is Verdict.WELL else skipped("SR153", "waits for SR103")
    if world.consume is None:
        yield skipped("SR104", "waits for SR002")
    elif world.consume.offload_bucket:
        yield checks.offload_bucket(world.session, world.consume.offload_bucket)
    else:
        yield skipped("SR104", "no bucket is set")


def _waiting(world: World, url: str) -> Finding:
    """No dead letter waits for someone to decide, above all none that is soon deleted."""
    has = world.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    count, hidden = held(has), int(has.get("ApproximateNumberOfMessagesNotVisible", "0"))
    if not count:
        return ok("SR153", "none")
    says = f"{count} wait" + (f" ({hidden} hidden, since somebody reads them)" if hidden else "")
    cure = "`stream-router dlq list` says why, `dlq redrive` puts them back on the stream"
    kept_s, age_s = int(has.get("MessageRetentionPeriod", 14 * DAY_S)), _oldest_s(world, url.rsplit("/", 1)[-1])
    if age_s is None:
        return warn("SR153", QUEUE, says, cure)
    says += f", the oldest for {_days(age_s)} or more"
    if kept_s - age_s < 2 * DAY_S:
        return wrong("SR153", QUEUE, f"{says}; SQS deletes it in {_days(max(0.0, kept_s - age_s))}", cure)
    return warn("SR153", QUEUE, says, cure)


def _days(seconds: float) -> str:
    return f"{seconds / DAY_S:.1f} days" if seconds >= DAY_S else f"{seconds / 3600:.1f} hours"


def _oldest_s(world: World, queue: str) -> float | None:
    """The age of the oldest letter, which CloudWatch knows; None where it does not.

    The metric leaves out what was received three times, and each look at the queue receives all of it: the oldest may
    be older.
    """
    now = datetime.fromtimestamp(world.now_s(), UTC)
    metric: Any = {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": queue}],
    }
    try:
        answer = world.client("cloudwatch").get_metric_data(
            MetricDataQueries=[{"Id": "age", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Maximum"}}],
            StartTime=now - timedelta(minutes=30),
            EndTime=now,
        )
    except (ClientError, BotoCoreError):
        return None
    values = [value for result in answer["MetricDataResults"] for value in result["Values"]]
    return float(values[0]) if values else None


LETTERS = Subject(
    {
        "SR103": Check("dead-letter queue", CONSUME, "holding"),
        "SR153": Check("dead letters", CONSUME, "dead-letters"),
        "SR104": Check("claim checks' bucket", CONSUME),
    },
    _letters,
)

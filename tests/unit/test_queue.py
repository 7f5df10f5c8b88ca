"""The operators' reader of SQS queues, where a queue shows what the fake AWS does not: late counts, messages twice.

The rest is shown by tests/integration/test_dlq.py.
"""

import itertools
from email.utils import formatdate
from typing import Any

import pytest

from stream_router.operate import queue
from stream_router.operate.console import Stop
from stream_router.operate.queue import QueueReader, undelivered_url
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load

BEGUN_S = 1_800_000_000


class Sqs:
    """A queue of two messages, as boto3's client shows it. `again`: it shows the first one once more."""

    def __init__(
        self, depth: tuple[int, int] = (2, 0), sent_s: int = -60, again: bool = False, fills: bool = False
    ) -> None:
        self.depth, self.sent_s, self.again, self.fills = depth, sent_s, again, fills
        self.refusals = 2
        """Deletes that say no to each message in a call that says yes."""
        self.asked: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self._shown = 0

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        date = {"HTTPHeaders": {"date": formatdate(BEGUN_S, usegmt=True)}}
        return {"Attributes": {n: str(v) for n, v in zip(names, self.depth, strict=True)}, "ResponseMetadata": date}

    def receive_message(self, **_: Any) -> dict[str, Any]:
        self._shown += 1
        if self._shown == 1:
            return {"Messages": [self._message("m0", self.sent_s), self._message("m1", self.sent_s)]}
        if self._shown == 2 and self.again:
            return {"Messages": [self._message("m0", self.sent_s)]}
        return {"Messages": [self._message(f"new{self._shown}", 1)] * self.fills}

    def _message(self, name: str, sent_s: int) -> dict[str, Any]:
        sent = {"SentTimestamp": str((BEGUN_S + sent_s) * 1000)}
        return {"MessageId": name, "ReceiptHandle": f"{name}#{self._shown}", "Body": name, "Attributes": sent}

    def delete_message_batch(self, **values: Any) -> dict[str, Any]:
        if self.refusals:
            self.refusals -= 1
            return {"Failed": [{"Id": entry["Id"], "Code": "InternalError"} for entry in values["Entries"]]}
        self.deleted += [entry["ReceiptHandle"] for entry in values["Entries"]]
        return {"Successful": [{"Id": entry["Id"]} for entry in values["Entries"]]}

    def change_message_visibility_batch(self, **values: Any) -> dict[str, Any]:
        return {"Successful": [{"Id": entry["Id"]} for entry in values["Entries"]]}

    def get_queue_url(self, **values: str) -> dict[str, str]:
        self.asked.append(values)
        return {"QueueUrl": "https://sqs/1/u"}


@pytest.mark.parametrize(
    ("sqs", "is_whole"),
    [
        (Sqs((0, 2)), True),
        (Sqs((2, 0)), True),
        (Sqs((0, 3)), False),
        (Sqs((3, 0)), False),
        (Sqs((0, 2), sent_s=5), False),
        (Sqs(fills=True), True),
        (Sqs(again=True), True),
    ],
    ids=["hidden", "visible", "one hidden", "one visible", "came since", "fills all the time", "shown again"],
)
def test_a_queue_whose_every_message_was_seen_is_whole(
    monkeypatch: pytest.MonkeyPatch, sqs: Sqs, is_whole: bool
) -> None:
    """SQS's counts are late: hidden may be what an earlier look gave back. What came since proves nothing of those.

    Each message comes once, and none that was sent since the run began: a queue that fills all the time has an end. A
    delete that is refused is tried again.
    """
    monkeypatch.setattr(queue, "CALLS", 1)
    monkeypatch.setattr(queue, "backoff_s", lambda *_: 0.0)
    with QueueReader(sqs, "https://sqs/1/q", Stop()) as queue_reader:
        seen = list(itertools.islice(queue_reader.read(), 9))
        assert [message.id for message in seen] == ["m0", "m1"] * (sqs.sent_s < 0)
        assert (queue_reader.unseen_reason == "") is is_whole
        assert queue_reader.delete(seen) == []
    assert not sqs.again or sqs.deleted == ["m0#2", "m1#1"], "the older receipt deletes nothing"


def test_where_eventbridges_own_queue_is() -> None:
    """By the setting's ARN, which may be of another account, else by the stream's name."""
    sqs, settings = Sqs(), load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q")
    theirs = settings.model_copy(update={"target_dlq_arn": "arn:aws:sqs:us-east-1:123456789012:theirs"})
    assert undelivered_url(settings, sqs) == undelivered_url(theirs, sqs) == "https://sqs/1/u"
    account = {"QueueOwnerAWSAccountId": "123456789012"}
    assert sqs.asked == [{"QueueName": "cxone-events-undelivered"}, {"QueueName": "theirs", **account}]

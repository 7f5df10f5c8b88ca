"""The reader of SQS queues: each message once, hidden while it is in hand, then deleted or given back."""

import itertools
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stream_router.errors import SettingsError
from stream_router.operate import queue
from stream_router.operate.console import Stop
from stream_router.operate.queue import Queue, undelivered_url
from stream_router.settings.operators import DeadLetters
from stream_router.settings.reading import load

BEGUN_S = 1_800_000_000


class Sqs:
    """A queue as boto3's client shows it, visibility included. `judge` may refuse a call, or an entry of one."""

    def __init__(self, count: int, sent_ms: int = (BEGUN_S - 60) * 1000) -> None:
        self.visible_at = {f"m{n}": 0.0 for n in range(count)}
        self.sent_ms = dict.fromkeys(self.visible_at, sent_ms)
        self.depth = (count, 0)
        self.judge: Callable[[str, str], str] = lambda _operation, _message: ""
        self.handles: dict[str, str] = {}
        self.shown: list[str] = []
        self._receipts = itertools.count()
        self._lock = threading.Lock()

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        date = {"HTTPHeaders": {"date": formatdate(BEGUN_S, usegmt=True)}}
        return {"Attributes": {n: str(v) for n, v in zip(names, self.depth, strict=True)}, "ResponseMetadata": date}

    def receive_message(self, VisibilityTimeout: float, **_: Any) -> dict[str, Any]:  # noqa: N803 - SQS's names
        if code := self.judge("receive", ""):
            raise refusal(code)
        with self._lock:
            now = time.monotonic()
            found = [one for one, at in self.visible_at.items() if at <= now][:10]
            for one in found:
                self.visible_at[one] = now + VisibilityTimeout
                self.handles[one] = f"{one}#{next(self._receipts)}"
                self.shown.append(one)
            return {"Messages": [self._message(one) for one in found]}

    def _message(self, one: str) -> dict[str, Any]:
        sent = {"SentTimestamp": str(self.sent_ms[one])}
        return {"MessageId": one, "ReceiptHandle": self.handles[one], "Body": one, "Attributes": sent}

    def delete_message_batch(self, **given: Any) -> dict[str, Any]:
        return self._each("delete", given["Entries"], lambda one, _: self.visible_at.pop(one))

    def change_message_visibility_batch(self, **given: Any) -> dict[str, Any]:
        def change(one: str, entry: dict[str, Any]) -> None:
            self.visible_at[one] = time.monotonic() + entry["VisibilityTimeout"]

        return self._each("change", given["Entries"], change)

    def _each(
        self, name: str, entries: list[dict[str, Any]], do: Callable[[str, dict[str, Any]], Any]
    ) -> dict[str, Any]:
        answer: dict[str, list[dict[str, str]]] = {"Successful": [], "Failed": []}
        with self._lock:
            for entry in entries:
                one = entry["ReceiptHandle"].partition("#")[0]
                stale = "ReceiptHandleIsInvalid" if entry["ReceiptHandle"] != self.handles[one] else ""
                if code := stale or self.judge(name, one):
                    answer["Failed"].append({"Id": entry["Id"], "Code": code})
                else:
                    do(one, entry)
                    answer["Successful"].append({"Id": entry["Id"]})
        return answer

    @property
    def visible(self) -> set[str]:
        return {one for one, at in self.visible_at.items() if at <= time.monotonic()}


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is hidden for half a second, and no retry waits long."""
    monkeypatch.setattr(queue, "HIDE_S", 0.5)
    monkeypatch.setattr(queue, "KEEP_EVERY_S", 0.05)
    monkeypatch.setattr(queue, "backoff_s", lambda *_: 0.01)


def test_each_message_is_seen_once_and_hidden_for_as_long_as_it_is_in_hand() -> None:
    """However long that is; what is deleted is gone, what is left is shown again at the end."""
    sqs = Sqs(95)
    with Queue(sqs, "https://sqs/1/q", Stop()) as q:
        seen = list(q.read())
        assert {message.id for message in seen} == sqs.visible_at.keys()
        assert (len(seen), q.missing, sqs.visible) == (95, "", set())
        time.sleep(1.2)
        assert sqs.visible == set()
        assert q.delete(seen[:40]) == []
        q.give_back(seen[40:50])
        assert sqs.visible == {message.id for message in seen[40:50]}
    assert sqs.visible == {message.id for message in seen[40:]} == sqs.visible_at.keys()


def test_a_queue_that_fills_all_the_time_has_an_end() -> None:
    """What was sent since the run began is counted and not shown."""

    class Filling(Sqs):
        def receive_message(self, VisibilityTimeout: float, **_: Any) -> dict[str, Any]:  # noqa: N803
            with self._lock:
                new = f"new{len(self.visible_at)}"
                self.visible_at[new], self.sent_ms[new] = 0.0, (BEGUN_S + 1) * 1000
            return super().receive_message(VisibilityTimeout)

    sqs = Filling(5)
    with Queue(sqs, "https://sqs/1/q", Stop()) as q:
        assert {message.id for message in q.read()} == {f"m{n}" for n in range(5)}
        assert q.missing == ""


def test_what_comes_again_while_it_is_held_is_known_by_its_newest_receipt() -> None:
    """SQS may show a message twice; the older receipt deletes nothing."""
    sqs = Sqs(3)
    with Queue(sqs, "https://sqs/1/q", Stop()) as q:
        reading = q.read()
        first = next(reading)
        sqs.visible_at[first.id] = 0.0
        rest = list(reading)
        assert len(rest) == 2
        assert sqs.shown.count(first.id) == 2
        assert q.delete([first, *rest]) == []
    assert not sqs.visible_at


def test_what_sqs_does_not_delete_is_tried_again_and_then_told() -> None:
    """A refusal of a single message in a call that says yes."""
    sqs = Sqs(20)
    refused: list[str] = []

    def judge(operation: str, one: str) -> str:
        if operation == "delete" and one == "m3" and refused.count(one) < 2:
            refused.append(one)
            return "InternalError"
        return "AccessDenied" if (operation, one) == ("delete", "m7") else ""

    sqs.judge = judge
    with Queue(sqs, "https://sqs/1/q", Stop()) as q:
        left = q.delete(list(q.read()))
        assert [message.id for message in left] == ["m7"]
        assert q.trouble == "AccessDenied"
    assert sqs.visible == {"m7"}


@pytest.mark.parametrize(
    ("depth", "sent_s", "is_whole"),
    [
        ((0, 2), -60, True),
        ((2, 0), -60, True),
        ((0, 3), -60, False),
        ((3, 0), -60, False),
        ((0, 2), 5, False),
    ],
)
def test_a_queue_whose_every_message_was_seen_is_whole(depth: tuple[int, int], sent_s: int, is_whole: bool) -> None:
    """SQS's counts are late: hidden may be what an earlier look gave back. What came since proves nothing of those."""
    sqs = Sqs(2, (BEGUN_S + sent_s) * 1000)
    sqs.depth = depth
    with Queue(sqs, "https://sqs/1/q", Stop()) as q:
        list(q.read())
        assert (q.missing == "") is is_whole


def test_where_eventbridges_own_queue_is() -> None:
    """By the setting's ARN, else by the stream's name; what is no ARN is a settings error."""
    asked: list[dict[str, str]] = []

    def get_queue_url(**given: str) -> dict[str, str]:
        asked.append(given)
        return {"QueueUrl": "https://sqs/1/u"}

    sqs = SimpleNamespace(get_queue_url=get_queue_url)
    settings = load(DeadLetters, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q")
    assert undelivered_url(settings, sqs) == "https://sqs/1/u"
    undelivered_url(settings.model_copy(update={"target_dlq_arn": "arn:aws:sqs:us-east-1:123456789012:theirs"}), sqs)
    account = {"QueueOwnerAWSAccountId": "123456789012"}
    assert asked == [{"QueueName": "cxone-events-undelivered"}, {"QueueName": "theirs", **account}]
    with pytest.raises(SettingsError, match="STREAM_ROUTER_TARGET_DLQ_ARN"):
        undelivered_url(settings.model_copy(update={"target_dlq_arn": "theirs"}), sqs)

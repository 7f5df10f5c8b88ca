"""The one reader of SQS queues: each message is seen once, hidden while in hand, then deleted or given back.

SQS hides a message from other readers for a while after it gave it to one. So whatever is not deleted is shown again as
soon as nobody needs it. A command that is killed shows nothing again: SQS does, within HIDE_S.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.aws.clients import Clients
from stream_router.aws_answers import served_s
from stream_router.aws_error_codes import ABSENT, DENIED, code_of, cure
from stream_router.checks import failure_of
from stream_router.operate import arns
from stream_router.operate.console import Stop, count_of
from stream_router.pipeline.sinks.dead_letters.reader import UnreadableLetterError
from stream_router.process import backoff_s
from stream_router.settings.operators import DeadLetters

VISIBILITY_TIMEOUT_S = 300
"""How long a message is hidden at a time; after half of it, it is hidden anew."""

VISIBILITY_CHECK_INTERVAL_S = 30.0
"""How often it is looked whose time runs out."""

CALLS = 8
"""Calls at once: one alone brings ten messages in some 20 ms."""

LONG_POLL_S = 1
EMPTY_ROUNDS = 2
"""Rounds of calls without a message, in a row, that say that nothing more is there."""

TRIES = 5
"""Of a delete or a change of visibility that SQS refuses for single messages."""

DATE_STEP_MS = 1_000
"""How fine the date is that an answer tells."""


class QueueError(Exception):
    """A queue cannot be used; the text says why, and what to do."""


class QueueAbsentError(QueueError):
    """There is no such queue."""


class Message:
    """One message in hand. `sent_ms` is when it was sent (epoch ms); `body` may be let go of once it is read."""

    __slots__ = ("attributes", "body", "handle", "hidden_until", "id", "sent_ms")

    def __init__(self, received: Mapping[str, Any], hidden_until: float) -> None:
        self.id = str(received["MessageId"])
        self.handle = str(received["ReceiptHandle"])
        self.body = str(received["Body"])
        attributes = received.get("MessageAttributes") or {}
        self.attributes = {str(name): str(value.get("StringValue") or "") for name, value in attributes.items()}
        self.sent_ms = int((received.get("Attributes") or {}).get("SentTimestamp") or 0)
        self.hidden_until = hidden_until


class QueueReader:
    """One queue, and what of it is in hand. Use it with `with`: its end gives back what was not deleted.

    It begins with SQS's own count, which is a minute late: `visible` messages, and `hidden` ones in somebody's hand.
    `stop` ends the reading early. Raises QueueError where SQS refuses, or does not answer after botocore's retries.
    """

    def __init__(self, sqs: Any, url: str, stop: Stop) -> None:
        self.url, self.name = url, url.rsplit("/", 1)[-1]
        self._sqs, self._stop = sqs, stop
        self._pool = ThreadPoolExecutor(CALLS, "sqs")
        self._held: dict[str, Message] = {}
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._extend_visibility, name="keeps-hidden", daemon=True)
        self._begun_ms = 0.0
        self._came_later = 0
        self.visible = self.hidden = 0
        self.trouble = ""
        """AWS's code for the latest delete or change of visibility that failed."""
        self.missing = ""
        """Why not every message was seen; "" where all were, as far as SQS tells."""

    def __enter__(self) -> Self:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        try:
            answer = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        except (ClientError, BotoCoreError) as error:
            raise self._describe_refusal(error) from error
        self.visible, self.hidden = (int(answer.get("Attributes", {}).get(name, 0)) for name in names)
        self._begun_ms = served_s(answer) * 1000  # by SQS's own clock
        self._keeper.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._keeper.join()
        self.give_back(list(self._held.values()))
        self._pool.shutdown()

    def read(self) -> Iterator[Message]:
        """Each message that was there when the run began, once; in hand, and hidden, until it is deleted or given back.

        Ends once nothing more comes, or the stop is asked for. `missing` is known after it.
        """
        empty = 0
        while empty < EMPTY_ROUNDS:
            if self._stop.asked:
                self.missing = f"the reading of {self.name} was broken off"
                return
            new = [message for batch in self._pool.map(self._receive, range(CALLS)) for message in batch]
            empty = 0 if new else empty + 1
            yield from new
        # What an earlier look gave back SQS still counts as hidden, so the two are taken together.
        left = self.visible + self.hidden - (len(self._seen) - self._came_later)
        if left > 0:
            self.missing = (
                f"about {count_of(left, 'message')} of {self.name} not seen: in another reader's hand, of a command "
                f"that was killed (there again within 5 minutes), or beyond the {limits.SQS_HIDDEN_MAX:,} that SQS "
                "hides at once (redrive some first)"
            )

    def _receive(self, _: int) -> list[Message]:
        asked = time.monotonic()
        try:
            answer = self._sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=limits.SQS_BATCH_MAX,
                WaitTimeSeconds=LONG_POLL_S,
                VisibilityTimeout=VISIBILITY_TIMEOUT_S,
                AttributeNames=["SentTimestamp"],
                MessageAttributeNames=["All"],
            )
        except (ClientError, BotoCoreError) as error:
            if code_of(error) == "OverLimit":  # as many are hidden as SQS allows: `missing` says it
                return []
            raise self._describe_refusal(error) from error
        return [
            message
            for received in answer.get("Messages", ())
            if (message := self._take_in(Message(received, asked + VISIBILITY_TIMEOUT_S)))
        ]

    def _take_in(self, message: Message) -> Message | None:
        """Return the message, held; None if it was seen before, or came after the run began (what fails again)."""
        later = bool(self._begun_ms) and message.sent_ms >= self._begun_ms + DATE_STEP_MS
        with self._lock:
            known = message.id in self._seen
            self._seen.add(message.id)
            self._came_later += later and not known
            if (before := self._held.get(message.id)) is not None:  # the newer receipt is the one that counts
                before.handle, before.hidden_until = message.handle, message.hidden_until
            else:
                self._held[message.id] = message
        if known or later:
            message.body = ""
            return None
        return message

    def delete(self, messages: Iterable[Message]) -> list[Message]:
        """Delete these; those that SQS did not delete come back, and stay in hand."""
        wanted = list(messages)
        left = self._send_batches("delete_message_batch", wanted)
        self._release(wanted, left)
        return left

    def give_back(self, messages: Iterable[Message]) -> None:
        """Show these to other readers again; what SQS does not show now it shows within HIDE_S."""
        wanted = list(messages)
        self._release(wanted, [])
        self._send_batches("change_message_visibility_batch", wanted, VisibilityTimeout=0)

    def _release(self, messages: list[Message], but: list[Message]) -> None:
        kept = {message.id for message in but}
        with self._lock:
            for message in messages:
                if message.id not in kept:
                    self._held.pop(message.id, None)

    def _send_batches(self, operation: str, messages: list[Message], **more: int) -> list[Message]:
        """Do it to every message, ten a call, several calls at once; those come back for which SQS never said yes."""
        call, left = getattr(self._sqs, operation), messages

        def batch(some: list[Message]) -> list[Message]:
            entries = [{"Id": str(n), "ReceiptHandle": message.handle, **more} for n, message in enumerate(some)]
            try:
                answer = call(QueueUrl=self.url, Entries=entries)
            except (ClientError, BotoCoreError) as error:
                self.trouble = code_of(error)
                return some
            done = {entry["Id"] for entry in answer.get("Successful", ())}
            for failed in answer.get("Failed", ()):
                self.trouble = str(failed.get("Code"))
            return [message for n, message in enumerate(some) if str(n) not in done]

        for failures in range(TRIES):
            if failures:
                self._stop.wait(backoff_s(failures - 1, 0.2, 2.0))
            size = limits.SQS_BATCH_MAX
            batches = [left[at : at + size] for at in range(0, len(left), size)]
            left = [message for failed in self._pool.map(batch, batches) for message in failed]
            if not left:
                break
        return left

    def _extend_visibility(self) -> None:
        """Hide anew what has been hidden for half of its time, as long as it is in hand."""
        while not self._over.wait(VISIBILITY_CHECK_INTERVAL_S):
            now = time.monotonic()
            with self._lock:
                due = [
                    message for message in self._held.values() if message.hidden_until - now < VISIBILITY_TIMEOUT_S / 2
                ]
            failed = {
                message.id
                for message in self._send_batches(
                    "change_message_visibility_batch", due, VisibilityTimeout=VISIBILITY_TIMEOUT_S
                )
            }
            for message in due:
                if message.id not in failed:
                    message.hidden_until = now + VISIBILITY_TIMEOUT_S

    def _describe_refusal(self, error: ClientError | BotoCoreError) -> QueueError:
        code = code_of(error)
        if code in ABSENT:
            return QueueAbsentError(
                f"the queue {self.name} does not exist ({code}): correct SQS_DLQ_URL (for --undelivered "
                "STREAM_ROUTER_TARGET_DLQ_ARN), or run `stream-router setup`"
            )
        failure, what_to_do = failure_of(error)
        return QueueError(f"the queue {self.name} cannot be read{failure}: {what_to_do}")


def undelivered_url(settings: DeadLetters, sqs: Any) -> str:
    """Return the URL of EventBridge's own dead-letter queue: that of the setting, else `<stream>-undelivered`.

    Raises QueueAbsentError where there is none, QueueError where it is not to be found, SettingsError where the setting
    is no ARN.
    """
    arn = settings.target_dlq_arn
    name = arn.rsplit(":", 1)[-1] if arn else arns.undelivered_name(settings.stream)
    owner = {"QueueOwnerAWSAccountId": arns.parse(arn, "STREAM_ROUTER_TARGET_DLQ_ARN").account} if arn else {}
    try:
        return str(sqs.get_queue_url(QueueName=name, **owner)["QueueUrl"])
    except (ClientError, BotoCoreError) as error:
        kind = QueueAbsentError if code_of(error) in ABSENT else QueueError
        raise kind(
            f"the queue {name} cannot be found ({code_of(error)}): run `stream-router setup`, or correct "
            "STREAM_ROUTER_TARGET_DLQ_ARN"
        ) from error


def bus_undelivered_url(settings: DeadLetters, clients: Clients) -> str:
    """Return the URL of the bus's own dead-letter queue, for events that its key failed; "" if the bus has none.

    Raises QueueError if the bus or the queue cannot be asked for.
    """
    if limits.is_v2_bus(settings.event_bus):
        return ""
    try:
        bus = clients.events.describe_event_bus(Name=settings.event_bus)
        if not (queue := bus.get("DeadLetterConfig", {}).get("Arn")):
            return ""
        arn = arns.parse(queue, "STREAM_ROUTER_EVENT_BUS")
        url = clients.sqs.get_queue_url(QueueName=arn.resource, QueueOwnerAWSAccountId=arn.account)["QueueUrl"]
    except (ClientError, BotoCoreError) as error:
        failure, what_to_do = failure_of(error)
        raise QueueError(f"the bus's own dead-letter queue cannot be found{failure}: {what_to_do}") from error
    return str(url)


def fetch_object(clients: Clients, url: str) -> bytes:
    """Return an object of S3 (s3://bucket/key), where a dead letter lies that fits no message.

    Raises UnreadableLetterError where it cannot be had.
    """
    try:
        parts = urlsplit(url)
        answer = clients.s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
        return bytes(answer["Body"].read())
    except (ClientError, BotoCoreError, ValueError) as error:
        code = code_of(error)
        rights = "allow s3:GetObject, and s3:ListBucket, without which S3 denies what is gone too"
        why = "it is gone" if code == "NoSuchKey" else rights if code in DENIED else cure(code)
        raise UnreadableLetterError(f"its object in S3 cannot be had ({code}): {why}") from None

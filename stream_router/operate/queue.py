"""Reader of SQS queues for all commands: each message is yielded once, kept hidden, then deleted or given back.

SQS hides a message that it returned to one reader from all readers, for the visibility timeout. At its end a command
makes each message that it did not delete visible again. After a kill, SQS does that within VISIBILITY_TIMEOUT_S.
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
from stream_router.aws_answers import answer_time_s
from stream_router.aws_error_codes import ABSENT, DENIED, code_of, find_cure
from stream_router.checks import describe_failure
from stream_router.operate import arns
from stream_router.operate.console import Stop, format_count
from stream_router.pipeline.sinks.dead_letters.reader import UnreadableLetterError
from stream_router.process import backoff_s
from stream_router.settings.operators import DeadLetters

VISIBILITY_TIMEOUT_S = 300
"""Visibility timeout in seconds of a message that is held. It is extended once half of it has passed."""

VISIBILITY_CHECK_INTERVAL_S = 30.0
"""Seconds between two looks for held messages whose visibility timeout has to be extended."""

CALLS = 8
"""Number of concurrent calls. More than one is needed, since a call returns only ten messages, in some 20 ms."""

LONG_POLL_S = 1
EMPTY_ROUNDS = 2
"""Consecutive rounds without a message after which the queue counts as read."""

MAX_TRIES = 5
"""Tries of a delete or a change of visibility that SQS refuses for single messages."""

DATE_STEP_MS = 1_000
"""Resolution in ms of the Date header in an answer, by which the beginning of the command is known."""


class QueueError(Exception):
    """A queue cannot be used. The text has the reason and the cure."""


class QueueAbsentError(QueueError):
    """The queue does not exist."""


class Message:
    """A received message.

    `sent_ms` is the time of sending (epoch ms). Callers may empty `body` to save memory.
    """

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
    """A queue, and the messages of it that this reader holds: received, and neither deleted nor given back.

    Use it as a context manager. On entry it reads SQS's own counts, which may be a minute old: `visible` messages, and
    `hidden` ones that another reader has. On exit it gives back what was not deleted. `stop` ends the reading early.
    Raises QueueError if SQS refuses, or does not answer after botocore's retries.
    """

    def __init__(self, sqs: Any, url: str, stop: Stop) -> None:
        self.url, self.name = url, url.rsplit("/", 1)[-1]
        self._sqs, self._stop = sqs, stop
        self._pool = ThreadPoolExecutor(CALLS, "sqs")
        self._held: dict[str, Message] = {}
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._extender = threading.Thread(target=self._extend_visibility, name="extend-visibility", daemon=True)
        self._begun_ms = 0.0
        self._sent_later_count = 0
        self.visible = self.hidden = 0
        self.last_error_code = ""
        """AWS's error code of the latest delete or change of visibility that failed."""
        self.unseen_reason = ""
        """Why messages were not seen; "" if all were seen, by SQS's own counts."""

    def __enter__(self) -> Self:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        try:
            answer = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        except (ClientError, BotoCoreError) as error:
            raise self._describe_refusal(error) from error
        self.visible, self.hidden = (int(answer.get("Attributes", {}).get(name, 0)) for name in names)
        self._begun_ms = answer_time_s(answer) * 1000  # by SQS's own clock
        self._extender.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._extender.join()
        self.give_back(list(self._held.values()))
        self._pool.shutdown()

    def read(self) -> Iterator[Message]:
        """Yield each message that was in the queue at the beginning, once, and hold it.

        The reading ends if no more messages come, or on a stop. Afterwards `unseen_reason` is known.
        """
        empty_rounds = 0
        while empty_rounds < EMPTY_ROUNDS:
            if self._stop.requested:
                self.unseen_reason = f"the reading of {self.name} was interrupted"
                return
            new = [message for received in self._pool.map(self._receive, range(CALLS)) for message in received]
            empty_rounds = 0 if new else empty_rounds + 1
            yield from new
        # For a minute or longer SQS counts messages as hidden that an earlier command gave back, although they can be
        # read. So the hidden ones are counted as well.
        unseen_count = self.visible + self.hidden - (len(self._seen) - self._sent_later_count)
        if unseen_count > 0:
            self.unseen_reason = (
                f"about {format_count(unseen_count, 'message')} of {self.name} not seen: held by another reader, held "
                "by a command that was killed (visible again within 5 minutes), or beyond the "
                f"{limits.SQS_HIDDEN_MAX:,} that SQS hides at once (redrive some first)"
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
            if code_of(error) == "OverLimit":  # SQS hides no further messages; `unseen_reason` reports the rest
                return []
            raise self._describe_refusal(error) from error
        return [
            message
            for received in answer.get("Messages", ())
            if (message := self._hold(Message(received, asked + VISIBILITY_TIMEOUT_S)))
        ]

    def _hold(self, message: Message) -> Message | None:
        """Hold the message and return it; None if it was seen before, or was sent after the command began.

        A letter that fails again during a redrive comes back as a new message. Without this check
        it would be read for ever.
        """
        is_later = bool(self._begun_ms) and message.sent_ms >= self._begun_ms + DATE_STEP_MS
        with self._lock:
            is_known = message.id in self._seen
            self._seen.add(message.id)
            self._sent_later_count += is_later and not is_known
            if (held := self._held.get(message.id)) is not None:  # only the newest receipt handle is sure to work
                held.handle, held.hidden_until = message.handle, message.hidden_until
            else:
                self._held[message.id] = message
        if is_known or is_later:
            message.body = ""
            return None
        return message

    def delete(self, messages: Iterable[Message]) -> list[Message]:
        """Delete messages. Return those that SQS did not delete; they stay held."""
        to_delete = list(messages)
        failed = self._send_batches("delete_message_batch", to_delete)
        self._release(to_delete, except_for=failed)
        return failed

    def give_back(self, messages: Iterable[Message]) -> None:
        """Stop holding messages, and make them visible to other readers again.

        If SQS refuses, they become visible within VISIBILITY_TIMEOUT_S, since their timeout is not extended any more.
        """
        to_give_back = list(messages)
        self._release(to_give_back, except_for=[])
        self._send_batches("change_message_visibility_batch", to_give_back, VisibilityTimeout=0)

    def _release(self, messages: list[Message], except_for: list[Message]) -> None:
        kept = {message.id for message in except_for}
        with self._lock:
            for message in messages:
                if message.id not in kept:
                    self._held.pop(message.id, None)

    def _send_batches(self, operation: str, messages: list[Message], **fields: int) -> list[Message]:
        """Run a batch operation on all messages, ten per call, with `fields` in each entry.

        Return the messages for which SQS reported no success in MAX_TRIES tries. Raises nothing: the reason is in
        `last_error_code`.
        """
        call, remaining = getattr(self._sqs, operation), messages

        def send_batch(batch: list[Message]) -> list[Message]:
            entries = [{"Id": str(n), "ReceiptHandle": message.handle, **fields} for n, message in enumerate(batch)]
            try:
                answer = call(QueueUrl=self.url, Entries=entries)
            except (ClientError, BotoCoreError) as error:
                self.last_error_code = code_of(error)
                return batch
            done = {entry["Id"] for entry in answer.get("Successful", ())}
            for failed_entry in answer.get("Failed", ()):
                self.last_error_code = str(failed_entry.get("Code"))
            return [message for n, message in enumerate(batch) if str(n) not in done]

        for failures in range(MAX_TRIES):
            if failures:
                self._stop.wait(backoff_s(failures - 1, 0.2, 2.0))
            size = limits.SQS_BATCH_MAX
            batches = [remaining[at : at + size] for at in range(0, len(remaining), size)]
            remaining = [message for failed in self._pool.map(send_batch, batches) for message in failed]
            if not remaining:
                break
        return remaining

    def _extend_visibility(self) -> None:
        """Extend the visibility timeouts of held messages once half of them has passed, until the reader is closed."""
        while not self._ended.wait(VISIBILITY_CHECK_INTERVAL_S):
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
        failure, what_to_do = describe_failure(error)
        return QueueError(f"the queue {self.name} cannot be read{failure}: {what_to_do}")


def undelivered_url(settings: DeadLetters, sqs: Any) -> str:
    """Return the URL of EventBridge's own dead-letter queue: that of the setting, else `<stream>-undelivered`.

    Raises QueueAbsentError if it does not exist, QueueError if AWS refuses to look it up,
    SettingsError if the setting is not an ARN.
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
    """Return the URL of the bus's own dead-letter queue; "" if the bus has none.

    The bus puts events there that it could not encrypt or decrypt under its key.
    Raises QueueError if the bus or the queue cannot be read.
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
        failure, what_to_do = describe_failure(error)
        raise QueueError(f"the bus's own dead-letter queue cannot be found{failure}: {what_to_do}") from error
    return str(url)


def fetch_object(clients: Clients, url: str) -> bytes:
    """Return an object of S3 (s3://bucket/key), which holds a dead letter that is too large for a message.

    Raises UnreadableLetterError if it cannot be read.
    """
    try:
        parts = urlsplit(url)
        answer = clients.s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
        return bytes(answer["Body"].read())
    except (ClientError, BotoCoreError, ValueError) as error:
        code = code_of(error)
        advice = find_cure(code)
        if code == "NoSuchKey":
            advice = "it was deleted"
        elif code in DENIED:  # without s3:ListBucket S3 answers AccessDenied for a missing object as well
            advice = "allow s3:GetObject, and s3:ListBucket, without which S3 also denies objects that were deleted"
        raise UnreadableLetterError(f"its object in S3 cannot be read ({code}): {advice}") from None

"""What every command on dead letters begins with: the settings, the connection, the queue, and how much is in it."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.aws import endpoints
from stream_router.checks.finding import said
from stream_router.control.dead_letters.queue.gathering import QueueAbsentError, QueueUnreadableError
from stream_router.control.dead_letters.queue.messages import HIDE_S, Messages
from stream_router.control.dead_letters.telling import say, warn
from stream_router.control.lines import count_of
from stream_router.control.republish.connection import Connection
from stream_router.errors import ABSENT, DENIED, code_of, served_s
from stream_router.log import start_logging
from stream_router.operate import arns
from stream_router.operate.arns import undelivered_name
from stream_router.pipeline.sinks.dead_letters.reader import UnavailableLetterError, UnreadableLetterError
from stream_router.process import iso
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import DeadLetters

ANSWER_BYTES = 64 * 1024 * 1024
"""Ten messages of 1 MiB whose text is escaped once more in the answer."""

SEND_AGAIN_AFTER_S = (0.25, 0.5, 1.0)
"""Waits before a message is sent again that SQS refused by itself."""

_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3})


class Depth(NamedTuple):
    """About how many messages a queue holds, and how many of them others (or we) hold at present."""

    visible: int
    hidden: int


def tell_hidden(depth: Depth) -> None:
    """Say of messages that others hold, where there are any, until when, and what to do."""
    if depth.hidden:
        until = iso(int((time.time() + HIDE_S) * 1000))
        say(
            f"note: {depth.hidden:,} more are hidden until {until} at the latest, if the command that took them "
            "was killed; or a command that runs has them. Run this again after it"
        )


class Desk:
    """One command's means. Raises SettingsError where the settings cannot be used, QueueUnreadableError."""

    def __init__(self, settings: Consumer, queue_url: str) -> None:
        start_logging("WARNING", settings.log_format)
        self.settings = settings
        self.connection = Connection(settings, ANSWER_BYTES)
        self.messages = Messages(self.connection, queue_url)
        self._sqs = endpoints.client(self.connection.session, "sqs", _CONFIG)
        self._s3: Any = None

    def depth(self) -> Depth:
        """Ask the queue. The first time tells, by its own clock, when this command began."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        asked = [*names, "RedrivePolicy"]
        try:
            answer = self._sqs.get_queue_attributes(QueueUrl=self.messages.queue_url, AttributeNames=asked)
        except (ClientError, BotoCoreError) as error:
            raise self._refused(error) from None
        found = answer.get("Attributes", {})
        if not self.messages.begun_ms and (policy := found.get("RedrivePolicy")):
            warn(f"note: {_moves_away(self.messages.name, policy)}")
        self.messages.begun_ms = self.messages.begun_ms or served_s(answer) * 1000
        return Depth(*(int(found.get(name, 0)) for name in names))

    def _refused(self, error: Exception) -> QueueUnreadableError:
        if isinstance(error, BotoCoreError):
            return QueueUnreadableError(f"the queue {self.messages.name} cannot be asked: {said(error)}")
        code = code_of(error)
        cure = "allow sqs:GetQueueAttributes, or try again later"
        if code in ABSENT:
            cure = "correct SQS_DLQ_URL (for --undelivered STREAM_ROUTER_TARGET_DLQ_ARN), or run `stream-router setup`"
        return QueueUnreadableError(f"the queue {self.messages.name} cannot be asked ({code}): {cure}")

    def send(self, body: str, attributes: dict[str, str]) -> None:
        """Send one message to the queue. Raises QueueUnreadableError where it is not stored."""
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        entries = [{"Id": "0", "MessageBody": body, "MessageAttributes": typed}]
        try:
            for wait_s in (*SEND_AGAIN_AFTER_S, 0.0):
                answer = self._sqs.send_message_batch(QueueUrl=self.messages.queue_url, Entries=entries)
                if answer.get("Successful"):
                    return
                time.sleep(wait_s)
            code = str(answer["Failed"][0]["Code"])
        except (ClientError, BotoCoreError, LookupError) as error:
            code = code_of(error)
        raise QueueUnreadableError(
            f"the queue {self.messages.name} takes no message ({code}): allow sqs:SendMessage, or try again later"
        )

    def fetch(self, url: str) -> bytes:
        """An object of S3 (s3://bucket/key).

        Raises UnreadableLetterError where it is not there, UnavailableLetterError where S3 does not give it.
        """
        self._s3 = self._s3 or endpoints.client(self.connection.session, "s3", _CONFIG)
        try:
            parts = urlsplit(url)
        except ValueError:
            raise UnreadableLetterError("the address of its object in S3 is none") from None
        try:
            answer = self._s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
            return bytes(answer["Body"].read())
        except (ClientError, BotoCoreError) as error:
            code = code_of(error)
            kind = UnreadableLetterError if code == "NoSuchKey" else UnavailableLetterError
            raise kind(f"its object in S3 cannot be had ({code}){_cure_of_s3(code)}") from None


def _cure_of_s3(code: str) -> str:
    if code == "NoSuchKey":
        return ""
    if code in DENIED:
        return ": allow s3:GetObject, and s3:ListBucket, without which S3 denies what is gone too"
    return ": allow s3:GetObject, or try again later"


def _moves_away(queue: str, policy: str) -> str:
    """What a dead-letter queue with a dead-letter queue of its own does to whoever looks at it."""
    there = ""
    with contextlib.suppress(ValueError, LookupError, TypeError):
        told = json.loads(policy)
        there = f", to {told['deadLetterTargetArn'].rsplit(':', 1)[-1]} after {told['maxReceiveCount']} times"
    return (
        f"SQS moves a message of {queue} away once it was received as often as its RedrivePolicy says{there}, and each "
        "of these commands receives all of them; take that policy away"
    )


def unseen(messages: Messages, before: Depth, seen: int) -> str:
    """Why not all of a queue was `seen` though it gave no more; "" where it was."""
    left = before.visible - seen
    if not messages.is_at_most or left <= 0:
        return ""
    return (
        f"about {count_of(left, 'message')} of {messages.name} {'was' if left == 1 else 'were'} not looked at: SQS "
        f"hides {limits.SQS_HIDDEN_MAX:,} of a queue at most, and gave no more; take those out that are not meant "
        "(`stream-router dlq export FILE --take`), then say this again"
    )


def tell_hidden_since(desk: Desk, before: Depth, seen: int) -> None:
    """The same at the end, where the queue gave no more though less was `seen` than there was: others took it."""
    tell_still_hidden(desk.messages)
    if desk.messages.dry and seen < before.visible and not before.hidden:
        with contextlib.suppress(QueueUnreadableError):  # what was done is yet to be told
            tell_hidden(desk.depth())


def tell_still_hidden(messages: Messages) -> None:
    """Say of messages that nobody has and nobody sees for a while, where there may be any."""
    for line in still_hidden(messages):
        say(line)


def still_hidden(messages: Messages) -> Iterator[str]:
    """A note of messages that SQS gave to a call whose answer never came, or did not let us show again."""
    until = iso(int((time.time() + HIDE_S) * 1000))
    if calls := messages.unanswered:
        yield (
            f"note: {count_of(calls, 'call')} for messages got no answer: what SQS gave them, {limits.SQS_BATCH_MAX} "
            f"each at most, is hidden until {until} at the latest. Run this again after it"
        )
    if kept := messages.not_given_back:
        yield (
            f"note: {count_of(kept, 'message')} could not be given back ({messages.trouble or 'no answer'}): hidden "
            f"from every reader until {until} at the latest; allow sqs:ChangeMessageVisibility"
        )


def undelivered_url(settings: DeadLetters) -> str:
    """The URL of EventBridge's own dead-letter queue: that of the setting, else `<stream>-undelivered`.

    Raises QueueAbsentError where there is none, QueueUnreadableError where it is not to be found, SettingsError where
    the setting is no ARN.
    """
    client = endpoints.client(endpoints.session(settings.aws_region), "sqs", _CONFIG)
    arn = settings.target_dlq_arn
    name = arn.rsplit(":", 1)[-1] if arn else undelivered_name(settings.stream)
    owner = {"QueueOwnerAWSAccountId": arns.parse(arn, "STREAM_ROUTER_TARGET_DLQ_ARN").account} if arn else {}
    try:
        return str(client.get_queue_url(QueueName=name, **owner)["QueueUrl"])
    except (ClientError, BotoCoreError) as error:
        kind = QueueAbsentError if code_of(error) in ABSENT else QueueUnreadableError
        raise kind(
            f"the queue {name} cannot be found ({code_of(error)}): run `stream-router setup`, or correct "
            "STREAM_ROUTER_TARGET_DLQ_ARN"
        ) from None

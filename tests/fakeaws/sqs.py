"""SQS: its limits and its MD5s, what is sent, received, hidden and deleted.

Sources: botocore model `sqs`; SQS developer guide, "Message quotas", "Visibility timeout" and "Calculating the MD5
message digest for message attributes".
"""

import base64
import binascii
import hashlib
import itertools
import re
import struct
import time
from collections.abc import Iterator
from typing import Any

from tests.fakeaws import detail, model
from tests.fakeaws.call import ACCEPTED, Call, Document, Item, Operation, Service
from tests.fakeaws.http import Request
from tests.fakeaws.queues import VISIBILITY_S, Message, Queues
from tests.fakeaws.wire import Refusal, Wire

MESSAGE_BYTES = 1_048_576
"""A message's largest size, attributes included, and a batch's. Source: model `sqs` (MaximumMessageSize)."""

BATCH = 10
ATTRIBUTES = 10
HIDDEN_MAX_S = 43_200
"""Twelve hours. Source: model `sqs`, ChangeMessageVisibility."""

WAIT_MAX_S = 20
"""Longest wait of ReceiveMessage for a message. Source: SQS developer guide, "Amazon SQS short and long polling"."""

RETENTION_S = 1_209_600

_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_NAME = re.compile(r"(?!\.)(?!(?i:aws|amazon)\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_TYPE = re.compile(r"(String|Number|Binary)(\.[\x20-\x7e]{1,249})?")
_ILLEGAL = re.compile("[^\x09\x0a\x0d\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold. Source: model `sqs`, SendMessage."""


class Sqs(Service):
    """The queues and what is done with them."""

    def __init__(self, queues: Queues) -> None:
        super().__init__()
        self.queues = queues

    def operations(self) -> dict[str, Operation]:
        form = Wire.JSON_1_0, "com.amazonaws.sqs#"
        result = (
            Operation("SendMessageBatch", *form, self._read_send, self._send, _outcomes),
            Operation("ReceiveMessage", *form, self._read_receive, self._receive, _received, _wait_s),
            Operation("DeleteMessageBatch", *form, self._read_batch, self._delete, _outcomes),
            Operation("ChangeMessageVisibilityBatch", *form, self._read_batch, self._hide, _outcomes),
            Operation("GetQueueAttributes", *form, self._attributes),
            Operation("GetQueueUrl", *form, self._url),
        )
        return {f"AmazonSQS.{operation.name}": operation for operation in result}

    def clear(self) -> None:
        self.queues.clear()

    def _refusals(self, document: Document, items: list[Item]) -> Iterator[Refusal]:
        """Why a batch is refused whole: the first reason counts."""
        queue, entries = str(document.get("QueueUrl") or ""), document.get("Entries")
        if not queue:
            yield Refusal("MissingParameter", "The request must contain the parameter QueueUrl.")
        yield from self._missing(queue)
        if not isinstance(entries, list) or not entries:
            yield Refusal("EmptyBatchRequest", "There should be at least one entry in the request.")
        elif len(items) != len(entries):
            yield Refusal("SerializationException", "Unexpected value type in payload")
        if len(items) > BATCH:
            text = f"Maximum number of entries per request are {BATCH}. You have sent {len(items)}."
            yield Refusal("TooManyEntriesInBatchRequest", text)
        if len({item.id for item in items}) != len(items):
            yield Refusal("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
        if not all(_ID.fullmatch(item.id) for item in items):
            text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            yield Refusal("InvalidBatchEntryId", f"{text}It can be at most 80 letters long.")

    def _missing(self, queue: str) -> Iterator[Refusal]:
        if self.is_missing(queue):
            yield Refusal("QueueDoesNotExist", "The specified queue does not exist.")

    # --- sending ------------------------------------------------------------------------------------------------

    def _read_send(self, document: Document, _: Request) -> Call:
        items = [_sent(entry) for entry in _entries(document)]
        refusal = next(itertools.chain(self._refusals(document, items), _too_long(items)), None)
        if refusal is None:
            for item in items:
                _check(item, self.settings.get("max_message_bytes", MESSAGE_BYTES))
        return Call(items, refusal, str(document.get("QueueUrl") or ""), document)

    def _send(self, call: Call) -> None:
        """Store every message that is not refused: its id and digests."""
        for item in call.items:
            if item.verdict == ACCEPTED:
                attributes = item.raw.get("MessageAttributes") or {}
                item.result = {
                    "Id": item.id,
                    "MessageId": self.queues.send(call.target, str(item.content), attributes),
                    "MD5OfMessageBody": _md5(str(item.content)),
                }
                if attributes:
                    item.result["MD5OfMessageAttributes"] = attributes_md5(attributes)

    # --- receiving ----------------------------------------------------------------------------------------------

    def _read_receive(self, document: Document, _: Request) -> Call:
        queue = str(document.get("QueueUrl") or "")
        most, hide_s = document.get("MaxNumberOfMessages", 1), document.get("VisibilityTimeout", VISIBILITY_S)
        refusal = next(self._missing(queue), None)
        waits = 0 <= _wait_s_of(document) <= WAIT_MAX_S
        if not 1 <= most <= BATCH or not 0 <= hide_s <= HIDDEN_MAX_S or not waits:
            text = "MaxNumberOfMessages must be 1 to 10, VisibilityTimeout 0 to 43200, WaitTimeSeconds 0 to 20."
            refusal = refusal or Refusal("InvalidParameterValueException", text)
        return Call([], refusal, queue, document)

    def _receive(self, call: Call) -> None:
        hide_s = float(call.document.get("VisibilityTimeout", VISIBILITY_S))
        for message in self.queues.receive(call.target, int(call.document.get("MaxNumberOfMessages", 1)), hide_s):
            item = _held(message, message)
            item.result = _wired(message, call.document)
            call.items.append(item)

    def _read_batch(self, document: Document, _: Request) -> Call:
        queue, items = str(document.get("QueueUrl") or ""), []
        for entry in _entries(document):
            handle = str(entry.get("ReceiptHandle") or "")
            item = _held(entry, self.queues.of_handle(queue, handle))
            item.id = str(entry.get("Id") or "")
            if not self.queues.knows(handle):
                item.refuse("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
            items.append(item)
        return Call(items, next(self._refusals(document, items), None), queue, document)

    def _delete(self, call: Call) -> None:
        """Delete what a receipt names; one whose message is gone is answered as deleted, as on AWS."""
        for item in call.items:
            if item.verdict == ACCEPTED:
                item.result = {"Id": item.id}
                if message := self.queues.of_handle(call.target, str(item.raw["ReceiptHandle"])):
                    self.queues.delete(call.target, message)

    def _hide(self, call: Call) -> None:
        for item in call.items:
            handle, seconds = str(item.raw.get("ReceiptHandle")), item.raw.get("VisibilityTimeout", 0)
            message = self.queues.of_handle(call.target, handle)
            if item.verdict != ACCEPTED:
                continue
            if message is None or message.handle != handle:
                text = "Message does not exist or is not available for visibility timeout change."
                item.refuse("InvalidParameterValue", text)
            elif not 0 <= seconds <= HIDDEN_MAX_S:
                item.refuse("InvalidParameterValue", "VisibilityTimeout must be 0 to 43200.")
            else:
                message.hidden_until = time.monotonic() + seconds if seconds else 0.0
                item.result = {"Id": item.id}

    def _attributes(self, document: Document, _: Request) -> Call:
        queue = str(document.get("QueueUrl") or "")
        wanted = set(document.get("AttributeNames") or [])
        refusal = next(self._missing(queue), None)
        if unknown := wanted.difference(model.shape("sqs", "QueueAttributeName")["enum"]):
            refusal = refusal or Refusal("InvalidAttributeName", f"Unknown Attribute {min(unknown)}.")
        visible, hidden = self.queues.counts(queue)
        attributes = {
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(hidden),
            "ApproximateNumberOfMessagesDelayed": "0",
            "MessageRetentionPeriod": str(RETENTION_S),
        }
        shown = {name: value for name, value in attributes.items() if wanted & {name, "All"}}
        return Call([], refusal, queue, {"Attributes": shown} if shown else {})

    def _url(self, document: Document, _: Request) -> Call:
        queue = str(document.get("QueueName") or "")
        url = f"https://sqs.us-east-1.amazonaws.com/123456789012/{queue}"
        return Call([], next(self._missing(queue), None), queue, {"QueueUrl": url})


def _entries(document: Document) -> list[Document]:
    entries = document.get("Entries")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _outcomes(call: Call) -> Document:
    """A batch's answer: the accepted, and the failed with their codes. As on AWS, an empty list is left out."""
    failed = [
        {"Id": item.id, "SenderFault": item.sender_fault, "Code": item.code, "Message": item.message}
        for item in call.items
        if item.code
    ]
    lists = {"Successful": [item.result for item in call.items if not item.code], "Failed": failed}
    return {name: entries for name, entries in lists.items() if entries}


# --- a message that is sent ---------------------------------------------------------------------------------------


def _sent(entry: Document) -> Item:
    body = entry.get("MessageBody")
    if not isinstance(body, str | None):
        raise TypeError("not a text")
    text, attributes = body or "", entry.get("MessageAttributes") or {}
    item = Item(entry, text, len(text.encode("utf-8", "surrogatepass")), str(entry.get("Id") or ""))
    for name, value in attributes.items():
        item.size += len(name.encode()) + len(str(value.get("DataType") or "").encode()) + len(_value(value))
    item.note = str((attributes.get("reason") or {}).get("StringValue") or "")
    item.event_ids = detail.ids_in_dead_letter(text)
    return item


def _value(value: Document) -> bytes:
    if isinstance(value.get("StringValue"), str):
        return str(value["StringValue"]).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(value.get("BinaryValue") or "", validate=True)
    except binascii.Error:
        return b""


def _too_long(items: list[Item]) -> Iterator[Refusal]:
    total = sum(item.size for item in items)
    if total > MESSAGE_BYTES:
        text = f"Batch requests cannot be longer than {MESSAGE_BYTES} bytes. You have sent {total} bytes."
        yield Refusal("BatchRequestTooLong", text)


def _check(item: Item, most_bytes: int) -> None:
    attributes = item.raw.get("MessageAttributes") or {}
    if not item.content:
        item.refuse("MissingParameter", "The request must contain the parameter MessageBody.")
    elif _ILLEGAL.search(str(item.content)):
        item.refuse("InvalidMessageContents", "Invalid characters found. Valid unicode characters are #x9 | #xA | …")
    elif item.size > most_bytes:
        text = f"One or more parameters cannot be validated. Reason: Message must be shorter than {most_bytes} bytes."
        item.refuse("InvalidParameterValue", text)
    elif len(attributes) > ATTRIBUTES:
        text = f"Number of message attributes exceeds the allowed maximum [{ATTRIBUTES}]."
        item.refuse("InvalidParameterValue", text)
    for name, value in attributes.items():
        kind, arguments = str(value.get("DataType") or ""), value.get("StringValue")
        if not _NAME.fullmatch(name) or not _TYPE.fullmatch(kind):
            item.refuse("InvalidParameterValue", "A message attribute's name or type is not valid.")
        if not _value(value):
            text = f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'."
            item.refuse("InvalidParameterValue", text)
        if arguments and _ILLEGAL.search(arguments):
            item.refuse("InvalidParameterValue", f"Message attribute '{name}' holds invalid characters.")


def attributes_md5(attributes: Document) -> str:
    """The digest of message attributes: each name, type and value with its length, sorted by name."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        value = attributes[name]
        for part in (name.encode(), str(value["DataType"]).encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        content = _value(value)
        digest.update(b"\x02" if str(value["DataType"]).startswith("Binary") else b"\x01")
        digest.update(struct.pack(">I", len(content)) + content)
    return digest.hexdigest()


# --- a message that is held ---------------------------------------------------------------------------------------


def _held(raw: Any, message: Message | None) -> Item:
    if message is None:
        return Item(raw, "", 0)
    ids = detail.ids_in_dead_letter(message.body)
    return Item(raw, message.body, len(message.body), key=message.id, event_ids=ids)


def _wired(message: Message, asked: Document) -> Document:
    """A message as its reader gets it: attributes only where it asked for some."""
    wired: Document = {
        "MessageId": message.id,
        "ReceiptHandle": message.handle,
        "Body": message.body,
        "MD5OfBody": _md5(message.body),
    }
    if asked.get("AttributeNames") or asked.get("MessageSystemAttributeNames"):
        system = {"SentTimestamp": str(message.sent_ms), "ApproximateReceiveCount": str(message.received)}
        wired["Attributes"] = system
    if message.attributes and asked.get("MessageAttributeNames"):
        wired["MessageAttributes"] = message.attributes
        wired["MD5OfMessageAttributes"] = attributes_md5(message.attributes)
    return wired


def _wait_s(call: Call) -> float:
    """Seconds for which ReceiveMessage waits while there is no message."""
    return 0.0 if call.items else _wait_s_of(call.document)


def _wait_s_of(document: Document) -> float:
    return float(document.get("WaitTimeSeconds") or 0)


def _received(call: Call) -> Document:
    return {"Messages": [item.result for item in call.items if not item.code]} if call.items else {}

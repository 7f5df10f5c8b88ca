"""SendMessageBatch: SQS's limits and its MD5s.

Sources: botocore model `sqs`; SQS developer guide, "Message quotas" and "Calculating the MD5 message digest for message
attributes".
"""

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterator
from typing import Any

from tests.fakeaws import detail
from tests.fakeaws.call import ACCEPTED, Call, Item, Refusal
from tests.fakeaws.state.queues import Queues

MESSAGE_BYTES = 1_048_576
"""A message's largest size, attributes included, and a batch's. Source: model `sqs` (MaximumMessageSize)."""

BATCH = 10
ATTRIBUTES = 10
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_NAME = re.compile(r"(?!\.)(?!(?i:aws|amazon)\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_TYPE = re.compile(r"(String|Number|Binary)(\.[\x20-\x7e]{1,249})?")
_ILLEGAL = re.compile("[^\x09\x0a\x0d\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold. Source: model `sqs`, SendMessage."""


def read(document: dict[str, Any], settings: dict[str, Any]) -> Call:
    """Parse and check a SendMessageBatch."""
    entries = document.get("Entries")
    items = [_item(entry) for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    queue = str(document.get("QueueUrl") or "")
    refusal = next(_refusals(queue, entries, items, settings), None)
    if refusal is None:
        for item in items:
            _check(item, settings.get("max_message_bytes", MESSAGE_BYTES))
    return Call(items, refusal, queue, document)


def _item(entry: dict[str, Any]) -> Item:
    body = entry.get("MessageBody")
    text = body if isinstance(body, str) else ""
    item = Item(entry, text, len(text.encode("utf-8", "surrogatepass")) + _attributes_size(entry))
    item.id = str(entry.get("Id") or "")
    attributes = entry.get("MessageAttributes") or {}
    item.note = str((attributes.get("reason") or {}).get("StringValue") or "")
    item.detail_type = str((attributes.get("eventType") or {}).get("StringValue") or "")
    event_id = detail.look_into_dead_letter(text)
    if event_id:
        item.event_ids = [event_id]
    return item


def _attributes_size(entry: dict[str, Any]) -> int:
    size = 0
    for name, value in (entry.get("MessageAttributes") or {}).items():
        size += len(name.encode()) + len(str(value.get("DataType") or "").encode()) + len(_value(value))
    return size


def _value(value: dict[str, Any]) -> bytes:
    if isinstance(value.get("StringValue"), str):
        return str(value["StringValue"]).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(value.get("BinaryValue") or "", validate=True)
    except binascii.Error:
        return b""


def _refusals(queue: str, entries: object, items: list[Item], settings: dict[str, Any]) -> Iterator[Refusal]:
    """Why the call is refused whole: the first reason counts."""
    if not queue:
        yield Refusal("MissingParameter", "The request must contain the parameter QueueUrl.")
    if queue.rsplit("/", 1)[-1] in settings.get("missing", ()):
        yield Refusal("QueueDoesNotExist", "The specified queue does not exist.")
    if not isinstance(entries, list) or not entries:
        yield Refusal("EmptyBatchRequest", "There should be at least one SendMessageBatchRequestEntry in the request.")
    elif len(items) != len(entries) or any(not isinstance(item.raw.get("MessageBody"), str | None) for item in items):
        yield Refusal("SerializationException", "Unexpected value type in payload")
    if len(items) > BATCH:
        text = f"Maximum number of entries per request are {BATCH}. You have sent {len(items)}."
        yield Refusal("TooManyEntriesInBatchRequest", text)
    if len({item.id for item in items}) != len(items):
        yield Refusal("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
    if not all(_ID.fullmatch(item.id) for item in items):
        text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores, at most 80."
        yield Refusal("InvalidBatchEntryId", text)
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
        item.refuse("InvalidParameterValue", f"Message must be shorter than {most_bytes} bytes.")
    elif len(attributes) > ATTRIBUTES:
        item.refuse(
            "InvalidParameterValue", f"Number of message attributes exceeds the allowed maximum [{ATTRIBUTES}]."
        )
    for name, value in attributes.items():
        if not _NAME.fullmatch(name) or not _TYPE.fullmatch(str(value.get("DataType") or "")):
            item.refuse("InvalidParameterValue", "A message attribute's name or type is not valid.")
        content = _value(value)
        if not content:
            item.refuse("InvalidParameterValue", f"Message attribute '{name}' must contain a non-empty value.")
        if value.get("StringValue") and _ILLEGAL.search(value["StringValue"]):
            item.refuse("InvalidParameterValue", f"Message attribute '{name}' holds invalid characters.")


def accept(call: Call, queues: Queues) -> None:
    """Store every message that is not refused: its id and digests."""
    for item in call.items:
        if item.verdict == ACCEPTED:
            item.result = {
                "Id": item.id,
                "MessageId": queues.send(call.target, str(item.content), item.raw.get("MessageAttributes") or {}),
                "MD5OfMessageBody": hashlib.md5(str(item.content).encode(), usedforsecurity=False).hexdigest(),
            }
            if item.raw.get("MessageAttributes"):
                item.result["MD5OfMessageAttributes"] = attributes_md5(item.raw["MessageAttributes"])


def attributes_md5(attributes: dict[str, Any]) -> str:
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


def answer(call: Call) -> dict[str, Any]:
    """The answer: the accepted, and the failed with their codes."""
    failed = [
        {"Id": item.id, "SenderFault": item.sender_fault, "Code": item.code, "Message": item.message}
        for item in call.items
        if item.code
    ]
    return {"Successful": [item.result for item in call.items if not item.code], "Failed": failed}

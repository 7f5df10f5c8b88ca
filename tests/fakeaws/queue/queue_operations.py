"""The operations that read a queue: ReceiveMessage, DeleteMessageBatch, ChangeMessageVisibilityBatch and attributes.

Sources: botocore model `sqs`; SQS developer guide, "Visibility timeout".
"""

from collections.abc import Callable
from typing import Any

from tests.fakeaws import detail
from tests.fakeaws.call import ACCEPTED, Call, Item, Refusal
from tests.fakeaws.http import Request
from tests.fakeaws.operation import Operation, json_body
from tests.fakeaws.queue import sqs
from tests.fakeaws.state.memory import Memory, Settings
from tests.fakeaws.state.queues import VISIBILITY_S, Message, md5
from tests.fakeaws.wire import Wire

_SQS = "com.amazonaws.sqs#"
_HIDDEN_MAX_S = 43_200
"""Twelve hours. Source: model `sqs`, ChangeMessageVisibility."""


def _missing(queue: str, settings: Settings) -> Refusal | None:
    if queue.rsplit("/", 1)[-1] in settings.get("missing", ()):
        return Refusal("QueueDoesNotExist", "The specified queue does not exist.")
    return None


def _read_receive(document: dict[str, Any], settings: Settings) -> Call:
    queue = str(document.get("QueueUrl") or "")
    most, hide = document.get("MaxNumberOfMessages", 1), document.get("VisibilityTimeout", VISIBILITY_S)
    refusal = _missing(queue, settings)
    if not 1 <= most <= sqs.BATCH or not 0 <= hide <= _HIDDEN_MAX_S:
        refusal = refusal or Refusal("InvalidParameterValue", "MaxNumberOfMessages or VisibilityTimeout is wrong.")
    return Call([], refusal, queue, document)


def _receive(call: Call, state: Memory, _settings: Settings) -> None:
    given = call.document
    hide_s = float(given.get("VisibilityTimeout", VISIBILITY_S))
    for message in state.queues.receive(call.target, int(given.get("MaxNumberOfMessages", 1)), hide_s):
        item = _item(message, message)
        item.result = _wired(message)
        call.items.append(item)


def _item(raw: Any, message: Message | None) -> Item:
    item = Item(raw, message.body if message else "", len(message.body) if message else 0)
    if message:
        item.key = message.id
        event_id = detail.look_into_dead_letter(message.body)
        item.event_ids = [event_id] if event_id else []
    return item


def _wired(message: Message) -> dict[str, Any]:
    system = {"SentTimestamp": str(message.sent_ms), "ApproximateReceiveCount": str(message.received)}
    wired = {
        "MessageId": message.id,
        "ReceiptHandle": message.handles[-1],
        "Body": message.body,
        "MD5OfBody": md5(message.body),
        "Attributes": system,
    }
    return {**wired, "MessageAttributes": message.attributes} if message.attributes else wired


def _received(call: Call) -> dict[str, Any]:
    return {"Messages": [item.result for item in call.items if not item.code]} if call.items else {}


def _read_batch(document: dict[str, Any], settings: Settings, state: Memory) -> Call:
    queue, entries = str(document.get("QueueUrl") or ""), document.get("Entries")
    refusal = _missing(queue, settings)
    if not isinstance(entries, list) or not entries:
        return Call([], refusal or Refusal("EmptyBatchRequest", "There is no entry in the request."), queue, document)
    if len(entries) > sqs.BATCH or len({entry.get("Id") for entry in entries}) != len(entries):
        refusal = refusal or Refusal("TooManyEntriesInBatchRequest", "At most 10 entries, with ids of their own.")
    items = []
    for entry in entries:
        handle = str(entry.get("ReceiptHandle") or "")
        item = _item(entry, state.queues.of_handle(queue, handle))
        item.id = str(entry.get("Id") or "")
        if not state.queues.knows(handle):
            item.refuse("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
        items.append(item)
    return Call(items, refusal, queue, document)


def _delete(call: Call, state: Memory, _settings: Settings) -> None:
    """Delete what a receipt names; one whose message is gone is answered as deleted, as on AWS."""
    for item in call.items:
        if item.verdict == ACCEPTED:
            item.result = {"Id": item.id}
            if message := state.queues.of_handle(call.target, str(item.raw["ReceiptHandle"])):
                state.queues.delete(call.target, message)


def _change(call: Call, state: Memory, _settings: Settings) -> None:
    for item in call.items:
        handle, seconds = str(item.raw.get("ReceiptHandle")), item.raw.get("VisibilityTimeout", 0)
        message = state.queues.of_handle(call.target, handle)
        if item.verdict != ACCEPTED:
            continue
        if message is None or message.handles[-1] != handle:
            item.refuse("InvalidParameterValue", "Message does not exist or is not available for visibility change.")
        elif not 0 <= seconds <= _HIDDEN_MAX_S:
            item.refuse("InvalidParameterValue", "VisibilityTimeout must be 0 to 43200.")
        else:
            state.queues.hide(message, float(seconds))
            item.result = {"Id": item.id}


def _read_name(document: dict[str, Any], settings: Settings) -> Call:
    queue = str(document.get("QueueUrl") or document.get("QueueName") or "")
    return Call([], _missing(queue, settings), queue, dict(document))


def _attributes(call: Call, state: Memory, _settings: Settings) -> None:
    visible, hidden = state.queues.counts(call.target)
    call.document["found"] = {
        "ApproximateNumberOfMessages": str(visible),
        "ApproximateNumberOfMessagesNotVisible": str(hidden),
        "ApproximateNumberOfMessagesDelayed": "0",
        "MessageRetentionPeriod": "1209600",
    }


def _url(call: Call) -> dict[str, Any]:
    return {"QueueUrl": f"https://sqs.us-east-1.amazonaws.com/123456789012/{call.target}"}


Accept = Callable[[Call, Memory, Settings], None]


def _nothing(_call: Call, _state: Memory, _settings: Settings) -> None:
    """Only asked."""


def _operation(
    name: str,
    read: Callable[[dict[str, Any], Settings, Memory], Call],
    accept: Accept,
    answer: Callable[[Call], dict[str, Any]],
) -> Operation:
    def parsed(request: Request, state: Memory, settings: Settings, _ids: bool) -> Call:
        return read(json_body(request), settings, state)

    return Operation(name, Wire.JSON_1_0, _SQS, parsed, accept, answer)


BY_TARGET = {
    f"AmazonSQS.{operation.name}": operation
    for operation in (
        _operation("ReceiveMessage", lambda given, settings, _: _read_receive(given, settings), _receive, _received),
        _operation("DeleteMessageBatch", _read_batch, _delete, sqs.answer),
        _operation("ChangeMessageVisibilityBatch", _read_batch, _change, sqs.answer),
        _operation(
            "GetQueueAttributes",
            lambda given, settings, _: _read_name(given, settings),
            _attributes,
            lambda call: {"Attributes": call.document["found"]},
        ),
        _operation("GetQueueUrl", lambda given, settings, _: _read_name(given, settings), _nothing, _url),
    )
}

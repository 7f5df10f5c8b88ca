"""Proves, before the rule is written, that an event as we emit it matches the rule: one for each event type.

The events are made by the pipeline's own transform. EventBridge judges them (TestEventPattern); where an endpoint has
no such call, each goes over the bus to a queue of its own, and must arrive.
"""

import json
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from stream_router.control.arns import Home
from stream_router.control.setup_error import SetupError
from stream_router.errors import NOT_SPOKEN, code_of
from stream_router.model import SOURCE, Entry
from stream_router.pipeline.sample_events import as_delivered, sample_entries

if TYPE_CHECKING:
    from stream_router.aws.clients import Clients

ARRIVAL_S = 20.0
"""How long a real event may take to its queue: EventBridge delivers within about half a second."""


def prove(clients: "Clients", home: Home, bus: str, pattern: str, event_types: Sequence[str], *, may_send: bool) -> str:
    """See that each type's event matches `pattern`. How it was shown.

    Raises SetupError where one does not match, SettingsError where none can be made; NothingProvedError where it takes
    real events and none may be sent.
    """
    entries = sample_entries(home.region, event_types, int(time.time() * 1000))
    try:
        matched = [_tested(clients, home, pattern, entry) for entry in entries]
        how = "TestEventPattern"
    except ClientError as error:
        if code_of(error) not in NOT_SPOKEN:
            raise
        if not may_send:
            raise NothingProvedError("this endpoint has no TestEventPattern; setup will send real events") from None
        matched = _RealEvents(clients, home, bus).arrive(pattern, entries)
        how = "real events, since this endpoint has no TestEventPattern"
    for entry, good in zip(entries, matched, strict=True):
        if not good:
            raise SetupError(
                f"the rule's pattern would not match our own event of type {entry.detail_type}; nothing was written"
            )
    return how


def _tested(clients: "Clients", home: Home, pattern: str, entry: Entry) -> bool:
    event = json.dumps(as_delivered(entry, home.account, home.region))
    answer = clients.events.test_event_pattern(EventPattern=pattern, Event=event)
    if "Result" not in answer:  # an emulator (moto) that says yes to what it does not speak
        raise ClientError({"Error": {"Code": "NotImplemented", "Message": ""}}, "TestEventPattern")
    return answer["Result"]


class NothingProvedError(Exception):
    """A plan may send no event, and this endpoint has no other proof."""


class _RealEvents:
    """Sends entries over the bus to a queue behind a rule of its own, and takes both away again."""

    def __init__(self, clients: "Clients", home: Home, bus: str) -> None:
        self._events, self._sqs = clients.events, clients.sqs
        self._home, self._bus = home, bus
        self._name = f"stream-router-proof-{uuid.uuid4().hex[:12]}"

    def arrive(self, pattern: str, entries: Sequence[Entry]) -> list[bool]:
        """Whether each entry came out at the queue within ARRIVAL_S."""
        queue = self._sqs.create_queue(QueueName=self._name)["QueueUrl"]
        try:
            self._events.put_rule(Name=self._name, EventBusName=self._bus, EventPattern=pattern)
            try:
                seen = self._through_rule(queue, entries)
            finally:
                self._events.remove_targets(Rule=self._name, EventBusName=self._bus, Ids=["proof"])
                self._events.delete_rule(Name=self._name, EventBusName=self._bus)
        finally:
            self._sqs.delete_queue(QueueUrl=queue)
        return [entry.event.event_id in seen for entry in entries]

    def _through_rule(self, queue: str, entries: Sequence[Entry]) -> set[str]:
        target = {"Id": "proof", "Arn": self._home.queue(self._name)}
        self._events.put_targets(Rule=self._name, EventBusName=self._bus, Targets=[target])  # type: ignore[list-item]
        for entry in entries:
            self._send(entry)
        return self._collect(queue, len(entries))

    def _send(self, entry: Entry) -> None:
        sent = {
            "Source": SOURCE,
            "DetailType": entry.detail_type,
            "Detail": entry.detail.decode(),
            "EventBusName": self._bus,
        }
        answer = self._events.put_events(Entries=[sent])  # type: ignore[list-item]
        if answer["FailedEntryCount"]:
            code = answer["Entries"][0].get("ErrorCode")
            raise SetupError(
                f"EventBridge refused the event that setup sends to try the rule ({code}); "
                "see that these credentials may call PutEvents on this bus"
            )

    def _collect(self, queue: str, wanted: int) -> set[str]:
        seen: set[str] = set()
        deadline = time.monotonic() + ARRIVAL_S
        while len(seen) < wanted and time.monotonic() < deadline:
            answer = self._sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2)
            bodies = [json.loads(message["Body"]) for message in answer.get("Messages", [])]
            seen.update(body["detail"]["eventId"] for body in bodies)
        return seen

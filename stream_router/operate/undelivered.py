"""EventBridge's own dead letters: events that it accepted, and the rule's target did not take.

A classic bus keeps the whole event, which goes back as it is. A v2 bus keeps ids alone: `replay` brings those back.
Source: docs/facts.md, "EventBridge".
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.aws.clients import Clients
from stream_router.envelope import Resubmitted, seal_entry
from stream_router.errors import code_of
from stream_router.model import SOURCE
from stream_router.operate.console import count_of, duration
from stream_router.operate.queue import Message, Queue, Queued
from stream_router.pipeline.mapping import exact_json
from stream_router.pipeline.masking.policy import IDS, ROOTS, MaskingPolicy
from stream_router.pipeline.rejection import Rejected
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA
from stream_router.pipeline.sinks.dead_letters.reader import UnreadableLetterError
from stream_router.pipeline.transform import Transform
from stream_router.process import iso
from stream_router.settings.common import NO_RULE
from stream_router.settings.operators import DeadLetters

STILL_S = 300.0
"""What a target refused since then says that it is not well."""

_OURS = {"payload": dict, "extensions": dict, **dict.fromkeys(IDS, str | None)}
"""What kind each part of an event of ours is. Others may write our source into theirs."""


class Undelivered(Queued):
    """One message of EventBridge's queue: an event, or of a v2 bus ids and times alone."""

    def __init__(self, message: Message) -> None:
        try:
            value = orjson.loads(message.body)
        except orjson.JSONDecodeError:
            raise UnreadableLetterError("the message is no JSON") from None
        if not isinstance(value, dict):
            raise UnreadableLetterError("the message is no dead letter of EventBridge's")
        if isinstance(value.get("failedMessages"), list):
            self._of_v2(message, value)
        elif "detail-type" in value and isinstance(value.get("detail"), dict):
            self._of_classic(message, value)
        else:
            ours = ", but one of ours (see STREAM_ROUTER_TARGET_DLQ_ARN)" if value.get("schema") == SCHEMA else ""
            raise UnreadableLetterError(f"the message is no dead letter of EventBridge's{ours}")
        self.body, message.body = message.body, ""
        self.size_bytes = len(self.body)

    def _of_classic(self, message: Message, value: dict[str, Any]) -> None:
        told, detail = message.attributes, value["detail"]
        kind = str(value["detail-type"])
        code = told.get("ERROR_CODE") or "(no code)"
        super().__init__([message], _text(detail.get("eventId")), kind, code, code, told.get("ERROR_MESSAGE", ""))
        metadata = detail.get("metadata")
        self._tag = _text(metadata.get("complianceTag")) if isinstance(metadata, dict) else ""
        self.is_ours = value.get("source") == SOURCE and bool(self.event_id)
        self._conversation_id = _text(detail.get("conversationId"))
        self.received_at_ms = _epoch_ms(detail.get("receivedAt")) or _epoch_ms(value.get("time"))
        self.key = (_text(value.get("id")), self.event_id) if value.get("id") else None
        self.order = (self.received_at_ms,)
        tries = f"{told.get('RETRY_ATTEMPTS', '0')}, {told.get('EXHAUSTED_RETRY_CONDITION', 'no retry was made')}"
        self._told = {"retries": tries, "rule": told.get("RULE_ARN", ""), "target": told.get("TARGET_ARN", "")}
        self.has_payload = True

    def _of_v2(self, message: Message, value: dict[str, Any]) -> None:
        failed = [one for one in value["failedMessages"] if isinstance(one, dict)]
        tokens = [_text(one.get("deduplicationId")) for one in failed]
        code = _text(value.get("errorCode")) or "(no code)"
        identity = tokens[0] if len(tokens) == 1 and ":" not in tokens[0] else ""
        super().__init__([message], identity, "", code, code, _text(value.get("errorMessage")))
        self.received_at_ms = min(filter(None, (_epoch_ms(one.get("timestamp")) for one in failed)), default=0)
        self.order = (self.received_at_ms,)
        retries = f"{value.get('retryAttempts', 0)}, {value.get('exhaustedRetryCondition') or 'no retry was made'}"
        self._told = {"retries": retries, "tokens": " ".join(tokens)}
        self.has_payload = self.is_ours = False
        self._tag = self._conversation_id = ""

    def is_copy(self, other: Queued) -> bool:
        """Two targets that did not take one event have a message each, and PutEvents reaches both."""
        return self.key is not None and self.key == other.key

    def raw(self, _: Clients) -> bytes:
        """The message's JSON: of a classic bus the event."""
        return self.body.encode()

    def rows(self) -> dict[str, str]:
        """What `show` says of it."""
        return {
            "event": self.event_id or "(not known)",
            "event type": self.event_type or "(not known: v2)",
            "error": f"{self.code}: {self.text}",
            **self._told,
            "received": iso(self.received_at_ms) if self.received_at_ms else "",
        }

    def exported(self) -> dict[str, Any]:
        """What stands in a line of `export` beside the event."""
        return {"eventType": self.event_type, "error": self.text, **self._told}

    def masked(self, transform: Transform, raw: bytes) -> bytes:
        """The Detail with all that came from the sender masked; of an event that is not ours, all of it."""
        if not self.has_payload:
            return raw
        try:
            detail = exact_json.parse(raw)["detail"]
            assert transform.policy
            return exact_json.write(_masked_detail(transform.policy, detail, is_ours=self.is_ours))
        except (Rejected, ValueError):
            return b""

    def passed_over(self, settings: DeadLetters, *, named: bool, take_all: bool, yes: bool) -> str:
        """Why it does not go back; "" where it does."""
        if not self.has_payload:
            since = iso(self.received_at_ms - 3_600_000) if self.received_at_ms else "…"
            ids = f" --id {self.event_id}" if self.event_id else ""
            return f"a v2 bus keeps no payload: stream-router replay --since {since}{ids}"
        if not self.is_ours:
            return "the event is none that we publish"
        if self.is_bare(settings) and not yes:
            return "published unmasked: --yes puts it back all the same"
        return ""

    def is_bare(self, settings: DeadLetters) -> bool:
        """Whether it was published unmasked, and would not be now."""
        return self._tag == "unmasked" and settings.masking != "off"

    def line(self, raw: bytes, edited: bytes | None, settings: DeadLetters, run: str) -> bytes:
        """What goes on the stream. Raises UnreadableLetterError for one that was edited."""
        if edited is not None:
            raise UnreadableLetterError("its line was edited: an undelivered event goes back as it was accepted")
        told = Resubmitted("undelivered", settings.application, run, 1)
        return seal_entry(raw, self.event_id, "content", self.received_at_ms, told)

    def conversation(self, _raw: bytes, _paths: object) -> str:
        """The name of its conversation."""
        return self._conversation_id or self.event_id


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _epoch_ms(value: object) -> int:
    try:
        return round(datetime.fromisoformat(_text(value)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


def _masked_detail(policy: MaskingPolicy, detail: dict[str, Any], *, is_ours: bool) -> dict[str, Any]:
    parts = {name: detail[name] for name in ROOTS if name in detail}
    if not is_ours or not all(isinstance(part, _OURS[name]) for name, part in parts.items()):
        whole: dict[str, Any] = policy.mask({"payload": detail}, Counter())["payload"]
        return whole
    # In the payload's place there may be `payloadRef`, and a policy of before may have taken an id away.
    masked = policy.mask({"payload": {}, **dict.fromkeys(IDS), **parts}, Counter())
    own = {name: value for name, value in detail.items() if name not in parts}
    return own | {name: value for name, value in masked.items() if name in parts}


def undelivered_events(queue: Queue, unread: Counter[str]) -> Iterator[Undelivered]:
    """The events of EventBridge's queue; `unread` counts what is none, by why."""
    for message in queue.read():
        try:
            yield Undelivered(message)
        except UnreadableLetterError as error:
            unread[str(error)] += 1
            message.body = ""


def before_they_go(
    clients: Clients, settings: DeadLetters, events: Sequence[Undelivered], *, yes: bool
) -> Iterator[str]:
    """What an operator should know before these are put back: who else gets them, and whether the target looks well."""
    if bare := sum(one.is_bare(settings) for one in events):
        then = "they go back unmasked" if yes else "they stay, unless --yes is given"
        yield f"note: {bare:,} of these were published unmasked, and STREAM_ROUTER_MASKING is on now: {then}"
    yield (
        "note: PutEvents cannot aim at one target: every rule of the bus that matches gets these events again"
        f"{_rules(clients.events, settings, events)}"
    )
    ago_s = time.time() - max(one.sent_ms for one in events) / 1000
    looks = "does not look well" if ago_s < STILL_S else "looks well, as far as this queue tells"
    latest = f"the latest of these came {duration(ago_s)} ago"
    yield f"note: the target {looks}: {latest}; {_target(clients.events, settings)}"


def _target(events: Any, settings: DeadLetters) -> str:
    """Whether our rule is there and leads somewhere."""
    if settings.rule == NO_RULE or limits.is_v2_bus(settings.event_bus):
        return "its rule is others', so ask them whether it is well"
    try:
        rule = events.describe_rule(Name=settings.rule, EventBusName=settings.event_bus)
        targets = events.list_targets_by_rule(Rule=settings.rule, EventBusName=settings.event_bus)["Targets"]
    except (ClientError, BotoCoreError) as error:
        return f"whether the rule {settings.rule} leads to it cannot be asked ({code_of(error)})"
    if rule.get("State") == "DISABLED" or not targets:
        return f"the rule {settings.rule} is disabled, or has no target: run `stream-router doctor` first"
    return f"the rule {settings.rule} is on and leads to {', '.join(target['Arn'] for target in targets)}"


def _rules(bus: Any, settings: DeadLetters, events: Sequence[Undelivered]) -> str:
    """The names of the rules that match an event of each type here; "" where nobody can tell."""
    if limits.is_v2_bus(settings.event_bus):
        return ""
    samples = {one.event_type: one.body for one in events}
    try:
        pages = bus.get_paginator("list_rules").paginate(EventBusName=settings.event_bus)
        rules = [rule for page in pages for rule in page["Rules"] if rule.get("EventPattern")]
        matching = sorted(
            rule["Name"]
            for rule in rules
            if rule.get("State") != "DISABLED" and any(_matches(bus, rule, event) for event in samples.values())
        )
    except (ClientError, BotoCoreError) as error:
        return f" (which ones cannot be asked: {code_of(error)})"
    return f": {count_of(len(matching), 'rule')} ({', '.join(matching)})"


def _matches(bus: Any, rule: Any, event: str) -> bool:
    return bool(bus.test_event_pattern(EventPattern=rule["EventPattern"], Event=event)["Result"])

"""A classic bus's rules, where a plan gives some (`bus_rules`), and EventBridge's own dead letters (`undelivered`).

Sources: botocore model `events`; EventBridge user guide, "Event patterns", "Using dead-letter queues to process
undelivered events" and "Custom event bus retry".
"""

import json
import time
from collections.abc import Callable
from typing import Any

from tests.fakeaws.call import Call, Document, Item, new_id
from tests.fakeaws.wire import Refusal

_ARN = "arn:aws:events:us-east-1:123456789012:rule/"
_TARGET = "arn:aws:lambda:us-east-1:123456789012:function:target"
_EVENT_MEMBERS = {"id", "account", "source", "time", "region", "resources", "detail-type"}
"""Members that TestEventPattern requires. Source: its API reference, parameter Event."""

Letter = Callable[[Item, Document], tuple[str, Document]]
"""A dead letter's body and message attributes."""


def matches(pattern: Any, event: Any) -> bool:
    """Whether an event has what the pattern asks for: exact values and `prefix`, at any depth."""
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(
            name in event and matches(wanted, event[name]) for name, wanted in pattern.items()
        )
    values = event if isinstance(event, list) else [event]
    return any(_is(wanted, value) for wanted in pattern for value in values)


def _is(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(value, str) and value.startswith(wanted.get("prefix", "\0"))
    return bool(wanted == value)


def takes(rule: Document, entry: Document) -> bool:
    """Whether a rule takes an entry of PutEvents to a target."""
    event = {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}
    enabled = rule.get("State", "ENABLED") == "ENABLED"
    return enabled and bool(rule.get("Targets")) and matches(rule["EventPattern"], event)


def _asked(settings: Document, answer: Callable[[], Call]) -> Call:
    if "bus_rules" not in settings:
        return Call([], Refusal("UnknownOperationException", "The plan gives no bus_rules."))
    return answer()


def _shown(rule: Document) -> Document:
    kept = {name: value for name, value in rule.items() if name != "Targets"}
    shown = {"State": "ENABLED", "Arn": _ARN + rule["Name"], "EventBusName": "default"}
    return shown | kept | {"EventPattern": json.dumps(rule["EventPattern"])}


def _of_rule(document: Document, name: str, settings: Document, answer: Callable[[Document], Document]) -> Call:
    def find_rule() -> Call:
        wanted, bus = document.get(name), document.get("EventBusName", "default")
        for rule in settings["bus_rules"]:
            if rule["Name"] == wanted:
                return Call([], None, "", answer(rule))
        return Call([], Refusal("ResourceNotFoundException", f"Rule {wanted} does not exist on EventBus {bus}."))

    return _asked(settings, find_rule)


def describe(document: Document, settings: Document) -> Call:
    """DescribeRule."""
    return _of_rule(document, "Name", settings, lambda rule: {**_shown(rule), "CreatedBy": "123456789012"})


def targets(document: Document, settings: Document) -> Call:
    """ListTargetsByRule."""
    return _of_rule(
        document,
        "Rule",
        settings,
        lambda rule: {"Targets": [{"Id": str(n), "Arn": arn} for n, arn in enumerate(rule.get("Targets", []))]},
    )


def listed(_: Document, settings: Document) -> Call:
    """ListRules."""
    return _asked(settings, lambda: Call([], None, "", {"Rules": [_shown(rule) for rule in settings["bus_rules"]]}))


def _is_pattern(value: object) -> bool:
    """Whether it is an object whose members are lists of values, or such objects; none of them empty."""
    if not isinstance(value, dict) or not value:
        return False
    return all(bool(member) if isinstance(member, list) else _is_pattern(member) for member in value.values())


def _object(text: object) -> Document | None:
    try:
        value = json.loads(str(text))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def test(document: Document, settings: Document) -> Call:
    """TestEventPattern."""

    def answer() -> Call:
        pattern, event = _object(document.get("EventPattern")), _object(document.get("Event"))
        if not _is_pattern(pattern):
            return Call([], Refusal("InvalidEventPatternException", "Event pattern is not valid."))
        if event is None or not event.keys() >= _EVENT_MEMBERS:
            return Call([], Refusal("ValidationException", "Parameter Event is not valid."))
        return Call([], None, "", {"Result": matches(pattern, event)})

    return _asked(settings, answer)


# --- what a rule could not deliver --------------------------------------------------------------------------------


def whole_event(item: Item, wanted: Document) -> tuple[str, Document]:
    """A classic bus sends the whole event, with attributes."""
    body = {
        "version": "0",
        "id": item.result["EventId"],
        "detail-type": item.raw["DetailType"],
        "source": item.raw["Source"],
        "account": "123456789012",
        "time": _utc(item.raw.get("Time")),
        "region": "us-east-1",
        "resources": item.raw.get("Resources") or [],
        "detail": json.loads(item.raw["Detail"]),
    }
    code, message = _why(wanted)
    output = {"RULE_ARN": f"{_ARN}cxone-webhook-router", "TARGET_ARN": _TARGET, "ERROR_CODE": code}
    output["ERROR_MESSAGE"] = message
    if wanted.get("tried", True):
        output |= {"RETRY_ATTEMPTS": "3", "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts"}
    return json.dumps(body), {name: {"DataType": "String", "StringValue": value} for name, value in output.items()}


def record_of_ids(item: Item, wanted: Document) -> tuple[str, Document]:
    """A v2 bus sends a record of ids without a payload."""
    tried = wanted.get("tried", True)
    code, message = _why(wanted)
    failed = {
        "eventId": item.result["EventId"],
        "eventGroupId": item.key or None,
        "deduplicationId": item.id or None,
        "timestamp": _utc(None),
        "targetRequestId": new_id(),
    }
    body = {
        "errorCode": code,
        "errorMessage": message,
        "exhaustedRetryCondition": "MaximumEventAgeInSeconds" if tried else None,
        "retryAttempts": 3 if tried else 0,
        "failedMessages": [failed],
    }
    return json.dumps(body), {}


def _why(wanted: Document) -> tuple[str, str]:
    return wanted.get("code", "SDK_CLIENT_ERROR"), wanted.get("message", "The target says no.")


def _utc(moment: Any) -> str:
    seconds = float(moment) if isinstance(moment, int | float) else time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))

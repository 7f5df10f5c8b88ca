"""Rules on the classic bus, where a plan gives some (`bus_rules`): described, listed, and tested against an event.

Sources: botocore model `events`; EventBridge user guide, "Event patterns".
"""

import json
from typing import Any

from tests.fakeaws.call import Call, Refusal
from tests.fakeaws.http import Request
from tests.fakeaws.operation import Operation, json_body
from tests.fakeaws.state.memory import Memory, Settings
from tests.fakeaws.wire import Wire

_ARN = "arn:aws:events:us-east-1:123456789012:rule/"


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


def takes(rule: dict[str, Any], entry: dict[str, Any]) -> bool:
    """Whether a rule takes an entry of PutEvents to a target."""
    event = {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}
    enabled = rule.get("State", "ENABLED") == "ENABLED"
    return enabled and bool(rule.get("Targets")) and matches(rule["EventPattern"], event)


def _rules(settings: Settings) -> list[dict[str, Any]]:
    return [
        {"State": "ENABLED", "Arn": _ARN + rule["Name"], **rule, "EventPattern": json.dumps(rule["EventPattern"])}
        for rule in settings["bus_rules"]
    ]


def _find(document: dict[str, Any], settings: Settings, name: str) -> Call:
    if "bus_rules" not in settings:
        return Call([], Refusal("UnknownOperationException", "The plan gives no bus_rules."))
    if (rule := next((one for one in _rules(settings) if one["Name"] == document.get(name)), None)) is None:
        return Call([], Refusal("ResourceNotFoundException", f"Rule {document.get(name)} does not exist."))
    return Call([], None, "", {name: value for name, value in rule.items() if name != "Targets"} | {"of": rule})


def _describe(document: dict[str, Any], settings: Settings) -> Call:
    return _find(document, settings, "Name")


def _targets(document: dict[str, Any], settings: Settings) -> Call:
    call = _find(document, settings, "Rule")
    targets = [
        {"Id": str(n), "Arn": arn} for n, arn in enumerate((call.document or {}).get("of", {}).get("Targets", []))
    ]
    return call if call.refusal else Call([], None, "", {"Targets": targets})


def _list(_document: dict[str, Any], settings: Settings) -> Call:
    if "bus_rules" not in settings:
        return Call([], Refusal("UnknownOperationException", "The plan gives no bus_rules."))
    return Call([], None, "", {"Rules": [{k: v for k, v in r.items() if k != "Targets"} for r in _rules(settings)]})


def _test(document: dict[str, Any], settings: Settings) -> Call:
    if "bus_rules" not in settings:
        return Call([], Refusal("UnknownOperationException", "The plan gives no bus_rules."))
    found = matches(json.loads(document["EventPattern"]), json.loads(document["Event"]))
    return Call([], None, "", {"Result": found})


def _operation(name: str, read: Any) -> Operation:
    def parsed(request: Request, _state: Memory, settings: Settings, _ids: bool) -> Call:
        call: Call = read(json_body(request), settings)
        return call

    def answer(call: Call) -> Any:
        return {name: value for name, value in call.document.items() if name != "of"}

    return Operation(name, Wire.JSON_1_1, "com.amazonaws.eventbridge#", parsed, lambda *_: None, answer)


BY_TARGET = {
    f"AWSEvents.{name}": _operation(name, read)
    for name, read in {
        "DescribeRule": _describe,
        "ListTargetsByRule": _targets,
        "ListRules": _list,
        "TestEventPattern": _test,
    }.items()
}

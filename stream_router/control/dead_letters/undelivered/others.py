"""Who else gets an event that is published again: every rule of the bus that matches it, not the one alone."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.aws.clients import Clients
from stream_router.errors import DENIED, THROTTLING, code_of
from stream_router.settings.consumer import Consumer

V2 = "every subscriber of the v2 bus that matches these events gets them again"


class Others(NamedTuple):
    """What was found: a line for each rule and target that gets the events too, or of what nobody can tell."""

    lines: list[str]


def look(settings: Consumer, samples: Mapping[str, str], failed_target: set[str]) -> Others:
    """Hold every rule of the bus against one event of each type (`samples`: the event's JSON by type).

    `failed_target` are the targets that are meant to get them; all others are named.
    """
    if limits.is_v2_bus(settings.event_bus):
        return Others([V2])
    events: Any = Clients(settings.aws_region).events
    try:
        return Others(_lines(events, settings, samples, failed_target))
    except (ClientError, BotoCoreError) as error:
        code = code_of(error)
        return Others([f"which other rules of {settings.event_bus} get these events cannot be asked ({code})"])


def _lines(events: Any, settings: Consumer, samples: Mapping[str, str], failed_target: set[str]) -> list[str]:
    lines = []
    for rule in _rules(events, settings.event_bus):
        if rule.get("State") == "DISABLED" or not rule.get("EventPattern"):
            continue
        matched = [kind for kind, event in samples.items() if _matches(events, rule["EventPattern"], event)]
        if not matched:
            continue
        answer = events.list_targets_by_rule(Rule=rule["Name"], EventBusName=settings.event_bus)
        arns = [str(target["Arn"]) for target in answer.get("Targets", [])]
        others = [arn for arn in arns if rule["Name"] != settings.rule or arn not in failed_target]
        lines += [f"rule {rule['Name']} sends {', '.join(matched)} to {arn}" for arn in others]
    return lines


def _rules(events: Any, bus: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        answer = events.list_rules(EventBusName=bus, **more)
        found += answer.get("Rules", [])
        if not answer.get("NextToken"):
            return found
        more = {"NextToken": answer["NextToken"]}


def _matches(events: Any, pattern: str, event: str) -> bool:
    """Whether EventBridge says so; where an emulator cannot say it is taken for granted, so that nobody is left out."""
    try:
        answer = events.test_event_pattern(EventPattern=pattern, Event=event)
    except ClientError as error:
        if code_of(error) in DENIED | THROTTLING:
            raise
        return _sources(pattern) is None or json.loads(event).get("source") in (_sources(pattern) or ())
    return bool(answer.get("Result", True))


def _sources(pattern: str) -> list[Any] | None:
    found = json.loads(pattern).get("source")
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None

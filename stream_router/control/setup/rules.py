"""The rule and its target: which events match, where they go, and what happens when the target does not take one."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from stream_router import limits
from stream_router.control.setup.marks import TAG, Marks, from_list, told
from stream_router.control.setup.steps import Steps
from stream_router.control.setup.targets import Kind
from stream_router.control.setup_error import SetupError, WrongSettingError
from stream_router.model import SOURCE

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

RETRY_POLICY = {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600}
"""As docs/contract.md, "The rule", has it; after it the event goes to the target's own dead-letter queue."""

OURS = "stream-router"
"""What the ids of our targets begin with."""


def pattern(event_types: Sequence[str]) -> dict[str, Any]:
    """The rule's event pattern, as docs/contract.md, "The rule", has it."""
    return {
        "source": [SOURCE],
        "detail-type": list(event_types),
        "detail": {"eventSource": [{"prefix": "cxone"}]},
    }


def pattern_text(event_types: Sequence[str]) -> str:
    """The pattern as it is sent. Raises WrongSettingError where it is longer than EventBridge takes."""
    text = json.dumps(pattern(event_types), separators=(",", ":"))
    if len(text) > limits.EVENT_PATTERN_MAX_CHARS:
        raise WrongSettingError(
            f"STREAM_ROUTER_EVENT_TYPES: the pattern has {len(text)} characters, {limits.EVENT_PATTERN_MAX_CHARS} are "
            "allowed; name fewer event types, or make a second rule"
        )
    return text


def ensure_bus(events: "EventBridgeClient", bus: str, steps: Steps, marks: Marks) -> None:
    """Make the classic bus if it is a name that is not there. Raises WrongSettingError for an ARN that names none."""
    try:
        has = events.describe_event_bus(Name=bus)
    except events.exceptions.ResourceNotFoundException:
        if bus.startswith("arn:") or bus == "default":
            raise WrongSettingError(
                f"STREAM_ROUTER_EVENT_BUS: {bus} does not exist; name a bus of this account"
            ) from None
        key: dict[str, Any] = {"KmsKeyIdentifier": marks.key} if marks.key else {}
        what = f"event bus {bus}" + (f", encrypted with {marks.key}" if marks.key else "") + f" ({told(marks.tags)})"
        steps.create(what, events.create_event_bus, Name=bus, Tags=marks.as_list, **key)
        return
    steps.right(f"event bus {bus}")
    if has.get("Name", bus) == "default" or "Arn" not in has:
        return
    tags = tags_of(events, has["Arn"])
    _complete_tags(events, has["Arn"], f"event bus {bus}", tags, marks, steps)
    if marks.ours(tags) and marks.key and has.get("KmsKeyIdentifier") != marks.key:
        # UpdateEventBus may take away what it is not told of, as PutRule does.
        keep: dict[str, Any] = {
            name: has.get(name) for name in ("Description", "DeadLetterConfig", "LogConfig") if has.get(name)
        }
        steps.change(
            f"event bus {bus}: key {has.get('KmsKeyIdentifier') or 'of AWS'} -> {marks.key}",
            events.update_event_bus,
            Name=bus,
            KmsKeyIdentifier=marks.key,
            **keep,
        )


def _complete_tags(
    events: "EventBridgeClient", arn: str, what: str, has: Mapping[str, str], marks: Marks, steps: Steps
) -> None:
    """Give a bus or rule of ours, which `has` these tags, those that it lacks."""
    if missing := marks.missing(has):
        tags = [{"Key": key, "Value": value} for key, value in missing.items()]
        steps.change(f"{what}: tags + {told(missing)}", events.tag_resource, ResourceARN=arn, Tags=tags)


def tags_of(events: "EventBridgeClient", arn: str) -> dict[str, str]:
    """The tags of a bus or a rule."""
    return from_list(cast("Any", events.list_tags_for_resource(ResourceARN=arn).get("Tags", [])))


def ensure_rule(events: "EventBridgeClient", bus: str, name: str, wanted: str, steps: Steps, marks: Marks) -> None:
    """Make the rule, or give the one there our pattern. PutRule replaces all of a rule, so what else it has is kept.

    Raises WrongSettingError where it is another stream's: its pattern and dead-letter queue would become ours.
    """
    try:
        has = events.describe_rule(Name=name, EventBusName=bus)
    except events.exceptions.ResourceNotFoundException:
        steps.create(
            f"rule {name} on bus {bus} ({told(marks.tags)})",
            events.put_rule,
            Name=name,
            EventBusName=bus,
            EventPattern=wanted,
            State="ENABLED",
            Description="CXone events, routed by stream_router",
            Tags=marks.as_list,
        )
        return
    tags = _tags_of_ours(events, has.get("Arn", ""), f"rule {name} on bus {bus}", marks)
    if json.loads(has.get("EventPattern") or "null") == json.loads(wanted):
        steps.right(f"rule {name} on bus {bus}: its pattern")
    else:
        kept = ("Description", "RoleArn", "ScheduleExpression")
        keep: dict[str, Any] = {key: has.get(key) for key in kept if has.get(key)}
        steps.change(
            f"rule {name}: pattern {has.get('EventPattern') or 'none'} -> {wanted}",
            events.put_rule,
            Name=name,
            EventBusName=bus,
            EventPattern=wanted,
            State=has.get("State", "ENABLED"),
            **keep,
        )
    _complete_tags(events, has.get("Arn", ""), f"rule {name}", tags, marks, steps)
    if has.get("State") == "DISABLED":
        steps.problem(
            f"rule {name} is disabled, so nothing is delivered; "
            f"enable it: aws events enable-rule --name {name} --event-bus-name {bus}"
        )


def _tags_of_ours(events: "EventBridgeClient", arn: str, what: str, marks: Marks) -> dict[str, str]:
    """The tags of a rule that is not another stream's; none where it tells no ARN. Raises WrongSettingError."""
    has = tags_of(events, arn) if arn else {}
    if (stream := has.get(TAG, marks.stream)) != marks.stream:
        raise WrongSettingError(
            f"STREAM_ROUTER_RULE: {what} is of stream {stream}; name another rule, or hand it over: "
            f"aws events tag-resource --resource-arn {arn} --tags Key={TAG},Value={marks.stream}"
        )
    return has


def ensure_target(
    events: "EventBridgeClient", bus: str, rule: str, wanted: dict[str, Any], kind: Kind, steps: Steps
) -> None:
    """Attach the target, or give the one with this ARN our retry policy and dead-letter queue.

    A target that is there under another id keeps it (a second one would deliver every event twice), and its other
    fields. What an earlier `setup` attached for another ARN stays beside it, and is told of.
    Raises SetupError where EventBridge refuses the target, or where it has fields that make no sense for it.
    """
    targets = targets_of(events, bus, rule)
    there = next((t for t in targets if t["Arn"] == wanted["Arn"]), None)
    target = {"Id": target_id(wanted["Arn"]), **(there or {}), **wanted}
    if target.get("HttpParameters") and not kind.http:
        raise SetupError(
            f"target {target['Id']} is a {kind.name} and has HttpParameters, which only an API takes; remove it"
        )
    for other in targets:
        if other["Arn"] != wanted["Arn"] and other["Id"].startswith(OURS):
            command = f"aws events remove-targets --rule {rule} --event-bus-name {bus} --ids {other['Id']}"
            steps.note(f"target {other['Arn']} of an earlier setup gets every event too; to end that: {command}")
    if there == target:
        steps.right(f"target {wanted['Arn']}: 3 retries, 1 hour, then its dead-letter queue")
        return

    def attach() -> None:
        _read_failures(cast("Any", events.put_targets(Rule=rule, EventBusName=bus, Targets=[cast("Any", target)])))

    (steps.change if there else steps.create)(f"target {wanted['Arn']}: {_difference(there or {}, target)}", attach)


def _difference(there: dict[str, Any], target: dict[str, Any]) -> str:
    """What of a target is set, from what to what; of a new one all."""
    if not there:
        return f"3 retries, 1 hour, then {target['DeadLetterConfig']['Arn']}"
    changed = {key: value for key, value in target.items() if there.get(key) != value}
    return ", ".join(f"{key} {there.get(key, 'none')} -> {value}" for key, value in changed.items())


def target_id(arn: str) -> str:
    """The id under which `setup` attaches a target: one for each ARN, since PutTargets replaces the same id."""
    return f"{OURS}-{hashlib.sha256(arn.encode()).hexdigest()[:16]}"


def targets_of(events: "EventBridgeClient", bus: str, rule: str) -> list[dict[str, Any]]:
    """All targets of a rule, none where there is no such rule."""
    try:
        pages = events.get_paginator("list_targets_by_rule").paginate(Rule=rule, EventBusName=bus)
        return [cast("dict[str, Any]", target) for page in pages for target in page.get("Targets", [])]
    except events.exceptions.ResourceNotFoundException:
        return []


def _read_failures(answer: dict[str, Any]) -> None:
    """PutTargets answers 200 also where it attached nothing: what failed stands in the answer."""
    if answer.get("FailedEntryCount"):
        entry = answer["FailedEntries"][0]
        raise SetupError(
            f"EventBridge refused the target ({entry.get('ErrorCode')}: {entry.get('ErrorMessage')}); "
            "correct EVENTBRIDGE_TARGET_ARN or STREAM_ROUTER_TARGET_ROLE_ARN"
        )

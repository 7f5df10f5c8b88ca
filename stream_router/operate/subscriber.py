"""Check of a Custom Event Bus's (v2) subscriber by the answer of DescribeSubscriber.

Its filters are judged by plain values of source and detail type alone: an operator such as `prefix`
counts as a match. Sources: EventBridge user guide, "Filtering events for a subscriber" and "Event
structure: data, metadata, and system metadata", 2026-12-02; botocore model `eventbridgev2`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stream_router.model import SOURCE

FIELDS = {"DATA": ("source", "detail-type"), "SYSTEM_METADATA": ("aws:Source", "aws:DetailType")}
"""Names of source and detail type in a filter's pattern, by the filter's scope."""


def find_problems(subscriber: Mapping[str, Any], event_types: Sequence[str], *, ordered: bool) -> list[str]:
    """Return the problems of a subscriber as ends of a sentence about it; [] if none is found.

    `subscriber` is the answer of DescribeSubscriber. Without a problem our events reach its target, and a dead-letter
    queue keeps those that fail. With `ordered` the subscriber has to be FIFO.
    """
    state = "REVOKED" if subscriber.get("Revoked") else subscriber.get("State")
    problems = [] if state == "RUNNING" else [f"is {state}"]
    if not subscriber.get("OnFailureConfiguration", {}).get("Arn"):
        problems.append("has no dead-letter queue")
    if not subscriber.get("InvokeConfiguration", {}).get("RoleArn"):
        problems.append("has no role to reach its target with")
    if ordered and subscriber.get("Type") != "FIFO":
        kind = subscriber.get("Type") or "UNORDERED"
        problems.append(f"is of type {kind}, and STREAM_ROUTER_ORDERING=conversation wants FIFO")
    for event_filter in subscriber.get("FilterConfiguration", {}).get("Filters", ()):
        problems += _find_filter_problems(str(event_filter.get("Scope")), str(event_filter.get("Pattern")), event_types)
    return problems


def _find_filter_problems(scope: str, pattern: str, event_types: Sequence[str]) -> Iterator[str]:
    """Yield why a filter keeps our events out; nothing if it lets them through.

    Each filter is judged alone, because an event has to match all filters of a subscriber.
    """
    if scope == "METADATA":
        yield "has a METADATA filter, which no event of PutEvents matches: use DATA or SYSTEM_METADATA"
        return
    if scope not in FIELDS:
        return
    try:
        fields = json.loads(pattern)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        yield f"has a {scope} filter that is not a JSON object"
        return
    source, detail_type = FIELDS[scope]
    if not _accepts(fields, source, SOURCE):
        yield f"has a {scope} filter that does not take the source {SOURCE}"
    if missing := [event_type for event_type in event_types if not _accepts(fields, detail_type, event_type)]:
        yield f"has a {scope} filter that does not take {', '.join(missing)}"


def _accepts(fields: Mapping[str, Any], name: str, value: str) -> bool:
    """Return whether a pattern may match an event whose field `name` has this value.

    It may if the pattern does not mention the field, lists the value, or has an operator, which is not evaluated.
    """
    allowed = fields.get(name)
    return not isinstance(allowed, list) or value in allowed or any(isinstance(element, dict) for element in allowed)

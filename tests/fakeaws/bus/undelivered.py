"""EventBridge's own dead letters of a rule's target, where a plan asks for them (`undelivered`), in both forms.

A classic bus sends the whole event, with attributes; a v2 bus a record of ids without a payload. Sources: EventBridge
user guide, "Using dead-letter queues to process undelivered events" and "Custom event bus retry".
"""

import json
import time
from typing import Any

from tests.fakeaws.call import ACCEPTED, Call, Item, new_id
from tests.fakeaws.state.queues import Queues

_RULE = "arn:aws:events:us-east-1:123456789012:rule/cxone-webhook-router"
_TARGET = "arn:aws:lambda:us-east-1:123456789012:function:target"


def play(call: Call, queues: Queues, settings: dict[str, Any], *, v2: bool) -> None:
    """The target takes none of a call's accepted entries: each goes to the queue that `undelivered` names."""
    wanted = settings.get("undelivered")
    if not wanted:
        return
    for item in call.items:
        if item.verdict == ACCEPTED:
            body, attributes = _record(item, wanted) if v2 else _event(item, wanted)
            queues.send(wanted["queue"], json.dumps(body), attributes)


def _event(item: Item, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
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
    said = {
        "RULE_ARN": _RULE,
        "TARGET_ARN": _TARGET,
        "ERROR_CODE": wanted.get("code", "SDK_CLIENT_ERROR"),
        "ERROR_MESSAGE": wanted.get("message", "The target says no."),
    }
    if wanted.get("tried", True):
        said |= {"RETRY_ATTEMPTS": "3", "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts"}
    return body, {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}


def _record(item: Item, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    failed = {
        "eventId": item.result["EventId"],
        "eventGroupId": item.key or None,
        "deduplicationId": item.id or None,
        "timestamp": _utc(None),
        "targetRequestId": new_id(),
    }
    body = {
        "errorCode": wanted.get("code", "SDK_CLIENT_ERROR"),
        "errorMessage": wanted.get("message", "The target says no."),
        "exhaustedRetryCondition": "MaximumEventAgeInSeconds" if wanted.get("tried", True) else None,
        "retryAttempts": 3 if wanted.get("tried", True) else 0,
        "failedMessages": [failed],
    }
    return body, {}


def _utc(moment: Any) -> str:
    seconds = float(moment) if isinstance(moment, int | float) else time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))

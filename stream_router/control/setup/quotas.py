"""What EventBridge allows, asked before anything is made: a quota that is met half way leaves half a set-up behind."""

from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws.endpoints import is_aws
from stream_router.control.setup.rules import targets_of
from stream_router.control.setup_error import SetupError, WrongSettingError

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

    from stream_router.aws.clients import Clients
    from stream_router.settings.operators import Setup

SERVICE = "events"


class Quota(NamedTuple):
    """A quota of EventBridge: its code in Service Quotas, and what it is where nobody raised it."""

    code: str
    default: int


RULES_A_BUS = Quota("L-244521F2", 300)
PATTERN_CHARS = Quota("L-664C5505", 2048)
"""Source: EventBridge quotas page, 2026-11-25. Some regions begin with 100 rules; Service Quotas tells."""

TARGETS_A_RULE = 5
"""Not adjustable. Source: EventBridge quotas page, 2026-11-25."""


def value(clients: "Clients", quota: Quota) -> int:
    """The quota in force in this account; its default where it cannot be asked, or on an emulator."""
    if not is_aws(clients.events.meta.endpoint_url):
        return quota.default
    try:
        found = clients.service_quotas.get_service_quota(ServiceCode=SERVICE, QuotaCode=quota.code)
    except (BotoCoreError, ClientError):
        return quota.default
    return int(found["Quota"]["Value"])


def rules_on(events: "EventBridgeClient", bus: str) -> list[dict[str, Any]]:
    """Every rule of a bus; none where there is no such bus."""
    try:
        pages = events.get_paginator("list_rules").paginate(EventBusName=bus)
        return [dict(rule) for page in pages for rule in page.get("Rules", [])]
    except events.exceptions.ResourceNotFoundException:
        return []


def check(settings: "Setup", clients: "Clients", pattern: str) -> None:
    """Raises SetupError where the rule, its pattern or its target would be refused for a quota. Changes nothing."""
    most = value(clients, PATTERN_CHARS)
    if len(pattern) > most:
        raise WrongSettingError(
            f"STREAM_ROUTER_EVENT_TYPES: the pattern has {len(pattern)} characters, the quota is {most}; name fewer "
            f"event types, make a second rule, or have quota {PATTERN_CHARS.code} raised"
        )
    present = {rule["Name"] for rule in rules_on(clients.events, settings.event_bus)}
    most = value(clients, RULES_A_BUS)
    if settings.rule not in present and len(present) >= most:
        raise SetupError(
            f"event bus {settings.event_bus} has {len(present)} rules, the quota is {most}; delete one, take another "
            f"bus (STREAM_ROUTER_EVENT_BUS), or have quota {RULES_A_BUS.code} raised"
        )
    targets = [target["Arn"] for target in targets_of(clients.events, settings.event_bus, settings.rule)]
    if settings.target_arn and settings.target_arn not in targets and len(targets) >= TARGETS_A_RULE:
        raise SetupError(
            f"rule {settings.rule} has {len(targets)} targets, and {TARGETS_A_RULE} is the most; remove one, or name "
            "another rule (STREAM_ROUTER_RULE)"
        )

"""What has to be true before anything is published again: the bus exists, and the rule matches every event type.

PutEvents answers success also where there is no bus, or where no rule matches: a redrive that did not look first would
delete dead letters whose events nobody gets.
"""

from collections.abc import Iterable
from typing import NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stream_router import limits
from stream_router.aws import endpoints
from stream_router.consumer.supervisor.watches import bus_prober, rule_check
from stream_router.errors import ABSENT, code_of
from stream_router.settings.common import NO_RULE
from stream_router.settings.consumer import Consumer


class Verdict(NamedTuple):
    """What was found: `refusals` forbid publishing; `unjudged` is what cannot be told here, and so takes a `--yes`."""

    refusals: list[str]
    unjudged: list[str]


def look(settings: Consumer, event_types: Iterable[str]) -> Verdict:
    """Ask for the bus, and hold our rule against an event of each of these types.

    Raises SettingsError where a setting, or what AWS takes from the environment, cannot be used.
    """
    if refusal := _bus(settings):
        return Verdict([refusal], [])
    unjudged = [bus_prober.TRUSTED] if settings.bus_proof == "trust" else []
    refusals, more = _rule(settings, sorted(set(event_types)))
    return Verdict(refusals, unjudged + more)


def _bus(settings: Consumer) -> str:
    try:
        bus_prober.describer(settings)()
    except (ClientError, BotoCoreError) as error:
        if code_of(error) in ABSENT:
            return (
                f"the event bus {settings.event_bus} does not exist, and would answer success to everything: "
                "run `stream-router setup`, or correct STREAM_ROUTER_EVENT_BUS"
            )
        return (
            f"the event bus {settings.event_bus} cannot be asked whether it exists ({code_of(error)}): "
            "allow events:DescribeEventBus to this role, or try again later"
        )
    return ""


def _rule(settings: Consumer, event_types: list[str]) -> tuple[list[str], list[str]]:
    if limits.is_v2_bus(settings.event_bus):
        return [], ["a v2 bus has no rules: whether a subscriber gets these events is not known here"]
    if settings.rule == NO_RULE:
        return [], ["STREAM_ROUTER_RULE is none: whether a rule matches these events is not known here"]
    ours = [name for name in event_types if name in settings.event_type_list]
    others = [name for name in event_types if name not in settings.event_type_list]
    events = rule_check.client(endpoints.session(settings.aws_region))
    check = rule_check.RuleCheck(events, settings.rule, settings.event_bus, settings.aws_region, ours)
    try:
        faults = check()
    except (ClientError, BotoCoreError) as error:
        return [f"the rule {settings.rule} cannot be looked at ({code_of(error)}): try again later"], []
    unjudged = []
    if faults is None or check.unjudged:
        unjudged.append(f"whether the rule {settings.rule} matches these events cannot be asked here")
    if others and settings.unroutable == "publish":
        unjudged.append(f"STREAM_ROUTER_UNROUTABLE is publish: the rule is not for the event types {', '.join(others)}")
    return [f"{fault.problem}; {fault.cure}" for fault in faults or []], unjudged

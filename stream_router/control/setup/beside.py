"""Other rules of the bus that let our events through: above all what a `setup` left that called the rule otherwise."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stream_router.control.setup.quotas import rules_on
from stream_router.model import SOURCE

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient


def notes(events: "EventBridgeClient", bus: str, rule: str) -> Iterator[str]:
    """A line for each rule beside ours that is on, and names our source: a target behind both gets each event twice."""
    for other in rules_on(events, bus):
        on = str(other.get("State", "ENABLED")).startswith("ENABLED")
        if on and other["Name"] != rule and f'"{SOURCE}"' in (other.get("EventPattern") or ""):
            disable = f"aws events disable-rule --name {other['Name']} --event-bus-name {bus}"
            yield f"rule {other['Name']} gets our events too; if an earlier setup made it, end that: {disable}"

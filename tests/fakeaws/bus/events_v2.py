"""PutEvents on a v2 bus: its model's limits, deduplication and groups. Source: botocore model `eventbridgev2`."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from tests.fakeaws import model
from tests.fakeaws.bus.events import REQUEST_BYTES, TOO_BIG, items_of
from tests.fakeaws.call import ACCEPTED, DEDUPLICATED, Call, Item, Refusal, new_id
from tests.fakeaws.state.dedup import Deduplicator


def read(document: dict[str, Any], settings: dict[str, Any]) -> Call:
    """Parse and check PutEvents of a v2 bus. What its model constrains refuses the whole call."""
    items = items_of(document.get("Entries"))
    for item in items:
        system = item.raw.get("SystemMetadata") or {}
        item.key = str(system.get("EventGroupId") or "")
        item.id = str(system.get("DeduplicationId") or "")
    bus = str(document.get("EventBusArn") or "")
    refusal = next(_refusals(document, items, settings), None)
    if refusal is None:
        for item in items:
            if item.raw["Source"].startswith("aws."):
                item.refuse("NotAuthorizedForSourceException", "Not authorized for the source.")
            elif item.note:
                item.refuse("MalformedDetail", "Detail is malformed.")
    return Call(items, refusal, bus, document)


def _refusals(document: dict[str, Any], items: list[Item], settings: dict[str, Any]) -> Iterator[Refusal]:
    """Why the call is refused whole: the first reason counts."""
    bus, entries = document.get("EventBusArn"), document.get("Entries")
    ceiling = model.longest("eventbridgev2", "PutEventsRequestEntryList")
    if not model.fits("eventbridgev2", "EventBusArn", bus):
        yield Refusal("InvalidInputException", "EventBusArn is not valid.")
    if bus in settings.get("missing", ()):
        yield Refusal("ResourceNotFoundException", "The event bus does not exist.", 404)
    if not isinstance(entries, list) or not 1 <= len(entries) <= ceiling or len(items) != len(entries):
        yield Refusal("InvalidInputException", f"Entries must have 1 to {ceiling} members.")
    if not all(_entry_fits(item.raw) for item in items):
        yield Refusal("InvalidInputException", "An entry's member is missing or not valid.")
    if sum(item.size for item in items) > settings.get("max_request_bytes", REQUEST_BYTES):
        yield Refusal("InvalidInputException", TOO_BIG)


def _entry_fits(entry: dict[str, Any]) -> bool:
    system = entry.get("SystemMetadata") or {}
    return (
        model.fits("eventbridgev2", "Source", entry.get("Source"))
        and model.fits("eventbridgev2", "DetailType", entry.get("DetailType"))
        and (entry.get("Detail") is None or isinstance(entry["Detail"], str))
        and (entry.get("Time") is None or isinstance(entry["Time"], dt.datetime))
        and all(model.fits("eventbridgev2", "EventResource", one) for one in entry.get("Resources") or [])
        and ("EventGroupId" not in system or model.fits("eventbridgev2", "EventGroupId", system["EventGroupId"]))
        and (
            "DeduplicationId" not in system
            or model.fits("eventbridgev2", "EventDeduplicationId", system["DeduplicationId"])
        )
    )


def accept(call: Call, seen: Deduplicator) -> None:
    """Publish every entry that is not refused, or say that it was published within the last five minutes."""
    by_content = bool((call.document or {}).get("DeduplicationConfiguration"))
    for item in call.items:
        if item.verdict != ACCEPTED:
            continue
        token = item.id or (str(item.content) if by_content else "")
        first = seen.first(call.target, token) if token else None
        event_id = first or new_id()
        if token and not first:
            seen.remember(call.target, token, event_id)
        item.verdict = DEDUPLICATED if first else ACCEPTED
        item.result = {"EventId": event_id, "SuccessCode": "DEDUPLICATED" if first else "PUBLISHED"}
        if item.key:
            item.result["SequenceNumber"] = str(seen.next_number())

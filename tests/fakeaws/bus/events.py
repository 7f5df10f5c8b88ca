"""PutEvents on a classic bus: AWS's limits, entry by entry.

Sources: botocore model `events`; EventBridge user guide, "Calculating PutEvents event entry size".
"""

from collections.abc import Iterator, Sequence
from typing import Any

from tests.fakeaws import detail, model
from tests.fakeaws.bus import bus_rules
from tests.fakeaws.call import ACCEPTED, VOID, Call, Item, Refusal, new_id

REQUEST_BYTES = 1_048_576
"""Largest total entry size that a classic bus was measured to accept (field test 2026-03); the model says 1MB."""

TIME_BYTES = 14
DETAIL_TYPE_CHARS = 128
SOURCE_CHARS = 256
TOO_BIG = "Total size of the entries in the request is over the limit."


def entry_size(entry: dict[str, Any]) -> int:
    """An entry's size by the user guide's formula: 14 for Time, and the UTF-8 bytes of four members."""
    size = TIME_BYTES if entry.get("Time") is not None else 0
    for text in (entry.get("Source"), entry.get("DetailType"), entry.get("Detail"), *(entry.get("Resources") or ())):
        if isinstance(text, str):
            size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size


def read_classic(document: dict[str, Any], settings: dict[str, Any]) -> Call:
    """Parse and check a classic PutEvents."""
    entries = document.get("Entries")
    items = items_of(entries)
    bus = str(items[0].raw.get("EventBusName") or "default") if items else ""
    refusal = next(_classic_refusals(entries, items, settings), None)
    if refusal is None:
        for item in items:
            _check_entry(item)
    return Call(items, refusal, bus, document)


def items_of(entries: object) -> list[Item]:
    """The entries as items, with what their Details say of themselves."""
    if not isinstance(entries, list):
        return []
    return [_item(entry) for entry in entries if isinstance(entry, dict)]


def _item(entry: dict[str, Any]) -> Item:
    text = entry.get("Detail")
    item = Item(entry, text if isinstance(text, str) else "", entry_size(entry))
    item.detail_type = str(entry.get("DetailType") or "")
    found = detail.look_into(item.content)
    if found.event_id:
        item.event_ids = [found.event_id]
    item.conversation_id = found.conversation_id
    item.note = found.problem
    return item


def _classic_refusals(entries: object, items: list[Item], settings: dict[str, Any]) -> Iterator[Refusal]:
    """Why the call is refused whole: the first reason counts."""
    ceiling = model.longest("events", "PutEventsRequestEntryList")
    if not isinstance(entries, list) or not 1 <= len(entries) <= ceiling:
        text = f"Member must have length less than or equal to {ceiling}, at least 1"
        yield _invalid(f"Value at 'entries' failed to satisfy constraint: {text}")
    elif len(items) != len(entries) or any(not _typed(item.raw) for item in items):
        yield Refusal("SerializationException", "Start of structure or map found where not expected.")
    for item in items:
        if not _fits_model(item.raw):
            yield _invalid("Value at 'entries' failed to satisfy constraint: a member's length or pattern")
    if sum(item.size for item in items) > settings.get("max_request_bytes", REQUEST_BYTES):
        yield Refusal("ValidationException", TOO_BIG)
    if all(_missing(item.raw) for item in items):
        yield Refusal("ValidationException", "Every entry lacks one of Source, DetailType, Detail.")


def _fits_model(entry: dict[str, Any]) -> bool:
    return (
        ("EventBusName" not in entry or model.fits("events", "NonPartnerEventBusNameOrArn", entry["EventBusName"]))
        and ("TraceHeader" not in entry or model.fits("events", "TraceHeader", entry["TraceHeader"]))
        and all(model.fits("events", "EventResource", resource) for resource in entry.get("Resources") or [])
    )


def _invalid(text: str) -> Refusal:
    return Refusal("ValidationException", f"1 validation error detected: {text}")


_TEXTS = frozenset({str, type(None)})
_TIMES = frozenset({int, float, type(None)})


def _typed(entry: dict[str, Any]) -> bool:
    kinds = type(entry.get("Source")), type(entry.get("DetailType")), type(entry.get("Detail"))
    resources = entry.get("Resources") or ()
    return (
        _TEXTS.issuperset(kinds)
        and type(entry.get("Time")) in _TIMES
        and all(isinstance(resource, str) for resource in resources)
    )


def _missing(entry: dict[str, Any]) -> str:
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            return name
    return ""


def _check_entry(item: Item) -> None:
    """The reasons for which one entry alone is refused."""
    missing = _missing(item.raw)
    if missing:
        item.refuse("InvalidArgument", f"Parameter {missing} is not valid. Reason: {missing} is a required argument.")
    elif len(item.raw["Source"]) > SOURCE_CHARS or len(item.raw["DetailType"]) > DETAIL_TYPE_CHARS:
        item.refuse("InvalidArgument", "Parameter is not valid. Reason: Source or DetailType is too long.")
    elif item.raw["Source"].startswith("aws."):
        item.refuse("NotAuthorizedForSourceException", "Not authorized for the source.")
    elif item.note:
        item.refuse("MalformedDetail", "Detail is malformed.")


def accept_classic(call: Call, settings: dict[str, Any], rules: Sequence[list[dict[str, Any]]] = ()) -> None:
    """Give every entry that is not refused its EventId; a bus that does not exist swallows events, as on AWS.

    So does one where none of some set of `rules` takes the event to a target.
    """
    missing = settings.get("missing") or ()
    for item in call.items:
        if item.verdict == ACCEPTED:
            item.result = {"EventId": new_id()}
            exists = str(item.raw.get("EventBusName") or "default").rsplit("/", 1)[-1] not in missing
            if not exists or not all(any(bus_rules.takes(rule, item.raw) for rule in one) for one in rules):
                item.verdict = VOID


def answer_put_events(call: Call) -> dict[str, Any]:
    """The answer of PutEvents, classic and v2 alike."""
    results = [
        {"ErrorCode": item.code, "ErrorMessage": item.message} if item.code else item.result for item in call.items
    ]
    return {"FailedEntryCount": sum(1 for item in call.items if item.code), "Entries": results}

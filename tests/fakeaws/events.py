"""PutEvents and DescribeEventBus, on a classic bus and on a v2 bus: AWS's limits, entry by entry.

Sources: botocore models `events` and `eventbridgev2`; EventBridge user guide, "Calculating PutEvents event entry size"
and deduplication of a custom event bus.
"""

import datetime as dt
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import cbor2

from tests.fakeaws import bus_rules, detail, model
from tests.fakeaws.call import (
    ACCEPTED,
    DEDUPLICATED,
    VOID,
    Call,
    Document,
    Item,
    Operation,
    Service,
    by_position,
    new_id,
)
from tests.fakeaws.http import Request
from tests.fakeaws.queues import Queues
from tests.fakeaws.wire import Refusal, Wire

REQUEST_BYTES = 1_048_576
"""Largest total entry size that a classic bus was measured to accept (field test 2026-03); the model says 1MB."""

TIME_BYTES = 14
DETAIL_TYPE_CHARS = 128
SOURCE_CHARS = 256
TOO_BIG = "Total size of the entries in the request is over the limit."
KNOWN_S = 300.0
"""How long a v2 bus knows a deduplication token."""

_MADE_S = 1_764_000_000.125
"""When every bus was made (epoch seconds): the same at each answer, or it would be another bus each time."""

_TIMES_OF_BUS = {"CreationTime": _MADE_S, "LastModifiedTime": _MADE_S}

_V2 = "/service/AWSEventsV2/operation/"


class EventBridge(Service):
    """Both kinds of bus. `queues` take the dead letters of a plan's rule."""

    def __init__(self, queues: Queues) -> None:
        super().__init__()
        self._queues = queues
        self._rules: list[tuple[float, list[Document]]] = []
        """Each plan's rules, and when they came."""
        self._seen: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()
        """By bus and token: when an event with it was first accepted, and its EventId."""
        self._sequence = 0

    def operations(self) -> dict[str, Operation]:
        classic = Wire.JSON_1_1, "com.amazonaws.eventbridge#"
        v2 = Wire.CBOR, "com.amazonaws.eventbridgev2#"
        result = (
            Operation("PutEvents", *classic, self._read_classic, self._accept_classic, _answer),
            Operation("DescribeEventBus", *classic, self._describe_classic),
            Operation("DescribeRule", *classic, self._of_bus(bus_rules.describe)),
            Operation("ListRules", *classic, self._of_bus(bus_rules.listed)),
            Operation("ListTargetsByRule", *classic, self._of_bus(bus_rules.targets)),
            Operation("TestEventPattern", *classic, lambda document, _: bus_rules.test(document, self.settings)),
        )
        return {f"AWSEvents.{operation.name}": operation for operation in result} | {
            f"{_V2}PutEvents": Operation("PutEventsV2", *v2, self._read_v2, self._accept_v2, _answer),
            f"{_V2}DescribeEventBus": Operation("DescribeEventBusV2", *v2, self._describe_v2),
        }

    def apply(self, settings: Document) -> None:
        had_rules = "bus_rules" in self.settings
        super().apply(settings)
        if not had_rules:  # the first rules of a plan are in effect from the beginning
            self._rules.clear()
        self._rules.append((time.monotonic(), settings.get("bus_rules", [])))

    def clear(self) -> None:
        self._seen.clear()
        self._rules = self._rules[-1:]

    def _too_big(self, items: list[Item]) -> bool:
        return sum(item.size for item in items) > int(self.settings.get("max_request_bytes", REQUEST_BYTES))

    # --- a classic bus ------------------------------------------------------------------------------------------

    def _read_classic(self, document: Document, _: Request) -> Call:
        entries = document.get("Entries")
        items = _items(entries)
        bus = str(items[0].raw.get("EventBusName") or "default") if items else ""
        refusal = next(self._classic_refusals(entries, items), None)
        if refusal is None:
            for item in items:
                _check_classic(item)
        return Call(items, refusal, bus, document)

    def _classic_refusals(self, entries: object, items: list[Item]) -> Iterator[Refusal]:
        """Why the call is refused whole: the first reason counts."""
        ceiling = model.longest("events", "PutEventsRequestEntryList")
        if not isinstance(entries, list) or not 1 <= len(entries) <= ceiling:
            yield _invalid(f"Member must have length less than or equal to {ceiling}, at least 1")
        elif len(items) != len(entries) or not all(_typed(item.raw) for item in items):
            yield Refusal("SerializationException", "Start of structure or map found where not expected.")
        if not all(_fits_classic(item.raw) for item in items):
            yield _invalid("a member's length or pattern")
        if self._too_big(items):
            yield Refusal("ValidationException", TOO_BIG)

    def _accept_classic(self, call: Call) -> None:
        """Give every entry that is not refused its EventId; a bus that does not exist swallows events, as on AWS.

        So does one none of whose rules takes the event to a target, where a plan has its rules work.
        """
        for item in call.items:
            if item.verdict == ACCEPTED:
                item.result = {"EventId": new_id()}
                if not self.stands(str(item.raw.get("EventBusName") or "default")) or not self._is_taken(item.raw):
                    item.verdict = VOID
        self._fail_at_target(call, bus_rules.whole_event)

    def _is_taken(self, entry: Document) -> bool:
        """What is taken away is gone at once, what is given back comes late: the worst that AWS may do."""
        delay_s = self.settings.get("bus_rules_delay_s")
        if delay_s is None:
            return True
        while len(self._rules) > 1 and self._rules[1][0] <= time.monotonic() - delay_s:
            self._rules.pop(0)
        both = self._rules[-1][1], self._rules[0][1]
        return all(any(bus_rules.takes(rule, entry) for rule in rules) for rules in both)

    def _of_bus(self, answer: Callable[[Document, Document], Call]) -> Callable[[Document, Request], Call]:
        """Return what reads a call about the rules of a bus, which must exist."""

        def read(document: Document, _: Request) -> Call:
            bus = str(document.get("EventBusName") or "default")
            return answer(document, self.settings) if self.stands(bus) else _no_bus(bus)

        return read

    def _describe_classic(self, document: Document, _: Request) -> Call:
        bus = str(document.get("Name") or "default")
        name = bus.rsplit("/", 1)[-1]
        if not self.stands(bus):
            return _no_bus(bus)
        arn = f"arn:aws:events:us-east-1:123456789012:event-bus/{name}"
        queue = self.settings.get("bus_dead_letters")
        of_key = {"DeadLetterConfig": {"Arn": queue}, "KmsKeyIdentifier": "key"} if queue else {}
        return Call([], None, bus, {"Arn": arn, "Name": name, **_TIMES_OF_BUS, **of_key})

    # --- a v2 bus -----------------------------------------------------------------------------------------------

    def _read_v2(self, document: Document, _: Request) -> Call:
        """What its model constrains refuses the whole call."""
        items = _items(document.get("Entries"))
        for item in items:
            system = item.raw.get("SystemMetadata") or {}
            item.key = str(system.get("EventGroupId") or "")
            item.id = str(system.get("DeduplicationId") or "")
        refusal = next(self._v2_refusals(document, items), None)
        if refusal is None:
            for item in items:
                _check_content(item)
        return Call(items, refusal, str(document.get("EventBusArn") or ""), document)

    def _v2_refusals(self, document: Document, items: list[Item]) -> Iterator[Refusal]:
        """Why the call is refused whole: the first reason counts."""
        bus, entries = document.get("EventBusArn"), document.get("Entries")
        ceiling = model.longest("eventbridgev2", "PutEventsRequestEntryList")
        if not model.fits("eventbridgev2", "EventBusArn", bus):
            yield Refusal("InvalidInputException", "EventBusArn is not valid.")
        if not self._v2_stands(str(bus)):
            yield Refusal("ResourceNotFoundException", "The event bus does not exist.", 404)
        if not isinstance(entries, list) or not 1 <= len(entries) <= ceiling or len(items) != len(entries):
            yield Refusal("InvalidInputException", f"Entries must have 1 to {ceiling} members.")
        if not all(_fits_v2(item.raw) for item in items):
            yield Refusal("InvalidInputException", "An entry's member is missing or not valid.")
        if self._too_big(items):
            yield Refusal("InvalidInputException", TOO_BIG)

    def _v2_stands(self, arn: str) -> bool:
        return self.stands(_v2_name(arn)) and not self.is_missing(arn)

    def _accept_v2(self, call: Call) -> None:
        """Publish every entry that is not refused, or say that it was published within the last five minutes."""
        by_content = bool(call.document.get("DeduplicationConfiguration"))
        for item in call.items:
            if item.verdict == ACCEPTED:
                token = item.id or (str(item.content) if by_content else "")
                first = self._first(call.target, token) if token else ""
                event_id = first or new_id()
                if token and not first:
                    self._seen[(call.target, token)] = time.monotonic(), event_id
                item.verdict = DEDUPLICATED if first else ACCEPTED
                item.result = {"EventId": event_id, "SuccessCode": "DEDUPLICATED" if first else "PUBLISHED"}
                if item.key:
                    self._sequence += 1
                    item.result["SequenceNumber"] = str(self._sequence)
        self._fail_at_target(call, bus_rules.record_of_ids)

    def _first(self, bus: str, token: str) -> str:
        """The EventId of the first event with this token, "" where there is none that the bus still knows."""
        oldest = time.monotonic() - KNOWN_S
        while self._seen and next(iter(self._seen.values()))[0] < oldest:
            self._seen.popitem(last=False)
        return self._seen.get((bus, token), (0.0, ""))[1]

    def _describe_v2(self, document: Document, _: Request) -> Call:
        arn = str(document.get("EventBusArn") or "")
        if not self._v2_stands(arn):
            return Call([], Refusal("ResourceNotFoundException", f"Event bus {arn} does not exist.", 404), arn)
        created = cbor2.CBORTag(1, _MADE_S)
        return Call(
            [], None, arn, {"EventBusArn": arn, "Name": _v2_name(arn), "State": "ACTIVE", "CreationTime": created}
        )

    def _fail_at_target(self, call: Call, letter: bus_rules.Letter) -> None:
        """The target takes none of a call's accepted entries: each goes to the queue that `undelivered` names."""
        if wanted := self.settings.get("undelivered"):
            for item in call.items:
                if item.verdict == ACCEPTED:
                    self._queues.send(wanted["queue"], *letter(item, wanted))


def _no_bus(bus: str) -> Call:
    name = bus.rsplit("/", 1)[-1]
    return Call([], Refusal("ResourceNotFoundException", f"Event bus {name} does not exist."), bus)


def _v2_name(arn: str) -> str:
    return arn.split("/")[1] if "/" in arn else arn


# --- entries ----------------------------------------------------------------------------------------------------


def entry_size(entry: Document) -> int:
    """An entry's size by the user guide's formula: 14 for Time, and the UTF-8 bytes of four members."""
    size = TIME_BYTES if entry.get("Time") is not None else 0
    for text in (entry.get("Source"), entry.get("DetailType"), entry.get("Detail"), *(entry.get("Resources") or ())):
        if isinstance(text, str):
            size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size


def _items(entries: object) -> list[Item]:
    """The entries as items, with what their Details say of themselves."""
    return [_item(entry) for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _item(entry: Document) -> Item:
    text = entry.get("Detail")
    content = text if isinstance(text, str) else ""
    event = detail.look_into(content)
    ids = [event.event_id] if event.event_id else []
    return Item(
        entry, content, entry_size(entry), event_ids=ids, conversation_id=event.conversation_id, note=event.problem
    )


def _invalid(text: str) -> Refusal:
    text = f"1 validation error detected: Value at 'entries' failed to satisfy constraint: {text}"
    return Refusal("ValidationException", text)


_TEXTS = frozenset({str, type(None)})
_TIMES = frozenset({int, float, type(None)})


def _typed(entry: Document) -> bool:
    kinds = type(entry.get("Source")), type(entry.get("DetailType")), type(entry.get("Detail"))
    resources = entry.get("Resources") or ()
    texts = _TEXTS.issuperset(kinds) and all(isinstance(resource, str) for resource in resources)
    return texts and type(entry.get("Time")) in _TIMES


def _fits_classic(entry: Document) -> bool:
    return (
        ("EventBusName" not in entry or model.fits("events", "NonPartnerEventBusNameOrArn", entry["EventBusName"]))
        and ("TraceHeader" not in entry or model.fits("events", "TraceHeader", entry["TraceHeader"]))
        and all(model.fits("events", "EventResource", resource) for resource in entry.get("Resources") or [])
    )


def _check_classic(item: Item) -> None:
    """The reasons for which one entry alone is refused."""
    entry = item.raw
    missing = next((name for name in ("Source", "DetailType", "Detail") if not entry.get(name)), "")
    if missing:
        item.refuse("InvalidArgument", f"Parameter {missing} is not valid. Reason: {missing} is a required argument.")
    elif len(entry["Source"]) > SOURCE_CHARS or len(entry["DetailType"]) > DETAIL_TYPE_CHARS:
        item.refuse("InvalidArgument", "Parameter is not valid. Reason: Source or DetailType is too long.")
    else:
        _check_content(item)


def _check_content(item: Item) -> None:
    if item.raw["Source"].startswith("aws."):
        item.refuse("NotAuthorizedForSourceException", "Not authorized for the source.")
    elif item.note:
        item.refuse("MalformedDetail", "Detail is malformed.")


def _fits_v2(entry: Document) -> bool:
    system = entry.get("SystemMetadata") or {}
    return (
        all(model.fits("eventbridgev2", name, entry.get(name)) for name in ("Source", "DetailType"))
        and isinstance(entry.get("Detail"), str | None)
        and isinstance(entry.get("Time"), dt.datetime | None)
        and all(model.fits("eventbridgev2", "EventResource", item) for item in entry.get("Resources") or [])
        and all(name not in system or model.fits("eventbridgev2", kind, system[name]) for name, kind in _SYSTEM)
    )


_SYSTEM = (("EventGroupId", "EventGroupId"), ("DeduplicationId", "EventDeduplicationId"))


def _answer(call: Call) -> Any:
    """The answer of PutEvents, classic and v2 alike."""
    return {"FailedEntryCount": sum(1 for item in call.items if item.code), "Entries": by_position(call)}

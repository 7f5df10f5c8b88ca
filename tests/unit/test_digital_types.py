"""NICE's lists of digital event types: every one is routed by default, in each form in which it comes."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.model import DeadLetter, Dropped, Entry
from stream_router.pipeline.mapping.config_file import DIGITAL_TYPES
from stream_router.pipeline.transform import Transform
from tests.events import NOW_MS, config_of, event

KEPT_TYPES = {name for name, ours in DIGITAL_TYPES.items() if name == ours}

DATA = {
    "case": {"id": "case-1", "interactionId": "interaction-1", "contactId": "contact-1"},
    "channel": {"id": "chat_1"},
}
ROUTE = Transform(config_of(), lambda: NOW_MS)

DOCS = Path(__file__).parents[2] / "docs"
NOISE = re.findall(r"`STREAM_ROUTER_DROP_TYPES=([\w,]+)`", (DOCS / "events.md").read_text("utf-8"))[0].split(",")
"""What the page on events proposes to drop."""


def with_time(name: str) -> dict[str, Any]:
    """The form of events."""
    return {
        "eventId": "5c1d2b88-0f2e-4f43-9d3a-0242ac110002",
        "eventObject": "Case",
        "eventType": name,
        "createdAt": "2022-08-04T19:27:35+01:00",
        "createdAtWithMilliseconds": "2022-08-04T19:27:35.450+01:00",
        "data": DATA,
    }


def as_answer(name: str) -> dict[str, Any]:
    """The form of answers, which has no time."""
    return {"eventId": "5c1d2b88-0f2e-4f43-9d3a-0242ac110002", "postback": {"eventType": name, "data": DATA}}


@pytest.mark.parametrize("form", [with_time, as_answer], ids=["event", "answer"])
@pytest.mark.parametrize("name", sorted(DIGITAL_TYPES.keys() - KEPT_TYPES))
def test_type_of_nices_lists_is_routed(name: str, form: Any) -> None:
    """To one of our three types, which the rule lets through; joined by interaction and case, with milliseconds."""
    entry = ROUTE(event(form(name)))
    assert isinstance(entry, Entry), entry
    detail = orjson.loads(entry.detail)
    assert detail["eventType"] == DIGITAL_TYPES[name]
    assert (detail["originalEventId"], detail["conversationId"]) == ("interaction-1", "case-1")
    if form is with_time:
        assert detail["eventTimestamp"] == "2022-08-04T18:27:35.450Z"


@pytest.mark.parametrize("name", sorted(KEPT_TYPES))
def test_type_about_no_conversation_keeps_its_name(name: str) -> None:
    """It is a dead letter by default, and delivered where the setting names it."""
    refused = ROUTE(event(with_time(name)))
    assert isinstance(refused, DeadLetter)
    assert refused.code == "UnroutableEventType"
    named = Transform(config_of(event_types=name), lambda: NOW_MS)(event(with_time(name)))
    assert isinstance(named, Entry)
    assert named.detail_type == name


@pytest.mark.parametrize("name", NOISE)
def test_noise_is_dropped_where_so_set(name: str) -> None:
    """By NICE's own name, whatever it is called on the bus."""
    dropping = Transform(config_of(drop_types=",".join(NOISE)), lambda: NOW_MS)
    assert isinstance(dropping(event(with_time(name))), Dropped)

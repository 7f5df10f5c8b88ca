"""The reserved event `stream_router.probe`: it goes the way of every event, and by no setting's leave."""

from typing import Any

import orjson
import pytest

from stream_router.model import Batch, Entry, Record
from stream_router.pipeline.transform import Transform
from tests import events, fakes

MARK = "0123456789abcdef" * 2
PROBE = {"eventType": "stream_router.probe", "payload": {"probe": MARK}, "interactionId": "i", "conversationId": "c"}


def detail(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(entry.detail)
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"unroutable": "drop"},
        {"unroutable": "publish"},
        {"drop_types": "stream_router.probe"},
        {"masking": "default"},
    ],
    ids=lambda changes: next(iter(changes.values()), "defaults"),
)
def test_no_setting_keeps_it_from_the_bus(changes: dict[str, str]) -> None:
    """Neither what becomes of unroutable types, nor dropping, nor masking."""
    made = events.entry(PROBE, **changes)
    assert made.detail_type == "stream_router.probe"
    assert detail(made)["payload"] == {"probe": MARK}


@pytest.mark.parametrize(
    "payload", [{"probe": "Zoë, +49 30 5550"}, {"probe": MARK, "text": "Zoë"}, {"probe": MARK * 2}, "Zoë", None, [MARK]]
)
def test_nothing_of_its_sender_goes_on_but_the_mark(payload: object) -> None:
    """Anybody who may post may name this type, and no policy masks it: so it carries no text of anybody."""
    made = events.entry({**PROBE, "payload": payload, "interactionId": "Zoë", "conversationId": "Zoë", "x": "Zoë"})
    assert "Zo" not in made.detail.decode()
    assert detail(made)["payload"] in ({}, {"probe": MARK})
    assert detail(made)["conversationId"] is None
    assert made.order_key == ""


def test_it_is_settled_and_counted_apart() -> None:
    """The audit's account adds up, and no event was delivered."""
    transform = Transform(events.config_of(), lambda: events.NOW_MS)
    rig = fakes.rig(transform=transform)
    batch = Batch(1)
    bodies = [PROBE, events.BODY, PROBE]
    lines = b"\n".join(events.event(body).raw for body in bodies)
    record = Record(lines, 1, batch=batch)
    rig.router.route([record])
    rig.drain()
    assert (batch.delivered, batch.probes, record.unsettled) == (1, 2, 0)
    assert [entry.detail_type for entry in rig.tally.delivered] == [events.BODY["eventType"]]
    assert len(rig.tally.took_s) == 1
    assert len(rig.bus.accepted) == 3

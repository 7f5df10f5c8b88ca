"""The reserved event `stream_router.probe`: it goes the way of every event, and by no setting's leave."""

import orjson
import pytest

from stream_router.model import Batch, Record
from stream_router.operate.doctor import probe
from stream_router.operate.doctor.world import World
from stream_router.pipeline.transform import Transform
from stream_router.send.poster import DeliveryResult, Webhook
from tests import events, fakes

MARK = "0123456789abcdef" * 2
PROBE = {"eventType": "stream_router.probe", "payload": {"probe": MARK}, "interactionId": "i", "conversationId": "c"}


@pytest.mark.parametrize(
    "settings", [{}, {"unroutable": "drop"}, {"drop_types": "stream_router.probe"}, {"masking": "default"}]
)
@pytest.mark.parametrize(
    ("payload", "is_mark"),
    [
        ({"probe": MARK}, True),
        ({"probe": MARK, "text": "Zoë"}, None),
        *((item, False) for item in ({"probe": "Zoë, +49 30 5550"}, {"probe": MARK * 2}, "Zoë", None, [MARK])),
    ],
)
def test_no_setting_keeps_it_from_the_bus_and_nothing_of_its_sender_goes_on_but_the_mark(
    settings: dict[str, str], payload: object, is_mark: bool | None
) -> None:
    """Anybody who may post may name this type, and no policy masks it: so it carries no text of anybody."""
    sent = {**PROBE, "payload": payload, "interactionId": "Zoë", "conversationId": "Zoë", "x": "Zoë"}
    entry = events.entry(sent, **settings)
    detail = orjson.loads(entry.detail)
    assert (entry.detail_type, entry.order_key, detail["conversationId"]) == ("stream_router.probe", "", None)
    assert "Zo" not in entry.detail.decode()
    assert detail["payload"] in ({} if is_mark is not True else None, {"probe": MARK} if is_mark is not False else None)


def test_it_is_settled_and_counted_apart() -> None:
    """The audit's account adds up, and no event was delivered."""
    transform = Transform(events.config_of(), lambda: events.NOW_MS)
    rig = fakes.rig(transform=transform)
    batch = Batch(1)
    lines = b"\n".join(events.event(body).raw for body in (PROBE, events.BODY, PROBE))
    record = Record(lines, 1, batch=batch)
    rig.router.route([record])
    rig.drain()
    assert (batch.delivered, batch.probes, record.unsettled) == (1, 2, 0)
    assert [entry.detail_type for entry in rig.tally.delivered] == [events.BODY["eventType"]]
    assert (len(rig.tally.took_s), len(rig.bus.accepted)) == (1, 3)


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("SSL: no alternative certificate subject name matches target host name '127.0.0.1'", "SSL_CERT_FILE"),
        ("SSL certificate problem: unable to get local issuer certificate", "https://NAME:PORT/v1/events"),
        ("Connection refused", "start `stream-router receive`"),
    ],
)
def test_a_certificate_of_another_name_has_its_own_cure(text: str, cure: str) -> None:
    """The receiver runs, and another address is asked: the cure names the option and the variable that help."""
    answer = DeliveryResult(Webhook("d-1", b"{}"), 0, text.encode(), 1.0, 0.0)
    (row,) = probe._follow_probe(World(offline=True), "", lambda: answer)
    assert (row.code, cure in row.cure) == ("SR201", True)

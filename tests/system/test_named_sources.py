"""What several senders of one contact centre post, from their own paths to the target: signed XML, and JSON of two."""

import base64
import gzip
import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.world import World, event_id, until, webhook

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(240)]

EXPERT_KEY = b"the secret of CXone Expert"
TYPE = "page.updated"
CONFIG = """
[[cxone.sources]]
name = "wiki"
type = "webhook"
url = "https://x/v1/events/wiki"
scheme = "expert"
secrets = "the secret of CXone Expert"

[[cxone.sources]]
name = "script"
type = "webhook"
url = "https://x/v1/events/script"
scheme = "hmac"
hmac_id_header = "x-id"
secrets = "the secret of the Studio script"

[[cxone.sources]]
name = "survey"
type = "webhook"
url = "https://x/v1/events/survey"
scheme = "hmac"
hmac_id_header = "x-id"
secrets = "the secret of the survey"
"""
KEYS = {"script": b"the secret of the Studio script", "survey": b"the secret of the survey"}
GOOD = (
    b'<?xml version="1.0" encoding="utf-8"?>\r\n<event id="e-1" datetime="2026-11-24T09:30:00Z" type="page:edit">'
    b'<page id="42"><title>J\xc3\xb6rg &amp; Co</title></page><tag>a</tag><tag n="2">b</tag></event>'
)
HOSTILE = {
    "entity": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "laughs": b'<!DOCTYPE a [<!ENTITY l "ha">'
    + b"".join(b'<!ENTITY l%d "%b">' % (n, (b"&l%d;" % (n - 1) if n > 1 else b"&l;") * 10) for n in range(1, 10))
    + b"]><a>&l9;</a>",
    "dtd": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd"><a/>',
    "levels": b"<a>" * 100_000 + b"</a>" * 100_000,
}


def post_as_expert(world: World, delivery_id: str, body: bytes) -> httpx.Response:
    """As NICE's guide has it: XML by its type, the event's type in a header, the body signed with its time."""
    stamp = str(int(time.time()))
    mac = hmac.new(EXPERT_KEY, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "text/xml",
        "x-nexus-event-type": TYPE,
        "x-nexus-delivery-id": delivery_id,
        "x-nexus-timestamp": stamp,
        "x-nexus-signature-256": f"sha256={mac}",
    }
    return world.http.post("/v1/events/wiki", content=body, headers=headers)


def post_signed(world: World, path: str, key: bytes, body: bytes) -> httpx.Response:
    headers = {"x-signature": hmac.new(key, body, hashlib.sha256).hexdigest(), "x-id": "one delivery id"}
    return world.http.post(f"/v1/events/{path}", content=body, headers=headers)


def test_each_sender_s_events_come_out_at_the_target(make_world: Callable[..., World], tmp_path: Path) -> None:
    """XML as an object under its type, hostile XML as a dead letter with a reason; one body of two sources twice."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    types = f"interaction.created,{TYPE}"
    world = make_world(STREAM_ROUTER_CONFIG=str(config), STREAM_ROUTER_EVENT_TYPES=types)
    world.start_all()
    both = webhook(0, eventType="interaction.created")
    for path, key in KEYS.items():
        for other in KEYS:
            answer = post_signed(world, other, key, both)
            assert answer.status_code == (202 if other == path else 401)
            assert other != path or answer.json()["ids"] == [event_id(f"source/{path}", "one delivery id", 0, both)]
    assert post_signed(world, "wiki", KEYS["script"], both).status_code == 401
    assert post_as_expert(world, "d-good", GOOD).status_code == 202
    for name, body in HOSTILE.items():
        assert post_as_expert(world, f"d-{name}", body).status_code == 202

    arrived: list[dict[str, Any]] = []
    letters: list[dict[str, Any]] = []

    def settled() -> bool:
        arrived.extend(world.drain(world.target))
        letters.extend(world.drain(world.dead_letters))
        return len(arrived) >= 3 and len(letters) >= len(HOSTILE)

    until(settled, 60, "everything came out")
    details = {event["detail"]["eventId"]: event["detail"] for event in arrived}
    of_two = [details.pop(event_id(f"source/{path}", "one delivery id", 0, both)) for path in KEYS]
    assert of_two[0]["payload"] == of_two[1]["payload"]
    (detail,) = details.values()
    assert detail["eventId"] == event_id("source/wiki", "d-good", 0, GOOD)
    assert (detail["eventType"], detail["originalEventId"], detail["conversationId"]) == (TYPE, "e-1", "42")
    assert detail["payload"]["event"]["page"] == {"@id": "42", "title": "Jörg & Co"}
    assert detail["payload"]["event"]["tag"] == ["a", {"@n": "2", "#text": "b"}]

    ids = {event_id("source/wiki", f"d-{name}", 0, body): name for name, body in HOSTILE.items()}
    assert {ids[letter["origin"]["eventId"]] for letter in letters} == HOSTILE.keys()
    for letter in letters:
        assert (letter["reason"], letter["error"]["message"] != "") == ("schema_mismatch", True)
        data = base64.b64decode(letter["record"]["data"])
        kept = gzip.decompress(data) if letter["record"]["encoding"] == "base64+gzip" else data
        assert b'"contentType":"text/xml"' in kept

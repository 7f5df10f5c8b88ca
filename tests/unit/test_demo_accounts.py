"""The demo's tally: what counts as accepted, delivered, buried, twice, lost; and what the report makes of it.

That each kind of garbage is refused, or buried for its reason: tests/system/test_demo.py.
"""

import base64
import random
from datetime import UTC, datetime
from typing import Any

import orjson

from stream_router.local import poison, report
from stream_router.local.accounts import Accounts
from stream_router.model import correlation_id
from stream_router.send.poster import Answered, Webhook
from stream_router.send.samples import Webhooks

ID, OTHER = "0123456789abcdef0123456789abcdef", "f" * 32
WEBHOOKS = Webhooks(7, datetime.now(UTC))
GARBAGE = [poison.garbage(n, WEBHOOKS.body(n), random.Random(n)) for n in range(3 * len(poison.KINDS))]
NOW_MS = datetime(2026, 11, 24, 9, 30, tzinfo=UTC).timestamp() * 1000


def answered(status: int, *ids: str, delivery: str = "d") -> Answered:
    return Answered(Webhook(delivery, b"{}"), status, orjson.dumps({"ids": ids}), 2.0)


def arrived(identity: str, correlation: str) -> dict[str, Any]:
    times = {"receivedAt": "2026-11-24T09:30:00.000Z", "processedAt": "2026-11-24T09:30:00.100Z"}
    return {"detail": {"eventId": identity, "correlationId": correlation, **times}}


def letter(raw: bytes, reason: str, identity: str = "") -> dict[str, Any]:
    record = {"encoding": "base64", "data": base64.b64encode(raw).decode()}
    origin = {"eventId": identity}
    return {"schema": "stream-router.dead-letter/1", "reason": reason, "origin": origin, "record": record}


def test_each_event_has_one_end_and_the_sum_adds_up() -> None:
    """Delivered, a dead letter, or lost; further copies are duplicates; garbage is known by its bytes."""
    accounts = Accounts()
    accounts.broken.add("bad")
    accounts.answered(answered(202, ID, OTHER))
    accounts.answered(answered(400, delivery="bad"))
    accounts.inject(GARBAGE)
    assert accounts.lost() == accounts.expected() == 2 + len(GARBAGE)
    for _ in range(3):
        accounts.take_event(arrived(ID, correlation_id(ID)), NOW_MS + 150)
    accounts.take_letter(letter(b"x", "refused", OTHER), NOW_MS)
    for item in GARBAGE:
        accounts.take_letter(letter(item.data, item.reason, "1" * 32), NOW_MS)
    result = report.as_json(accounts, 2.0, {"entriesPerCall": 9.7})
    assert report.complaints(accounts) == []
    assert result["sent"] == 2 + len(GARBAGE)
    assert (result["delivered"], result["duplicates"], result["lost"], result["rejected"]) == (1, 2, 0, 1)
    assert result["deadLettered"] == sum(result["deadLettersByReason"].values()) == 1 + len(GARBAGE)
    assert result["stagesMs"]["processed to target"]["p999"] == result["stagesMs"]["received to processed"]["p50"] / 2
    assert result["latencyMs"]["max"] == 150


def test_whatever_is_not_as_it_should_be_is_said() -> None:
    """Lost events, refused good posts, accepted bad ones, wrong reasons, another identity, no answer."""
    accounts = Accounts()
    accounts.broken.add("bad")
    accounts.answered(answered(202, ID, delivery="bad"))
    accounts.answered(answered(202, OTHER))
    accounts.answered(answered(400, delivery="good"))
    accounts.answered(answered(503, delivery="other"))
    accounts.take_event(arrived(ID, correlation_id(OTHER)), NOW_MS)
    accounts.inject(GARBAGE[:1])
    accounts.take_letter(letter(GARBAGE[0].data, "unroutable"), NOW_MS)
    assert report.complaints(accounts) == [
        "1 events were LOST",
        "1 posts got no answer",
        "1 broken posts were accepted",
        "1 good posts were refused",
        "1 copies carried another identity",
        "1 dead letters have a wrong reason, for example JSON cut short: malformed_json, not unroutable",
    ]

"""The demo's tally where something went wrong; where all is well: tests/system/test_demo.py."""

import base64
import io
import random
from datetime import UTC, datetime

import orjson
from rich.console import Console

from stream_router.event_id import correlation_id
from stream_router.local import poison, report
from stream_router.local.accounts import Accounts
from stream_router.send.poster import DeliveryResult, Webhook
from stream_router.send.samples import Webhooks

ID, OTHER = "0123456789abcdef0123456789abcdef", "f" * 32
NOW_MS = datetime(2026, 11, 24, 9, 30, tzinfo=UTC).timestamp() * 1000
TIMES = {"receivedAt": "2026-11-24T09:30:00.000Z", "processedAt": "2026-11-24T09:30:00.100Z"}


def test_copies_are_explained_in_events() -> None:
    """A copy with another `processedAt` was read again from the checkpoint; one with the same was only sent again."""
    accounts = Accounts()
    later = TIMES | {"processedAt": "2026-11-24T09:30:09.000Z"}
    for times in (TIMES, TIMES, later, later):
        accounts.take_event({"detail": {"eventId": ID, "correlationId": correlation_id(ID), **times}}, NOW_MS)
    result = report.as_json(accounts, 2.0, {})
    assert (result["duplicates"], result["readAgain"], result["sentAgain"]) == (3, 1, 2)
    console = Console(file=io.StringIO(), width=80)
    report.show(result, console)
    shown = " ".join(console.file.getvalue().replace("│", " ").split())  # type: ignore[attr-defined] # a StringIO
    assert "read again 1 from the last checkpoint: events that a killed" in shown
    assert "(ministack) drops `Time` of PutEvents" in shown


def test_whatever_is_not_as_it_should_be_is_said() -> None:
    """Copies, lost events, refused good posts, accepted bad ones, wrong reasons, another identity, no answer."""
    accounts = Accounts()
    accounts.broken.add("bad")
    for delivery, status, ids in (("bad", 202, [ID]), ("d", 202, [OTHER]), ("good", 400, []), ("other", 503, [])):
        accounts.answered(DeliveryResult(Webhook(delivery, b"{}"), status, orjson.dumps({"ids": ids}), 2.0))
    for correlation in (correlation_id(OTHER), correlation_id(ID), correlation_id(ID)):
        accounts.take_event({"detail": {"eventId": ID, "correlationId": correlation, **TIMES}}, NOW_MS)
    garbage = poison.garbage(0, Webhooks(7, datetime.now(UTC)).body(0), random.Random(0))
    accounts.inject([garbage])
    record = {"encoding": "base64", "data": base64.b64encode(garbage.data).decode()}
    letter = {"schema": "stream-router.dead-letter/1", "reason": "unroutable", "record": record}
    accounts.take_letter({**letter, "origin": {"eventId": ""}}, NOW_MS)
    assert report.as_json(accounts, 2.0, {})["duplicates"] == 2
    assert report.complaints(accounts) == [
        "1 events were LOST",
        "1 posts got no answer",
        "1 broken posts were accepted",
        "1 good posts were refused",
        "1 copies had another identity",
        "1 dead letters have a wrong reason, for example JSON cut short: malformed_json, not unroutable",
    ]

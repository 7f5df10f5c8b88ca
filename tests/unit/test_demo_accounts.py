"""The demo's tally: what counts as accepted, delivered, buried, twice, lost; and what the report makes of it."""

import base64
import contextlib
import io
import random
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from rich.console import Console

from stream_router.envelope import open_record
from stream_router.local import poison, report
from stream_router.local.accounts import Accounts
from stream_router.model import Event, Record, correlation_id
from stream_router.send.poster import Answered, Webhook
from stream_router.send.samples import Webhooks

ID, OTHER = "0123456789abcdef0123456789abcdef", "f" * 32
WEBHOOKS = Webhooks(7, datetime.now(UTC))
GARBAGE = [poison.garbage(n, WEBHOOKS.body(n), random.Random(n)) for n in range(3 * len(poison.KINDS))]
NINE_THIRTY_MS = datetime(2026, 11, 24, 9, 30, tzinfo=UTC).timestamp() * 1000


def _answer(status: int, *ids: str, delivery: str = "d") -> Answered:
    return Answered(Webhook(delivery, b"{}"), status, orjson.dumps({"ids": ids}), 2.0)


def _event(identity: str, correlation: str = "") -> dict[str, Any]:
    return {
        "detail": {
            "eventId": identity,
            "correlationId": correlation or correlation_id(identity),
            "receivedAt": "2026-11-24T09:30:00.000Z",
            "processedAt": "2026-11-24T09:30:00.100Z",
        }
    }


def _letter(raw: bytes, reason: str, identity: str = "") -> dict[str, Any]:
    return {
        "schema": "stream-router.dead-letter/1",
        "reason": reason,
        "origin": {"eventId": identity},
        "record": {"encoding": "base64", "data": base64.b64encode(raw).decode()},
    }


def test_each_event_has_one_end_and_the_sum_adds_up() -> None:
    """Delivered, a dead letter, or lost; further copies are duplicates; garbage is known by its bytes."""
    accounts = Accounts()
    accounts.broken.add("bad")
    accounts.answered(_answer(202, ID, OTHER))
    accounts.answered(_answer(400, delivery="bad"))
    accounts.inject(GARBAGE)
    assert accounts.lost() == accounts.expected() == 2 + len(GARBAGE)
    for _ in range(3):
        accounts.take_event(_event(ID), NINE_THIRTY_MS + 150)
    accounts.take_letter(_letter(b"x", "refused", OTHER), NINE_THIRTY_MS)
    for item in GARBAGE:
        accounts.take_letter(_letter(item.data, item.reason, "1" * 32), NINE_THIRTY_MS)
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
    accounts.answered(_answer(202, ID, delivery="bad"))
    accounts.answered(_answer(202, OTHER))
    accounts.answered(_answer(400, delivery="good"))
    accounts.answered(_answer(503, delivery="other"))
    accounts.take_event(_event(ID, correlation_id(OTHER)), NINE_THIRTY_MS)
    accounts.inject(GARBAGE[:1])
    accounts.take_letter(_letter(GARBAGE[0].data, "unroutable"), NINE_THIRTY_MS)
    assert report.complaints(accounts) == [
        "1 events were LOST",
        "1 posts got no answer",
        "1 broken posts were accepted",
        "1 good posts were refused",
        "1 copies carried another identity",
        "1 dead letters have a wrong reason, for example JSON cut short: malformed_json, not unroutable",
    ]


@pytest.mark.parametrize("item", GARBAGE, ids=lambda item: item.kind)
def test_each_kind_of_garbage_is_one_event_of_the_stream_that_was_received_when_it_came(item: poison.Garbage) -> None:
    """No line break hides in it, so one record is one dead letter; a time in it would make it days late."""
    (found,) = open_record(Record(item.data, 1, arrived_at_ms=5))
    assert (found if isinstance(found, Event) else found.event).received_at_ms == 5
    assert len({one.data for one in GARBAGE}) == len(GARBAGE)


@pytest.mark.parametrize("number", range(6))
def test_no_broken_body_is_a_json_object(number: int) -> None:
    """So the receiver must refuse it."""
    with contextlib.suppress(orjson.JSONDecodeError):
        assert not isinstance(orjson.loads(poison.broken_body(number, WEBHOOKS.body(number))), dict)


@pytest.mark.parametrize(("width", "names"), [(60, report.NARROW_QUANTILES), (80, tuple(report.QUANTILES))])
def test_no_figure_is_cut_in_a_narrow_terminal_or_a_pipe(width: int, names: tuple[str, ...]) -> None:
    """A busy machine's latencies of minutes too: a narrow terminal gets fewer quantiles."""
    slow = dict.fromkeys(report.QUANTILES, 98_765.0)
    product = {"latencyMs": {"received to dead lettered": slow}, "cloudWatch": {"RoutingLatencyMilliseconds": slow}}
    result = {**report.as_json(Accounts(), 2.0, product), "stagesMs": {"processed to target": slow}}
    console = Console(width=width, record=True, file=io.StringIO())
    report.show(result, console)
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert text.count("99 s") == 3 * len(names)

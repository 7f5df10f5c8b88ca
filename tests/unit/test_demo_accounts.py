"""The demo's books: what counts as accepted, delivered, buried, twice, lost; and what the report makes of it."""

import base64
import contextlib
import gzip
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
from stream_router.pipeline.sinks.dead_letters import reader
from stream_router.send.poster import Answered, Webhook
from stream_router.send.samples import Webhooks
from stream_router.telemetry.metrics_catalogue import STAGES

ID = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32


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


def _letter(raw: bytes, reason: str, identity: str = "", encoding: str = "base64") -> dict[str, Any]:
    data = gzip.compress(raw) if encoding.endswith("gzip") else raw
    record = {"encoding": encoding, "data": base64.b64encode(data).decode()}
    return {
        "schema": "stream-router.dead-letter/1",
        "reason": reason,
        "origin": {"eventId": identity},
        "record": record,
    }


NINE_THIRTY_MS = datetime(2026, 11, 24, 9, 30, tzinfo=UTC).timestamp() * 1000


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


def test_what_was_accepted_and_came_out_nowhere_is_lost(accounts: Accounts) -> None:
    """Until it comes out at the target, or as a dead letter."""
    accounts.answered(_answer(202, ID))
    accounts.answered(_answer(202, OTHER))
    assert accounts.lost() == 2
    accounts.take_event(_event(ID), NINE_THIRTY_MS + 150)
    accounts.take_letter(_letter(b"x", "refused", OTHER), NINE_THIRTY_MS)
    assert accounts.lost() == 0


def test_a_second_copy_is_a_duplicate_not_a_delivery(accounts: Accounts) -> None:
    """Counted by distinct event."""
    accounts.answered(_answer(202, ID))
    for _ in range(3):
        accounts.take_event(_event(ID), NINE_THIRTY_MS)
    result = report.as_json(accounts, 1.0, {})
    assert (result["delivered"], result["duplicates"], result["lost"]) == (1, 2, 0)


def test_a_copy_with_another_identity_is_noticed(accounts: Accounts) -> None:
    """Every copy of an event carries the same two ids."""
    accounts.answered(_answer(202, ID))
    accounts.take_event(_event(ID, correlation_id(OTHER)), NINE_THIRTY_MS)
    assert report.complaints(accounts) == ["1 copies carried another identity"]


def test_garbage_is_known_by_its_bytes(accounts: Accounts) -> None:
    """Whatever id the product gave it; gzip in the dead letter or not."""
    items = [poison.garbage(n, Webhooks(1, datetime.now(UTC)).body(n), random.Random(1)) for n in range(7)]
    accounts.inject(items)
    assert accounts.lost() == 7
    for number, item in enumerate(items):
        encoding = "base64+gzip" if number % 2 else "base64"
        accounts.take_letter(_letter(item.data, item.reason, encoding=encoding), NINE_THIRTY_MS)
    assert accounts.lost() == 0
    assert report.complaints(accounts) == []


def test_a_wrong_reason_is_noticed(accounts: Accounts) -> None:
    """A dead letter must say why."""
    item = poison.garbage(0, Webhooks(1, datetime.now(UTC)).body(0), random.Random(1))
    accounts.inject([item])
    accounts.take_letter(_letter(item.data, "unroutable"), NINE_THIRTY_MS)
    assert "JSON cut short: malformed_json, not unroutable" in report.complaints(accounts)[0]


def test_broken_posts_must_be_refused_and_good_ones_not(accounts: Accounts) -> None:
    """Both mistakes are told apart."""
    accounts.broken.add("bad")
    accounts.answered(_answer(202, ID, delivery="bad"))
    accounts.answered(_answer(400, delivery="good"))
    accounts.answered(_answer(503, delivery="other"))
    accounts.take_event(_event(ID), NINE_THIRTY_MS)
    assert set(report.complaints(accounts)) == {
        "1 posts got no answer",
        "1 broken posts were accepted",
        "1 good posts were refused",
    }


def test_the_sum_adds_up(accounts: Accounts) -> None:
    """Sent is what was posted and what was injected."""
    accounts.broken.add("bad")
    accounts.answered(_answer(202, ID))
    accounts.answered(_answer(400, delivery="bad"))
    accounts.inject([poison.garbage(3, Webhooks(1, datetime.now(UTC)).body(3), random.Random(1))])
    result = report.as_json(accounts, 2.0, {"entriesPerCall": 9.7})
    assert result["sent"] == result["rejected"] + result["accepted"] + result["injected"] == 3
    assert result["eventsPerSecond"] == 1.0
    assert result["entriesPerCall"] == 9.7


def test_latency_is_what_the_arrivals_say(accounts: Accounts) -> None:
    """Received to processed, processed to target, and both."""
    accounts.take_event(_event(ID), NINE_THIRTY_MS + 150)
    found = report.stages(accounts)
    assert found["received to processed"]["p50"] == pytest.approx(100)
    assert found["processed to target"]["p999"] == pytest.approx(50)
    assert found["received to target"]["max"] == pytest.approx(150)
    assert found["posted to answered"]["p50"] is None


def test_a_stage_that_no_event_went_through_has_no_latency() -> None:
    """The product's metrics say none there, as the stamps of the arrivals do, and not 0 ms."""
    said = report.of_totals({})
    assert said["latencyMs"] == {stage.replace("_", " "): dict.fromkeys(report.QUANTILES) for stage in STAGES}


@pytest.mark.parametrize("serial", range(2 * len(poison.KINDS)))
def test_each_kind_of_garbage_is_one_event_of_the_stream(serial: int) -> None:
    """No line break hides in it, so one record is one dead letter; no two are alike."""
    webhooks, rng = Webhooks(7, datetime.now(UTC)), random.Random(7)
    items = [poison.garbage(serial, webhooks.body(serial), rng) for _ in range(5)]
    assert all(len(open_record(Record(item.data, 1))) == 1 for item in items)
    assert len({poison.garbage(n, webhooks.body(n), rng).data for n in range(50)}) == 50


@pytest.mark.parametrize("serial", range(len(poison.KINDS)))
def test_no_garbage_was_received_before_it_came(serial: int) -> None:
    """How long a dead letter took is told from when it was received: garbage that says 1970 would be days late."""
    item = poison.garbage(serial, Webhooks(7, datetime.now(UTC)).body(0), random.Random(7))
    (found,) = open_record(Record(item.data, 1, arrived_at_ms=5))
    assert (found if isinstance(found, Event) else found.event).received_at_ms == 5


@pytest.mark.parametrize("number", range(6))
def test_no_broken_body_is_a_json_object(number: int) -> None:
    """So the receiver must refuse it."""
    body = poison.broken_body(number, Webhooks(7, datetime.now(UTC)).body(number))
    with contextlib.suppress(orjson.JSONDecodeError):
        assert not isinstance(orjson.loads(body), dict)


def test_webhooks_are_realistic() -> None:
    """Three types, several hundred bytes, some of it not ASCII; the same again for the same seed."""
    now = datetime.now(UTC)
    bodies = [Webhooks(1, now).body(n) for n in range(3)]
    assert [orjson.loads(body)["eventType"] for body in bodies] == [
        "interaction.created", "conversation.updated", "agent.status.changed",
    ]  # fmt: skip
    assert all(350 < len(body) < 1500 and not body.isascii() for body in bodies)
    assert bodies[0] == Webhooks(1, now).body(0)


def test_a_dead_letter_of_a_whole_group_keeps_its_line() -> None:
    """The original bytes come back out of either encoding."""
    assert reader.original(reader.of_content(_letter(b"\xff\0", "malformed_json"))) == b"\xff\0"


@pytest.mark.parametrize(("width", "latencies"), [(60, ("p50", "p99", "max")), (100, ("p90", "p95", "p99.9"))])
def test_the_tables_can_be_read_in_a_narrow_terminal(
    accounts: Accounts, width: int, latencies: tuple[str, ...]
) -> None:
    """No figure is cut off: a narrow terminal gets fewer of them."""
    accounts.answered(_answer(202, ID))
    accounts.take_event(_event(ID), NINE_THIRTY_MS + 123_456)
    console = Console(width=width, record=True, file=io.StringIO())
    report.show(report.as_json(accounts, 2.0, {"entriesPerCall": 9.7}), console)
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert all(name in text for name in latencies)
    assert "123,456" in text


@pytest.mark.parametrize(("slowest_ms", "all_of_them"), [(9_876.0, True), (98_765.0, False)])
def test_no_figure_is_cut_in_a_pipe(slowest_ms: float, all_of_them: bool) -> None:
    """A busy machine's latencies of seconds go into its 80 columns with all quantiles; longer ones with fewer."""
    slow = dict.fromkeys(report.QUANTILES, slowest_ms)
    stages = {"received to dead lettered": slow, "processed to target": dict.fromkeys(report.QUANTILES, 99.96)}
    product = {"latencyMs": stages, "cloudWatch": {"RoutingLatencyMilliseconds": slow}, "entriesPerCall": 9.7}
    result = {**report.as_json(Accounts(), 2.0, product), "stagesMs": stages}
    console = Console(width=80, record=True, file=io.StringIO())
    report.show(result, console)
    text = console.export_text()
    assert "…" not in text
    assert text.count(f"{slowest_ms:,.0f}") == 3 * len(report.QUANTILES if all_of_them else report.NARROW_QUANTILES)

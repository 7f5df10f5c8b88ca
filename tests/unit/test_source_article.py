"""The mistakes of the article that first described the product, one test for each: none of them may come back."""

import time
from typing import Any

import orjson
import pytest
from botocore.loaders import Loader

from stream_router import envelope, limits
from stream_router.consumer.transform_config import transform_config
from stream_router.errors import Disposition, of_put_events
from stream_router.model import Entry, Event, Record, correlation_id, event_id
from stream_router.operate.resources import pattern as pattern_of
from stream_router.pipeline.sample_events import sample_entries
from stream_router.pipeline.transform import Transform
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from tests.fakes import entry, rig


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("SQS_DLQ_URL", "https://sqs.eu-central-1.amazonaws.com/1/q")
    return load(Consumer)


def _event(body: dict[str, Any]) -> Event:
    raw = orjson.dumps(body)
    record = Record(envelope.seal(event_id("hmac", "d", 0, raw), "delivery", 1_764_000_000_000, raw), 1)
    found = envelope.open_record(record)[0]
    assert isinstance(found, Event)
    return found


def _body(**changes: Any) -> dict[str, Any]:
    return {
        "interactionId": "i",
        "conversationId": "c",
        "eventType": "interaction.created",
        "timestamp": "2026-11-24T10:30:00.123+01:00",
        "payload": {"text": "ありがとう"},
    } | changes


def test_25_entries_a_call_are_never_sent_to_a_classic_bus(consumer: Consumer) -> None:
    """A classic bus refuses more than 10; 25 is asked for by default, and the bus's own ceiling wins."""
    assert consumer.max_entries == 25
    assert consumer.entries_per_call == 10
    v2 = "arn:aws:events:eu-central-1:1:event-busv2/b/0123456789012345678901234"
    assert consumer.model_copy(update={"event_bus": v2}).entries_per_call == 25
    pipeline = rig()
    pipeline.router.publisher.take([entry(n) for n in range(25)])
    pipeline.drain()
    assert [len(call) for call in pipeline.bus.calls] == [10, 10, 5]


def test_a_rule_that_matches_none_of_our_events_cannot_be_written(consumer: Consumer) -> None:
    """The article's rule asked for a `detail` field that its events did not have."""
    types = consumer.event_type_list
    pattern = pattern_of(types)
    for made in sample_entries("eu-central-1", types, 0):
        detail = orjson.loads(made.detail)
        assert pattern["source"] == ["nice.cxone.webhook"]
        assert made.detail_type in pattern["detail-type"]
        assert all(detail[key].startswith(test[0]["prefix"]) for key, test in pattern["detail"].items())


def test_the_correlation_id_is_the_same_in_every_copy(consumer: Consumer) -> None:
    """The article drew a new one for each attempt, so no copy could be told for one."""
    transform = Transform(transform_config(consumer), lambda: time.time() * 1000)
    copies = [transform(_event(_body())) for _ in range(2)]
    ids = {(d["eventId"], d["correlationId"]) for d in (orjson.loads(c.detail) for c in copies if isinstance(c, Entry))}
    ((identity, correlation),) = ids
    assert correlation == correlation_id(identity)


def test_every_limit_is_aws_own() -> None:
    """The article's 25 and 256 KB were guesses: ours come from the service's model, or name their source."""
    assert limits.bus_ceiling("default") == 10
    of_model = {
        ("eventbridgev2", "PutEventsRequestEntryList"): limits.V2_MAX_ENTRIES,
        ("events", "RuleName"): limits.RULE_NAME_MAX_CHARS,
        ("events", "EventPattern"): limits.EVENT_PATTERN_MAX_CHARS,
        ("kinesis", "PutRecordsRequestEntryList"): limits.PUT_RECORDS_MAX_RECORDS,
    }
    for (service, shape), limit in of_model.items():
        assert Loader().load_service_model(service, "service-2")["shapes"][shape]["max"] == limit


def test_a_200_with_failures_inside_is_read_entry_by_entry() -> None:
    """The article took HTTP 200 for success."""
    pipeline = rig()
    answer = pipeline.bus.answer([entry(1), entry(2)], ["", "InternalFailure"])
    outcomes = of_put_events(answer, 2)
    assert isinstance(outcomes, list)
    assert [outcome.disposition for outcome in outcomes] == [None, Disposition.RETRY]

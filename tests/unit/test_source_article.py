"""The mistakes of the article that first described the product, one test for each: none of them may come back."""

import base64
import time
from collections import Counter
from typing import Any

import boto3
import orjson
import pytest
from botocore.loaders import Loader
from botocore.validate import ParamValidator

from stream_router import envelope, limits
from stream_router.consumer.transform_config import transform_config
from stream_router.errors import Disposition, call_disposition, entry_disposition, of_put_events
from stream_router.model import Entry, Event, Reason, Record, correlation_id, event_id
from stream_router.operate.resources import pattern as pattern_of
from stream_router.pipeline.delivery.blame import Tries
from stream_router.pipeline.sample_events import sample_entries
from stream_router.pipeline.transform import Transform
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from stream_router.telemetry import cloudwatch
from stream_router.telemetry.metrics_catalogue import STAGES
from stream_router.telemetry.snapshot import Snapshot
from tests.fakes import NO_ANSWER, entry, refused, rig
from tests.told import snapshot


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


def test_jitter_comes_from_a_function_that_exists() -> None:
    """`math.random` does not: the first retry of the article's script raised AttributeError."""
    tries = Tries(99.0, 100.0)
    tries.own = 1
    assert tries.next_own_at(100.0, 4, lambda: 0.0) == 100.0
    assert tries.next_own_at(100.0, 4, lambda: 0.5) == 100.125


def test_a_call_without_any_answer_is_handled() -> None:
    """The article read `response` in its except branch, where it is not bound: a time-out was an UnboundLocalError."""
    pipeline = rig()
    answers = [NO_ANSWER]
    pipeline.bus.judge = lambda call: answers.pop() if answers else pipeline.bus.accept(call)
    pipeline.router.publisher.take([entry(1)])
    pipeline.drain()
    assert len(pipeline.bus.calls) == 2
    assert len(pipeline.books.delivered) == 1


def test_an_entry_that_failed_in_an_accepted_call_is_retried_alone() -> None:
    """The article counted partial failures and forgot the events."""
    pipeline = rig()
    first = [True]

    def judge(call: Any) -> Any:
        codes = ["InternalFailure" if first[0] and n == 4 else "" for n in range(len(call))]
        first[0] = False
        return pipeline.bus.answer(call, codes)

    pipeline.bus.judge = judge
    pipeline.router.publisher.take([entry(n) for n in range(10)])
    pipeline.drain()
    assert [len(call) for call in pipeline.bus.calls] == [10, 1]
    assert len(pipeline.books.delivered) == 10
    assert not pipeline.books.dead


def test_an_entry_that_can_never_succeed_is_a_dead_letter() -> None:
    """The article's partial failures reached no dead-letter queue."""
    pipeline = rig()
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, ["MalformedDetail"] + [""] * (len(call) - 1))
    pipeline.router.publisher.take([entry(n) for n in range(3)])
    pipeline.drain()
    assert [letter.reason for letter in pipeline.books.dead] == [Reason.REFUSED]
    assert len(pipeline.queue.bodies) == 1


def test_throttling_is_known_by_its_code_not_by_429() -> None:
    """EventBridge throttles with HTTP 400 (or 200 and a code on the entry); a check for 429 never fires."""
    assert call_disposition("ThrottlingException", 400) is Disposition.HOLD
    assert entry_disposition("ThrottlingException") is Disposition.HOLD
    pipeline = rig()
    throttled = [refused("ThrottlingException", 400)] * 3
    pipeline.bus.judge = lambda call: throttled.pop() if throttled else pipeline.bus.accept(call)
    pipeline.router.publisher.take([entry(1)])
    pipeline.drain()
    assert len(pipeline.books.delivered) == 1
    assert not pipeline.books.dead


def test_a_dead_letter_holds_the_event_itself_as_json() -> None:
    """The article sent `str()` of AWS's result entries: neither the event nor JSON."""
    pipeline = rig()
    pipeline.bus.judge = lambda call: pipeline.bus.answer(call, ["MalformedDetail"])
    bad = entry(7)
    pipeline.router.publisher.take([bad])
    pipeline.drain()
    (letter,) = pipeline.queue.bodies
    record: Any = letter["record"]
    assert base64.b64decode(record["data"]) == bad.event.raw
    assert letter["schema"] == "stream-router.dead-letter/1"


def test_an_entrys_size_is_counted_in_bytes(consumer: Consumer) -> None:
    """`len()` of a text counts characters: a Japanese payload is three times as large on the wire."""
    transform = Transform(transform_config(consumer), lambda: time.time() * 1000)
    made = transform(_event(_body(payload={"text": "ありがとう" * 1000})))
    assert isinstance(made, Entry)
    expected = 14 + len(b"nice.cxone.webhook") + len(made.detail_type.encode()) + len(made.detail)
    assert made.size_bytes == expected
    assert made.size_bytes > len(made.detail.decode()) + 10_000 - 100


def test_the_region_is_the_one_that_was_set(consumer: Consumer) -> None:
    """The article's main ignored its own configuration and wrote us-east-1 into every event."""
    transform = Transform(transform_config(consumer), lambda: 0.0)
    made = transform(_event(_body()))
    assert isinstance(made, Entry)
    assert orjson.loads(made.detail)["metadata"]["region"] == "eu-central-1"


def test_a_rule_that_matches_none_of_our_events_cannot_be_written(consumer: Consumer) -> None:
    """The article's rule asked for a `detail` field that its events did not have."""
    types = consumer.event_type_list
    pattern = pattern_of(types)
    for made in sample_entries("eu-central-1", types, 0):
        detail = orjson.loads(made.detail)
        assert pattern["source"] == ["nice.cxone.webhook"]
        assert made.detail_type in pattern["detail-type"]
        assert all(detail[key].startswith(test[0]["prefix"]) for key, test in pattern["detail"].items())


def test_the_timestamp_is_truly_normalised(consumer: Consumer) -> None:
    """The article wrote a `Z` behind a local time."""
    made = Transform(transform_config(consumer), lambda: 0.0)(_event(_body()))
    assert isinstance(made, Entry)
    assert orjson.loads(made.detail)["eventTimestamp"] == "2026-11-24T09:30:00.123Z"


def test_the_correlation_id_is_the_same_in_every_copy(consumer: Consumer) -> None:
    """The article drew a new one for each attempt, so no copy could be told for one."""
    transform = Transform(transform_config(consumer), lambda: time.time() * 1000)
    copies = [transform(_event(_body())) for _ in range(2)]
    ids = {(d["eventId"], d["correlationId"]) for d in (orjson.loads(c.detail) for c in copies if isinstance(c, Entry))}
    ((identity, correlation),) = ids
    assert correlation == correlation_id(identity)


def test_nothing_is_called_masked_that_was_not(consumer: Consumer) -> None:
    """The article stamped `pii-masked` on every event and masked nothing."""
    assert consumer.masking == "off"
    made = Transform(transform_config(consumer), lambda: 0.0)(_event(_body()))
    assert isinstance(made, Entry)
    assert orjson.loads(made.detail)["metadata"]["complianceTag"] == "unmasked"


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


def _metric_calls() -> list[dict[str, Any]]:
    """What a child's metrics send to CloudWatch for 1,000 latencies of 1 to 1,000 ms."""
    told = snapshot("a", 1, 1_000, at=1_764_000_000.0)
    whose = cloudwatch.Whose("eu-central-1", "router")
    return [
        {"Namespace": cloudwatch.NAMESPACE, "MetricData": request}
        for request in cloudwatch.requests(told, Snapshot(), [STAGES["received_to_accepted"]], whose)
    ]


def test_cloudwatch_takes_our_metrics_as_they_are() -> None:
    """The article put Dimensions beside MetricData: a ParamValidationError each time. Botocore's model judges ours."""
    client = boto3.client("cloudwatch", region_name="x", aws_access_key_id="x", aws_secret_access_key="x")
    shape = client.meta.service_model.operation_model("PutMetricData").input_shape
    assert shape is not None
    for call in _metric_calls():
        report = ParamValidator().validate(call, shape)
        assert not report.has_errors(), report.generate_report()
        assert call.keys() == {"Namespace", "MetricData"}
        for datum in call["MetricData"]:
            assert {d["Name"] for d in datum["Dimensions"]} - {"Application"} == {"SourceSystem", "Region"}
            assert len(datum["Values"]) == len(datum["Counts"]) <= 150


def test_latency_is_sent_as_a_distribution_not_as_an_average() -> None:
    """The article sent a mean, of which no percentile can be made; ours come out within 1 %."""
    seen: Counter[float] = Counter()
    for call in _metric_calls():
        for datum in call["MetricData"]:
            assert "StatisticValues" not in datum
            assert "Value" not in datum
            if len(datum["Dimensions"]) == 2:
                seen.update(dict(zip(datum["Values"], datum["Counts"], strict=True)))
    values = sorted(seen.elements())
    assert len(values) == 1000
    for percent in (50, 99, 99.9):
        assert values[int(percent * 10) - 1] == pytest.approx(percent * 10, rel=0.011)

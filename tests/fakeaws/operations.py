"""The operations that the fake AWS speaks: how each is recognised, read, carried out and answered."""

from typing import Any

import cbor2

from tests.fakeaws import cloudwatch
from tests.fakeaws.bus import events, events_v2, undelivered
from tests.fakeaws.call import Call, Refusal
from tests.fakeaws.http import Request
from tests.fakeaws.operation import Operation, cbor_body, json_body
from tests.fakeaws.queue import sqs
from tests.fakeaws.state.memory import Memory, Settings
from tests.fakeaws.stream import kinesis
from tests.fakeaws.wire import Wire


def _accept_classic(call: Call, state: Memory, settings: Settings) -> None:
    delay_s = settings.get("bus_rules_delay_s")
    # What is taken away is gone at once, what is given back comes late: the worst that AWS may do.
    rules = () if delay_s is None else (settings["bus_rules"], state.rules_at_work(delay_s))
    events.accept_classic(call, settings, rules)
    undelivered.play(call, state.queues, settings, v2=False)


def _accept_v2(call: Call, state: Memory, settings: Settings) -> None:
    events_v2.accept(call, state.seen)
    undelivered.play(call, state.queues, settings, v2=True)


def _describe(request: Request, name: str, settings: Settings, document: dict[str, Any]) -> Call:
    missing = name.rsplit("/", 1)[-1] in settings.get("missing", ()) or name in settings.get("missing", ())
    status = 404 if request.path.startswith("/service/") else 400
    refusal = Refusal("ResourceNotFoundException", f"Event bus {name} does not exist.", status) if missing else None
    return Call([], refusal, name, document)


_MADE_S = 1_764_000_000.125
"""When every bus was made (epoch seconds): the same at each answer, or it would be another bus each time."""


def _described_classic(call: Call) -> dict[str, Any]:
    name = call.target.rsplit("/", 1)[-1]
    return {"Arn": f"arn:aws:events:us-east-1:123456789012:event-bus/{name}", "Name": name, "CreationTime": _MADE_S}


def _described_v2(call: Call) -> dict[str, Any]:
    created = cbor2.CBORTag(1, _MADE_S)
    name = call.target.split("/")[1] if "/" in call.target else call.target
    return {"EventBusArn": call.target, "Name": name, "State": "ACTIVE", "CreationTime": created}


_EVENTS = "com.amazonaws.eventbridge#"
_EVENTS_V2 = "com.amazonaws.eventbridgev2#"
_SQS = "com.amazonaws.sqs#"
_KINESIS = "com.amazonaws.kinesis#"
_CLOUDWATCH = "com.amazonaws.cloudwatch#"

BY_TARGET = {
    "AWSEvents.PutEvents": Operation(
        "PutEvents",
        Wire.JSON_1_1,
        _EVENTS,
        lambda request, _state, settings, _ids: events.read_classic(json_body(request), settings),
        _accept_classic,
        events.answer_put_events,
    ),
    "AWSEvents.DescribeEventBus": Operation(
        "DescribeEventBus",
        Wire.JSON_1_1,
        _EVENTS,
        lambda request, _state, settings, _ids: _describe(
            request, str((document := json_body(request)).get("Name") or "default"), settings, document
        ),
        lambda _call, _state, _settings: None,
        _described_classic,
    ),
    "Kinesis_20131202.PutRecords": Operation(
        "PutRecords",
        Wire.JSON_1_1,
        _KINESIS,
        lambda request, _state, settings, ids: kinesis.read(json_body(request), settings, with_ids=ids),
        lambda call, state, _settings: state.shards.accept(call),
        kinesis.answer,
    ),
    "AmazonSQS.SendMessageBatch": Operation(
        "SendMessageBatch",
        Wire.JSON_1_0,
        _SQS,
        lambda request, _state, settings, _ids: sqs.read(json_body(request), settings),
        lambda call, state, _settings: sqs.accept(call, state.queues),
        sqs.answer,
    ),
    "GraniteServiceVersion20100801.PutMetricData": Operation(
        "PutMetricData",
        Wire.JSON_1_0,
        _CLOUDWATCH,
        lambda request, _state, _settings, _ids: cloudwatch.read(json_body(request), len(request.body)),
        lambda _call, _state, _settings: None,
        lambda _call: {},
    ),
}
"""awsJson operations by X-Amz-Target."""

BY_PATH = {
    "/service/AWSEventsV2/operation/PutEvents": Operation(
        "PutEventsV2",
        Wire.CBOR,
        _EVENTS_V2,
        lambda request, _state, settings, _ids: events_v2.read(cbor_body(request), settings),
        _accept_v2,
        events.answer_put_events,
    ),
    "/service/AWSEventsV2/operation/DescribeEventBus": Operation(
        "DescribeEventBusV2",
        Wire.CBOR,
        _EVENTS_V2,
        lambda request, _state, settings, _ids: _describe(
            request, str((document := cbor_body(request)).get("EventBusArn") or ""), settings, document
        ),
        lambda _call, _state, _settings: None,
        _described_v2,
    ),
    "/service/GraniteServiceVersion20100801/operation/PutMetricData": Operation(
        "PutMetricData",
        Wire.CBOR,
        _CLOUDWATCH,
        lambda request, _state, _settings, _ids: cloudwatch.read(cbor_body(request), len(request.body)),
        lambda _call, _state, _settings: None,
        lambda _call: None,
    ),
}
"""rpc-v2-cbor operations by path; they need the header `smithy-protocol: rpc-v2-cbor`."""

PUT_OBJECT = Operation(
    "PutObject",
    Wire.S3,
    "",
    lambda request, state, settings, _ids: state.objects.read(request, settings),
    lambda call, state, _settings: state.objects.accept(call),
    lambda _call: None,
)


def of(request: Request) -> Operation | None:
    """The operation that a request asks for, None where the fake AWS speaks it not."""
    if request.method == "PUT":
        return PUT_OBJECT
    if request.method != "POST":
        return None
    target = request.headers.get("x-amz-target")
    if target is not None:
        return BY_TARGET.get(target)
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return BY_PATH.get(request.path)
    return None

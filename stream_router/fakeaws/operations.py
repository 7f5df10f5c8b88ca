"""The operations that the fake AWS speaks: how each is recognised, read, carried out and answered."""

import gzip
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import cbor2
import orjson

from stream_router.fakeaws import cloudwatch, dynamodb, s3
from stream_router.fakeaws.bus import events, events_v2, undelivered
from stream_router.fakeaws.bus.dedup import Deduplicator
from stream_router.fakeaws.call import Call, Refusal
from stream_router.fakeaws.http import Request
from stream_router.fakeaws.queue import sqs
from stream_router.fakeaws.queue.queues import Queues
from stream_router.fakeaws.stream import kinesis
from stream_router.fakeaws.stream.shards import Shards
from stream_router.fakeaws.wire import Wire

Settings = dict[str, Any]


class Shop:
    """What the imitated services remember: tokens, shards, objects, tables."""

    def __init__(self) -> None:
        self.seen = Deduplicator()
        self.objects = s3.Objects()
        self.queues = Queues()
        self.tables = dynamodb.Tables()
        self.shards = Shards(1, limited=True)

    def apply(self, settings: Settings) -> None:
        """Take a plan's settings. A stream keeps its records while the number of its shards stays what it was."""
        count, keeps = int(settings.get("shards", 1)), bool(settings.get("keep_records", False))
        if not keeps or not self.shards.keeps or count != self.shards.count:
            self.shards = Shards(count, limited=True)
        self.shards.keeps = keeps
        self.shards.limited = bool(settings.get("shard_limits", True))
        self.shards.offset_s = float(settings.get("arrival_offset_s", 0.0))

    def clear(self) -> None:
        """Forget everything."""
        self.seen.clear()
        self.objects.clear()
        self.tables.clear()
        self.queues.clear()
        self.apply({})


class Operation(NamedTuple):
    """One operation of one service. `read` may raise ValueError for a body that is not its wire form."""

    name: str
    wire: Wire
    namespace: str
    read: Callable[[Request, Shop, Settings, bool], Call]
    accept: Callable[[Call, Shop, Settings], None]
    answer: Callable[[Call], Any]


def json_body(request: Request) -> dict[str, Any]:
    """The body of an awsJson call."""
    value = orjson.loads(_plain(request))
    if not isinstance(value, dict):
        raise TypeError("not a structure")
    return value


def cbor_body(request: Request) -> dict[str, Any]:
    """The body of an rpc-v2-cbor call."""
    if request.headers.get("content-type") != Wire.CBOR.value:
        raise ValueError("not CBOR")
    try:
        value = cbor2.loads(_plain(request))
    except cbor2.CBORDecodeError as error:
        raise ValueError("not CBOR") from error
    if not isinstance(value, dict):
        raise TypeError("not a structure")
    return value


def _plain(request: Request) -> bytes:
    if request.headers.get("content-encoding") != "gzip":
        return request.body
    try:
        return gzip.decompress(request.body)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError("not gzip") from error


def _accept_classic(call: Call, shop: Shop, settings: Settings) -> None:
    events.accept_classic(call, settings)
    undelivered.play(call, shop.queues, settings, v2=False)


def _accept_v2(call: Call, shop: Shop, settings: Settings) -> None:
    events_v2.accept(call, shop.seen)
    undelivered.play(call, shop.queues, settings, v2=True)


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
        lambda request, _shop, settings, _ids: events.read_classic(json_body(request), settings),
        _accept_classic,
        events.answer_put_events,
    ),
    "AWSEvents.DescribeEventBus": Operation(
        "DescribeEventBus",
        Wire.JSON_1_1,
        _EVENTS,
        lambda request, _shop, settings, _ids: _describe(
            request, str((document := json_body(request)).get("Name") or "default"), settings, document
        ),
        lambda _call, _shop, _settings: None,
        _described_classic,
    ),
    "Kinesis_20131202.PutRecords": Operation(
        "PutRecords",
        Wire.JSON_1_1,
        _KINESIS,
        lambda request, _shop, settings, ids: kinesis.read(json_body(request), settings, with_ids=ids),
        lambda call, shop, _settings: shop.shards.accept(call),
        kinesis.answer,
    ),
    "AmazonSQS.SendMessageBatch": Operation(
        "SendMessageBatch",
        Wire.JSON_1_0,
        _SQS,
        lambda request, _shop, settings, _ids: sqs.read(json_body(request), settings),
        lambda call, shop, _settings: sqs.accept(call, shop.queues),
        sqs.answer,
    ),
    "GraniteServiceVersion20100801.PutMetricData": Operation(
        "PutMetricData",
        Wire.JSON_1_0,
        _CLOUDWATCH,
        lambda request, _shop, _settings, _ids: cloudwatch.read(json_body(request), len(request.body)),
        lambda _call, _shop, _settings: None,
        lambda _call: {},
    ),
}
"""awsJson operations by X-Amz-Target."""

BY_PATH = {
    "/service/AWSEventsV2/operation/PutEvents": Operation(
        "PutEventsV2",
        Wire.CBOR,
        _EVENTS_V2,
        lambda request, _shop, settings, _ids: events_v2.read(cbor_body(request), settings),
        _accept_v2,
        events.answer_put_events,
    ),
    "/service/AWSEventsV2/operation/DescribeEventBus": Operation(
        "DescribeEventBusV2",
        Wire.CBOR,
        _EVENTS_V2,
        lambda request, _shop, settings, _ids: _describe(
            request, str((document := cbor_body(request)).get("EventBusArn") or ""), settings, document
        ),
        lambda _call, _shop, _settings: None,
        _described_v2,
    ),
    "/service/GraniteServiceVersion20100801/operation/PutMetricData": Operation(
        "PutMetricData",
        Wire.CBOR,
        _CLOUDWATCH,
        lambda request, _shop, _settings, _ids: cloudwatch.read(cbor_body(request), len(request.body)),
        lambda _call, _shop, _settings: None,
        lambda _call: None,
    ),
}
"""rpc-v2-cbor operations by path; they need the header `smithy-protocol: rpc-v2-cbor`."""

PUT_OBJECT = Operation(
    "PutObject",
    Wire.S3,
    "",
    lambda request, shop, settings, _ids: shop.objects.read(request, settings),
    lambda call, shop, _settings: shop.objects.accept(call),
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

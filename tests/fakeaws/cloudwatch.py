"""PutMetricData: CloudWatch's limits. Source: botocore model `cloudwatch` and its API reference."""

import datetime as dt
import math
import time

import orjson

from tests.fakeaws import model
from tests.fakeaws.call import Call, Document, Item, Operation, Service
from tests.fakeaws.http import Request
from tests.fakeaws.wire import Refusal, Wire

METRICS = 1_000
BODY_BYTES = 1_000_000
"""The largest POST body, as sent (gzip allowed): "1 MB"."""

VALUES = 150
DIMENSIONS = 30
OLDEST_S, NEWEST_S = 14 * 86_400, 2 * 3_600
LARGEST = 2.0**360
_SERVICE = "GraniteServiceVersion20100801"
_KINDS = ("Value", "Values", "StatisticValues")


class CloudWatch(Service):
    """Metrics are checked, and not kept."""

    def operations(self) -> dict[str, Operation]:
        namespace = "com.amazonaws.cloudwatch#"
        in_json = Operation("PutMetricData", Wire.JSON_1_0, namespace, _read, answer=lambda _: {})
        in_cbor = Operation("PutMetricData", Wire.CBOR, namespace, _read, answer=lambda _: None)
        return {f"{_SERVICE}.PutMetricData": in_json, f"/service/{_SERVICE}/operation/PutMetricData": in_cbor}


def _read(document: Document, request: Request) -> Call:
    data, namespace = document.get("MetricData"), str(document.get("Namespace") or "")
    items = [_item(datum) for datum in data if isinstance(datum, dict)] if isinstance(data, list) else []
    return Call(items, _problem(namespace, data, items, len(request.body)), namespace, document)


def _item(datum: Document) -> Item:
    content = orjson.dumps(datum, default=str)
    return Item(datum, content, len(content))


def _problem(namespace: str, data: object, items: list[Item], body_bytes: int) -> Refusal | None:
    if body_bytes > BODY_BYTES:
        return Refusal("RequestEntityTooLarge", f"Request size exceeded the limit of {BODY_BYTES} bytes.", 413)
    if not model.fits("cloudwatch", "Namespace", namespace) or namespace.startswith("AWS/"):
        return _wrong("The parameter Namespace is missing or not valid.")
    if not isinstance(data, list) or not 1 <= len(data) <= METRICS or len(items) != len(data):
        return _wrong(f"The collection MetricData must have 1 to {METRICS} members.")
    for number, item in enumerate(items, 1):
        where = f"MetricData.member.{number}"
        value = [f"{where}.{name}" for name in _KINDS if item.raw.get(name) is not None]
        if len(value) > 1 and item.raw.get("Value") is not None:  # the other two may stand together
            text = f"The parameters {value[0]} and {value[1]} are mutually exclusive and you have specified both."
            return Refusal("InvalidParameterCombinationException", text)
        if text := _datum_problem(item.raw) or _values_problem(item.raw):
            return _wrong(f"{where}: {text}")
    return None


def _wrong(text: str) -> Refusal:
    return Refusal("InvalidParameterValueException", text)


def _datum_problem(datum: Document) -> str:
    dimensions, stamp = datum.get("Dimensions") or [], datum.get("Timestamp")
    if not model.fits("cloudwatch", "MetricName", datum.get("MetricName")):
        return "MetricName"
    if len(dimensions) > DIMENSIONS or not all(_dimension_fits(dimension) for dimension in dimensions):
        return "Dimensions"
    if datum.get("Unit") is not None and datum["Unit"] not in model.shape("cloudwatch", "StandardUnit")["enum"]:
        return "Unit"
    if datum.get("StorageResolution") not in (None, 1, 60):
        return "StorageResolution"
    seconds = stamp.timestamp() if isinstance(stamp, dt.datetime) else time.time() if stamp is None else stamp
    return "" if isinstance(seconds, int | float) and -NEWEST_S <= time.time() - seconds <= OLDEST_S else "Timestamp"


def _dimension_fits(dimension: Document) -> bool:
    name, value = dimension.get("Name"), dimension.get("Value")
    return (
        model.fits("cloudwatch", "DimensionName", name)
        and model.fits("cloudwatch", "DimensionValue", value)
        and not str(name).startswith(":")
        and all(text.isascii() and text.isprintable() and text.strip() for text in (str(name), str(value)))
    )


def _values_problem(datum: Document) -> str:
    values, counts = datum.get("Values") or [], datum.get("Counts")
    numbers = [*values, *(counts or []), *(datum.get("StatisticValues") or {}).values()]
    numbers += [datum["Value"]] if datum.get("Value") is not None else []
    if not numbers:
        return f"one of {', '.join(_KINDS)} is needed"
    if counts is not None and len(counts) != len(values):
        return "Values and Counts must be of the same size."
    if len(set(values)) > VALUES:
        return f"Values must have at most {VALUES} members"
    if not all(isinstance(n, int | float) and math.isfinite(n) and abs(n) <= LARGEST for n in numbers):
        return "a number out of range"
    return ""

"""PutMetricData: CloudWatch's limits. Source: botocore model `cloudwatch` and its API reference."""

import datetime as dt
import math
import time
from typing import Any

import orjson

from tests.fakeaws import model
from tests.fakeaws.call import Call, Item, Refusal

METRICS = 1_000
BODY_BYTES = 1_000_000
"""The largest POST body, as sent (gzip allowed): "1 MB"."""

VALUES = 150
DIMENSIONS = 30
OLDEST_S, NEWEST_S = 14 * 86_400, 2 * 3_600
LARGEST = 2.0**360


def read(document: dict[str, Any], body_bytes: int) -> Call:
    """Parse and check a PutMetricData; `body_bytes` is the request's size as sent."""
    data = document.get("MetricData")
    namespace = str(document.get("Namespace") or "")
    items = [_item(datum) for datum in data if isinstance(datum, dict)] if isinstance(data, list) else []
    problem = _problem(namespace, data, items, body_bytes)
    return Call(items, problem, namespace, document)


def _item(datum: dict[str, Any]) -> Item:
    content = orjson.dumps(datum, default=str)
    item = Item(datum, content, len(content))
    item.detail_type = str(datum.get("MetricName") or "")
    return item


def _problem(namespace: str, data: object, items: list[Item], body_bytes: int) -> Refusal | None:
    if body_bytes > BODY_BYTES:
        return Refusal("RequestEntityTooLarge", f"Request size exceeded the limit of {BODY_BYTES} bytes.", 413)
    if not model.fits("cloudwatch", "Namespace", namespace) or namespace.startswith("AWS/"):
        return _wrong("The parameter Namespace is missing or not valid.")
    if not isinstance(data, list) or not 1 <= len(data) <= METRICS or len(items) != len(data):
        return _wrong(f"The collection MetricData must have 1 to {METRICS} members.")
    for number, item in enumerate(items, 1):
        text = _datum_problem(item.raw)
        if text:
            return _wrong(f"MetricData.member.{number}: {text}")
    return None


def _wrong(text: str) -> Refusal:
    return Refusal("InvalidParameterValueException", text)


def _datum_problem(datum: dict[str, Any]) -> str:
    if not model.fits("cloudwatch", "MetricName", datum.get("MetricName")):
        return "MetricName"
    dimensions = datum.get("Dimensions") or []
    if len(dimensions) > DIMENSIONS or not all(_dimension_fits(dimension) for dimension in dimensions):
        return "Dimensions"
    if datum.get("Unit") is not None and datum["Unit"] not in model.shape("cloudwatch", "StandardUnit")["enum"]:
        return "Unit"
    if datum.get("StorageResolution") not in (None, 1, 60):
        return "StorageResolution"
    return _time_problem(datum.get("Timestamp")) or _values_problem(datum)


def _dimension_fits(dimension: dict[str, Any]) -> bool:
    name, value = dimension.get("Name"), dimension.get("Value")
    return (
        model.fits("cloudwatch", "DimensionName", name)
        and model.fits("cloudwatch", "DimensionValue", value)
        and not str(name).startswith(":")
        and all(text.isascii() and text.isprintable() and text.strip() for text in (str(name), str(value)))
    )


def _time_problem(stamp: object) -> str:
    if stamp is None:
        return ""
    seconds = stamp.timestamp() if isinstance(stamp, dt.datetime) else stamp
    if not isinstance(seconds, int | float):
        return "Timestamp"
    age_s = time.time() - seconds
    return "" if -NEWEST_S <= age_s <= OLDEST_S else "Timestamp"


def _values_problem(datum: dict[str, Any]) -> str:
    given = [name for name in ("Value", "Values", "StatisticValues") if datum.get(name) is not None]
    if len(given) != 1:
        return "exactly one of Value, Values, StatisticValues"
    values = datum.get("Values") or []
    numbers = [*values, *(datum.get("Counts") or []), *(datum.get("StatisticValues") or {}).values()]
    numbers += [datum["Value"]] if datum.get("Value") is not None else []
    if len(set(values)) > VALUES or (datum.get("Counts") is not None and len(datum["Counts"]) != len(values)):
        return "Values and Counts"
    if not all(isinstance(n, int | float) and math.isfinite(n) and abs(n) <= LARGEST for n in numbers):
        return "a number out of range"
    return ""

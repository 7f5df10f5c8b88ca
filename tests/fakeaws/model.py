"""Limits read from botocore's service models, as AWS publishes them."""

import functools
import re
from typing import Any

from botocore.loaders import Loader


@functools.cache
def shape(service: str, name: str) -> dict[str, Any]:
    """A shape of a service's newest model."""
    result: dict[str, Any] = _model(service)["shapes"][name]
    return result


@functools.cache
def _model(service: str) -> Any:
    return Loader().load_service_model(service, "service-2")


def longest(service: str, name: str) -> int:
    """A shape's `max`."""
    return int(shape(service, name)["max"])


@functools.cache
def _pattern(service: str, name: str) -> re.Pattern[str]:
    return re.compile(shape(service, name)["pattern"])


def fits(service: str, name: str, value: object) -> bool:
    """Whether a string is within its shape's length and pattern."""
    if not isinstance(value, str):
        return False
    limits = shape(service, name)
    if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
        return False
    return "pattern" not in limits or _pattern(service, name).fullmatch(value) is not None

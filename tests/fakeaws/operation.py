"""What one operation of a service is made of, and how its body is read."""

import gzip
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import cbor2
import orjson

from tests.fakeaws.call import Call
from tests.fakeaws.http import Request
from tests.fakeaws.state.memory import Memory, Settings
from tests.fakeaws.wire import Wire


class Operation(NamedTuple):
    """One operation of one service. `read` may raise ValueError for a body that is not its wire form."""

    name: str
    wire: Wire
    namespace: str
    read: Callable[[Request, Memory, Settings, bool], Call]
    accept: Callable[[Call, Memory, Settings], None]
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

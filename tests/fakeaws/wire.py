"""The wire forms: awsJson 1.0 and 1.1, rpc-v2-cbor, and S3's XML. Requests' bodies, success and refusal."""

import enum
import gzip
import itertools
import zlib
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import cbor2
import orjson

from tests.fakeaws.http import Reply, Request


class Wire(enum.Enum):
    """How an operation's messages are written."""

    JSON_1_0 = "application/x-amz-json-1.0"
    JSON_1_1 = "application/x-amz-json-1.1"
    CBOR = "application/cbor"
    S3 = "application/xml"


class Refusal(NamedTuple):
    """Why a whole call is refused: AWS's code, message and HTTP status."""

    code: str
    message: str
    status: int = 400


_STATUS = {
    "InternalFailure": 500,
    "InternalException": 500,
    "InternalFailureException": 500,
    "InternalServiceFault": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "SlowDown": 503,
    "AccessDenied": 403,
}
_STATUS_V2 = {
    "ThrottlingException": 429,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "InvalidStateException": 409,
}
"""Source: botocore model `eventbridgev2`, httpStatusCode of each error."""

_PREFIXES = {
    "ThrottlingException": "com.amazon.coral.availability#",
    "ValidationException": "com.amazon.coral.validate#",
}
_PREFIXES |= dict.fromkeys(
    (
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "SerializationException",
        "UnknownOperationException",
    ),
    "com.amazon.coral.service#",
)
"""Namespaces as the awsJson services write them before a code (not all do; a client has to cope)."""

_QUERY_CODES = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "InvalidParameterValueException": "InvalidParameterValue",
    "InvalidParameterCombinationException": "InvalidParameterCombination",
    "MissingRequiredParameterException": "MissingParameter",
} | {
    code: f"AWS.SimpleQueueService.{code}"
    for code in (
        "TooManyEntriesInBatchRequest",
        "EmptyBatchRequest",
        "BatchEntryIdsNotDistinct",
        "BatchRequestTooLong",
        "InvalidBatchEntryId",
    )
}
"""What awsQueryCompatible services (SQS, CloudWatch) say in x-amzn-query-error. Source: botocore models."""

_requests = itertools.count(1)


def document(wire: Wire, request: Request) -> dict[str, Any]:
    """The structure in a request's body; none in S3's. Raises ValueError or TypeError where there is none."""
    if wire is Wire.S3:
        return {}
    if wire is Wire.CBOR and request.headers.get("content-type") != Wire.CBOR.value:
        raise ValueError("not CBOR")
    try:
        plain = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        value = cbor2.loads(plain) if wire is Wire.CBOR else orjson.loads(plain)
    except (OSError, EOFError, zlib.error, cbor2.CBORDecodeError) as error:
        raise ValueError("not readable") from error
    if not isinstance(value, dict):
        raise TypeError("not a structure")
    return value


def form_of(request: Request) -> Wire:
    """Return the wire form of a request."""
    kind = request.headers.get("content-type")
    return next((form for form in Wire if form.value == kind), Wire.S3)


def status_of(code: str, wire: Wire) -> int:
    """The HTTP status that AWS sends with an error code: 400 unless known otherwise."""
    known = _STATUS_V2.get(code) if wire is Wire.CBOR else None
    return known or _STATUS.get(code, 400)


def success(wire: Wire, body: Any) -> Reply:
    """A 200 with `body` in the operation's form; None is an empty body."""
    content = b"" if body is None else cbor2.dumps(body) if wire is Wire.CBOR else orjson.dumps(body)
    return Reply(200, content, _headers(wire))


def refused(wire: Wire, refusal: Refusal, namespace: str, retry_after: str = "") -> Reply:
    """A refusal of the whole call as AWS writes it for this wire form; `namespace` is the service's shape namespace."""
    headers = _headers(wire)
    if retry_after:
        headers = (*headers, ("Retry-After", retry_after))
    if query_code := _QUERY_CODES.get(refusal.code, ""):
        headers = (*headers, ("x-amzn-query-error", f"{query_code};Sender"))
    kind = _PREFIXES.get(refusal.code, namespace if wire is Wire.CBOR or query_code else "") + refusal.code
    if wire is Wire.S3:
        inner = f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
    elif wire is Wire.CBOR:
        body = cbor2.dumps({"__type": kind, "Message": refusal.message})
    else:
        body = orjson.dumps({"__type": kind, "message": refusal.message})
    return Reply(refusal.status, body, headers)


def page(status: int) -> Reply:
    """What a proxy in between answers: HTML."""
    text = f"<html><head><title>{status}</title></head><body><h1>{status} Bad Gateway</h1></body></html>"
    return Reply(status, text.encode(), (("Content-Type", "text/html"),))


def _headers(wire: Wire) -> tuple[tuple[str, str], ...]:
    headers = (("Content-Type", wire.value), ("x-amzn-RequestId", f"{next(_requests):032x}"))
    return (*headers, ("smithy-protocol", "rpc-v2-cbor")) if wire is Wire.CBOR else headers

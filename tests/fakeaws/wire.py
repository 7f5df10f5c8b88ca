"""The three wire forms of an answer: awsJson 1.0 and 1.1, rpc-v2-cbor, and S3's XML. Success and refusal alike."""

import enum
from typing import Any
from xml.sax.saxutils import escape

import cbor2
import orjson

from tests.fakeaws.call import Refusal, new_id
from tests.fakeaws.http import Reply


class Wire(enum.Enum):
    """How an operation's messages are written."""

    JSON_1_0 = "application/x-amz-json-1.0"
    JSON_1_1 = "application/x-amz-json-1.1"
    CBOR = "application/cbor"
    S3 = "application/xml"


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
    "ExpiredTokenException": "com.amazon.coral.service#",
    "UnrecognizedClientException": "com.amazon.coral.service#",
    "InvalidSignatureException": "com.amazon.coral.service#",
    "MissingAuthenticationTokenException": "com.amazon.coral.service#",
    "SerializationException": "com.amazon.coral.service#",
    "UnknownOperationException": "com.amazon.coral.service#",
}
"""Namespaces as the awsJson services write them before a code (not all do; a client has to cope)."""

_QUERY_CODES = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
    "InvalidParameterValueException": "InvalidParameterValue",
    "InvalidParameterCombinationException": "InvalidParameterCombination",
    "MissingRequiredParameterException": "MissingParameter",
}
"""What awsQueryCompatible services (SQS, CloudWatch) say in x-amzn-query-error. Source: botocore models."""


def status_of(code: str, wire: Wire) -> int:
    """The HTTP status that AWS sends with an error code: 400 unless known otherwise."""
    known = _STATUS_V2.get(code) if wire is Wire.CBOR else None
    return known or _STATUS.get(code, 400)


def success(wire: Wire, body: Any) -> Reply:
    """A 200 with `body` in the operation's form; None is an empty body."""
    if body is None:
        return Reply(200, b"", _headers(wire))
    content = cbor2.dumps(body) if wire is Wire.CBOR else orjson.dumps(body)
    return Reply(200, content, _headers(wire))


def refused(wire: Wire, refusal: Refusal, namespace: str, retry_after: str = "") -> Reply:
    """A refusal of the whole call as AWS writes it for this wire form; `namespace` is the service's shape namespace."""
    headers = _headers(wire)
    if retry_after:
        headers = (*headers, ("Retry-After", retry_after))
    query_code = _QUERY_CODES.get(refusal.code)
    if query_code:
        headers = (*headers, ("x-amzn-query-error", f"{query_code};Sender"))
    kind = _PREFIXES.get(refusal.code, namespace if wire is Wire.CBOR or query_code else "") + refusal.code
    if wire is Wire.S3:
        return Reply(refusal.status, _xml(refusal), headers)
    if wire is Wire.CBOR:
        return Reply(refusal.status, cbor2.dumps({"__type": kind, "Message": refusal.message}), headers)
    return Reply(refusal.status, orjson.dumps({"__type": kind, "message": refusal.message}), headers)


def page(status: int) -> Reply:
    """What a proxy in between answers: HTML."""
    text = f"<html><head><title>{status}</title></head><body><h1>{status} Bad Gateway</h1></body></html>"
    return Reply(status, text.encode(), (("Content-Type", "text/html"),))


def _headers(wire: Wire) -> tuple[tuple[str, str], ...]:
    headers = (("Content-Type", wire.value), ("x-amzn-RequestId", new_id()))
    return (*headers, ("smithy-protocol", "rpc-v2-cbor")) if wire is Wire.CBOR else headers


def _xml(refusal: Refusal) -> bytes:
    inner = f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()

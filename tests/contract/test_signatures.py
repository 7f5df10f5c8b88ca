"""libcurl's SigV4 signatures, recomputed by botocore's own signer from the very bytes that came over the wire."""

import calendar
import os
import re
import time
from collections.abc import Callable

import certifi
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import CallEndpoint, build_json_endpoint
from stream_router.aws.signed_calls import Transport
from stream_router.aws_answers import Answer
from tests.raw_server import RawServer, Seen, answer

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjE+/=" * 30
REGION = "eu-central-1"
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<scope>[^,]+), ?"
    r"SignedHeaders=(?P<names>[^,]+), ?Signature=(?P<signature>[0-9a-f]+)"
)
TARGETS = {
    "events": lambda url: build_json_endpoint(url, "events", "AWSEvents.PutEvents", "1.1"),
    "kinesis": lambda url: build_json_endpoint(url, "kinesis", "Kinesis_20131202.PutRecords", "1.1"),
    "sqs": lambda url: build_json_endpoint(url, "sqs", "AmazonSQS.SendMessageBatch", "1.0"),
    "events-v2": lambda url: CallEndpoint(
        f"{url}/service/AWSEventsV2/operation/PutEvents",
        "events",
        ("Content-Type: application/cbor", "Accept: application/cbor", "smithy-protocol: rpc-v2-cbor"),
    ),
}
BODIES = {
    "0.1 KB": b'{"Entries":[' + b"x" * 80 + b"]}",
    "20 KB": os.urandom(10_000).hex().encode(),
    "100 KB": b'{"a":"' + b"y" * 100_000 + b'"}',
    "binary": bytes(range(256)) * 20,
    "empty": b"",
}


def sent(
    make: Callable[[str], CallEndpoint], body: bytes, token: str | None, skew_s: float = 0.0, path: str = ""
) -> Seen:
    """One request as libcurl sent it."""
    credentials = Credentials(KEY, SECRET, token)
    with RawServer(lambda _: answer(200)) as server:
        transport = Transport(lambda: credentials, REGION, certifi.where())
        transport.skew_s = skew_s
        answers: list[Answer] = []
        transport.start(make(server.url), body, 10, answers.append, path)
        deadline = time.monotonic() + 10
        while not answers and time.monotonic() < deadline:
            transport.pump(0.05)
        transport.close()
        assert answers[0].status == 200, answers
        return server.requests[0]


def recomputed(seen: Seen, service: str, token: str | None) -> tuple[str, str, list[str]]:
    """The scope and signature that botocore gives the request, and the names of the headers that were signed."""
    match = AUTHORIZATION.fullmatch(seen.headers["authorization"])
    assert match, seen.headers["authorization"]
    names = match["names"].split(";")
    method, path, _ = seen.line.split(" ")
    url = f"http://{seen.headers['host']}{path}"
    headers = {name: seen.headers[name] for name in names}
    request = AWSRequest(method=method, url=url, data=seen.body, headers=headers)
    request.context["timestamp"] = seen.headers["x-amz-date"]
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    signer = kind(BotoCredentials(KEY, SECRET, token), service, REGION)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert match["signature"] == signer.signature(text, request)
    return match["scope"], signer.scope(request), names


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("token", [None, TOKEN], ids=["key", "session token"])
@pytest.mark.parametrize("target", TARGETS)
def test_the_signature_is_the_one_that_botocore_computes(target: str, token: str | None, body: str) -> None:
    """For each service, size and kind of body, with and without a session token, the signatures are equal."""
    seen = sent(TARGETS[target], BODIES[body], token)
    scope, expected, names = recomputed(seen, target.split("-", maxsplit=1)[0], token)
    assert scope == expected
    assert seen.body == BODIES[body]
    assert {"host", "x-amz-date"} <= set(names)
    assert ("x-amz-security-token" in names) == (token is not None)
    assert "expect" not in seen.headers


@pytest.mark.parametrize("token", [None, TOKEN], ids=["key", "session token"])
@pytest.mark.parametrize("skew_s", [-7200.0, 600.0])
def test_a_skewed_clock_signs_with_the_services_time(token: str | None, skew_s: float) -> None:
    """With a known skew the request carries and signs X-Amz-Date in the service's time."""
    seen = sent(TARGETS["events"], BODIES["0.1 KB"], token, skew_s)
    scope, expected, names = recomputed(seen, "events", token)
    assert scope == expected
    assert "x-amz-date" in names
    stamp = time.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    assert abs(calendar.timegm(stamp) - (time.time() + skew_s)) < 30


@pytest.mark.parametrize("key", ["claims/2026/abc.json", "a/b-c_d~e.json"])
def test_an_objects_signature_is_the_one_that_botocore_computes(key: str) -> None:
    """PutObject is signed as S3 wants it, the content's digest included."""
    seen = sent(
        lambda url: CallEndpoint(f"{url}/bucket/", "s3", ("Content-Type: x/y",), "PUT"),
        b"\x00\xff" * 5000,
        TOKEN,
        0,
        key,
    )
    scope, expected, names = recomputed(seen, "s3", TOKEN)
    assert scope == expected
    assert seen.line == f"PUT /bucket/{key} HTTP/1.1"
    assert "x-amz-content-sha256" in names

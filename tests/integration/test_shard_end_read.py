"""What a child reads at its shard's end, over the wire."""

import base64
import json
import time

import pytest

from stream_router.consumer.child.assembly import MAX_ANSWER_BYTES
from stream_router.consumer.child.shard_end import ShardEndCheck
from stream_router.consumer.destinations import DestinationEndpoints, Destinations
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from tests.raw_server import RawServer, Seen, answer

LARGEST_RECORD_BYTES = 10 * 1024 * 1024
ANSWERED_WITHIN_S = 30.0


def test_a_record_of_the_largest_size_after_the_end_refutes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream may let records of 10 MiB in; the answer with one is larger than any answer to a call with events."""
    record = {"Data": base64.b64encode(b"x" * LARGEST_RECORD_BYTES).decode(), "SequenceNumber": "43"}
    read = json.dumps({"Records": [record], "NextShardIterator": "next", "MillisBehindLatest": 0}).encode()

    def reply(seen: Seen) -> bytes:
        is_read = seen.headers["x-amz-target"].endswith("GetRecords")
        return answer(200, read if is_read else b'{"ShardIterator":"first"}')

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with RawServer(reply) as kinesis:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", kinesis.url)
        settings = load(Consumer, aws_region="us-east-1", sqs_dlq_url="https://sqs/1/q")
        calls = Destinations(settings, MAX_ANSWER_BYTES, DestinationEndpoints(settings))
        end = ShardEndCheck(calls.start_read, "stream", "leases", "shard-1", "42", time.monotonic)
        until = time.monotonic() + ANSWERED_WITHIN_S
        while not end.refutation and time.monotonic() < until:
            end.send_next_call("42")
            assert not end.is_confirmed
            calls.transport.pump(0.1)
    assert end.refutation == "the KCL ended the shard before a record that it had not passed on"

"""What the fake AWS costs: is it light enough to measure others with?

`python -m benchmarks.fakeaws [--calls N] [--json FILE]`. Signed calls over libcurl, 16 at once, on loopback: PutEvents
of 10 entries of 0.6 KB, PutEvents of 25 on a v2 bus, PutRecords of 20 records of 10 envelopes; with and without a
ledger.
Asked for: 2,000 PutEvents calls of 10 a second on half a core, so at most 250 µs of CPU a call.
"""

import argparse
import base64
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cbor2
import certifi
import orjson

from benchmarks.driven_child import V2_BUS, cpu_s
from stream_router.aws.credentials import Credentials
from stream_router.aws.endpoints import Target, json_target
from stream_router.aws.signed_calls import Transport
from stream_router.errors import Answer
from tests.fakeaws.process import FakeAwsProcess

IN_FLIGHT = 16
DETAIL = json.dumps({"eventId": "0123456789abcdef" * 2, "conversationId": "c-1", "payload": {"text": "x" * 500}})
ENTRY = {"Source": "nice.cxone.webhook", "DetailType": "interaction.created", "Detail": DETAIL}
ENVELOPE = b'{"v":1,"id":"0123456789abcdef0123456789abcdef","idFrom":"delivery","receivedAt":1,"body":{"t":"%s"}}'


def measure(fake_aws: FakeAwsProcess, target: Target, body: bytes, calls: int) -> dict[str, float]:
    """CPU of the fake AWS a call, and calls a second while the client shares the machine."""
    credentials = Credentials("AKIDEXAMPLE", "secret", None)
    transport = Transport(lambda: credentials, "us-east-1", certifi.where())
    answered: list[int] = []

    def done(answer: Answer) -> None:
        answered.append(answer.status)

    before, start = cpu_s(fake_aws.pid), time.perf_counter()
    sent = 0
    while len(answered) < calls:
        while transport.in_flight < IN_FLIGHT and sent < calls:
            transport.start(target, body, 10.0, done)
            sent += 1
        transport.pump(0.01)
    wall, used = time.perf_counter() - start, cpu_s(fake_aws.pid) - before
    transport.close()
    if set(answered) != {200}:
        raise RuntimeError(f"the fake AWS refused calls: {sorted(set(answered))}")
    return {"cpuUsACall": round(used / calls * 1e6, 1), "callsASecond": round(calls / wall)}


def questions(url: str) -> Iterator[tuple[str, Target, bytes]]:
    """Each operation measured: its name, where it goes, its body."""
    yield (
        "PutEvents, 10 entries",
        json_target(url, "events", "AWSEvents.PutEvents", "1.1"),
        orjson.dumps({"Entries": [{**ENTRY, "Time": 1_795_000_000.123}] * 10}),
    )
    headers = ("Content-Type: application/cbor", "Accept: application/cbor", "smithy-protocol: rpc-v2-cbor")
    yield (
        "PutEvents v2, 25 entries",
        Target(f"{url}/service/AWSEventsV2/operation/PutEvents", "events", headers),
        cbor2.dumps({"EventBusArn": V2_BUS, "Entries": [ENTRY] * 25}),
    )
    data = base64.b64encode(b"\n".join([ENVELOPE % (b"x" * 450)] * 10)).decode()
    yield (
        "PutRecords, 20 records of 10 envelopes",
        json_target(url, "kinesis", "Kinesis_20131202.PutRecords", "1.1"),
        orjson.dumps({"StreamName": "s", "Records": [{"Data": data, "PartitionKey": "p"}] * 20}),
    )


def main() -> None:
    """Print a line for each operation, with and without a ledger."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for ledger in (None, Path(folder, "ledger")):
            with FakeAwsProcess(ledger, {"shard_limits": False}) as fake_aws:
                for name, target, body in questions(fake_aws.url):
                    full = f"{name}, {'counters only' if ledger is None else 'ledger'}"
                    results[full] = measure(fake_aws, target, body, arguments.calls)
                    print(f"{full:58} {results[full]['cpuUsACall']:7.1f} µs CPU a call")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""The fake AWS's limits, each below, at and beyond its edge, asked through boto3 so that the call's form is AWS's."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Client
from tests.contract.test_fakeaws_wire import V2_BUS, entry
from tests.fakeaws import detail
from tests.fakeaws.process import FakeAwsProcess

MIB = 1_048_576
FIXED = len("nice.cxone.webhook") + len("interaction.created")
NOW = dt.datetime.now(dt.UTC)
NUMBERS = [float(n) for n in range(151)]

Ask = Callable[[Client], list[str]]
"""Makes a call, and gives the codes of its items by position, empty where accepted."""


def put(*entries: dict[str, Any]) -> Ask:
    return lambda client: _codes(client("events").put_events(Entries=entries)["Entries"])


def put_v2(*entries: dict[str, Any]) -> Ask:
    return lambda client: _codes(client("eventbridgev2").put_events(EventBusArn=V2_BUS, Entries=entries)["Entries"])


def records(*values: dict[str, Any]) -> Ask:
    return lambda client: _codes(client("kinesis").put_records(StreamName="s", Records=values)["Records"])


def _codes(results: list[dict[str, Any]]) -> list[str]:
    return [result.get("ErrorCode", "") for result in results]


def send(*messages: dict[str, Any]) -> Ask:
    def ask(client: Client) -> list[str]:
        answer = client("sqs").send_message_batch(QueueUrl="http://127.0.0.1/1/q", Entries=messages)
        failed = answer.get("Failed", [])
        assert all(message["SenderFault"] for message in failed)
        codes = {message["Id"]: message["Code"] for message in failed}
        assert len(answer.get("Successful", [])) + len(codes) == len(messages)
        return [codes.get(message["Id"], "") for message in messages]

    return ask


def metrics(*data: dict[str, Any], namespace: str = "CXoneEventRouter") -> Ask:
    def ask(client: Client) -> list[str]:
        client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)
        return [""] * len(data)

    return ask


def asked(client: Client, ask: Ask) -> list[str] | str:
    """The codes of the items, or the code that refused the whole call."""
    try:
        return ask(client)
    except ClientError as error:
        return error.response["Error"]["Code"]


def filled(size: int) -> dict[str, Any]:
    """An entry of exactly `size` bytes by AWS's formula, with a Detail of two-byte characters."""
    room = size - FIXED - len('{"t":""}')
    return entry(Detail='{"t":"' + "é" * (room // 2) + "x" * (room % 2) + '"}')


def message(identity: str = "0", body: str = "x", **attributes: str) -> dict[str, Any]:
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    return {"Id": identity, "MessageBody": body, **({"MessageAttributes": typed} if typed else {})}


def record(size: int, key: str = "k", **more: str) -> dict[str, Any]:
    return {"Data": b"x" * (size - len(key)), "PartitionKey": key, **more}


def datum(**changes: Any) -> dict[str, Any]:
    return {
        "MetricName": "m",
        **(changes if {"Values", "StatisticValues"} & changes.keys() else {"Value": 1.0} | changes),
    }


def dimensions(count: int) -> list[dict[str, str]]:
    return [{"Name": f"d{n}", "Value": "v"} for n in range(count)]


def batch(size: int) -> Ask:
    """Two messages that have so many bytes together with their attributes."""
    more = len("a") + len("String") + len("v")
    return send(message("0", "é" * 1000, a="v"), message("1", "x" * (size - 2000 - more)))


def call_of(size: int) -> Ask:
    """A PutRecords of so many bytes beyond 10 MiB."""
    return records(*[record(MIB)] * 9, record(MIB - 100), record(100 + size))


SQS = "AWS.SimpleQueueService."
WIDE: dict[str, Any] = {"shard_limits": False}
CALLS: list[tuple[Ask, list[str] | str, dict[str, Any]]] = [
    # Entries of a call, and their size by AWS's formula: Time and Resources count, the bus's name does not.
    (put(*[entry()] * 10), [""] * 10, {}),
    (put_v2(*[entry()] * 100), [""] * 100, {}),
    (put_v2(*[entry()] * 101), "InvalidInputException", {}),
    (put(filled(1000), filled(MIB - 1000)), ["", ""], {}),
    (put(filled(1000), filled(MIB - 999)), "ValidationException", {}),
    (put_v2(filled(1000), filled(MIB - 1000)), ["", ""], {}),
    (put_v2(filled(1000), filled(MIB - 999)), "InvalidInputException", {}),
    (put({**filled(MIB), "EventBusName": "cxone", "TraceHeader": "Root=1"}), [""], {}),
    (put({**filled(MIB - 14), "Time": NOW}), [""], {}),
    (put({**filled(MIB - 13), "Time": NOW}), "ValidationException", {}),
    (put({**filled(MIB), "Resources": ["a"]}), "ValidationException", {}),
    (put(filled(262_144)), [""], {"max_request_bytes": 262_144}),
    (put(filled(262_145)), "ValidationException", {"max_request_bytes": 262_144}),
    # A batch of messages: bodies and attributes together. An older queue's 256 KiB hold for each message.
    (batch(MIB), ["", ""], {}),
    (
        send(message("0", "x" * 262_144), message("1", "x" * 262_145)),
        ["", "InvalidParameterValue"],
        {"max_message_bytes": 262_144},
    ),
    (send(message("a"), message("a")), f"{SQS}BatchEntryIdsNotDistinct", {}),
    (send(message("a" * 80)), [""], {}),
    (send(message("a" * 81)), f"{SQS}InvalidBatchEntryId", {}),
    (send(), f"{SQS}EmptyBatchRequest", {}),
    # Records: data and key, count, bytes of a call, a shard's budget.
    (records(record(MIB)), [""], WIDE),
    (records(record(MIB + 1)), "ValidationException", WIDE),
    (records(*[record(10)] * 500), [""] * 500, {}),
    (records(*[record(10)] * 501), "ValidationException", {}),
    (call_of(0), [""] * 11, WIDE),
    (call_of(1), "InvalidArgumentException", WIDE),
    (records(record(300, "k" * 256)), [""], {}),
    (records(record(300, "k" * 257)), "ValidationException", {}),
    (records(record(10, ExplicitHashKey=str(2**128 - 1))), [""], {}),
    (records(record(10, ExplicitHashKey=str(2**128))), "InvalidArgumentException", {}),
    (records(record(10, ExplicitHashKey="01")), "InvalidArgumentException", {}),
    (
        records(*[record(MIB, ExplicitHashKey=key) for key in ("0", "0", str(2**127))]),
        ["", "ProvisionedThroughputExceededException", ""],
        {"shards": 2},
    ),
    (records(*[record(MIB)] * 3), [""] * 3, WIDE),
    # Metrics.
    (metrics(*[datum()] * 1000), [""] * 1000, {}),
    (metrics(*[datum()] * 1001), "InvalidParameterValue", {}),
    (metrics(datum(Dimensions=dimensions(30))), [""], {}),
    (metrics(datum(Dimensions=dimensions(31))), "InvalidParameterValue", {}),
    (metrics(datum(Dimensions=[{"Name": ":a", "Value": "v"}])), "InvalidParameterValue", {}),
    (metrics(datum(Dimensions=[{"Name": "a", "Value": "é"}])), "InvalidParameterValue", {}),
    (metrics(datum(Values=NUMBERS[:150], Counts=[2.0] * 150)), [""], {}),
    (metrics(datum(Values=NUMBERS, Counts=[1.0] * 151)), "InvalidParameterValue", {}),
    (metrics(datum(StatisticValues={"SampleCount": 1, "Sum": 2, "Minimum": 2, "Maximum": 2})), [""], {}),
    (metrics({"MetricName": "m"}), "InvalidParameterValue", {}),
    (metrics(datum(Value=2.0**360), datum(StorageResolution=1), datum(Unit="Percent")), ["", "", ""], {}),
    (metrics(datum(Value=2.0**361)), "InvalidParameterValue", {}),
    (metrics(datum(StorageResolution=30)), "InvalidParameterValue", {}),
    (metrics(datum(Timestamp=NOW - dt.timedelta(days=13, hours=23))), [""], {}),
    (metrics(datum(Timestamp=NOW - dt.timedelta(days=15))), "InvalidParameterValue", {}),
    (metrics(datum(Timestamp=NOW + dt.timedelta(minutes=110))), [""], {}),
    (metrics(datum(Timestamp=NOW + dt.timedelta(hours=3))), "InvalidParameterValue", {}),
    (metrics(datum(), namespace="AWS/Events"), "InvalidParameterValue", {}),
]


@pytest.mark.parametrize(("ask", "expected", "plan"), CALLS, ids=range(len(CALLS)))
def test_a_call_at_its_limits(
    client: Client, fake_aws: FakeAwsProcess, ask: Ask, expected: list[str] | str, plan: dict[str, Any]
) -> None:
    """What AWS takes is taken, and what is beyond is refused with AWS's code, whole or each on its own."""
    fake_aws.plan(plan)
    assert asked(client, ask) == expected


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DetailType": "é" * 128}, ""),
        ({"DetailType": "x" * 129}, "InvalidArgument"),
        ({"Source": "s" * 256}, ""),
        ({"Source": "s" * 257}, "InvalidArgument"),
        ({"Source": "aws.events"}, "NotAuthorizedForSourceException"),
        ({"Source": "aws"}, ""),
        ({"Detail": '{"a":NaN}'}, "MalformedDetail"),
        ({"Detail": '{"n":9223372036854775807}'}, ""),
        ({"Detail": '{"n":9223372036854775808}'}, "MalformedDetail"),
        ({"Detail": '{"n":-9223372036854775808}'}, ""),
        ({"Detail": '{"n":[-9223372036854775809]}'}, "MalformedDetail"),
        ({"Detail": '{"n":"99999999999999999999"}'}, ""),
        ({"Detail": '{"a":' * 1000 + "0" + "}" * 1000}, ""),
        ({"Detail": '{"a":' * 1001 + "0" + "}" * 1001}, "MalformedDetail"),
        ({"EventBusName": "a/b"}, None),
        ({"EventBusName": "x" * 1601}, None),
        ({"Resources": ["r" * 2049]}, None),
        ({"TraceHeader": "t" * 501}, None),
    ],
)
def test_an_entry_of_a_classic_bus(client: Client, changes: dict[str, Any], code: str | None) -> None:
    """Only the entry with the fault fails; what the model constrains refuses the whole call."""
    codes = asked(client, put(entry(**changes), entry()))
    assert codes == ("ValidationException" if code is None else [code, ""])


def test_brackets_in_strings_do_not_nest() -> None:
    """Depth counts brackets of the document, not of its texts."""
    assert detail.depth(json.dumps({"a": ['[[[{{{\\"]]']})) == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Source": "aws.x"}, "NotAuthorizedForSourceException"),
        ({"Detail": "1"}, "MalformedDetail"),
        ({"DetailType": "x" * 128}, ""),
        ({"DetailType": "x" * 129}, None),
        ({"Source": "x" * 257}, None),
        ({"SystemMetadata": {"DeduplicationId": "d" * 128}}, ""),
        ({"SystemMetadata": {"DeduplicationId": "d" * 129}}, None),
        ({"SystemMetadata": {"DeduplicationId": "  "}}, None),
        ({"SystemMetadata": {"EventGroupId": "g" * 128}}, ""),
        ({"SystemMetadata": {"EventGroupId": "g" * 129}}, None),
        ({"Resources": ["r" * 2048]}, ""),
        ({"Resources": ["r" * 2049]}, None),
    ],
)
def test_an_entry_of_a_v2_bus(client: Client, changes: dict[str, Any], code: str | None) -> None:
    """A reserved source or a Detail that is not an object fails alone; a breach of the model fails the whole call."""
    codes = asked(client, put_v2(entry(**changes), entry()))
    assert codes == ("InvalidInputException" if code is None else [code, ""])


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (message(body="tab\tlf\ncr\r \ud7ff\ue000\ufffd\U00010000"), ""),
        (message(body="\x00"), "InvalidMessageContents"),
        (message(body="\x0b"), "InvalidMessageContents"),
        (message(body="\ufffe"), "InvalidMessageContents"),
        (message(body=""), "MissingParameter"),
        (message(a="\x01"), "InvalidParameterValue"),
        (message(**{"AWS.a": "v"}), "InvalidParameterValue"),
        (message(**{"a..b": "v"}), "InvalidParameterValue"),
        (message(**{"a" * 256: "v"}), ""),
        (message(**{"a" * 257: "v"}), "InvalidParameterValue"),
        (message(**{f"a{n}": "v" for n in range(10)}), ""),
        (message(**{f"a{n}": "v" for n in range(11)}), "InvalidParameterValue"),
    ],
)
def test_what_makes_one_message_fail(client: Client, item: dict[str, Any], code: str) -> None:
    """Characters outside XML, an empty body and wrong attributes fail the one message, by its sender's fault."""
    assert asked(client, send(item, message("other"))) == [code, ""]

"""The fake AWS's limits, each at limit-1, limit and limit+1, asked through boto3 so that the call's form is AWS's."""

import datetime as dt
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Client
from tests.contract.test_fakeaws_wire import V2_BUS, code_of, entry
from tests.fakeaws import detail
from tests.fakeaws.process import FakeAwsProcess

MIB = 1_048_576
FIXED = len("nice.cxone.webhook") + len("interaction.created")


def filled(size: int) -> dict[str, Any]:
    """An entry of exactly `size` bytes by AWS's formula, with a Detail of two-byte characters."""
    room = size - FIXED - len('{"t":""}')
    return entry(Detail='{"t":"' + "é" * (room // 2) + "x" * (room % 2) + '"}')


def put(client: Client, *entries: dict[str, Any]) -> list[str]:
    """The codes of a classic PutEvents by position, empty where accepted."""
    return [result.get("ErrorCode", "") for result in client("events").put_events(Entries=entries)["Entries"]]


def put_v2(client: Client, *entries: dict[str, Any]) -> list[str]:
    answer = client("eventbridgev2").put_events(EventBusArn=V2_BUS, Entries=entries)
    return [result.get("ErrorCode", "") for result in answer["Entries"]]


@pytest.mark.parametrize(("count", "fits"), [(9, True), (10, True), (11, False), (25, False)])
def test_entries_of_a_classic_call(client: Client, count: int, fits: bool) -> None:
    """A classic call carries 10 entries, not 11 and not 25."""
    if fits:
        assert put(client, *[entry()] * count) == [""] * count
    else:
        with pytest.raises(ClientError) as error:
            put(client, *[entry()] * count)
        assert code_of(error) == ("ValidationException", 400)


@pytest.mark.parametrize(("count", "fits"), [(99, True), (100, True), (101, False)])
def test_entries_of_a_v2_call(client: Client, count: int, fits: bool) -> None:
    """A v2 call carries 100 entries."""
    if fits:
        assert put_v2(client, *[entry()] * count) == [""] * count
    else:
        with pytest.raises(ClientError) as error:
            put_v2(client, *[entry()] * count)
        assert code_of(error) == ("InvalidInputException", 400)


@pytest.mark.parametrize(("size", "fits"), [(MIB - 1, True), (MIB, True), (MIB + 1, False)])
def test_total_size_of_a_call(client: Client, size: int, fits: bool) -> None:
    """The sum over the entries, in UTF-8 bytes, is at most 1,048,576, on a classic bus and on a v2 bus."""
    entries = filled(1000), filled(size - 1000)
    for send in (put, put_v2):
        if fits:
            assert send(client, *entries) == ["", ""]
        else:
            with pytest.raises(ClientError) as error:
                send(client, *entries)
            assert "over the limit" in str(error.value)


def test_time_and_resources_count_and_the_bus_name_does_not(client: Client) -> None:
    """14 bytes for Time and the bytes of each resource push a call over the edge; the bus's name does not."""
    exact = filled(MIB)
    assert put(client, {**exact, "EventBusName": "some-bus", "TraceHeader": "Root=1"}) == [""]
    assert put(client, {**filled(MIB - 14), "Time": dt.datetime.now(dt.UTC)}) == [""]
    for more in ({"Time": dt.datetime.now(dt.UTC)}, {"Resources": ["a"]}):
        with pytest.raises(ClientError, match="over the limit"):
            put(client, {**exact, **more})


def test_a_plan_can_lower_the_size_of_a_call(client: Client, fake_aws: FakeAwsProcess) -> None:
    """A region where 256 KB hold is imitated by the plan."""
    fake_aws.plan({"max_request_bytes": 262_144})
    assert put(client, filled(262_144)) == [""]
    with pytest.raises(ClientError, match="over the limit"):
        put(client, filled(262_145))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DetailType": "x" * 127}, ""),
        ({"DetailType": "é" * 128}, ""),
        ({"DetailType": "x" * 129}, "InvalidArgument"),
        ({"Source": "s" * 255}, ""),
        ({"Source": "s" * 256}, ""),
        ({"Source": "s" * 257}, "InvalidArgument"),
        ({"Source": "aws.events"}, "NotAuthorizedForSourceException"),
        ({"Source": "aws"}, ""),
        ({"Source": ""}, "InvalidArgument"),
        ({"DetailType": ""}, "InvalidArgument"),
        ({"Detail": ""}, "InvalidArgument"),
        ({"Detail": "[]"}, "MalformedDetail"),
        ({"Detail": '"text"'}, "MalformedDetail"),
        ({"Detail": "{"}, "MalformedDetail"),
        ({"Detail": '{"a":NaN}'}, "MalformedDetail"),
        ({"Detail": '{"n":9223372036854775806}'}, ""),
        ({"Detail": '{"n":9223372036854775807}'}, ""),
        ({"Detail": '{"n":9223372036854775808}'}, "MalformedDetail"),
        ({"Detail": '{"n":-9223372036854775808}'}, ""),
        ({"Detail": '{"n":[-9223372036854775809]}'}, "MalformedDetail"),
        ({"Detail": '{"n":"99999999999999999999"}'}, ""),
        ({"Detail": '{"a":' * 999 + "0" + "}" * 999}, ""),
        ({"Detail": '{"a":' * 1000 + "0" + "}" * 1000}, ""),
        ({"Detail": '{"a":' * 1001 + "0" + "}" * 1001}, "MalformedDetail"),
    ],
)
def test_what_makes_one_entry_fail(client: Client, changes: dict[str, Any], code: str) -> None:
    """Only the entry with the fault fails; its neighbour is accepted."""
    assert put(client, entry(**changes), entry()) == [code, ""]


def test_brackets_in_strings_do_not_nest() -> None:
    """Depth counts brackets of the document, not of its texts."""
    assert detail.depth(json.dumps({"a": ['[[[{{{\\"]]']})) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"EventBusName": "a/b"},
        {"EventBusName": "x" * 1601},
        {"Resources": ["r" * 2049]},
        {"TraceHeader": "t" * 501},
    ],
)
def test_what_makes_a_whole_classic_call_fail(client: Client, changes: dict[str, Any]) -> None:
    """What the model constrains refuses the whole call."""
    with pytest.raises(ClientError) as error:
        put(client, entry(), entry(**changes))
    assert code_of(error) == ("ValidationException", 400)


def test_no_complete_entry_fails_the_whole_call(client: Client) -> None:
    """Where no entry has all three members the call fails, and not its entries."""
    with pytest.raises(ClientError) as error:
        put(client, {"Source": "s", "Detail": "{}"}, {"DetailType": "t"})
    assert code_of(error) == ("ValidationException", 400)


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"DetailType": "x" * 128}, True),
        ({"DetailType": "x" * 129}, False),
        ({"Source": "x" * 257}, False),
        ({"SystemMetadata": {"DeduplicationId": "d" * 128}}, True),
        ({"SystemMetadata": {"DeduplicationId": "d" * 129}}, False),
        ({"SystemMetadata": {"DeduplicationId": "  "}}, False),
        ({"SystemMetadata": {"EventGroupId": "g" * 128}}, True),
        ({"SystemMetadata": {"EventGroupId": "g" * 129}}, False),
        ({"Resources": ["r" * 2048]}, True),
        ({"Resources": ["r" * 2049]}, False),
    ],
)
def test_members_of_a_v2_entry(client: Client, changes: dict[str, Any], fits: bool) -> None:
    """A v2 bus holds entries to its model, and refuses the call."""
    if fits:
        assert put_v2(client, entry(**changes)) == [""]
    else:
        with pytest.raises(ClientError) as error:
            put_v2(client, entry(**changes))
        assert code_of(error) == ("InvalidInputException", 400)


def test_v2_entries_fail_alone_for_source_and_detail(client: Client) -> None:
    """A reserved source and a Detail that is no object fail alone on a v2 bus too."""
    codes = put_v2(client, entry(Source="aws.x"), entry(Detail="1"), entry())
    assert codes == ["NotAuthorizedForSourceException", "MalformedDetail", ""]


def send(client: Client, *messages: dict[str, Any]) -> dict[str, str]:
    """The codes of a SendMessageBatch by id, empty where accepted."""
    answer = client("sqs").send_message_batch(QueueUrl="http://127.0.0.1/1/q", Entries=messages)
    codes = {message["Id"]: "" for message in answer["Successful"]}
    assert all(message["SenderFault"] for message in answer["Failed"])
    return codes | {message["Id"]: message["Code"] for message in answer["Failed"]}


def message(identity: str, body: str = "x", **attributes: str) -> dict[str, Any]:
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    return {"Id": identity, "MessageBody": body, **({"MessageAttributes": typed} if typed else {})}


@pytest.mark.parametrize(("size", "fits"), [(MIB - 1, True), (MIB, True), (MIB + 1, False)])
def test_size_of_a_message_batch(client: Client, size: int, fits: bool) -> None:
    """A batch, bodies and attributes together, holds 1,048,576 bytes."""
    attributes = len("a") + len("String") + len("v")
    batch = message("0", "é" * 1000, a="v"), message("1", "x" * (size - 2000 - attributes))
    if fits:
        assert send(client, *batch) == {"0": "", "1": ""}
    else:
        with pytest.raises(ClientError) as error:
            send(client, *batch)
        assert code_of(error) == ("AWS.SimpleQueueService.BatchRequestTooLong", 400)


def test_a_queue_set_to_less_refuses_the_one_message(client: Client, fake_aws: FakeAwsProcess) -> None:
    """An older queue's 256 KiB hold for each message, and the sender is to blame."""
    fake_aws.plan({"max_message_bytes": 262_144})
    assert send(client, message("0", "x" * 262_144), message("1", "x" * 262_145)) == {
        "0": "",
        "1": "InvalidParameterValue",
    }


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        (["a", "a"], "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
        (["a" * 81], "AWS.SimpleQueueService.InvalidBatchEntryId"),
        (["a.b"], "AWS.SimpleQueueService.InvalidBatchEntryId"),
        ([str(n) for n in range(11)], "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
        ([], "AWS.SimpleQueueService.EmptyBatchRequest"),
    ],
)
def test_ids_and_count_of_a_batch(client: Client, ids: list[str], code: str) -> None:
    """Ids are unique, of 80 plain characters, and at most ten; each breach has its own code."""
    with pytest.raises(ClientError) as error:
        send(client, *[message(identity) for identity in ids])
    assert code_of(error) == (code, 400)


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (message("0", "tab\tlf\ncr\r \ud7ff\ue000\ufffd\U00010000"), ""),
        (message("0", "\x00"), "InvalidMessageContents"),
        (message("0", "\x0b"), "InvalidMessageContents"),
        (message("0", "\ufffe"), "InvalidMessageContents"),
        (message("0", ""), "MissingParameter"),
        (message("a" * 80, "x"), ""),
        (message("0", "x", a=""), "InvalidParameterValue"),
        (message("0", "x", a="\x01"), "InvalidParameterValue"),
        (message("0", "x", **{"AWS.a": "v"}), "InvalidParameterValue"),
        (message("0", "x", **{"a..b": "v"}), "InvalidParameterValue"),
        (message("0", "x", **{"a" * 256: "v"}), ""),
        (message("0", "x", **{"a" * 257: "v"}), "InvalidParameterValue"),
        (message("0", "x", **{f"a{n}": "v" for n in range(10)}), ""),
        (message("0", "x", **{f"a{n}": "v" for n in range(11)}), "InvalidParameterValue"),
    ],
)
def test_what_makes_one_message_fail(client: Client, one: dict[str, Any], code: str) -> None:
    """Characters outside XML, an empty body and wrong attributes fail the one message, by its sender's fault."""
    assert send(client, one, message("other")) == {one["Id"]: code, "other": ""}


def records(client: Client, *given: dict[str, Any]) -> list[str]:
    """The codes of a PutRecords by position."""
    answer = client("kinesis").put_records(StreamName="s", Records=given)
    return [record.get("ErrorCode", "") for record in answer["Records"]]


def record(size: int, key: str = "k", **more: str) -> dict[str, Any]:
    return {"Data": b"x" * (size - len(key)), "PartitionKey": key, **more}


@pytest.mark.parametrize(("size", "fits"), [(MIB - 1, True), (MIB, True), (MIB + 1, False)])
def test_size_of_a_record(client: Client, fake_aws: FakeAwsProcess, size: int, fits: bool) -> None:
    """Data and partition key of a record hold 1,048,576 bytes."""
    fake_aws.plan({"shard_limits": False})
    if fits:
        assert records(client, record(size)) == [""]
    else:
        with pytest.raises(ClientError) as error:
            records(client, record(size))
        assert code_of(error) == ("ValidationException", 400)


@pytest.mark.parametrize(("count", "fits"), [(499, True), (500, True), (501, False)])
def test_records_of_a_call(client: Client, count: int, fits: bool) -> None:
    """A call carries 500 records."""
    if fits:
        assert records(client, *[record(10)] * count) == [""] * count
    else:
        with pytest.raises(ClientError) as error:
            records(client, *[record(10)] * count)
        assert code_of(error) == ("ValidationException", 400)


@pytest.mark.parametrize(("more", "fits"), [(-1, True), (0, True), (1, False)])
def test_size_of_a_put_records_call(client: Client, fake_aws: FakeAwsProcess, more: int, fits: bool) -> None:
    """A call holds 10 MiB, keys included."""
    fake_aws.plan({"shard_limits": False})
    call = [*[record(MIB)] * 9, record(MIB - 100), record(100 + more)]
    if fits:
        assert records(client, *call) == [""] * 11
    else:
        with pytest.raises(ClientError) as error:
            records(client, *call)
        assert code_of(error) == ("InvalidArgumentException", 400)


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (record(300, "k" * 256), ""),
        (record(300, "k" * 257), "ValidationException"),
        (record(10, ExplicitHashKey=str(2**128 - 1)), ""),
        (record(10, ExplicitHashKey=str(2**128)), "InvalidArgumentException"),
        (record(10, ExplicitHashKey="01"), "InvalidArgumentException"),
    ],
)
def test_keys_of_a_record(client: Client, one: dict[str, Any], code: str) -> None:
    """Partition keys have 256 characters, hash keys are decimal and below 2^128."""
    if code:
        with pytest.raises(ClientError) as error:
            records(client, one)
        assert code_of(error) == (code, 400)
    else:
        assert records(client, one) == [""]


def test_a_shard_takes_a_megabyte_a_second(client: Client, fake_aws: FakeAwsProcess) -> None:
    """1 MiB at once is taken; the next record of that size waits, on another shard not; without limits none does."""
    fake_aws.plan({"shards": 2})
    keys = ("0", "0", str(2**127))
    codes = records(client, *[record(MIB, ExplicitHashKey=key) for key in keys])
    assert codes == ["", "ProvisionedThroughputExceededException", ""]
    fake_aws.plan({"shard_limits": False})
    assert records(client, *[record(MIB)] * 3) == [""] * 3


def put_metrics(client: Client, *data: dict[str, Any], namespace: str = "CXoneEventRouter") -> None:
    client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)


def datum(**changes: Any) -> dict[str, Any]:
    return {"MetricName": "m", "Value": 1.0, **changes}


def without_value(**changes: Any) -> dict[str, Any]:
    return {"MetricName": "m", **changes}


def dimensions(count: int) -> list[dict[str, str]]:
    return [{"Name": f"d{n}", "Value": "v"} for n in range(count)]


NUMBERS = [float(n) for n in range(151)]
NOW = dt.datetime.now(dt.UTC)


@pytest.mark.parametrize(
    "data",
    [
        [datum()] * 1000,
        [datum(Dimensions=dimensions(30))],
        [without_value(Values=NUMBERS[:150], Counts=[2.0] * 150)],
        [without_value(StatisticValues={"SampleCount": 1, "Sum": 2, "Minimum": 2, "Maximum": 2})],
        [datum(Value=2.0**360), datum(StorageResolution=1), datum(Unit="Percent")],
        [datum(Timestamp=NOW - dt.timedelta(days=13, hours=23)), datum(Timestamp=NOW + dt.timedelta(minutes=110))],
    ],
)
def test_metric_data_within_the_limits(client: Client, fake_aws: FakeAwsProcess, data: list[dict[str, Any]]) -> None:
    """What CloudWatch's text allows is accepted."""
    put_metrics(client, *data)
    assert fake_aws.stats()["items"]["PutMetricData"] == {"accepted": len(data)}


@pytest.mark.parametrize(
    "data",
    [
        [datum()] * 1001,
        [datum(Dimensions=dimensions(31))],
        [datum(Dimensions=[{"Name": ":a", "Value": "v"}])],
        [datum(Dimensions=[{"Name": "a", "Value": "é"}])],
        [without_value(Values=NUMBERS, Counts=[1.0] * 151)],
        [without_value(Values=[1.0, 2.0], Counts=[1.0])],
        [datum(Values=[1.0])],
        [without_value()],
        [datum(Value=2.0**361)],
        [datum(StorageResolution=30)],
        [datum(Timestamp=NOW - dt.timedelta(days=15))],
        [datum(Timestamp=NOW + dt.timedelta(hours=3))],
    ],
)
def test_metric_data_beyond_the_limits(client: Client, data: list[dict[str, Any]]) -> None:
    """What it forbids refuses the whole call."""
    with pytest.raises(ClientError) as error:
        put_metrics(client, *data)
    assert code_of(error) == ("InvalidParameterValue", 400)


def test_a_reserved_namespace_is_refused(client: Client) -> None:
    """AWS/… belongs to AWS."""
    with pytest.raises(ClientError):
        put_metrics(client, datum(), namespace="AWS/Events")

"""The fake AWS against answers that were recorded from AWS: code, status and, where AWS's is telling, the message.

LocalStack keeps them (localstack/localstack at 8b9a79f0, `tests/aws/services/*/*.snapshot.json`); each row names its
test there, and the day on which AWS gave the answer.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Client
from tests.contract.test_fakeaws_wire import entry
from tests.fakeaws.process import FakeAwsProcess

QUEUE = "http://127.0.0.1/1/recorded"
STREAM = "wrong-stream-name"
SQS = "AWS.SimpleQueueService."

Ask = Callable[[Client], Any]


def asked(service: str, operation: str, **values: Any) -> Ask:
    return lambda client: getattr(client(service), operation)(**values)


def put(**changes: Any) -> Ask:
    """PutEvents of one entry; what is None is left out."""
    changed = {name: value for name, value in entry(**changes).items() if value is not None}
    return asked("events", "put_events", Entries=[changed])


def send(*bodies: str, identity: str = "", attributes: Any = None) -> Ask:
    more = {"MessageAttributes": attributes} if attributes else {}
    entries = [{"Id": identity or str(n), "MessageBody": body, **more} for n, body in enumerate(bodies)]
    return asked("sqs", "send_message_batch", QueueUrl=QUEUE, Entries=entries)


def delete(*ids: str) -> Ask:
    entries = [{"Id": item, "ReceiptHandle": "handle"} for item in ids]
    return asked("sqs", "delete_message_batch", QueueUrl=QUEUE, Entries=entries)


def hide(*ids: str) -> Ask:
    entries = [{"Id": item, "ReceiptHandle": "handle", "VisibilityTimeout": 0} for item in ids]
    return asked("sqs", "change_message_visibility_batch", QueueUrl=QUEUE, Entries=entries)


def metric(**datum: Any) -> Ask:
    data = [{"MetricName": "mymetric", "Unit": "Count", **datum}]
    return asked("cloudwatch", "put_metric_data", Namespace="ns", MetricData=data)


RECORD = {"Data": b"x", "PartitionKey": "p"}
TWENTY = [str(n) for n in range(20)]
PATTERN = '{"source":["a"]}'
EVENT = json.dumps(dict.fromkeys(("id", "account", "source", "time", "region", "resources", "detail-type"), ""))
STATISTICS = {"SampleCount": 10.0, "Sum": 55.0, "Minimum": 1.0, "Maximum": 10.0}
NO_STREAM = ("ResourceNotFoundException", "Stream wrong-stream-name under account 123456789012 not found.")
TOO_MANY = (f"{SQS}TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent 20.")
TOO_LONG = "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes."
BATCH_ID = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
WRONG_ID = (f"{SQS}InvalidBatchEntryId", f"{BATCH_ID}It can be at most 80 letters long.")


def both(candidate: str, other: str) -> tuple[str, str]:
    names = f"MetricData.member.1.{candidate} and MetricData.member.1.{other}"
    text = f"The parameters {names} are mutually exclusive and you have specified both."
    return "InvalidParameterCombination", text


REFUSED: list[tuple[str, Ask, tuple[str, str]]] = [
    (
        "put_event_with_too_big_detail 2025-01-08",
        put(Detail='{"a":"' + "x" * 1_048_576 + '"}'),
        ("ValidationException", "Total size of the entries in the request is over the limit."),
    ),
    (
        "put_events_exceed_limit_ten_entries 2025-01-08",
        asked("events", "put_events", Entries=[entry()] * 11),
        ("ValidationException", ""),
    ),
    (
        "describe_delete_not_existing_event_bus 2025-03-12",
        asked("events", "describe_event_bus", Name="nobodys"),
        ("ResourceNotFoundException", "Event bus nobodys does not exist."),
    ),
    (
        "describe_nonexistent_rule 2025-03-12",
        asked("events", "describe_rule", Name="nobodys"),
        ("ResourceNotFoundException", "Rule nobodys does not exist on EventBus default."),
    ),
    ("cbor_exceptions 2025-09-04", asked("kinesis", "put_records", StreamName=STREAM, Records=[RECORD]), NO_STREAM),
    ("cbor_exceptions 2025-09-04", asked("kinesis", "list_shards", StreamName=STREAM), NO_STREAM),
    ("cbor_exceptions 2025-09-04", asked("kinesis", "describe_stream_summary", StreamName=STREAM), NO_STREAM),
    (
        "send_message_batch_with_oversized_contents 2025-08-19",
        send("a" * 1_048_576, "a"),
        (f"{SQS}BatchRequestTooLong", TOO_LONG),
    ),
    ("too_many_entries_in_batch_request 2024-04-30", send(*TWENTY), TOO_MANY),
    ("delete_message_batch_with_too_large_batch 2024-04-30", delete(*TWENTY), TOO_MANY),
    ("change_message_visibility_batch_with_too_large_batch 2024-04-30", hide(*TWENTY), TOO_MANY),
    ("invalid_batch_id 2024-04-30", send("x", identity="invalid:id"), WRONG_ID),
    ("delete_message_batch_invalid_msg_id 2024-04-30", delete(""), WRONG_ID),
    ("delete_message_batch_invalid_msg_id 2024-04-30", delete("testLongId" * 10), WRONG_ID),
    ("delete_message_batch_invalid_msg_id 2024-04-30", delete("invalid:id"), WRONG_ID),
    (
        "non_existent_queue 2024-04-30",
        asked("sqs", "get_queue_url", QueueName="taken-away"),
        (f"{SQS}NonExistentQueue", "The specified queue does not exist."),
    ),
    (
        "send_receive_max_number_of_messages 2024-04-30",
        asked("sqs", "receive_message", QueueUrl=QUEUE, MaxNumberOfMessages=11),
        ("InvalidParameterValue", ""),
    ),
    ("put_metric_data_validation 2025-09-19", metric(Value=1.5, Values=[1.0, 10.0]), both("Value", "Values")),
    (
        "put_metric_data_validation 2025-09-19",
        metric(Value=1.5, StatisticValues=STATISTICS),
        both("Value", "StatisticValues"),
    ),
    (
        "put_metric_data_validation 2025-09-19",
        metric(Values=[1.0, 10.0], Counts=[2.0, 4.0, 5.0]),
        ("InvalidParameterValue", ""),
    ),
    (
        "range_key_not_exists 2026-02-21",
        asked("s3", "get_object", Bucket="bucket", Key="my-key"),
        ("NoSuchKey", "The specified key does not exist."),
    ),
    (
        "get_object_no_such_bucket 2026-02-21",
        asked("s3", "get_object", Bucket="taken-away", Key="k"),
        ("NoSuchBucket", "The specified bucket does not exist"),
    ),
    (
        "plain_string_payload 2024-12-05",
        asked("events", "test_event_pattern", EventPattern=PATTERN, Event="plain string"),
        ("ValidationException", "Parameter Event is not valid."),
    ),
    (
        "event_pattern[int_nolist_EXC] 2025-10-15",
        asked("events", "test_event_pattern", EventPattern='{"int":42}', Event=EVENT),
        ("InvalidEventPatternException", ""),
    ),
    (
        "event_pattern[arrays_empty_EXC] 2025-10-15",
        asked("events", "test_event_pattern", EventPattern='{"resources":[]}', Event=EVENT),
        ("InvalidEventPatternException", ""),
    ),
    (
        "batch_write_not_existing_table 2025-10-08",
        asked("dynamodb", "scan", TableName="none"),
        ("ResourceNotFoundException", "Requested resource not found"),
    ),
]


@pytest.mark.parametrize(("ask", "expected"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_call_is_refused_as_aws_refuses_it(
    client: Client, fake_aws: FakeAwsProcess, ask: Ask, expected: tuple[str, str]
) -> None:
    """With AWS's code, status and words."""
    fake_aws.plan({"missing": ["taken-away"], "bus_rules": []})
    with pytest.raises(ClientError) as error:
        ask(client)
    answer, (code, text) = error.value.response, expected
    status = 404 if code.startswith("NoSuch") else 400
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert text in ("", answer["Error"]["Message"])


def entry_failed(code: str, text: str) -> dict[str, Any]:
    return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": code, "ErrorMessage": text}]}


def required(name: str) -> dict[str, Any]:
    return entry_failed("InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument.")


def message_failed(text: str) -> dict[str, Any]:
    return {"Failed": [{"Id": "0", "Code": "InvalidParameterValue", "SenderFault": True, "Message": text}]}


MALFORMED = entry_failed("MalformedDetail", "Detail is malformed.")
TOO_LARGE = "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes."
EMPTY = "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'."
ANSWERED: list[tuple[str, Ask, dict[str, Any]]] = [
    ("put_events_without_source 2025-01-08", put(Source=None), required("Source")),
    ("put_event_without_detail_type 2025-01-08", put(DetailType=None), required("DetailType")),
    ("put_event_without_detail 2025-01-08", put(Detail=None), required("Detail")),
    ("put_event_malformed_detail[STRING] 2025-01-08", put(Detail="text"), MALFORMED),
    ("put_event_malformed_detail[ARRAY] 2025-01-08", put(Detail='["a"]'), MALFORMED),
    ("put_event_malformed_detail[MALFORMED_JSON] 2025-01-08", put(Detail='{"a": "b"'), MALFORMED),
    ("put_event_malformed_detail[SERIALIZED_STRING] 2025-01-08", put(Detail='"{\\"a\\": 1}"'), MALFORMED),
    ("send_batch_message_size 2024-04-30", send("a" * 1025), message_failed(TOO_LARGE)),
    (
        "send_message_with_empty_string_attribute 2024-04-30",
        send("x", attributes={"ErrorDetails": {"DataType": "String", "StringValue": ""}}),
        message_failed(EMPTY),
    ),
    ("put_metric_data_validation 2025-09-19", metric(Values=[1.0, 10.0], StatisticValues=STATISTICS), {}),
    ("receive_empty_queue 2025-02-10", asked("sqs", "receive_message", QueueUrl=QUEUE), {}),
]


@pytest.mark.parametrize(("ask", "expected"), [row[1:] for row in ANSWERED], ids=[row[0] for row in ANSWERED])
def test_a_call_is_answered_as_aws_answers_it(
    client: Client, fake_aws: FakeAwsProcess, ask: Ask, expected: dict[str, Any]
) -> None:
    """With 200, and what is wrong in it."""
    fake_aws.plan({"max_message_bytes": 1024})
    answer = ask(client)
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    assert {name: value for name, value in answer.items() if value} == expected


def test_a_batch_without_a_failure_is_answered_without_failed(client: Client) -> None:
    """send_message_batch_with_oversized_contents_with_updated_maximum_message_size 2024-04-30: the list is left out."""
    assert send("x")(client).keys() == {"Successful", "ResponseMetadata"}


def test_a_bus_that_does_not_exist_swallows_what_it_answers_as_accepted(
    client: Client, fake_aws: FakeAwsProcess
) -> None:
    """put_events_nonexistent_event_bus 2025-01-08: it succeeds; only the ledger knows that the event is gone."""
    answer = put(EventBusName="nobodys", Detail='{"eventId":"void-1"}')(client)
    assert (answer["FailedEntryCount"], [*answer["Entries"][0]]) == (0, ["EventId"])
    assert [line["eventId"] for line in fake_aws.lines("PutEvents", "void")] == ["void-1"]


@pytest.mark.parametrize(
    ("attributes", "digest"),
    [
        ({"Foo": ("String", "Bar")}, "ae7155c6026991b6d54b11589678bf9c"),
        ({"k": ("String", "x")}, "a45daa70926828a2f0a1db3418e6feb4"),
        (
            {"General": ("String", "Kenobi"), "Hello": ("String", "There"), "Help.Me": ("String", "Me")},
            "4c360f3fdafd970e05fae2f149d997f5",
        ),
        (
            {"attr1": ("Binary", b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01")},
            "8cbe4db156db8a94db8b801b7addb984",
        ),
    ],
)
def test_the_digest_of_attributes_is_the_one_that_aws_computed(
    client: Client, attributes: dict[str, tuple[str, Any]], digest: str
) -> None:
    """receive_message_attribute_names_filters and others, 2024: told at sending, and to who asks for them."""
    typed = {name: {"DataType": kind, f"{kind}Value": value} for name, (kind, value) in attributes.items()}
    assert send("msg", attributes=typed)(client)["Successful"][0]["MD5OfMessageAttributes"] == digest
    asked: dict[str, Any] = {"QueueUrl": QUEUE, "VisibilityTimeout": 0}
    (plain,) = client("sqs").receive_message(**asked)["Messages"]
    assert not {"Attributes", "MessageAttributes", "MD5OfMessageAttributes"} & plain.keys()
    (whole,) = client("sqs").receive_message(**asked, MessageAttributeNames=["All"])["Messages"]
    assert (whole["MD5OfMessageAttributes"], whole["MessageAttributes"]) == (digest, typed)

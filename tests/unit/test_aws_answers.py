"""AWS's limits, error codes and answers, read entry by entry: only what is proven counts."""

import hashlib
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import cbor2
import orjson
import pytest
from botocore.loaders import Loader

from stream_router import aws_answers, limits
from stream_router.aws_answers import ACCEPTED, Answer, Outcome, Refusal
from stream_router.aws_error_codes import Disposition, call_disposition, entry_disposition, short_code

BURY, RETRY, HOLD, BISECT = Disposition.DEAD_LETTER, Disposition.RETRY, Disposition.HOLD, Disposition.BISECT
CODES = {
    BURY: "MalformedDetail InvalidArgument RedactionFailure NotAuthorizedForDetailTypeException",
    RETRY: "InternalFailure SomethingNew",
    HOLD: "ThrottlingException ProvisionedThroughputExceededException ServiceUnavailable AccessDenied RequestThrottled"
    " ExpiredTokenException UnrecognizedClientException InvalidSignatureException RequestTimeTooSkewed RequestExpired"
    " ResourceNotFoundException QueueDoesNotExist NotAuthorizedForSourceException KMSAccessDeniedException"
    " KmsInvalidState com.amazon.coral.availability#ThrottlingException KMS.ThrottlingException"
    " ThrottlingException:http://internal.amazon.com/coral/ com.amazonaws.sqs#QueueDoesNotExist:http://x#y",
    BISECT: "ValidationException SerializationException BatchRequestTooLong InvalidInputException",
}


@pytest.mark.parametrize(("disposition", "code"), [(d, code) for d, row in CODES.items() for code in row.split()])
def test_what_a_code_means_of_an_entry_and_of_a_call(disposition: Disposition, code: str) -> None:
    """A call is never buried for an entry's code; only a 4xx for its content is bisected; all else of a call holds.

    AWS writes a code in several ways, with a namespace before and a URL behind it.
    """
    short = short_code(code)
    assert entry_disposition(short) is disposition
    assert call_disposition(short, 400) is (BISECT if disposition is BISECT else HOLD)
    assert call_disposition(short, 500) is call_disposition(short, 503) is HOLD


MD5S = [hashlib.md5(body).hexdigest() for body in (b"a", b"b", b"c")]


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status, content, {name.replace("_", "-"): value for name, value in headers.items()}, "")


def good(identity: int, **changes: str) -> dict[str, str]:
    return {"Id": str(identity), "MessageId": f"m{identity}", "MD5OfMessageBody": MD5S[identity], **changes}


def messages(**body: Any) -> list[Outcome] | Refusal:
    """What is read of SQS's answer to as many messages as it names."""
    return aws_answers.read_send_message_batch(answer(body), MD5S[: sum(map(len, body.values()))])


Read = Callable[[Answer, int], list[Outcome] | Refusal]
READERS: dict[str, tuple[Read, str, str, Callable[[object], bytes]]] = {
    "PutEvents": (aws_answers.read_put_events, "Entries", "EventId", orjson.dumps),
    "PutEvents v2": (aws_answers.read_put_events_v2, "Entries", "EventId", cbor2.dumps),
    "PutEvents v2, deduplicated": (aws_answers.read_put_events_v2, "Entries", "SuccessCode", cbor2.dumps),
    "PutRecords": (aws_answers.read_put_records, "Records", "SequenceNumber", orjson.dumps),
}


@pytest.mark.parametrize("reader", READERS)
def test_entries_are_read_by_position(reader: str) -> None:
    """Each keeps its place and code, whatever the count of failures says; one with a proof and an error goes again."""
    read, results, proof, write = READERS[reader]
    value = [
        {proof: "1"},
        {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."},
        {"ErrorCode": "ThrottlingException"},
        {proof: "1", "ErrorCode": "InternalFailure", "ErrorMessage": "no"},
    ]
    assert read(Answer(200, write({"FailedEntryCount": 0, results: value}), {}, ""), 4) == [
        ACCEPTED,
        Outcome(BURY, "MalformedDetail", "Detail is malformed."),
        Outcome(HOLD, "ThrottlingException"),
        Outcome(RETRY, "InternalFailure", "no"),
    ]


def test_messages_are_read_by_id_and_proven_by_their_md5() -> None:
    """SQS may answer in another order: the id decides; a wrong or missing MD5 or MessageId settles nothing."""
    failed = [{"Id": "1", "SenderFault": False, "Code": "InternalError", "Message": "x"}]
    result = messages(Successful=[good(2), good(0)], Failed=failed)
    assert result == [ACCEPTED, Outcome(RETRY, "InternalError"), ACCEPTED]
    for changes in ({"MD5OfMessageBody": "0" * 32}, {"MD5OfMessageBody": ""}, {"MessageId": ""}):
        assert messages(Successful=[good(0, **changes)]) == [Outcome(RETRY, "Md5Mismatch")]


@pytest.mark.parametrize(
    ("code", "is_senders", "disposition"),
    [
        ("InvalidParameterValue", True, BURY),
        ("ValidationException", True, BURY),
        ("AccessDenied", True, HOLD),
        ("KMS.DisabledException", True, HOLD),
        ("ServiceUnavailable", False, HOLD),
        ("SomethingNew", False, RETRY),
        (None, False, RETRY),
    ],
)
def test_a_failed_message_is_judged_by_table_then_by_blame(code: Any, is_senders: bool, disposition: Any) -> None:
    """What the table calls systemic holds even where SQS blames the sender."""
    result = messages(Failed=[{"Id": "0", "SenderFault": is_senders, "Code": code}])
    assert isinstance(result, list)
    assert result[0].disposition is disposition


def results(*of_each: Any) -> dict[str, Any]:
    """The same results of entries for PutEvents and PutRecords."""
    return {"Entries": list(of_each), "Records": list(of_each)}


FINE = {"EventId": "1", "SequenceNumber": "1"}
UNREADABLE: list[Any] = [
    *(b"", b"<html>200 OK</html>", b"null", b"[]", b"3", b"{}", b'{"Entries":[{"EventId":"1"},'),
    {"Entries": None, "Records": None},
    {"Entries": {"0": {}}, "Records": {}, "Successful": [good(0), good(1), good(2)]},
    results({}, {}),
    results({"EventId": "", "SequenceNumber": ""}, FINE),
    results(FINE, {"ErrorCode": 500}),
    {**results(FINE), "Successful": [good(0)]},
    {**results(1, "a"), "Successful": [good(0), good(0)]},
    {**results(FINE, FINE, FINE), "Successful": [good(0), {"Id": "-1"}]},
    {"Successful": [good(0)], "Failed": [{"Id": "0", "Code": "X"}]},
    {"Successful": [good(0), {**good(1), "Id": "one"}]},
]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_200_that_does_not_fit_its_request_is_indeterminate(body: object) -> None:
    """Another length, shape, ids that do not match, no JSON: the call proves nothing, whatever single entries say."""
    nothing = Refusal(HOLD, "UnreadableAnswer", retry_after_s=0.0)
    for read in (aws_answers.read_put_events, aws_answers.read_put_events_v2, aws_answers.read_put_records):
        assert read(answer(body), 2) == nothing
    assert aws_answers.read_send_message_batch(answer(body), MD5S[:2]) == nothing


OF_CBOR = answer(cbor2.dumps({"__type": "x#InvalidInputException"}), 400, content_type="application/cbor")
S3_SAYS_NO = b"<Error>\n<Code>AccessDenied</Code><Message>not authorized</Message><RequestId>4</RequestId></Error>"


@pytest.mark.parametrize(
    ("got", "code", "disposition"),
    [
        (Answer(0, b"", {}, "curl 7: refused"), "NoAnswer", HOLD),
        (Answer(0, b"", {}, "curl 28: timed out", timed_out=True), "TimedOut", HOLD),
        (answer({"__type": "a.b#ValidationException", "message": "m"}, 400), "ValidationException", BISECT),
        (answer(b"", 400, x_amzn_errortype="ExpiredToken:http://x/"), "ExpiredToken", HOLD),
        (answer({"code": "AccessDenied"}, 403), "AccessDenied", HOLD),
        (answer(b"<html>", 502), "Http502", HOLD),
        (answer(b"[]", 404), "Http404", HOLD),
        (answer(S3_SAYS_NO, 403), "AccessDenied", HOLD),
        (answer(b"", 413), "Http413", BISECT),
        (OF_CBOR, "InvalidInputException", BISECT),
        (answer(b"\xff", 503, content_type="application/cbor"), "Http503", HOLD),
    ],
)
def test_a_refusal_is_read_in_every_form(got: Answer, code: str, disposition: Disposition) -> None:
    """Header or body, JSON, CBOR or S3's XML, namespaced or bare, or no answer at all, which is never settled."""
    refusal = aws_answers.read_refusal(got)
    assert (refusal.code, refusal.disposition) == (code, disposition)


NONSENSE = ["", "soon", "-3", "1.5", "Wed, 99 Foo 2026", formatdate(0, usegmt=True), "Mon, 24 Nov 0001 00:00:00 +9999"]
WAITS = dict.fromkeys(NONSENSE, 0.0) | {"59": 59.0, "61": 60.0, "9" * 400: 60.0, "Wed, 21 Oct 2099 07:28:00 GMT": 60.0}


@pytest.mark.parametrize(("value", "seconds"), WAITS.items())
def test_a_retry_after_is_read_and_silences_us_for_a_minute_at_most(value: str, seconds: float) -> None:
    """Nonsense and dates in the past ask for no wait; nothing raises."""
    assert aws_answers.read_refusal(answer(b"", 503, retry_after=value)).retry_after_s == seconds


def test_every_limit_is_aws_own() -> None:
    """What a call may hold is what the service's own model says."""
    of_model = {
        ("eventbridgev2", "PutEventsRequestEntryList"): limits.V2_MAX_ENTRIES,
        ("events", "PutEventsRequestEntryList"): limits.bus_ceiling("default"),
        ("events", "RuleName"): limits.RULE_NAME_MAX_CHARS,
        ("events", "EventPattern"): limits.EVENT_PATTERN_MAX_CHARS,
        ("kinesis", "PutRecordsRequestEntryList"): limits.PUT_RECORDS_MAX_RECORDS,
    }
    for (service, shape), limit in of_model.items():
        assert Loader().load_service_model(service, "service-2")["shapes"][shape]["max"] == limit

"""AWS's error codes and answers: one table, and answers read entry by entry, where only what is proven counts."""

import hashlib
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import cbor2
import orjson
import pytest

from stream_router import errors
from stream_router.errors import (
    ACCEPTED,
    CODES,
    Answer,
    Disposition,
    Outcome,
    Refusal,
    call_disposition,
    cure,
    entry_disposition,
    epoch_of,
    short_code,
)

DATA = ["MalformedDetail", "InvalidArgument", "RedactionFailure", "NotAuthorizedForDetailTypeException"]
ENTRY = ["InternalFailure", "SomethingNew", ""]
SYSTEMIC = [
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestThrottled",
    "ServiceUnavailable",
    "AccessDeniedException",
    "AccessDenied",
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException",
    "ResourceNotFoundException",
    "QueueDoesNotExist",
    "NotAuthorizedForSourceException",
    "InvalidAccountIdException",
    "InvalidStateException",
    "KMSAccessDeniedException",
    "KMSInvalidKeyUsageException",
    "KmsInvalidKeyUsage",
    "KmsInvalidState",
    "KmsOptInRequired",
]
CONTENT = ["ValidationException", "SerializationException", "BatchRequestTooLong", "InvalidInputException"]


@pytest.mark.parametrize("code", DATA)
def test_a_data_error_of_an_entry_is_buried_at_once(code: str) -> None:
    """Where the data is wrong no retry helps."""
    assert entry_disposition(code) is Disposition.DEAD_LETTER


@pytest.mark.parametrize("code", ENTRY)
def test_trouble_or_an_unknown_code_of_an_entry_is_retried(code: str) -> None:
    """A code that nobody knows may be new and passing: it is retried within the budget."""
    assert entry_disposition(code) is Disposition.RETRY


@pytest.mark.parametrize("code", SYSTEMIC)
def test_a_systemic_code_holds_wherever_it_appears(code: str) -> None:
    """Throttling, credentials, permissions, missing resources: never the event's fault, in an entry or a call."""
    assert entry_disposition(code) is Disposition.HOLD
    for status in (400, 403, 404, 429, 500, 503):
        assert call_disposition(code, status) is Disposition.HOLD


@pytest.mark.parametrize("code", CONTENT)
def test_a_call_refused_for_its_content_is_bisected(code: str) -> None:
    """Only with a 4xx: a 5xx is systemic whatever code comes with it."""
    assert call_disposition(code, 400) is Disposition.BISECT
    assert call_disposition(code, 500) is Disposition.HOLD
    assert call_disposition(code, 503) is Disposition.HOLD


@pytest.mark.parametrize("code", [*DATA, *ENTRY])
def test_a_whole_call_is_never_buried_for_an_entrys_code(code: str) -> None:
    """What condemns an entry does not condemn a call that says nothing of its entries."""
    assert call_disposition(code, 400) is Disposition.HOLD
    assert call_disposition(code, 502) is Disposition.HOLD


def test_too_large_a_call_is_halved() -> None:
    """HTTP 413 has no AWS code, and means the size."""
    assert call_disposition("Http413", 413) is Disposition.BISECT


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("ThrottlingException", "ThrottlingException"),
        ("com.amazon.coral.availability#ThrottlingException", "ThrottlingException"),
        ("ThrottlingException:http://internal.amazon.com/coral/", "ThrottlingException"),
        ("com.amazonaws.sqs#QueueDoesNotExist:http://x#y", "QueueDoesNotExist"),
        (" ExpiredToken ", "ExpiredToken"),
        ("KMS.ThrottlingException", "KMSThrottlingException"),
        ("", ""),
    ],
)
def test_codes_are_stripped_of_namespace_and_url(raw: str, code: str) -> None:
    """AWS writes a code in several ways; the table knows one, which is what botocore makes of it."""
    assert short_code(raw) == code


def test_every_code_stands_once_and_has_a_cure() -> None:
    """A row that is given twice would be read by chance."""
    codes = [code for _, row in errors._TABLE for code in row.split()]
    assert len(codes) == len(set(codes)) == len(CODES)
    assert all(cure(code) for code in CODES)


MD5S = [hashlib.md5(body).hexdigest() for body in (b"a", b"b", b"c")]


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status, content, {name.replace("_", "-"): value for name, value in headers.items()}, "")


def good(identity: int, **changes: str) -> dict[str, str]:
    return {"Id": str(identity), "MessageId": f"m{identity}", "MD5OfMessageBody": MD5S[identity], **changes}


def test_put_events_entries_are_read_by_position() -> None:
    """Accepted, refused and throttled entries each keep their place and their code."""
    body = {
        "FailedEntryCount": 2,
        "Entries": [
            {"EventId": "1"},
            {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."},
            {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow"},
            {"ErrorCode": "InternalFailure"},
        ],
    }
    assert errors.of_put_events(answer(body), 4) == [
        ACCEPTED,
        Outcome(Disposition.DEAD_LETTER, "MalformedDetail", "Detail is malformed."),
        Outcome(Disposition.HOLD, "ThrottlingException", "slow"),
        Outcome(Disposition.RETRY, "InternalFailure", ""),
    ]


def test_the_count_of_failures_is_not_believed() -> None:
    """Entries decide: a FailedEntryCount of 0 beside a failed entry hides nothing."""
    body = {"FailedEntryCount": 0, "Entries": [{"ErrorCode": "InternalFailure"}]}
    assert errors.of_put_events(answer(body), 1) == [Outcome(Disposition.RETRY, "InternalFailure", "")]


def test_put_events_v2_takes_a_deduplicated_entry_for_accepted() -> None:
    """DEDUPLICATED says that the event was published before: it is settled."""
    body = cbor2.dumps({"Entries": [{"SuccessCode": "DEDUPLICATED"}, {"EventId": "1", "SuccessCode": "PUBLISHED"}]})
    assert errors.of_put_events_v2(answer(body), 2) == [ACCEPTED, ACCEPTED]


def test_put_records_is_proven_by_its_sequence_number() -> None:
    """A record with a sequence number is stored; one with a code is not."""
    body = {"Records": [{"SequenceNumber": "1", "ShardId": "s"}, {"ErrorCode": "InternalFailure"}]}
    assert errors.of_put_records(answer(body), 2) == [ACCEPTED, Outcome(Disposition.RETRY, "InternalFailure", "")]


def test_messages_are_read_by_id_in_any_order() -> None:
    """SQS may answer in another order: the id decides."""
    body = {
        "Successful": [good(2), good(0)],
        "Failed": [{"Id": "1", "SenderFault": False, "Code": "InternalError", "Message": "x"}],
    }
    assert errors.of_send_message_batch(answer(body), MD5S) == [
        ACCEPTED,
        Outcome(Disposition.RETRY, "InternalError"),
        ACCEPTED,
    ]


@pytest.mark.parametrize(
    ("failed", "disposition"),
    [
        ({"SenderFault": True, "Code": "InvalidParameterValue"}, Disposition.DEAD_LETTER),
        ({"SenderFault": True, "Code": "InvalidMessageContents"}, Disposition.DEAD_LETTER),
        ({"SenderFault": True, "Code": "ValidationException"}, Disposition.DEAD_LETTER),
        ({"SenderFault": True, "Code": "AccessDenied"}, Disposition.HOLD),
        ({"SenderFault": True, "Code": "RequestThrottled"}, Disposition.HOLD),
        ({"SenderFault": True, "Code": "KMS.DisabledException"}, Disposition.HOLD),
        ({"SenderFault": True, "Code": "KmsInvalidState"}, Disposition.HOLD),
        ({"SenderFault": False, "Code": "ServiceUnavailable"}, Disposition.HOLD),
        ({"SenderFault": False, "Code": "SomethingNew"}, Disposition.RETRY),
        ({"SenderFault": False}, Disposition.RETRY),
    ],
)
def test_a_failed_message_is_judged_by_table_then_by_blame(failed: dict[str, Any], disposition: Disposition) -> None:
    """What the table calls systemic holds even where SQS blames the sender."""
    found = errors.of_send_message_batch(answer({"Failed": [{"Id": "0", **failed}]}), MD5S[:1])
    assert isinstance(found, list)
    assert found[0].disposition is disposition


@pytest.mark.parametrize("changes", [{"MD5OfMessageBody": "0" * 32}, {"MD5OfMessageBody": ""}, {"MessageId": ""}])
def test_a_message_without_proof_is_sent_again(changes: dict[str, str]) -> None:
    """A wrong or missing MD5 or MessageId settles nothing."""
    found = errors.of_send_message_batch(answer({"Successful": [good(0, **changes)]}), MD5S[:1])
    assert found == [Outcome(Disposition.RETRY, "Md5Mismatch")]


UNREADABLE = [
    b"",
    b"<html>200 OK</html>",
    b"null",
    b"[]",
    b"3",
    b"{}",
    b'{"Entries":null,"Records":null}',
    b'{"Entries":[],"Records":[]}',
    b'{"Entries":[{}],"Records":[{}]}',
    b'{"Entries":[{},{}],"Records":[{},{}]}',
    b'{"Entries":[{"EventId":""},{"EventId":"1"}],"Records":[{"SequenceNumber":""},{"SequenceNumber":"1"}]}',
    b'{"Entries":[{"EventId":"1"}],"Records":[{"SequenceNumber":"1"}],"Successful":[{"Id":"0"}]}',
    b'{"Entries":[1,2],"Records":["a","b"]}',
    b'{"Entries":{"0":{}},"Records":{}}',
    b'{"Entries":[{"EventId":"1"},{"EventId":"2"},{"EventId":"3"}],"Records":[1,2,3]}',
    b'{"Entries":[{"EventId":"1"},',
    b'{"Entries":[{"EventId":"1"},{"ErrorCode":500}],"Records":[{"SequenceNumber":"1"},{"ErrorCode":500}]}',
    b'{"Entries":[{"EventId":"1"},{"ErrorCode":["x"]}],"Records":[{"SequenceNumber":"1"},{"ErrorCode":["x"]}]}',
    b'{"Entries":[{"EventId":"1"},{"ErrorCode":"x","ErrorMessage":[1]}],"Records":[1,2]}',
]

READ: dict[str, Callable[[Answer], object]] = {
    "PutEvents": lambda got: errors.of_put_events(got, 2),
    "PutEvents v2": lambda got: errors.of_put_events_v2(got, 2),
    "PutRecords": lambda got: errors.of_put_records(got, 2),
    "SendMessageBatch": lambda got: errors.of_send_message_batch(got, MD5S[:2]),
}


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("body", UNREADABLE)
def test_a_200_that_does_not_fit_its_request_is_indeterminate(read: str, body: bytes) -> None:
    """Another length, another shape or no JSON at all: the call proves nothing, whatever single entries say."""
    found = READ[read](answer(body))
    assert found == Refusal(Disposition.HOLD, "UnreadableAnswer", retry_after_s=0.0)


@pytest.mark.parametrize(
    "body",
    [
        {"Successful": [good(0), good(0)]},
        {"Successful": [good(0)], "Failed": [{"Id": "0", "Code": "X"}]},
        {"Successful": [good(0)]},
        {"Successful": [good(0), good(1), good(2)]},
        {"Successful": [good(0), {**good(1), "Id": "-1"}]},
        {"Successful": [good(0), {**good(1), "Id": "one"}]},
        {"Successful": [good(0), {"MessageId": "m"}]},
    ],
)
def test_ids_that_do_not_match_one_to_one_are_indeterminate(body: dict[str, Any]) -> None:
    """Each id once, none missing, none strange, or the whole answer counts for nothing."""
    found = errors.of_send_message_batch(answer(body), MD5S[:2])
    assert found == Refusal(Disposition.HOLD, "UnreadableAnswer", 0.0)


def test_no_answer_is_indeterminate_and_holds() -> None:
    """A time-out or a reset may have been accepted: hold, and say why."""
    found = errors.of_put_events(Answer(0, b"", {}, "curl 28: timed out"), 1)
    assert found == Refusal(Disposition.HOLD, "NoAnswer", 0.0, "curl 28: timed out")


S3_SAYS_NO = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error>
<Code>AccessDenied</Code><Message>not authorized to perform: s3:PutObject</Message><RequestId>4</RequestId></Error>"""


def test_s3s_own_words_are_read() -> None:
    """They say which right is missing."""
    assert errors.refusal(answer(S3_SAYS_NO, 403)).message == "not authorized to perform: s3:PutObject"


@pytest.mark.parametrize(
    ("got", "code", "disposition"),
    [
        (answer({"__type": "ThrottlingException"}, 400), "ThrottlingException", Disposition.HOLD),
        (
            answer({"__type": "a.b#ValidationException", "message": "m"}, 400),
            "ValidationException",
            Disposition.BISECT,
        ),
        (answer(b"", 400, x_amzn_errortype="ExpiredToken:http://x/"), "ExpiredToken", Disposition.HOLD),
        (answer({"code": "AccessDenied"}, 403), "AccessDenied", Disposition.HOLD),
        (answer({"__type": "ValidationException"}, 500), "ValidationException", Disposition.HOLD),
        (answer(b"<html>", 502), "Http502", Disposition.HOLD),
        (answer(b"[]", 404), "Http404", Disposition.HOLD),
        (answer(S3_SAYS_NO, 403), "AccessDenied", Disposition.HOLD),
        (answer(b"<Error><Code>", 403), "Http403", Disposition.HOLD),
        (
            answer(b"<Error><Code>KMS.DisabledException</Code></Error>", 400),
            "KMSDisabledException",
            Disposition.HOLD,
        ),
        (answer(b"", 413), "Http413", Disposition.BISECT),
        (
            answer(cbor2.dumps({"__type": "x#InvalidInputException"}), 400, content_type="application/cbor"),
            "InvalidInputException",
            Disposition.BISECT,
        ),
        (answer(b"\xff", 503, content_type="application/cbor"), "Http503", Disposition.HOLD),
    ],
)
def test_a_refusal_is_read_in_every_form(got: Answer, code: str, disposition: Disposition) -> None:
    """Header or body, JSON, CBOR or S3's XML, namespaced or bare."""
    found = errors.refusal(got)
    assert (found.code, found.disposition) == (code, disposition)


@pytest.mark.parametrize("value", ["", "soon", "-3", "1.5", "Wed, 99 Foo 2026", formatdate(0, usegmt=True)])
def test_a_retry_after_that_says_nothing_is_zero(value: str) -> None:
    """Nonsense and dates in the past ask for no wait; nothing raises."""
    assert answer(b"", 503, retry_after=value).retry_after_s == 0.0


def test_a_retry_after_in_seconds_is_read() -> None:
    """Whole seconds, as HTTP has them."""
    assert answer(b"", 503, retry_after="59").retry_after_s == 59.0
    assert errors.refusal(answer(b"", 503, retry_after="5")).retry_after_s == 5.0


@pytest.mark.parametrize("value", ["61", "9" * 400, "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_no_retry_after_silences_us_for_long(value: str) -> None:
    """A pause of more than a minute is cut to a minute."""
    assert answer(b"", 503, retry_after=value).retry_after_s == errors.RETRY_AFTER_MAX_S


@pytest.mark.parametrize("text", ["", "x", "Wed", "Wed, 32 Jan 2026 00:00:00 GMT", "\x00", "9" * 400])
def test_a_date_that_is_none_is_zero(text: str) -> None:
    """A Date header from anywhere never raises."""
    assert epoch_of(text) == 0.0


@pytest.mark.parametrize(
    "garbled",
    [
        "Mon, 24 Nov 0001 00:00:00 +9999",
        "Tue, 24 Nov 2026 09:30:00 -9999999999999",
        "31 Jan 99999999999999999999 09:30:00 GMT",
        "Tue, 99 Nov 2026 99:99:99 GMT",
        "",
    ],
)
def test_a_garbled_date_is_none(garbled: str) -> None:
    """A date that no calendar holds is no date, in Retry-After too: it never raises."""
    assert epoch_of(garbled) == 0.0
    assert errors.refusal(answer({}, 503, retry_after=garbled)) == Refusal(
        Disposition.HOLD, "Http503", retry_after_s=0.0
    )


Read = Callable[[Answer, int], list[Outcome] | Refusal]
READERS: dict[str, tuple[Read, str, str, Callable[[object], bytes]]] = {
    "PutEvents": (errors.of_put_events, "Entries", "EventId", orjson.dumps),
    "PutEvents v2": (errors.of_put_events_v2, "Entries", "EventId", cbor2.dumps),
    "PutEvents v2, deduplicated": (errors.of_put_events_v2, "Entries", "SuccessCode", cbor2.dumps),
    "PutRecords": (errors.of_put_records, "Records", "SequenceNumber", orjson.dumps),
}


@pytest.mark.parametrize("reader", READERS)
def test_an_entry_with_a_proof_and_an_error_is_not_accepted(reader: str) -> None:
    """What was perhaps not taken is sent again, its neighbour is settled: a copy is cheaper than a loss."""
    read, results, proof, write = READERS[reader]
    both = {proof: "1", "ErrorCode": "InternalFailure", "ErrorMessage": "no"}
    answer = Answer(200, write({results: [both, {proof: "2"}]}), {}, "")
    assert read(answer, 2) == [Outcome(Disposition.RETRY, "InternalFailure", "no"), ACCEPTED]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDeniedException", "grant it"),
        ("ExpiredTokenException", "renew the credentials"),
        ("RequestTimeTooSkewed", "check this host's clock"),
        ("AWS.SimpleQueueService.NonExistentQueue", "unset SQS_DLQ_URL, then stream-router setup"),
        ("ThrottlingException", "raise the quota"),
        ("KMSThrottlingException", "raise the quota of KMS"),
        ("KMSDisabledException", "enable the key"),
        ("KMSAccessDeniedException", "grant the use of the key"),
        ("NoAnswer", "check the network"),
        ("RequestTimeout", "check the network"),
        ("InvalidAccessKeyId", "renew the credentials"),
        ("NoSuchBucket", "name a bucket"),
        ("PermanentRedirect", "name a bucket"),
        ("Http503", "mends itself"),
        ("NeverHeardOf", "API reference"),
    ],
)
def test_a_hold_ends_with_what_to_do(code: str, words: str) -> None:
    """By AWS's code."""
    assert words in cure(code)


def test_what_a_setting_or_a_right_mends_is_never_said_to_mend_itself() -> None:
    """Of all codes that hold, only faults of the service's own do."""
    holds = [code for code, means in CODES.items() if means.disposition is Disposition.HOLD]
    alone = {code for code in holds if "mends itself" in cure(code)}
    assert alone == {
        *("ServiceUnavailable", "ServiceUnavailableException", "ResourceInUseException", "InvalidStateException"),
    }

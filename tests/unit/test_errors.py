"""The one table of error codes."""

import pytest

from stream_router.errors import Disposition, call_disposition, entry_disposition, short_code

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

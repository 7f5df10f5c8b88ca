"""What an AWS error code means: the one table for every data-plane call. A systemic code is one of HOLD.

What the log advises beside a code stands in `core/aws_cures.py`; most codes need no advice of their own.
"""

import enum


class Disposition(enum.Enum):
    """The treatment of an entry, or of a call, that AWS did not accept."""

    DEAD_LETTER = "dead_letter"
    """The data is wrong: no retry can help, bury it at once."""
    RETRY = "retry"
    """This entry alone is in trouble: retry it, within a budget."""
    HOLD = "hold"
    """The world is down or misconfigured: retry without end, bury nothing."""
    BISECT = "bisect"
    """A call refused whole for its content: halve it until the poison entry stands alone."""


# Sources: botocore models `events`, `eventbridgev2`, `kinesis`, `sqs` (1.43/1.44); docs/contract.md, "What an error
# means".
# What is not listed is unknown: on a single entry it is RETRY (and exhausts), on a whole call HOLD.
_DATA = (
    "MalformedDetail",
    "InvalidArgument",
    "RedactionFailure",
    "NotAuthorizedForDetailType",
    "NotAuthorizedForDetailTypeException",
    "InvalidMessageContents",
)
_ENTRY = ("InternalFailure", "InternalError", "InternalException", "InternalServerException")
THROTTLING = (
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "OverLimit",
    "KMSThrottlingException",
    "KmsThrottled",
)
"""Systemic, and a word on how much is sent: fewer calls at once are better."""

CREDENTIALS_OVER = (
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
)
"""Systemic, and perhaps over as soon as others stand where these credentials came from."""

_SYSTEMIC = (
    *THROTTLING,
    *CREDENTIALS_OVER,
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "AccessDenied",
    "AccessDeniedException",
    "InvalidAccountIdException",
    "NotAuthorizedForSource",
    "NotAuthorizedForSourceException",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "ResourceNotFoundException",
    "ResourceInUseException",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSAccessDeniedException",
    "KMSNotFoundException",
    "KMSOptInRequired",
    "KMSInvalidKeyUsageException",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalidKeyUsage",
    "KmsInvalidState",
    "KmsNotFound",
    "KmsOptInRequired",
    "InvalidStateException",
)
_CONTENT = (
    "ValidationException",
    "ValidationError",
    "SerializationException",
    "BatchRequestTooLong",
    "InvalidInputException",
)

CODES: dict[str, Disposition] = {
    **dict.fromkeys(_DATA, Disposition.DEAD_LETTER),
    **dict.fromkeys(_ENTRY, Disposition.RETRY),
    **dict.fromkeys(_SYSTEMIC, Disposition.HOLD),
    **dict.fromkeys(_CONTENT, Disposition.BISECT),
}


def short_code(raw: str) -> str:
    """Strip the namespace and the URL that AWS may put around an error code (`ns#Code:http://…` is `Code`).

    The URL first, as botocore does it: a URL may hold a `#`. What is KMS's may have a dot, of S3 and of an entry of
    SQS (`KMS.DisabledException`); Kinesis writes it without.
    """
    code = raw.split(":", 1)[0].rsplit("#", 1)[-1].strip()
    return f"KMS{code[4:]}" if code.startswith("KMS.") else code


def of_entry(code: str) -> Disposition:
    """What a per-entry error code means; a code not in the table is entry trouble."""
    return CODES.get(code, Disposition.RETRY)


def of_call(code: str, status: int) -> Disposition:
    """What a whole call's refusal means: only a refusal for its content is not systemic.

    `status` is the HTTP status; 5xx is systemic whatever code comes with it.
    """
    if status < 500 and CODES.get(code) is Disposition.BISECT:
        return Disposition.BISECT
    if status == 413:
        return Disposition.BISECT
    return Disposition.HOLD

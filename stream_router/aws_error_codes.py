"""Table of AWS's error codes: what this program does (docs/contract.md, "What an error means"), what an operator does.

A code's row says what is at fault: the data, the entry alone, or the destination as a whole (HOLD). `aws_answers.py`
reads the codes out of answers.
"""

import enum
import re
from typing import NamedTuple


class Disposition(enum.Enum):
    """The treatment of an entry, or of a call, that AWS did not accept."""

    DEAD_LETTER = "dead_letter"
    """The data is wrong: no retry can help, so dead-letter it at once."""
    RETRY = "retry"
    """This entry alone fails: retry it within a budget."""
    HOLD = "hold"
    """The destination is down or misconfigured: retry without end, and dead-letter nothing."""
    BISECT = "bisect"
    """The whole call was refused for its content: send halves of it, until each bad entry is alone in a call."""


class Kind(enum.Enum):
    """Subject of a code, for callers that need more than the disposition."""

    THROTTLING = "throttling"
    """Too much is sent: send fewer calls at once."""
    CREDENTIALS = "credentials"
    """The credentials are invalid or expired. Other credentials from the same source may be accepted."""
    DENIED = "denied"
    """A permission is missing."""
    ABSENT = "absent"
    """The resource does not exist."""
    KEY = "key"
    """The KMS key of a stream, a queue or a bus cannot be used."""
    UNSUPPORTED_OPERATION = "unsupported_operation"
    """The endpoint has no such operation: an emulator may have fewer than AWS."""


class Meaning(NamedTuple):
    """Meaning of a code: what this program does with an entry (`disposition`), and what an operator does (`cure`).

    `disposition` is None for a code that AWS gives for whole calls only. `cure` ends a line in the log.
    """

    disposition: Disposition | None
    cure: str
    kind: Kind | None = None


_BURY, _RETRY, _HOLD, _BISECT = Disposition.DEAD_LETTER, Disposition.RETRY, Disposition.HOLD, Disposition.BISECT
_GRANT = "grant it (stream-router setup --policy)"
_RENEW = "renew the credentials"
_ENABLE_REGION = f"{_RENEW}; if AWS_REGION is an opt-in region, enable it for the account"
_CHECK_SIGNATURE = "check this host's clock and the secret key"
_SEND_LESS = "raise the quota, add shards, or send less (STREAM_ROUTER_MAX_SHARD_RATE)"
_CREATE = "check its name, AWS_REGION and the account, or create it with stream-router setup"
_CREATE_QUEUE = "create it: unset SQS_DLQ_URL, then run stream-router setup"
_NAME_BUCKET = "name a bucket of AWS_REGION that exists"
_ENABLE_KEY = "enable the key in KMS, or give another"
_WAIT = "wait until AWS has recovered; AWS's health page may say more"
_BAD_EVENT = "AWS does not accept the event's content: stream-router dlq show says more"
_BAD_CALL = "AWS does not accept the call's content: check the names and ARNs in the settings, and the endpoint"
_NETWORK = "check the network, the endpoint (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE>) and TLS"
_CHECK_ENDPOINT = "check the endpoint (AWS_ENDPOINT_URL): it has no such operation"

# Sources: botocore's models `events`, `eventbridgev2`, `kinesis`, `sqs` (1.43/1.44), and what S3, STS and IAM document.
_TABLE: tuple[tuple[Meaning, str], ...] = (
    (Meaning(_BURY, _BAD_EVENT), "MalformedDetail InvalidArgument RedactionFailure InvalidMessageContents"),
    (Meaning(_BURY, _GRANT), "NotAuthorizedForDetailType NotAuthorizedForDetailTypeException"),
    (Meaning(_RETRY, _WAIT), "InternalFailure InternalError InternalException InternalServerException"),
    (Meaning(_HOLD, _WAIT), "ServiceUnavailable ServiceUnavailableException"),
    (Meaning(_HOLD, _WAIT), "ResourceInUseException InvalidStateException"),
    (Meaning(_HOLD, _SEND_LESS, Kind.THROTTLING), "Throttling ThrottlingException ThrottledException OverLimit"),
    (
        Meaning(_HOLD, _SEND_LESS, Kind.THROTTLING),
        "RequestThrottled RequestThrottledException TooManyRequestsException",
    ),
    (Meaning(_HOLD, _SEND_LESS, Kind.THROTTLING), "RequestLimitExceeded LimitExceededException"),
    (Meaning(_HOLD, _SEND_LESS, Kind.THROTTLING), "ProvisionedThroughputExceededException"),
    (Meaning(_HOLD, "raise the quota of KMS, or send less", Kind.THROTTLING), "KMSThrottlingException KmsThrottled"),
    (Meaning(_HOLD, _RENEW, Kind.CREDENTIALS), "ExpiredToken ExpiredTokenException"),
    (Meaning(_HOLD, _ENABLE_REGION, Kind.CREDENTIALS), "UnrecognizedClientException InvalidClientTokenId"),
    (Meaning(_HOLD, _CHECK_SIGNATURE, Kind.CREDENTIALS), "InvalidSignatureException SignatureDoesNotMatch"),
    (Meaning(_HOLD, _CHECK_SIGNATURE), "IncompleteSignature RequestExpired RequestTimeTooSkewed"),
    (Meaning(_HOLD, _RENEW), "MissingAuthenticationToken MissingAuthenticationTokenException"),
    (Meaning(None, _RENEW), "InvalidAccessKeyId"),
    (Meaning(None, _ENABLE_REGION), "RegionDisabledException"),
    (Meaning(_HOLD, _GRANT, Kind.DENIED), "AccessDenied AccessDeniedException"),
    (Meaning(None, _GRANT, Kind.DENIED), "AuthorizationError UnauthorizedOperation"),
    (Meaning(_HOLD, _GRANT), "NotAuthorizedForSource NotAuthorizedForSourceException"),
    (Meaning(_HOLD, _CREATE, Kind.ABSENT), "ResourceNotFoundException"),
    (Meaning(None, _CREATE, Kind.ABSENT), "ResourceNotFound NotFoundException NoSuchEntity"),
    (Meaning(_HOLD, _CREATE_QUEUE, Kind.ABSENT), "QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue"),
    (Meaning(None, _NAME_BUCKET, Kind.ABSENT), "NoSuchBucket"),
    (Meaning(None, _NAME_BUCKET), "PermanentRedirect AuthorizationHeaderMalformed"),
    (Meaning(_HOLD, "correct the ARN of STREAM_ROUTER_EVENT_BUS"), "InvalidAccountIdException"),
    (Meaning(_HOLD, "grant the use of the key (stream-router setup --policy)", Kind.KEY), "KMSAccessDeniedException"),
    (Meaning(_HOLD, "grant the use of the key (stream-router setup --policy)", Kind.KEY), "KmsAccessDenied"),
    (Meaning(_HOLD, _ENABLE_KEY, Kind.KEY), "KMSDisabledException KmsDisabled KMSNotFoundException KmsNotFound"),
    (Meaning(_HOLD, _ENABLE_KEY, Kind.KEY), "KMSInvalidStateException KmsInvalidState"),
    (Meaning(_HOLD, _ENABLE_KEY, Kind.KEY), "KMSInvalidKeyUsageException KmsInvalidKeyUsage"),
    (Meaning(_HOLD, "ask AWS to subscribe the account to KMS", Kind.KEY), "KMSOptInRequired KmsOptInRequired"),
    (Meaning(_BISECT, _BAD_CALL), "ValidationException ValidationError SerializationException"),
    (Meaning(_BISECT, _BAD_CALL), "BatchRequestTooLong InvalidInputException"),
    (
        Meaning(None, _CHECK_ENDPOINT, Kind.UNSUPPORTED_OPERATION),
        "UnknownOperationException UnknownOperation InvalidAction",
    ),
    (Meaning(None, _CHECK_ENDPOINT, Kind.UNSUPPORTED_OPERATION), "NotImplemented NotImplementedException"),
    # Bare statuses have no kind, so that no program ends because of one: S3's HEAD gives them, but so may a proxy.
    (Meaning(None, _GRANT), "Forbidden 403"),
    (Meaning(None, _CREATE), "NotFound 404"),
    # Codes that AWS gives for whole calls only, then our own codes for a call that AWS did not answer.
    (Meaning(None, _WAIT), "InternalFailureException"),
    (Meaning(None, _BAD_CALL), "InvalidArgumentException"),
    (Meaning(None, _NETWORK), "NoAnswer TimedOut RequestTimeout UnreadableAnswer"),
    # botocore's exceptions for a call without an answer: `code_of` returns their names in place of a code.
    (Meaning(None, _NETWORK), "ConnectionClosedError EndpointConnectionError ConnectTimeoutError ReadTimeoutError"),
    (Meaning(None, _NETWORK), "ProxyConnectionError SSLError ResponseStreamingError"),
)

CODES = {code: meaning for meaning, codes in _TABLE for code in codes.split()}
"""Meanings by code, in the form that `short_code` returns.

A code that is not here is unknown. An entry with an unknown code is retried within its budget and then dead-lettered. A
call refused with an unknown code is repeated without end (HOLD).
"""


def codes_of(kind: Kind) -> frozenset[str]:
    """Return all codes of a kind."""
    return frozenset(code for code, meaning in CODES.items() if meaning.kind is kind)


THROTTLING, INVALID_CREDENTIALS = codes_of(Kind.THROTTLING), codes_of(Kind.CREDENTIALS)
DENIED, ABSENT = codes_of(Kind.DENIED), codes_of(Kind.ABSENT)
UNUSABLE_KEY, UNSUPPORTED_OPERATION = codes_of(Kind.KEY), codes_of(Kind.UNSUPPORTED_OPERATION)


def short_code(raw: str) -> str:
    """Return an error code without the namespace and the URL that AWS may add (`ns#Code:http://…` becomes `Code`).

    The URL is removed first, as botocore does, since a URL may contain a `#`. KMS's codes have a dot in answers of S3
    and in SQS's results (`KMS.DisabledException`), and none in those of Kinesis; here they get none.
    """
    code = raw.split(":", 1)[0].rsplit("#", 1)[-1].strip()
    return f"KMS{code[4:]}" if code.startswith("KMS.") else code


def find_disposition(code: str) -> Disposition | None:
    """Return what the table says to do with an entry that has this code.

    Return None if the table has no such code, or if AWS gives the code for whole calls only.
    """
    return CODES[code].disposition if code in CODES else None


def entry_disposition(code: str) -> Disposition:
    """Return what to do with an entry that failed with this code; RETRY if the code is unknown."""
    return find_disposition(code) or Disposition.RETRY


def call_disposition(code: str, status: int) -> Disposition:
    """Return what to do with a whole call that was refused: BISECT if its content is at fault, otherwise HOLD.

    `status` is the HTTP status. After a 5xx the service is at fault, whatever the code. A 413 comes without a code.
    """
    is_content_at_fault = status == 413 or (status < 500 and find_disposition(code) is Disposition.BISECT)
    return Disposition.BISECT if is_content_at_fault else Disposition.HOLD


def find_cure(code: str) -> str:
    """Return what an operator does about a code of AWS's, or about a call that got no answer."""
    if code in CODES:
        return CODES[code].cure
    return _WAIT if code.startswith("Http5") else "AWS's API reference says what this code means"


def code_of(error: BaseException) -> str:
    """Return AWS's code in an error that boto3 raised; the exception's name if AWS gave no code, or no answer."""
    answer = getattr(error, "response", None)
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    return str(code or type(error).__name__)


UNNAMED_RESOURCE = "a resource that AWS does not name"
"""Value of `MissingPermission.resource` if AWS's message names no resource."""

_NOT_AUTHORIZED = re.compile(
    r"is not authorized to perform:? ([a-z0-9-]+:[A-Za-z0-9]+)(?: on (?:resource:? )?\"?(arn:[^\s,;\"]+|\*))?"
)
"""AWS's sentence for a missing permission. Not every service names the resource.

Source: docs/facts.md, "Permissions".
"""


class MissingPermission(NamedTuple):
    """A permission that AWS says is missing: IAM's action, and the resource's ARN or UNNAMED_RESOURCE."""

    action: str
    resource: str

    def in_words(self) -> str:
        """Return the refusal as a phrase, for example `sqs:SendMessage on arn:… is refused`."""
        return f"{self.action} on {self.resource} is refused"


def describe_error(error: BaseException) -> str:
    """Return the code of an error that boto3 raised, and the missing permission if its message names one."""
    refusal = find_refusal(str(error))
    return f"{code_of(error)}: {refusal.in_words()}" if refusal else code_of(error)


def find_refusal(message: str) -> MissingPermission | None:
    """Return the missing permission that a message names; None if it names none."""
    match = _NOT_AUTHORIZED.search(message)
    return MissingPermission(match[1], match[2] or UNNAMED_RESOURCE) if match else None

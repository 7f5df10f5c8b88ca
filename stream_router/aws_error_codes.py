"""The one table of AWS's error codes: what is done (docs/contract.md, "What an error means"), and the operator's cure.

A code's row says whose trouble it is: the data's, the entry's own, or systemic (HOLD). `aws_answers.py` reads the codes
out of answers.
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
    """The whole call was refused for its content: halve it until the culprit is alone."""


class Kind(enum.Enum):
    """Subject of a code, for callers that need more than the disposition."""

    THROTTLING = "throttling"
    """A word on how much is sent: fewer calls at once are better."""
    CREDENTIALS = "credentials"
    """Perhaps over as soon as others stand where these credentials came from."""
    DENIED = "denied"
    """A permission is missing."""
    ABSENT = "absent"
    """The resource does not exist."""
    KEY = "key"
    """The key of a stream, a queue or a bus cannot be used."""
    NOT_SPOKEN = "not_spoken"
    """The endpoint has no such operation: an emulator may have fewer than AWS."""


class Meaning(NamedTuple):
    """Meaning of a code. `disposition` is None for a code that no entry bears: in one it would be an unknown code.

    `cure` is what an operator does where everything is refused with it: the end of a line in the log.
    """

    disposition: Disposition | None
    cure: str
    kind: Kind | None = None


_BURY, _RETRY, _HOLD, _BISECT = Disposition.DEAD_LETTER, Disposition.RETRY, Disposition.HOLD, Disposition.BISECT
_GRANT = "grant it (stream-router setup --policy)"
_RENEW = "renew the credentials"
_REGION = f"{_RENEW}; where AWS_REGION is one to opt in to, enable it for the account"
_SIGN = "check this host's clock and the secret key"
_LESS = "raise the quota, add shards, or send less (STREAM_ROUTER_MAX_SHARD_RATE)"
_MAKE = "check its name, AWS_REGION and the account, or make it anew with stream-router setup"
_QUEUE = "make it anew: unset SQS_DLQ_URL, then stream-router setup"
_BUCKET = "name a bucket of AWS_REGION that exists"
_KEY = "enable the key in KMS, or give another"
_BY_ITSELF = "it mends itself, or AWS's health page says more"
_BAD_EVENT = "the event is refused as it is: stream-router dlq show says more"
_BAD_CALL = "the call is refused as it is: check the names and ARNs in the settings, and the endpoint"
_NETWORK = "check the network, the endpoint (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE>) and TLS"
_OPERATION = "check the endpoint (AWS_ENDPOINT_URL): it has no such operation"

# Sources: botocore's models `events`, `eventbridgev2`, `kinesis`, `sqs` (1.43/1.44), and what S3, STS and IAM document.
_TABLE: tuple[tuple[Meaning, str], ...] = (
    (Meaning(_BURY, _BAD_EVENT), "MalformedDetail InvalidArgument RedactionFailure InvalidMessageContents"),
    (Meaning(_BURY, _GRANT), "NotAuthorizedForDetailType NotAuthorizedForDetailTypeException"),
    (Meaning(_RETRY, _BY_ITSELF), "InternalFailure InternalError InternalException InternalServerException"),
    (Meaning(_HOLD, _BY_ITSELF), "ServiceUnavailable ServiceUnavailableException"),
    (Meaning(_HOLD, _BY_ITSELF), "ResourceInUseException InvalidStateException"),
    (Meaning(_HOLD, _LESS, Kind.THROTTLING), "Throttling ThrottlingException ThrottledException OverLimit"),
    (Meaning(_HOLD, _LESS, Kind.THROTTLING), "RequestThrottled RequestThrottledException TooManyRequestsException"),
    (Meaning(_HOLD, _LESS, Kind.THROTTLING), "RequestLimitExceeded LimitExceededException"),
    (Meaning(_HOLD, _LESS, Kind.THROTTLING), "ProvisionedThroughputExceededException"),
    (Meaning(_HOLD, "raise the quota of KMS, or send less", Kind.THROTTLING), "KMSThrottlingException KmsThrottled"),
    (Meaning(_HOLD, _RENEW, Kind.CREDENTIALS), "ExpiredToken ExpiredTokenException"),
    (Meaning(_HOLD, _REGION, Kind.CREDENTIALS), "UnrecognizedClientException InvalidClientTokenId"),
    (Meaning(_HOLD, _SIGN, Kind.CREDENTIALS), "InvalidSignatureException SignatureDoesNotMatch"),
    (Meaning(_HOLD, _SIGN), "IncompleteSignature RequestExpired RequestTimeTooSkewed"),
    (Meaning(_HOLD, _RENEW), "MissingAuthenticationToken MissingAuthenticationTokenException"),
    (Meaning(None, _RENEW), "InvalidAccessKeyId"),
    (Meaning(None, _REGION), "RegionDisabledException"),
    (Meaning(_HOLD, _GRANT, Kind.DENIED), "AccessDenied AccessDeniedException"),
    (Meaning(None, _GRANT, Kind.DENIED), "AuthorizationError UnauthorizedOperation"),
    (Meaning(_HOLD, _GRANT), "NotAuthorizedForSource NotAuthorizedForSourceException"),
    (Meaning(_HOLD, _MAKE, Kind.ABSENT), "ResourceNotFoundException"),
    (Meaning(None, _MAKE, Kind.ABSENT), "ResourceNotFound NotFoundException NoSuchEntity"),
    (Meaning(_HOLD, _QUEUE, Kind.ABSENT), "QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue"),
    (Meaning(None, _BUCKET, Kind.ABSENT), "NoSuchBucket"),
    (Meaning(None, _BUCKET), "PermanentRedirect AuthorizationHeaderMalformed"),
    (Meaning(_HOLD, "correct the ARN of STREAM_ROUTER_EVENT_BUS"), "InvalidAccountIdException"),
    (Meaning(_HOLD, "grant the use of the key (stream-router setup --policy)", Kind.KEY), "KMSAccessDeniedException"),
    (Meaning(_HOLD, "grant the use of the key (stream-router setup --policy)", Kind.KEY), "KmsAccessDenied"),
    (Meaning(_HOLD, _KEY, Kind.KEY), "KMSDisabledException KmsDisabled KMSNotFoundException KmsNotFound"),
    (Meaning(_HOLD, _KEY, Kind.KEY), "KMSInvalidStateException KmsInvalidState"),
    (Meaning(_HOLD, _KEY, Kind.KEY), "KMSInvalidKeyUsageException KmsInvalidKeyUsage"),
    (Meaning(_HOLD, "ask AWS to subscribe the account to KMS", Kind.KEY), "KMSOptInRequired KmsOptInRequired"),
    (Meaning(_BISECT, _BAD_CALL), "ValidationException ValidationError SerializationException"),
    (Meaning(_BISECT, _BAD_CALL), "BatchRequestTooLong InvalidInputException"),
    (Meaning(None, _OPERATION, Kind.NOT_SPOKEN), "UnknownOperationException UnknownOperation InvalidAction"),
    (Meaning(None, _OPERATION, Kind.NOT_SPOKEN), "NotImplemented NotImplementedException"),
    # Bare statuses, of S3's HEAD or of a proxy, are of no kind: they are no word to end a program for.
    (Meaning(None, _GRANT), "Forbidden 403"),
    (Meaning(None, _MAKE), "NotFound 404"),
    # Of a whole call alone, and our own words where there was no answer, or none of AWS's.
    (Meaning(None, _BY_ITSELF), "InternalFailureException"),
    (Meaning(None, _BAD_CALL), "InvalidArgumentException"),
    (Meaning(None, _NETWORK), "NoAnswer TimedOut RequestTimeout UnreadableAnswer"),
    # botocore's exceptions for a call without an answer: `code_of` gives their names in place of a code.
    (Meaning(None, _NETWORK), "ConnectionClosedError EndpointConnectionError ConnectTimeoutError ReadTimeoutError"),
    (Meaning(None, _NETWORK), "ProxyConnectionError SSLError ResponseStreamingError"),
)

CODES = {code: meaning for meaning, codes in _TABLE for code in codes.split()}
"""By code, as `short_code` writes it. What is not here is unknown: on an entry RETRY (and exhausts), on a call HOLD."""


def codes_of(kind: Kind) -> frozenset[str]:
    """Return all codes of a kind."""
    return frozenset(code for code, meaning in CODES.items() if meaning.kind is kind)


THROTTLING, CREDENTIALS_OVER = codes_of(Kind.THROTTLING), codes_of(Kind.CREDENTIALS)
DENIED, ABSENT = codes_of(Kind.DENIED), codes_of(Kind.ABSENT)
UNUSABLE_KEY, NOT_SPOKEN = codes_of(Kind.KEY), codes_of(Kind.NOT_SPOKEN)


def short_code(raw: str) -> str:
    """Strip the namespace and the URL that AWS may put around an error code (`ns#Code:http://…` is `Code`).

    The URL first, as botocore does it: a URL may hold a `#`. What is KMS's may have a dot, of S3 and of an entry of
    SQS (`KMS.DisabledException`); Kinesis writes it without.
    """
    code = raw.split(":", 1)[0].rsplit("#", 1)[-1].strip()
    return f"KMS{code[4:]}" if code.startswith("KMS.") else code


def known(code: str) -> Disposition | None:
    """Return the table's disposition of an entry with this code; None if the code has no row, or no entry bears it."""
    return CODES[code].disposition if code in CODES else None


def entry_disposition(code: str) -> Disposition:
    """Return what a per-entry error code means; a code not in the table is entry trouble."""
    return known(code) or Disposition.RETRY


def call_disposition(code: str, status: int) -> Disposition:
    """Return what a whole call's refusal means: only a refusal for its content is not systemic.

    `status` is the HTTP status; 5xx is systemic whatever code comes with it. 413 has no code of AWS's.
    """
    is_content = status == 413 or (status < 500 and known(code) is Disposition.BISECT)
    return Disposition.BISECT if is_content else Disposition.HOLD


def cure(code: str) -> str:
    """Return what an operator does about a code of AWS's, or about a call that got no answer."""
    if code in CODES:
        return CODES[code].cure
    return _BY_ITSELF if code.startswith("Http5") else "AWS's API reference says what this code means"


def code_of(error: BaseException) -> str:
    """AWS's code for a refusal that boto3 raised; the exception's name where AWS gave no code, or no answer at all."""
    answer = getattr(error, "response", None)
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    return str(code or type(error).__name__)


UNNAMED = "a resource that AWS does not name"

_REFUSED = re.compile(
    r"is not authorized to perform:? ([a-z0-9-]+:[A-Za-z0-9]+)(?: on (?:resource:? )?\"?(arn:[^\s,;\"]+|\*))?"
)
"""AWS's sentence for a missing permission. Not every service names the resource.

Source: docs/facts.md, "Permissions".
"""


class MissingPermission(NamedTuple):
    """IAM's action, and the ARN of the resource or UNNAMED."""

    action: str
    resource: str

    def in_words(self) -> str:
        """Return the refusal as a phrase."""
        return f"{self.action} on {self.resource} is refused"


def describe_error(error: BaseException) -> str:
    """Return the code of an exception that boto3 raised; of a refusal also the action and the resource."""
    refusal = find_refusal(str(error))
    return f"{code_of(error)}: {refusal.in_words()}" if refusal else code_of(error)


def find_refusal(message: str) -> MissingPermission | None:
    """Return the refusal that a message quotes; None if it quotes none."""
    match = _REFUSED.search(message)
    return MissingPermission(match[1], match[2] or UNNAMED) if match else None

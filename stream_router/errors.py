"""What can be wrong, as a value: with a setting, and with what AWS answered.

`CODES` is the one table of AWS's error codes, with what is done (docs/contract.md, "What an error means") and what an
operator can do. `of_put_events` and its like read an answer entry by entry, since a 200 can hold failures. An answer
that does not fit its request (another length, unreadable) says nothing about any entry: the whole call is
indeterminate and is sent again, never settled.
"""

import email.utils
import enum
import errno
import html
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import cbor2
import orjson

if TYPE_CHECKING:
    from pydantic import ValidationError

EX_CONFIG = 78
"""Exit status of a program that was configured wrongly (sysexits.h)."""


class SettingsError(Exception):
    """Settings are missing or wrong; its text is what the operator sees, a line for each."""

    status = EX_CONFIG
    """How a program ends with it."""


class NotNowError(SettingsError):
    """What a setting names did not answer. Ends with 1: who runs the program starts it again, as after no 78."""

    status = 1


def first_error(error: "ValidationError") -> Any:
    """The first thing that pydantic found wrong (`type`, `loc`, `msg`), without the value, which may be a secret."""
    return error.errors(include_url=False, include_input=False, include_context=False)[0]


def unwritable(variable: str, error: OSError) -> SettingsError:
    """The refusal of a folder, named by a setting, that cannot be written. One whose disk is full can be again."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotNowError(f"{variable}: cannot be written ({error.strerror}); make room")
    return SettingsError(f"{variable}: cannot be written ({error.strerror}); name a writable folder")


class UnforeseenError(Exception):
    """An error that nobody foresaw, in a command whose exit status 1 is an answer. Raised from the error itself.

    `status` is how the command ends where it has no answer.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


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


class Kind(enum.Enum):
    """What a code is about, where somebody has to know that besides the disposition."""

    THROTTLING = "throttling"
    """A word on how much is sent: fewer calls at once are better."""
    CREDENTIALS = "credentials"
    """Perhaps over as soon as others stand where these credentials came from."""
    DENIED = "denied"
    """A right is missing."""
    ABSENT = "absent"
    """What was asked for is not there."""
    KEY = "key"
    """The key of a stream, a queue or a bus cannot be used."""
    NOT_SPOKEN = "not_spoken"
    """The endpoint has no such operation: an emulator may have fewer than AWS."""


class Meaning(NamedTuple):
    """What a code means. `disposition` is None for a code that no entry bears: in one it would be an unknown code.

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
)

CODES = {code: meaning for meaning, codes in _TABLE for code in codes.split()}
"""By code, as `short_code` writes it. What is not here is unknown: on an entry RETRY (and exhausts), on a call HOLD."""


def codes_of(kind: Kind) -> frozenset[str]:
    """All codes of a kind."""
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


def _known(code: str) -> Disposition | None:
    return CODES[code].disposition if code in CODES else None


def entry_disposition(code: str) -> Disposition:
    """What a per-entry error code means; a code not in the table is entry trouble."""
    return _known(code) or Disposition.RETRY


def call_disposition(code: str, status: int) -> Disposition:
    """What a whole call's refusal means: only a refusal for its content is not systemic.

    `status` is the HTTP status; 5xx is systemic whatever code comes with it. 413 has no code of AWS's.
    """
    is_content = status == 413 or (status < 500 and _known(code) is Disposition.BISECT)
    return Disposition.BISECT if is_content else Disposition.HOLD


def cure(code: str) -> str:
    """What an operator does about a code of AWS's, or about one of our own where there was no answer."""
    if code in CODES:
        return CODES[code].cure
    return _BY_ITSELF if code.startswith("Http5") else "AWS's API reference says what this code means"


T = TypeVar("T")

RETRY_AFTER_MAX_S = 60.0
"""The longest pause that an answer can ask for: a garbled header or a proxy's whim must not silence a shard."""

_OF_S3 = re.compile(rb"<Error>\s*<Code>([\w.]{1,64})</Code>\s*(?:<Message>([^<]{0,500})</Message>)?")
"""S3 says no in XML."""


class Answer(NamedTuple):
    """What came back: `status` is the HTTP status, 0 where no whole answer came and `error` says why (no payload).

    A status of 0 is indeterminate: the service may or may not have acted. Header names are lower case.
    """

    status: int
    body: bytes
    headers: dict[str, str]
    error: str

    @property
    def retry_after_s(self) -> float:
        """The answer's Retry-After in seconds, at most RETRY_AFTER_MAX_S, 0.0 where there is none that can be read."""
        value = self.headers.get("retry-after", "")
        if value.isdecimal():
            return min(float(value), RETRY_AFTER_MAX_S)
        date = epoch_of(value)
        return min(max(0.0, date - time.time()), RETRY_AFTER_MAX_S) if date else 0.0


def epoch_of(http_date: str) -> float:
    """An HTTP date as epoch seconds, 0.0 where it is none."""
    try:
        return email.utils.parsedate_to_datetime(http_date).timestamp()
    except (ValueError, OverflowError):
        return 0.0


class Outcome(NamedTuple):
    """What became of one entry: accepted where `disposition` is None, else what to do with it and AWS's code."""

    disposition: Disposition | None
    code: str = ""
    message: str = ""


ACCEPTED = Outcome(None)


class Refusal(NamedTuple):
    """A call that says nothing of its single entries: the service may have acted on it, so it is never settled."""

    disposition: Disposition
    code: str
    retry_after_s: float
    message: str = ""


class _UnreadableError(ValueError):
    """The answer does not fit its request."""


def of_put_events(answer: Answer, sent: int) -> list[Outcome] | Refusal:
    """The outcome of each of `sent` entries of a classic PutEvents call, by position."""
    return _settle(answer, lambda body: _by_position(body["Entries"], sent, "EventId"))


def of_put_events_v2(answer: Answer, sent: int) -> list[Outcome] | Refusal:
    """The outcome of each of `sent` entries of a v2 PutEvents call (CBOR); DEDUPLICATED is accepted."""
    return _settle(answer, lambda body: _by_position(body["Entries"], sent, "EventId", "SuccessCode"), cbor2.loads)


def of_put_records(answer: Answer, sent: int) -> list[Outcome] | Refusal:
    """The outcome of each of `sent` records of a PutRecords call, by position."""
    return _settle(answer, lambda body: _by_position(body["Records"], sent, "SequenceNumber"))


def of_send_message_batch(answer: Answer, body_md5s: Sequence[str]) -> list[Outcome] | Refusal:
    """The outcome of each message of a SendMessageBatch call, whose ids are "0", "1", … in the order of `body_md5s`.

    A message is accepted only with a MessageId and the MD5 of the body that was sent.
    """
    return _settle(answer, lambda body: _by_id(body, body_md5s))


def of_read(answer: Answer, has: str) -> dict[str, Any] | Refusal:
    """What a call that reads found. Its answer has the member `has`; "" where it may have none."""

    def read(body: dict[str, Any]) -> dict[str, Any]:
        if has and has not in body:
            raise _UnreadableError
        return dict(body)

    return _settle(answer, read)


def _settle(
    answer: Answer, read: Callable[[dict[str, Any]], T], parse: Callable[[bytes], Any] = orjson.loads
) -> T | Refusal:
    """What `read` makes of an answer's body; a Refusal where it says no, or does not fit what is read."""
    if answer.status != 200:
        return refusal(answer)
    try:
        return read(parse(answer.body))
    except (cbor2.CBORDecodeError, LookupError, TypeError, AttributeError, ArithmeticError, ValueError):
        return Refusal(Disposition.HOLD, "UnreadableAnswer", retry_after_s=0.0)


def refusal(answer: Answer) -> Refusal:
    """What an answer without a 200 means for the whole call."""
    if answer.status == 0:
        return Refusal(Disposition.HOLD, "NoAnswer", retry_after_s=0.0, message=answer.error)
    code, message = _code(answer)
    disposition = call_disposition(code, answer.status)
    return Refusal(disposition, code, answer.retry_after_s, message)


def _code(answer: Answer) -> tuple[str, str]:
    """AWS's error code and message, or `Http<status>` where the body says none (a proxy's page, for example)."""
    code = answer.headers.get("x-amzn-errortype") or ""
    message = ""
    try:
        parse = cbor2.loads if "cbor" in answer.headers.get("content-type", "") else orjson.loads
        body = parse(answer.body)
        code = code or str(body.get("__type") or body.get("code") or "")
        message = str(body.get("message") or body.get("Message") or "")
    except (orjson.JSONDecodeError, cbor2.CBORDecodeError, AttributeError):
        if said := _OF_S3.search(answer.body):
            code, message = code or said[1].decode(), html.unescape((said[2] or b"").decode("utf-8", "replace"))
    return short_code(code) or f"Http{answer.status}", message


def _by_position(results: list[dict[str, Any]], sent: int, *proofs: str) -> list[Outcome]:
    if len(results) != sent:
        raise _UnreadableError
    first = proofs[0]
    return [
        ACCEPTED if result.get(first) and not result.get("ErrorCode") else _one(result, proofs) for result in results
    ]


def _one(result: dict[str, Any], proofs: tuple[str, ...]) -> Outcome:
    code, message = result.get("ErrorCode"), result.get("ErrorMessage") or ""
    if code:
        if not (isinstance(code, str) and isinstance(message, str)):
            raise _UnreadableError
        return Outcome(entry_disposition(code), code, message)
    if not any(result.get(proof) for proof in proofs):
        raise _UnreadableError
    return ACCEPTED


def _by_id(body: dict[str, Any], body_md5s: Sequence[str]) -> list[Outcome]:
    outcomes: list[Outcome | None] = [None] * len(body_md5s)
    for result in body.get("Successful") or []:
        at = _place(result, outcomes)
        proven = result.get("MessageId") and result.get("MD5OfMessageBody") == body_md5s[at]
        outcomes[at] = ACCEPTED if proven else Outcome(Disposition.RETRY, "Md5Mismatch")
    for result in body.get("Failed") or []:
        at = _place(result, outcomes)
        outcomes[at] = _failed_message(result)
    if any(outcome is None for outcome in outcomes):
        raise _UnreadableError
    return [outcome for outcome in outcomes if outcome is not None]


def _place(result: dict[str, Any], outcomes: list[Outcome | None]) -> int:
    at = int(result["Id"])
    if not 0 <= at < len(outcomes) or outcomes[at] is not None:
        raise _UnreadableError
    return at


def _failed_message(result: dict[str, Any]) -> Outcome:
    """A message that SQS blames on its sender can never be accepted as it is, unless the table knows better."""
    code = short_code(str(result.get("Code") or "Unknown"))
    known = _known(code)
    blamed = Disposition.DEAD_LETTER if result.get("SenderFault") else Disposition.RETRY
    return Outcome(blamed if known in (None, Disposition.BISECT) else known, code)


def code_of(error: BaseException) -> str:
    """AWS's code for a refusal that boto3 raised; the exception's name where AWS gave no code, or no answer at all."""
    answer = getattr(error, "response", None)
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    return str(code or type(error).__name__)


def served_s(answer: Mapping[str, Any]) -> float:
    """What time it was by AWS's clock at an answer or a refusal of boto3's (epoch seconds); 0.0 where it bears none."""
    return epoch_of(str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")))

"""Answers of AWS as values. An answer is read entry by entry, since a 200 can contain failures.

An answer that does not fit its request (another length, unreadable) says nothing about any entry: the whole call is
indeterminate and is resent, never settled. The meaning of each code is in `aws_error_codes.py`.
"""

import email.utils
import html
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import cbor2
import orjson

from stream_router.aws_error_codes import Disposition, call_disposition, entry_disposition, known, short_code

T = TypeVar("T")

TIMED_OUT = "TimedOut"
"""Our code for a call that was sent, but not answered in time."""

UNANSWERED = "NoAnswer"
"""Our code for a call that got no connection, or lost it."""

NO_ANSWER = frozenset({TIMED_OUT, UNANSWERED})

RETRY_AFTER_MAX_S = 60.0
"""Longest pause in seconds that an answer can demand: a garbled header, or a proxy's, must not stop a shard."""

_OF_S3 = re.compile(rb"<Error>\s*<Code>([\w.]{1,64})</Code>\s*(?:<Message>([^<]{0,500})</Message>)?")
"""Code and message of S3's errors, which are XML."""


class Answer(NamedTuple):
    """Answer of a call. `status` is the HTTP status; 0 if no whole answer came, for the reason `error` (no payload).

    A status of 0 is indeterminate: the service may or may not have acted. Header names are lower case. `timed_out` is
    true if the request was sent, and its time ended before the answer came.
    """

    status: int
    body: bytes
    headers: dict[str, str]
    error: str
    timed_out: bool = False

    @property
    def retry_after_s(self) -> float:
        """The answer's Retry-After in seconds, at most RETRY_AFTER_MAX_S; 0.0 if there is none, or it is unreadable."""
        value = self.headers.get("retry-after", "")
        if value.isdecimal():
            return min(float(value), RETRY_AFTER_MAX_S)
        date = parse_http_date(value)
        return min(max(0.0, date - time.time()), RETRY_AFTER_MAX_S) if date else 0.0


def parse_http_date(http_date: str) -> float:
    """Return an HTTP date as epoch seconds; 0.0 if the text is not such a date."""
    try:
        return email.utils.parsedate_to_datetime(http_date).timestamp()
    except (ValueError, OverflowError):
        return 0.0


class Outcome(NamedTuple):
    """Result of one entry: accepted if `disposition` is None, otherwise the treatment and AWS's code."""

    disposition: Disposition | None
    code: str = ""
    message: str = ""


ACCEPTED = Outcome(None)


class Refusal(NamedTuple):
    """Answer that says nothing about single entries. The service may have acted, so no entry is settled."""

    disposition: Disposition
    code: str
    retry_after_s: float
    message: str = ""


class _UnreadableError(ValueError):
    """The answer does not fit its request."""


def of_put_events(answer: Answer, sent: int) -> list[Outcome] | Refusal:
    """Return the outcome of each of `sent` entries of a classic PutEvents call, by position."""
    return _settle(answer, lambda body: _by_position(body["Entries"], sent, "EventId"))


def of_put_events_v2(answer: Answer, sent: int) -> list[Outcome] | Refusal:
    """Return the outcome of each of `sent` entries of a v2 PutEvents call (CBOR); DEDUPLICATED is accepted."""
    return _settle(answer, lambda body: _by_position(body["Entries"], sent, "EventId", "SuccessCode"), cbor2.loads)


def of_put_records(answer: Answer, sent: int) -> list[Outcome] | Refusal:
    """Return the outcome of each of `sent` records of a PutRecords call, by position."""
    return _settle(answer, lambda body: _by_position(body["Records"], sent, "SequenceNumber"))


def of_send_message_batch(answer: Answer, body_md5s: Sequence[str]) -> list[Outcome] | Refusal:
    """Return the outcome of each message of a SendMessageBatch call, whose ids are "0", "1", … as in `body_md5s`.

    A message is accepted only with a MessageId and the MD5 of the body that was sent.
    """
    return _settle(answer, lambda body: _by_id(body, body_md5s))


def of_read(answer: Answer, has: str) -> dict[str, Any] | Refusal:
    """Return the body of a call that reads. It must have the member `has`, unless that is ""."""

    def read(body: dict[str, Any]) -> dict[str, Any]:
        if has and has not in body:
            raise _UnreadableError
        return dict(body)

    return _settle(answer, read)


def _settle(
    answer: Answer, read: Callable[[dict[str, Any]], T], parse: Callable[[bytes], Any] = orjson.loads
) -> T | Refusal:
    """Return the result of `read` for an answer's body; a Refusal if AWS refused the call, or the body does not fit."""
    if answer.status != 200:
        return refusal(answer)
    try:
        return read(parse(answer.body))
    except (cbor2.CBORDecodeError, LookupError, TypeError, AttributeError, ArithmeticError, ValueError):
        return Refusal(Disposition.HOLD, "UnreadableAnswer", retry_after_s=0.0)


def refusal(answer: Answer) -> Refusal:
    """Return the refusal of the whole call that an answer without status 200 means."""
    if answer.status == 0:
        code = TIMED_OUT if answer.timed_out else UNANSWERED
        return Refusal(Disposition.HOLD, code, retry_after_s=0.0, message=answer.error)
    code, message = _code(answer)
    disposition = call_disposition(code, answer.status)
    return Refusal(disposition, code, answer.retry_after_s, message)


def _code(answer: Answer) -> tuple[str, str]:
    """Return AWS's error code and message, or `Http<status>` if the body has none (a proxy's page, for example)."""
    code = answer.headers.get("x-amzn-errortype") or ""
    message = ""
    try:
        parse = cbor2.loads if "cbor" in answer.headers.get("content-type", "") else orjson.loads
        body = parse(answer.body)
        code = code or str(body.get("__type") or body.get("code") or "")
        message = str(body.get("message") or body.get("Message") or "")
    except (orjson.JSONDecodeError, cbor2.CBORDecodeError, AttributeError):
        if match := _OF_S3.search(answer.body):
            code, message = code or match[1].decode(), html.unescape((match[2] or b"").decode("utf-8", "replace"))
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
    """Return the outcome of a failed message. If SQS blames the sender, dead-letter it unless the table differs."""
    code = short_code(str(result.get("Code") or "Unknown"))
    blamed = Disposition.DEAD_LETTER if result.get("SenderFault") else Disposition.RETRY
    in_table = known(code)
    return Outcome(blamed if in_table in (None, Disposition.BISECT) else in_table, code)


def served_s(answer: Mapping[str, Any]) -> float:
    """Return AWS's time (epoch seconds) at one of boto3's answers or refusals; 0.0 if it bears none."""
    return parse_http_date(str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")))
